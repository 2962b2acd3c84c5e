//! Who is there: a reload of a page is no coming and going, and whoever is told of a leave was told of the join.

use cometql_protocol::CloseCode;
use cometql_protocol::wire::decode_requests;

use super::super::*;
use super::harness::{Node, TENANT, data, position};
use crate::permission::{Pattern, Retention, Rule, UserDataRule};
use crate::{Departure, Disconnect};

const GRACE_MS: u64 = 5_000;

/// A connection of the user in `track_a`.
fn member(node: &mut Node, shard: u8, user: u64, uuid: &str) -> ConnectionId {
    let connection = node.open(shard);
    join(node, connection, user, uuid);
    connection
}

/// `user` 0 = anonymous.
fn join(node: &mut Node, connection: ConnectionId, user: u64, uuid: &str) {
    let who = match user {
        0 => String::new(),
        user => format!(r#","user":{user},"hash":"h""#),
    };
    let connect = format!(r#"{{"id":1,"connect":{{"uuid":"{uuid}"{who}}}}}"#);
    node.ask(connection, &connect);
    node.ask(connection, r#"{"id":2,"subscribe":"track_a"}"#);
}

/// Who sees others come to `track_a` and go, and whether user 7 is online.
fn watcher(node: &mut Node) -> ConnectionId {
    let watcher = node.open(0);
    let subscribe = r#"{"id":1,"subscribe":["track_a","user_status_7"]}"#;
    node.ask(watcher, subscribe);
    node.later(1);
    watcher
}

/// What a watcher was told, in short: `+7` joined, `-7` left, and statuses.
#[track_caller]
fn heard(node: &mut Node, watcher: ConnectionId, expected: &str) {
    let told = node.told(watcher);
    let short = told.iter().map(|text| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let who = &value["member"];
        let name = who["user"].as_u64().map_or_else(
            || who["uuid"].as_str().unwrap_or_default().to_owned(),
            |user| user.to_string(),
        );
        match value["push"].as_str().unwrap() {
            "join" => format!("+{name}"),
            "leave" => format!("-{name}"),
            _ => data(std::slice::from_ref(text)).concat(),
        }
    });
    assert_eq!(short.collect::<Vec<_>>().join(" "), expected);
}

/// How many are in `track_a`, by the list, the count, and the views of the shards.
#[track_caller]
fn present(node: &mut Node, asks: ConnectionId, expected: usize) {
    let both = "{\"id\":8,\"presence\":{\"channel\":\"track_a\"}}\n{\"id\":9,\"presence_count\":{\"channel\":\"track_a\"}}";
    let told = node.ask(asks, both);
    assert_eq!(told[0].matches("uuid").count(), expected, "{}", told[0]);
    let count = format!(r#""count":{expected}}}}}"#);
    assert!(told[1].ends_with(&count), "{}", told[1]);
}

fn is_online(node: &Node, user: u64) -> bool {
    let users = [UserId::new(user).unwrap()];
    let online = |shard: &Shard<u64>| !shard.users_online(TENANT, Some(&users)).is_empty();
    node.shards().iter().any(online)
}

#[test]
fn a_reload_is_neither_leave_nor_join() {
    let mut node = Node::new();
    let watcher = watcher(&mut node);
    let one = member(&mut node, 1, 7, "u");
    heard(&mut node, watcher, "online +7");
    node.vanish(one);
    present(&mut node, watcher, 1);
    assert!(is_online(&node, 7), "until it is certain");
    assert_eq!(node.shards()[0].totals(None).users_online, 0);
    node.later(GRACE_MS - 1);
    let again = member(&mut node, 2, 7, "u");
    present(&mut node, watcher, 2);
    node.later(10 * GRACE_MS);
    heard(&mut node, watcher, "");
    assert!(is_online(&node, 7));
    node.close(again);
    heard(&mut node, watcher, "-7 offline");
}

#[test]
fn who_does_not_return_has_left_when_it_vanished() {
    let mut node = Node::new();
    let watcher = watcher(&mut node);
    let one = member(&mut node, 1, 7, "u");
    heard(&mut node, watcher, "online +7");
    let left = node.now.seconds();
    node.vanish(one);
    node.later(GRACE_MS - 1);
    heard(&mut node, watcher, "");
    node.later(1);
    heard(&mut node, watcher, "-7 offline");
    assert!(!is_online(&node, 7));
    let told = node.ask(watcher, r#"{"id":2,"user_status":{"user":7}}"#);
    let seen = format!(r#""online":false,"last_seen":{left}}}}}"#);
    assert!(told[0].ends_with(&seen), "{told:?}");
    member(&mut node, 2, 7, "u");
    heard(&mut node, watcher, "online +7");
}

#[test]
fn of_several_connections_those_that_return_are_not_missed() {
    let mut node = Node::new();
    let watcher = watcher(&mut node);
    let one = member(&mut node, 0, 7, "u");
    let two = member(&mut node, 1, 7, "u");
    let other = member(&mut node, 2, 7, "other browser");
    heard(&mut node, watcher, "online +7 +7 +7");
    node.vanish(one);
    node.vanish(two);
    node.vanish(other);
    member(&mut node, 1, 7, "u");
    heard(&mut node, watcher, "");
    node.later(GRACE_MS);
    heard(&mut node, watcher, "-7 -7");
    assert!(is_online(&node, 7));
}

#[test]
fn a_device_that_leaves_for_good_does_not_take_along_one_that_may_return() {
    let mut node = Node::new();
    let watcher = watcher(&mut node);
    let (one, two) = (node.user(1, 7), node.user(2, 7));
    heard(&mut node, watcher, "online");
    node.vanish(one);
    node.later(1_000);
    node.close(two);
    heard(&mut node, watcher, "");
    node.later(GRACE_MS - 1_000);
    heard(&mut node, watcher, "offline");
}

#[test]
fn who_came_meanwhile_is_told_that_somebody_returned() {
    let mut node = Node::new();
    let first = watcher(&mut node);
    let one = member(&mut node, 1, 7, "u");
    heard(&mut node, first, "online +7");
    node.vanish(one);
    let second = watcher(&mut node);
    present(&mut node, second, 2);
    heard(&mut node, first, "+");
    member(&mut node, 1, 7, "u");
    heard(&mut node, first, "");
    heard(&mut node, second, "+7");
}

#[test]
fn who_came_after_it_vanished_is_not_told_that_somebody_left() {
    let mut node = Node::new();
    let first = watcher(&mut node);
    let one = member(&mut node, 1, 7, "u");
    member(&mut node, 2, 7, "u");
    heard(&mut node, first, "online +7 +7");
    node.vanish(one);
    node.later(1);
    let second = watcher(&mut node);
    heard(&mut node, first, "+");
    // Of the two it saw the one that is still there.
    present(&mut node, second, 3);
    node.later(GRACE_MS);
    heard(&mut node, first, "-7");
    heard(&mut node, second, "");
}

#[test]
fn anonymous_members_are_awaited_if_they_can_be_recognised() {
    let mut node = Node::new();
    let watcher = watcher(&mut node);
    let (named, nameless) = (member(&mut node, 1, 0, "u"), member(&mut node, 1, 0, ""));
    heard(&mut node, watcher, "+u +");
    node.vanish(nameless);
    node.vanish(named);
    heard(&mut node, watcher, "-");
    member(&mut node, 2, 0, "u");
    node.later(GRACE_MS);
    heard(&mut node, watcher, "");
}

/// `leave` ends the connection of user 7; others must know at once.
#[track_caller]
fn check_at_once(limits: Limits, legacy: bool, leave: impl FnOnce(&mut Node, ConnectionId)) {
    let mut node = Node::with(limits, Rules::default());
    let watcher = watcher(&mut node);
    let one = node.open_on(1, legacy);
    join(&mut node, one, 7, "u");
    heard(&mut node, watcher, "online +7");
    leave(&mut node, one);
    let told = node.told(watcher).concat();
    assert!(told.contains("offline") && told.contains("leave"), "{told}");
    assert!(!is_online(&node, 7));
    node.later(GRACE_MS);
    heard(&mut node, watcher, "");
}

#[test]
fn leaves_that_are_certain_are_told_at_once() {
    let usual = Limits::default;
    let user = UserId::new(7).unwrap();
    let tenant = TENANT;
    check_at_once(usual(), false, Node::close);
    check_at_once(usual(), true, Node::vanish);
    let none = Limits {
        grace_ms: 0,
        ..usual()
    };
    check_at_once(none, false, Node::vanish);
    let full = Limits {
        awaited: 0,
        ..usual()
    };
    check_at_once(full, false, Node::vanish);
    check_at_once(usual(), false, |node, _| {
        node.tell_disconnect(&Disconnect::User { tenant, user });
    });
    check_at_once(usual(), false, |node, connection| {
        let tenant = Some(tenant);
        node.tell_disconnect(&Disconnect::Connection { tenant, connection });
    });
    // Also when it is gone already, and its return is awaited.
    check_at_once(usual(), false, |node, connection| {
        node.vanish(connection);
        assert!(is_online(node, 7));
        node.tell_disconnect(&Disconnect::User { tenant, user });
    });
}

#[test]
fn an_unsubscribe_is_told_at_once() {
    let mut node = Node::new();
    let watcher = watcher(&mut node);
    let one = member(&mut node, 1, 7, "u");
    node.ask(one, r#"{"id":3,"unsubscribe":"track_a"}"#);
    heard(&mut node, watcher, "online +7 -7");
}

#[test]
fn so_many_are_awaited_and_no_more() {
    let limits = Limits {
        awaited: 2,
        ..Limits::default()
    };
    let mut node = Node::with(limits, Rules::default());
    let watcher = watcher(&mut node);
    let members = [1, 2, 3].map(|user| member(&mut node, 1, user, "u"));
    heard(&mut node, watcher, "+1 +2 +3");
    for member in members {
        node.vanish(member);
    }
    heard(&mut node, watcher, "-3");
    node.later(GRACE_MS);
    heard(&mut node, watcher, "-1 -2");
}

#[test]
fn close_codes_tell_whether_somebody_may_return() {
    for (ending, departure) in [
        (Ending::Broke, Departure::MayReturn),
        (Ending::Left(None), Departure::ForGood),
        (Ending::Left(Some(1000)), Departure::ForGood),
        (Ending::Left(Some(1001)), Departure::MayReturn),
        (Ending::Left(Some(4000)), Departure::MayReturn),
    ] {
        assert_eq!(ending.departure(), departure, "{ending:?}");
    }
    let may_return = |code: &&CloseCode| Ending::Closed(**code).departure() == Departure::MayReturn;
    let codes = CloseCode::ALL.iter().filter(may_return);
    let codes: Vec<_> = codes.map(|code| code.code()).collect();
    assert_eq!(codes, [1001, 1011, 4000, 4001, 4002, 4003, 4101]);
}

/// Hands in a request and lets nothing follow yet.
fn put(node: &mut Node, connection: ConnectionId, request: &str) {
    for request in decode_requests(request) {
        let request = Input::Request(connection, request.unwrap());
        node.put(connection.shard(), request);
    }
}

fn durable() -> Rules {
    let rule = Rule {
        retention: Some(Retention::Durable {
            publications: 10,
            age_ms: u64::MAX,
        }),
        join_leave: Some(true),
        ..Rule::new("log_", Pattern::Prefix("log_".into()))
    };
    Rules::new(vec![rule], UserDataRule::Anyone)
}

#[test]
fn who_can_not_go_on_has_left() {
    let mut node = Node::with(Limits::default(), durable());
    let (one, watcher) = (node.user(0, 7), node.open(1));
    node.ask(watcher, r#"{"id":1,"subscribe":"log_a"}"#);
    let since = position(&node.ask(one, r#"{"id":2,"subscribe":"log_a"}"#)[0]);
    heard(&mut node, watcher, "+7");
    node.rules(Rules::default());
    node.world.store_fails = true;
    node.rules(durable());
    let again = format!(r#"{{"id":3,"subscribe":{{"channel":"log_a",{since}}}}}"#);
    let told = node.ask(one, &again);
    assert!(told[0].contains("unavailable"), "{told:?}");
    heard(&mut node, watcher, "-7");
}

#[test]
fn who_was_refused_by_the_store_has_not_joined_and_does_not_leave() {
    let rules = durable();
    let mut node = Node::with(Limits::default(), rules);
    let (one, watcher) = (node.user(0, 7), node.open(0));
    node.world.store_fails = true;
    node.world.store_sleeps = true;
    node.ask(one, r#"{"id":1,"subscribe":"log_a"}"#);
    node.world.store_sleeps = false;
    // The store refuses, and before the session knows, its browser has changed its mind.
    let home = shard_of_channel(TENANT, "log_a", 3);
    assert!(node.step(3 + usize::from(home.0)));
    node.world.store_fails = false;
    put(&mut node, watcher, r#"{"id":1,"subscribe":"log_a"}"#);
    put(&mut node, one, r#"{"id":2,"unsubscribe":"log_a"}"#);
    node.run();
    let told = node.told(watcher);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("subscribed"));
    // Its next subscription is told, and its end too.
    node.ask(one, r#"{"id":3,"subscribe":"log_a"}"#);
    node.ask(one, r#"{"id":4,"unsubscribe":"log_a"}"#);
    heard(&mut node, watcher, "+7 -7");
}

/// A log-in whose check began before something was revoked, and is answered after it.
#[track_caller]
fn check_log_in(credentials: &str, revoked: &Disconnect, closes: bool) {
    let mut node = Node::new();
    let one = node.open(0);
    let connect = format!(r#"{{"id":1,"connect":{{{credentials}}}}}"#);
    put(&mut node, one, &connect);
    put(&mut node, one, r#"{"id":2,"subscribe":"web_a"}"#);
    node.tell_disconnect(revoked);
    let closed = closes.then_some((one, CloseCode::Revoked));
    assert_eq!(node.world.closed, Vec::from_iter(closed), "{revoked:?}");
    let told = node.told(one);
    assert_eq!(told.is_empty(), closes, "{told:?}");
    assert_eq!(is_online(&node, 7), !closes);
}

#[test]
fn what_is_revoked_while_a_log_in_is_checked_does_not_log_in() {
    let tenant = TENANT;
    let user = |number| Disconnect::User {
        tenant,
        user: UserId::new(number).unwrap(),
    };
    let token = |length| Disconnect::Token {
        tenant,
        digest: [length; 32],
    };
    check_log_in(r#""user":7,"hash":"h""#, &user(7), true);
    check_log_in(r#""user":7,"hash":"h""#, &user(8), false);
    check_log_in(r#""token":"7""#, &user(7), true);
    check_log_in(r#""token":"7""#, &token(1), true);
    check_log_in(r#""token":"7""#, &token(2), false);
    let elsewhere = Disconnect::User {
        tenant: TenantId(2),
        user: UserId::new(7).unwrap(),
    };
    check_log_in(r#""user":7,"hash":"h""#, &elsewhere, false);
}
