//! The behavioural suite that all languages run (`sdks/suite.json`, told in `sdks/README.md`), on both kinds of client.

#[path = "common/node.rs"]
mod common;
mod told;

use std::collections::BTreeMap;

use cometql_sdk::{BlockingClient, Client, CometError, Value as Bound, mint_token};
use common::{KEY, host, node};
use serde_json::{Value, json};
use told::{answer, given, matches, records, tell, whole, words};

/// What was kept under which name.
type Kept = BTreeMap<String, Value>;

/// Calls one call; `$wait` is `.await` for a client whose calls are awaited.
macro_rules! call {
    ($client:expr, $name:expr, $with:expr $(, . $wait:tt)?) => {{
        let (client, with): (_, &[Value]) = ($client, $with);
        match $name {
            "ping" => tell(client.ping()$(.$wait)?),
            "close" => tell(Ok(client.close()$(.$wait)?)),
            "publish" => tell(client.publish(records::publication(&with[0]))$(.$wait)?),
            "publish_many" => {
                let publications = given(&with[0], records::publication);
                tell(client.publish_many(publications)$(.$wait)?)
            }
            "send_to_user" => tell(client.send_to_user(records::message(&with[0]))$(.$wait)?),
            "send_to_users" => {
                let (users, message, event) = (given(&with[0], whole), words(&with[1]), words(&with[2]));
                tell(client.send_to_users(users, message, event)$(.$wait)?)
            }
            "history" => tell(client.history(words(&with[0]), records::page(&with[1]))$(.$wait)?),
            "delete_history" => tell(client.delete_history(words(&with[0]))$(.$wait)?),
            "channel_settings" => tell(client.channel_settings(words(&with[0]))$(.$wait)?),
            "set_channel_settings" => {
                let settings = records::settings(&with[1]);
                tell(client.set_channel_settings(words(&with[0]), settings)$(.$wait)?)
            }
            "reset_channel_settings" => tell(client.reset_channel_settings(words(&with[0]))$(.$wait)?),
            "presence" => tell(client.presence(words(&with[0]))$(.$wait)?),
            "subscribers" => tell(client.subscribers(given(&with[0], words))$(.$wait)?),
            "online" => tell(client.online(given(&with[0], whole))$(.$wait)?),
            "last_seen" => tell(client.last_seen(given(&with[0], whole))$(.$wait)?),
            "authorize" => tell(client.authorize(whole(&with[0]), words(&with[1]))$(.$wait)?),
            "deauthorize" => tell(client.deauthorize(whole(&with[0]))$(.$wait)?),
            "revoke" => tell(client.revoke(words(&with[0]))$(.$wait)?),
            "user_data" => tell(client.user_data(whole(&with[0]))$(.$wait)?),
            "set_user_data" => tell(client.set_user_data(whole(&with[0]), words(&with[1]))$(.$wait)?),
            "delete_user_data" => tell(client.delete_user_data(whole(&with[0]))$(.$wait)?),
            "query" => {
                let values: Vec<Bound> = given(&with[1], records::value);
                tell(client.query(words(&with[0]), values)$(.$wait)?)
            }
            "mint_token" => tell(mint_token(records::key(&with[0]), records::claims(&with[1]))),
            other => panic!("no such call: {other}"),
        }
    }};
}

/// Compares what came of something with what the suite expects.
fn compare(place: &str, expected: &Value, told: Result<Value, CometError>, kept: &mut Kept) {
    match (told, expected.get("fails")) {
        (Ok(value), None) => {
            if let Some(gives) = expected.get("gives") {
                let agrees = matches(gives, &value, kept);
                assert!(agrees, "{place}: {value} is not {gives}");
            }
        }
        (Err(error), Some(fails)) => {
            let told = told::error(&error);
            let agrees = matches(&fails["kind"], &told["kind"], kept)
                && fails
                    .get("code")
                    .is_none_or(|code| matches(code, &told["code"], kept));
            assert!(agrees, "{place}: {error:?} is not {fails}");
        }
        (Ok(value), Some(fails)) => panic!("{place}: {value}, and not {fails}"),
        (Err(error), None) => panic!("{place}: {error:?}"),
    }
}

/// Runs the suite with one kind of client.
macro_rules! run {
    ($kind:ident, $host:expr $(, . $wait:tt)?) => {{
        let suite = include_str!("../../sdks/suite.json");
        let suite: Value = serde_json::from_str(suite).unwrap();
        for case in suite["cases"].as_array().unwrap() {
            let mut kept = Kept::from([("host".to_owned(), json!($host)), ("password".to_owned(), json!(KEY))]);
            let place = case["name"].as_str().unwrap();
            let (hosts, user, password, database, options) = records::log_in(&case["connect"], &kept);
            let client = $kind::connect(hosts, user, password, database, options)$(.$wait)?;
            let client = match client {
                Ok(client) => client,
                Err(error) => {
                    compare(place, case, Err(error), &mut kept);
                    continue;
                }
            };
            assert!(case.get("fails").is_none(), "{place}: it connects");
            for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
                let name = step["call"].as_str().unwrap();
                let place = format!("{place}, step {number} ({name})");
                let with = answer(&step["with"], &kept);
                let told = call!(&client, name, with.as_array().unwrap() $(, . $wait)?);
                compare(&place, step, told, &mut kept);
            }
            client.close()$(.$wait)?;
        }
    }};
}

#[test]
fn the_suite_has_every_call() {
    let (_, calls) = include_str!("../src/client.rs")
        .split_once("\ncalls! {")
        .unwrap();
    let suite = include_str!("../../sdks/suite.json");
    let names = calls
        .lines()
        .filter_map(|line| line.trim().strip_prefix("fn "));
    let names: Vec<_> = names.filter_map(|line| line.split_once('(')).collect();
    assert!(names.len() > 20);
    for (name, _) in names {
        let step = format!(r#""call": "{name}""#);
        assert!(suite.contains(&step), "the suite lacks {name}");
    }
}

#[tokio::test]
async fn the_suite_with_calls_that_are_awaited() {
    let app = node(|_| {}).await;
    let host = host(&app);
    run!(Client, host, .await);
    app.stop().await;
}

#[tokio::test]
async fn the_suite_with_calls_that_block() {
    let app = node(|_| {}).await;
    let host = host(&app);
    let suite = tokio::task::spawn_blocking(move || run!(BlockingClient, host));
    suite.await.unwrap();
    app.stop().await;
}
