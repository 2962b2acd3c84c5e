//! Changes on their way: into the log, and back from there into this node's store. It must not change the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cometql_engine::StoreFailure;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::log::{Message, Put, Unreachable};
use super::{State, locked, record};
use crate::storage::{Change, Proposal, Row, Seen};

/// Rows of one statement that are on their way at once.
const AT_ONCE: usize = 512;

/// A change of one row that is to be published.
struct Ready {
    name: String,
    message: Message,
    /// The last place of the row, if that must not have changed.
    expected: Option<u64>,
}

impl State {
    /// Takes changes for as long as the node runs.
    pub(super) async fn take(
        self,
        mut wanted: mpsc::UnboundedReceiver<Proposal>,
        later: mpsc::UnboundedSender<Change>,
    ) {
        while let Some(proposal) = wanted.recv().await {
            let Proposal {
                changes,
                seen,
                reply,
            } = proposal;
            let Some(reply) = reply else {
                for change in changes {
                    // They end with the node, both of them.
                    _ = later.send(change);
                }
                continue;
            };
            let state = self.clone();
            tokio::spawn(async move { reply(state.write(changes, seen).await) });
        }
    }

    /// Publishes changes; returns how many rows they changed, when this node has them.
    async fn write(
        &self,
        changes: Vec<Change>,
        seen: Option<Arc<Seen>>,
    ) -> Result<u64, StoreFailure> {
        let deadline = Instant::now() + self.0.log.patience();
        let mut rows = HashMap::with_capacity(changes.len());
        for mut change in changes {
            if let Row::Length {
                length: Some(length),
                ..
            } = &mut change.row
            {
                *length = (*length).min(self.0.longest);
            }
            rows.insert(record::name(&change), change);
        }
        let mut changed = 0;
        let ready = match &seen {
            None => {
                let ready = |(name, change)| self.ready(name, &change, None);
                rows.into_iter().map(ready).collect()
            }
            Some(seen) => {
                let prepared = self.carefully(rows, seen, &mut changed).await;
                match prepared.map_err(|_| no_quorum(0, 0))? {
                    Some(ready) => ready,
                    None => return Err(self.conflict(seen, deadline).await),
                }
            }
        };
        changed += self
            .publish_and_wait(ready, seen.as_deref(), deadline)
            .await?;
        Ok(changed)
    }

    fn ready(&self, name: String, change: &Change, expected: Option<u64>) -> Ready {
        Ready {
            name,
            message: self.0.log.prepare(change),
            expected,
        }
    }

    /// The changes with the last places of their rows; `None` when one of these has changed since they were read.
    async fn carefully(
        &self,
        rows: HashMap<String, Change>,
        seen: &Seen,
        changed: &mut u64,
    ) -> Result<Option<Vec<Ready>>, Unreachable> {
        let (names, changes): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let places = self.0.store.places(changes.clone()).await;
        let places = places.map_err(|failure| Unreachable::told(&failure))?;
        let mut ready = Vec::with_capacity(names.len());
        for ((name, change), place) in names.into_iter().zip(changes).zip(places) {
            if seen.is_done(&name) {
                *changed += 1;
                continue;
            }
            let expected = match place {
                Some(place) => place,
                None if record::is_gone(&change) => continue,
                None => match self.0.log.last(&name).await? {
                    None => 0,
                    Some(last) if last.is_there => return Ok(None),
                    Some(last) => last.place,
                },
            };
            if expected > seen.place() {
                return Ok(None);
            }
            ready.push(self.ready(name, &change, Some(expected)));
        }
        Ok(Some(ready))
    }

    async fn publish_and_wait(
        &self,
        ready: Vec<Ready>,
        seen: Option<&Seen>,
        deadline: Instant,
    ) -> Result<u64, StoreFailure> {
        let all = ready.len() as u64;
        let mut own = Own::new(self, &ready);
        let log = &self.0.log;
        let put = |row: Ready| async move {
            let put = log.put(row.message, row.expected, Some(deadline));
            (row.name, put.await)
        };
        let puts = futures_util::stream::iter(ready.into_iter().map(put));
        let mut puts = std::pin::pin!(puts.buffer_unordered(AT_ONCE));
        let (mut stored, mut last, mut worst) = (0, 0, Put::Stored(0));
        while let Some((name, put)) = puts.next().await {
            if let Put::Stored(place) = put {
                stored += 1;
                last = last.max(place);
                if let Some(seen) = seen {
                    seen.done(name);
                }
            } else if worst != Put::NoQuorum {
                worst = put;
            }
        }
        match (worst, seen) {
            (Put::Conflict, Some(seen)) => return Err(self.conflict(seen, deadline).await),
            (Put::Stored(_), _) => {}
            (Put::TooLarge, _) => {
                return Err(failed("a row is larger than NATS takes (max_payload)"));
            }
            (Put::Conflict | Put::NoQuorum, _) => return Err(no_quorum(stored, all)),
        }
        self.wait_for(last, deadline).await?;
        Ok(own.changed())
    }

    /// Waits until this node has the log up to a place.
    async fn wait_for(&self, place: u64, deadline: Instant) -> Result<(), StoreFailure> {
        let mut acted = self.0.acted.subscribe();
        let waited = timeout_at(deadline, acted.wait_for(|acted| *acted >= place)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(failed(
                "the cluster's log has it, but this node can't read the log now; try again",
            )),
        }
    }

    /// Notes a conflict, and waits until this node has seen what it was with.
    async fn conflict(&self, seen: &Seen, deadline: Instant) -> StoreFailure {
        let Ok(end) = self.0.log.end().await else {
            return no_quorum(0, 0);
        };
        self.0.last.fetch_max(end, Ordering::Relaxed);
        if let Err(failure) = self.wait_for(end, deadline).await {
            return failure;
        }
        seen.conflict();
        failed("other nodes change the same rows all the time; try again")
    }
}

/// Changes of this node that are on their way. Forgotten when dropped.
struct Own<'a> {
    state: &'a State,
    ids: Vec<String>,
}

impl<'a> Own<'a> {
    fn new(state: &'a State, ready: &[Ready]) -> Self {
        let ids: Vec<_> = ready.iter().map(|row| row.message.id.clone()).collect();
        let mut own = locked(&state.0.own);
        own.extend(ids.iter().map(|id| (id.clone(), None)));
        drop(own);
        Self { state, ids }
    }

    /// How many rows they changed. One that a later change took the place of before this node saw it counts as changed.
    fn changed(&mut self) -> u64 {
        let mut own = locked(&self.state.0.own);
        let ids = self.ids.drain(..);
        ids.map(|id| own.remove(&id).flatten().unwrap_or(1)).sum()
    }
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        let mut own = locked(&self.state.0.own);
        for id in &self.ids {
            own.remove(id);
        }
    }
}

/// The log does not answer: what it was given may be stored or not, now or when it answers again.
fn no_quorum(stored: u64, all: u64) -> StoreFailure {
    if stored == 0 {
        return StoreFailure::NoQuorum;
    }
    failed(format!(
        "the cluster's log is out of reach: {stored} of {all} rows are stored for certain; try again"
    ))
}

fn failed(why: impl Into<String>) -> StoreFailure {
    StoreFailure::Failed(why.into())
}
