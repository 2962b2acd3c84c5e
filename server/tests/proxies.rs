//! Who a client is when proxies stand between: what they say is believed where the configuration says so, and nowhere else.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::net::SocketAddr;

use cometql_server::app::AppSettings;
use cometql_server::net::Network;
use common::backend::{KEY, World, raw_over, read_packet};
use common::{Client, Events, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 3307\r\n";
const V1_OF_6: &[u8] = b"PROXY TCP6 2001:db8::1 ::1 5000 3307\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x13\x88\x0c\xeb";
/// What a proxy sends with its own health checks.
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

fn networks(text: &str) -> Vec<Network> {
    vec![text.parse().unwrap()]
}

async fn after(header: &[u8], address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(header).await.unwrap();
    stream
}

/// What comes up to the end of the connection.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end too.
    _ = within(stream.read_to_end(&mut rest)).await;
    rest
}

#[tokio::test]
async fn a_proxy_names_browsers() {
    let mut world = World::start(|settings| {
        settings.http.proxy_protocol_from = networks("127.0.0.0/8");
    })
    .await;
    let address = world.app.http_address();
    for (header, expected) in [
        (V1, "192.0.2.1"),
        (V1_OF_6, "2001:db8::1"),
        (V2, "192.0.2.1"),
        (V2_LOCAL, "127.0.0.1"),
    ] {
        let stream = after(header, address).await;
        let mut browser = Client::over(stream, "/connect?v=1").await;
        browser.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
        let select = "SELECT ip FROM users_in_pipes WHERE name = 'web_a' ORDER BY ip";
        let seen = common::backend::rows(&mut world.backend, select, ()).await;
        assert!(seen.split(" | ").any(|seen| seen == expected), "{seen}");
        browser.ask(r#"{"id":2,"unsubscribe":"web_a"}"#).await;
    }
    let without = after(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n", address).await;
    assert_eq!(
        rest(without).await,
        b"",
        "a proxy must say for whom it speaks"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_proxy_names_backends() {
    let trusting = |settings: &mut AppSettings| {
        let mysql = settings.backends.mysql.as_mut().unwrap();
        // The world's own backend comes from 127.0.0.1.
        mysql.proxies = networks("127.0.0.2/32");
    };
    let mut world = World::start(trusting).await;
    let address = world.app.mysql_address().unwrap();
    let from_proxy = || async move {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(address).await.unwrap()
    };
    for (header, expected) in [
        (V1, "192.0.2.1:5000"),
        (V1_OF_6, "[2001:db8::1]:5000"),
        (V2, "192.0.2.1:5000"),
        (V2_LOCAL, "127.0.0.2:"),
    ] {
        let mut stream = from_proxy().await;
        stream.write_all(header).await.unwrap();
        let backend = raw_over(stream, KEY).await;
        let rows: Vec<mysql_async::Row> = {
            use mysql_async::prelude::Queryable;
            within(world.backend.query("SHOW PROCESSLIST"))
                .await
                .unwrap()
        };
        let hosts: Vec<String> = rows.iter().map(|row| row.get("Host").unwrap()).collect();
        assert!(
            hosts.iter().any(|host| host.starts_with(expected)),
            "{hosts:?}"
        );
        drop(backend);
    }
    let mut without = from_proxy().await;
    without.write_all(b"\x01\0\0\x01\0").await.unwrap();
    without.shutdown().await.unwrap();
    assert_eq!(rest(without).await, b"", "not even a greeting");
    world.stop().await;
}

#[tokio::test]
async fn strangers_name_nobody() {
    let mut world = World::start(|settings| {
        settings.http.proxy_protocol_from = networks("10.0.0.0/8");
        settings.backends.mysql.as_mut().unwrap().proxies = networks("10.0.0.0/8");
    })
    .await;
    for header in [V1, V2] {
        let request = [header, b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
        let answer = rest(after(&request, world.app.http_address()).await).await;
        let answer = answer.escape_ascii().to_string();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
        let mut backend = after(header, world.app.mysql_address().unwrap()).await;
        read_packet(&mut backend).await;
        let (_, refused) = read_packet(&mut backend).await;
        assert_eq!(refused[0], 0xff, "{refused:?}");
        assert_eq!(rest(backend).await, b"");
    }
    world.check("SELECT 1", "1").await;
    world.stop().await;
}

#[tokio::test]
async fn x_forwarded_for_counts_from_configured_proxies_only() {
    for (believed, header, expected) in [
        ("10.0.0.0/8", "192.0.2.1", "127.0.0.1"),
        ("127.0.0.0/8", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.0/8", "203.0.113.9, 192.0.2.1", "192.0.2.1"),
        ("127.0.0.0/8", "192.0.2.1, 127.0.0.7", "192.0.2.1"),
        ("127.0.0.0/8", "nonsense", "127.0.0.1"),
    ] {
        let mut world = World::start(|settings| {
            settings.http.forwarded_from = networks(believed);
        })
        .await;
        let headers = format!("x-forwarded-for: {header}\r\n");
        let mut events = Events::open(&world.app, "/sse?v=1&channels=web_a", &headers).await;
        events.session().await;
        events.next().await;
        let select = "SELECT ip FROM users_in_pipes WHERE name = 'web_a'";
        world.check(select, expected).await;
        world.stop().await;
    }
}
