//! Nodes of a cluster on real NATS servers: what one publishes reaches those that have subscribers, and clients go on at any.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::backend::World;
use common::nats::Cluster;
use common::{Client, http, within};
use mysql_async::prelude::Queryable;
use serde_json::Value;

/// So long something may take to become so.
const PATIENCE: Duration = Duration::from_secs(30);
const ID: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051";

impl World {
    async fn publish(&mut self, channel: &str, message: &str) {
        self.run(&format!(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('{channel}', 'e', '{message}')"
        ))
        .await;
    }

    fn received(&self) -> u64 {
        self.app.cluster().unwrap().counters().received.get()
    }
}

async fn subscribe(client: &mut Client, channel: &str, since: Option<(&str, u64)>) -> Value {
    let since = since.map_or_else(String::new, |(epoch, offset)| {
        format!(r#","epoch":"{epoch}","offset":{offset}"#)
    });
    let request = format!(r#"{{"id":1,"subscribe":{{"channel":"{channel}"{since}}}}}"#);
    let answer = client.ask(&request).await;
    assert!(answer["subscribed"].is_object(), "{answer}");
    answer["subscribed"].clone()
}

async fn data(client: &mut Client) -> String {
    let push = client.json().await;
    push["data"]
        .as_str()
        .unwrap_or_else(|| panic!("{push}"))
        .to_owned()
}

#[tokio::test]
async fn publications_reach_the_nodes_that_have_subscribers() {
    let Some(cluster) = Cluster::start(1, "publications across nodes") else {
        return;
    };
    let (mut a, b, c) = (
        cluster.node("a").await,
        cluster.node("b").await,
        cluster.node("c").await,
    );
    for channel in ["web_news", "web_kept", "web_now"] {
        let mut here = a.anonymous(&[channel]).await;
        let mut there = b.anonymous(&[channel]).await;
        for message in ["one", "two", "three"] {
            a.publish(channel, message).await;
        }
        for message in ["one", "two", "three"] {
            let (here, there) = (here.json().await, there.json().await);
            assert_eq!(here, there, "{channel}");
            assert_eq!(here["data"], message);
            assert_eq!(here["offset"].is_u64(), channel != "web_now", "{here}");
        }
    }
    assert_eq!(b.received(), 9);
    assert_eq!(c.received(), 0, "who has no subscriber gets nothing");
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_client_goes_on_at_another_node() {
    let Some(cluster) = Cluster::start(1, "recovery at another node") else {
        return;
    };
    let (mut a, b) = (cluster.node("a").await, cluster.node("b").await);
    for channel in ["web_news", "web_kept"] {
        let mut first = Client::connect(&a.app).await;
        let subscribed = subscribe(&mut first, channel, None).await;
        let epoch = subscribed["epoch"].as_str().unwrap();
        a.publish(channel, "seen").await;
        let seen = first.json().await["offset"].as_u64().unwrap();
        drop(first);
        a.publish("web_other", "between").await;
        a.publish(channel, "missed").await;
        a.publish(channel, "missed too").await;
        let mut second = Client::connect(&b.app).await;
        let subscribed = subscribe(&mut second, channel, Some((epoch, seen))).await;
        assert_eq!(subscribed["recovered"], true, "{channel}: {subscribed}");
        assert_eq!(data(&mut second).await, "missed");
        assert_eq!(data(&mut second).await, "missed too");
        a.publish(channel, "live").await;
        assert_eq!(data(&mut second).await, "live");
        // From before the first publication, too: nothing is missing since then.
        let start = subscribed["offset"].as_u64().unwrap();
        let mut third = Client::connect(&b.app).await;
        let again = subscribe(&mut third, channel, Some((epoch, start))).await;
        assert_eq!(again["recovered"], true, "{channel}: {again}");
        let mut lost = Client::connect(&b.app).await;
        let other = subscribe(&mut lost, channel, Some(("0123456789abcdef", seen))).await;
        assert_eq!(other["recovered"], false, "another life of the log");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_retry_at_another_node_is_sent_once() {
    let Some(cluster) = Cluster::start(1, "retries at another node") else {
        return;
    };
    let (mut a, mut b) = (cluster.node("a").await, cluster.node("b").await);
    for channel in ["web_news", "web_kept", "web_now"] {
        let mut browser = b.anonymous(&[channel]).await;
        let insert = |message: &str| {
            format!(
                "INSERT INTO pipes_messages (name, event, message, id) VALUES ('{channel}', 'e', '{message}', '{ID}')"
            )
        };
        a.run(&insert("one")).await;
        assert_eq!(data(&mut browser).await, "one");
        b.run(&insert("one")).await;
        let conflict = within(b.backend.query_drop(insert("other"))).await;
        let mysql_async::Error::Server(error) = conflict.unwrap_err() else {
            panic!("no answer");
        };
        assert_eq!(error.code, 12, "{channel}: {}", error.message);
        a.publish(channel, "two").await;
        assert_eq!(data(&mut browser).await, "two", "{channel}");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn private_messages_reach_their_user_anywhere() {
    let Some(cluster) = Cluster::start(1, "private messages across nodes") else {
        return;
    };
    let (mut a, mut b) = (cluster.node("a").await, cluster.node("b").await);
    let send = |text: &str| {
        format!("INSERT INTO users_messages (id, event, message) VALUES (7, 'e', '{text}')")
    };
    a.run(&send("waits")).await;
    b.run("INSERT INTO users_auth (id, hash) VALUES (7, 'hash7')")
        .await;
    let mut user = Client::connect(&b.app).await;
    let log_in = r#"{"id":1,"connect":{"user":7,"hash":"hash7","inbox":true}}"#;
    assert_eq!(user.ask(log_in).await["connected"]["user"], 7);
    let waiting = user.json().await;
    assert_eq!(waiting["data"], "waits", "{waiting}");
    a.run(&send("live")).await;
    let live = user.json().await;
    assert_eq!(live["data"], "live", "{live}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_nats_server_dies_and_nothing_is_lost() {
    let Some(mut cluster) = Cluster::start(3, "the death of a NATS server") else {
        return;
    };
    let (mut a, mut b) = (cluster.node("a").await, cluster.node("b").await);
    let mut browser = b.anonymous(&["web_kept"]).await;
    let mut expected = Vec::new();
    for number in 0..60 {
        if number == 20 {
            cluster.servers.kill(1);
        }
        let node = if number % 2 == 0 { &mut a } else { &mut b };
        node.publish("web_kept", &format!("m{number}")).await;
        expected.push(format!("m{number}"));
    }
    let mut last = 0;
    for message in expected {
        let push = browser.json().await;
        assert_eq!(push["data"], message, "{push}");
        let offset = push["offset"].as_u64().unwrap();
        assert!(offset > last, "{push}");
        last = offset;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_node_without_nats_serves_what_needs_no_log() {
    let Some(mut cluster) = Cluster::start(1, "a node without NATS") else {
        return;
    };
    let mut node = cluster
        .node_with("a", |settings| {
            let member = settings.cluster.as_mut().unwrap();
            // Whatever waits for the log waits for longer than this test may take.
            member.quorum_timeout = Duration::from_secs(3_600);
        })
        .await;
    let mut before = node.anonymous(&["web_now"]).await;
    cluster.servers.kill(0);
    let mut connection = node.app.cluster().unwrap().connection();
    let gone = connection.wait_for(|connection| !connection.up);
    within(gone).await.unwrap();
    let mut after = node.anonymous(&["web_now", "web_now_too"]).await;
    // More than what the client of NATS has room for.
    for number in 0..3_000 {
        node.publish("web_now", &format!("m{number}")).await;
        assert_eq!(data(&mut before).await, format!("m{number}"));
        assert_eq!(data(&mut after).await, format!("m{number}"));
    }
    let mut last = node.anonymous(&["web_now_last"]).await;
    node.publish("web_now_last", "last").await;
    assert_eq!(data(&mut last).await, "last");
    node.stop().await;
}

/// The sample of `/metrics` that begins so.
async fn sample(world: &World, name: &str) -> f64 {
    let admin = world.app.admin_address().unwrap();
    let text = http(admin, "GET /metrics HTTP/1.1").await;
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    let told = found.unwrap_or_else(|| panic!("{name}: {text}"));
    told.trim().parse().unwrap()
}

/// Waits until it is so.
async fn becomes(world: &World, name: &str, value: f64) {
    let began = Instant::now();
    loop {
        let told = sample(world, name).await;
        if (told - value).abs() < f64::EPSILON {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{name}: {told}, not {value}");
    }
}

#[tokio::test]
async fn metrics_tell_how_the_log_is() {
    let Some(mut cluster) = Cluster::start(1, "metrics of a cluster") else {
        return;
    };
    let mut a = cluster
        .node_with("a", |settings| {
            settings.backends.admin.address = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            settings.cluster.as_mut().unwrap().quorum_timeout = Duration::from_secs(1);
        })
        .await;
    let mut browser = a.anonymous(&["web_kept"]).await;
    for message in ["one", "two", "three"] {
        a.publish("web_kept", message).await;
        assert_eq!(data(&mut browser).await, message);
    }
    a.run("INSERT INTO users_auth (id, hash) VALUES (7, 'h7')")
        .await;
    let lost = "cometql_cluster_log_lost{log=\"history\"}";
    for (name, value) in [
        ("cometql_cluster_append_seconds_count", 3.0),
        ("cometql_cluster_arrival_seconds_count", 3.0),
        ("cometql_cluster_disconnects_total", 0.0),
        ("cometql_cluster_lossy_total", 0.0),
        (lost, 0.0),
    ] {
        let told = sample(&a, name).await;
        assert!((told - value).abs() < f64::EPSILON, "{name}: {told}");
    }
    becomes(&a, "cometql_cluster_tables_behind", 0.0).await;
    becomes(&a, "cometql_cluster_waiting", 0.0).await;
    cluster.servers.kill(0);
    a.publish("web_kept", "live").await;
    assert_eq!(data(&mut browser).await, "live");
    becomes(&a, lost, 1.0).await;
    becomes(&a, "cometql_cluster_lossy_total", 1.0).await;
    becomes(&a, "cometql_cluster_disconnects_total", 1.0).await;
    cluster.servers.run(0);
    becomes(&a, lost, 0.0).await;
    a.stop().await;
}
