//! A whole node with a backend that speaks to it over the MySQL protocol, and browsers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cometql_protocol::TenantId;
use cometql_server::app::{App, AppSettings};
use cometql_server::auth::{Keyring, Keys};
use cometql_server::mysql::Settings;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Params, Row, Value};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, PATIENCE, node, within};

/// Opens tenant 0.
pub(crate) const KEY: &str = "a key of tenant zero";
/// Opens tenant 7.
pub(crate) const OTHER: &str = "a key of tenant seven";

/// A node and a backend of tenant 0.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) backend: Conn,
}

impl World {
    /// With two shards, a store in memory and both ports.
    pub(crate) async fn start(change: impl FnOnce(&mut AppSettings)) -> Self {
        let app = node(|settings| {
            settings.backends.keyring = Keyring::new(Keys {
                admin: vec!["boss".to_owned()],
                default: vec![KEY.to_owned()],
                tenants: BTreeMap::from([(TenantId(7), vec![OTHER.to_owned()])]),
                tenant_limit: 10,
            });
            settings.backends.mysql = Some(Settings {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                ..Settings::default()
            });
            change(settings);
        })
        .await;
        let backend = connect(&app, "root", KEY).await;
        Self { app, backend }
    }

    /// Waits until a query tells this.
    #[track_caller]
    pub(crate) fn until(&mut self, sql: &str, expected: &str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            loop {
                let told = rows(&mut self.backend, sql, ()).await;
                if told == expected {
                    return;
                }
                let waited = began.elapsed();
                assert!(waited < PATIENCE, "{place}: {sql}: {told}, not {expected}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// A logged-in browser with these subscriptions.
    pub(crate) async fn browser(&mut self, user: u64, channels: &[&str]) -> Client {
        let insert = format!("INSERT INTO users_auth (id, hash) VALUES ({user}, 'hash{user}')");
        within(self.backend.query_drop(insert)).await.unwrap();
        let mut client = Client::connect(&self.app).await;
        let log_in = format!(
            r#"{{"id":1,"connect":{{"user":{user},"hash":"hash{user}","uuid":"u{user}"}}}}"#
        );
        assert_eq!(client.ask(&log_in).await["connected"]["user"], user);
        subscribe(&mut client, channels).await;
        client
    }

    /// One that nobody logged in to.
    pub(crate) async fn anonymous(&self, channels: &[&str]) -> Client {
        let mut client = Client::connect(&self.app).await;
        subscribe(&mut client, channels).await;
        client
    }

    /// Carries out statements.
    pub(crate) async fn run(&mut self, sql: &str) {
        within(self.backend.query_drop(sql)).await.unwrap();
    }

    /// The rows as `a,b | c,d`, asked in text and prepared.
    pub(crate) async fn check(&mut self, sql: &str, expected: &str) {
        assert_eq!(rows(&mut self.backend, sql, ()).await, expected, "{sql}");
        let rows: Vec<Row> = within(self.backend.query(sql)).await.unwrap();
        assert_eq!(told(rows), expected, "{sql}");
    }

    /// Ends all of it.
    pub(crate) async fn stop(self) {
        within(self.backend.disconnect()).await.unwrap();
        within(self.app.stop()).await;
    }
}

/// A backend.
pub(crate) async fn connect(app: &App, user: &str, key: &str) -> Conn {
    try_connect(app, user, key).await.unwrap()
}

/// A backend that may be refused.
pub(crate) async fn try_connect(
    app: &App,
    user: &str,
    key: &str,
) -> Result<Conn, mysql_async::Error> {
    let address = app.mysql_address().unwrap();
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(user))
        .pass(Some(key))
        .db_name(Some("CometQL_v1"));
    within(Conn::new(options)).await
}

/// Subscribes, one channel after the other.
pub(crate) async fn subscribe(client: &mut Client, channels: &[&str]) {
    for (id, channel) in (2..).zip(channels) {
        let request = format!(r#"{{"id":{id},"subscribe":"{channel}"}}"#);
        assert_eq!(
            client.ask(&request).await["subscribed"]["channel"],
            *channel
        );
    }
}

/// The rows of a prepared statement.
pub(crate) async fn rows(
    backend: &mut Conn,
    sql: &str,
    values: impl Into<Params> + Send,
) -> String {
    let rows: Vec<Row> = within(backend.exec(sql, values)).await.unwrap();
    told(rows)
}

fn told(rows: Vec<Row>) -> String {
    let value = |value: Value| match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        Value::Int(number) => number.to_string(),
        other => other.as_sql(true),
    };
    let row = |row: Row| row.unwrap().into_iter().map(value).collect::<Vec<_>>();
    let rows: Vec<_> = rows.into_iter().map(|r| row(r).join(",")).collect();
    rows.join(" | ")
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut digest = Sha1::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

/// Logs in with `mysql_native_password` and nothing that a packet could do without.
pub(crate) async fn raw(address: SocketAddr, key: &str) -> TcpStream {
    raw_over(TcpStream::connect(address).await.unwrap(), key).await
}

/// As `raw`, over a stream.
pub(crate) async fn raw_over(mut stream: TcpStream, key: &str) -> TcpStream {
    let greeting = read_packet(&mut stream).await.1;
    let at = greeting.iter().position(|&byte| byte == 0).unwrap() + 5;
    let scramble = [&greeting[at..at + 8], &greeting[at + 27..at + 39]].concat();
    let once = sha1(&[key.as_bytes()]);
    let twice = sha1(&[&scramble, &sha1(&[&once])]);
    let proof: Vec<u8> = once.iter().zip(twice).map(|(a, b)| a ^ b).collect();
    let log_in = [
        &b"\x00\x82\0\0\0\0\0\0\x2d"[..],
        &[0; 23],
        b"root\0\x14",
        &proof,
    ]
    .concat();
    stream.write_all(&packet(1, &log_in)).await.unwrap();
    assert_eq!(read_packet(&mut stream).await.1[0], 0);
    stream
}

/// A packet of less than 16 MB.
pub(crate) fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let head = u32::try_from(payload.len()).unwrap() | u32::from(sequence) << 24;
    [&head.to_le_bytes()[..], payload].concat()
}

/// The sequence number and the payload of the next packet, which is of less than 64 KiB.
pub(crate) async fn read_packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 4];
    within(stream.read_exact(&mut head)).await.unwrap();
    let mut payload = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    within(stream.read_exact(&mut payload)).await.unwrap();
    (head[3], payload)
}
