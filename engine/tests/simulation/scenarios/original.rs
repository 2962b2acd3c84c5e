//! Connections of the original's protocol beside ours.

use super::{TENANT, follows};
use crate::promises::TRACKED;
use crate::world::World;

const USER: u64 = 1;

/// What is written to the page of a user who has nothing else is delivered. Once a session of ours is open, it is not,
/// although that one has no handler yet; then it has one.
pub(super) fn is_written(world: &mut World) {
    world.open_original(TENANT, USER);
    world.run(1_000);
    assert_eq!(world.kinds(TENANT), ["legacy"]);
    send(world, 3);
    assert_eq!(world.waiting(TENANT, USER), 3, "nothing is written yet");
    world.original_is_written();
    world.run(1_000);
    assert_eq!(world.waiting(TENANT, USER), 0, "written, but not delivered");

    let (browser, tab) = world.add_browser_of(TENANT, USER);
    world.run(5_000);
    let mut kinds = world.kinds(TENANT);
    kinds.sort_unstable();
    assert_eq!(kinds, ["legacy", "websocket"]);
    send(world, 2);
    world.original_is_written();
    world.run(1_000);
    assert_eq!(
        world.waiting(TENANT, USER),
        2,
        "one of ours has not seen them"
    );
    world.handles(browser, tab, true);
    world.run(60_000);
    assert_eq!(world.waiting(TENANT, USER), 0, "handled, but not delivered");
    world.original_breaks();
}

/// Others are told at once that a page has left, and its user is offline.
pub(super) fn vanishes(world: &mut World) {
    follows(world, TRACKED);
    world.open_original(TENANT, USER);
    world.run(1_000);
    world.original_subscribes(TRACKED);
    world.run(1_000);
    world.check_rest();
    assert!(world.is_online(TENANT, USER), "it has logged in");
    assert_eq!(world.shown(TENANT).len(), 2);
    world.original_breaks();
    assert!(world.limits.grace_ms > 1_000);
    world.run(500);
    world.check_rest();
    assert!(
        !world.is_online(TENANT, USER),
        "the original's user is awaited"
    );
    assert_eq!(world.shown(TENANT).len(), 1);
}

fn send(world: &mut World, times: usize) {
    for _ in 0..times {
        world.send(TENANT, USER);
    }
    world.run(1_000);
}
