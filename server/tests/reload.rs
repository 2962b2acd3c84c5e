//! What a reload of the running binary does to those who are connected.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::net::SocketAddr;

use common::backend::{packet, raw, read_packet};
use common::binary::{JWT, KEY, Node, OTHER_KEY, configuration, write_pair};
use common::certificate::believing;
use common::{http, within};
use futures_util::{SinkExt, StreamExt};
use mysql_async::prelude::Queryable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Logs in to the console; the cookie.
async fn log_in(admin: SocketAddr, key: &str) -> String {
    let body = format!(r#"{{"user":"root","key":"{key}"}}"#);
    let answer = http(admin, &format!("POST /console/login HTTP/1.1\n\n{body}")).await;
    let (_, cookie) = answer.split_once("set-cookie: ").expect("a cookie");
    cookie.split(';').next().unwrap().to_owned()
}

async fn console(admin: SocketAddr, cookie: &str) -> String {
    let answer = http(
        admin,
        &format!("GET /console/state HTTP/1.1\ncookie: {cookie}"),
    )
    .await;
    answer["HTTP/1.1 ".len()..][..3].to_owned()
}

#[tokio::test]
async fn sessions_of_a_key_that_is_taken_away_end() {
    let node = Node::start(&["--log-format", "json"]);
    let mut browser = node.browser().await;
    let mut idle = raw(node.mysql, KEY).await;
    let cookie = log_in(node.admin, KEY).await;
    assert_eq!(console(node.admin, &cookie).await, "200");
    let mut tail = TcpStream::connect(node.admin).await.unwrap();
    let request =
        format!("GET /console/tail?channel=web_a HTTP/1.0\r\nhost: a\r\ncookie: {cookie}\r\n\r\n");
    tail.write_all(request.as_bytes()).await.unwrap();
    // Its first comment.
    let mut seen = Vec::new();
    while !seen.ends_with(b":\n\n") {
        seen.push(within(tail.read_u8()).await.unwrap());
    }

    // A second key beside it ends nothing.
    let folder = node.folder.path();
    let both = configuration(folder, OTHER_KEY, JWT, "anyone")
        + &format!("[tenants.0]\nkeys = ['{KEY}', '{OTHER_KEY}']\n");
    node.reload_text(&both);
    idle.write_all(&packet(0, b"\x0e")).await.unwrap();
    assert_eq!(read_packet(&mut idle).await.1[0], 0);
    assert_eq!(console(node.admin, &cookie).await, "200");
    let mut newer = node.backend(OTHER_KEY).await.unwrap();

    let log = node.reload_text(&configuration(folder, OTHER_KEY, JWT, "anyone"));
    let ended = log.iter().find(|line| line.contains("\"ended\":2"));
    assert!(ended.is_some(), "{log:?}");
    let (sequence, answer) = read_packet(&mut idle).await;
    assert_eq!((sequence, &answer[..3]), (0, &b"\xff\x10\x00"[..]));
    assert_eq!(within(idle.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(console(node.admin, &cookie).await, "401");
    within(tail.read_to_end(&mut seen)).await.unwrap();
    within(newer.ping()).await.unwrap();
    assert_eq!(browser.ask(r#"{"id":1,"ping":{}}"#).await["id"], 1);

    // The log-in is gone for good, also when the key comes back.
    node.reload(KEY, JWT, "anyone");
    assert_eq!(console(node.admin, &cookie).await, "401");
}

/// The settings that the log warns of.
fn unchanged(log: &[String]) -> Vec<&str> {
    let warnings = log.iter().filter(|line| line.contains("stays as it was"));
    let keys = warnings.filter_map(|line| line.split_once("\"key\":\"")?.1.split('"').next());
    keys.collect()
}

#[tokio::test]
async fn escaping_comes_into_force_and_what_needs_a_restart_is_named() {
    let node = Node::start(&["--log-format", "json"]);
    let mut backend = node.backend(KEY).await.unwrap();
    let text = configuration(node.folder.path(), KEY, JWT, "anyone");
    let with = |mysql: &str| text.replace("[mysql]\n", &format!("[mysql]\n{mysql}\n"));
    let steps = [
        (text.clone(), "a\nb"),
        (with("escaping = 'raw'"), "a\\nb"),
        (text.clone() + "[tenants.0]\nescaping = 'raw'\n", "a\\nb"),
        (text.clone() + "[tenants.1]\nescaping = 'raw'\n", "a\nb"),
    ];
    for (text, expected) in steps {
        let log = node.reload_text(&text);
        assert_eq!(unchanged(&log), Vec::<&str>::new());
        let insert = r"REPLACE INTO users_data (id, data) VALUES (5, 'a\nb')";
        within(backend.query_drop(insert)).await.unwrap();
        let select = "SELECT data FROM users_data WHERE id = 5";
        let data: Option<String> = within(backend.query_first(select)).await.unwrap();
        assert_eq!(data.as_deref(), Some(expected));
    }
    let log = node.reload_text(&with("connections = 7"));
    assert_eq!(unchanged(&log), ["mysql.connections"]);
}

/// Sends the request for TLS that a MySQL client sends, and begins it.
async fn mysql_tls(
    address: SocketAddr,
    pem: &[u8],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    read_packet(&mut stream).await;
    // Protocol 4.1, TLS, secure connection; packet size; character set; filler.
    let request = [&b"\x00\x8a\0\0\0\0\0\0\x2d"[..], &[0; 23]].concat();
    stream.write_all(&packet(1, &request)).await.unwrap();
    within(believing(pem, stream)).await
}

#[tokio::test]
async fn new_connections_see_a_new_certificate_and_old_ones_live_on() {
    let node = Node::start_with(&["--log-format", "json"], |text| {
        let tls = "[http]\ntls_certificate = 'certificate.pem'\ntls_key = 'key.pem'\n";
        text.replace("[http]\n", tls)
    });
    let first = std::fs::read(node.file("certificate.pem")).unwrap();
    let stream = TcpStream::connect(node.browsers).await.unwrap();
    let stream = within(believing(&first, stream)).await.unwrap();
    let url = "wss://localhost/connect?v=1";
    let opened = within(Box::pin(tokio_tungstenite::client_async(url, stream))).await;
    let (mut browser, _) = opened.unwrap();
    let mut old = mysql_tls(node.mysql, &first).await.unwrap();

    let before = std::fs::read_to_string(node.file("cometql.toml")).unwrap();
    write_pair(node.folder.path());
    let second = std::fs::read(node.file("certificate.pem")).unwrap();
    node.reload_text(&before);

    for (pem, works) in [(&first, false), (&second, true)] {
        let stream = TcpStream::connect(node.browsers).await.unwrap();
        assert_eq!(within(believing(pem, stream)).await.is_ok(), works);
        assert_eq!(mysql_tls(node.mysql, pem).await.is_ok(), works);
    }
    within(browser.send(Message::text(r#"{"id":1,"ping":{}}"#)))
        .await
        .unwrap();
    let pong = within(browser.next()).await.unwrap().unwrap();
    assert!(pong.to_text().unwrap().contains("\"id\":1"), "{pong}");
    // The old MySQL connection goes on where it was: before its log-in. A wrong one is answered.
    old.write_all(&packet(2, b"\x00\x82\0\0\0\0\0\0\x2d"))
        .await
        .unwrap();
    let mut answer = [0; 7];
    within(old.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[4..], *b"\xff\x13\x04", "error 1043");
}
