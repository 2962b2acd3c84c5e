//! What is announced is heard in order or asked for again, and is written as version 1 writes it.

use cometql_engine::{Announce, Departure, LogEvent, ShardId, UserThere};
use cometql_protocol::wire::Member;
use cometql_protocol::{ChannelName, TenantId, UserId};

use super::peers::{Peer, Said};
use super::wire::{self, Moved, UserMoved, UsersTold};
use crate::cluster::{Names, NodeId};

const TENANT: TenantId = TenantId(7);

fn user(number: u64) -> UserId {
    UserId::new(number).unwrap()
}

fn moved(shard: u8, number: u64) -> UserMoved {
    UserMoved {
        shard,
        number,
        tenant: TENANT,
        user: user(5),
        there: UserThere::Online { reads: true },
    }
}

fn list(shard: u8, number: u64) -> UsersTold {
    let mut parts = UsersTold::parts(shard, number, &[(TENANT, user(5), false)]);
    assert_eq!(parts.len(), 1);
    parts.remove(0)
}

fn numbers(moved: &[UserMoved]) -> Vec<(u8, u64)> {
    moved
        .iter()
        .map(|moved| (moved.shard, moved.number))
        .collect()
}

#[test]
fn what_came_while_the_list_was_awaited_follows_it() {
    let mut peer = Peer::default();
    assert!(peer.asks());
    for (shard, number) in [(0, 3), (0, 4), (1, 1), (0, 5), (1, 2)] {
        assert_eq!(peer.hear(moved(shard, number)), Said::Nothing);
    }
    let (since, again) = peer.answered(&[list(0, 4), list(1, 0)]);
    assert_eq!(numbers(&since), [(1, 1), (0, 5), (1, 2)]);
    assert!(!again);
    assert_eq!(peer.hear(moved(0, 5)), Said::Nothing, "a repeat");
    assert_eq!(peer.hear(moved(0, 6)), Said::Next(moved(0, 6)));
}

#[test]
fn who_misses_something_asks_for_all() {
    let mut peer = Peer::default();
    assert!(peer.asks());
    peer.answered(&[list(0, 1)]);
    assert_eq!(peer.hear(moved(0, 3)), Said::Missed);
    assert!(peer.asks());
    assert!(!peer.asks(), "it is on its way");
    let (since, again) = peer.answered(&[list(0, 3)]);
    assert_eq!(numbers(&since), []);
    assert!(again, "it may have been made too early");
    assert!(peer.asks());
    assert_eq!(peer.hear(moved(0, 5)), Said::Nothing);
    let (_, again) = peer.answered(&[list(0, 3)]);
    assert!(again, "number 4 is missing");
    peer.failed();
    assert!(peer.asks());
}

#[test]
fn lists_come_in_parts() {
    let users: Vec<_> = (1..=9_000)
        .map(|number| (TENANT, user(number), true))
        .collect();
    let parts = UsersTold::parts(3, 8, &users);
    assert_eq!(parts.len(), 3);
    let back: Vec<_> = parts.iter().flat_map(UsersTold::users).collect();
    assert_eq!(back, users);
    assert_eq!(UsersTold::parts(3, 8, &[]).len(), 1, "it tells the number");
    let text = r#"{"shard":3,"number":8,"users":[[7,1,true]]}"#;
    let told: UsersTold = serde_json::from_str(text).unwrap();
    assert_eq!(told, UsersTold::parts(3, 8, &users[..1])[0]);
    assert_eq!(serde_json::to_string(&told).unwrap(), text);
}

#[track_caller]
fn written(announce: Announce, expected: &str) -> Vec<u8> {
    let names = Names::new("cometql");
    let told = wire::announcement(&names, "n1-0a1b2c3d", (ShardId(1), 9), announce);
    let (subject, text) = told.unwrap();
    assert_eq!(format!("{subject} {text}"), expected);
    // Later versions may say more.
    text.replacen('{', r#"{"later":[1],"#, 1).into_bytes()
}

#[test]
fn joins_and_leaves_of_version_1() {
    let channel = ChannelName::parse("web.a").unwrap();
    let member = || Member {
        user: Some(user(5)),
        uuid: "u".into(),
    };
    let joined = Announce::Joined {
        tenant: TENANT,
        channel: channel.clone(),
        member: member(),
    };
    let text = written(
        joined,
        r#"cometql.p.7.web=a {"v":1,"node":"n1-0a1b2c3d","what":"joined","member":{"user":5,"uuid":"u"}}"#,
    );
    let event = Moved::read(&text).unwrap().event((TENANT, channel.clone()));
    assert!(matches!(event, Some(LogEvent::Joined { member: of, .. }) if of == member()));
    let left = Announce::Left {
        tenant: TENANT,
        channel: channel.clone(),
        member: Member {
            user: None,
            uuid: String::new(),
        },
        departure: Departure::MayReturn,
    };
    let text = written(
        left,
        r#"cometql.p.7.web=a {"v":1,"node":"n1-0a1b2c3d","what":"left","member":{"uuid":""},"may_return":true}"#,
    );
    let event = Moved::read(&text).unwrap().event((TENANT, channel.clone()));
    assert!(matches!(
        event,
        Some(LogEvent::Left {
            departure: Departure::MayReturn,
            ..
        })
    ));
    let later = br#"{"v":1,"node":"n1-0a1b2c3d","what":"teleported"}"#;
    assert!(
        Moved::read(later)
            .unwrap()
            .event((TENANT, channel))
            .is_none()
    );
}

#[test]
fn announcements_of_users_of_version_1() {
    for (there, is) in [
        (
            UserThere::Online { reads: true },
            r#""is":"online","reads":true"#,
        ),
        (
            UserThere::Offline { told: false },
            r#""is":"offline","told":false"#,
        ),
    ] {
        let announce = Announce::User {
            tenant: TENANT,
            user: user(5),
            there,
        };
        let expected = format!(
            r#"cometql.user {{"v":1,"node":"n1-0a1b2c3d","shard":1,"number":9,"tenant":7,"user":5,{is}}}"#
        );
        let (node, read) = wire::user(&written(announce, &expected)).unwrap();
        assert_eq!(node, NodeId::told("n1-0a1b2c3d"));
        let expected = UserMoved {
            there,
            ..moved(1, 9)
        };
        assert_eq!(read, expected);
    }
    for none in [
        "",
        "{}",
        "[]",
        r#"{"v":1,"node":"a","user":0,"is":"online"}"#,
    ] {
        assert_eq!(wire::user(none.as_bytes()), None, "{none}");
        assert_eq!(Moved::read(none.as_bytes()), None, "{none}");
    }
}
