//! Samples of memory, and how much it grew. Does no I/O.

use super::crowd::Counts;

/// From `/proc/PID/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// `VmRSS`.
    pub(super) resident_kb: u32,
    /// `RssAnon`.
    pub(super) anonymous_kb: u32,
}

impl Memory {
    /// Reads what the kernel says.
    pub(super) fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| -> Option<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.trim().parse().ok()
        };
        Some(Self {
            resident_kb: field("VmRSS:")?,
            anonymous_kb: field("RssAnon:")?,
        })
    }
}

/// One moment of a run.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) seconds: f64,
    pub(super) memory: Memory,
    pub(super) connections: usize,
    pub(super) counts: Counts,
}

impl Sample {
    /// As a line of CSV.
    pub(super) fn line(&self) -> String {
        let Memory {
            resident_kb,
            anonymous_kb,
        } = self.memory;
        let c = self.counts;
        format!(
            "{:.1},{resident_kb},{anonymous_kb},{},{},{},{},{},{}\n",
            self.seconds,
            self.connections,
            c.published,
            c.delivered,
            c.messages,
            c.visits,
            c.recovered
        )
    }
}

/// By how much anonymous memory grew after the first sixth: the median of the last quarter of what is left, over the median
/// of its first quarter. `None` when there are too few samples.
///
/// Not all that is resident: the rest is pages of files, the program's own among them, which the kernel takes back when
/// others need memory. That can hide a leak, and pages that come back can look like one.
pub(super) fn growth(samples: &[Sample]) -> Option<f64> {
    let warm = &samples[samples.len().div_ceil(6)..];
    let quarter = warm.len() / 4;
    let first = median(warm.get(..quarter)?)?;
    let last = median(warm.get(warm.len() - quarter..)?)?;
    Some(last / first - 1.0)
}

fn median(samples: &[Sample]) -> Option<f64> {
    let mut values: Vec<u32> = samples.iter().map(|s| s.memory.anonymous_kb).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(anonymous_kb: impl Fn(u32) -> u32) -> Vec<Sample> {
        let sample = |at| Sample {
            seconds: f64::from(at),
            memory: Memory {
                resident_kb: 0,
                anonymous_kb: anonymous_kb(at),
            },
            connections: 0,
            counts: Counts::default(),
        };
        (0..120).map(sample).collect()
    }

    #[track_caller]
    fn check(anonymous_kb: impl Fn(u32) -> u32, expected: f64) {
        let growth = growth(&samples(anonymous_kb)).unwrap();
        assert!((growth - expected).abs() < 0.001, "{growth}");
    }

    #[test]
    fn growth_is_what_comes_after_the_first_sixth() {
        check(|_| 1000, 0.0);
        check(|at| if at < 20 { 100 } else { 1000 }, 0.0);
        check(|at| 1000 + at, 0.073);
        // One peak is no growth.
        check(|at| if at == 119 { 9000 } else { 1000 }, 0.0);
        assert_eq!(growth(&samples(|_| 1)[..4]), None);
    }

    #[test]
    fn the_kernel_is_understood() {
        let status = "Name:\tcometql\nVmRSS:\t   12345 kB\nRssAnon:\t    678 kB\n";
        let expected = Memory {
            resident_kb: 12_345,
            anonymous_kb: 678,
        };
        assert_eq!(Memory::parse(status), Some(expected));
        assert_eq!(Memory::parse("VmRSS: 1 kB"), None);
    }
}
