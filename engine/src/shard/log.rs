//! What a shard does when it hears of its cluster.

use super::Shard;
use crate::{Effects, LogEvent};

impl<T> Shard<T> {
    /// Something happened in the cluster.
    pub(super) fn on_log(&mut self, event: LogEvent, effects: &mut impl Effects<Token = T>) {
        assert!(
            self.cluster.is_some(),
            "a node of its own hears of no cluster"
        );
        if let LogEvent::Setting {
            tenant,
            channel,
            length,
        } = event
        {
            self.put_setting(&(tenant, channel), length, effects);
        }
    }
}
