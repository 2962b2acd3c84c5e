//! What is different for a connection whose socket takes nothing: publications of channels that conflate wait beside its
//! outbox, and when too much waits on the node, the fullest connections are closed.

use std::sync::Arc;

use bytes::Bytes;
use cometql_engine::permission::Conflate;
use cometql_engine::{ConnectionId, Outbox, Publication};
use cometql_protocol::CloseCode;

use super::{Flushed, Outbound, open_link, stall};
use crate::metrics::Dropped;
use crate::shard::Mail;

/// So much may be left of a connection that is closed to make room: the rest of a long frame is not waited for.
const LEFT: usize = 64 << 10;

impl Outbound {
    /// Whether a publication waits beside the outbox, in the place of older ones. It does from the moment on when the
    /// socket is known to take nothing; what a client asked to be replayed never does.
    pub(super) fn conflates(
        &mut self,
        to: ConnectionId,
        publication: &Arc<Publication>,
        conflate: Conflate,
    ) -> bool {
        if conflate == Conflate::Ended {
            self.settle(to);
            return false;
        }
        let limit = self.limits.outbox_bytes;
        let Some(link) = open_link(&mut self.links, to).filter(|_| !self.replaying) else {
            return false;
        };
        if link.is_full(limit) && !link.blocked {
            match link.flush(&mut self.buffers) {
                Flushed::Blocked => stall(link, self.now, &mut self.stuck, &mut self.stalled),
                // Until its task comes to take it.
                Flushed::Handed => link.blocked = true,
                Flushed::All | Flushed::Broken => {}
            }
        }
        if !link.blocked {
            return false;
        }
        let (replaced, bytes, look) = self.stalled.hold(to, publication, conflate);
        self.metrics.conflated(self.id, replaced);
        if bytes > limit {
            self.close_slow(to, None);
        } else if look {
            self.keep_budget();
        }
        true
    }

    /// Puts what was conflated for a connection into its outbox: something comes that has to come after it.
    pub(super) fn settle(&mut self, id: ConnectionId) {
        for held in self.stalled.release(id).into_held() {
            let Some(link) = open_link(&mut self.links, id) else {
                return;
            };
            let frame = link.codec.conflated(&held.publication, held.previous);
            let place = held.publication.place;
            if let Some(place) = place.filter(|place| place.previous != held.previous) {
                let conflated = Outbox::Conflated {
                    channel: held.publication.channel.clone(),
                    after: held.previous,
                    before: place.offset,
                };
                self.told.push_back((id, conflated));
            }
            self.queue(id, frame);
        }
    }

    /// Forgets what was conflated for a connection.
    pub(super) fn drop_conflated(&mut self, id: ConnectionId) {
        let dropped = self.stalled.release(id);
        self.metrics.dropped(
            self.id,
            Dropped::SlowConsumer,
            dropped.len(),
            dropped.bytes(),
        );
    }

    /// Closes a connection that reads too slowly; `lost` = there was no room for this.
    pub(super) fn close_slow(&mut self, id: ConnectionId, lost: Option<Bytes>) {
        if let Some(frame) = &lost {
            self.metrics
                .dropped(self.id, Dropped::SlowConsumer, 1, frame.len());
        }
        self.tell_dropped(id, false, lost);
        let code = CloseCode::SlowConsumer;
        self.finish(id, code, code.as_str());
    }

    /// The socket takes bytes again: first what waits in order, then what was conflated.
    pub(in crate::shard) fn resume(&mut self, id: ConnectionId) {
        let Some(link) = self.link(id) else {
            return;
        };
        link.blocked = false;
        if link.waiting() > 0 {
            self.flush_one(id);
        }
        if self.link(id).is_some_and(|link| !link.blocked) {
            self.settle(id);
            self.flush_marked(id);
        }
        match self
            .link(id)
            .map(|link| (link.blocked, link.id, link.waiting()))
        {
            Some((true, id, waiting)) => _ = self.stalled.set(id, waiting),
            Some((false, id, _)) => self.stalled.end(id),
            None => {}
        }
    }

    /// For a task that writes: all that waits, and whether that is the end.
    pub(in crate::shard) fn take(&mut self, id: ConnectionId) -> Option<(Vec<u8>, bool)> {
        let now = self.now;
        let link = self.link(id)?;
        let mut bytes = link.take();
        // Nothing waits now: there is room for what was conflated.
        link.blocked = false;
        self.settle(id);
        let link = self.link(id)?;
        bytes.append(&mut link.take());
        if !bytes.is_empty() {
            link.block(now);
        }
        let closing = link.closing;
        self.stalled.end(id);
        Some((bytes, closing))
    }

    /// Sees to it that not too much waits on the node.
    pub(super) fn keep_budget(&mut self) {
        let backlog = self.stalled.backlog();
        if !backlog.is_over() {
            return;
        }
        let heaviest = backlog.heaviest();
        if heaviest == usize::from(self.id.0) {
            self.relieve();
        } else {
            // A shard that has stopped has no connections.
            _ = self.shards[heaviest].send(Mail::Relieve);
        }
    }

    /// Closes the connections for which most waits, until enough is gone.
    pub(in crate::shard) fn relieve(&mut self) {
        if !self.stalled.backlog().is_over() {
            return;
        }
        for id in self.stalled.fullest() {
            if self.stalled.backlog().is_eased() {
                return;
            }
            if open_link(&mut self.links, id).is_none() {
                continue;
            }
            self.metrics.relieved(self.id);
            self.close_slow(id, None);
            if let Some(link) = self.link(id)
                && link.waiting() > LEFT
            {
                link.wire.kill();
            }
        }
    }

    fn flush_marked(&mut self, id: ConnectionId) {
        if self.link(id).is_some_and(|link| link.dirty) {
            self.flush_one(id);
        }
    }
}
