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
            reached: 1,
            lossy: false,
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
            reached: 1,
            lossy: false,
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
            reached: 0,
            lossy: false,
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
            reached: 1,
            lossy: false,
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
            reached: 0,
            lossy: false,
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

fn remove(node: &mut Node, name: &str) {
    let (tenant, channel) = (TENANT, channel(name));
    node.command(Command::RemoveHistory { tenant, channel });
}

/// Subscribes for a moment; where the channel is.
fn stands(node: &mut Node, name: &str) -> String {
    let one = node.open(0);
    let told = node.ask(one, &format!(r#"{{"id":1,"subscribe":"{name}"}}"#));
    node.close(one);
    position(&told[0])
}

#[test]
fn a_channel_that_has_just_become_durable_keeps_its_offsets_over_a_crash() {
    let mut node = Node::new();
    node.publish("web_a", "a");
    node.publish("web_a", "b");
    let since = stands(&mut node, "web_a");
    keep(&mut node, "web_a", 10);
    let mut node = node.restarted();
    for text in ["c", "d", "e"] {
        node.publish("web_a", text);
    }
    assert!(node.recovers("web_a", &since, &["c", "d", "e"]));
}

#[test]
fn no_offset_is_used_twice_when_a_channel_is_durable_again_and_the_process_dies() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 10);
    node.publish("web_a", "a");
    let durable = stands(&mut node, "web_a");
    remove(&mut node, "web_a");
    node.publish("web_a", "b");
    node.publish("web_a", "c");
    let window = stands(&mut node, "web_a");
    assert!(node.recovers("web_a", &durable, &["b", "c"]));
    keep(&mut node, "web_a", 10);
    let again = stands(&mut node, "web_a");
    let mut node = node.restarted();
    let last = stands(&mut node, "web_a");
    for text in ["d", "e", "f"] {
        node.publish("web_a", text);
    }
    assert!(!node.recovers("web_a", &durable, &[]));
    assert!(!node.recovers("web_a", &window, &["d", "e", "f"]));
    assert!(node.recovers("web_a", &again, &["d", "e", "f"]));
    assert!(node.recovers("web_a", &last, &["d", "e", "f"]));
}

#[test]
fn what_a_channel_published_without_the_store_is_missed_not_skipped() {
    let rule = Rule {
        retention: Some(Retention::Durable {
            publications: 10,
            age_ms: u64::MAX,
        }),
        ..Rule::new("log_", Pattern::Prefix("log_".into()))
    };
    let durable = || Rules::new(vec![rule.clone()], UserDataRule::Anyone);
    let mut node = Node::with(crate::Limits::default(), durable());
    node.publish("log_a", "a");
    let since = stands(&mut node, "log_a");
    node.publish("log_a", "b");
    node.rules(Rules::default());
    node.publish("log_a", "c");
    node.rules(durable());
    node.publish("log_a", "d");
    // The window no longer reaches back, and the store never had "c".
    node.later(61_000);
    assert!(!node.recovers("log_a", &since, &[]));
    let here = stands(&mut node, "log_a");
    node.publish("log_a", "e");
    assert!(node.recovers("log_a", &here, &["e"]));
}

#[test]
fn an_idle_channel_whose_history_was_removed_begins_anew() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 10);
    node.publish("web_a", "a");
    let since = stands(&mut node, "web_a");
    let mut node = node.restarted();
    remove(&mut node, "web_a");
    node.publish("web_a", "lost");
    let mut node = node.restarted();
    keep(&mut node, "web_a", 10);
    assert!(!node.recovers("web_a", &since, &[]));
}

#[test]
fn a_replay_lacks_nothing_that_was_deleted() {
    let mut node = Node::new();
    keep(&mut node, "web_a", 10);
    let since = stands(&mut node, "web_a");
    for (id, text) in [(1, "a"), (2, "b"), (3, "c")] {
        let Command::Publish { mut draft, .. } = publish("web_a", text) else {
            unreachable!()
        };
        draft.id = MessageId(id);
        node.command(Command::Publish {
            tenant: TENANT,
            channel: channel("web_a"),
            draft,
        });
    }
    let mut node = node.restarted();
    assert!(node.recovers("web_a", &since, &["a", "b", "c"]));
    for id in [3, 2] {
        node.command(Command::DeletePublication {
            tenant: TENANT,
            channel: channel("web_a"),
            id: MessageId(id),
        });
        node.later(61_000);
        assert!(!node.recovers("web_a", &since, &[]), "{id} is missing");
    }
}
