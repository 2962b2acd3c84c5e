//! What happened to sessions lately, and what became of a message, asked by a backend.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use common::backend::{OTHER, World, connect, rows};
use common::{Client, within};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

/// The events of a user, each once.
async fn events(backend: &mut Conn, user: u64) -> String {
    let select = "SELECT DISTINCT event FROM trace WHERE user_id = ? ORDER BY event";
    rows(backend, select, (user,)).await
}

/// What `EXPLAIN MESSAGE` tells, the events alone.
async fn fate(world: &mut World, id: &str, user: u64) -> String {
    let explain = format!("EXPLAIN MESSAGE '{id}' FOR USER {user}");
    let rows: Vec<Row> = within(world.backend.query(explain)).await.unwrap();
    let event = |row: Row| row.get::<String, _>("event").unwrap();
    rows.into_iter().map(event).collect::<Vec<_>>().join(", ")
}

/// Sends or publishes, and returns the id of what was sent.
async fn send(world: &mut World, insert: &str) -> String {
    world.run(insert).await;
    let id = within(world.backend.query_first("SELECT @@last_message_id")).await;
    id.unwrap().unwrap()
}

/// A browser of user 5 that reads its inbox.
async fn reader(world: &World) -> Client {
    let mut client = Client::connect(&world.app).await;
    let connect = r#"{"id":1,"connect":{"user":5,"hash":"hash5","inbox":true}}"#;
    assert_eq!(client.ask(connect).await["connected"]["user"], 5);
    client
}

#[tokio::test]
async fn sessions_leave_a_trace_for_their_own_tenant() {
    let mut world = World::start(|_| {}).await;
    let mut client = world.browser(5, &["web_a"]).await;
    client
        .ask(r#"{"id":7,"publish":{"channel":"news","data":1}}"#)
        .await;
    client.ask(r#"{"id":8,"unsubscribe":"web_a"}"#).await;
    drop(client);
    let closed = async { while !events(&mut world.backend, 5).await.contains("closed") {} };
    within(closed).await;
    assert_eq!(
        events(&mut world.backend, 5).await,
        "authenticated | closed | refused | subscribed | unsubscribed"
    );
    world
        .check(
            "SELECT channel, detail FROM trace WHERE user_id = 5 AND event IN ('refused', 'closed') ORDER BY event",
            "NULL,the socket broke | news,publish: permission_denied",
        )
        .await;
    world
        .check(
            "SELECT count(DISTINCT t.connection), min(t.time) > 1700000000000 FROM trace t WHERE t.user_id > 0",
            "1,1",
        )
        .await;
    let mut other = connect(&world.app, "7", OTHER).await;
    assert_eq!(
        rows(&mut other, "SELECT count(*) FROM trace", ()).await,
        "0"
    );
    let refused = world
        .backend
        .query_drop("DELETE FROM trace WHERE user_id = 5");
    let refused = within(refused).await.unwrap_err().to_string();
    assert!(refused.contains("read only"), "{refused}");
    within(other.disconnect()).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn explain_message_tells_what_became_of_a_private_message() {
    let mut world = World::start(|_| {}).await;
    drop(world.browser(5, &[]).await);
    let insert = "INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'one')";
    let early = send(&mut world, insert).await;
    assert_eq!(fate(&mut world, &early, 5).await, "stored, waits");
    let mut first = reader(&world).await;
    assert_eq!(first.json().await["data"], "one");
    assert_eq!(fate(&mut world, &early, 5).await, "stored, sent, waits");
    let late = send(&mut world, insert).await;
    assert_eq!(first.json().await["offset"], 2);
    assert_eq!(fate(&mut world, &late, 5).await, "stored, sent, waits");
    first.ask(r#"{"id":2,"ack":{"offset":1}}"#).await;
    assert_eq!(
        fate(&mut world, &early, 5).await,
        "stored, sent, acknowledged"
    );
    assert_eq!(fate(&mut world, &late, 5).await, "stored, sent, waits");
    world.run("DELETE FROM users_messages WHERE id = 5").await;
    assert_eq!(fate(&mut world, &late, 5).await, "stored, sent, removed");
    assert_eq!(fate(&mut world, &late, 6).await, "unknown");
    world.stop().await;
}

#[tokio::test]
async fn explain_message_tells_what_became_of_a_publication() {
    let mut world = World::start(|_| {}).await;
    let mut there = world.browser(5, &[]).await;
    let answer = there.ask(r#"{"id":2,"subscribe":"web_a"}"#).await;
    let (epoch, offset) = (
        &answer["subscribed"]["epoch"],
        &answer["subscribed"]["offset"],
    );
    let insert = "INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', '', 'x')";
    let id = send(&mut world, insert).await;
    assert_eq!(there.json().await["data"], "x");
    let mut late = world.browser(6, &["web_a"]).await;
    let mut back = world.browser(7, &[]).await;
    let since = format!(
        r#"{{"id":3,"subscribe":{{"channel":"web_a","epoch":{epoch},"offset":{offset}}}}}"#
    );
    assert_eq!(back.ask(&since).await["subscribed"]["replayed"], 1);
    assert_eq!(fate(&mut world, &id, 5).await, "stored, sent");
    assert_eq!(fate(&mut world, &id, 6).await, "stored, not sent");
    assert_eq!(fate(&mut world, &id, 7).await, "stored, sent");
    late.ask(r#"{"id":4,"ping":{}}"#).await;
    let nonsense = world.backend.query_drop("EXPLAIN MESSAGE 'x' FOR USER 5");
    let nonsense = within(nonsense).await.unwrap_err().to_string();
    assert!(nonsense.contains("UUID"), "{nonsense}");
    let mut other = connect(&world.app, "7", OTHER).await;
    let explain = format!("EXPLAIN MESSAGE '{id}' FOR USER 5");
    let told: Vec<Row> = within(other.query(explain)).await.unwrap();
    assert_eq!(told[0].get::<String, _>("event").unwrap(), "unknown");
    within(other.disconnect()).await.unwrap();
    world.stop().await;
}
