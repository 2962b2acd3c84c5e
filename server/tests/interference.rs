//! What a tenant sees does not depend on any other tenant: the same is tried at every door of two nodes, of which one is full of
//! another tenant's users, channels and secrets, and gets the same answers. And the other tenant's state stays as it was.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cometql_protocol::wire::{RequestBody, decode_requests};
use cometql_server::admin;
use cometql_server::cometql::catalog::TABLES;
use common::backend::{OTHER, World, connect};
use common::{Client, Events, http, within};
use mysql_async::prelude::{Protocol, Queryable};
use mysql_async::{Conn, QueryResult, Row};
use serde_json::{Value, json};

/// Who is after tenant 0's state.
const THEIRS: u32 = 7;
const STATEMENTS: &str = include_str!("fixtures/isolation.sql");

/// Every kind of request, about what the other tenant has.
const REQUESTS: &[&str] = &[
    r#"{"id":1,"connect":{"user":5,"hash":"hash5","inbox":true}}"#,
    r#"{"id":2,"refresh":{"token":"x"}}"#,
    r#"{"id":3,"user_data":{"user":5}}"#,
    r#"{"id":4,"user_status":{"user":5}}"#,
    r#"{"id":5,"user_status":{"user":6}}"#,
    r#"{"id":6,"presence":{"channel":"track_room"}}"#,
    r#"{"id":7,"presence_count":{"channel":"track_room"}}"#,
    r#"{"id":8,"history":{"channel":"web_room"}}"#,
    r#"{"id":9,"history":{"channel":"web_long","epoch":"00000000000000ff","offset":0}}"#,
    r#"{"id":10,"subscribe":{"channel":"web_long","epoch":"00000000000000ff","offset":0}}"#,
    r#"{"id":11,"subscribe":"web_room"}"#,
    r#"{"id":12,"subscribe":"private_room"}"#,
    r#"{"id":13,"publish":{"channel":"web_room","event":"e","data":"theirs"}}"#,
    r#"{"id":14,"publish":{"channel":"webauth_room","event":"e","data":"theirs"}}"#,
    r#"{"id":15,"ack":{"offset":9}}"#,
    r#"{"id":16,"unsubscribe":"web_room"}"#,
    r#"{"id":17,"unsubscribe":"track_room"}"#,
    r#"{"id":18,"ping":{}}"#,
];

/// A new kind of request belongs into [`REQUESTS`].
fn number(body: &RequestBody) -> usize {
    match body {
        RequestBody::Connect(_) => 0,
        RequestBody::Refresh { .. } => 1,
        RequestBody::Subscribe(_) => 2,
        RequestBody::Unsubscribe { .. } => 3,
        RequestBody::Publish(_) => 4,
        RequestBody::Presence { .. } => 5,
        RequestBody::PresenceCount { .. } => 6,
        RequestBody::History(_) => 7,
        RequestBody::Ack { .. } => 8,
        RequestBody::UserData { .. } => 9,
        RequestBody::UserStatus { .. } => 10,
        RequestBody::Ping => 11,
    }
}

const LEGACY: &[&str] = &[
    "user_data\nMARK\n5",
    "user_status\n5",
    "user_status\n6",
    "pipe_count\ntrack_room\nMARK",
    "track_pipe_users\ntrack_room\nMARK",
    "pipe_log\nweb_long\nMARK\n",
    "pipe_count\nweb_room\nMARK",
];

async fn start() -> World {
    World::start(|settings| {
        settings.backends.admin = admin::Settings {
            address: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..admin::Settings::default()
        };
    })
    .await
}

/// Fills tenant 0 in every table, with users who are online and one who is not.
async fn fill(world: &mut World) -> Vec<Client> {
    let channels = ["track_room", "web_room", "web_long", "private_room"];
    let user = world.browser(5, &channels).await;
    let nobody = world.anonymous(&["track_room", "web_room"]).await;
    for sql in [
        "INSERT INTO users_auth (id, hash) VALUES (6, 'secret6')",
        "INSERT INTO users_data (id, data) VALUES (5, 'secret'), (6, 'secret')",
        "INSERT INTO pipes_settings (name, length) VALUES ('web_long', 10)",
        "INSERT INTO pipes_messages (name, event, message) VALUES ('web_long', 'e', 'secret')",
        "INSERT INTO pipes_messages (name, event, message) VALUES ('web_room', 'e', 'secret')",
        "INSERT INTO users_messages (id, event, message) VALUES (6, 'e', 'secret')",
        "INSERT INTO revoked_tokens (token) VALUES ('secret')",
        "INSERT INTO pipes_members (name, user_id) VALUES ('web_room', 5)",
    ] {
        world.run(sql).await;
    }
    vec![user, nobody]
}

/// All that tenant 0 sees of itself.
async fn snapshot(world: &mut World) -> Vec<String> {
    let mut all = Vec::new();
    // The members of a cluster are the operator's matter: each tenant is refused, as `STATEMENTS` tries.
    let of_tenants = TABLES
        .iter()
        .filter(|table| table.name != "cluster_members");
    for table in of_tenants {
        let sql = format!("SELECT * FROM {}", table.name);
        let rows: Vec<Row> = within(world.backend.query(&sql)).await.unwrap();
        assert!(!rows.is_empty(), "{sql}");
        let mut rows: Vec<_> = rows.into_iter().map(shown).collect();
        rows.sort();
        all.push(format!("{}: {}", table.name, rows.join(" | ")));
    }
    all
}

fn shown(row: Row) -> String {
    let values = row.unwrap().into_iter();
    values
        .map(|value| value.as_sql(true))
        .collect::<Vec<_>>()
        .join(",")
}

fn statements() -> impl Iterator<Item = &'static str> {
    STATEMENTS.lines().filter(|line| !line.starts_with("--"))
}

async fn told<P: Protocol>(result: Result<QueryResult<'_, '_, P>, mysql_async::Error>) -> String {
    let mut result = match result {
        Ok(result) => result,
        Err(error) => return error.to_string(),
    };
    let rows: Result<Vec<Row>, _> = within(result.collect()).await;
    let rows: Vec<_> = rows.unwrap().into_iter().map(shown).collect();
    format!("{rows:?} {} {}", result.affected_rows(), result.info())
}

/// What a backend of tenant 7 is told, at each of its doors.
async fn tried(world: &World) -> Vec<String> {
    let mut backend: Conn = connect(&world.app, &THEIRS.to_string(), OTHER).await;
    let admin = world.app.admin_address().unwrap();
    let log_in = json!({"user": THEIRS.to_string(), "key": OTHER});
    let answer = http(admin, &format!("POST /console/login HTTP/1.1\n\n{log_in}")).await;
    let cookie = answer.split("set-cookie: ").nth(1).unwrap();
    let cookie = format!("cookie: {}", cookie.split(';').next().unwrap());
    let basic = STANDARD.encode(format!("{THEIRS}:{OTHER}"));
    let basic = format!("authorization: Basic {basic}");
    let mut all = Vec::new();
    for sql in statements() {
        let text = told(within(backend.query_iter(sql)).await).await;
        let prepared = told(within(backend.exec_iter(sql, ())).await).await;
        all.push(format!("text {sql}: {text}"));
        all.push(format!("prepared {sql}: {prepared}"));
        for (door, head) in [("/sql", &basic), ("/console/sql", &cookie)] {
            let request = format!("POST {door} HTTP/1.1\n{head}\n\n{sql}");
            let answer = http(admin, &request).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let status = head.lines().next().unwrap();
            all.push(format!("{door} {sql}: {status} {body}"));
        }
    }
    let state = http(admin, &format!("GET /console/state HTTP/1.1\n{cookie}")).await;
    assert!(state.contains("\"tenant\":7"), "{state}");
    for word in ["secret", "room", "web_long"] {
        assert!(!state.contains(word), "{word}: {state}");
    }
    within(backend.disconnect()).await.unwrap();
    all
}

#[tokio::test]
async fn backends() {
    let (mut full, empty) = (start().await, start().await);
    let clients = fill(&mut full).await;
    let before = snapshot(&mut full).await;
    let (seen, expected) = (tried(&full).await, tried(&empty).await);
    for (seen, expected) in seen.iter().zip(&expected) {
        assert_eq!(seen, expected);
    }
    assert_eq!(seen.len(), expected.len());
    assert_eq!(snapshot(&mut full).await, before);
    drop(clients);
    full.stop().await;
    empty.stop().await;
}

/// Without what differs from one moment or process to the next: the original's times, too, are seconds since 1970.
fn masked(mut message: Value) -> String {
    fn mask(value: &mut Value) {
        match value {
            Value::Number(number) if number.as_u64() > Some(1_000_000_000) => *value = json!("…"),
            Value::Object(fields) => {
                for (name, value) in fields {
                    if ["epoch", "session", "time", "last_seen", "expires"].contains(&&**name) {
                        *value = json!("…");
                    }
                    mask(value);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(mask),
            _ => {}
        }
    }
    mask(&mut message);
    message.to_string()
}

/// What a browser of tenant 7 is told over WebSocket; `log_in` comes first.
async fn over_websocket(world: &World, log_in: Option<&str>) -> Vec<String> {
    let path = format!("/connect?v=1&tenant={THEIRS}");
    let mut client = Client::at(world.app.http_address(), &path).await;
    let mut all = Vec::new();
    for request in log_in.iter().chain(REQUESTS) {
        let id = serde_json::from_str::<Value>(request).unwrap()["id"].clone();
        client.send(request).await;
        loop {
            let message = client.json().await;
            let last = message["id"] == id;
            all.push(masked(message));
            if last {
                break;
            }
        }
    }
    all.sort();
    all
}

async fn over_events(world: &World) -> Vec<String> {
    let path = format!("/sse?v=1&tenant={THEIRS}&channels=web_room,track_room");
    let mut events = Events::open(&world.app, &path, "last-event-id: ff-0,ff-0\r\n").await;
    let name = events.session().await;
    let mut all = Vec::new();
    for request in REQUESTS {
        let id = serde_json::from_str::<Value>(request).unwrap()["id"].clone();
        let post = format!("POST /session/{name} HTTP/1.1\n\n{request}");
        let answer = http(world.app.http_address(), &post).await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        loop {
            let event = events.next().await;
            let message: Value = serde_json::from_str(&event.data).unwrap();
            let last = message["id"] == id;
            all.push(masked(message));
            if last {
                break;
            }
        }
    }
    // The answers of two channels may come in any order.
    all.sort();
    all
}

async fn over_legacy(world: &World) -> Vec<String> {
    let uuid = "0123456789abcdef0123456789abcdef";
    let path = format!("/ws/sesion=hash5&myid=5&devid={THEIRS}&v=4.08&uuid={uuid}&api=js");
    let mut client = Client::at(world.app.http_address(), &path).await;
    let mut all = vec![masked(client.json().await)];
    for command in LEGACY {
        client.send(command).await;
        // Of an empty log nothing is told; of another one it would come instead of the next answer.
        if !command.starts_with("pipe_log") {
            all.push(masked(client.json().await));
        }
    }
    all
}

#[tokio::test]
async fn browsers() {
    let (mut full, empty) = (start().await, start().await);
    let clients = fill(&mut full).await;
    for world in [&full, &empty] {
        let mut theirs = connect(&world.app, &THEIRS.to_string(), OTHER).await;
        let insert = "INSERT INTO users_auth (id, hash) VALUES (9, 'theirown')";
        within(theirs.query_drop(insert)).await.unwrap();
        within(theirs.disconnect()).await.unwrap();
    }
    let mut kinds: Vec<_> = REQUESTS
        .iter()
        .flat_map(|request| decode_requests(request))
        .map(|request| number(&request.unwrap().body))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..12).collect::<Vec<_>>());
    let before = snapshot(&mut full).await;
    let user = r#"{"id":90,"connect":{"user":9,"hash":"theirown","inbox":true}}"#;
    for log_in in [None, Some(user)] {
        let seen = over_websocket(&full, log_in).await;
        assert_eq!(seen, over_websocket(&empty, log_in).await);
        assert!(!seen.join(" ").contains("secret"), "{seen:?}");
    }
    assert_eq!(over_events(&full).await, over_events(&empty).await);
    assert_eq!(over_legacy(&full).await, over_legacy(&empty).await);
    assert_eq!(snapshot(&mut full).await, before);
    for mut client in clients {
        // Whatever was published to it would have come before the answer.
        client.send(r#"{"id":9,"ping":{}}"#).await;
        loop {
            let message = client.json().await;
            assert!(!message.to_string().contains("theirs"), "{message}");
            if message["id"] == 9 {
                break;
            }
        }
    }
    full.stop().await;
    empty.stop().await;
}
