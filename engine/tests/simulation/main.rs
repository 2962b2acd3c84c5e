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
mod seeds;
mod world;

use operations::{Changes, limits, rules, run};
use scenarios::SCENARIOS;
use seeds::{Outcome, Trial, tell, try_out};
use world::World;

const NODE: Trial = Trial {
    name: "node",
    operations: 400,
    attempt,
};

fn attempt(seed: u64, operations: usize) -> Outcome {
    try_out(world(seed), World::trace, |world| run(operations, world))
}

fn world(seed: u64) -> World {
    World::new(seed, limits(), rules(Changes::default()))
}

#[test]
fn regressions() {
    for scenario in SCENARIOS {
        for seed in 1..=scenarios::SEEDS {
            let what = format!("{}, with seed {seed}", scenario.name);
            tell(&what, scenario.play(seed));
        }
    }
}

#[test]
fn fresh_seeds() {
    NODE.fresh_seeds();
}

/// The same seed is the same run: otherwise no failure could be looked at.
#[test]
fn runs_depend_on_nothing_but_the_seed() {
    let trace = || {
        let mut world = world(7);
        run(NODE.operations, &mut world);
        world.trace().to_vec()
    };
    assert_eq!(trace(), trace());
}
