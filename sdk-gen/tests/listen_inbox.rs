//! Private messages for a backend, against a real server: each until it is acknowledged, by asking for more or by hand.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;
mod listening;

use std::sync::Arc;

use cometql_sdk::{CometError, Event, Listening, Subscription};
use cometql_server::app::App;
use common::node;
use listening::{Proxy, at, backend, by_hash, line, listen, next, run, url, within};

/// A node, with these messages for user 7, who can log in.
async fn with_messages(texts: &[&str]) -> App {
    let app = node(|_| {}).await;
    let client = backend(&app).await;
    run(
        &client,
        "INSERT INTO users_auth (id, hash) VALUES (7, 'h7')",
    )
    .await;
    for text in texts {
        let insert = format!(
            "INSERT INTO users_messages (id, event, message) VALUES (7, 'order', '{text}')"
        );
        run(&client, &insert).await;
    }
    client.close().await;
    app
}

fn inbox(address: std::net::SocketAddr, by_hand: bool) -> Listening {
    Listening {
        credentials: by_hash(7, "h7"),
        inbox: true,
        acknowledge_by_hand: by_hand,
        ..at(&[url(address)])
    }
}

async fn open(app: &App, by_hand: bool) -> Arc<Subscription> {
    listen(Vec::new(), inbox(app.http_address(), by_hand))
        .await
        .unwrap()
}

/// The offset of the next message.
async fn message(subscription: &Subscription, expected: &str) -> u64 {
    loop {
        match next(subscription).await {
            Event::Message { message } => {
                let told = (&*message.event, &*message.message, message.stored);
                assert_eq!(told, ("order", expected, true));
                return message.offset;
            }
            Event::Online { .. } | Event::Offline { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn asking_for_more_acknowledges() {
    let app = with_messages(&["a", "b", "c"]).await;
    let first = open(&app, false).await;
    message(&first, "a").await;
    message(&first, "b").await;
    within(first.close()).await;
    // Of the last one nobody knows whether it was handled.
    let second = open(&app, false).await;
    let offset = message(&second, "b").await;
    second.acknowledge(offset);
    within(second.close()).await;
    let third = open(&app, false).await;
    message(&third, "c").await;
    app.stop().await;
}

#[tokio::test]
async fn by_hand_only_what_was_named() {
    let app = with_messages(&["a", "b", "c"]).await;
    let first = open(&app, true).await;
    let a = message(&first, "a").await;
    let b = message(&first, "b").await;
    message(&first, "c").await;
    // The second one waits for the first one.
    first.acknowledge(b);
    first.acknowledge(a);
    within(first.close()).await;
    let second = open(&app, true).await;
    message(&second, "c").await;
    app.stop().await;
}

#[tokio::test]
async fn a_new_connection_brings_no_message_twice() {
    let app = with_messages(&["a", "b"]).await;
    let proxy = Proxy::to(app.http_address()).await;
    let listening = inbox(proxy.address, true);
    let subscription = listen(Vec::new(), listening).await.unwrap();
    let a = message(&subscription, "a").await;
    message(&subscription, "b").await;
    proxy.cut();
    let client = backend(&app).await;
    run(
        &client,
        "INSERT INTO users_messages (id, event, message) VALUES (7, 'order', 'c')",
    )
    .await;
    message(&subscription, "c").await;
    subscription.acknowledge(a);
    within(subscription.close()).await;
    let again = open(&app, true).await;
    message(&again, "b").await;
    app.stop().await;
}

#[tokio::test]
async fn closing_tells_what_was_acknowledged_without_a_connection() {
    let app = with_messages(&["a", "b"]).await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = dead.local_addr().unwrap();
    drop(dead);
    let proxy = Proxy::to(app.http_address()).await;
    let listening = Listening {
        back_off_min_ms: 1,
        back_off_max_ms: 5,
        ..inbox(proxy.address, true)
    };
    let subscription = listen(Vec::new(), listening).await.unwrap();
    let a = message(&subscription, "a").await;
    proxy.turn_to(nobody);
    while !matches!(next(&subscription).await, Event::Offline { .. }) {}
    subscription.acknowledge(a);
    let comes_back = async { proxy.turn_to(app.http_address()) };
    within(async { futures_util::join!(subscription.close(), comes_back) }).await;
    let again = open(&app, true).await;
    message(&again, "b").await;
    app.stop().await;
}

#[tokio::test]
async fn channels_beside_an_inbox() {
    let app = with_messages(&["a"]).await;
    let channels = listening::channels(&["no"]);
    let subscription = listen(channels, inbox(app.http_address(), false)).await;
    // A channel that is refused does not end the inbox.
    let subscription = subscription.unwrap();
    let mut lines = [line(&subscription).await, line(&subscription).await];
    lines.sort();
    assert_eq!(lines, ["message a", "refused no bad_name"]);
    app.stop().await;
}

#[tokio::test]
async fn nobody_has_no_inbox() {
    let app = node(|_| {}).await;
    let listening = Listening {
        credentials: None,
        ..inbox(app.http_address(), false)
    };
    let refused = listen(Vec::new(), listening).await.err().unwrap();
    assert!(matches!(refused, CometError::Invalid { .. }), "{refused}");
    app.stop().await;
}
