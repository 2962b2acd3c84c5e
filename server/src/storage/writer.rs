//! The one thread that writes: it carries out what waits in one transaction and answers after the commit. It must not
//! know what the operations do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use cometql_engine::StoreFailure;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::append::Batch;
use super::latency::{Asker, ByAsker, Histogram};
use super::open::Lock;
use super::values::{Failure, Outcome};
use super::{lineage, upkeep};

/// Most operations of a transaction.
const BATCH_OPERATIONS: usize = 512;
/// A transaction takes no further operation once it has so many bytes of payload.
const BATCH_BYTES: usize = 8 << 20;

/// What the thread is told.
pub(super) enum Job {
    /// Carry out and answer.
    Work(Box<dyn Work>),
    /// Give space back, now and then.
    Upkeep,
    /// Finish; told when the file is closed and the lock given back.
    Stop(oneshot::Sender<()>),
    /// Let the file grow to so many pages only, as if the disk were full.
    #[cfg(test)]
    MaxPages(u32),
}

/// An operation that waits for its turn. It can run more than once, because what ran before a failure in the same
/// transaction runs again alone.
pub(super) trait Work: Send {
    /// Bytes of payload, roughly.
    fn weight(&self) -> usize;
    /// By whom it was asked for, and when.
    fn asked(&self) -> (Asker, Instant);
    /// Carries it out within the open transaction and keeps the result.
    fn run(&mut self, batch: &mut Batch<'_>) -> Outcome<()>;
    /// Answers: with the result kept, or with the failure.
    fn finish(self: Box<Self>, failure: Option<StoreFailure>);
}

/// The one implementation of [`Work`]. Dropped without an answer, it answers that the store is closed.
pub(super) struct Task<T, F, R>
where
    R: FnOnce(Result<T, StoreFailure>),
{
    pub(super) weight: usize,
    pub(super) asked: (Asker, Instant),
    pub(super) operation: F,
    pub(super) result: Option<T>,
    pub(super) reply: Option<R>,
}

impl<T, F, R> Work for Task<T, F, R>
where
    T: Send,
    F: Fn(&mut Batch<'_>) -> Outcome<T> + Send,
    R: FnOnce(Result<T, StoreFailure>) + Send,
{
    fn weight(&self) -> usize {
        self.weight
    }

    fn asked(&self) -> (Asker, Instant) {
        self.asked
    }

    fn run(&mut self, batch: &mut Batch<'_>) -> Outcome<()> {
        self.result = Some((self.operation)(batch)?);
        Ok(())
    }

    fn finish(mut self: Box<Self>, failure: Option<StoreFailure>) {
        if let Some(reply) = self.reply.take() {
            let result = self.result.take().ok_or_else(closed);
            reply(failure.map_or(result, Err));
        }
    }
}

impl<T, F, R> Drop for Task<T, F, R>
where
    R: FnOnce(Result<T, StoreFailure>),
{
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply(Err(closed()));
        }
    }
}

pub(super) fn closed() -> StoreFailure {
    StoreFailure::Failed("the store is closed".into())
}

/// What the thread counts and others read.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) waiting: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) last_commit_us: AtomicU64,
    pub(super) commit: Histogram,
    pub(super) operation: ByAsker,
}

impl Counters {
    fn done(&self, work: &dyn Work, now: Instant) {
        let (asker, asked) = work.asked();
        self.operation.of(asker).add(now - asked);
    }
}

/// Starts the thread; it ends with `Stop` or when the last sender is gone.
pub(super) fn start(
    connection: Connection,
    lock: Option<Lock>,
) -> std::io::Result<(Sender<Job>, Arc<Counters>)> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let counters = Arc::new(Counters::default());
    let writer = Writer {
        connection,
        counters: Arc::clone(&counters),
        failing: false,
    };
    std::thread::Builder::new()
        .name("store".into())
        .spawn(move || writer.live(receiver, lock))?;
    Ok((sender, counters))
}

struct Writer {
    connection: Connection,
    counters: Arc<Counters>,
    /// True after a failure, until something was written: each is logged once.
    failing: bool,
}

impl Writer {
    fn live(mut self, receiver: Receiver<Job>, lock: Option<Lock>) {
        let mut told = None;
        while let Ok(job) = receiver.recv() {
            let (batch, control) = gather(job, &receiver);
            self.counters
                .waiting
                .fetch_sub(batch.len() as u64, Ordering::Relaxed);
            self.carry_out(batch);
            match control {
                Some(Job::Stop(done)) => {
                    told = Some(done);
                    break;
                }
                Some(Job::Upkeep) => self.keep_up(),
                #[cfg(test)]
                Some(Job::MaxPages(pages)) => upkeep::limit_pages(&self.connection, pages),
                Some(Job::Work(_)) | None => {}
            }
        }
        // Whoever came too late is told that the store is closed.
        drop(receiver);
        if let Err(error) = lineage::end(&self.connection) {
            tracing::warn!(%error, "the store could not note that it was closed");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::error!(%error, "the store could not be closed cleanly");
        }
        drop(lock);
        if let Some(done) = told {
            // Nobody may be waiting any more.
            _ = done.send(());
        }
    }

    /// All in one transaction; when that fails, each in one of its own, so that only those that can't be done fail.
    fn carry_out(&mut self, mut batch: Vec<Box<dyn Work>>) {
        if batch.is_empty() {
            return;
        }
        if batch.len() > 1 && self.commit(&mut batch).is_ok() {
            let now = Instant::now();
            for work in batch {
                self.counters.done(&*work, now);
                work.finish(None);
            }
            return;
        }
        for mut work in batch {
            let done = self.commit(std::slice::from_mut(&mut work));
            self.counters.done(&*work, Instant::now());
            match done {
                Ok(()) => work.finish(None),
                Err(failure) => work.finish(Some(self.explain(&failure))),
            }
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Work>]) -> Outcome<()> {
        let began = Instant::now();
        let before = self.connection.total_changes();
        let done = self.transact(batch);
        if done.is_err() && !self.connection.is_autocommit() {
            // SQLite has undone it itself after some errors; this is for the others.
            self.connection.execute_batch("ROLLBACK")?;
        }
        done?;
        let rows = self.connection.total_changes() - before;
        if rows > 0 {
            let counters = &self.counters;
            counters.commits.fetch_add(1, Ordering::Relaxed);
            counters.rows.fetch_add(rows, Ordering::Relaxed);
            let took = began.elapsed();
            counters.commit.add(took);
            let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            counters.last_commit_us.store(took, Ordering::Relaxed);
            if std::mem::take(&mut self.failing) {
                tracing::info!("the store works again");
            }
        }
        Ok(())
    }

    fn transact(&self, batch: &mut [Box<dyn Work>]) -> Outcome<()> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let mut open = Batch::new(&self.connection);
        for work in batch {
            work.run(&mut open)?;
        }
        open.settled()?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn explain(&mut self, failure: &Failure) -> StoreFailure {
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error = %failure, "the store could not carry out an operation");
        }
        StoreFailure::Failed(explanation(failure))
    }

    fn keep_up(&mut self) {
        if let Err(failure) = upkeep::give_space_back(&self.connection) {
            tracing::warn!(error = %failure, "the store could not give space back");
        }
    }
}

/// The failure in words for the caller.
pub(super) fn explanation(failure: &Failure) -> String {
    match failure {
        Failure::Sql(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
            "the disk of the data directory is full".into()
        }
        failure => failure.to_string(),
    }
}

/// Takes what waits, without waiting for more, up to the limits of a transaction or a job that is not an operation.
fn gather(first: Job, receiver: &Receiver<Job>) -> (Vec<Box<dyn Work>>, Option<Job>) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(job) = next {
        let Job::Work(work) = job else {
            return (batch, Some(job));
        };
        bytes += work.weight();
        batch.push(work);
        let full = batch.len() >= BATCH_OPERATIONS || bytes >= BATCH_BYTES;
        next = if full { None } else { receiver.try_recv().ok() };
    }
    (batch, None)
}
