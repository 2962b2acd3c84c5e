//! What a seed shows seldom, step by step.

use cometql_protocol::TenantId;
use cometql_protocol::client::{self, TabId};

use super::world::World;
use crate::promises::TRACKED;
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
