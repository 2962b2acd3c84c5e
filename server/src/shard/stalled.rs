//! Connections whose sockets take nothing for now: what was conflated for them, and how much waits for all of them.
//!
//! A connection is here only while it is stalled, so that all others pay nothing. Knows no sockets.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cometql_engine::ids::MAX_SHARDS;
use cometql_engine::permission::Conflate;
use cometql_engine::{Conflated, ConnectionId, Publication, ShardId};
use foldhash::fast::FixedState;

/// What waits may grow by so many bytes on a shard before it is compared with the node's budget.
const STEP: usize = 64 << 10;

/// How many bytes wait for stalled connections, on each shard of the node, and how many may.
#[derive(Debug)]
pub(crate) struct Backlog {
    budget: usize,
    shards: Box<[AtomicUsize]>,
}

impl Backlog {
    /// For a node on which so many bytes may wait.
    pub(crate) fn new(budget: usize) -> Arc<Self> {
        let shards = (0..MAX_SHARDS).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Self { budget, shards })
    }

    /// Whether the node has to close connections.
    pub(super) fn is_over(&self) -> bool {
        self.total() > self.budget
    }

    /// Whether closing connections has freed enough: a bit more than needed, as it is in small steps
    /// that the budget is exceeded.
    pub(super) fn is_eased(&self) -> bool {
        self.total() <= self.budget - self.budget / 16
    }

    /// The shard on which most waits.
    pub(super) fn heaviest(&self) -> usize {
        let bytes = self
            .shards
            .iter()
            .map(|bytes| bytes.load(Ordering::Relaxed));
        let heaviest = bytes.enumerate().max_by_key(|(_, bytes)| *bytes);
        heaviest.map_or(0, |(shard, _)| shard)
    }

    fn tell(&self, shard: ShardId, bytes: usize) {
        self.shards[usize::from(shard.0)].store(bytes, Ordering::Relaxed);
    }

    fn total(&self) -> usize {
        let bytes = self.shards.iter();
        bytes.map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }
}

/// The stalled connections of a shard.
pub(super) struct Stalled {
    shard: ShardId,
    backlog: Arc<Backlog>,
    connections: HashMap<ConnectionId, Stall, FixedState>,
    bytes: usize,
    /// By how much they grew since the last look at the budget.
    grown: usize,
}

#[derive(Default)]
struct Stall {
    /// Bytes in the outbox.
    outbox: usize,
    conflated: Conflated,
}

impl Stall {
    fn bytes(&self) -> usize {
        self.outbox + self.conflated.bytes()
    }
}

impl Stalled {
    pub(super) fn new(shard: ShardId, backlog: Arc<Backlog>) -> Self {
        Self {
            shard,
            backlog,
            connections: HashMap::default(),
            bytes: 0,
            grown: 0,
        }
    }

    /// The node's part of it.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// So many bytes are in the outbox of a connection that is stalled. True = time to look at the budget.
    pub(super) fn set(&mut self, id: ConnectionId, outbox: usize) -> bool {
        self.change(id, |stall| stall.outbox = outbox)
    }

    /// A publication waits, instead of older ones. Returns how many those were, the bytes of all that wait so, and
    /// whether it is time to look at the budget.
    pub(super) fn hold(
        &mut self,
        id: ConnectionId,
        publication: &Arc<Publication>,
        conflate: Conflate,
    ) -> (usize, usize, bool) {
        let (mut replaced, mut bytes) = (0, 0);
        let look = self.change(id, |stall| {
            replaced = stall.conflated.put(publication, conflate);
            bytes = stall.conflated.bytes();
        });
        (replaced, bytes, look)
    }

    /// Takes out what was conflated.
    pub(super) fn release(&mut self, id: ConnectionId) -> Conflated {
        if !self.connections.contains_key(&id) {
            return Conflated::default();
        }
        let mut conflated = Conflated::default();
        self.change(id, |stall| conflated = std::mem::take(&mut stall.conflated));
        conflated
    }

    /// What waits for a connection beside its outbox.
    pub(super) fn conflated(&self, id: ConnectionId) -> Option<&Conflated> {
        let stall = self.connections.get(&id)?;
        Some(&stall.conflated).filter(|conflated| !conflated.is_empty())
    }

    /// Bytes that wait for a connection beside its outbox.
    pub(super) fn conflated_bytes(&self, id: ConnectionId) -> usize {
        let stall = self.connections.get(&id);
        stall.map_or(0, |stall| stall.conflated.bytes())
    }

    /// The connection is no longer stalled, or gone.
    pub(super) fn end(&mut self, id: ConnectionId) {
        if self.connections.is_empty() {
            return;
        }
        if let Some(stall) = self.connections.remove(&id) {
            self.bytes -= stall.bytes();
            self.backlog.tell(self.shard, self.bytes);
        }
    }

    /// All of them, those for which most waits first.
    pub(super) fn fullest(&self) -> Vec<ConnectionId> {
        let all = self.connections.iter();
        let mut all: Vec<_> = all.map(|(id, stall)| (stall.bytes(), *id)).collect();
        all.sort_unstable_by_key(|(bytes, id)| (std::cmp::Reverse(*bytes), id.number()));
        all.into_iter().map(|(_, id)| id).collect()
    }

    fn change(&mut self, id: ConnectionId, change: impl FnOnce(&mut Stall)) -> bool {
        let stall = self.connections.entry(id).or_default();
        let before = stall.bytes();
        change(stall);
        let after = stall.bytes();
        self.bytes = self.bytes - before + after;
        self.grown += after.saturating_sub(before);
        if after >= before && self.grown < STEP {
            return false;
        }
        self.grown %= STEP;
        self.backlog.tell(self.shard, self.bytes);
        after > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: usize) -> ConnectionId {
        ConnectionId::new(ShardId(1), slot, 1)
    }

    #[test]
    fn the_fullest_come_first_and_leave_nothing() {
        let backlog = Backlog::new(1000);
        let mut stalled = Stalled::new(ShardId(1), Arc::clone(&backlog));
        for (slot, bytes) in [(1, 300), (2, 100_000), (3, 70_000)] {
            let look = stalled.set(id(slot), bytes);
            assert_eq!(look, bytes >= STEP, "{bytes}");
        }
        assert!(backlog.is_over());
        assert_eq!(backlog.heaviest(), 1);
        assert_eq!(stalled.fullest(), [id(2), id(3), id(1)]);
        stalled.set(id(2), 10);
        assert_eq!(stalled.fullest(), [id(3), id(1), id(2)]);
        for slot in [1, 2, 3, 4] {
            stalled.end(id(slot));
        }
        assert_eq!(backlog.total(), 0);
        assert!(!backlog.is_over() && backlog.is_eased());
        assert!(stalled.release(id(1)).is_empty());
        assert!(stalled.fullest().is_empty());
    }
}
