//! The behavioural suite that all languages run (`sdks/suite.json`, told in `sdks/README.md`), on both kinds of client.

#[path = "common/node.rs"]
mod common;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use cometql_sdk::{BlockingClient, Client, CometError, Event, Value as Bound, mint_token};
use common::{KEY, host, node};
use serde_json::{Value, json};
use told::{answer, given, matches, records, tell, whole, words};

/// What was kept under which name.
type Kept = BTreeMap<String, Value>;

/// Who listens in a case, and the offset of the last message that it was given.
struct Heard<S> {
    subscription: Option<Arc<S>>,
    offset: u64,
}

impl<S> Heard<S> {
    fn subscription(&self) -> &S {
        self.subscription.as_ref().expect("it listens")
    }
}

/// Calls one call; `$wait` is `.await` for a client whose calls are awaited.
macro_rules! call {
    ($client:expr, $heard:expr, $name:expr, $with:expr $(, . $wait:tt)?) => {{
        let (client, heard, with): (_, _, &[Value]) = ($client, $heard, $with);
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
                tell(client.send_to_users(users, message, event, records::word(&with[3]))$(.$wait)?)
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
            "subscribe" => {
                let channels = given(&with[0], records::channel);
                let subscribed = client.subscribe(channels, records::listening(&with[1]))$(.$wait)?;
                tell(subscribed.map(|subscription| heard.subscription = Some(subscription)))
            }
            "next" => loop {
                match heard.subscription().next()$(.$wait)? {
                    Ok(Some(Event::Online { .. } | Event::Offline { .. })) => {}
                    Ok(Some(event)) => break Ok(told::event(&event, &mut heard.offset)),
                    Ok(None) => break Ok(Value::Null),
                    Err(error) => break Err(error),
                }
            },
            "acknowledge" => tell(Ok(heard.subscription().acknowledge(heard.offset))),
            "set_token" => tell(Ok(heard.subscription().set_token(words(&with[0])))),
            "stop_listening" => tell(Ok(heard.subscription().close()$(.$wait)?)),
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
    ($kind:ident, $host:expr, $url:expr $(, . $wait:tt)?) => {{
        let suite = include_str!("../../sdks/suite.json");
        let suite: Value = serde_json::from_str(suite).unwrap();
        let cases = ["cases", "listening"].map(|name| suite[name].as_array().unwrap());
        for case in cases.into_iter().flatten() {
            let mut kept = Kept::from([("host", $host), ("url", $url), ("password", KEY)].map(
                |(name, value): (&str, &str)| (name.to_owned(), json!(value)),
            ));
            let mut heard = Heard { subscription: None, offset: 0 };
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
                let told = call!(&client, &mut heard, name, with.as_array().unwrap() $(, . $wait)?);
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
    let (host, url) = (host(&app), format!("ws://{}", app.http_address()));
    run!(Client, host.as_str(), url.as_str(), .await);
    app.stop().await;
}

#[tokio::test]
async fn the_suite_with_calls_that_block() {
    let app = node(|_| {}).await;
    let (host, url) = (host(&app), format!("ws://{}", app.http_address()));
    let suite =
        tokio::task::spawn_blocking(move || run!(BlockingClient, host.as_str(), url.as_str()));
    suite.await.unwrap();
    app.stop().await;
}
