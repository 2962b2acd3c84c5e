use cometql_engine::ShardId;
use cometql_protocol::{CloseCode, TenantId, UserId};

use super::*;

const AT: u64 = 10_000;

fn connection(slot: usize) -> ConnectionId {
    ConnectionId::new(ShardId(0), slot, 1)
}

fn channel() -> ChannelName {
    ChannelName::parse("web_a").unwrap()
}

fn event(time_ms: u64, by: usize, happened: Happened) -> Event {
    let about_session = matches!(
        happened,
        Happened::Closed(_) | Happened::CaughtUp(_) | Happened::DroppedSince(_)
    );
    Event {
        time_ms,
        user: None,
        connection: Some(connection(by)),
        channel: (!about_session).then(channel),
        happened,
    }
}

fn subscribed(offset: u64, replayed: u16, reach: u32) -> Happened {
    let epoch = Epoch(1);
    Happened::Subscribed {
        position: Some(Position { epoch, offset }),
        recovered: replayed > 0,
        replayed,
        reach,
    }
}

/// Moments, connections and words of what became of publication 5 of `web_a`, published at [`AT`].
fn told(known: &Known) -> String {
    let found = Place {
        channel: channel(),
        offset: 5,
        epoch: Some(Epoch(1)),
        time_ms: AT,
        kept: "in memory",
    };
    let sought = Sought {
        tenant: TenantId(0),
        user: UserId::new(5).unwrap(),
        channel: Some(channel()),
        offset: 5,
        time_ms: AT,
    };
    let steps = published(&found, &sought, &[], known);
    let told = steps.iter().skip(1).map(|step| {
        let by = step.connection.map_or(0, ConnectionId::slot);
        let after = step.time_ms.saturating_sub(AT);
        format!("{after} {by} {}", step.what)
    });
    told.collect::<Vec<_>>().join(", ")
}

fn known(events: &[Event]) -> Known {
    Known {
        events: events.to_vec(),
        outlooks: Vec::new(),
        conflates: false,
        forgotten_ms: 0,
    }
}

#[track_caller]
fn check(events: &[Event], expected: &str) {
    assert_eq!(told(&known(events)), expected);
}

#[test]
fn to_whom_it_was_handed_follows_from_what_sessions_did() {
    let broke = Happened::Closed(Ending::Broke);
    let there = event(AT - 50, 1, subscribed(4, 0, 0));
    check(&[], "0 0 not sent");
    check(std::slice::from_ref(&there), "0 1 written");
    check(&[there.clone(), event(AT - 30, 1, broke)], "0 0 not sent");
    check(
        &[there.clone(), event(AT + 70, 1, broke)],
        "0 1 written, 70 1 closed",
    );
    // A replay that begins before it or with it has it, also where there are holes.
    for (reach, expected) in [
        (5, "50 1 written"),
        (8, "50 1 written"),
        (4, "0 0 not sent"),
        (0, "0 0 not sent"),
    ] {
        check(&[event(AT + 50, 1, subscribed(9, 2, reach))], expected);
    }
    // All within one millisecond: offsets tell the order.
    check(
        &[
            event(AT, 1, subscribed(4, 0, 0)),
            event(AT, 2, subscribed(5, 0, 0)),
        ],
        "0 1 written",
    );
}

#[test]
fn what_came_of_it_follows_from_what_the_outbox_told() {
    let there = event(AT - 50, 1, subscribed(4, 0, 0));
    let slow = Happened::Closed(Ending::Closed(CloseCode::SlowConsumer));
    let tells = |happened, expected: &str| {
        let events = [
            there.clone(),
            event(AT + 70, 1, happened),
            event(AT + 70, 1, slow),
        ];
        check(&events, expected);
    };
    let written = "0 1 written, 70 1 closed";
    let dropped = "70 1 dropped";
    tells(Happened::Dropped(4, 4), dropped);
    tells(Happened::Dropped(5, 5), dropped);
    tells(Happened::Dropped(6, 9), written);
    tells(Happened::DroppedSince(AT), dropped);
    tells(Happened::DroppedSince(AT + 1), written);
    let replaced = |after, before| Happened::Conflated { after, before };
    tells(replaced(4, 6), "70 1 conflated, 70 1 closed");
    tells(replaced(3, 5), written);
    tells(replaced(5, 9), written);
    let late = "70 1 written, 70 1 closed";
    tells(Happened::CaughtUp(AT - 500), late);
    tells(Happened::CaughtUp(AT + LATE_MS), late);
    tells(Happened::CaughtUp(AT + LATE_MS + 1), written);
    // Within one millisecond: what was handed over is among what was dropped, what came after the end is not.
    for (to, expected) in [(5, "0 1 dropped"), (4, "0 0 not sent")] {
        let events = [
            there.clone(),
            event(AT, 1, Happened::Dropped(3, to)),
            event(AT, 1, slow),
        ];
        check(&events, expected);
    }
    // What is known of its channel counts more than what is known of all.
    let events = [
        there,
        event(AT + 70, 1, Happened::Dropped(6, 9)),
        event(AT + 70, 1, Happened::DroppedSince(AT)),
    ];
    check(&events, "0 1 written");
}

#[test]
fn what_waits_is_in_the_outbox() {
    let there = event(AT - 50, 1, subscribed(4, 0, 0));
    let with = |place| Known {
        outlooks: vec![Outlook {
            connection: connection(1),
            stuck_ms: AT - 10,
            place,
        }],
        ..known(std::slice::from_ref(&there))
    };
    assert_eq!(told(&with(InOutbox::Waits)), "0 1 in outbox");
    assert_eq!(told(&with(InOutbox::Conflated)), "0 1 conflated");
    assert_eq!(told(&with(InOutbox::No)), "0 1 written");
    let forgotten = |forgotten_ms| Known {
        conflates: true,
        forgotten_ms,
        ..with(InOutbox::No)
    };
    assert_eq!(told(&forgotten(AT)), "0 1 sent");
    assert_eq!(told(&forgotten(AT - 1)), "0 1 written");
}
