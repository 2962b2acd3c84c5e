//! The time that a shard hands to the engine.

use std::time::{SystemTime, UNIX_EPOCH};

use cometql_engine::Now;

/// Unix milliseconds that never go backwards, whatever is done to the machine's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    latest: u64,
}

impl Clock {
    /// The time now.
    pub(super) fn now(&mut self) -> Now {
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.later(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    fn later(&mut self, millis: u64) -> Now {
        self.latest = self.latest.max(millis);
        Now(self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_backwards() {
        let mut clock = Clock::default();
        assert_eq!(clock.later(7), Now(7));
        assert_eq!(clock.later(5), Now(7));
        assert!(clock.now() > Now(1_700_000_000_000));
    }
}
