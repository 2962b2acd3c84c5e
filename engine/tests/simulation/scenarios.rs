//! What once broke a promise, and what runs of seeds don't reach, step by step: however the operations of seeds change,
//! these stay what they are.

use cometql_engine::{Command, Limits};
use cometql_protocol::client::{self, TabId};
use cometql_protocol::{ChannelName, TenantId};

use crate::disk::Health;
use crate::operations::{Changes, limits, rules};
use crate::promises::{CHANGING, KEPT};
use crate::seeds::{Outcome, try_out};
use crate::world::{Sent, World};

mod limited;
mod original;
mod presence;

const TENANT: TenantId = TenantId(1);

/// Seeds with which each is played: only delays depend on them.
pub(crate) const SEEDS: u64 = 8;

/// What has to go well, step by step.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The bug, as it can be planted again (`protocol/src/planted.rs`).
    #[cfg_attr(
        not(planted_bug),
        expect(dead_code, reason = "planted in another build")
    )]
    pub(crate) bug: &'static str,
    limits: fn() -> Limits,
    script: fn(&mut World),
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a channel that was durable for a while gave out the same offsets twice in an epoch",
        bug: "engine-keeps-the-epoch",
        limits,
        script: durable_for_a_while,
    },
    Scenario {
        name: "and so did one that became durable while it was in use",
        bug: "engine-opens-at-the-beginning",
        limits,
        script: durable_while_in_use,
    },
    Scenario {
        name: "a disk that failed to read made a durable history look lost",
        bug: "engine-takes-a-failing-disk-for-a-loss",
        limits,
        script: disk_fails_to_read,
    },
    Scenario {
        name: "who could not go on from its position was still taken for present",
        bug: "engine-forgets-who-was-refused",
        limits,
        script: presence::refused_while_it_went_on,
    },
    Scenario {
        name: "requests have limits, and only who goes too fast is refused",
        bug: "engine-forgets-request-limits",
        limits: limited::slowly,
        script: limited::asks_too_much,
    },
    Scenario {
        name: "and each user has a limit of its own",
        bug: "engine-shares-rate-limits",
        limits: limited::slowly,
        script: limited::asks_too_much,
    },
    Scenario {
        name: "a session has so many subscriptions and no more",
        bug: "engine-forgets-the-subscription-limit",
        limits: limited::few_subscriptions,
        script: limited::subscribes_to_all,
    },
    Scenario {
        name: "ids that senders chose take so much memory and no more, and the store knows them all the same",
        bug: "engine-keeps-every-id",
        limits: limited::few_ids,
        script: limited::many_ids,
    },
    Scenario {
        name: "the newest of these ids are known",
        bug: "engine-forgets-retries",
        limits: limited::few_ids,
        script: limited::many_ids,
    },
    Scenario {
        name: "what waits on a node is bounded, and who is closed for it goes on or is told of a gap",
        bug: "client-hides-gaps",
        limits: limited::small_backlog,
        script: limited::nobody_reads,
    },
    Scenario {
        name: "a write to the original's page acknowledges, but not while one of ours is open",
        bug: "engine-takes-writes-for-acknowledgements",
        limits,
        script: original::is_written,
    },
    Scenario {
        name: "a page of the original that vanishes is not awaited",
        bug: "engine-awaits-the-original",
        limits,
        script: original::vanishes,
    },
];

impl Scenario {
    /// Only delays depend on the seed.
    pub(crate) fn play(&self, seed: u64) -> Outcome {
        let world = World::new(seed, (self.limits)(), rules(Changes::default()));
        try_out(world, World::trace, |world| {
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
