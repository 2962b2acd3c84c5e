//! What a seed shows seldom, step by step.

use cometql_protocol::TenantId;
use cometql_protocol::client::{self, TabId, TabInput};

use super::world::World;
use crate::promises::{CHANGING, TRACKED};
use crate::seeds::{Outcome, try_out};

const TENANT: TenantId = TenantId(1);

/// A run of its own.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The bug that it finds (`protocol/src/planted.rs`).
    #[cfg_attr(
        not(planted_bug),
        expect(dead_code, reason = "planted in another build")
    )]
    pub(super) bug: &'static str,
    script: fn(&mut World),
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a dead node takes its members with it",
        bug: "engine-keeps-members-of-dead-nodes",
        script: dead_node_takes_its_members,
    },
    Scenario {
        name: "users of a dead node are offline, said once",
        bug: "engine-keeps-users-of-dead-nodes",
        script: dead_node_takes_its_users,
    },
    Scenario {
        name: "two nodes set the same channel at a time",
        bug: "engine-sets-by-itself",
        script: two_nodes_set_a_channel,
    },
    Scenario {
        name: "private messages come while the inbox is read",
        bug: "engine-forgets-arrivals",
        script: messages_come_while_the_inbox_is_read,
    },
];

impl Scenario {
    /// Only delays, and who is on which node, depend on the seed.
    pub(super) fn play(&self, seed: u64) -> Outcome {
        try_out(super::world(seed), World::trace, |world| {
            world.healed = true;
            (self.script)(world);
            world.promises.checked
        })
    }
}

/// Browsers join one after the other, a node dies, and those on it come back elsewhere.
fn dead_node_takes_its_members(world: &mut World) {
    const BROWSERS: usize = 6;
    for _ in 0..BROWSERS {
        let (browser, tab) = world.add_browser(TENANT, 0);
        world.follow(browser, tab, TRACKED);
        world.run(2_000);
    }
    world.kill(0);
    world.run(30_000);
    for (at, browser) in world.browsers.iter().enumerate() {
        let stayed = world.wires.iter().filter(|wire| wire.browser == at).count() == 1;
        let follow = &browser.tabs[&TabId(1)].follows[TRACKED];
        // Who came after it is there, and nobody else is whom it did not find.
        let told: i64 = follow.members.values().sum();
        let came = i64::try_from(BROWSERS - 1 - at).unwrap();
        assert!(
            !stayed || told == came,
            "browser {at} knows of {told} more members, not {came}"
        );
    }
}

/// A user's browser goes together with its node; another user stays.
fn dead_node_takes_its_users(world: &mut World) {
    let (gone, _) = world.add_browser(TENANT, 1);
    world.add_browser(TENANT, 2);
    world.run(5_000);
    let wire = world.browsers[gone].wire.unwrap();
    let (node, _) = world.wires[wire].at.unwrap();
    world.kill(node);
    world.session(gone, client::Input::Close);
    world.run(30_000);
    let online = world.users();
    assert!(!online.contains(&(TENANT.0, 1)), "it does not come back");
    world.promises.check_statuses(&online);
}

/// Afterwards all nodes publish where its subscriber hears it.
fn two_nodes_set_a_channel(world: &mut World) {
    let (browser, tab) = world.add_browser(TENANT, 0);
    world.follow(browser, tab, CHANGING);
    world.run(2_000);
    for length in 0..20 {
        world.set_length(0, None);
        world.set_length(1, Some(length));
        world.run(2_000);
        for node in 0..3 {
            let payload = world.publish(node, CHANGING);
            world.run(1_000);
            let follow = &world.browsers[browser].tabs[&tab].follows[CHANGING];
            assert!(follow.seen.contains(&payload), "{payload} did not come");
        }
    }
}

/// A user's only connection breaks time and again.
fn messages_come_while_the_inbox_is_read(world: &mut World) {
    const USER: u64 = 1;
    let (browser, tab) = world.add_browser(TENANT, USER);
    world.tab(browser, tab, TabInput::InboxOn);
    world
        .browsers
        .get_mut(browser)
        .and_then(|browser| browser.tabs.get_mut(&tab))
        .expect("it was added")
        .handles = true;
    for _ in 0..40 {
        world.run(2_000);
        if let Some(wire) = world.browsers[browser].wire {
            world.break_wire(wire);
        }
        for _ in 0..20 {
            let pause = world.rng.below(120);
            world.run(pause);
            let node = world.rng.index(3);
            world.send_to(node, USER);
        }
    }
    world.run(60_000);
    world.check_users();
}
