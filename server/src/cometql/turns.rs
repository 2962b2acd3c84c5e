//! Who may go on and who waits: places for SELECTs, of which one tenant never gets all, and changes that must not meet in
//! one table. It must not know what a statement does.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cometql_protocol::TenantId;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore};

/// The turns of all statements of a node.
#[derive(Debug)]
pub struct Turns {
    places: Arc<Semaphore>,
    /// Places that one tenant gets at most.
    of_tenant: usize,
    tenants: WhileUsed<TenantId, Semaphore>,
    tables: WhileUsed<(TenantId, &'static str), RwLock<()>>,
}

/// A place among the SELECTs that run at once. Given back when dropped.
#[derive(Debug)]
pub struct Place {
    _of_tenant: OwnedSemaphorePermit,
    _of_node: OwnedSemaphorePermit,
}

/// The right to change a table of a tenant. Given back when dropped.
#[derive(Debug)]
pub(super) enum Turn {
    /// Together with other changes, none of which reads what it changes.
    Among { _held: OwnedRwLockReadGuard<()> },
    /// No other change meanwhile: what was read still holds when it is written.
    Alone { _held: OwnedRwLockWriteGuard<()> },
}

impl Turns {
    /// With so many places for SELECTs, and at most so many for one tenant.
    #[must_use]
    pub fn new(places: usize, of_tenant: usize) -> Self {
        let most = |places: usize| places.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most(places))),
            of_tenant: most(of_tenant),
            tenants: WhileUsed::default(),
            tables: WhileUsed::default(),
        }
    }

    /// Waits for a place of this tenant. Those of a tenant that has all of its places wait among themselves: they are not
    /// in the way of others.
    ///
    /// # Panics
    /// Never: nobody closes the semaphores.
    pub async fn place(&self, tenant: TenantId) -> Place {
        let own = self.tenants.get(tenant, || Semaphore::new(self.of_tenant));
        let of_tenant = own.acquire_owned().await;
        let of_node = Arc::clone(&self.places).acquire_owned().await;
        Place {
            _of_tenant: of_tenant.expect("it is never closed"),
            _of_node: of_node.expect("it is never closed"),
        }
    }

    /// Waits for the turn to change a table; first come, first served.
    pub(super) async fn change(&self, tenant: TenantId, table: &'static str, alone: bool) -> Turn {
        let table = self.tables.get((tenant, table), RwLock::default);
        if alone {
            let _held = table.write_owned().await;
            Turn::Alone { _held }
        } else {
            let _held = table.read_owned().await;
            Turn::Among { _held }
        }
    }
}

/// One value for each key, for as long as somebody uses it.
#[derive(Debug)]
struct WhileUsed<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for WhileUsed<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> WhileUsed<K, V> {
    fn get(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        // Nothing under this lock leaves the map half changed.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        known.retain(|_, value| value.strong_count() > 0);
        let value = Arc::new(make());
        known.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const ONE: TenantId = TenantId(1);
    const OTHER: TenantId = TenantId(2);

    #[test]
    fn a_tenant_leaves_places_to_others() {
        let turns = Turns::new(3, 2);
        let first = turns.place(ONE).now_or_never();
        let second = turns.place(ONE).now_or_never();
        assert!(first.is_some() && second.is_some());
        assert!(turns.place(ONE).now_or_never().is_none());
        let other = turns.place(OTHER).now_or_never();
        assert!(other.is_some());
        // The node has no place left, whoever asks.
        assert!(turns.place(OTHER).now_or_never().is_none());
        drop(first);
        assert!(turns.place(OTHER).now_or_never().is_some());
        assert!(turns.place(ONE).now_or_never().is_some());
        drop((second, other));
        drop(turns.place(OTHER).now_or_never());
        let known = turns.tenants.0.lock().unwrap();
        assert!(known.values().all(|value| value.strong_count() == 0));
    }

    #[test]
    fn who_reads_first_is_alone_in_its_table() {
        let turns = Turns::new(1, 1);
        let change = |tenant, table, alone| turns.change(tenant, table, alone).now_or_never();
        let writers = (change(ONE, "a", false), change(ONE, "a", false));
        assert!(writers.0.is_some() && writers.1.is_some());
        assert!(change(ONE, "a", true).is_none());
        assert!(change(ONE, "b", true).is_some());
        assert!(change(OTHER, "a", true).is_some());
        drop(writers);
        let alone = change(ONE, "a", true);
        assert!(alone.is_some());
        assert!(change(ONE, "a", false).is_none());
        drop(alone);
        assert!(change(ONE, "a", false).is_some());
    }
}
