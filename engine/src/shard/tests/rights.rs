//! What sessions may not do, and what it costs them: one refused request.

use super::harness::{Node, TENANT, channel, data};
use crate::permission::{Pattern, Rule, UserDataRule, Who};
use crate::{Limits, Rules};
use cometql_protocol::UserId;

#[track_caller]
fn check(node: &mut Node, frame: &str, code: &str) {
    let one = node.open(0);
    let told = node.ask(one, frame);
    let code = format!(r#""code":"{code}""#);
    assert!(
        told.iter().any(|text| text.contains(&code)),
        "{frame}: {told:?}"
    );
    let told = node.ask(one, r#"{"id":1,"ping":{}}"#);
    assert_eq!(told, [r#"{"id":1,"pong":{}}"#], "the session lives on");
}

#[test]
fn refusals() {
    let mut node = Node::new();
    let big = format!(
        r#"{{"id":1,"publish":{{"channel":"web_a","data":"{}"}}}}"#,
        "x".repeat(65_537)
    );
    let cases = [
        (r#"{"id":1,"subscribe":"ab"}"#, "bad_name"),
        (r#"{"id":1,"subscribe":"a b c"}"#, "bad_name"),
        (r#"{"id":1,"subscribe":"news:sport"}"#, "bad_name"),
        (r#"{"id":1,"subscribe":"private_a"}"#, "login_required"),
        (
            r#"{"id":1,"subscribe":["web_a","web_a"]}"#,
            "already_subscribed",
        ),
        (r#"{"id":1,"unsubscribe":"web_a"}"#, "not_subscribed"),
        (
            r#"{"id":1,"publish":{"channel":"news","data":1}}"#,
            "permission_denied",
        ),
        (
            r#"{"id":1,"publish":{"channel":"webauth_a","data":1}}"#,
            "login_required",
        ),
        (
            r#"{"id":1,"publish":{"channel":"web_a","event":"a.b","data":1}}"#,
            "bad_name",
        ),
        (&big, "too_large"),
        (
            r#"{"id":1,"presence":{"channel":"web_a"}}"#,
            "permission_denied",
        ),
        (r#"{"id":1,"ack":{"offset":1}}"#, "login_required"),
        (r#"{"id":1,"user_data":{"user":0}}"#, "bad_request"),
        (
            r#"{"id":1,"connect":{"user":1,"hash":"wrong"}}"#,
            "unauthorized",
        ),
        (r#"{"id":1,"refresh":{"token":"7"}}"#, "bad_request"),
    ];
    for (frame, code) in cases {
        check(&mut node, frame, code);
    }
}

#[test]
fn a_frame_full_of_requests_is_answered_up_to_a_rate() {
    let limits = Limits {
        request_rate: 10,
        request_burst: 20,
        ..Limits::default()
    };
    let mut node = Node::with(limits, Rules::default());
    let (one, other) = (node.open(0), node.open(0));
    let lists = vec![r#"{"id":1,"presence":{"channel":"track_a"}}"#; 1000].join("\n");
    let told = node.ask(one, &lists);
    let answered = told.iter().filter(|text| text.contains("members")).count();
    let refused = told.iter().filter(|text| text.contains("rate_limited"));
    assert_eq!((answered, refused.count()), (2, 998));
    let counts = vec![r#"{"id":1,"presence_count":{"channel":"track_a"}}"#; 30].join("\n");
    let answered = |told: Vec<String>| {
        told.iter()
            .filter(|text| text.contains("count\":0"))
            .count()
    };
    assert_eq!(answered(node.ask(one, &counts)), 0);
    assert_eq!(
        answered(node.ask(other, &counts)),
        20,
        "others are not disturbed"
    );
    node.later(500);
    assert_eq!(answered(node.ask(one, &counts)), 5);
    let told = node.ask(one, r#"{"id":1,"ping":{}}"#);
    assert_eq!(told, [r#"{"id":1,"pong":{}}"#], "the session lives on");
}

#[test]
fn requests_behind_a_login_wait_for_it() {
    let mut node = Node::new();
    let one = node.open(0);
    let told = node.ask(
        one,
        "{\"id\":1,\"connect\":{\"user\":7,\"hash\":\"h\"}}\n{\"id\":2,\"subscribe\":\"private_a\"}",
    );
    assert!(told[1].starts_with(r#"{"id":2,"subscribed""#), "{told:?}");
}

#[test]
fn connect_comes_once_and_first() {
    let mut node = Node::new();
    let late =
        "{\"id\":1,\"subscribe\":\"web_a\"}\n{\"id\":2,\"connect\":{\"user\":7,\"hash\":\"h\"}}";
    let one = node.open(0);
    let told = node.ask(one, late);
    assert!(
        told.iter()
            .any(|text| text.contains(r#""code":"bad_request""#)),
        "{told:?}"
    );
    let two = node.user(0, 7);
    let told = node.ask(two, r#"{"id":3,"connect":{"user":7,"hash":"h"}}"#);
    assert!(told[0].contains(r#""code":"bad_request""#), "{told:?}");
}

#[test]
fn members_only() {
    let members = |prefix: &str| Rule {
        subscribe: Some(Who::Members),
        publish: Some(Who::Members),
        ..Rule::new("team rule", Pattern::Prefix(prefix.into()))
    };
    let rules = Rules::new(vec![members("team_")], UserDataRule::Own);
    let mut node = Node::with(Limits::default(), rules);
    node.world
        .store
        .members
        .push(((TENANT, channel("team_a")), UserId::new(7).unwrap()));
    let (one, two) = (node.user(0, 7), node.user(1, 8));
    let frame = "{\"id\":1,\"subscribe\":\"team_a\"}\n{\"id\":2,\"publish\":{\"channel\":\"team_a\",\"data\":\"x\"}}\n{\"id\":3,\"ping\":{}}";
    let told = node.ask(one, frame);
    assert!(
        told.iter().any(|text| text.contains("published")),
        "{told:?}"
    );
    assert_eq!(data(&told), ["x"]);
    let told = node.ask(two, frame);
    assert_eq!(
        told.iter()
            .filter(|text| text.contains("permission_denied"))
            .count(),
        2,
        "{told:?}"
    );
    assert_eq!(told.last().unwrap(), r#"{"id":3,"pong":{}}"#);
    node.world
        .store
        .data
        .insert((TENANT, UserId::new(7).unwrap()), "mine".into());
    let told = node.ask(one, r#"{"id":4,"user_data":{"user":7}}"#);
    assert_eq!(told, [r#"{"id":4,"user_data":{"user":7,"data":"mine"}}"#]);
    let told = node.ask(two, r#"{"id":4,"user_data":{"user":7}}"#);
    assert!(told[0].contains("permission_denied"), "{told:?}");
}

#[test]
fn rates_and_counts() {
    let limits = Limits {
        publish_rate: 1,
        publish_burst: 2,
        subscriptions: 2,
        ..Limits::default()
    };
    let mut node = Node::with(limits, Rules::default());
    let one = node.open(0);
    let publish = r#"{"id":1,"publish":{"channel":"web_a","data":"x"}}"#;
    let told = node.ask(one, &[publish; 3].join("\n"));
    assert_eq!(
        told.iter()
            .filter(|text| text.contains("rate_limited"))
            .count(),
        1,
        "{told:?}"
    );
    node.now.0 += 1_000;
    assert!(node.ask(one, publish)[0].contains("published"));
    let told = node.ask(one, r#"{"id":1,"subscribe":["web_a","web_b","web_c"]}"#);
    assert_eq!(
        told.iter()
            .filter(|text| text.contains("too_many_subscriptions"))
            .count(),
        1,
        "{told:?}"
    );
}

#[test]
fn hidden_senders() {
    let mut node = Node::new();
    let (one, two) = (node.user(0, 7), node.open(1));
    node.ask(two, r#"{"id":1,"subscribe":"web_a"}"#);
    node.ask(one, r#"{"id":1,"publish":{"channel":"web_a","data":"x"}}"#);
    assert!(node.told(two)[0].contains(r#""user":7"#));
    node.ask(one, r#"{"id":1,"publish":{"channel":"@web_a","data":"x"}}"#);
    assert!(!node.told(two)[0].contains("user"));
}

#[test]
fn subscriptions_end_with_their_right() {
    let rule = |who| Rule {
        subscribe: Some(who),
        ..Rule::new("r", Pattern::Prefix("team_".into()))
    };
    let rules = |who| Rules::new(vec![rule(who)], UserDataRule::Anyone);
    let mut node = Node::with(Limits::default(), rules(Who::Members));
    let user = UserId::new(7).unwrap();
    node.world
        .store
        .members
        .push(((TENANT, channel("team_a")), user));
    let one = node.user(0, 7);
    let subscribe = r#"{"id":1,"subscribe":"team_a"}"#;
    assert!(node.ask(one, subscribe)[0].contains("subscribed"));
    node.remove_members("team_a", Some(8));
    assert_eq!(node.told(one), Vec::<String>::new());
    node.remove_members("team_a", Some(7));
    assert!(node.told(one)[0].starts_with(r#"{"push":"unsubscribed","channel":"team_a""#));
    node.publish("team_a", "x");
    assert_eq!(node.told(one), Vec::<String>::new());
    assert!(node.ask(one, subscribe)[0].contains("subscribed"));
    node.rules(rules(Who::Nobody));
    assert!(node.told(one)[0].contains(r#""code":"permission_denied""#));
}

#[test]
fn a_backends_payload_has_a_limit_too() {
    let limits = Limits {
        publication_bytes: 3,
        ..Limits::default()
    };
    let mut node = Node::with(limits, Rules::default());
    for answer in [node.publish("web_a", "four"), node.send(7, "four")] {
        let crate::Answer::Rejected(reject) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(reject.code, cometql_protocol::ErrorCode::TooLarge);
    }
    let published = node.publish("web_a", "one");
    assert!(matches!(published, crate::Answer::Published { .. }));
}
