//! How fast somebody may go: by connection, user, channel and tenant, over all shards, with an invented clock.

use super::harness::{Node, TENANT, publish};
use crate::effects::{Counted, Limited};
use crate::permission::{Pattern, Rule, UserDataRule};
use crate::{Answer, Command, ConnectionId, Limits, Rules};
use cometql_protocol::{ErrorCode, TenantId};

const LIMITS: [Limited; 6] = [
    Limited::Connection,
    Limited::User,
    Limited::Channel,
    Limited::Tenant,
    Limited::BackendChannel,
    Limited::BackendTenant,
];

/// Nothing is limited.
fn none() -> Limits {
    Limits {
        publish_rate: 1_000,
        publish_burst: 1_000,
        request_rate: 1_000,
        request_burst: 1_000,
        user_publish_rate: 0,
        user_request_rate: 0,
        channel_publish_rate: 0,
        ..Limits::default()
    }
}

/// What a publication is answered with, and how long to wait for the next.
fn told(node: &mut Node, connection: ConnectionId, channel: &str) -> String {
    let publish = format!(r#"{{"id":1,"publish":{{"channel":"{channel}","data":"x"}}}}"#);
    let told = node.ask(connection, &publish);
    let told: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
    match &told["error"] {
        serde_json::Value::Null => "ok".to_owned(),
        error => format!(
            "{} {}",
            error["code"].as_str().unwrap(),
            error["retry_after_ms"]
        ),
    }
}

/// Who went too fast how often.
#[track_caller]
fn check_counted(node: &Node, by: Limited, times: u64) {
    for limit in LIMITS {
        let expected = if limit == by { times } else { 0 };
        assert_eq!(
            node.counted(Counted::RateLimited(limit)),
            expected,
            "{limit:?}"
        );
    }
}

#[test]
fn a_connection() {
    let limits = Limits {
        publish_rate: 1,
        publish_burst: 2,
        ..none()
    };
    let mut node = Node::with(limits, Rules::default());
    let (one, other) = (node.open(0), node.open(0));
    for expected in ["ok", "ok", "rate_limited 1000"] {
        assert_eq!(told(&mut node, one, "web_a"), expected);
    }
    assert_eq!(told(&mut node, other, "web_a"), "ok");
    node.now.0 += 999;
    assert_eq!(told(&mut node, one, "web_a"), "rate_limited 1");
    node.now.0 += 1;
    assert_eq!(told(&mut node, one, "web_a"), "ok");
    check_counted(&node, Limited::Connection, 2);
}

#[test]
fn a_user_on_all_shards() {
    let limits = Limits {
        user_publish_rate: 1,
        ..none()
    };
    let mut node = Node::with(limits, Rules::default());
    let user: Vec<_> = (0..3).map(|shard| node.user(shard, 7)).collect();
    let (other, nobody) = (node.user(0, 8), node.open(0));
    assert_eq!(told(&mut node, user[0], "web_a"), "ok");
    assert_eq!(told(&mut node, user[1], "web_b"), "ok");
    assert_eq!(told(&mut node, user[2], "web_c"), "rate_limited 1000");
    for free in [other, nobody, nobody, nobody] {
        assert_eq!(told(&mut node, free, "web_a"), "ok");
    }
    node.now.0 += 1_000;
    assert_eq!(told(&mut node, user[2], "web_c"), "ok");
    assert_eq!(told(&mut node, user[0], "web_a"), "rate_limited 1000");
    check_counted(&node, Limited::User, 2);
}

#[test]
fn a_channel_by_its_rule_or_else() {
    let rule = Rule {
        channel_publish_rate: Some(2),
        ..Rule::new("quiet", Pattern::Prefix("web_quiet".into()))
    };
    let limits = Limits {
        channel_publish_rate: 1,
        ..none()
    };
    let mut node = Node::with(limits, Rules::new(vec![rule], UserDataRule::Anyone));
    let browsers: Vec<_> = (0..5).map(|index| node.open(index % 3)).collect();
    for (channel, wait) in [("web_a", 1_000), ("web_quiet", 500)] {
        let answers: Vec<_> = browsers
            .iter()
            .map(|browser| told(&mut node, *browser, channel))
            .collect();
        let granted = answers.iter().filter(|answer| *answer == "ok").count();
        assert_eq!(granted, 2_000 / wait, "{answers:?}");
        assert_eq!(answers[4], format!("rate_limited {wait}"));
        // Backends have limits of their own.
        let sent = node.publish(channel, "x");
        assert!(matches!(sent, Answer::Published { .. }), "{sent:?}");
    }
    check_counted(&node, Limited::Channel, 4);
}

#[test]
fn a_tenant() {
    let limits = Limits {
        tenant_publish_rate: 2,
        ..none()
    };
    let mut node = Node::with(limits, Rules::default());
    let (one, two) = (node.open(0), node.user(1, 7));
    for (browser, channel) in [
        (one, "web_a"),
        (two, "web_b"),
        (one, "web_c"),
        (two, "web_d"),
    ] {
        assert_eq!(told(&mut node, browser, channel), "ok");
    }
    assert_eq!(told(&mut node, one, "web_e"), "rate_limited 500");
    check_counted(&node, Limited::Tenant, 1);
}

#[test]
fn requests() {
    let limits = Limits {
        user_request_rate: 1,
        tenant_request_rate: 2,
        ..none()
    };
    let mut node = Node::with(limits, Rules::default());
    // To log in costs 5, as nobody yet.
    let user = [node.user(0, 7), node.user(1, 7)];
    let ask = |node: &mut Node, connection| {
        let told = node.ask(connection, r#"{"id":2,"user_status":{"user":9}}"#);
        told[0].contains("user_status")
    };
    let granted = (0..12).filter(|at| ask(&mut node, user[at % 2])).count();
    assert_eq!(granted, 10);
    check_counted(&node, Limited::User, 2);
    let nobody = node.open(2);
    assert!(!ask(&mut node, nobody));
    assert_eq!(node.counted(Counted::RateLimited(Limited::Tenant)), 1);
    node.now.0 += 500;
    assert!(ask(&mut node, nobody));
}

#[test]
fn backends() {
    let rule = |prefix: &str, rate| Rule {
        backend_publish_rate: Some(rate),
        ..Rule::new("rule", Pattern::Prefix(prefix.into()))
    };
    let rules = || Rules::new(vec![rule("some", 1), rule("all", 0)], UserDataRule::Anyone);
    #[track_caller]
    fn check(answer: &Answer, wait: Option<u64>) {
        match (answer, wait) {
            (Answer::Published { .. } | Answer::Sent { .. }, None) => {}
            (Answer::Rejected(reject), Some(_)) => {
                assert_eq!(
                    (reject.code, reject.retry_ms),
                    (ErrorCode::RateLimited, wait)
                );
            }
            other => panic!("{other:?}"),
        }
    }
    let limits = Limits {
        backend_channel_rate: 2,
        ..none()
    };
    let mut node = Node::with(limits, rules());
    for (channel, granted, wait) in [
        ("other_a", 4, 500),
        ("other_b", 4, 500),
        ("some_a", 2, 1_000),
    ] {
        for _ in 0..granted {
            check(&node.publish(channel, "x"), None);
        }
        check(&node.publish(channel, "x"), Some(wait));
    }
    for _ in 0..100 {
        check(&node.publish("all_a", "x"), None);
        check(&node.send(7, "x"), None);
    }
    check_counted(&node, Limited::BackendChannel, 3);
    node.now.0 += 1_000;
    check(&node.publish("some_a", "x"), None);

    let limits = Limits {
        backend_tenant_rate: 2,
        ..none()
    };
    let mut node = Node::with(limits, rules());
    for channel in ["all_a", "all_b"] {
        check(&node.publish(channel, "x"), None);
        check(&node.send(7, "x"), None);
    }
    check(&node.publish("all_c", "x"), Some(500));
    check(&node.send(8, "x"), Some(500));
    check_counted(&node, Limited::BackendTenant, 2);
    // Another tenant is another one, and what only reads is free.
    let Command::Publish { channel, draft, .. } = publish("all_a", "x") else {
        unreachable!();
    };
    let tenant = TenantId(TENANT.0 + 1);
    let other = Command::Publish {
        tenant,
        channel: channel.clone(),
        draft,
    };
    check(&node.command(other), None);
    let clear = Command::ClearHistory {
        tenant: TENANT,
        channel,
    };
    assert!(matches!(node.command(clear), Answer::Done { .. }));
}
