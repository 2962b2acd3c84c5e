//! Follows the log: applies what it says to the store, then acts on it, then lets go who waits for it. Whenever the connection
//! or a server fails it begins anew from where the store is. It must not publish rows.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::push::MessagesError;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::act::Acting;
use super::join::JoinError;
use super::log::Unreachable;
use super::{AWAY_MOST, State, locked, now_ms, record};
use crate::cluster::{Connection, StreamKind};
use crate::storage::{Change, Membership, Stage};

/// Most messages that are applied at once.
const AT_ONCE: usize = 512;
/// How often the log's last place is compared with the store's.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Pause before a broken log is followed again.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it is noted in the store that it has all of the log, while nothing changes.
const NOTE_EVERY_MS: u64 = 600_000;
/// So many rows that a node missed are worth a line in its log.
const WORTH_TELLING: u64 = 1;

/// Why the log is not followed any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error(transparent)]
    Messages(#[from] MessagesError),
    #[error("messages are missing")]
    Gap,
    #[error("no messages come, though the log has more")]
    Stuck,
    #[error("the connection was lost and made again")]
    Reconnected,
    #[error("the log began a new life")]
    Renewed,
    #[error(transparent)]
    Store(#[from] Box<JoinError>),
}

impl From<JoinError> for Broken {
    fn from(error: JoinError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// One way through the log, from a consumer's making to its end.
struct Pass {
    /// Where the log stood before the consumer was made.
    end: u64,
    /// Messages that the consumer has sent.
    sent: u64,
    /// How many are still to come, by its last word.
    pending: u64,
    began: Instant,
    rows: u64,
    /// It was told that this node has all.
    told: bool,
}

impl State {
    /// Follows the log for as long as the node runs.
    pub(super) async fn follow(self, acting: Acting) {
        loop {
            let broken = self.pass(Some(&acting)).await;
            if let Err(error) = broken {
                tracing::info!(%error, "the tables' log is followed anew");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Goes through the log: without `acting` until this node has all of it, else until something breaks.
    pub(super) async fn pass(&self, acting: Option<&Acting>) -> Result<(), Broken> {
        let inner = &self.0;
        let mut connection = inner.log.connection();
        let times = connection.borrow().times;
        let end = self.look().await?;
        if self.is_overdue(end) {
            let stage = Stage::Loading;
            let now = Membership {
                applied: 0,
                stage,
                ..self.membership()
            };
            tracing::warn!("this node was away for long: it reads all rows of the tables anew");
            self.set_membership(now, true).await?;
        }
        let first = self.membership().applied + 1;
        let (messages, pending) = inner.log.messages(first).await?;
        let mut messages = messages.ready_chunks(AT_ONCE);
        let mut pass = Pass {
            end,
            sent: 0,
            pending,
            began: Instant::now(),
            rows: 0,
            told: false,
        };
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        loop {
            if pass.pending == 0 && self.is_current(&mut pass, acting).await? && acting.is_none() {
                return Ok(());
            }
            // Both a chunk and a tick that are not taken stay where they are.
            tokio::select! {
                chunk = messages.next() => {
                    let chunk = chunk.ok_or(Broken::Gap)?;
                    self.take_in(&mut pass, chunk, acting).await?;
                }
                _ = looks.tick() => self.compare(&mut pass).await?,
                () = made_again(&mut connection, times) => return Err(Broken::Reconnected),
            }
        }
    }

    /// Where the log stands, if it is the one that the store follows.
    async fn look(&self) -> Result<u64, Broken> {
        let epoch = self.0.log.epoch().await?;
        let end = self.0.log.end().await?;
        let membership = self.membership();
        if epoch != membership.epoch || end < membership.applied {
            tracing::warn!("the cluster's log of tables is another one than before");
            self.enter_anew(epoch).await?;
            return Err(Broken::Renewed);
        }
        self.0.last.store(end, Ordering::Relaxed);
        self.tell_lag();
        // Only a leader tells, and without a quorum there is none.
        self.0.log.counters().set_lost(StreamKind::State, false);
        Ok(end)
    }

    /// Whether removals may be missing in the log that this store has not heard of.
    fn is_overdue(&self, end: u64) -> bool {
        let Membership {
            applied,
            stage,
            current_ms,
            ..
        } = self.membership();
        let away = Duration::from_millis(now_ms().saturating_sub(current_ms));
        stage == Stage::Following && applied < end && away > AWAY_MOST
    }

    async fn take_in(
        &self,
        pass: &mut Pass,
        chunk: Vec<Result<Message, MessagesError>>,
        acting: Option<&Acting>,
    ) -> Result<(), Broken> {
        let mut changes = Vec::with_capacity(chunk.len());
        let mut ids = Vec::with_capacity(chunk.len());
        let mut last = self.membership().applied;
        for message in chunk {
            let message = message?;
            let info = message.info().map_err(|_| Broken::Gap)?;
            pass.sent += 1;
            if info.consumer_sequence != pass.sent {
                return Err(Broken::Gap);
            }
            pass.pending = info.pending;
            last = info.stream_sequence;
            if let Some(change) = self.change(&message) {
                changes.push((last, change));
                ids.push(id(&message));
            }
        }
        pass.rows += changes.len() as u64;
        let now = Membership {
            applied: last,
            current_ms: self.current_ms(last),
            ..self.membership()
        };
        self.apply(changes, ids, now, acting).await
    }

    fn change(&self, message: &Message) -> Option<Change> {
        let name = self.0.log.name(&message.subject)?;
        let change = record::decode(name, &message.payload);
        if change.is_none() && name != super::join::MARK {
            // A newer version's; this node will read it when it is of that version, from a log that it reads anew.
            tracing::warn!("a row of a table is of a kind that this version does not know");
        }
        change
    }

    async fn apply(
        &self,
        changes: Vec<(u64, Change)>,
        ids: Vec<Option<String>>,
        now: Membership,
        acting: Option<&Acting>,
    ) -> Result<(), Broken> {
        let store = &self.0.store;
        let acted_on: Vec<_> = match acting {
            Some(_) => changes.iter().map(|(_, change)| change.clone()).collect(),
            None => Vec::new(),
        };
        let rows = store.apply(changes, now).await.map_err(JoinError::from)?;
        self.moved(now);
        if let Some(acting) = acting {
            acting.act(acted_on).await;
        }
        self.tell_own(&ids, &rows);
        self.0.acted.send_replace(now.applied);
        Ok(())
    }

    /// Lets changes of this node know how many rows they changed.
    fn tell_own(&self, ids: &[Option<String>], rows: &[u64]) {
        let mut own = locked(&self.0.own);
        if own.is_empty() {
            return;
        }
        for (id, rows) in ids.iter().zip(rows) {
            if let Some(told) = id.as_ref().and_then(|id| own.get_mut(id)) {
                *told = Some(*rows);
            }
        }
    }

    fn current_ms(&self, applied: u64) -> u64 {
        let known = self.0.last.load(Ordering::Relaxed);
        if applied >= known {
            self.0.last.store(applied, Ordering::Relaxed);
            return now_ms();
        }
        self.membership().current_ms
    }

    /// This node has all that the log had when the pass began. True once nothing else is to be done for that.
    async fn is_current(&self, pass: &mut Pass, acting: Option<&Acting>) -> Result<bool, Broken> {
        let membership = self.membership();
        // The last messages of the log may be gone, or be no rows.
        let now = Membership {
            applied: membership.applied.max(pass.end),
            current_ms: now_ms(),
            ..membership
        };
        let is_behind = now.applied != membership.applied;
        let is_new = now.current_ms > membership.current_ms + NOTE_EVERY_MS;
        if is_behind || is_new {
            self.set_membership(now, false).await?;
            self.0.acted.send_replace(now.applied);
        }
        let done = self.finish(acting).await?;
        if done && !std::mem::replace(&mut pass.told, true) && pass.rows >= WORTH_TELLING {
            let (rows, took) = (pass.rows, pass.began.elapsed());
            tracing::info!(rows, ?took, "the tables are those of the cluster");
        }
        Ok(done || acting.is_some())
    }

    /// Compares with the log itself: what came may not be all.
    async fn compare(&self, pass: &mut Pass) -> Result<(), Broken> {
        let before = self.0.last.load(Ordering::Relaxed);
        let end = self.look().await?;
        // What the log had at the last look should have come since.
        if self.membership().applied < before.min(end) && pass.pending == 0 {
            return Err(Broken::Stuck);
        }
        Ok(())
    }
}

/// Resolves when the connection was made again.
async fn made_again(connection: &mut watch::Receiver<Connection>, times: u64) {
    let other = connection.wait_for(|now| now.times != times);
    if other.await.is_err() {
        // The client is gone, and with it the node.
        std::future::pending::<()>().await;
    }
}

fn id(message: &Message) -> Option<String> {
    let headers = message.headers.as_ref()?;
    Some(
        headers
            .get(async_nats::header::NATS_MESSAGE_ID)?
            .as_str()
            .to_owned(),
    )
}
