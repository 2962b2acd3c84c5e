//! What happened to sessions lately, and what became of a message, asked by a backend.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use cometql_engine::permission::{Conflate, Pattern, Rule, UserDataRule};
use cometql_engine::{Command, Draft, MessageId, Rules};
use cometql_protocol::{ChannelName, EventName, TenantId};
use cometql_server::app::AppSettings;
use common::backend::{OTHER, World, connect, rows};
use common::certificate::{believing, in_folder};
use common::{Client, Events, published, within};
use futures_util::{SinkExt as _, StreamExt as _};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// Bytes of a publication.
const SIZE: usize = 100 << 10;
/// So many are more than the server's socket buffer may grow to (`tcp_wmem`, 4 MiB) and a small outbox, and a window of
/// 100 has them all.
const MANY: u64 = 90;

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
    assert_eq!(fate(&mut world, &early, 5).await, "stored, written, waits");
    let late = send(&mut world, insert).await;
    assert_eq!(first.json().await["offset"], 2);
    assert_eq!(fate(&mut world, &late, 5).await, "stored, written, waits");
    first.ask(r#"{"id":2,"ack":{"offset":1}}"#).await;
    assert_eq!(
        fate(&mut world, &early, 5).await,
        "stored, written, acknowledged"
    );
    assert_eq!(fate(&mut world, &late, 5).await, "stored, written, waits");
    world.run("DELETE FROM users_messages WHERE id = 5").await;
    assert_eq!(fate(&mut world, &late, 5).await, "stored, written, removed");
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
    assert_eq!(fate(&mut world, &id, 5).await, "stored, written");
    assert_eq!(fate(&mut world, &id, 6).await, "stored, not sent");
    assert_eq!(fate(&mut world, &id, 7).await, "stored, written");
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

/// A node with small or large outboxes, and patience with those who do not read.
async fn with_outboxes(bytes: usize, change: impl FnOnce(&mut AppSettings)) -> World {
    World::start(|settings| {
        // The answer to a publication tells that the one before it is on its way.
        settings.shards = Some(1);
        settings.limits.outbox_bytes = bytes;
        settings.http.close_wait = Duration::from_secs(60);
        let rule = Rule {
            conflate: Some(Some(Conflate::Channel)),
            ..Rule::new("test", Pattern::Prefix("web_last".into()))
        };
        settings.rules = Arc::new(Rules::new(vec![rule], UserDataRule::Anyone));
        change(settings);
    })
    .await
}

/// Sockets with a small buffer for what they do not read.
async fn slow(world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(world.app.http_address()).await.unwrap()
}

/// User 5 of that socket, subscribed.
async fn reads_nothing(world: &mut World, channel: &str) -> Client {
    drop(world.browser(5, &[]).await);
    let mut client = Client::over(slow(world).await, "/connect?v=1").await;
    for request in requests(channel) {
        client.ask(&request).await;
    }
    client
}

fn requests(channel: &str) -> [String; 2] {
    let connect = r#"{"id":1,"connect":{"user":5,"hash":"hash5"}}"#;
    let subscribe = format!(r#"{{"id":2,"subscribe":"{channel}"}}"#);
    [connect.to_owned(), subscribe]
}

/// Publishes, each with its offset as its id.
async fn flood(world: &World, channel: &str) {
    for offset in 1..=MANY {
        let draft = Draft {
            id: MessageId(offset.into()),
            event: EventName::default(),
            data: "x".repeat(SIZE).into(),
            data_is_json: false,
            once: false,
        };
        let command = Command::Publish {
            tenant: TenantId(0),
            channel: ChannelName::parse(channel).unwrap(),
            draft,
        };
        let answer = within(world.app.hub().submit(command)).await;
        assert_eq!(published(answer).0, Some(offset));
    }
}

/// What became of the publication with this offset.
async fn of_offset(world: &mut World, offset: u64) -> String {
    let id = format!("00000000-0000-0000-0000-{offset:012x}");
    fate(world, &id, 5).await
}

/// The offsets that a client gets, until the last or until it is closed.
async fn read_all(client: &mut Client) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.last() != Some(&MANY) {
        let message = client.next().await;
        if message.is_close() {
            break;
        }
        let push: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        seen.push(push["offset"].as_u64().unwrap());
    }
    seen
}

/// Up to here the client got what was published, and nothing after it: EXPLAIN knows.
async fn check_dropped(world: &mut World, last: u64) {
    assert!((1..MANY).contains(&last), "{last}");
    for offset in [1, last] {
        let fate = of_offset(world, offset).await;
        let mut became: Vec<_> = fate.split(", ").collect();
        // A socket that was full for a second tells when it had taken all, which it had after the close only.
        became.sort_unstable();
        assert_eq!(became, ["closed", "stored", "written"], "{offset}");
    }
    assert_eq!(of_offset(world, last + 1).await, "stored, dropped");
    assert_eq!(of_offset(world, MANY).await, "stored, not sent");
    let dropped = "SELECT channel, detail LIKE 'offsets from %' FROM trace WHERE user_id = 5 AND event = 'dropped'";
    world.check(dropped, "web_a,1").await;
}

#[tokio::test]
async fn what_waits_for_a_socket_is_told() {
    let mut world = with_outboxes(64 << 20, |_| {}).await;
    let mut client = reads_nothing(&mut world, "web_a").await;
    flood(&world, "web_a").await;
    assert_eq!(of_offset(&mut world, 1).await, "stored, written");
    assert_eq!(of_offset(&mut world, MANY).await, "stored, in outbox");
    assert_eq!(read_all(&mut client).await.len() as u64, MANY);
    assert_eq!(of_offset(&mut world, MANY).await, "stored, written");
    drop(client);
    world.stop().await;
}

#[tokio::test]
async fn what_was_dropped_is_told_to_the_message() {
    let mut world = with_outboxes(512 << 10, |_| {}).await;
    let mut client = reads_nothing(&mut world, "web_a").await;
    flood(&world, "web_a").await;
    let last = read_all(&mut client).await.len() as u64;
    check_dropped(&mut world, last).await;
    drop(client);
    world.stop().await;
}

#[tokio::test]
async fn what_was_dropped_over_tls_is_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let tls = in_folder(folder.path(), &["http/1.1"]);
    let mut world = with_outboxes(512 << 10, |settings| settings.http.tls = Some(tls)).await;
    world
        .run("INSERT INTO users_auth (id, hash) VALUES (5, 'hash5')")
        .await;
    let pem = std::fs::read(folder.path().join("certificate.pem")).unwrap();
    let stream = within(believing(&pem, slow(&world).await)).await.unwrap();
    let shaken = tokio_tungstenite::client_async("wss://localhost/connect?v=1", stream);
    let (mut client, _) = within(Box::pin(shaken)).await.unwrap();
    for request in requests("web_a") {
        within(client.send(Message::text(request))).await.unwrap();
        within(client.next()).await.unwrap().unwrap();
    }
    flood(&world, "web_a").await;
    let mut last = 0;
    loop {
        let message = within(client.next()).await.unwrap().unwrap();
        if message.is_close() {
            break;
        }
        last += u64::from(message.is_text());
    }
    check_dropped(&mut world, last).await;
    drop(client);
    world.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_stream_and_is_dropped_is_told() {
    let mut world = with_outboxes(512 << 10, |_| {}).await;
    world
        .run("INSERT INTO pipes_settings (name, length) VALUES ('web_a', 100)")
        .await;
    // Nobody: its connection is known by its number only.
    let mut events = Events::over(slow(&world).await, "/sse?v=1&channels=web_a", "").await;
    events.session().await;
    events.next().await;
    flood(&world, "web_a").await;
    let mut last = 0;
    loop {
        let event = events.next().await;
        if event.kind == "close" {
            break;
        }
        last += 1;
    }
    let dropped = format!("web_a,{},0", last + 1);
    let select = "SELECT channel, CAST(SUBSTRING_INDEX(SUBSTRING(detail, 14), ' ', 1) AS SIGNED), user_id FROM trace WHERE event = 'dropped'";
    world.check(select, &dropped).await;
    drop(events);
    world.stop().await;
}

#[tokio::test]
async fn what_a_newer_one_replaced_is_told() {
    let mut world = with_outboxes(512 << 10, |_| {}).await;
    let mut client = reads_nothing(&mut world, "web_last").await;
    flood(&world, "web_last").await;
    assert_eq!(of_offset(&mut world, MANY).await, "stored, in outbox");
    assert_eq!(of_offset(&mut world, MANY - 1).await, "stored, conflated");
    let seen = read_all(&mut client).await;
    for offset in [1, MANY / 2, MANY - 1, MANY] {
        let expected = if seen.contains(&offset) {
            "stored, written"
        } else {
            "stored, conflated"
        };
        assert_eq!(
            of_offset(&mut world, offset).await,
            expected,
            "{offset} of {seen:?}"
        );
    }
    drop(client);
    world.stop().await;
}
