//! Statements through real MySQL clients (mysql_async, sqlx), and pipelined as no such client does it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cometql_server::app::App;
use cometql_server::auth::{Keyring, Keys};
use cometql_server::mysql::Settings;
use common::backend::{KEY, packet, raw, read_packet};
use common::{node, within};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, TxOpts};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::io::AsyncWriteExt;

async fn start() -> (App, SocketAddr) {
    let app = node(|settings| {
        settings.backends.keyring = Keyring::new(Keys {
            admin: Vec::new(),
            default: vec![KEY.to_owned()],
            tenants: BTreeMap::new(),
            tenant_limit: 10,
        });
        settings.backends.mysql = Some(Settings {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Settings::default()
        });
    })
    .await;
    let address = app.mysql_address().unwrap();
    (app, address)
}

fn options(address: SocketAddr) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some("root"))
        .pass(Some(KEY))
        .db_name(Some("CometQL_v1"))
        .into()
}

#[tokio::test]
async fn mysql_async_prepares_pages_and_transacts() {
    let (app, address) = start().await;
    let mut client = within(Conn::new(options(address))).await.unwrap();
    let rows: Vec<(u64, String)> = (1..=3).map(|id| (id, format!("hash{id}"))).collect();
    let insert = "INSERT INTO users_auth (id, hash) VALUES (?, ?)";
    within(client.exec_batch(insert, rows)).await.unwrap();
    let select = "SELECT id, hash FROM users_auth WHERE id IN (?, ?)";
    let found: Vec<(String, String)> = within(client.exec(select, (3, 1))).await.unwrap();
    let expected = [("3", "hash3"), ("1", "hash1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(found, expected);
    let mut transaction = within(client.start_transaction(TxOpts::default()))
        .await
        .unwrap();
    let one: Option<i64> = within(transaction.query_first("SELECT 1")).await.unwrap();
    assert_eq!(one, Some(1));
    within(transaction.commit()).await.unwrap();
    within(client.reset()).await.unwrap();
    let error = within(client.query_drop("SELECT * FROM no_such_table")).await;
    assert!(matches!(error, Err(mysql_async::Error::Server(error)) if error.code == 15));
    within(client.ping()).await.unwrap();
    within(client.disconnect()).await.unwrap();
    within(app.stop()).await;
}

#[tokio::test]
async fn several_statements_answer_one_after_the_other() {
    let (app, address) = start().await;
    let mut client = within(Conn::new(options(address))).await.unwrap();
    let insert = "INSERT INTO users_auth (id, hash) VALUES (9, 'nine')";
    let broken = within(client.query_drop(format!("{insert}; nonsense"))).await;
    assert!(broken.is_err());
    let select = "SELECT hash FROM users_auth WHERE id = 9";
    let found: Vec<String> = within(client.query(select)).await.unwrap();
    assert!(
        found.is_empty(),
        "all are read before the first is carried out"
    );
    let all = format!("{insert}; {select}; SELECT 3");
    let mut results = within(client.query_iter(all)).await.unwrap();
    let nothing: Vec<String> = within(results.collect()).await.unwrap();
    assert!(nothing.is_empty());
    let hashes: Vec<String> = within(results.collect()).await.unwrap();
    assert_eq!(hashes, ["nine"]);
    let numbers: Vec<i64> = within(results.collect()).await.unwrap();
    assert_eq!(numbers, [3]);
    drop(results);
    within(client.disconnect()).await.unwrap();
    within(app.stop()).await;
}

#[tokio::test]
async fn sqlx_connects_binds_and_reads() {
    let (app, address) = start().await;
    let options = MySqlConnectOptions::new()
        .host(&address.ip().to_string())
        .port(address.port())
        .username("root")
        .password(KEY)
        .database("CometQL_v1")
        .ssl_mode(MySqlSslMode::Disabled);
    let mut client = within(options.connect()).await.unwrap();
    let insert = sqlx::query("INSERT INTO users_data (id, data) VALUES (?, ?)");
    let done = within(insert.bind(5_i64).bind("it's 'ä'").execute(&mut client)).await;
    assert_eq!(done.unwrap().last_insert_id(), 5);
    let select = sqlx::query("SELECT id, data FROM users_data WHERE id = ?").bind(5_i64);
    let row = within(select.fetch_one(&mut client)).await.unwrap();
    assert_eq!(row.get::<String, _>("id"), "5");
    assert_eq!(row.get::<String, _>("data"), "it's 'ä'");
    within(client.ping()).await.unwrap();
    within(client.close()).await.unwrap();
    within(app.stop()).await;
}

#[tokio::test]
async fn pipelined_inserts_are_all_carried_out() {
    const STATEMENTS: u64 = 30;
    let (app, address) = start().await;
    let mut stream = raw(address, KEY).await;
    let mut statements = Vec::new();
    for id in 1..=STATEMENTS {
        let sql = format!("\x03INSERT INTO users_auth (id, hash) VALUES ({id}, 'h{id}')");
        statements.extend(packet(0, sql.as_bytes()));
    }
    stream.write_all(&statements).await.unwrap();
    for id in 1..=STATEMENTS {
        let (sequence, answer) = read_packet(&mut stream).await;
        assert_eq!((sequence, answer[0]), (1, 0), "an OK packet");
        assert_eq!(u64::from(answer[2]), id, "answers come in order");
    }
    let mut client = within(Conn::new(options(address))).await.unwrap();
    let ids: Vec<String> = (1..=STATEMENTS).map(|id| id.to_string()).collect();
    let select = format!(
        "SELECT hash FROM users_auth WHERE id IN ({})",
        ids.join(",")
    );
    let found: Vec<String> = within(client.query(select)).await.unwrap();
    let expected: Vec<String> = ids.iter().map(|id| format!("h{id}")).collect();
    assert_eq!(found, expected);
    within(client.disconnect()).await.unwrap();
    within(app.stop()).await;
}

/// Publications of a pipelining client overlap; whatever stands between them is answered in its place all the same.
#[tokio::test]
async fn pipelined_publications_and_others_are_answered_in_order() {
    let (app, address) = start().await;
    let publish = |channel: &str| {
        format!(
            "\x03INSERT INTO pipes_messages (name, event, message) VALUES ('{channel}', '', 'x')"
        )
    };
    let ok = 0_u8;
    let error = 0xff;
    let commands = [
        (publish("web_a"), ok),
        (publish("web_b"), ok),
        (publish("a name that is none"), error),
        (publish("web_a"), ok),
        ("\x03INSERT INTO nothing".to_owned(), error),
        (publish("web_a"), ok),
        ("\x0e".to_owned(), ok),
        (publish("web_a"), ok),
        ("\x03SET NAMES utf8mb4".to_owned(), ok),
        (publish("web_b"), ok),
    ];
    let mut stream = raw(address, KEY).await;
    let packets: Vec<_> = commands
        .iter()
        .map(|(text, _)| packet(0, text.as_bytes()))
        .collect();
    stream.write_all(&packets.concat()).await.unwrap();
    for (text, first) in &commands {
        let (sequence, answer) = read_packet(&mut stream).await;
        assert_eq!((sequence, answer[0]), (1, *first), "{text}: {answer:?}");
    }
    within(app.stop()).await;
}
