//! The tables that all members have alike: one stream has the last value of every row, and each member's store follows it.
//!
//! A change is published, and counts when this node's store has it back from the log (`write.rs`). What the log says is
//! applied to the store, then acted on (`follow.rs`, `act.rs`). It must not decide what a row means to a session.

mod act;
mod follow;
mod join;
mod log;
pub(super) mod moving;
mod pending;
mod record;
mod write;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Cluster;
use crate::storage::{Membership, Proposal, Store};
pub use act::Acting;
pub use join::JoinError;
use log::Log;

/// A removed row is in the log for so long. A member that was away for longer reads the log from its beginning.
const TOMBSTONE: Duration = Duration::from_secs(7 * 24 * 3600);
/// So long a member may be away and go on from where it was: less than a tombstone stays, clocks differ.
const AWAY_MOST: Duration = Duration::from_secs(5 * 24 * 3600);

/// The tables of this node as a member. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    log: Log,
    store: Store,
    /// Longest history that a row of `pipes_settings` may ask for.
    longest: u64,
    /// How far the store has followed the log, for whoever looks only.
    applied: Arc<AtomicU64>,
    /// The same, for who waits: what was applied was acted on, too.
    acted: watch::Sender<u64>,
    /// The log's last place that is known.
    last: AtomicU64,
    membership: Mutex<Membership>,
    /// Changes of this node that are on their way, by their ids: how many rows they changed, once that is known.
    own: Mutex<HashMap<String, Option<u64>>>,
}

impl State {
    /// Makes the store follow the cluster's log, until it has all of it. From then on its tables change only by the log.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(cluster: &Cluster, store: &Store, longest: u64) -> Result<Joined, JoinError> {
        let membership = store.membership()?;
        let applied = Arc::new(AtomicU64::new(membership.applied));
        let state = Self(Arc::new(Inner {
            log: Log::new(cluster),
            store: store.clone(),
            longest,
            acted: watch::Sender::new(membership.applied),
            last: AtomicU64::new(membership.applied),
            membership: Mutex::new(membership),
            own: Mutex::default(),
            applied: Arc::clone(&applied),
        }));
        state.enter().await?;
        let wanted = store.join(applied).ok_or(JoinError::Twice)?;
        Ok(Joined { state, wanted })
    }

    fn membership(&self) -> Membership {
        *locked(&self.0.membership)
    }

    /// Notes which log is followed, in the store and here.
    async fn set_membership(&self, now: Membership, anew: bool) -> Result<(), JoinError> {
        self.0.store.set_membership(now, anew).await?;
        self.moved(now);
        Ok(())
    }

    fn moved(&self, now: Membership) {
        *locked(&self.0.membership) = now;
        self.0.applied.store(now.applied, Ordering::Release);
        self.tell_lag();
    }

    /// Tells `/metrics` how far the log is ahead of this node's tables, as last known.
    fn tell_lag(&self) {
        let applied = self.0.applied.load(Ordering::Acquire);
        let lag = self.0.last.load(Ordering::Relaxed).saturating_sub(applied);
        let behind = &self.0.log.counters().tables_behind;
        behind.set(i64::try_from(lag).unwrap_or(i64::MAX));
    }
}

/// A member that is not served yet.
pub struct Joined {
    state: State,
    wanted: mpsc::UnboundedReceiver<Proposal>,
}

impl Joined {
    /// The tables.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Follows the log and carries out changes from now on, until the tasks are aborted.
    #[must_use]
    pub fn serve(self, acting: Acting) -> Vec<JoinHandle<()>> {
        let Self { state, wanted } = self;
        let (later, pending) = mpsc::unbounded_channel();
        vec![
            tokio::spawn(state.clone().follow(acting)),
            tokio::spawn(state.clone().publish_pending(pending)),
            tokio::spawn(state.take(wanted, later)),
        ]
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks leaves a value half changed.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
