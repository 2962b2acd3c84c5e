//! Limits of speed through a whole node: what browsers and MySQL clients are told, and what is counted.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cometql_engine::effects::{Counted, Limited};
use cometql_server::admin;
use common::backend::{KEY, OTHER, World, connect};
use common::{Client, http, within};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::Value;

/// A node on which everything but these limits is let through.
async fn start(change: impl FnOnce(&mut cometql_engine::Limits)) -> World {
    World::start(|settings| {
        let limits = &mut settings.limits;
        limits.publish_burst = 1_000;
        limits.user_publish_rate = 0;
        limits.user_request_rate = 0;
        limits.channel_publish_rate = 0;
        change(limits);
        settings.backends.admin = admin::Settings {
            address: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..admin::Settings::default()
        };
    })
    .await
}

/// What a publication is answered with: `published`, or the code of its refusal.
async fn publish(client: &mut Client, channel: &str) -> String {
    let request = format!(r#"{{"id":5,"publish":{{"channel":"{channel}","data":"x"}}}}"#);
    let answer = client.ask(&request).await;
    if answer["published"].is_object() {
        return "published".to_owned();
    }
    let wait = answer["error"]["retry_after_ms"].as_u64();
    assert!(wait.unwrap() > 0, "{answer}");
    answer["error"]["code"].as_str().unwrap().to_owned()
}

async fn refused(backend: &mut Conn, sql: &str) -> (u16, String) {
    match within(backend.query_drop(sql)).await {
        Err(mysql_async::Error::Server(error)) => (error.code, error.message),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Carries out a statement until that is too much.
async fn too_much(backend: &mut Conn, sql: &str) -> String {
    for _ in 0..10_000 {
        if let Err(error) = within(backend.query_drop(sql)).await {
            let mysql_async::Error::Server(error) = error else {
                panic!("{sql}: {error:?}");
            };
            assert_eq!(error.code, 429, "{error:?}");
            return error.message;
        }
    }
    panic!("nothing limits {sql}");
}

fn counted(world: &World, by: Limited) -> u64 {
    world.app.metrics().total(Counted::RateLimited(by))
}

/// Publishes with clients in turn until one is refused.
async fn until_refused(clients: &mut [Client], channels: &[&str]) -> String {
    for turn in 0..10_000 {
        let count = clients.len();
        let answer = publish(&mut clients[turn % count], channels[turn % channels.len()]).await;
        if answer != "published" {
            return answer;
        }
    }
    panic!("nothing limits them");
}

/// What `/metrics` says of refusals, over the shards.
async fn told(world: &World, by: &str) -> u64 {
    let admin = world.app.admin_address().unwrap();
    let text = http(admin, "GET /metrics HTTP/1.1").await;
    let row = format!("cometql_rate_limited_total{{by=\"{by}\",");
    let rows = text.lines().filter(|line| line.starts_with(&row));
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    rows.map(value).sum()
}

#[tokio::test]
async fn browsers_by_connection() {
    let mut world = start(|limits| {
        limits.publish_rate = 1;
        limits.publish_burst = 2;
    })
    .await;
    let mut clients = [world.browser(5, &[]).await];
    let mut other = world.browser(5, &[]).await;
    let refusal = until_refused(&mut clients, &["web_a", "web_b"]).await;
    assert_eq!(refusal, "rate_limited");
    // The same user on another connection has a rate of its own.
    assert_eq!(publish(&mut other, "web_a").await, "published");
    assert!(counted(&world, Limited::Connection) > 0);
    assert_eq!(
        told(&world, "connection").await,
        counted(&world, Limited::Connection)
    );
    assert_eq!(told(&world, "user").await, 0);
    drop((clients, other));
    world.stop().await;
}

#[tokio::test]
async fn browsers_by_user_channel_and_tenant() {
    let mut world = start(|limits| limits.user_publish_rate = 1).await;
    let mut clients = [world.browser(5, &[]).await, world.browser(5, &[]).await];
    let mut other = world.browser(6, &[]).await;
    let refusal = until_refused(&mut clients, &["web_a", "web_b"]).await;
    assert_eq!(refusal, "rate_limited");
    assert_eq!(publish(&mut other, "web_a").await, "published");
    assert!(told(&world, "user").await > 0);
    drop((clients, other));
    world.stop().await;

    let world = start(|limits| limits.channel_publish_rate = 1).await;
    let mut clients = [world.anonymous(&[]).await, world.anonymous(&[]).await];
    until_refused(&mut clients, &["web_a"]).await;
    assert_eq!(publish(&mut clients[0], "web_b").await, "published");
    assert!(told(&world, "channel").await > 0);
    drop(clients);
    world.stop().await;

    let world = start(|limits| limits.tenant_publish_rate = 1).await;
    let mut clients = [world.anonymous(&[]).await, world.anonymous(&[]).await];
    until_refused(&mut clients, &["web_a", "web_b", "web_c"]).await;
    let path = "/connect?v=1&tenant=7";
    let mut elsewhere = Client::at(world.app.http_address(), path).await;
    assert_eq!(publish(&mut elsewhere, "web_a").await, "published");
    assert!(told(&world, "tenant").await > 0);
    drop((clients, elsewhere));
    world.stop().await;
}

/// Asks for something that is no publication until that is too much; the message says by whom.
async fn until_too_much(client: &mut Client) -> String {
    for _ in 0..10_000 {
        let ask = r#"{"id":6,"presence_count":{"channel":"web_a"}}"#;
        let answer = client.ask(ask).await;
        if answer["presence_count"].is_object() {
            continue;
        }
        assert_eq!(answer["error"]["code"], "rate_limited", "{answer}");
        let wait = answer["error"]["retry_after_ms"].as_u64();
        assert!(wait.unwrap() > 0, "{answer}");
        return answer["error"]["message"].as_str().unwrap().to_owned();
    }
    panic!("nothing limits what it asks");
}

#[tokio::test]
async fn requests_by_connection_user_and_tenant() {
    // How a request is limited, by whom it is told, and who is let through all the same.
    type Change = fn(&mut cometql_engine::Limits);
    let cases: [(Change, &str, &str); 3] = [
        (
            |limits| (limits.request_rate, limits.request_burst) = (1, 9),
            "connection",
            "this session may ask 1 times a second, 9 at once",
        ),
        (
            |limits| limits.user_request_rate = 1,
            "user",
            "this user may ask 1 times a second, 10 at once",
        ),
        (
            |limits| limits.tenant_request_rate = 2,
            "tenant",
            "all browsers together may ask 2 times a second, 20 at once",
        ),
    ];
    for (change, by, says) in cases {
        let mut world = start(change).await;
        let mut client = world.browser(5, &[]).await;
        let message = until_too_much(&mut client).await;
        assert!(message.starts_with(says), "{message}");
        for other in ["connection", "user", "tenant"] {
            assert_eq!(told(&world, other).await > 0, other == by, "{other}");
        }
        // A publication has limits of its own, and another tenant too.
        assert_eq!(publish(&mut client, "web_a").await, "published");
        let path = "/connect?v=1&tenant=7";
        let mut elsewhere = Client::at(world.app.http_address(), path).await;
        let count = elsewhere.ask(r#"{"id":6,"presence_count":{"channel":"web_a"}}"#);
        assert_eq!(count.await["presence_count"]["count"], 0);
        drop((client, elsewhere));
        world.stop().await;
    }
}

#[tokio::test]
async fn backends_by_channel() {
    let mut world = start(|limits| limits.backend_channel_rate = 1).await;
    let insert = "INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', 'e', 'x')";
    let message = too_much(&mut world.backend, insert).await;
    assert!(
        message.starts_with(
            "backends may publish in this channel 1 times a second, 2 at once: try again in "
        ),
        "{message}"
    );
    // In another channel, and in this one from a browser.
    let elsewhere = insert.replace("web_a", "web_b");
    world.run(&elsewhere).await;
    let mut browser = world.anonymous(&["web_c"]).await;
    assert_eq!(publish(&mut browser, "web_a").await, "published");
    // Of many rows those that came too fast are refused, and the message says how many were sent.
    let rows = ["('web_c', 'e', 'x')"; 1_000].join(", ");
    let many = format!("INSERT INTO pipes_messages (name, event, message) VALUES {rows}");
    let (code, message) = refused(&mut world.backend, &many).await;
    assert_eq!(code, 429);
    let sent = message.rsplit_once(" (").unwrap().1;
    let sent: usize = sent.split(' ').next().unwrap().parse().unwrap();
    assert!((1..1_000).contains(&sent), "{message}");
    for _ in 0..sent {
        let push: Value = browser.json().await;
        assert_eq!(push["channel"], "web_c");
    }
    assert!(counted(&world, Limited::BackendChannel) > 0);
    drop(browser);
    world.stop().await;
}

#[tokio::test]
async fn backends_by_tenant() {
    let mut world = start(|limits| limits.backend_tenant_rate = 1).await;
    let insert = "INSERT INTO users_messages (id, event, message) VALUES (9, 'e', 'x')";
    let message = too_much(&mut world.backend, insert).await;
    assert!(
        message.starts_with("backends may send 1 times a second"),
        "{message}"
    );
    // What is not sent is not limited, and another tenant is another one.
    world
        .run("INSERT INTO users_auth (id, hash) VALUES (9, 'x')")
        .await;
    let mut other = connect(&world.app, "7", OTHER).await;
    within(other.query_drop(insert)).await.unwrap();
    assert!(counted(&world, Limited::BackendTenant) > 0);
    // The same at the admin port, with a header for those who wait.
    let authorization = STANDARD.encode(format!("0:{KEY}"));
    let publish = "INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', 'e', 'x')";
    let request = format!("POST /sql HTTP/1.1\nauthorization: Basic {authorization}\n\n{publish}");
    for _ in 0..10_000 {
        let answer = http(world.app.admin_address().unwrap(), &request).await;
        if answer.starts_with("HTTP/1.1 429 ") {
            assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
            within(other.disconnect()).await.unwrap();
            return world.stop().await;
        }
    }
    panic!("nothing limits the admin port");
}
