//! Server-sent events of users: log-in by a token, and a newer token before the old one ends.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use common::binary::{JWT, Node, OTHER_JWT, lasting};
use common::{Events, http};
use serde_json::{Value, json};

/// Opens a stream with a token; its session.
async fn open(node: &Node, token: &str) -> (Events, String) {
    let header = format!("authorization: Bearer {token}\r\n");
    let mut events = Events::at(node.browsers, "/sse?v=1", &header).await;
    let session = events.session().await;
    (events, session)
}

/// Posts a request to the session; what the stream says next.
async fn ask(node: &Node, events: &mut Events, session: &str, request: Value) -> Value {
    let post = format!("POST /session/{session} HTTP/1.1\n\n{request}");
    let accepted = http(node.browsers, &post).await;
    assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
    told(events).await
}

async fn told(events: &mut Events) -> Value {
    serde_json::from_str(&events.next().await.data).unwrap()
}

#[tokio::test]
async fn a_token_logs_in_and_a_bad_one_does_not() {
    let node = Node::start(&[]);
    let (mut events, session) = open(&node, &lasting(JWT, 600)).await;
    let connected = told(&mut events).await;
    assert_eq!(
        (&connected["id"], &connected["connected"]["user"]),
        (&json!(0), &json!(5))
    );
    let publish = json!({"id": 1, "publish": {"channel": "webauth_a", "data": "x"}});
    let answer = ask(&node, &mut events, &session, publish.clone()).await;
    assert_eq!(answer["published"]["reached"], 0, "{answer}");

    let (mut events, session) = open(&node, &lasting(OTHER_JWT, 600)).await;
    assert_eq!(told(&mut events).await["error"]["code"], "unauthorized");
    let answer = ask(&node, &mut events, &session, publish).await;
    assert_eq!(answer["error"]["code"], "login_required", "{answer}");
}

/// Two streams with the same short token: the one that gets a newer one outlives the other.
#[tokio::test]
async fn a_posted_token_prolongs_the_stream() {
    let node = Node::start(&[]);
    // Longer than the few requests before its end take, on however slow a machine.
    let short = lasting(JWT, 10);
    let (mut ends, _) = open(&node, &short).await;
    told(&mut ends).await;
    let (mut stays, session) = open(&node, &short).await;
    let before = told(&mut stays).await["connected"]["expires"]
        .as_u64()
        .unwrap();

    let bad = json!({"id": 1, "refresh": {"token": lasting(OTHER_JWT, 600)}});
    let refused = ask(&node, &mut stays, &session, bad).await;
    assert_eq!(refused["error"]["code"], "unauthorized", "{refused}");
    let good = json!({"id": 2, "refresh": {"token": lasting(JWT, 600)}});
    let refreshed = ask(&node, &mut stays, &session, good).await;
    assert!(
        refreshed["refreshed"]["expires"].as_u64().unwrap() > before,
        "{refreshed}"
    );

    let close = ends.next().await;
    assert_eq!(close.kind, "close");
    assert!(close.data.contains("\"code\":4101"), "{close:?}");
    let pong = ask(&node, &mut stays, &session, json!({"id": 3, "ping": {}})).await;
    assert_eq!(pong["id"], 3, "{pong}");
}
