//! A single node's store into a cluster, and back: `cometql import` and `cometql export`. Owns the order in which things
//! move, and what is told of it. It must not read files or print.
//!
//! What moves: rows of tables (`state/moving.rs`), histories and waiting private messages (`queues.rs`, `back.rs`). What a
//! store has put into a log is noted in the store, by the log's epoch: a second run goes on after it.

mod back;
mod queues;

use cometql_engine::permission::Retention;
use cometql_engine::store::Keep;
use cometql_engine::{Limits, Rules, StoreFailure};
use cometql_protocol::{ChannelName, TenantId};

use super::Cluster;
use super::names::StreamKind;
use super::state::moving::Rows;
use super::streams::{self, StreamError, Unreachable};
use crate::storage::{Queues, Store, Table};

/// Conflicts that are told one by one.
const TOLD_MOST: usize = 20;

/// Why a store did not move, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The log's quorum is lost.
    #[error(
        "the cluster's log does not answer ({0}): most of the NATS servers must run, with JetStream. Then run the same command again"
    )]
    NoLog(String),
    /// NATS takes no messages as large as that, or has no room.
    #[error("NATS does not take {what}: {why}. When that is mended, run the same command again")]
    Refused {
        /// What.
        what: String,
        /// What it said.
        why: String,
    },
    /// There are no streams to read.
    #[error(
        "this NATS has no cluster called {0:?} (cluster.name): no node has been a member of it yet"
    )]
    NoCluster(String),
    /// There are none, and none can be made.
    #[error(transparent)]
    Streams(#[from] StreamError),
    /// The store can't do its part.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

impl From<Unreachable> for MoveError {
    fn from(Unreachable(why): Unreachable) -> Self {
        Self::NoLog(why)
    }
}

/// What moves at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Rows of a table; an export reads all tables as one.
    Tables(Option<Table>),
    /// Histories or private messages.
    Queues(Queues),
}

impl Part {
    /// As `CometQL` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tables(None) => "tables",
            Self::Tables(Some(table)) => table.name(),
            Self::Queues(Queues::Channels) => "pipes_messages",
            Self::Queues(Queues::Inboxes) => "users_messages",
        }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What moves now.
    pub part: Part,
    /// Rows or messages of it that were looked at.
    pub done: u64,
    /// How many there are, or were when it began.
    pub of: u64,
}

/// Told of each step.
pub type Told<'a> = &'a (dyn Fn(Step) + Sync);

/// What became of the rows of a table, or of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// They were added.
    pub copied: u64,
    /// The target had them already.
    pub there: u64,
    /// The target had another row, which was replaced.
    pub replaced: u64,
    /// The target had another row, or had removed it, and that stays.
    pub conflicts: u64,
    /// They are too old, or the inbox is full.
    pub left_out: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.copied += other.copied;
        self.there += other.there;
        self.replaced += other.replaced;
        self.conflicts += other.conflicts;
        self.left_out += other.left_out;
    }
}

/// What became of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Of each part.
    pub parts: Vec<(&'static str, Tally)>,
    /// The first conflicts: table and key, no values.
    pub conflicts: Vec<String>,
    /// Messages that changed places with the one before, as NATS had to be given that one again.
    pub reordered: u64,
    /// Channels whose history moved, though they are not durable by the rules.
    pub not_durable: u64,
}

impl Report {
    /// Notes a conflict, if there is room.
    pub(super) fn conflict(&mut self, told: impl FnOnce() -> String) {
        if self.conflicts.len() < TOLD_MOST {
            self.conflicts.push(told());
        }
    }

    /// How many rows stayed as the target had them.
    #[must_use]
    pub fn conflicts_total(&self) -> u64 {
        self.parts.iter().map(|(_, tally)| tally.conflicts).sum()
    }
}

/// How to import.
#[derive(Debug, Clone, Copy)]
pub struct Importing<'a> {
    /// As the nodes have them.
    pub limits: &'a Limits,
    /// As the nodes have them.
    pub rules: &'a Rules,
    /// The store's rows replace others that the cluster has.
    pub overwrite: bool,
}

/// Puts all that a store has into the cluster. What a run before has put there is passed over.
///
/// # Errors
/// See [`MoveError`]. What was put stays, and the next run goes on after it.
pub async fn import(
    cluster: &Cluster,
    store: &Store,
    how: Importing<'_>,
    told: Told<'_>,
) -> Result<Report, MoveError> {
    streams::prepare(cluster, how.limits).await?;
    let mut report = Report::default();
    let rows = Rows::new(cluster);
    // A member's rows are the cluster's own, perhaps of yesterday.
    if store.membership()?.epoch != rows.epoch().await? {
        rows.put_all(store, how, &mut report, told).await?;
    }
    for which in [Queues::Channels, Queues::Inboxes] {
        queues::put_all(cluster, store, which, how, &mut report, told).await?;
    }
    Ok(report)
}

/// Writes all that the cluster has into an empty store.
///
/// # Errors
/// See [`MoveError`].
pub async fn export(
    cluster: &Cluster,
    store: &Store,
    rules: &Rules,
    limits: &Limits,
    told: Told<'_>,
) -> Result<Report, MoveError> {
    for kind in [StreamKind::State, StreamKind::History, StreamKind::Inbox] {
        if !streams::is_there(cluster, kind).await? {
            return Err(MoveError::NoCluster(cluster.settings().name.clone()));
        }
    }
    let mut report = Report::default();
    Rows::new(cluster)
        .read_all(store, &mut report, told)
        .await?;
    back::histories(cluster, store, rules, limits, &mut report, told).await?;
    back::inboxes(cluster, store, limits, &mut report, told).await?;
    Ok(report)
}

/// What a channel keeps; `None` = it is not durable.
fn keep(rules: &Rules, tenant: TenantId, channel: &ChannelName, length: u64) -> Option<Keep> {
    let by_rule = rules.behaviour(tenant, channel.as_str()).retention;
    match by_rule.with_length(length) {
        Retention::Durable {
            publications,
            age_ms,
        } => Some(Keep {
            publications,
            age_ms,
        }),
        Retention::Ephemeral | Retention::Window => None,
    }
}
