//! Answers that come after those who asked have changed their mind.

use cometql_protocol::wire::decode_requests;

use super::super::*;
use super::harness::{Node, TENANT, channel, data, position, publish};
use crate::permission::{Pattern, Retention, Rule, UserDataRule};

fn durable(prefix: &str) -> Rules {
    let retention = Retention::Durable {
        publications: 10,
        age_ms: u64::MAX,
    };
    let rule = Rule {
        retention: Some(retention),
        ..Rule::new(prefix, Pattern::Prefix(prefix.into()))
    };
    Rules::new(vec![rule], UserDataRule::Anyone)
}

/// Hands in a request and lets nothing follow yet.
fn put(node: &mut Node, connection: ConnectionId, request: &str) {
    for request in decode_requests(request) {
        let request = Input::Request(connection, request.unwrap());
        node.put(connection.shard(), request);
    }
}

#[test]
fn a_replay_that_comes_when_the_channel_is_forgotten_is_for_nobody() {
    let mut node = Node::with(Limits::default(), durable("log_"));
    let (one, two) = (node.open(0), node.open(1));
    let since = position(&node.ask(one, r#"{"id":1,"subscribe":"log_a"}"#)[0]);
    node.publish("log_a", "a");
    // The window forgets "a": only the store knows it.
    node.later(61_000);
    node.world.store_sleeps = true;
    let subscribe = format!(r#"{{"id":1,"subscribe":{{"channel":"log_a",{since}}}}}"#);
    assert!(node.ask(two, &subscribe).is_empty());
    node.close(two);
    node.close(one);
    for _ in 0..3 {
        node.later(61_000);
    }
    node.world.store_sleeps = false;
    node.run();
    assert!(matches!(
        node.publish("log_a", "c"),
        Answer::Published { .. }
    ));
}

#[test]
fn a_refusal_that_crosses_an_unsubscribe_takes_nobody_else_along() {
    let mut node = Node::with(Limits::default(), durable("log_"));
    let (one, two) = (node.open(0), node.open(0));
    node.world.store_fails = true;
    node.world.store_sleeps = true;
    node.ask(one, r#"{"id":1,"subscribe":"log_a"}"#);
    node.world.store_sleeps = false;
    // The store refuses, and before the session knows, its browser has changed its mind.
    let home = shard_of_channel(TENANT, "log_a", 3);
    assert!(node.step(3 + usize::from(home.0)));
    node.world.store_fails = false;
    put(&mut node, two, r#"{"id":3,"subscribe":"log_a"}"#);
    put(&mut node, one, r#"{"id":2,"unsubscribe":"log_a"}"#);
    node.run();
    assert!(node.told(two)[0].contains("subscribed"));
    node.publish("log_a", "x");
    assert_eq!(data(&node.told(two)), ["x"]);
    assert!(data(&node.told(one)).is_empty());
}

#[test]
fn what_waits_for_the_store_survives_new_rules() {
    let mut node = Node::with(Limits::default(), durable("log_"));
    node.world.store_sleeps = true;
    let number = node.start(publish("log_a", "x"));
    node.rules(Rules::default());
    node.rules(durable("log_"));
    node.world.store_sleeps = false;
    node.run();
    assert!(matches!(
        node.answer(number),
        Some(Answer::Published { .. })
    ));
}

#[test]
fn a_channel_that_is_durable_no_more_does_not_overtake_what_is_being_stored() {
    let mut node = Node::with(Limits::default(), durable("log_"));
    let one = node.open(0);
    node.ask(one, r#"{"id":1,"subscribe":"log_a"}"#);
    node.publish("log_a", "a");
    node.world.store_sleeps = true;
    node.start(publish("log_a", "b"));
    node.rules(Rules::default());
    node.start(publish("log_a", "c"));
    node.run();
    node.world.store_sleeps = false;
    node.run();
    assert_eq!(data(&node.told(one)), ["a", "b", "c"]);
}

#[test]
fn a_recovery_that_lacks_a_deleted_publication_says_so() {
    let mut node = Node::new();
    let one = node.open(0);
    let since = position(&node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#)[0]);
    node.publish("web_a", "a");
    let delete = Command::DeletePublication {
        tenant: TENANT,
        channel: channel("web_a"),
        id: crate::MessageId(7),
    };
    node.command(delete);
    node.publish("web_a", "b");
    let two = node.open(1);
    let subscribe = format!(r#"{{"id":1,"subscribe":{{"channel":"web_a",{since}}}}}"#);
    let told = node.ask(two, &subscribe);
    assert!(told[0].contains(r#""recovered":false"#), "{told:?}");
}
