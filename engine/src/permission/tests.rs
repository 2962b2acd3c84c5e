use std::sync::Arc;

use cometql_protocol::UserId;

use super::*;

const TENANT: TenantId = TenantId(1);

fn user(number: u64) -> Identity {
    Identity {
        user: UserId::new(number),
        ..Identity::default()
    }
}

#[track_caller]
fn check(rules: &Rules, who: &Identity, channel: &str, action: Action, expected: Decision) {
    assert_eq!(
        rules.decide(TENANT, who, channel, action),
        expected,
        "{channel} {action:?}"
    );
}

#[test]
fn the_prefixes_of_the_original() {
    let rules = Rules::default();
    let (anonymous, user) = (Identity::default(), user(7));
    let allow = [
        (&anonymous, "web_a", Action::Publish),
        (&anonymous, "web_a", Action::PresenceCount),
        (&user, "webauth_a", Action::Publish),
        (&anonymous, "track_a", Action::Presence),
        (&anonymous, "track_a", Action::PresenceCount),
        (&user, "private_a", Action::Subscribe),
        (&user, "private_a", Action::History),
        (&anonymous, "any_name", Action::Subscribe),
        (&anonymous, "any_name", Action::History),
    ];
    for (who, channel, action) in allow {
        check(&rules, who, channel, action, Decision::Allow);
    }
    let deny = [
        (&anonymous, "webauth_a", Action::Publish),
        (&anonymous, "web_a", Action::Presence),
        (&anonymous, "private_a", Action::Subscribe),
        (&anonymous, "private_a", Action::History),
        (&user, "track_a", Action::Publish),
        (&user, "any_name", Action::Publish),
        (&user, "any_name", Action::PresenceCount),
        (&user, "msg", Action::Subscribe),
    ];
    for (who, channel, action) in deny {
        check(&rules, who, channel, action, Decision::Deny);
    }
    assert!(rules.behaviour(TENANT, "track_a").join_leave);
    assert_eq!(
        rules.behaviour(TENANT, "web_a").retention,
        Retention::Window
    );
    assert!(matches!(
        rules.behaviour(TENANT, "trust_a").retention,
        Retention::Durable { .. }
    ));
}

#[test]
fn configured_rules_come_first_and_fill_up_from_the_next() {
    let mine = Rule {
        subscribe: Some(Who::Members),
        tenant: Some(TENANT),
        ..Rule::new("channels[0]", Pattern::Prefix("web_team".into()))
    };
    let rules = Rules::new(vec![mine], UserDataRule::Own);
    check(
        &rules,
        &user(1),
        "web_team1",
        Action::Subscribe,
        Decision::AskMembers,
    );
    check(
        &rules,
        &Identity::default(),
        "web_team1",
        Action::Subscribe,
        Decision::Deny,
    );
    check(
        &rules,
        &Identity::default(),
        "web_team1",
        Action::Publish,
        Decision::Allow,
    );
    assert_eq!(
        rules.decide(
            TenantId(2),
            &Identity::default(),
            "web_team1",
            Action::Subscribe
        ),
        Decision::Allow
    );
    assert!(rules.may_read_user_data(&user(3), UserId::new(3).unwrap()));
    assert!(!rules.may_read_user_data(&user(3), UserId::new(4).unwrap()));
}

#[test]
fn claims() {
    let right = Who::Claim {
        name: "channel".into(),
        value: Some("*".into()),
    };
    let rule = Rule {
        subscribe: Some(right),
        ..Rule::new("c", Pattern::Prefix("doc:".into()))
    };
    let rules = Rules::new(vec![rule], UserDataRule::Anyone);
    let claims: Arc<[(String, String)]> = [("channel".to_owned(), "doc:7".to_owned())].into();
    let who = Identity {
        claims: Some(claims),
        ..user(1)
    };
    check(&rules, &who, "doc:7", Action::Subscribe, Decision::Allow);
    check(&rules, &who, "doc:8", Action::Subscribe, Decision::Deny);
    check(&rules, &user(1), "doc:7", Action::Subscribe, Decision::Deny);
    let name = ChannelName::parse("doc:7").unwrap();
    assert!(rules.allows_name(TENANT, &name));
    assert!(!Rules::default().allows_name(TENANT, &name));
}

#[test]
fn refusals_name_the_rule() {
    let reject =
        Rules::default().refusal(TENANT, &Identity::default(), "private_a", Action::Subscribe);
    assert_eq!(reject.code, ErrorCode::LoginRequired);
    assert!(
        reject.message.contains("default private_"),
        "{}",
        reject.message
    );
}
