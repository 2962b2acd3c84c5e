//! Channels without a store: subscribe, publish, the window, presence.

use cometql_protocol::wire::Epoch;

use super::harness::{Node, TENANT, data, position};
use crate::Answer;
use crate::shard::inspect::Channels;

#[test]
fn a_publication_reaches_every_subscriber_once_on_all_shards() {
    let mut node = Node::new();
    let subscribers: Vec<_> = (0..6).map(|index| node.open(index % 3)).collect();
    for subscriber in &subscribers {
        let told = node.ask(*subscriber, r#"{"id":5,"subscribe":"web_a"}"#);
        assert!(
            told[0].starts_with(r#"{"id":5,"subscribed":{"channel":"web_a","epoch":"#),
            "{told:?}"
        );
    }
    let other = node.open(0);
    node.ask(other, r#"{"id":5,"subscribe":"web_b"}"#);
    assert_eq!(
        node.publish("web_a", "hello"),
        Answer::Published {
            offset: Some(1),
            reached: 6,
            lossy: false,
        }
    );
    for subscriber in subscribers {
        assert_eq!(data(&node.told(subscriber)), ["hello"]);
    }
    assert_eq!(node.told(other), Vec::<String>::new());
}

#[test]
fn a_publisher_gets_its_own_copy_marked_and_is_not_counted() {
    let mut node = Node::new();
    let (one, two) = (node.open(0), node.open(1));
    node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#);
    node.ask(two, r#"{"id":1,"subscribe":"web_a"}"#);
    let told = node.ask(
        one,
        r#"{"id":9,"publish":{"channel":"web_a","event":"e","data":"x"}}"#,
    );
    assert!(
        told.iter()
            .any(|text| text == r#"{"id":9,"published":{"reached":1,"offset":1}}"#),
        "{told:?}"
    );
    assert!(
        told.iter().any(|text| text.ends_with(r#""request":9}"#)),
        "{told:?}"
    );
    assert_eq!(data(&node.told(two)), ["x"]);
}

#[test]
fn who_unsubscribes_or_leaves_gets_nothing_more() {
    let mut node = Node::new();
    let (one, two) = (node.open(0), node.open(0));
    for connection in [one, two] {
        node.ask(connection, r#"{"id":1,"subscribe":["web_a","web_b"]}"#);
    }
    let told = node.ask(one, r#"{"id":2,"unsubscribe":"web_a"}"#);
    assert_eq!(told, [r#"{"id":2,"unsubscribed":{"channel":"web_a"}}"#]);
    assert_eq!(
        node.publish("web_a", "x"),
        Answer::Published {
            offset: Some(1),
            reached: 1,
            lossy: false,
        }
    );
    assert_eq!(node.told(one), Vec::<String>::new());
    node.close(two);
    assert_eq!(
        node.publish("web_a", "y"),
        Answer::Published {
            offset: Some(2),
            reached: 0,
            lossy: false,
        }
    );
    assert_eq!(
        node.publish("web_b", "z"),
        Answer::Published {
            offset: Some(1),
            reached: 1,
            lossy: false,
        }
    );
    assert_eq!(data(&node.told(one)), ["z"]);
}

#[test]
fn quick_changes_of_mind_end_with_the_last_wish() {
    let mut node = Node::new();
    let one = node.open(0);
    let frame = ["subscribe", "unsubscribe", "subscribe"]
        .map(|verb| format!(r#"{{"id":1,"{verb}":"web_a"}}"#));
    node.ask(one, &frame.join("\n"));
    assert_eq!(
        node.publish("web_a", "x"),
        Answer::Published {
            offset: Some(1),
            reached: 1,
            lossy: false,
        }
    );
    assert_eq!(data(&node.told(one)), ["x"]);
}

#[test]
fn a_reconnect_gets_what_it_missed_and_no_more() {
    let mut node = Node::new();
    let one = node.open(0);
    let told = node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#);
    let since = position(&told[0]);
    node.close(one);
    for text in ["a", "b", "c"] {
        node.publish("web_a", text);
    }
    let two = node.open(1);
    let told = node.ask(
        two,
        &format!(r#"{{"id":2,"subscribe":{{"channel":"web_a",{since}}}}}"#),
    );
    assert!(
        told[0].contains(r#""offset":3,"recovered":true,"replayed":3"#),
        "{told:?}"
    );
    assert_eq!(data(&told), ["a", "b", "c"]);
    node.publish("web_a", "d");
    assert_eq!(data(&node.told(two)), ["d"]);
}

#[test]
fn what_the_window_lost_is_said() {
    let limits = crate::Limits {
        window_publications: 2,
        ..crate::Limits::default()
    };
    let mut node = Node::with(limits, crate::Rules::default());
    let one = node.open(0);
    let since = position(&node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#)[0]);
    for text in ["a", "b", "c"] {
        node.publish("web_a", text);
    }
    let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"web_a",{since}}}}}"#);
    let two = node.open(1);
    let told = node.ask(two, &subscribe);
    assert!(
        told[0].contains(r#""offset":3,"recovered":false,"replayed":0"#),
        "{told:?}"
    );
    let other_life = format!(
        r#"{{"id":2,"subscribe":{{"channel":"web_a","epoch":"{}","offset":3}}}}"#,
        Epoch(99)
    );
    let three = node.open(1);
    let told = node.ask(three, &other_life);
    assert!(told[0].contains(r#""recovered":false"#), "{told:?}");
}

#[test]
fn the_window_forgets_by_age_and_by_budget() {
    let limits = crate::Limits {
        // On each of the three shards.
        window_bytes: 3 * 2_000,
        ..crate::Limits::default()
    };
    let mut node = Node::with(limits, crate::Rules::default());
    let one = node.open(0);
    node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#);
    let kept = |told: Vec<String>| told[0].matches("\"time\"").count();
    node.publish("web_a", &"x".repeat(400));
    node.publish("web_a", &"y".repeat(400));
    node.told(one);
    assert_eq!(
        kept(node.ask(one, r#"{"id":1,"history":{"channel":"web_a"}}"#)),
        1
    );
    node.later(60_001);
    assert_eq!(
        kept(node.ask(one, r#"{"id":1,"history":{"channel":"web_a"}}"#)),
        0
    );
}

/// Names of channels that one shard sequences.
fn neighbours() -> impl Iterator<Item = String> {
    let home = |name: &str| crate::ids::shard_of_channel(TENANT, name, 3);
    let names = (0..100).map(|number| format!("web_{number}"));
    names.filter(move |name| home(name) == home("web_0"))
}

#[test]
fn the_channel_that_was_not_used_for_the_longest_time_loses_its_window_first() {
    let limits = crate::Limits {
        // For six publications of 100 bytes on each shard.
        window_bytes: 3 * 6 * 456,
        ..crate::Limits::default()
    };
    let mut node = Node::with(limits, crate::Rules::default());
    let text = "x".repeat(100);
    let names: Vec<String> = neighbours().take(3).collect();
    let [one, two, three] = &names[..] else {
        panic!("100 names fall on three shards")
    };
    let begin = |node: &mut Node, name: &str| {
        let connection = node.open(0);
        let told = node.ask(connection, &format!(r#"{{"id":1,"subscribe":"{name}"}}"#));
        node.close(connection);
        let since = position(&told[0]);
        node.publish(name, &text);
        node.publish(name, &text);
        since
    };
    let (first, second) = (begin(&mut node, one), begin(&mut node, two));
    let third = begin(&mut node, three);
    let missed = [&*text, &*text];
    // Who asks uses the channel, too.
    assert!(node.recovers(one, &first, &missed));
    node.publish(three, &text);
    assert!(!node.recovers(two, &second, &missed), "it lost one of two");
    let later = second.replace(r#""offset":0"#, r#""offset":1"#);
    assert!(node.recovers(two, &later, &missed[..1]));
    assert!(node.recovers(one, &first, &missed));
    assert!(node.recovers(three, &third, &[&*text; 3]));
    // What is larger than all of the memory is not kept, and nothing is kept beside it.
    node.publish(one, &"x".repeat(3_000));
    for (name, since) in [(one, first), (two, later), (three, third)] {
        assert!(!node.recovers(name, &since, &[]), "{name}");
    }
}

#[test]
fn windows_that_turn_over_quickly_leave_the_others_alone() {
    let limits = crate::Limits {
        window_publications: 2,
        window_bytes: 3 * 4 * 256,
        ..crate::Limits::default()
    };
    let mut node = Node::with(limits, crate::Rules::default());
    let names: Vec<String> = neighbours().take(2).collect();
    node.publish(&names[0], "");
    let connection = node.open(0);
    let told = node.ask(
        connection,
        &format!(r#"{{"id":1,"subscribe":"{}"}}"#, names[0]),
    );
    node.close(connection);
    let since = position(&told[0]).replace(r#""offset":1"#, r#""offset":0"#);
    for _ in 0..100 {
        node.publish(&names[1], "");
    }
    assert!(node.recovers(&names[0], &since, &[""]));
}

#[test]
fn idle_channels_are_forgotten_and_begin_a_new_life() {
    let mut node = Node::new();
    let one = node.open(0);
    let since = position(&node.ask(one, r#"{"id":1,"subscribe":"web_a"}"#)[0]);
    node.close(one);
    node.later(30_000);
    node.later(31_000);
    node.later(61_000);
    let two = node.open(0);
    let told = node.ask(
        two,
        &format!(r#"{{"id":2,"subscribe":{{"channel":"web_a",{since}}}}}"#),
    );
    assert!(told[0].contains(r#""recovered":false"#), "{told:?}");
}

#[test]
fn joins_and_leaves_are_told_to_the_others() {
    let mut node = Node::new();
    let one = node.user(0, 7);
    node.ask(one, r#"{"id":1,"subscribe":"track_a"}"#);
    let two = node.user(1, 9);
    let told = node.ask(two, r#"{"id":1,"subscribe":"track_a"}"#);
    assert!(!told.iter().any(|text| text.contains("join")), "{told:?}");
    assert_eq!(
        node.told(one),
        [r#"{"push":"join","channel":"track_a","member":{"user":9,"uuid":""}}"#]
    );
    let told = node.ask(one, "{\"id\":2,\"presence\":{\"channel\":\"track_a\"}}\n{\"id\":3,\"presence_count\":{\"channel\":\"track_a\"}}");
    assert!(
        told[0].contains(r#"{"user":7,"uuid":""}"#) && told[0].contains(r#""user":9"#),
        "{told:?}"
    );
    assert!(told[1].ends_with(r#""count":2}}"#), "{told:?}");
    node.close(two);
    assert_eq!(
        node.told(one),
        [r#"{"push":"leave","channel":"track_a","member":{"user":9,"uuid":""}}"#]
    );
}

#[test]
fn who_missed_something_asks_again_without_leaving() {
    let mut node = Node::new();
    let (one, other) = (node.open(0), node.open(1));
    let told = node.ask(one, r#"{"id":1,"subscribe":"track_a"}"#);
    let since = position(&told[0]);
    node.ask(other, r#"{"id":1,"subscribe":"track_a"}"#);
    node.publish("track_a", "1");
    node.publish("track_a", "2");
    node.told(one);
    node.told(other);
    let again = format!(r#"{{"id":2,"subscribe":{{"channel":"track_a",{since}}}}}"#);
    let told = node.ask(one, &again);
    assert!(
        told[0].contains(r#""recovered":true,"replayed":2"#),
        "{told:?}"
    );
    assert_eq!(data(&told), ["1", "2"]);
    let answer = node.publish("track_a", "3");
    assert_eq!(
        answer,
        Answer::Published {
            offset: Some(3),
            reached: 2,
            lossy: false,
        }
    );
    assert_eq!(data(&node.told(one)), ["3"]);
    let told = node.told(other);
    assert_eq!(told.len(), 1, "no join or leave: {told:?}");
    // Without a position it is a mistake.
    let told = node.ask(one, r#"{"id":3,"subscribe":"track_a"}"#);
    assert!(told[0].contains("already_subscribed"), "{told:?}");
}

#[test]
fn views_tell_what_is_live() {
    let mut node = Node::new();
    let one = node.user(0, 7);
    node.ask(one, r#"{"id":1,"subscribe":["web_a","web_b"]}"#);
    let shard = &node.shards()[0];
    assert_eq!(shard.channels(TENANT, &Channels::All).len(), 2);
    let rows = shard.subscribers(
        TENANT,
        &Channels::Named(vec![super::harness::channel("web_b")]),
    );
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].connection, one);
    assert_eq!(shard.connections(Some(TENANT))[0].subscriptions, 2);
    assert_eq!(shard.totals(None).subscriptions, 2);
    assert!(
        shard
            .connections(Some(cometql_protocol::TenantId(2)))
            .is_empty()
    );
    node.close(one);
    assert!(node.shards()[0].channels(TENANT, &Channels::All).is_empty());
}
