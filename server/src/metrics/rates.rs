//! What the node did per second, of late: differences of counters, which somebody keeps every second. It must not read a
//! clock.

use std::collections::VecDeque;
use std::time::Duration;

/// How often counters are kept.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How many are kept: rates are of the last ten seconds.
const SAMPLES: usize = 10;

/// What a node has done since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Publications handed to browsers.
    pub deliveries: u64,
    /// Connections of browsers that were opened.
    pub opened: u64,
    /// Connections of browsers that ended.
    pub ended: u64,
    /// Statements.
    pub statements: u64,
    /// Log-ins at the MySQL port.
    pub log_ins: u64,
    /// Logged-in connections of the MySQL port that ended.
    pub log_outs: u64,
}

/// What a node did within some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// That time.
    pub within: Duration,
    /// What was done in it.
    pub work: Work,
}

impl Rates {
    /// A count of [`Rates::work`] as a number per second, in tenths.
    #[must_use]
    pub fn per_second(&self, count: u64) -> String {
        let ms = self.within.as_millis().max(1);
        let tenths = (u128::from(count) * 10_000 + ms / 2) / ms;
        match (tenths / 10, tenths % 10) {
            (whole, 0) => whole.to_string(),
            (whole, tenth) => format!("{whole}.{tenth}"),
        }
    }
}

/// Counters as they were, with the time since the start, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<(Duration, Work)>);

impl Samples {
    /// Keeps counters.
    pub(super) fn keep(&mut self, at: Duration, work: Work) {
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back((at, work));
    }

    /// What was done since the oldest sample, or since the start.
    pub(super) fn rates(&self, at: Duration, now: Work) -> Rates {
        let (from, then) = self.0.front().copied().unwrap_or_default();
        Rates {
            within: at.saturating_sub(from),
            work: Work {
                deliveries: now.deliveries.saturating_sub(then.deliveries),
                opened: now.opened.saturating_sub(then.opened),
                ended: now.ended.saturating_sub(then.ended),
                statements: now.statements.saturating_sub(then.statements),
                log_ins: now.log_ins.saturating_sub(then.log_ins),
                log_outs: now.log_outs.saturating_sub(then.log_outs),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliveries(count: u64) -> Work {
        Work {
            deliveries: count,
            ..Work::default()
        }
    }

    #[track_caller]
    fn check(samples: &Samples, at_ms: u64, count: u64, within_ms: u64, per_second: &str) {
        let rates = samples.rates(Duration::from_millis(at_ms), deliveries(count));
        assert_eq!(rates.within, Duration::from_millis(within_ms));
        assert_eq!(rates.per_second(rates.work.deliveries), per_second);
    }

    #[test]
    fn rates_are_of_the_last_ten_seconds() {
        let mut samples = Samples::default();
        check(&samples, 0, 0, 0, "0");
        // Before the first sample: since the start.
        check(&samples, 500, 10, 500, "20");
        for second in 1..=10 {
            samples.keep(Duration::from_secs(second), deliveries(100 * second));
        }
        check(&samples, 10_500, 1_050, 9_500, "100");
        for second in 11..=20 {
            samples.keep(Duration::from_secs(second), deliveries(1_000));
        }
        check(&samples, 21_000, 1_000, 10_000, "0");
        check(&samples, 21_000, 1_003, 10_000, "0.3");
        check(&samples, 21_000, 1_013, 10_000, "1.3");
    }
}
