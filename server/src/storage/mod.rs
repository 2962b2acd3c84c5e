//! What must last: one SQLite file in one data directory, one writer thread, group commits.
//!
//! Operations wait in one queue. The writer thread takes all that wait, carries them out in one transaction and answers
//! after the commit: the more there is to do, the larger the transactions. Everything about SQLite stays in this folder,
//! but for the read-only connections that SELECT gets from [`Store::reader`]. A store in memory is the same code on
//! another location.

mod append;
mod history;
mod inbox;
mod join;
mod latency;
mod lineage;
mod moving;
mod open;
mod refused;
mod replica;
mod request;
mod schema;
mod sent;
mod tables;
mod upkeep;
mod users;
mod values;
mod writer;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod older;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

use cometql_engine::permission::Retention;
use cometql_engine::{Rules, ShardId, StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::{ChannelName, TenantId};
use foldhash::fast::FixedState;
use rusqlite::Connection;
use tokio::sync::oneshot;

use append::Batch;
use join::Joined;
pub use join::{Proposal, Reply, Seen};
use latency::Asker;
pub use latency::{BOUNDS_US, Latencies};
use lineage::Boot;
pub use moving::{Kept, Of, Queue, Queues, is_there};
use open::{Location, Lock};
pub use refused::OpenError;
pub use replica::{Change, Membership, Row, Stage, Table};
use values::{Failure, Outcome};
pub use values::{message_id_text, parse_message_id};
use writer::{Counters, Job, Task};

/// Cheap to clone; all clones speak to the same writer thread and readers. The thread ends with [`Store::shutdown`], or
/// some time after the last clone is gone.
#[derive(Clone)]
pub struct Store {
    jobs: Sender<Job>,
    counters: Arc<Counters>,
    location: Location,
    /// Whose operations those of this handle are.
    asker: Asker,
    joined: Joined,
    /// What a statement has seen before it writes, on a member of a cluster.
    seen: Option<Arc<Seen>>,
}

/// When a write counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Survives a crash of the process (the default).
    #[default]
    Process,
    /// Survives loss of power: fsync in group commits.
    Power,
}

/// What the store did since it was opened, for `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStats {
    /// Operations that wait for the writer thread.
    pub waiting: u64,
    /// Transactions that changed something.
    pub commits: u64,
    /// Rows that changed, bookkeeping included.
    pub rows: u64,
    /// Operations that failed.
    pub failures: u64,
    /// How long the last transaction took, in microseconds.
    pub last_commit_us: u64,
    /// How long transactions that changed something took.
    pub commit: Latencies,
    /// How long operations took that no shard asked for, from when they were asked for until they were answered.
    pub operation: Latencies,
    /// Size of the file, 0 in memory.
    pub file_bytes: u64,
    /// Size of the write-ahead log beside it.
    pub log_bytes: u64,
}

impl Store {
    /// Opens or creates the store in a directory and migrates it forward. From then on nobody counts as online, and who
    /// did when the node ended, left when it last was known to run. Should the file be older than what was answered from
    /// it, no position from before counts.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: &Path, durability: Durability) -> Result<Self, OpenError> {
        Self::open_in(directory, durability, Boot::current())
    }

    fn open_in(directory: &Path, durability: Durability, boot: Boot) -> Result<Self, OpenError> {
        let failed = |error: std::io::Error| OpenError::system(directory, &error);
        open::make_directory(directory, true).map_err(failed)?;
        let lock = Lock::take(directory)?;
        let connection = open::writer(directory, durability, boot)?;
        let location = Location::Directory(directory.to_owned());
        Self::start(connection, Some(lock), location).map_err(failed)
    }

    /// A store that is gone with the process, for tests.
    ///
    /// # Panics
    /// When there is no memory or no thread to be had.
    #[must_use]
    pub fn in_memory() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let uri = format!("file:cometql-{number}?mode=memory&cache=shared");
        let connection = open::memory_writer(&uri).expect("SQLite always has a place in memory");
        Self::start(connection, None, Location::Memory(uri)).expect("the system has a thread left")
    }

    fn start(
        connection: Connection,
        lock: Option<Lock>,
        location: Location,
    ) -> std::io::Result<Self> {
        let (jobs, counters) = writer::start(connection, lock)?;
        Ok(Self {
            jobs,
            counters,
            location,
            asker: None,
            joined: Joined::default(),
            seen: None,
        })
    }

    /// The same store: what is asked through this handle counts as asked by a shard.
    #[must_use]
    pub(crate) fn of_shard(&self, shard: ShardId) -> Self {
        Self {
            asker: Some(shard),
            ..self.clone()
        }
    }

    /// How long operations of a shard took, from when they were asked for until they were answered.
    pub(crate) fn waited(&self, shard: ShardId) -> Latencies {
        self.counters.operation.of(Some(shard)).read()
    }

    /// A shard asks; `reply` is called once, from a thread of the store, and must not block. Requests from one thread
    /// are carried out and answered in order, reads included: a read sees all earlier writes. Once the store is closed,
    /// `reply` is called from this thread, with a failure.
    pub fn ask(
        &self,
        request: StoreRequest,
        reply: impl FnOnce(Result<StoreAnswer, StoreFailure>) + Send + 'static,
    ) {
        match self.log() {
            None => self.carry_out(request, reply),
            Some(log) => join::ask(self, log, request, reply),
        }
    }

    fn carry_out(
        &self,
        request: StoreRequest,
        reply: impl FnOnce(Result<StoreAnswer, StoreFailure>) + Send + 'static,
    ) {
        self.enqueue(
            request::weight(&request),
            move |batch| request::carry_out(batch, &request),
            reply,
        );
    }

    fn enqueue<T: Send + 'static>(
        &self,
        weight: usize,
        operation: impl Fn(&mut Batch<'_>) -> Outcome<T> + Send + 'static,
        reply: impl FnOnce(Result<T, StoreFailure>) + Send + 'static,
    ) {
        self.counters.waiting.fetch_add(1, Ordering::Relaxed);
        let task = Task {
            weight,
            asked: (self.asker, Instant::now()),
            operation,
            result: None,
            reply: Some(reply),
        };
        // A closed store gives the task back, which is dropped and so answers.
        _ = self.jobs.send(Job::Work(Box::new(task)));
    }

    async fn call<T: Send + 'static>(
        &self,
        weight: usize,
        operation: impl Fn(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreFailure> {
        let (sender, receiver) = oneshot::channel();
        let operation = move |batch: &mut Batch<'_>| operation(batch.settled()?);
        self.enqueue(weight, operation, |result| {
            // Whoever asked may have gone; the operation counts all the same.
            _ = sender.send(result);
        });
        receiver
            .await
            .expect("a task answers before it goes, whatever happens")
    }

    /// Removes private messages sent before `inbox_ms` ago and publications that their channels don't keep so long, some
    /// at a time, and gives space back to the file system. To be called about every minute. Returns how many it removed.
    /// Also forgets ids whose time is over.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn purge(&self, now_ms: u64, inbox_ms: u64) -> Result<u64, StoreFailure> {
        let purged = self.call(0, move |connection| {
            users::runs(connection, now_ms / 1000)?;
            let messages = inbox::purge(connection, now_ms.saturating_sub(inbox_ms))?;
            Ok(messages + history::purge(connection, now_ms)?)
        });
        let purged = purged.await;
        // A store that fails has told so above.
        while let Ok(sent::PURGE_AT_ONCE) = self.call(0, move |c| sent::purge(c, now_ms)).await {}
        // A closed store needs no upkeep.
        _ = self.jobs.send(Job::Upkeep);
        purged
    }

    /// Notes that the node runs: should it crash, whoever was online left about now. To be called every few seconds, and
    /// at the end.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn runs(&self, now_ms: u64) -> Result<(), StoreFailure> {
        let note = move |connection: &Connection| Ok(users::runs(connection, now_ms / 1000)?);
        self.call(0, note).await
    }

    /// To be called before channel rules come into force. Channels that the store has kept, and will not any more, are used
    /// without it from then on: should they come back, no position from before may count as complete. Returns how many
    /// these are.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn review(&self, rules: Arc<Rules>) -> Result<u64, StoreFailure> {
        // The same rules give the same number as long as the program is the same; another one only costs a look.
        let number = FixedState::default().hash_one(format!("{rules:?}"));
        self.call(0, move |connection| {
            history::review(connection, number, |tenant, channel| {
                let retention = rules.behaviour(tenant, channel.as_str()).retention;
                matches!(retention, Retention::Durable { .. })
            })
        })
        .await
    }

    /// Carries out what waits, closes the file and gives the lock back. Later requests fail.
    pub async fn shutdown(&self) {
        let (sender, receiver) = oneshot::channel();
        _ = self.jobs.send(Job::Stop(sender));
        // An error means that it was closed before.
        _ = receiver.await;
    }

    /// The data directory; `None` in memory.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.location {
            Location::Directory(directory) => Some(directory),
            Location::Memory(_) => None,
        }
    }

    /// What the store did so far.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let counters = &self.counters;
        let (file_bytes, log_bytes) = self.location.bytes();
        StoreStats {
            waiting: counters.waiting.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
            rows: counters.rows.load(Ordering::Relaxed),
            failures: counters.failures.load(Ordering::Relaxed),
            last_commit_us: counters.last_commit_us.load(Ordering::Relaxed),
            commit: counters.commit.read(),
            operation: counters.operation.of(None).read(),
            file_bytes,
            log_bytes,
        }
    }

    /// All rows of `pipes_settings`, read once at start.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn settings(&self) -> Result<Vec<(TenantId, ChannelName, u64)>, StoreFailure> {
        history::settings(&self.reader()?).map_err(|failure| told(&failure))
    }

    /// A read-only SQLite connection to the durable tables, for SELECT; the table and column names are documented in
    /// `storage/schema.rs`. Every table has a `tenant` column: the caller must filter on it. It sees what is committed,
    /// that is, all that was answered. `query_only` is on, which refuses temporary tables and views too; who needs them may
    /// turn it off, as the file stays read-only (a store in memory does not).
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn reader(&self) -> Result<Connection, StoreFailure> {
        let connection = self
            .location
            .read_only()
            .map_err(|error| told(&error.into()))?;
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|error| told(&error.into()))?;
        Ok(connection)
    }

    /// Copies the store, consistent, while it is in use, into a new data directory. Takes its time: call it from a thread
    /// that may wait.
    ///
    /// # Errors
    /// When the target exists or can't be written.
    pub fn backup(&self, target: &Path) -> Result<(), StoreFailure> {
        let connection = self
            .location
            .read_only()
            .map_err(|error| told(&error.into()))?;
        copy(&connection, target)
    }

    /// A disk that is full once the file has so many pages.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.jobs.send(Job::MaxPages(pages)).unwrap();
    }
}

/// Copies the store of a data directory into a new one, whether or not a process has it open: for `cometql backup`.
///
/// # Errors
/// When there is no store, when the target exists or can't be written.
pub fn backup(directory: &Path, target: &Path) -> Result<(), StoreFailure> {
    let path = directory.join(open::FILE);
    let connection = open::look(&path).map_err(|error| StoreFailure::Failed(error.to_string()))?;
    copy(&connection, target)
}

fn copy(connection: &Connection, target: &Path) -> Result<(), StoreFailure> {
    upkeep::copy(connection, target)
        .map_err(|error| StoreFailure::Failed(format!("copy to {}: {error}", target.display())))
}

fn told(failure: &Failure) -> StoreFailure {
    StoreFailure::Failed(writer::explanation(failure))
}
