//! What outboxes tell the engine: what was written late, and what never will be. What is written at once needs no word, so
//! that an idle or quick connection costs nothing here.

use bytes::Bytes;
use cometql_engine::{ConnectionId, Outbox};

use super::{Outbound, open_link};
use crate::shard::codec::Codec;
use crate::shard::unwritten::{self, InOutbox, Outlook, Sought};

/// How long something must have waited for its socket to be worth a word, in milliseconds.
const LATE_MS: u64 = 1_000;

impl Outbound {
    /// A private message is about to be put into an outbox. On the original's protocol writing it acknowledges it.
    pub(super) fn expect_receipt(&mut self, to: ConnectionId, offset: u64) {
        let Some(link) = open_link(&mut self.links, to) else {
            return;
        };
        if matches!(link.codec, Codec::Legacy(_)) {
            link.receipt = true;
            let receipt = self.receipts.entry(to).or_insert((offset, offset));
            receipt.1 = offset;
        }
    }

    /// The socket has taken all that it was given.
    pub(super) fn tell_written(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(link) = self.link(id) else {
            return;
        };
        let since = std::mem::take(&mut link.stuck_ms);
        let all = link.unwritten().is_empty();
        let receipt = all && std::mem::take(&mut link.receipt);
        if since > 0 && now.saturating_sub(since) >= LATE_MS {
            self.told.push_back((id, Outbox::CaughtUp(since)));
        }
        if receipt && let Some((_, up_to)) = self.receipts.remove(&id) {
            self.told.push_back((id, Outbox::Written(up_to)));
        }
    }

    /// For a task that writes: all that it took is written.
    pub(in crate::shard) fn written(&mut self, id: ConnectionId) {
        let Some(link) = super::link_at(&mut self.links, id) else {
            return;
        };
        link.taken_is_written(&mut self.buffers);
        if link.stuck_ms > 0 || link.receipt {
            self.tell_written(id);
        }
        self.resume(id);
    }

    /// A connection is closed because it reads too slowly, or is gone: tells what was never written to it, `last` included.
    /// `gone` = what has begun to leave will not be whole.
    pub(in crate::shard) fn tell_dropped(
        &mut self,
        id: ConnectionId,
        gone: bool,
        last: Option<Bytes>,
    ) {
        let now = self.now;
        let Some(link) = super::link_at(&mut self.links, id) else {
            return;
        };
        let frames = if gone {
            link.unwritten()
        } else {
            link.untouched()
        };
        let conflated = self.stalled.conflated(id);
        if frames.is_empty() && conflated.is_none() && last.is_none() {
            return;
        }
        let since = if link.stuck_ms > 0 {
            link.stuck_ms
        } else {
            now
        };
        let frames = frames.iter().chain(&last);
        let mut lost = unwritten::lost(&link.codec, frames, conflated, since);
        if let Some((first, last)) = self.receipts.remove(&id) {
            lost.push(Outbox::Dropped(None, first, last));
        }
        self.told.extend(lost.into_iter().map(|lost| (id, lost)));
    }

    /// Where a message is, if it was handed to this connection.
    pub(in crate::shard) fn outlook(
        &mut self,
        id: ConnectionId,
        sought: &Sought,
    ) -> Option<Outlook> {
        // What only waits for its turn is no news.
        self.flush_one(id);
        let link = super::link_at(&mut self.links, id)?;
        let stuck_ms = link.stuck_ms;
        let receipt = self.receipts.get(&id).filter(|_| sought.channel.is_none());
        let place = match (receipt, &sought.channel) {
            (Some((first, last)), _) if (*first..=*last).contains(&sought.offset) => {
                InOutbox::Waits
            }
            (_, Some(channel)) => self
                .stalled
                .conflated(id)
                .and_then(|conflated| conflated.waits(channel, sought.offset))
                .map(|waits| match waits {
                    true => InOutbox::Waits,
                    false => InOutbox::Conflated,
                })
                .unwrap_or(InOutbox::No),
            (_, None) => InOutbox::No,
        };
        let place = match place {
            InOutbox::No => unwritten::find(&link.codec, link.unwritten(), stuck_ms, sought),
            known => known,
        };
        Some(Outlook {
            connection: id,
            stuck_ms,
            place,
        })
    }
}
