//! A cluster whose log has lost its quorum: what still gets through, and what nodes tell balancers meanwhile.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::time::{Duration, Instant};

use common::backend::{World, connect, rows, try_connect};
use common::nats::Cluster;
use common::{Client, http, within};
use mysql_async::prelude::Queryable;
use serde_json::Value;

/// So long an election, and all that waits for it, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Offsets of messages that no log has begin here.
const UNSTORED: u64 = 1 << 52;

impl Cluster {
    /// A node that gives a quorum up soon, though not while a slow machine starts.
    async fn impatient(&self, name: &str) -> World {
        self.node_with(name, |settings| {
            let cluster = settings.cluster.as_mut().unwrap();
            cluster.quorum_timeout = Duration::from_secs(8);
        })
        .await
    }

    fn lose_quorum(&mut self) {
        self.servers.kill(1);
        self.servers.kill(2);
    }

    fn regain_quorum(&mut self) {
        self.servers.run(1);
        self.servers.run(2);
    }
}

fn send(text: &str, id: u8) -> String {
    format!(
        "INSERT INTO users_messages (id, `index`, event, message) \
         VALUES (7, '0190a1b2-c3d4-7e5f-8a9b-0000000000{id:02x}', 'e', '{text}')"
    )
}

/// User 7, who reads private messages.
async fn reader(node: &World) -> Client {
    let mut user = Client::connect(&node.app).await;
    let log_in = r#"{"id":1,"connect":{"user":7,"hash":"hash7","inbox":true}}"#;
    assert_eq!(user.ask(log_in).await["connected"]["user"], 7);
    user
}

async fn acknowledge(user: &mut Client, push: &Value) {
    let offset = push["offset"].as_u64().unwrap();
    let answer = user
        .ask(&format!(r#"{{"id":9,"ack":{{"offset":{offset}}}}}"#))
        .await;
    assert_eq!(answer["id"], 9, "{answer}");
    assert!(answer["error"].is_null(), "{answer}");
}

/// The code of a refusal, or the codes of the warnings.
async fn outcome(node: &mut World, sql: &str) -> String {
    match within(node.backend.query_drop(sql)).await {
        Ok(()) => rows(&mut node.backend, "SHOW WARNINGS", ()).await,
        Err(mysql_async::Error::Server(error)) => format!("error {}", error.code),
        Err(error) => panic!("{sql}: {error}"),
    }
}

async fn is_ready(node: &World) -> bool {
    let answer = http(node.app.http_address(), "GET /health?ready HTTP/1.1").await;
    answer.starts_with("HTTP/1.1 200 ")
}

#[track_caller]
fn until_ready(node: &World, expected: bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while is_ready(node).await != expected {
            assert!(began.elapsed() < PATIENCE, "{place}: not {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Until a node knows of another one.
async fn hears_another(node: &World) {
    let mut admin = connect(&node.app, "admin", "boss").await;
    let began = Instant::now();
    while rows(&mut admin, "SELECT COUNT(*) FROM cluster_members", ()).await != "2" {
        assert!(began.elapsed() < PATIENCE, "it stays alone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A statement, and meanwhile what the user does with what comes of it.
async fn while_sent(node: &mut World, sql: &str, user: &mut Client) -> (String, Value) {
    let does = async {
        let push = user.json().await;
        acknowledge(user, &push).await;
        push
    };
    tokio::join!(outcome(node, sql), does)
}

#[tokio::test]
async fn private_messages_need_an_acknowledgement_then() {
    let Some(mut cluster) = Cluster::start(3, "private messages without a quorum") else {
        return;
    };
    let (mut a, mut b) = (cluster.impatient("a").await, cluster.impatient("b").await);
    b.run("INSERT INTO users_auth (id, hash) VALUES (7, 'hash7')")
        .await;
    let mut user = reader(&b).await;
    a.run(&send("stored", 1)).await;
    let stored = user.json().await;
    assert!(stored["offset"].as_u64().unwrap() < UNSTORED, "{stored}");
    acknowledge(&mut user, &stored).await;
    cluster.lose_quorum();

    let (told, push) = while_sent(&mut a, &send("taken", 2), &mut user).await;
    assert_eq!(push["data"], "taken", "{push}");
    assert!(push["offset"].as_u64().unwrap() >= UNSTORED, "{push}");
    assert!(told.contains(",207,"), "{told}");
    // A retry is known, here and on the other node.
    for node in [&mut a, &mut b] {
        let told = outcome(node, &send("taken", 2)).await;
        assert!(told.contains(",207,"), "{told}");
    }
    // Nobody acknowledges this one.
    assert_eq!(outcome(&mut a, &send("shown", 3)).await, "error 503");
    let shown = user.json().await;
    assert_eq!(shown["data"], "shown", "and nothing before: {shown}");
    assert_eq!(outcome(&mut a, &send("shown", 3)).await, "error 503");
    // Somebody who comes now gets what is sent now, too.
    let mut late = reader(&a).await;
    // The other node may hear a moment later that the user is here as well: until then nobody who acknowledges gets it.
    let again = async {
        loop {
            let told = outcome(&mut b, &send("late", 4)).await;
            if told != "error 503" {
                break told;
            }
        }
    };
    let taken = async {
        let push = late.json().await;
        acknowledge(&mut late, &push).await;
        push
    };
    let (told, push) = tokio::join!(again, taken);
    assert_eq!(push["data"], "late");
    assert!(told.contains(",207,"), "{told}");
    let late_here = user.json().await;
    assert_eq!(late_here["data"], "late", "and nothing twice: {late_here}");
    drop(late);
    let nobody = send("nobody", 5).replace("(7,", "(8,");
    assert_eq!(outcome(&mut a, &nobody).await, "error 503");

    cluster.regain_quorum();
    until_ready(&a, true).await;
    until_ready(&b, true).await;
    // Sent again it is stored. Who has it does not get it twice, and when that is acknowledged, it is not stored any more.
    assert_eq!(outcome(&mut a, &send("shown", 3)).await, "");
    a.run(&send("next", 6)).await;
    let next = user.json().await;
    assert_eq!(next["data"], "next", "{next}");
    acknowledge(&mut user, &shown).await;
    drop(user);
    let mut again = reader(&b).await;
    let waits = again.json().await;
    assert_eq!(
        waits["data"], "next",
        "what was acknowledged is gone: {waits}"
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn who_missed_nothing_live_is_told_of_the_gap() {
    let Some(mut cluster) = Cluster::start(3, "a gap that a lost quorum leaves") else {
        return;
    };
    let (mut a, mut b) = (cluster.impatient("a").await, cluster.impatient("b").await);
    let publish = |message: &str| {
        format!(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('web_kept', '', '{message}')"
        )
    };
    let mut browser = b.anonymous(&["web_kept"]).await;
    a.run(&publish("one")).await;
    let one = browser.json().await;
    assert_eq!(one["data"], "one", "{one}");
    cluster.lose_quorum();
    let told = outcome(&mut a, &publish("two")).await;
    assert!(told.contains(",207,"), "{told}");
    let two = browser.json().await;
    assert_eq!(two["data"], "two", "{two}");
    assert!(two["offset"].is_null(), "it has no place: {two}");
    cluster.regain_quorum();
    until_ready(&a, true).await;
    // The node that delivered it says in the log that it lacks something.
    while browser.json().await["push"] != "gap" {}
    a.run(&publish("three")).await;
    let three = loop {
        let push = browser.json().await;
        if push["push"] != "gap" && push["data"] != "two" {
            break push;
        }
    };
    assert_eq!(three["data"], "three", "{three}");
    assert!(three["offset"].as_u64() > one["offset"].as_u64(), "{three}");
    let read = "SELECT message FROM pipes_messages WHERE name = 'web_kept'";
    let kept = rows(&mut b.backend, read, ()).await;
    // What was refused an answer may have come into the log all the same.
    assert!(
        ["one | three", "one | two | three"].contains(&&*kept),
        "{kept}"
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn balancers_are_told_until_it_is_back() {
    let Some(mut cluster) = Cluster::start(3, "health checks without a quorum") else {
        return;
    };
    let a = cluster.impatient("a").await;
    until_ready(&a, true).await;
    cluster.lose_quorum();
    // Nobody writes.
    until_ready(&a, false).await;
    let refused = try_connect(&a.app, "haproxy_check", "").await;
    let Err(mysql_async::Error::Server(error)) = refused else {
        panic!("a check is not refused");
    };
    assert_eq!(error.code, 503, "{error}");
    let live = http(a.app.http_address(), "GET /health HTTP/1.1").await;
    assert!(live.starts_with("HTTP/1.1 200 "), "{live}");
    drop(connect(&a.app, "root", common::backend::KEY).await);
    cluster.regain_quorum();
    until_ready(&a, true).await;
    a.stop().await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_sends_its_browsers_away_once() {
    let Some(mut cluster) = Cluster::start(1, "browsers of a node that is cut off") else {
        return;
    };
    let a = cluster.node("a").await;
    let b = cluster
        .node_with("b", |settings| {
            settings.cluster.as_mut().unwrap().drain_after = Duration::from_secs(1);
        })
        .await;
    hears_another(&b).await;
    for _outage in 0..2 {
        let mut browser = b.anonymous(&["web_now"]).await;
        cluster.servers.kill(0);
        let (code, reason) = browser.closed().await;
        assert_eq!(code, 4000, "{reason}");
        assert!(reason.starts_with("restart retry_after_ms="), "{reason}");
        // Who comes back because the others are no better off is served.
        let mut back = b.anonymous(&["web_now"]).await;
        common::publish(&b.app, "web_now", "here").await;
        assert_eq!(back.json().await["data"], "here");
        cluster.servers.run(0);
        until_ready(&b, true).await;
    }
    a.stop().await;
    b.stop().await;
}
