//! Trying seeds: what one shows, the fewest operations that show it, and whether a bug planted on purpose is found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

#[cfg(planted_bug)]
use cometql_protocol::planted::plant;

/// How many publications were checked; or what was broken, and what happened last.
pub(crate) type Outcome = Result<u64, (String, Vec<String>)>;

/// What is done in a world that comes from a seed.
pub(crate) struct Trial {
    /// What it is of, in a failure.
    pub(crate) name: &'static str,
    /// Operations of a run. Its beginning does not depend on how many there are.
    pub(crate) operations: usize,
    /// Runs a seed with so many operations.
    pub(crate) attempt: fn(u64, usize) -> Outcome,
}

/// Lets something happen in a new world; `trace` is what its end is told with.
pub(crate) fn try_out<W>(
    mut world: W,
    trace: fn(&W) -> &[String],
    happens: impl FnOnce(&mut W) -> u64,
) -> Outcome {
    // What a panic says is in the result, and told once.
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(|| happens(&mut world)));
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let text = text.unwrap_or_default().replace("...", "");
        let text = text.chars().take(600).collect();
        (text, trace(&world).to_vec())
    })
}

/// Fails the test, with what happened last, if `outcome` is a failure.
#[track_caller]
pub(crate) fn tell(what: &str, outcome: Outcome) -> u64 {
    outcome.unwrap_or_else(|(message, trace)| {
        println!("{}", trace.join("\n"));
        drop(std::panic::take_hook());
        panic!("{what}: {message}");
    })
}

/// A setting of the run.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Trial {
    /// One seed by `SIMULATION_SEED`, or at least 20 fresh ones, for `SIMULATION_SECONDS` (0).
    #[expect(
        clippy::disallowed_methods,
        reason = "how long to try, and from where; not what happens"
    )]
    pub(crate) fn fresh_seeds(&self) {
        if let Some(seed) = number("SIMULATION_SEED") {
            self.check(seed);
            return;
        }
        let time = Duration::from_secs(number("SIMULATION_SECONDS").unwrap_or(0));
        let start = Instant::now();
        let from = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let from = from.unwrap().as_secs() << 20;
        let (mut seeds, mut checked) = (0, 0);
        while seeds < 20 || start.elapsed() < time {
            checked += self.check(from + seeds);
            seeds += 1;
        }
        println!(
            "{} seeds {from}..{}: {checked} deliveries checked",
            self.name,
            from + seeds
        );
    }

    #[track_caller]
    fn check(&self, seed: u64) -> u64 {
        let first = match (self.attempt)(seed, self.operations) {
            Ok(checked) => return checked,
            failed => failed,
        };
        let operations = self.shrink(seed);
        let shrunk = (self.attempt)(seed, operations);
        let name = self.name;
        tell(
            &format!(
                "{name} seed {seed}, {operations} operations (again: cargo xtask simulate --seed {seed})"
            ),
            if shrunk.is_err() { shrunk } else { first },
        )
    }

    /// The fewest operations with which the seed fails.
    fn shrink(&self, seed: u64) -> usize {
        let (mut low, mut high) = (0, self.operations);
        while low < high {
            let operations = (low + high) / 2;
            match (self.attempt)(seed, operations) {
                Err(_) => high = operations,
                Ok(_) => low = operations + 1,
            }
        }
        high
    }

    /// Every bug must be found within so many seeds, and say one of these parts.
    #[cfg(planted_bug)]
    pub(crate) fn finds(&self, bugs: &[(&'static str, &[&str])], within: u64) {
        let mut missed = Vec::new();
        for (bug, says) in bugs {
            plant(bug);
            let found = (1..=within).find_map(|seed| {
                let (message, _) = (self.attempt)(seed, self.operations).err()?;
                Some((seed, message))
            });
            plant("");
            match found {
                Some((seed, message)) if says.iter().any(|part| message.contains(part)) => {
                    println!("{bug}: seed {seed}: {message}");
                }
                Some((seed, message)) => missed.push(format!("{bug}: seed {seed} says {message}")),
                None => missed.push(format!("{bug}: not found within {within} seeds")),
            }
        }
        drop(std::panic::take_hook());
        assert!(missed.is_empty(), "{missed:#?}");
    }
}
