//! What is counted, for `/metrics` and `SHOW STATUS`. One set of counters for each shard, so that no cache line is shared.

use cometql_engine::ShardId;
use cometql_engine::effects::Counted;

/// All counters of the node.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Counts for a shard.
    pub fn count(&self, shard: ShardId, event: Counted, times: u64) {
        _ = (shard, event, times);
    }
}
