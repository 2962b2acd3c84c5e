//! A node's real shards and real browser sessions in an invented world: network, disk and clock come from a seed, and a
//! model checks every promise of design.md §3.
//!
//! `SIMULATION_SEED=N` runs one seed, `SIMULATION_SECONDS=N` fresh seeds for so long (0 without it, so that `cargo test`
//! is quick). A failure prints the seed, the fewest operations that show it, and what happened last.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "a failing seed must be told with what led to it"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

use cometql_engine::Limits;

mod browser;
mod cluster;
mod disk;
mod ending;
mod network;
mod node;
mod operations;
#[cfg(planted_bug)]
mod planted;
mod promises;
mod rng;
mod scenarios;
mod world;

use operations::{Changes, limits, rules, run};
use scenarios::SCENARIOS;
use world::{Plan, World};

/// Operations of a run.
const OPERATIONS: usize = 400;

/// How many publications were checked; or what was broken, and the trace.
type Outcome = Result<u64, (String, Vec<String>)>;

/// Runs a seed.
fn attempt(plan: Plan) -> Outcome {
    try_out(plan, limits(), |world| run(plan, world))
}

/// Lets something happen in a new world.
fn try_out(plan: Plan, limits: Limits, happens: impl FnOnce(&mut World) -> u64) -> Outcome {
    // What a panic says is in the result, and told once.
    std::panic::set_hook(Box::new(|_| {}));
    let mut world = World::new(plan, limits, rules(Changes::default()));
    let result = catch_unwind(AssertUnwindSafe(|| happens(&mut world)));
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let text = text.unwrap_or_default().replace("...", "");
        let text = text.chars().take(600).collect();
        (text, world.trace().to_vec())
    })
}

/// The fewest operations with which the seed fails: a run's beginning does not depend on how long it is.
fn shrink(plan: Plan) -> Plan {
    let (mut low, mut high) = (0, plan.operations);
    while low < high {
        let operations = (low + high) / 2;
        if attempt(Plan { operations, ..plan }).is_err() {
            high = operations;
        } else {
            low = operations + 1;
        }
    }
    Plan {
        operations: high,
        ..plan
    }
}

#[track_caller]
fn check(seed: u64) -> u64 {
    let plan = Plan {
        seed,
        operations: OPERATIONS,
    };
    let first = match attempt(plan) {
        Ok(checked) => return checked,
        Err((message, _)) => message,
    };
    let shrunk = shrink(plan);
    let (message, trace) = attempt(shrunk).err().unwrap_or((first, Vec::new()));
    println!("{}", trace.join("\n"));
    drop(std::panic::take_hook());
    panic!(
        "seed {seed}, {} operations: {message}\n  again: SIMULATION_SEED={seed} cargo test -p cometql-engine --test simulation",
        shrunk.operations
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn regressions() {
    for scenario in SCENARIOS {
        for seed in 1..=scenarios::SEEDS {
            if let Err((message, trace)) = scenario.play(seed) {
                println!("{}", trace.join("\n"));
                drop(std::panic::take_hook());
                panic!("{}, with seed {seed}: {message}", scenario.name);
            }
        }
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long to try, and from where; not what happens"
)]
fn fresh_seeds() {
    if let Some(seed) = number("SIMULATION_SEED") {
        check(seed);
        return;
    }
    let time = Duration::from_secs(number("SIMULATION_SECONDS").unwrap_or(0));
    let start = Instant::now();
    let from = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let from = from.unwrap().as_secs() << 20;
    let (mut seeds, mut checked) = (0, 0);
    while seeds < 20 || start.elapsed() < time {
        checked += check(from + seeds);
        seeds += 1;
    }
    println!(
        "seeds {from}..{}: {checked} deliveries checked",
        from + seeds
    );
}

/// The same seed is the same run: otherwise no failure could be looked at.
#[test]
fn runs_depend_on_nothing_but_the_seed() {
    let plan = Plan {
        seed: 7,
        operations: OPERATIONS,
    };
    let trace = || {
        let mut world = World::new(plan, limits(), rules(Changes::default()));
        run(plan, &mut world);
        world.trace().to_vec()
    };
    assert_eq!(trace(), trace());
}
