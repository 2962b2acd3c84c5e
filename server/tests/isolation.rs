//! Nothing crosses from one tenant to another: two tenants with the same users and channels, several connections each,
//! and every door tried from the other side.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cometql_protocol::TenantId;
use cometql_server::app::App;
use cometql_server::auth::{Algorithm, JwtKey, KeySource, Keyring, Keys, TokenSettings, Tokens};
use cometql_server::{admin, mysql};
use common::{Client, Events, http, node, within};
use jsonwebtoken::{EncodingKey, Header};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};
use serde_json::{Value, json};

/// Whose secrets are at stake, and who is after them.
const OURS: u32 = 1;
const THEIRS: u32 = 2;
const SECRET: &str = "a secret of more than thirty-two characters";
const UUID: &str = "0123456789abcdef0123456789abcdef";

fn key(tenant: u32) -> String {
    format!("the key of tenant {tenant}")
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Tenants 1 and 2 have keys of their own, 3 and 4 share one, 5 has its own signer of tokens.
async fn start() -> App {
    let keyring = Keyring::new(Keys {
        default: vec!["a key that some tenants share".to_owned()],
        tenants: BTreeMap::from([OURS, THEIRS].map(|n| (TenantId(n), vec![key(n)]))),
        tenant_limit: 10,
        ..Keys::default()
    });
    let signer = |name: &str, tenant: Option<u32>, secret: &str| JwtKey {
        name: name.to_owned(),
        id: None,
        algorithm: Some(Algorithm::HS256),
        source: KeySource::Secret(secret.to_owned()),
        tenant: tenant.map(TenantId),
        issuer: None,
        audience: None,
        leeway_s: 0,
    };
    let settings = TokenSettings {
        keys: vec![
            signer("all", None, SECRET),
            signer("five", Some(5), "another secret, which is tenant 5's only"),
        ],
        derived_secret: true,
    };
    node(|node| {
        node.tokens = Tokens::new(&settings, keyring.clone()).unwrap();
        node.backends.keyring = keyring;
        node.http.largest_tenant = 9;
        node.backends.mysql = Some(mysql::Settings {
            address: free(),
            ..mysql::Settings::default()
        });
        node.backends.admin = admin::Settings {
            address: Some(free()),
            ..admin::Settings::default()
        };
    })
    .await
}

fn token(secret: &str, claims: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims = claims.clone();
    claims["exp"] = json!(now.as_secs() + 600);
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

async fn backend(app: &App, user: &str, key: &str) -> Result<Conn, mysql_async::Error> {
    let address = app.mysql_address().unwrap();
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(user))
        .pass(Some(key));
    within(Conn::new(options)).await
}

async fn backend_of(app: &App, tenant: u32) -> Conn {
    backend(app, &tenant.to_string(), &key(tenant))
        .await
        .unwrap()
}

async fn run(backend: &mut Conn, sql: &str) {
    let done = within(backend.query_drop(sql)).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// All that a statement shows, as text.
async fn shown(backend: &mut Conn, sql: &str) -> Vec<String> {
    let rows: Vec<Row> = within(backend.query(sql)).await.unwrap();
    let rows = rows.into_iter().map(|row| format!("{:?}", row.unwrap()));
    rows.collect()
}

async fn code(backend: &mut Conn, sql: &str) -> u16 {
    match within(backend.query_drop(sql)).await {
        Err(mysql_async::Error::Server(error)) => error.code,
        other => panic!("{sql}: {other:?}"),
    }
}

async fn browser(app: &App, tenant: u32) -> Client {
    Client::at(app.http_address(), &format!("/connect?v=1&tenant={tenant}")).await
}

async fn user(app: &App, tenant: u32, hash: &str) -> Client {
    let mut client = browser(app, tenant).await;
    let connect = json!({"id": 1, "connect": {"user": 5, "hash": hash, "inbox": true}});
    let connected = client.ask(&connect.to_string()).await;
    assert_eq!(connected["connected"]["user"], 5, "{connected}");
    client
}

/// Fills tenant 1 with secrets in every table.
async fn fill(backend: &mut Conn) {
    for sql in [
        "INSERT INTO users_auth (id, hash) VALUES (5, 'secret5'), (6, 'secret6')",
        "INSERT INTO users_data (id, data) VALUES (5, 'secret')",
        "INSERT INTO pipes_settings (name, length) VALUES ('web_long', 10)",
        "INSERT INTO pipes_messages (name, event, message) VALUES ('web_long', 'e', 'secret')",
        "INSERT INTO pipes_messages (name, event, message) VALUES ('web_room', 'e', 'secret')",
        "INSERT INTO users_messages (id, event, message) VALUES (6, 'e', 'secret')",
        "INSERT INTO revoked_tokens (token) VALUES ('secret')",
        "INSERT INTO pipes_members (name, user_id) VALUES ('web_room', 5)",
    ] {
        run(backend, sql).await;
    }
}

const TABLES: [&str; 11] = [
    "users_auth",
    "users_time",
    "users_messages",
    "pipes_messages",
    "users_in_pipes",
    "pipes",
    "pipes_settings",
    "users_data",
    "revoked_tokens",
    "pipes_members",
    "trace",
];

/// What tenant 2 sees instead.
const READS: &[(&str, &[&str])] = &[
    ("SELECT hash FROM users_auth WHERE id = 5", &[]),
    ("SELECT data FROM users_data WHERE id = 5", &[]),
    ("SELECT message FROM users_messages WHERE id = 6", &[]),
    (
        "SELECT message FROM pipes_messages WHERE name = 'web_long'",
        &[],
    ),
    (
        "SELECT message FROM pipes_messages WHERE name = 'web_room'",
        &[],
    ),
    (
        "SELECT user_id FROM users_in_pipes WHERE name = 'track_room'",
        &[],
    ),
    (
        "SELECT token FROM revoked_tokens WHERE token = 'secret'",
        &[],
    ),
    (
        "SELECT user_id FROM pipes_members WHERE name = 'web_room'",
        &[],
    ),
    (
        "SELECT time FROM users_time WHERE id = 5",
        &["[Bytes(\"-1\")]"],
    ),
    (
        "SELECT users FROM pipes WHERE name = 'track_room'",
        &["[Bytes(\"0\")]"],
    ),
    ("SHOW CONNECTIONS", &[]),
];

/// What tenant 2 does to the same keys.
const WRITES: &[&str] = &[
    "DELETE FROM users_auth WHERE id = 5",
    "DELETE FROM users_data WHERE id = 5",
    "DELETE FROM users_messages WHERE id = 6",
    "DELETE FROM pipes_messages WHERE name = 'web_long'",
    "DELETE FROM pipes_settings WHERE name = 'web_long'",
    "DELETE FROM revoked_tokens WHERE token = 'secret'",
    "DELETE FROM pipes_members WHERE name = 'web_room'",
    "INSERT INTO users_auth (id, hash) VALUES (5, 'theirs')",
    "INSERT INTO users_data (id, data) VALUES (5, 'theirs')",
    "INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'theirs')",
    "INSERT INTO pipes_messages (name, event, message) VALUES ('track_room', 'e', 'theirs')",
];

#[tokio::test]
async fn backends_read_and_write_in_their_tenant_only() {
    let app = start().await;
    let (mut ours, mut theirs) = (backend_of(&app, OURS).await, backend_of(&app, THEIRS).await);
    fill(&mut ours).await;
    let mut page = user(&app, OURS, "secret5").await;
    page.ask(r#"{"id":2,"subscribe":"track_room"}"#).await;
    let mut nobody = browser(&app, OURS).await;
    nobody.ask(r#"{"id":2,"subscribe":"track_room"}"#).await;

    for table in TABLES {
        // A row for each user that is asked for, seen or not, is no row of the other tenant.
        let foreign = |row: &String| {
            let any = ["secret", "room", "web_long"];
            any.iter().any(|word| row.contains(word))
        };
        let sql = format!("SELECT * FROM {table} ORDER BY 1");
        let own = shown(&mut ours, &sql).await;
        assert!(!own.is_empty(), "{table}");
        let other = shown(&mut theirs, &sql).await;
        assert!(!other.iter().any(foreign), "{table}: {other:?}");
    }
    for (sql, expected) in READS {
        assert_eq!(shown(&mut theirs, sql).await, *expected, "{sql}");
    }
    assert_eq!(shown(&mut theirs, "SHOW PROCESSLIST").await.len(), 1);
    assert_eq!(shown(&mut ours, "SHOW CONNECTIONS").await.len(), 2);

    for sql in WRITES {
        run(&mut theirs, sql).await;
    }
    for table in TABLES {
        let own = shown(&mut ours, &format!("SELECT * FROM {table} ORDER BY 1")).await;
        assert!(!own.is_empty(), "{table}");
        assert!(
            !own.iter().any(|row| row.contains("theirs")),
            "{table}: {own:?}"
        );
    }
    for client in [&mut page, &mut nobody] {
        client.send(r#"{"id":9,"ping":{}}"#).await;
        // Whatever was published there would have come before the answer.
        loop {
            let message = client.json().await;
            assert!(!message.to_string().contains("theirs"), "{message}");
            if message["id"] == 9 {
                break;
            }
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn kill_and_use_stop_at_the_border() {
    let app = start().await;
    let (mut ours, mut theirs) = (backend_of(&app, OURS).await, backend_of(&app, THEIRS).await);
    let mut page = browser(&app, OURS).await;
    let connected = page.ask(r#"{"id":1,"connect":{}}"#).await;
    let session = connected["connected"]["session"].as_u64().unwrap();
    let process = ours.id();
    for id in [session, u64::from(process), 0, (1 << 53) - 1] {
        assert_eq!(code(&mut theirs, &format!("KILL {id}")).await, 1094, "{id}");
    }
    assert_eq!(page.ask(r#"{"id":9,"ping":{}}"#).await["id"], 9);
    run(&mut ours, "SELECT 1").await;

    for sql in ["USE db_1", "USE db_0", "USE db_3", "USE db_10", "USE db_x"] {
        assert_eq!(code(&mut theirs, sql).await, 16, "{sql}");
        assert_eq!(shown(&mut theirs, "SHOW PROCESSLIST").await.len(), 1);
    }
    // A key that several tenants share opens each of them, and nothing more.
    let mut shared = backend(&app, "3", "a key that some tenants share")
        .await
        .unwrap();
    run(&mut shared, "USE db_4").await;
    assert_eq!(code(&mut shared, "USE db_1").await, 16);

    for (name, proof) in [
        ("1", key(THEIRS)),
        ("2", key(OURS)),
        ("root", key(OURS)),
        ("admin", key(OURS)),
        ("01", key(OURS)),
    ] {
        let refused = backend(&app, name, &proof).await;
        assert!(
            matches!(refused, Err(mysql_async::Error::Server(error)) if error.code == 16),
            "{name}"
        );
    }
    // The right one of our own ends what it names.
    run(&mut ours, &format!("KILL {session}")).await;
    page.closed().await;
    app.stop().await;
}

#[tokio::test]
async fn credentials_count_in_their_tenant_only() {
    let app = start().await;
    let mut ours = backend_of(&app, OURS).await;
    fill(&mut ours).await;
    let five = "another secret, which is tenant 5's only";
    for (tenant, connect, user) in [
        (1, json!({"user": 5, "hash": "secret5"}), Some(5)),
        (2, json!({"user": 5, "hash": "secret5"}), None),
        (1, json!({"user": 6, "hash": "secret5"}), None),
        (1, json!({"user": 5, "hash": ""}), None),
        (2, json!({"user": 5, "hash": ""}), None),
        (
            1,
            json!({"token": token(SECRET, &json!({"sub": "5", "tenant": 1}))}),
            Some(5),
        ),
        (
            2,
            json!({"token": token(SECRET, &json!({"sub": "5", "tenant": 1}))}),
            None,
        ),
        (
            0,
            json!({"token": token(SECRET, &json!({"sub": "5", "tenant": 1}))}),
            None,
        ),
        // Without the claim, a token of the signer for all is tenant 0's.
        (
            1,
            json!({"token": token(SECRET, &json!({"sub": "5"}))}),
            None,
        ),
        (
            0,
            json!({"token": token(SECRET, &json!({"sub": "5"}))}),
            Some(5),
        ),
        (
            5,
            json!({"token": token(five, &json!({"sub": "5"}))}),
            Some(5),
        ),
        (1, json!({"token": token(five, &json!({"sub": "5"}))}), None),
        (
            1,
            json!({"token": token(five, &json!({"sub": "5", "tenant": 1}))}),
            None,
        ),
        // The original's derived secret counts on the original's paths only.
        (
            1,
            json!({"token": token(&format!("{}1", key(1)), &json!({"user_id": 5}))}),
            None,
        ),
        // A token of another user beside a user id.
        (
            1,
            json!({"user": 6, "token": token(SECRET, &json!({"sub": "5", "tenant": 1}))}),
            None,
        ),
    ] {
        let mut client = browser(&app, tenant).await;
        let answer = client
            .ask(&json!({"id": 1, "connect": connect}).to_string())
            .await;
        let seen = answer["connected"]["user"].as_u64();
        assert_eq!(seen, user, "{tenant} {connect}: {answer}");
        assert!(
            user.is_some() || answer["error"]["code"] == "unauthorized",
            "{answer}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn the_originals_paths_and_unknown_tenants() {
    let app = start().await;
    fill(&mut backend_of(&app, OURS).await).await;
    for (devid, secret, authorized) in [
        (1, "secret5", true),
        (2, "secret5", false),
        (0, "secret5", false),
    ] {
        let path = format!("/ws/sesion={secret}&myid=5&devid={devid}&v=4.08&uuid={UUID}&api=js");
        let info = Client::at(app.http_address(), &path).await.json().await;
        assert_eq!(info["authorized"], authorized, "{path}: {info}");
    }
    let derived = token(&format!("{}1", key(1)), &json!({"user_id": 5}));
    for (devid, authorized) in [(1, true), (2, false)] {
        let path = format!("/ws/sesion={derived}&myid=5&devid={devid}&v=4.08&uuid={UUID}&api=js");
        let info = Client::at(app.http_address(), &path).await.json().await;
        assert_eq!(info["authorized"], authorized, "{devid}: {info}");
    }
    for tenant in [10, 4_294_967_295_u32] {
        for path in ["connect", "sse"] {
            let request = format!(
                "GET /{path}?v=1&tenant={tenant} HTTP/1.1\nupgrade: websocket\nsec-websocket-version: 13\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
            );
            let answer = http(app.http_address(), &request).await;
            assert!(!answer.starts_with("HTTP/1.1 1"), "{answer}");
            assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn browsers_meet_their_tenant_only() {
    let app = start().await;
    let mut ours = backend_of(&app, OURS).await;
    let mut theirs = backend_of(&app, THEIRS).await;
    fill(&mut ours).await;
    run(
        &mut theirs,
        "INSERT INTO users_auth (id, hash) VALUES (5, 'theirs5')",
    )
    .await;
    let mut ours_page = user(&app, OURS, "secret5").await;
    ours_page.ask(r#"{"id":2,"subscribe":"track_room"}"#).await;
    let mut their_page = user(&app, THEIRS, "theirs5").await;
    let mut nobody = browser(&app, THEIRS).await;
    for client in [&mut their_page, &mut nobody] {
        let count = client
            .ask(r#"{"id":2,"presence_count":{"channel":"track_room"}}"#)
            .await;
        assert_eq!(count["presence_count"]["count"], 0, "{count}");
        let members = client
            .ask(r#"{"id":3,"presence":{"channel":"track_room"}}"#)
            .await;
        assert_eq!(members["presence"]["members"], json!([]), "{members}");
        for channel in ["web_room", "web_long"] {
            let ask = json!({"id": 4, "history": {"channel": channel}});
            let history = client.ask(&ask.to_string()).await;
            assert!(history["history"].is_object(), "{history}");
            assert!(!history.to_string().contains("secret"), "{history}");
        }
        let data = client.ask(r#"{"id":5,"user_data":{"user":5}}"#).await;
        assert!(!data.to_string().contains("secret"), "{data}");
        let status = client.ask(r#"{"id":6,"user_status":{"user":6}}"#).await;
        assert!(!status.to_string().contains("secret"), "{status}");
        let subscribed = client
            .ask(r#"{"id":7,"subscribe":{"channel":"web_long","epoch":"00000000000000ff","offset":0}}"#)
            .await;
        assert!(!subscribed.to_string().contains("secret"), "{subscribed}");
        let published = client
            .ask(r#"{"id":8,"publish":{"channel":"web_room","data":"theirs"}}"#)
            .await;
        assert_eq!(published["id"], 8, "{published}");
    }
    // A private message to the user of the same number.
    run(
        &mut ours,
        "INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'for ours')",
    )
    .await;
    assert_eq!(ours_page.json().await["data"], "for ours");
    let pong = json!({"id": 9, "pong": {}});
    assert_eq!(their_page.ask(r#"{"id":9,"ping":{}}"#).await, pong);
    // Deleting the user there logs out nobody here.
    run(&mut theirs, "DELETE FROM users_auth WHERE id = 5").await;
    their_page.closed().await;
    assert_eq!(ours_page.ask(r#"{"id":9,"ping":{}}"#).await, pong);
    app.stop().await;
}

#[tokio::test]
async fn streams_sql_and_console_stop_at_the_border() {
    let app = start().await;
    let mut ours = backend_of(&app, OURS).await;
    fill(&mut ours).await;
    let mut events = Events::open(&app, "/sse?v=1&tenant=1&channels=web_room", "").await;
    let name = events.session().await;
    // Another stream's secret, our number: no session.
    let mut others = Events::open(&app, "/sse?v=1&tenant=2", "").await;
    let other_name = others.session().await;
    let (number, secret) = (
        name.split('.').next().unwrap(),
        other_name.split('.').nth(1).unwrap(),
    );
    let wrong = format!("POST /session/{number}.{secret} HTTP/1.1\n\n{{\"id\":1,\"ping\":{{}}}}");
    let answer = http(app.http_address(), &wrong).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");

    let admin = app.admin_address().unwrap();
    let basic = |user: u32, key: &str| STANDARD.encode(format!("{user}:{key}"));
    let sql = async |authorization: String, sql: &str| {
        let head = format!("POST /sql HTTP/1.1\nauthorization: Basic {authorization}\n\n{sql}");
        http(admin, &head).await
    };
    let hashes = "SELECT hash FROM users_auth";
    let own = sql(basic(OURS, &key(OURS)), hashes).await;
    assert!(own.contains("secret5"), "{own}");
    let other = sql(basic(THEIRS, &key(THEIRS)), hashes).await;
    assert!(other.contains(r#""rows":[]"#), "{other}");
    for text in ["USE db_1", "SELECT * FROM db_1.users_auth"] {
        let answer = sql(basic(THEIRS, &key(THEIRS)), text).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{text}: {answer}");
    }
    let forged = sql(basic(OURS, &key(THEIRS)), hashes).await;
    assert!(forged.starts_with("HTTP/1.1 401 "), "{forged}");

    let log_in = json!({"user": "2", "key": key(THEIRS)});
    let answer = http(admin, &format!("POST /console/login HTTP/1.1\n\n{log_in}")).await;
    let cookie = answer.split("set-cookie: ").nth(1).unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let state = http(
        admin,
        &format!("GET /console/state HTTP/1.1\ncookie: {cookie}"),
    )
    .await;
    assert!(
        state.contains(r#""tenant":2"#) && !state.contains("web_room"),
        "{state}"
    );
    let head = format!("POST /console/sql HTTP/1.1\ncookie: {cookie}\n\n{hashes}");
    let rows = http(admin, &head).await;
    assert!(rows.contains(r#""rows":[]"#), "{rows}");
    app.stop().await;
}
