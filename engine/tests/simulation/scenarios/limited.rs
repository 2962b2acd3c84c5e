//! Limits that runs of seeds never reach: of requests, subscriptions, chosen ids, and of what waits on the node.

use cometql_engine::Limits;
use cometql_protocol::TenantId;
use cometql_protocol::client::Question;

use super::{TENANT, follows, publish};
use crate::operations::{CHANNELS, limits};
use crate::promises::KEPT;
use crate::world::{Chosen, Sent, World};

/// A channel with a window.
const WINDOW: &str = "web_a";

/// A few requests at once, and then a few a second.
pub(super) fn slowly() -> Limits {
    Limits {
        request_rate: 3,
        request_burst: 12,
        user_request_rate: 4,
        tenant_request_rate: 6,
        ..limits()
    }
}

/// Connections, a user on two of them and a whole tenant go too fast; another tenant notices nothing. In the end all have
/// what they asked for.
pub(super) fn asks_too_much(world: &mut World) {
    let tenants = [TENANT, TENANT, TENANT, TenantId(2)];
    let users = [1, 1, 0, 2];
    for (tenant, user) in tenants.into_iter().zip(users) {
        world.add_browser_of(tenant, user);
    }
    world.run(5_000);
    for round in 0..12 {
        for browser in 0..tenants.len() {
            let (&tab, _) = world.browsers[browser].tabs.first_key_value().unwrap();
            if let Some(channel) = CHANNELS[..6].get(round) {
                world.follow(browser, tab, channel, None);
            }
            let channel = WINDOW.to_owned();
            let question = match round % 3 {
                0 => Question::Presence(channel),
                1 => Question::PresenceCount(channel),
                _ => Question::UserStatus(1),
            };
            world.ask(browser, tab, question);
        }
        world.run(700);
    }
    world.run(60_000);
}

/// Fewer than there are channels.
pub(super) fn few_subscriptions() -> Limits {
    Limits {
        subscriptions: 3,
        ..limits()
    }
}

/// A tab follows more channels than its session may.
pub(super) fn subscribes_to_all(world: &mut World) {
    let (browser, tab) = world.add_browser_of(TENANT, 0);
    world.run(5_000);
    for channel in &CHANNELS[..6] {
        world.follow(browser, tab, channel, None);
    }
    world.run(10_000);
    let most = world.limits.subscriptions;
    let shown = world.shown(TENANT).len();
    assert_eq!(shown, most, "subscriptions of a session");
    let follows = &world.browsers[browser].tabs[&tab].follows;
    assert_eq!(follows.len(), most, "the tab knows what it has not");
}

/// Ids of about this many messages on the whole node.
const IDS: usize = 16;

pub(super) fn few_ids() -> Limits {
    Limits {
        retry_bytes: IDS * 256,
        ..limits()
    }
}

/// More messages come under chosen ids than there is memory for. The newest is known; the first is not, where only memory
/// could know it; the store knows them all.
pub(super) fn many_ids(world: &mut World) {
    let most = IDS / world.shards;
    let of_window = once(world, WINDOW, most + 1);
    again(world, &of_window[most]);
    let first = payload(&of_window[0]);
    world.promises.messages.forgets(&first);
    again(world, &of_window[0]);
    let is_new = world.promises.messages.is_published(&first);
    assert!(
        is_new,
        "{first} is still known, for which there is no memory"
    );
    let kept = once(world, KEPT, most + 1);
    for chosen in &kept {
        again(world, chosen);
    }
}

fn once(world: &mut World, channel: &'static str, times: usize) -> Vec<Chosen> {
    let sent = (0..times).map(|_| {
        let chosen = world.publish_once(TENANT, channel);
        world.run(200);
        chosen
    });
    sent.collect()
}

fn again(world: &mut World, chosen: &Chosen) {
    world.publish_again(chosen);
    world.run(500);
}

fn payload(chosen: &Chosen) -> String {
    match &chosen.sent {
        Sent::Publication(_, _, payload) => payload.clone(),
        other => unreachable!("a publication was sent, not {other:?}"),
    }
}

/// Less than the outboxes of those who read nothing would take.
pub(super) fn small_backlog() -> Limits {
    Limits {
        outbox_bytes_per_node: 160 << 10,
        ..limits()
    }
}

/// Nobody reads. Some are closed so that there is room; then more comes than the window holds, and they have to learn that.
pub(super) fn nobody_reads(world: &mut World) {
    for _ in 0..5 {
        follows(world, WINDOW);
    }
    for browser in 0..5 {
        let wire = world.browsers[browser].wire.unwrap();
        world.wires[wire].stalled_until = world.now + 15_000;
    }
    for _ in 0..7 {
        world.publish(TENANT, WINDOW, 8_000);
        world.run(100);
        let (waits, most) = (world.backlog(), world.limits.outbox_bytes_per_node);
        assert!(waits <= most, "{waits} bytes wait on the node");
    }
    assert!((1..5).contains(&world.relieved), "{}", world.relieved);
    publish(world, WINDOW, 12);
    world.run(60_000);
}
