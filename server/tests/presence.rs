//! Who is there, seen over real sockets: how a connection ends says whether its user may return.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::borrow::Cow;

use common::backend::{World, subscribe};
use common::{Client, within};
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// A node whose members are awaited for longer than any test takes, and somebody who watches.
async fn start() -> (World, Client) {
    let mut world = World::start(|settings| settings.limits.grace_ms = 3_600_000).await;
    let watcher = world.browser(9, &["track_a"]).await;
    (world, watcher)
}

async fn member(world: &mut World, watcher: &mut Client) -> Client {
    let member = world.browser(5, &["track_a"]).await;
    assert_eq!(watcher.json().await, event("join"));
    member
}

fn event(push: &str) -> Value {
    json!({"push": push, "channel": "track_a", "member": {"user": 5, "uuid": "u5"}})
}

/// Asks until nobody but the watcher is there: the node takes its time to see that a socket is gone.
async fn alone(watcher: &mut Client) {
    let ask = r#"{"id":7,"presence_count":{"channel":"track_a"}}"#;
    let gone = async { while watcher.ask(ask).await["presence_count"]["count"] != 1 {} };
    within(gone).await;
}

async fn close(client: &mut Client, code: u16) {
    let frame = CloseFrame {
        code: code.into(),
        reason: Cow::<str>::default().as_ref().into(),
    };
    let close = Message::Close(Some(frame));
    within(client.0.send(close)).await.unwrap();
}

/// A member whose connection `end` ends comes back, and nobody was told that it was away.
async fn check_returns(end: impl AsyncFnOnce(Client)) {
    let (mut world, mut watcher) = start().await;
    let gone = member(&mut world, &mut watcher).await;
    end(gone).await;
    alone(&mut watcher).await;
    world
        .check("SELECT users FROM pipes WHERE name = 'track_a'", "1")
        .await;
    world
        .check("SELECT id, time FROM users_time WHERE id = 5", "5,0")
        .await;
    let mut again = world.browser(5, &["track_a"]).await;
    world
        .run("INSERT INTO pipes_messages (name, event, message) VALUES ('track_a', '', 'next')")
        .await;
    assert_eq!(watcher.json().await["data"], "next");
    close(&mut again, 1000).await;
    assert_eq!(watcher.json().await, event("leave"));
    world.stop().await;
}

#[tokio::test]
async fn a_socket_that_breaks_may_return() {
    check_returns(async |client| drop(client)).await;
}

#[tokio::test]
async fn a_page_that_is_loaded_anew_may_return() {
    check_returns(async |mut client| close(&mut client, 1001).await).await;
}

#[tokio::test]
async fn who_says_goodbye_or_is_killed_has_left() {
    let (mut world, mut watcher) = start().await;
    let mut first = member(&mut world, &mut watcher).await;
    close(&mut first, 1000).await;
    assert_eq!(watcher.json().await, event("leave"));
    let mut second = member(&mut world, &mut watcher).await;
    within(second.0.send(Message::Close(None))).await.unwrap();
    assert_eq!(watcher.json().await, event("leave"));
    let _third = member(&mut world, &mut watcher).await;
    world.run("DELETE FROM users_auth WHERE id = 5").await;
    assert_eq!(watcher.json().await, event("leave"));
    world.stop().await;
}

#[tokio::test]
async fn the_originals_connections_leave_at_once() {
    let (mut world, mut watcher) = start().await;
    let user = member(&mut world, &mut watcher).await;
    let path =
        "/ws/sesion=hash5&myid=5&devid=0&v=4.08&uuid=0123456789abcdef0123456789abcdef&api=js";
    let mut legacy = Client::at(world.app.http_address(), path).await;
    assert_eq!(legacy.json().await["authorized"], true);
    legacy.send("subscription\ntrack_a").await;
    assert_eq!(watcher.json().await["push"], "join");
    drop(legacy);
    let left = watcher.json().await;
    assert_eq!(
        (&left["push"], &left["member"]["user"]),
        (&json!("leave"), &json!(5))
    );
    drop(user);
    alone(&mut watcher).await;
    let mut second = world.anonymous(&[]).await;
    subscribe(&mut second, &["track_a"]).await;
    assert_eq!(watcher.json().await["push"], "join");
    world.stop().await;
}
