//! Slows down those who guess keys, without ever locking out who has the right one.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The wait after the first failure; doubled by each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Failures are forgotten when there was none for so long.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Most pairs remembered, 24 bytes each. When more fail, the one that failed longest ago is forgotten.
const MOST_ENTRIES: usize = 10_000;

/// Slows down failed log-ins per (address, user). Never refuses a right key: callers check the key first, then wait.
#[derive(Clone, Default)]
pub struct Throttle {
    failures: Arc<Mutex<Failures>>,
}

#[derive(Default)]
struct Failures {
    /// By a keyed hash, so that long names cost nothing and nobody can choose collisions.
    entries: HashMap<u64, Entry>,
    hasher: foldhash::quality::RandomState,
}

struct Entry {
    count: u32,
    last: Instant,
}

impl Throttle {
    /// Records a failed log-in; the caller sleeps for the returned time before it answers.
    #[must_use]
    pub fn failed(&self, address: IpAddr, user: &str) -> Duration {
        self.lock().failed(Instant::now(), address, user)
    }

    /// Forgets the failures.
    pub fn succeeded(&self, address: IpAddr, user: &str) {
        let mut failures = self.lock();
        let key = failures.key(address, user);
        failures.entries.remove(&key);
    }

    /// The table is whole after every step, so a panic elsewhere while it was locked harms nothing.
    fn lock(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    fn failed(&mut self, now: Instant, address: IpAddr, user: &str) -> Duration {
        let key = self.key(address, user);
        if self.entries.len() >= MOST_ENTRIES && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        let entry = self.entries.entry(key).or_insert(Entry {
            count: 0,
            last: now,
        });
        if now.duration_since(entry.last) > FORGET_AFTER {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
        FIRST_WAIT
            .saturating_mul(1 << (entry.count - 1).min(16))
            .min(LONGEST_WAIT)
    }

    /// An IPv6 customer commonly owns a whole /64, so its addresses count as one.
    fn key(&self, address: IpAddr, user: &str) -> u64 {
        let network = match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64),
        };
        self.hasher.hash_one((network, user))
    }

    fn make_room(&mut self, now: Instant) {
        self.entries
            .retain(|_, entry| now.duration_since(entry.last) <= FORGET_AFTER);
        if self.entries.len() < MOST_ENTRIES {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn waits_double_up_to_some_seconds() {
        let mut failures = Failures::default();
        let now = Instant::now();
        let waits: Vec<_> = (0..40)
            .map(|_| {
                failures
                    .failed(now, address("10.0.0.1"), "root")
                    .as_millis()
            })
            .collect();
        assert_eq!(waits[..7], [100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(waits[39], 5000);
    }

    #[test]
    fn pairs_of_address_and_user_are_apart() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for _ in 0..5 {
            _ = failures.failed(now, address("10.0.0.1"), "root");
        }
        let first = FIRST_WAIT;
        assert_eq!(failures.failed(now, address("10.0.0.2"), "root"), first);
        assert_eq!(failures.failed(now, address("10.0.0.1"), "5"), first);
        assert_eq!(failures.failed(now, address("2001:db8::1"), "root"), first);
        assert_eq!(
            failures.failed(now, address("2001:db8::ffff"), "root"),
            2 * first
        );
        assert_eq!(
            failures.failed(now, address("2001:db8:0:1::1"), "root"),
            first
        );
        assert!(failures.failed(now, address("::ffff:10.0.0.1"), "root") > 10 * first);
    }

    #[test]
    fn failures_are_forgotten_by_success_and_by_time() {
        let throttle = Throttle::default();
        let at = address("10.0.0.1");
        _ = throttle.failed(at, "root");
        assert_eq!(throttle.failed(at, "root"), 2 * FIRST_WAIT);
        throttle.succeeded(at, "root");
        assert_eq!(throttle.clone().failed(at, "root"), FIRST_WAIT);

        let mut failures = Failures::default();
        let now = Instant::now();
        _ = failures.failed(now, at, "root");
        let later = now + FORGET_AFTER + Duration::from_secs(1);
        assert_eq!(failures.failed(later, at, "root"), FIRST_WAIT);
    }

    #[test]
    fn memory_is_bounded() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for n in 0..u32::try_from(MOST_ENTRIES).unwrap() + 50 {
            let address = IpAddr::from(n.to_be_bytes());
            _ = failures.failed(now + Duration::from_micros(u64::from(n)), address, "root");
        }
        assert_eq!(failures.entries.len(), MOST_ENTRIES);
    }
}
