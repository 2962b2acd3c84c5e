//! The door through which changes of the replicated tables leave a store that is a member of a cluster: they go to the
//! cluster's log, and come back from there ([`Store::apply`]). It must not know where the log is, and costs a store that
//! is no member one look.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cometql_engine::{StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::TenantId;
use tokio::sync::{mpsc, oneshot};

use super::replica::{Change, Row};
use super::{Store, writer};

/// Changes that somebody wants to be in the log.
pub struct Proposal {
    /// The changes. Of several of one row, the last one counts.
    pub changes: Vec<Change>,
    /// What must not have changed since; `None` = whatever is there is written over.
    pub seen: Option<Arc<Seen>>,
    /// Told when this store has them too, with how many rows they changed. Without it, they are made for as long as it
    /// takes.
    pub reply: Option<Reply>,
}

/// Takes what became of changes; must not block.
pub type Reply = Box<dyn FnOnce(Result<u64, StoreFailure>) + Send>;

/// What a statement has seen of the log before it reads: what it computes must not be written over rows that changed since.
#[derive(Debug)]
pub struct Seen {
    /// All up to here was applied.
    place: AtomicU64,
    conflict: AtomicBool,
    /// Rows that an attempt before has changed, by their names in the log: they are not changed again.
    done: Mutex<HashSet<String>>,
    /// Those among them that this attempt has changed, or wanted to.
    again: AtomicU64,
}

impl Seen {
    fn new(place: u64) -> Self {
        Self {
            place: AtomicU64::new(place),
            conflict: AtomicBool::new(false),
            done: Mutex::default(),
            again: AtomicU64::new(0),
        }
    }

    /// Rows from later places changed since.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.place.load(Ordering::Relaxed)
    }

    /// A row changed since: the statement is to be computed anew.
    pub fn conflict(&self) {
        self.conflict.store(true, Ordering::Relaxed);
    }

    /// A row was changed by this statement.
    pub fn done(&self, row: String) {
        self.again.fetch_add(1, Ordering::Relaxed);
        self.rows().insert(row);
    }

    /// Whether an attempt before has changed a row.
    #[must_use]
    pub fn is_done(&self, row: &str) -> bool {
        let done = self.rows().contains(row);
        self.again.fetch_add(u64::from(done), Ordering::Relaxed);
        done
    }

    /// Rows that attempts before this one have changed, and this one did not want to.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        let again = self.again.load(Ordering::Relaxed);
        (self.rows().len() as u64).saturating_sub(again)
    }

    /// Whether there was a conflict; then the next attempt begins, with what was applied by now.
    #[must_use]
    pub fn take_conflict(&self, place: u64) -> bool {
        let conflict = self.conflict.swap(false, Ordering::Relaxed);
        if conflict {
            self.place.store(place, Ordering::Relaxed);
            self.again.store(0, Ordering::Relaxed);
        }
        conflict
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        // Nothing under this lock leaves the set half changed.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a member's changes go, and how far it has followed the log.
#[derive(Clone)]
pub(super) struct Log {
    proposals: mpsc::UnboundedSender<Proposal>,
    applied: Arc<AtomicU64>,
}

/// Set once the store is a member.
pub(super) type Joined = Arc<OnceLock<Log>>;

impl Log {
    /// Hands changes in. Without a reply they are made for as long as it takes.
    pub(super) fn propose(
        &self,
        changes: Vec<Change>,
        seen: Option<Arc<Seen>>,
        reply: Option<Reply>,
    ) {
        let proposal = Proposal {
            changes,
            seen,
            reply,
        };
        // Who takes them ends with the node, and whoever waits for a reply learns that.
        _ = self.proposals.send(proposal);
    }
}

impl Store {
    /// From now on the replicated tables change only by the log. `applied` is how far this store has followed it. Returns
    /// the changes that are wanted; `None` when that was done before.
    #[must_use]
    pub fn join(&self, applied: Arc<AtomicU64>) -> Option<mpsc::UnboundedReceiver<Proposal>> {
        let (proposals, wanted) = mpsc::unbounded_channel();
        self.joined
            .set(Log { proposals, applied })
            .is_ok()
            .then_some(wanted)
    }

    /// The log, for a store that is a member.
    pub(super) fn log(&self) -> Option<&Log> {
        self.joined.get()
    }

    /// Changes rows by the log; resolves when this store has them. Returns how many rows they changed.
    pub(super) async fn change<T>(
        &self,
        tenant: TenantId,
        rows: Vec<T>,
        row: impl Fn(T) -> Row,
    ) -> Result<u64, StoreFailure> {
        let Some(log) = self.log() else {
            return Err(writer::closed());
        };
        let (sender, told) = oneshot::channel();
        // Whoever asked may have gone; the change counts all the same.
        let reply = move |result| _ = sender.send(result);
        let change = |of| Change {
            tenant,
            row: row(of),
        };
        let changes = rows.into_iter().map(change).collect();
        log.propose(changes, self.seen.clone(), Some(Box::new(reply)));
        told.await.unwrap_or_else(|_| Err(writer::closed()))
    }

    /// Whether the replicated tables change only by a log.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.log().is_some()
    }

    /// For a statement that reads before it writes, on a member: a store that does not write over what changed since.
    #[must_use]
    pub fn careful(&self) -> Option<(Self, Arc<Seen>)> {
        let seen = Arc::new(Seen::new(self.applied()?));
        let store = Self {
            seen: Some(Arc::clone(&seen)),
            ..self.clone()
        };
        Some((store, seen))
    }

    /// How far a member has followed the log.
    #[must_use]
    pub fn applied(&self) -> Option<u64> {
        let log = self.log()?;
        Some(log.applied.load(Ordering::Acquire))
    }
}

/// A shard of a member asks.
pub(super) fn ask(
    store: &Store,
    log: &Log,
    request: StoreRequest,
    reply: impl FnOnce(Result<StoreAnswer, StoreFailure>) + Send + 'static,
) {
    match request {
        StoreRequest::SetHistory {
            tenant,
            channel,
            length,
        } => {
            let row = Row::Length { channel, length };
            let reply = |result: Result<u64, _>| reply(result.map(StoreAnswer::Changed));
            log.propose(vec![Change { tenant, row }], None, Some(Box::new(reply)));
        }
        // Here at once, as a node must know who left it even when the log takes nothing; the log hears of it when it can.
        StoreRequest::SetLastSeen {
            tenant,
            user,
            time: Some(time),
        } => {
            let log = log.clone();
            store.carry_out(request, move |result| {
                if result.is_ok() {
                    let row = Row::LastSeen { user, time };
                    log.propose(vec![Change { tenant, row }], None, None);
                }
                reply(result);
            });
        }
        request => store.carry_out(request, reply),
    }
}
