//! Histories and inboxes into the log: each in its order, several at once. It must not read the log's messages but for
//! their ids.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_TTL;
use cometql_engine::store::Keep;
use cometql_engine::{MessageId, StoreFailure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::super::append::{Fate, Outgoing};
use super::super::message::{self, Said};
use super::super::names::StreamKind;
use super::super::read::Pages;
use super::super::{Cluster, now_ms, streams};
use super::{Importing, MoveError, Part, Report, Step, Tally, Told};
use crate::storage::{Kept, Of, Queue, Queues, Store};

/// Queues that are on their way at once, and messages of each.
const QUEUES_AT_ONCE: usize = 8;
const AT_ONCE: u64 = 64;
/// Queues, or messages, that are read at once.
const PAGE: u64 = 256;

/// Puts all queues of a kind into their stream.
pub(super) async fn put_all(
    cluster: &Cluster,
    store: &Store,
    which: Queues,
    how: Importing<'_>,
    report: &mut Report,
    told: Told<'_>,
) -> Result<(), MoveError> {
    let kind = match which {
        Queues::Channels => StreamKind::History,
        Queues::Inboxes => StreamKind::Inbox,
    };
    let part = Part::Queues(which);
    let mover = Mover {
        cluster,
        store,
        kind,
        epoch: streams::epoch(cluster, kind).await?,
        inbox_ms: how.limits.inbox_ms,
        part,
        of: store.count_queued(which).await?,
        done: AtomicU64::new(0),
        told,
    };
    mover.tell(0);
    let mut tally = Tally::default();
    let mut after = None;
    loop {
        let page = store.queues(which, after.take(), PAGE).await?;
        let Some(last) = page.last().cloned() else {
            break;
        };
        let lengths = lengths(store, &page).await?;
        let keeps = page.iter().zip(lengths);
        let keeps: Vec<_> = keeps
            .map(|(queue, length)| keep(queue, length, how))
            .collect();
        report.not_durable += keeps.iter().filter(|keep| keep.is_none()).count() as u64;
        let queues = page.into_iter().zip(keeps);
        let moves = queues.map(|(queue, keep)| mover.put(queue, keep));
        let moves = futures_util::stream::iter(moves).buffer_unordered(QUEUES_AT_ONCE);
        let moved: Vec<(Tally, u64)> = moves.try_collect().await?;
        for (of_queue, reordered) in moved {
            tally.add(of_queue);
            report.reordered += reordered;
        }
        after = Some(last);
    }
    report.parts.push((part.name(), tally));
    Ok(())
}

/// The settings of channels, 0 for those without one.
async fn lengths(store: &Store, queues: &[Queue]) -> Result<Vec<u64>, StoreFailure> {
    let mut lengths = Vec::with_capacity(queues.len());
    for queue in queues {
        lengths.push(match &queue.of {
            Of::Channel(channel) => {
                let found = store.lengths(queue.tenant, vec![channel.clone()]).await?;
                found.first().map_or(0, |(_, length)| *length)
            }
            Of::Inbox(_) => 0,
        });
    }
    Ok(lengths)
}

/// What a queue keeps by settings and rules; `None` = its channel is not durable.
fn keep(queue: &Queue, length: u64, how: Importing<'_>) -> Option<Keep> {
    match &queue.of {
        Of::Channel(channel) => super::keep(how.rules, queue.tenant, channel, length),
        Of::Inbox(_) => Some(all_of(queue)),
    }
}

fn all_of(queue: &Queue) -> Keep {
    Keep {
        publications: u64::MAX,
        age_ms: queue.age_ms,
    }
}

struct Mover<'a> {
    cluster: &'a Cluster,
    store: &'a Store,
    kind: StreamKind,
    epoch: u64,
    inbox_ms: u64,
    part: Part,
    of: u64,
    done: AtomicU64,
    told: Told<'a>,
}

impl Mover<'_> {
    fn tell(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        let Self { part, of, .. } = *self;
        (self.told)(Step { part, done, of });
    }

    fn subject(&self, queue: &Queue) -> String {
        let names = self.cluster.names();
        match &queue.of {
            Of::Channel(channel) => names.channel(self.kind, queue.tenant, channel),
            Of::Inbox(user) => names.inbox(queue.tenant, *user),
        }
    }

    /// Puts a queue into the log; tells how many messages changed places, too.
    async fn put(&self, queue: Queue, keep: Option<Keep>) -> Result<(Tally, u64), MoveError> {
        let keep = keep.unwrap_or_else(|| all_of(&queue));
        let subject = self.subject(&queue);
        let mut after = self.store.moved(self.epoch, queue.clone()).await?;
        let mut page = self.store.queued(&queue, after, AT_ONCE).await?;
        if !page.is_empty() {
            // A run that was stopped may have put more than it noted.
            after = self.already(&queue, &subject, after).await?;
            page = self.store.queued(&queue, after, AT_ONCE).await?;
        }
        let (mut tally, mut reordered, mut seen, mut full) = (Tally::default(), 0, 0, false);
        while let Some(last) = page.last().map(|kept| kept.offset) {
            let looked_at = page.len() as u64;
            if full {
                tally.left_out += looked_at;
            } else {
                full = self
                    .put_page((&queue, keep), &subject, page, &mut tally, &mut reordered)
                    .await?;
            }
            seen += looked_at;
            self.tell(looked_at);
            if !full {
                self.store
                    .set_moved(self.epoch, queue.clone(), last)
                    .await?;
            }
            page = self.store.queued(&queue, last, AT_ONCE).await?;
        }
        tally.there = queue.count.saturating_sub(seen);
        self.tell(tally.there);
        Ok((tally, reordered))
    }

    /// Puts some messages; true when the inbox is full.
    async fn put_page(
        &self,
        (queue, keep): (&Queue, Keep),
        subject: &str,
        page: Vec<Kept>,
        tally: &mut Tally,
        reordered: &mut u64,
    ) -> Result<bool, MoveError> {
        let mut sent = Vec::with_capacity(page.len());
        for kept in page {
            let Some(outgoing) = self.outgoing(keep, subject, &kept) else {
                tally.left_out += 1;
                continue;
            };
            let on_its_way = self.cluster.send(&outgoing).await;
            sent.push((outgoing, on_its_way));
        }
        let deadline = Instant::now() + self.cluster.settings().quorum_timeout;
        let (mut before, mut full) = (0, false);
        for (outgoing, on_its_way) in sent {
            match self.cluster.settle(&outgoing, on_its_way, deadline).await {
                Ok(Fate::Stored(offset) | Fate::Known { offset, .. }) => {
                    tally.copied += 1;
                    *reordered += u64::from(offset < before);
                    before = offset;
                }
                Ok(Fate::Full) => {
                    tally.left_out += 1;
                    full = true;
                }
                Err(StoreFailure::NoQuorum) => {
                    return Err(MoveError::NoLog("no acknowledgement".into()));
                }
                Err(StoreFailure::Failed(why)) => {
                    return Err(MoveError::Refused {
                        what: told(queue),
                        why,
                    });
                }
            }
        }
        Ok(full)
    }

    /// A message for the log; `None` = its time is over.
    fn outgoing(&self, keep: Keep, subject: &str, kept: &Kept) -> Option<Outgoing> {
        let (kind, content) = (self.kind, &kept.content);
        let mut outgoing = self
            .cluster
            .outgoing(kind, subject.to_owned(), content, None, keep);
        if kind == StreamKind::Inbox {
            let ends = content.time_ms.saturating_add(self.inbox_ms);
            let left = Duration::from_millis(ends.saturating_sub(now_ms())).as_secs();
            if left == 0 {
                return None;
            }
            // The stream would count from now on.
            outgoing.message = outgoing
                .message
                .header(NATS_MESSAGE_TTL, format!("{left}s"));
        }
        Some(outgoing)
    }

    /// The offset of the queue's last message that the log has, or what is noted. What was before it may be gone from the
    /// log because it was read, deleted or one too many.
    async fn already(&self, queue: &Queue, subject: &str, noted: u64) -> Result<u64, MoveError> {
        let known = self.ids(subject).await?;
        let mut already = noted;
        if known.is_empty() {
            return Ok(already);
        }
        let mut after = noted;
        loop {
            let page = self.store.queued(queue, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(already);
            };
            after = last.offset;
            let is_known = |kept: &&Kept| known.contains(&kept.content.id);
            if let Some(kept) = page.iter().rfind(is_known) {
                already = kept.offset;
            }
        }
    }

    async fn ids(&self, subject: &str) -> Result<HashSet<MessageId>, MoveError> {
        let mut ids = HashSet::new();
        let mut pages = Pages::new(self.cluster, self.kind, subject.to_owned());
        loop {
            let rows = pages.next().await?;
            if rows.is_empty() {
                return Ok(ids);
            }
            let said = rows
                .iter()
                .filter_map(|row| message::read(&row.headers, &row.body));
            ids.extend(said.filter_map(|said| match said {
                Said::Content(content) => Some(content.id),
                Said::Note(_) => None,
            }));
        }
    }
}

/// For people.
fn told(queue: &Queue) -> String {
    let tenant = queue.tenant.0;
    match &queue.of {
        Of::Channel(channel) => format!("a publication of channel {channel}, tenant {tenant}"),
        Of::Inbox(user) => format!("a private message of user {user}, tenant {tenant}"),
    }
}
