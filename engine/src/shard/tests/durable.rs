//! Channels whose history is in the store.

use super::harness::{Node, TENANT, channel, data, position, publish};
use crate::permission::{Pattern, Retention, Rule, UserDataRule};
use crate::{Answer, Command, MessageId, Rules};
use cometql_protocol::ErrorCode;

fn keep(node: &mut Node, name: &str, length: u64) {
    let command = Command::SetHistory {
        tenant: TENANT,
        channel: channel(name),
        length,
    };
    assert_eq!(node.command(command), Answer::Done { rows: 1 });
}

#[test]
fn stored_then_delivered_then_answered() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 10);
    let one = node.open(0);
    node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#);
    node.world.store_sleeps = true;
    let number = node.start(publish("web_a", "x"));
    node.run();
    assert_eq!(node.answer(number), None);
    assert_eq!(node.told(one), Vec::<String>::new());
    node.world.store_sleeps = false;
    node.run();
    assert_eq!(
        node.answer(number),
        Some(Answer::Published {
            offset: Some(1),
            reached: 1
        })
    );
    assert_eq!(data(&node.told(one)), ["x"]);
}

#[test]
fn history_survives_a_crash_and_a_reconnect_goes_on() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 10);
    let one = node.open(0);
    let since = position(&node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#)[0]);
    node.publish("web_a", "a");
    node.publish("web_a", "b");
    let mut node = node.restarted();
    let two = node.open(2);
    let told = node.ask(
        two,
        &format!(r#"{{"id":2,"subscribe":{{"channel":"web_a",{since}}}}}"#),
    );
    assert!(
        told[0].contains(r#""offset":2,"recovered":true,"replayed":2"#),
        "{told:?}"
    );
    assert_eq!(data(&told), ["a", "b"]);
    assert_eq!(
        node.publish("web_a", "c"),
        Answer::Published {
            offset: Some(3),
            reached: 1
        }
    );
    assert!(node.told(two)[0].contains(r#""offset":3,"previous":2"#));
    let told = node.ask(two, r#"{"id":3,"history":{"channel":"web_a","limit":2}}"#);
    assert!(
        told[0].contains(r#""data":"b""#) && told[0].contains(r#""data":"c""#),
        "{told:?}"
    );
}

#[test]
fn trimmed_history_is_no_recovery() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 2);
    let one = node.open(0);
    let since = position(&node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#)[0]);
    for text in ["a", "b", "c"] {
        node.publish("web_a", text);
    }
    let mut node = node.restarted();
    let two = node.open(2);
    let told = node.ask(
        two,
        &format!(r#"{{"id":2,"subscribe":{{"channel":"web_a",{since}}}}}"#),
    );
    assert!(
        told[0].contains(r#""offset":3,"recovered":false,"replayed":0"#),
        "{told:?}"
    );
}

#[test]
fn publications_that_race_with_a_replay_come_once_and_in_order() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 100);
    node.publish("web_a", "a");
    node.publish("web_a", "b");
    let zero = node.open(0);
    let told = node.ask(zero, r#"{"id":1,"subscribe":"web_a"}"#);
    let since = position(&told[0]).replace(r#""offset":2"#, r#""offset":1"#);
    let mut node = node.restarted();
    let one = node.open(1);
    node.world.store_sleeps = true;
    node.ask(
        one,
        &format!(r#"{{"id":2,"subscribe":{{"channel":"web_a",{since}}}}}"#),
    );
    node.start(publish("web_a", "c"));
    node.run();
    node.start(publish("web_a", "d"));
    node.run();
    node.world.store_sleeps = false;
    node.run();
    assert_eq!(data(&node.told(one)), ["b", "c", "d"]);
}

#[test]
fn a_full_disk_refuses_and_loses_nothing_else() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 10);
    let one = node.open(0);
    node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#);
    node.publish("web_a", "a");
    node.world.store_fails = true;
    let Answer::Rejected(reject) = node.publish("web_a", "b") else {
        panic!("it was not stored")
    };
    assert_eq!(reject.code, ErrorCode::Unavailable);
    assert_eq!(
        node.publish("web_other", "w"),
        Answer::Published {
            offset: Some(1),
            reached: 0
        }
    );
    node.world.store_fails = false;
    node.publish("web_a", "c");
    let told = node.told(one);
    assert_eq!(data(&told), ["a", "c"]);
    // The refused publication's offset is burnt, and the chain of `previous` is whole.
    assert!(told[1].contains(r#""offset":3,"previous":1"#), "{told:?}");
}

#[test]
fn a_store_that_fails_at_opening_is_asked_again() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 10);
    let mut node = node.restarted();
    node.world.store_fails = true;
    let one = node.open(0);
    let told = node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#);
    assert!(told[0].contains(r#""code":"unavailable""#), "{told:?}");
    assert!(matches!(node.publish("web_a", "a"), Answer::Rejected(_)));
    node.world.store_fails = false;
    let told = node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#);
    assert!(told[0].contains("subscribed"), "{told:?}");
    assert_eq!(
        node.publish("web_a", "a"),
        Answer::Published {
            offset: Some(1),
            reached: 1
        }
    );
}

#[test]
fn a_channel_in_use_becomes_durable_and_back_with_rising_offsets() {
    let mut node = Node::new();
    let one = node.open(0);
    node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#);
    node.publish("web_a", "a");
    keep(&mut node, "web_a", 10);
    node.publish("web_a", "b");
    let remove = Command::RemoveHistory {
        tenant: TENANT,
        channel: channel("web_a"),
    };
    node.command(remove);
    node.publish("web_a", "c");
    keep(&mut node, "web_a", 10);
    node.publish("web_a", "d");
    let told = node.told(one);
    assert_eq!(data(&told), ["a", "b", "c", "d"]);
    for (index, text) in told.iter().enumerate() {
        let chain = format!(r#""offset":{},"previous":{index}"#, index + 1);
        assert!(text.contains(&chain), "{text}");
    }
}

#[test]
fn deleting_history() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 10);
    node.publish("web_a", "a");
    node.publish("web_a", "b");
    let (tenant, name) = (TENANT, channel("web_a"));
    let one = Command::DeletePublication {
        tenant,
        channel: name.clone(),
        id: MessageId(1),
    };
    assert_eq!(node.command(one), Answer::Done { rows: 0 });
    let all = Command::ClearHistory {
        tenant,
        channel: name,
    };
    assert_eq!(node.command(all), Answer::Done { rows: 2 });
    let reader = node.open(0);
    let told = node.ask(reader, r#"{"id":1,"history":{"channel":"web_a"}}"#);
    assert!(
        told[0].ends_with(r#""offset":2,"publications":[]}}"#),
        "{told:?}"
    );
}

#[test]
fn rules_make_channels_durable_or_ephemeral() {
    let durable = Retention::Durable {
        publications: 5,
        age_ms: u64::MAX,
    };
    let rule = |prefix: &str, retention| Rule {
        retention: Some(retention),
        ..Rule::new(prefix, Pattern::Prefix(prefix.into()))
    };
    let rules = vec![rule("log_", durable), rule("live_", Retention::Ephemeral)];
    let mut node = Node::new();
    node.rules(Rules::new(rules, UserDataRule::Anyone));
    assert_eq!(
        node.publish("live_a", "x"),
        Answer::Published {
            offset: None,
            reached: 0
        }
    );
    let one = node.open(0);
    let told = node.ask(one, r#"{"id":1,"subscribe":"live_a"}"#);
    assert_eq!(
        told,
        [r#"{"id":1,"subscribed":{"channel":"live_a","recovered":false,"replayed":0}}"#]
    );
    node.publish("log_a", "x");
    let told = node.ask(one, r#"{"id":1,"history":{"channel":"log_a"}}"#);
    assert!(told[0].contains(r#""data":"x""#), "{told:?}");
}
