//! Replays that the store has to read, when it can't: nothing is lost, so nobody is told that something is.

use super::super::*;
use super::harness::{Node, data, position};
use crate::Rules;
use crate::effects::Counted;
use crate::permission::{Pattern, Retention, Rule, UserDataRule};

/// A node whose `log_` channels are durable and tell of joins and leaves; one that listens, and one that knows position
/// of `log_a`, after which "a" and "b" were published so long ago that only the store has them.
struct Late {
    node: Node,
    listens: ConnectionId,
    knows: ConnectionId,
    since: String,
}

impl Late {
    fn new() -> Self {
        let rule = Rule {
            retention: Some(Retention::Durable {
                publications: 10,
                age_ms: u64::MAX,
            }),
            join_leave: Some(true),
            ..Rule::new("log_", Pattern::Prefix("log_".into()))
        };
        let rules = Rules::new(vec![rule], UserDataRule::Anyone);
        let mut node = Node::with(Limits::default(), rules);
        let (listens, knows) = (node.open(1), node.user(0, 7));
        node.ask(listens, r#"{"id":1,"subscribe":"log_a"}"#);
        let since = position(&node.ask(knows, r#"{"id":2,"subscribe":"log_a"}"#)[0]);
        node.publish("log_a", "a");
        node.publish("log_a", "b");
        node.later(61_000);
        node.told(knows);
        node.told(listens);
        Self {
            node,
            listens,
            knows,
            since,
        }
    }

    /// Asks for all since the position; returns what is told.
    fn goes_on(&mut self, connection: ConnectionId) -> Vec<String> {
        let since = &self.since;
        let subscribe = format!(r#"{{"id":3,"subscribe":{{"channel":"log_a",{since}}}}}"#);
        self.node.ask(connection, &subscribe)
    }

    /// How user 7 comes and goes, as the others hear it.
    fn heard(&mut self) -> String {
        let told = self.node.told(self.listens);
        let short = told.iter().map(|text| {
            assert!(text.contains(r#""user":7"#), "{text}");
            if text.contains(r#""push":"join""#) {
                '+'
            } else {
                '-'
            }
        });
        short.collect()
    }
}

#[test]
fn a_replay_that_can_not_be_read_is_unavailable_and_may_be_asked_for_again() {
    let mut late = Late::new();
    let other = late.node.open(2);
    late.node.world.store_fails = true;
    let told = late.goes_on(other);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(r#""code":"unavailable""#), "{told:?}");
    assert_eq!(late.node.counted(Counted::NotRecovered), 0);
    // It is in no list, and gets nothing.
    late.node.world.store_fails = false;
    late.node.publish("log_a", "c");
    assert!(late.node.told(other).is_empty());
    let told = late.goes_on(other);
    assert!(told[0].contains(r#""recovered":true"#), "{told:?}");
    assert_eq!(data(&told), ["a", "b", "c"]);
}

#[test]
fn who_joined_and_whose_replay_can_not_be_read_has_left() {
    let mut late = Late::new();
    let other = late.node.user(2, 7);
    late.node.world.store_fails = true;
    late.goes_on(other);
    assert_eq!(late.heard(), "+-");
    late.node.world.store_fails = false;
    late.goes_on(other);
    assert_eq!(late.heard(), "+");
}

#[test]
fn who_goes_on_and_whose_replay_can_not_be_read_has_left() {
    let mut late = Late::new();
    let knows = late.knows;
    late.node.world.store_fails = true;
    let told = late.goes_on(knows);
    assert!(told[0].contains(r#""code":"unavailable""#), "{told:?}");
    assert_eq!(late.heard(), "-");
    late.node.world.store_fails = false;
    let told = late.goes_on(knows);
    assert_eq!(data(&told), ["a", "b"]);
    assert_eq!(late.heard(), "+");
}
