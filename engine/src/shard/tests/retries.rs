//! Messages that their senders send twice under one id.

use cometql_protocol::{ErrorCode, UserId};

use super::harness::{Node, TENANT, channel, data, draft};
use crate::permission::{Pattern, Retention, Rule, UserDataRule};
use crate::{Answer, Command, Draft, Limits, MessageId, Rules};

fn chosen(id: u128, data: &str) -> Draft {
    Draft {
        id: MessageId(id),
        once: true,
        ..draft(data)
    }
}

fn publish(name: &str, id: u128, data: &str) -> Command {
    Command::Publish {
        tenant: TENANT,
        channel: channel(name),
        draft: chosen(id, data),
    }
}

fn send(user: u64, id: u128, data: &str) -> Command {
    Command::Send {
        tenant: TENANT,
        user: UserId::new(user).unwrap(),
        draft: chosen(id, data),
    }
}

/// A node where `log_` channels are durable, their last one is kept, and `live_` channels are ephemeral.
fn node() -> Node {
    Node::with(Limits::default(), rules())
}

fn rules() -> Rules {
    let rule = |prefix: &str, retention| Rule {
        retention: Some(retention),
        ..Rule::new(prefix, Pattern::Prefix(prefix.into()))
    };
    let durable = Retention::Durable {
        publications: 1,
        age_ms: u64::MAX,
    };
    let rules = vec![rule("log_", durable), rule("live_", Retention::Ephemeral)];
    Rules::new(rules, UserDataRule::Anyone)
}

fn crash(node: Node) -> Node {
    node.restarted_with(Limits::default(), rules())
}

#[track_caller]
fn check_conflict(answer: &Answer) {
    let Answer::Rejected(reject) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(reject.code, ErrorCode::Conflict);
    let id = "the id 00000000-0000-0000-0000-000000000001 was used";
    assert!(reject.message.starts_with(id), "{reject}");
}

#[track_caller]
fn check_kind(name: &str) {
    let mut node = node();
    let one = node.open(0);
    node.ask(one, &format!(r#"{{"id":1,"subscribe":"{name}"}}"#));
    let first = node.command(publish(name, 1, "a"));
    node.command(publish(name, 2, "b"));
    assert_eq!(node.command(publish(name, 1, "a")), first, "{name}");
    check_conflict(&node.command(publish(name, 1, "b")));
    let other = format!("{name}_2");
    let Answer::Published { reached: 0, .. } = node.command(publish(&other, 1, "b")) else {
        panic!("the id counts within a channel")
    };
    let foreign = Command::Publish {
        tenant: cometql_protocol::TenantId(2),
        channel: channel(name),
        draft: chosen(1, "b"),
    };
    assert!(matches!(node.command(foreign), Answer::Published { .. }));
    assert_eq!(data(&node.told(one)), ["a", "b"], "{name}");
    node.later(Limits::default().retry_ms);
    node.command(publish(name, 1, "c"));
    assert_eq!(
        data(&node.told(one)),
        ["c"],
        "{name}: the id may be used again"
    );
}

#[test]
fn a_retry_does_nothing_and_is_answered_as_the_first() {
    for name in ["web_a", "live_a", "log_a"] {
        check_kind(name);
    }
}

#[test]
fn private_messages_are_sent_once() {
    let mut node = node();
    let one = node.user(0, 7);
    let first = node.command(send(7, 1, "a"));
    assert_eq!(
        first,
        Answer::Sent {
            offset: 1,
            reached: 1,
            lossy: false
        }
    );
    assert_eq!(node.command(send(7, 1, "a")), first);
    check_conflict(&node.command(send(7, 1, "b")));
    assert!(matches!(
        node.command(send(8, 1, "b")),
        Answer::Sent { offset: 1, .. }
    ));
    assert_eq!(data(&node.told(one)), ["a"]);
    // What is acknowledged is gone, but not forgotten; and a full inbox is none for a retry.
    node.ask(one, r#"{"id":2,"ack":{"offset":1}}"#);
    let mut node = crash(node);
    let Answer::Sent { offset: 1, .. } = node.command(send(7, 1, "a")) else {
        panic!("it was sent before the crash")
    };
    check_conflict(&node.command(send(7, 1, "b")));
    let one = node.user(0, 7);
    assert!(node.told(one).is_empty());
    assert!(matches!(
        node.command(send(7, 2, "c")),
        Answer::Sent { offset: 2, .. }
    ));
}

#[test]
fn a_retry_is_known_after_a_crash_even_when_the_publication_is_trimmed() {
    let mut node = node();
    node.command(publish("log_a", 1, "a"));
    node.command(publish("log_a", 2, "b"));
    let mut node = crash(node);
    let one = node.open(0);
    node.ask(one, r#"{"id":1,"subscribe":"log_a"}"#);
    assert_eq!(
        node.command(publish("log_a", 1, "a")),
        Answer::Published {
            offset: Some(1),
            reached: 0,
            lossy: false,
        }
    );
    check_conflict(&node.command(publish("log_a", 1, "b")));
    node.command(publish("log_a", 3, "c"));
    let told = node.told(one);
    assert_eq!(data(&told), ["c"]);
    assert!(told[0].contains(r#""previous":2"#), "{told:?}");
}

#[test]
fn what_was_stored_when_the_process_died_is_not_stored_again() {
    for command in [publish("log_a", 1, "a"), send(7, 1, "a")] {
        let mut node = node();
        node.publish("log_a", "before");
        node.world.store_sleeps = true;
        node.start(command.clone());
        node.run();
        node.store_unheard();
        let mut node = crash(node);
        let answer = node.command(command.clone());
        assert!(!matches!(answer, Answer::Rejected(_)), "{answer:?}");
        assert_eq!(node.command(command), answer);
        let one = node.open(0);
        let told = node.ask(
            one,
            "{\"id\":1,\"connect\":{\"user\":7,\"hash\":\"h\",\"inbox\":true}}\n{\"id\":2,\"history\":{\"channel\":\"log_a\"}}",
        );
        let found = told.join("\n").matches(r#""data":"a""#).count();
        assert_eq!(found, 1, "{told:?}");
    }
}

#[test]
fn retries_wait_for_the_first_and_share_its_answer() {
    for name in ["log_a", "inbox"] {
        let command = |data| match name {
            "inbox" => send(7, 1, data),
            name => publish(name, 1, data),
        };
        let mut node = node();
        let one = node.user(0, 7);
        node.ask(one, r#"{"id":1,"subscribe":"log_a"}"#);
        node.world.store_sleeps = true;
        let first = node.start(command("a"));
        let second = node.start(command("a"));
        let other = node.start(command("b"));
        node.run();
        assert_eq!(node.answer(first), None);
        assert_eq!(node.answer(second), None);
        node.world.store_sleeps = false;
        node.run();
        let answer = node.answer(first).unwrap();
        assert!(!matches!(answer, Answer::Rejected(_)), "{answer:?}");
        assert_eq!(node.answer(second), Some(answer));
        check_conflict(&node.answer(other).unwrap());
        assert_eq!(data(&node.told(one)), ["a"]);
    }
}

#[test]
fn when_the_first_fails_its_retry_is_sent() {
    for command in [publish("log_a", 1, "a"), send(7, 1, "a")] {
        let mut node = node();
        let one = node.user(0, 7);
        node.ask(one, r#"{"id":1,"subscribe":"log_a"}"#);
        node.world.store_fails = true;
        assert!(matches!(node.command(command.clone()), Answer::Rejected(_)));
        node.world.store_fails = false;
        assert!(!matches!(node.command(command), Answer::Rejected(_)));
        assert_eq!(data(&node.told(one)), ["a"]);
    }
}

#[test]
fn a_browser_may_retry_too() {
    let mut node = node();
    let (one, two) = (node.open(0), node.open(1));
    for connection in [one, two] {
        node.ask(connection, r#"{"id":1,"subscribe":"web_a"}"#);
    }
    let publish = |request: u32, data: &str| {
        format!(
            r#"{{"id":{request},"publish":{{"channel":"web_a","id":"00000000-0000-0000-0000-000000000001","data":"{data}"}}}}"#
        )
    };
    let told = node.ask(one, &publish(2, "a")).join("");
    let answer = r#""published":{"reached":1,"offset":1}}"#;
    assert!(told.contains(answer), "{told}");
    let told = node.ask(one, &publish(3, "a"));
    assert_eq!(told, [format!(r#"{{"id":3,{answer}"#)]);
    let told = node.ask(one, &publish(4, "b"));
    assert!(told[0].contains(r#""code":"conflict""#), "{told:?}");
    assert_eq!(data(&node.told(two)), ["a"]);
}

#[test]
fn ids_take_no_more_memory_than_they_may() {
    let limits = Limits {
        // For two ids on each of the three shards.
        retry_bytes: 3 * 2 * 256,
        ..Limits::default()
    };
    let mut node = Node::with(limits, rules());
    let one = node.open(0);
    node.ask(one, r#"{"id":1,"subscribe":["web_a","log_a"]}"#);
    for id in [1, 2, 3, 3, 2, 1, 2, 3] {
        node.command(publish("web_a", id, &id.to_string()));
    }
    assert_eq!(data(&node.told(one)), ["1", "2", "3", "1", "2", "3"]);
    for id in [1, 2, 3, 3, 2, 1, 2, 3] {
        node.command(publish("log_a", id, &id.to_string()));
    }
    assert_eq!(data(&node.told(one)), ["1", "2", "3"], "the store knows");
}
