//! Several nodes' real shards over one invented log, with real browser sessions that go from node to node: publications
//! are ordered once for all, whatever becomes of nodes, of news on their way, and of the log's quorum.
//!
//! `SIMULATION_SEED` and `SIMULATION_SECONDS` as for a single node. Seeds are of their own. With `SIMULATION_CUTS` nodes are cut
//! off, too (`partition.rs`).

use cometql_engine::Limits;

use crate::operations::{Changes, limits, rules};
use crate::seeds::{Outcome, Trial, number, tell, try_out};

mod edge;
mod log;
mod net;
mod operations;
mod others;
mod partition;
#[cfg(planted_bug)]
mod planted;
mod promises;
mod scenarios;
mod world;

use world::World;

const CLUSTER: Trial = Trial {
    name: "cluster",
    operations: 300,
    attempt,
};

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

fn attempt(seed: u64, operations: usize) -> Outcome {
    try_out(world(seed), World::trace, |world| {
        world.cuts = number("SIMULATION_CUTS").is_some();
        operations::run(operations, world)
    })
}

fn world(seed: u64) -> World {
    World::new(seed, unlimited(), rules(Changes::default()))
}

#[test]
fn regressions() {
    for scenario in scenarios::SCENARIOS {
        for seed in 1..=20 {
            let what = format!("{}, with seed {seed}", scenario.name);
            tell(&what, scenario.play(seed));
        }
    }
}

#[test]
fn fresh_seeds() {
    CLUSTER.fresh_seeds();
}

/// The same seed is the same run.
#[test]
fn runs_depend_on_nothing_but_the_seed() {
    let trace = || {
        let mut world = world(7);
        operations::run(CLUSTER.operations, &mut world);
        world.trace().to_vec()
    };
    assert_eq!(trace(), trace());
}
