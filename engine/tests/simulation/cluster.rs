//! Several nodes' real shards over one invented log, with real browser sessions that go from node to node: publications
//! are ordered once for all, whatever becomes of nodes, of news on their way, and of the log's quorum.
//!
//! `SIMULATION_SEED` and `SIMULATION_SECONDS` as for a single node. Seeds are of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

use cometql_engine::Limits;

use super::{Outcome, number};
use crate::operations::{Changes, limits, rules};

mod edge;
mod log;
mod net;
mod operations;
mod others;
#[cfg(planted_bug)]
mod planted;
mod promises;
mod scenarios;
mod world;

use world::World;

const OPERATIONS: usize = 300;

/// Nobody is too fast here: what one node allows is tried elsewhere.
fn unlimited() -> Limits {
    Limits {
        publish_rate: 1_000,
        publish_burst: 1_000,
        user_publish_rate: 0,
        channel_publish_rate: 0,
        tenant_publish_rate: 0,
        backend_channel_rate: 0,
        backend_tenant_rate: 0,
        ..limits()
    }
}

/// Runs a seed with so many operations.
fn attempt(seed: u64, operations: usize) -> Outcome {
    try_out(seed, |world| operations::run(operations, world))
}

fn try_out(seed: u64, happens: impl FnOnce(&mut World) -> u64) -> Outcome {
    // What a panic says is in the result, and told once.
    std::panic::set_hook(Box::new(|_| {}));
    let mut world = World::new(seed, unlimited(), rules(Changes::default()));
    let result = catch_unwind(AssertUnwindSafe(|| happens(&mut world)));
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let text: String = text.unwrap_or_default().chars().take(600).collect();
        (text, world.trace().to_vec())
    })
}

#[track_caller]
fn check(seed: u64) -> u64 {
    let first = match attempt(seed, OPERATIONS) {
        Ok(checked) => return checked,
        Err((message, _)) => message,
    };
    let (mut low, mut high) = (0, OPERATIONS);
    while low < high {
        let operations = (low + high) / 2;
        match attempt(seed, operations).is_err() {
            true => high = operations,
            false => low = operations + 1,
        }
    }
    let shrunk = attempt(seed, high).err();
    let (message, trace) = shrunk.unwrap_or((first, Vec::new()));
    println!("{}", trace.join("\n"));
    drop(std::panic::take_hook());
    panic!(
        "cluster seed {seed}, {high} operations: {message}\n  again: SIMULATION_SEED={seed} cargo test -p cometql-engine --test simulation cluster"
    );
}

#[test]
fn regressions() {
    for scenario in scenarios::SCENARIOS {
        for seed in 1..=20 {
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
        "cluster seeds {from}..{}: {checked} deliveries checked",
        from + seeds
    );
}

/// The same seed is the same run.
#[test]
fn runs_depend_on_nothing_but_the_seed() {
    let trace = || {
        let mut world = World::new(7, unlimited(), rules(Changes::default()));
        operations::run(OPERATIONS, &mut world);
        world.trace().to_vec()
    };
    assert_eq!(trace(), trace());
}
