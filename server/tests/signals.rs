//! What the running binary does on SIGHUP, SIGTERM and after SIGKILL, and what it never writes into its log.

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::binary::{JWT, KEY, Node, OTHER_JWT, OTHER_KEY, now, token, write_pair};
use common::{Client, http, within};
use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use serde_json::json;

#[tokio::test]
async fn sighup_puts_all_in_force_or_nothing() {
    let node = Node::start(&[]);
    let mut subscriber = node.browser().await;
    subscriber.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
    assert!(node.takes(JWT).await && !node.takes(OTHER_JWT).await && node.may_subscribe().await);

    std::fs::write(node.file("key.pem"), "nonsense").unwrap();
    let line = node.reload(OTHER_KEY, OTHER_JWT, "nobody");
    assert!(
        line.contains("not reloaded") && line.contains("key.pem"),
        "{line}"
    );
    assert!(node.takes(JWT).await && !node.takes(OTHER_JWT).await && node.may_subscribe().await);
    assert!(node.backend(KEY).await.is_ok() && node.backend(OTHER_KEY).await.is_err());

    write_pair(node.folder.path());
    let line = node.reload(OTHER_KEY, OTHER_JWT, "what?");
    assert!(line.contains("not reloaded"), "{line}");
    assert!(node.takes(JWT).await && node.backend(KEY).await.is_ok());

    let line = node.reload(OTHER_KEY, OTHER_JWT, "nobody");
    assert!(!line.contains("not reloaded"), "{line}");
    assert!(!node.takes(JWT).await && node.takes(OTHER_JWT).await && !node.may_subscribe().await);
    assert!(node.backend(KEY).await.is_err());
    let mut backend = node.backend(OTHER_KEY).await.unwrap();
    let insert = "INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', 'e', 'x')";
    within(backend.query_drop(insert)).await.unwrap();
    assert_eq!(subscriber.json().await["data"], "x", "open sessions stay");
}

#[tokio::test]
async fn sigterm_tells_everybody_and_ends_well() {
    let mut node = Node::start(&[]);
    let mut browser = node.browser().await;
    browser.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
    let mut backend = node.backend(KEY).await.unwrap();
    within(backend.query_drop("INSERT INTO users_auth (id, hash) VALUES (5, 'kept')"))
        .await
        .unwrap();
    node.signal(Signal::TERM);
    let (code, reason) = browser.closed().await;
    let wait = reason.strip_prefix("restart retry_after_ms=").unwrap();
    assert_eq!(code, 4000);
    assert!(wait.parse::<u64>().unwrap() < 3_000, "{reason}");
    // The client's own close ends the session before the server stops waiting.
    while let Some(Ok(_)) = within(browser.0.next()).await {}
    assert!(within(backend.query_drop("SELECT 1")).await.is_err());
    let status = tokio::task::spawn_blocking(move || node.process.wait().unwrap());
    assert!(within(status).await.unwrap().success());
}

/// A browser of a user, in `track_a`.
async fn member(node: &Node, user: u64) -> Client {
    let mut browser = node.browser().await;
    let connect = json!({"id": 1, "connect": {"user": user, "hash": "hash", "uuid": "u"}});
    let answer = browser.ask(&connect.to_string()).await;
    assert_eq!(answer["connected"]["user"], user);
    let answer = browser.ask(r#"{"id":2,"subscribe":"track_a"}"#).await;
    assert!(answer["subscribed"].is_object());
    browser
}

#[tokio::test]
async fn after_sigkill_who_returns_is_there_and_who_does_not_has_left() {
    let node = Node::start(&[]);
    let mut backend = node.backend(KEY).await.unwrap();
    let insert = "INSERT INTO users_auth (id, hash) VALUES (5, 'hash'), (6, 'hash'), (7, 'hash')";
    within(backend.query_drop(insert)).await.unwrap();
    let began = now();
    let _browsers = (member(&node, 5).await, member(&node, 6).await);
    // The shards know that they are online, and so have asked the store to note it; it answers in the order in which it is asked.
    let online: Vec<(u64, i64)> =
        within(backend.exec("SELECT id, time FROM users_time WHERE id IN (5, 6)", ()))
            .await
            .unwrap();
    assert_eq!(online, [(5, 0), (6, 0)]);
    within(backend.query_drop("DELETE FROM users_data WHERE id = 1"))
        .await
        .unwrap();
    let node = node.killed_and_started();
    let _returned = member(&node, 5).await;
    let mut backend = node.backend(KEY).await.unwrap();
    let times: Vec<(u64, i64)> =
        within(backend.exec("SELECT id, time FROM users_time WHERE id IN (5, 6, 7)", ()))
            .await
            .unwrap();
    let [(5, 0), (6, left), (7, -1)] = times[..] else {
        panic!("{times:?}");
    };
    let left = u64::try_from(left).unwrap();
    // Notes are as old as 10 seconds.
    assert!((began - 10..=now()).contains(&left), "{left}");
    let listed: Vec<(String, u64)> =
        within(backend.query("SELECT name, user_id FROM users_in_pipes WHERE name = 'track_a'"))
            .await
            .unwrap();
    assert_eq!(listed, [("track_a".to_owned(), 5)]);
}

/// Browsers that prove who they are, or try to.
async fn browsers(node: &Node, good: &str, bad: &str) {
    for connect in [
        json!({"token": good}),
        json!({"token": bad}),
        json!({"user": 5, "hash": "hushhash"}),
        json!({"user": 5, "hash": "hushwrong"}),
    ] {
        let mut browser = node.browser().await;
        browser
            .ask(&json!({"id": 1, "connect": connect}).to_string())
            .await;
        let publish = r#"{"id":2,"publish":{"channel":"web_a","data":"hushpayload"}}"#;
        browser.ask(publish).await;
        browser.ask("hush nonsense").await;
    }
    for (session, user) in [
        ("hushhash", "5"),
        ("hushwrong", "5"),
        (good, "5"),
        ("hush%27", "x"),
    ] {
        let path = format!("/ws/sesion={session}&myid={user}&devid=0&v=4.08&uuid=0&api=js");
        Client::at(node.browsers, &path).await;
    }
}

/// All that may be asked with a secret is asked, at the level that logs most.
#[tokio::test]
async fn no_secret_and_no_payload_is_logged() {
    let mut node = Node::start(&["--log-level", "trace"]);
    let (good, bad) = (token(JWT), token(OTHER_JWT));
    let mut backend = node.backend(KEY).await.unwrap();
    within(backend.query_drop("INSERT INTO users_auth (id, hash) VALUES (5, 'hushhash')"))
        .await
        .unwrap();
    within(backend.query_drop("SELECT id FROM users_auth WHERE hash LIKE 'hush%' ORDER BY id"))
        .await
        .unwrap();
    assert!(node.backend("hushwrongkey").await.is_err());
    browsers(&node, &good, &bad).await;
    let basic = |key: &str| STANDARD.encode(format!("root:{key}"));
    for key in [KEY, "hushwrongkey"] {
        let head = format!("POST /sql HTTP/1.1\nauthorization: Basic {}", basic(key));
        let insert = "INSERT INTO users_data (id, data) VALUES (5, 'hushpayload')";
        http(node.admin, &format!("{head}\n\n{insert}")).await;
        let body = json!({"user": "root", "key": key});
        http(
            node.admin,
            &format!("POST /console/login HTTP/1.1\n\n{body}"),
        )
        .await;
    }
    let lines = [
        "GET /sse?v=1&token=hushtoken HTTP/1.1",
        "GET /connect?v=1&hash=hushhash HTTP/1.1",
        "POST /session/4294967296.hushsession HTTP/1.1\n\n{\"id\":1,\"ping\":{}}",
        "GET /console/state HTTP/1.1\ncookie: cometql_console=hushcookie",
    ];
    for line in lines {
        http(node.browsers, line).await;
        http(node.admin, line).await;
    }
    node.signal(Signal::TERM);
    let log: Vec<String> = node.log.iter().collect();
    assert!(node.process.wait().unwrap().success());
    assert!(
        log.iter().any(|line| line.contains("DEBUG")),
        "it was the chatty level"
    );
    let secrets = [
        "hush",
        KEY,
        JWT,
        &good,
        &bad,
        &basic(KEY),
        "cometql_console",
    ];
    for line in &log {
        let found = secrets.iter().find(|secret| line.contains(**secret));
        assert_eq!(found, None, "{line}");
    }
}
