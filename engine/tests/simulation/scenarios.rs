//! What once broke a promise, step by step: however the operations of seeds change, these stay what they are.

use cometql_engine::Command;
use cometql_protocol::client::{self, TabId};
use cometql_protocol::{ChannelName, TenantId};

use super::{OPERATIONS, Outcome, Plan, try_out};
use crate::disk::Health;
use crate::operations::Changes;
use crate::promises::{CHANGING, KEPT};
use crate::world::{Sent, World};

const TENANT: TenantId = TenantId(1);

/// A regression.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The bug, as it can be planted again (`protocol/src/planted.rs`).
    #[cfg_attr(
        not(planted_bug),
        expect(dead_code, reason = "planted in another build")
    )]
    pub(crate) bug: &'static str,
    script: fn(&mut World),
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a channel that was durable for a while gave out the same offsets twice in an epoch",
        bug: "engine-keeps-the-epoch",
        script: durable_for_a_while,
    },
    Scenario {
        name: "and so did one that became durable while it was in use",
        bug: "engine-opens-at-the-beginning",
        script: durable_while_in_use,
    },
    Scenario {
        name: "a disk that failed to read made a durable history look lost",
        bug: "engine-takes-a-failing-disk-for-a-loss",
        script: disk_fails_to_read,
    },
];

impl Scenario {
    /// Only delays depend on the seed.
    pub(crate) fn play(&self, seed: u64) -> Outcome {
        let operations = OPERATIONS;
        try_out(Plan { seed, operations }, |world| {
            world.healed = true;
            (self.script)(world);
            world.end();
            world.promises.checked
        })
    }
}

fn durable_for_a_while(world: &mut World) {
    let durable = |durable| Changes {
        durable,
        ..Changes::default()
    };
    follows(world, CHANGING);
    world.set_rules(durable(true));
    publish(world, CHANGING, 3);
    world.set_rules(durable(false));
    publish(world, CHANGING, 2);
    world.crash();
    world.start();
    world.set_rules(durable(true));
    publish(world, CHANGING, 4);
}

fn durable_while_in_use(world: &mut World) {
    follows(world, CHANGING);
    publish(world, CHANGING, 3);
    let set = Command::SetHistory {
        tenant: TENANT,
        channel: ChannelName::parse(CHANGING).unwrap(),
        length: 20,
    };
    world.command(set, Sent::Other);
    publish(world, CHANGING, 2);
    world.crash();
    world.start();
    publish(world, CHANGING, 2);
}

fn disk_fails_to_read(world: &mut World) {
    let (browser, _) = follows(world, KEPT);
    publish(world, KEPT, 3);
    world.session(browser, client::Input::Close);
    // More than the window holds: only the store knows what is missing.
    publish(world, KEPT, 20);
    world.disk.health = Health::Failing;
    world.session(browser, client::Input::Open);
    world.run(3_000);
    world.disk.health = Health::Good;
    world.run(60_000);
}

/// A browser that follows a channel.
fn follows(world: &mut World, channel: &'static str) -> (usize, TabId) {
    let (browser, tab) = world.add_browser_of(TENANT, 0);
    world.follow(browser, tab, channel, None);
    world.run(5_000);
    (browser, tab)
}

fn publish(world: &mut World, channel: &'static str, times: usize) {
    for _ in 0..times {
        world.publish(TENANT, channel, 0);
    }
    world.run(2_000);
}
