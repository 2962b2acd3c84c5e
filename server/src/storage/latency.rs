//! How long things took, counted in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cometql_engine::ShardId;
use cometql_engine::ids::MAX_SHARDS;

/// Upper bounds of the buckets, in microseconds; the last bucket has none.
pub const BOUNDS_US: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
];

/// Counts durations.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latencies {
    /// How many were within each bound, and above the one before.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// All together, in microseconds.
    pub sum_us: u64,
}

/// Who waits for an operation: a shard, or nobody in particular (tables of backends, upkeep).
pub(super) type Asker = Option<ShardId>;

/// What each asker waited.
pub(super) struct ByAsker(Box<[Histogram]>);

impl Default for ByAsker {
    fn default() -> Self {
        Self((0..=MAX_SHARDS).map(|_| Histogram::default()).collect())
    }
}

impl ByAsker {
    pub(super) fn of(&self, asker: Asker) -> &Histogram {
        &self.0[asker.map_or(0, |shard| 1 + usize::from(shard.0))]
    }
}

impl Histogram {
    /// Counts one.
    pub(super) fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < took);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(super) fn read(&self) -> Latencies {
        Latencies {
            counts: self
                .counts
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for took in [0, 100, 101, 1_000_000, 1_000_001] {
            histogram.add(Duration::from_micros(took));
        }
        let Latencies { counts, sum_us } = histogram.read();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(sum_us, 2_000_202);
    }
}
