//! Users and members of other nodes.

use super::*;
use crate::{Departure, UserThere};

#[test]
fn a_user_is_offline_when_the_last_node_says_so() {
    let there = |member: &mut Member, node, there| {
        member.put(Input::Log(LogEvent::User {
            node: NodeId(node),
            tenant: TENANT,
            user: UserId::new(7).unwrap(),
            there,
        }));
    };
    let online = UserThere::Online { reads: false };
    let mut member = Member::new();
    member.put(Input::Log(LogEvent::NodeUp(NodeId(2))));
    there(&mut member, 2, online);
    let connection = member.user();
    let lines = std::mem::take(&mut member.outside.lines);
    assert!(!lines.iter().any(|line| line.contains("seen")), "{lines:?}");
    member.put(Input::Closed(connection, Ending::Left(None)));
    member.check(&[
        "follow user 7: false",
        "announce Online { reads: false }",
        "announce Offline { told: false }",
    ]);
    // Both saw the other one go: who of them tells is the same for both.
    let seen = |node| {
        let mut member = Member::new();
        let mine = member.shard.cluster.as_mut().unwrap();
        mine.settings.node = NodeId(node);
        member.put(Input::Log(LogEvent::NodeUp(NodeId(3 - node))));
        there(&mut member, 3 - node, online);
        there(&mut member, 3 - node, UserThere::Offline { told: false });
        let lines = member.outside.lines;
        lines.iter().any(|line| line == "log: seen Some(1000)")
    };
    assert!(seen(1) != seen(2), "one of them decides");
    // A node that died says nothing.
    there(&mut member, 5, online);
    member.put(Input::Log(LogEvent::NodeGone(NodeId(5))));
    member.put(Input::Log(LogEvent::NodeGone(NodeId(2))));
    let lines = std::mem::take(&mut member.outside.lines);
    assert!(lines.contains(&"log: seen Some(1000)".into()), "{lines:?}");
    // It was out of reach only, and has the user still.
    let users = vec![(TENANT, UserId::new(7).unwrap(), true)];
    let node = NodeId(5);
    member.put(Input::Log(LogEvent::NodeUp(NodeId(9))));
    member.put(Input::Log(LogEvent::NodeGone(NodeId(9))));
    member.put(Input::Log(LogEvent::Users { node, users }));
    member.check(&["log: seen None", "log: append online Some(Window)"]);
}

#[test]
fn members_of_other_nodes_come_and_go() {
    let mut member = Member::new();
    let connection = member.open();
    member.ask(connection, r#"{"id":1,"subscribe":"track_a"}"#);
    member.opened(9, 5);
    member.outside.lines.clear();
    let who = |name: &str| wire::Member {
        user: None,
        uuid: name.into(),
    };
    let event = |kind: &str, name: &str| {
        format!(r#"{{"push":"{kind}","channel":"track_a","member":{{"uuid":"{name}"}}}}"#)
    };
    let (tenant, node) = (TENANT, NodeId(2));
    let present = |member: &mut Member, names: &[&str]| {
        member.put(Input::Log(LogEvent::Present {
            node,
            tenant,
            channel: channel("track_a"),
            members: names.iter().map(|name| who(name)).collect(),
        }));
    };
    let left = |member: &mut Member, departure| {
        member.put(Input::Log(LogEvent::Left {
            node,
            tenant,
            channel: channel("track_a"),
            member: who("a"),
            departure,
        }));
    };
    let joined = |member: &mut Member, node| {
        member.put(Input::Log(LogEvent::Joined {
            node: NodeId(node),
            tenant,
            channel: channel("track_a"),
            member: who("a"),
        }));
    };
    // Who was there before is no news; who joins is.
    present(&mut member, &["b"]);
    joined(&mut member, 2);
    member.check(&[&event("join", "a")]);
    // It is back on a third node before the grace ends.
    member.later(1_000);
    left(&mut member, Departure::MayReturn);
    member.later(1_000);
    joined(&mut member, 3);
    member.later(10_000);
    member.check(&[]);
    member.put(Input::Log(LogEvent::NodeGone(node)));
    member.put(Input::Log(LogEvent::NodeGone(NodeId(3))));
    member.check(&[&event("leave", "b"), &event("leave", "a")]);
    // The first of them was out of reach only.
    present(&mut member, &["b", "c"]);
    present(&mut member, &["c"]);
    member.check(&[
        &event("join", "b"),
        &event("join", "c"),
        &event("leave", "b"),
    ]);
}
