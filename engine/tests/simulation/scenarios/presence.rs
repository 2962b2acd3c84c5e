//! Who is taken for present.

use cometql_engine::Command;
use cometql_protocol::ChannelName;

use super::{TENANT, publish};
use crate::disk::Health;
use crate::promises::TRACKED;
use crate::world::{Sent, World};

/// A browser misses something in a channel that tells who joins and leaves, asks to go on from where it was, and the store
/// can't say what it missed. It is refused, and so it is not there, until it asks again.
pub(super) fn refused_while_it_went_on(world: &mut World) {
    let set = Command::SetHistory {
        tenant: TENANT,
        channel: ChannelName::parse(TRACKED).unwrap(),
        length: 50,
    };
    world.command(set, Sent::Other);
    world.run(1_000);
    for name in ["watches", "misses"] {
        let (browser, tab) = world.add_browser_called(TENANT, 0, name, 7);
        world.follow(browser, tab, TRACKED, None);
        world.run(5_000);
    }
    // More than the window holds; what comes last shows the gap when the browser reads again.
    let wire = world.browsers[1].wire.unwrap();
    world.wires[wire].swallows = 12;
    world.wires[wire].stalled_until = world.now + 4_000;
    publish(world, TRACKED, 13);
    world.disk.health = Health::Failing;
    world.run(3_000);
    world.check_rest();
    let shown = world.shown(TENANT);
    assert_eq!(shown.len(), 1, "who was refused is shown: {shown:?}");
    world.disk.health = Health::Good;
    world.run(60_000);
    world.check_rest();
}
