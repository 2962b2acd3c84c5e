//! What a client that comes back with its position is told, through a whole node: in the middle of a storm of publications,
//! in channels that keep nothing, and when the windows of a node have no room for all.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cometql_engine::Rules;
use cometql_engine::permission::{Pattern, Retention, Rule, UserDataRule};
use cometql_server::app::App;
use common::{Client, node, publish};
use serde_json::Value;

/// Where a client is in a channel.
#[derive(Clone)]
struct Position {
    epoch: String,
    offset: u64,
}

/// Subscribes, with a position if there is one; returns what it is told.
async fn subscribe(client: &mut Client, channel: &str, since: Option<&Position>) -> Value {
    let since = since.map_or_else(String::new, |position| {
        let Position { epoch, offset } = position;
        format!(r#","epoch":"{epoch}","offset":{offset}"#)
    });
    let request = format!(r#"{{"id":1,"subscribe":{{"channel":"{channel}"{since}}}}}"#);
    let answer = client.ask(&request).await;
    assert!(answer["subscribed"].is_object(), "{answer}");
    answer["subscribed"].clone()
}

fn position(subscribed: &Value) -> Position {
    Position {
        epoch: subscribed["epoch"].as_str().unwrap().to_owned(),
        offset: subscribed["offset"].as_u64().unwrap(),
    }
}

/// Publishes until it is told to stop.
async fn storm(app: &App, over: &AtomicBool) {
    let mut number = 0_u64;
    while !over.load(Ordering::Relaxed) {
        publish(app, "web_storm", &number.to_string()).await;
        number += 1;
    }
}

/// Comes and goes, and each time sees what follows its position, without a gap and without one twice.
async fn visitor(app: &App) {
    let mut at: Option<Position> = None;
    for seen in [0, 1, 5, 30, 2, 11, 0, 50, 3, 20] {
        let mut client = Client::connect(app).await;
        let subscribed = subscribe(&mut client, "web_storm", at.as_ref()).await;
        assert_eq!(subscribed["recovered"], at.is_some(), "{subscribed}");
        let mut last = at.unwrap_or_else(|| position(&subscribed));
        for _ in 0..seen {
            let push = client.json().await;
            assert_eq!(push["previous"], last.offset, "{push}");
            last.offset = push["offset"].as_u64().unwrap();
        }
        at = Some(last);
    }
}

#[tokio::test]
async fn in_a_storm_nobody_misses_anything() {
    let app = node(|settings| {
        settings.shards = Some(2);
        settings.limits.window_publications = 1_000_000;
        settings.limits.channel_publish_rate = 0;
    })
    .await;
    let over = AtomicBool::new(false);
    let visits = async {
        futures_util::future::join_all((0..20).map(|_| visitor(&app))).await;
        over.store(true, Ordering::Relaxed);
    };
    futures_util::join!(visits, storm(&app, &over), storm(&app, &over));
    app.stop().await;
}

#[tokio::test]
async fn a_channel_that_keeps_nothing_never_says_recovered() {
    let app = node(|settings| {
        let rule = Rule {
            retention: Some(Retention::Ephemeral),
            ..Rule::new("test", Pattern::Prefix("web_now".into()))
        };
        settings.rules = Arc::new(Rules::new(vec![rule], UserDataRule::Anyone));
    })
    .await;
    let mut client = Client::connect(&app).await;
    let subscribed = subscribe(&mut client, "web_now", None).await;
    assert_eq!(subscribed["recovered"], false);
    assert_eq!(
        (&subscribed["epoch"], &subscribed["offset"]),
        (&Value::Null, &Value::Null)
    );
    publish(&app, "web_now", "hello").await;
    let push = client.json().await;
    assert_eq!(push["data"], "hello");
    assert_eq!(
        (&push["offset"], &push["previous"]),
        (&Value::Null, &Value::Null)
    );
    let since = Position {
        epoch: "00000000000000ff".to_owned(),
        offset: 1,
    };
    let mut again = Client::connect(&app).await;
    let subscribed = subscribe(&mut again, "web_now", Some(&since)).await;
    assert_eq!(subscribed["recovered"], false, "{subscribed}");
    app.stop().await;
}

#[tokio::test]
async fn the_window_that_was_used_last_stays() {
    const LONG: usize = 4 << 10;
    let app = node(|settings| {
        settings.shards = Some(1);
        settings.limits.window_bytes = 6 * LONG;
    })
    .await;
    let mut positions = Vec::new();
    for channel in ["web_old", "web_new"] {
        let mut client = Client::connect(&app).await;
        positions.push(position(&subscribe(&mut client, channel, None).await));
    }
    let long = "x".repeat(LONG);
    for channel in ["web_old", "web_old", "web_new", "web_new"] {
        publish(&app, channel, &long).await;
    }
    for (channel, since, recovered) in [
        ("web_new", &positions[1], true),
        ("web_old", &positions[0], false),
    ] {
        let mut client = Client::connect(&app).await;
        let subscribed = subscribe(&mut client, channel, Some(since)).await;
        assert_eq!(
            subscribed["recovered"], recovered,
            "{channel}: {subscribed}"
        );
        assert_eq!(
            subscribed["offset"], 2,
            "where the channel is, all the same"
        );
    }
    app.stop().await;
}
