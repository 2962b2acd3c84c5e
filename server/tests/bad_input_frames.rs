//! Browsers that send what nobody should, or too much of it: which code they get, while others go on.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::time::Duration;

use cometql_server::app::{App, AppSettings};
use common::{Client, Raw, http, node, publish, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A node and a bystander that is subscribed.
struct Scene {
    app: App,
    bystander: Client,
    told: u64,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut AppSettings)) -> Self {
        let app = node(change).await;
        let mut bystander = Client::connect(&app).await;
        bystander.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
        Self {
            app,
            bystander,
            told: 0,
        }
    }

    /// The bystander gets the next publication, and has missed none.
    async fn goes_on(&mut self) {
        self.told += 1;
        publish(&self.app, "web_a", "x").await;
        assert_eq!(self.bystander.json().await["offset"], self.told);
    }

    async fn end(self) {
        drop(self.bystander);
        within(self.app.stop()).await;
    }
}

/// A masked frame: its first byte, and a payload whose mask is zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut frame = vec![first];
    match u8::try_from(length) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn frames_that_end_the_connection() {
    let ping = br#"{"id":1,"ping":{}}"#;
    let many = |frames: &[Vec<u8>]| frames.concat();
    let big = frame(0x00, &[b' '; 60_000]);
    let cases = [
        ("binary", frame(0x82, ping), 1003),
        ("unmasked", [&[0x81, 18][..], ping].concat(), 1002),
        ("a reserved bit", frame(0xc1, ping), 1002),
        ("a reserved opcode", frame(0x83, ping), 1002),
        ("a reserved control opcode", frame(0x8b, ping), 1002),
        ("a continuation of nothing", frame(0x80, ping), 1002),
        (
            "a message within a message",
            many(&[frame(0x01, b"{"), frame(0x81, ping)]),
            1002,
        ),
        ("a ping in pieces", frame(0x09, b""), 1002),
        ("a ping of 126 bytes", frame(0x89, &[b'x'; 126]), 1002),
        ("a close of one byte", frame(0x88, &[3]), 1002),
        (
            "a close with a reserved code",
            frame(0x88, &1005_u16.to_be_bytes()),
            1002,
        ),
        ("not UTF-8", frame(0x81, b"{\"id\":\xff}"), 1007),
        ("half a character at the end", frame(0x81, b"\xc3"), 1007),
        (
            "not UTF-8 in pieces",
            many(&[frame(0x01, b"\xc3"), frame(0x80, b"(")]),
            1007,
        ),
        (
            "longer than allowed",
            b"\x81\xff\0\0\0\0\0\x20\0\0\0\0\0\0".to_vec(),
            1009,
        ),
        (
            "longer than there are bytes",
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(),
            1009,
        ),
        (
            "too long in pieces",
            many(&[frame(0x01, b"x"), big.clone(), big]),
            1009,
        ),
        (
            "sixteen lines of nonsense",
            frame(0x81, &b"x\n".repeat(16)),
            4100,
        ),
    ];
    let mut scene = Scene::new(|_| {}).await;
    for (what, bytes, code) in cases {
        let mut raw = Raw::connect(&scene.app).await;
        raw.0.write_all(&bytes).await.unwrap();
        let got = loop {
            let (first, payload) = raw.frame().await;
            if first == 0x88 {
                break u16::from_be_bytes([payload[0], payload[1]]);
            }
        };
        assert_eq!(got, code, "{what}");
        // The server may have stopped waiting for it.
        _ = raw.0.shutdown().await;
        raw.ended().await;
        scene.goes_on().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn fragments_are_one_message_and_pings_may_come_between() {
    let mut scene = Scene::new(|_| {}).await;
    let mut raw = Raw::connect(&scene.app).await;
    let pieces = [
        frame(
            0x01,
            b"{\"id\":1,\"publish\":{\"channel\":\"web_a\",\"data\":\"\xc3",
        ),
        frame(0x89, b"?"),
        frame(0x00, b""),
        frame(0x80, b"\xa4\"}}"),
    ];
    raw.0.write_all(&pieces.concat()).await.unwrap();
    assert_eq!(raw.frame().await, (0x8a, b"?".to_vec()));
    let (_, answer) = raw.frame().await;
    assert!(
        answer.starts_with(br#"{"id":1,"published""#),
        "{}",
        answer.escape_ascii()
    );
    let push = scene.bystander.json().await;
    assert_eq!(push["data"], "ä");
    scene.told += 1;
    scene.goes_on().await;
    scene.end().await;
}

#[tokio::test]
async fn requests_that_are_refused_and_nothing_more() {
    let long_name = format!(r#"{{"id":1,"subscribe":"{}"}}"#, "x".repeat(65));
    let long = format!(
        r#"{{"id":1,"publish":{{"channel":"web_a","data":"{}"}}}}"#,
        "x".repeat((64 << 10) + 1)
    );
    let deep = format!(
        r#"{{"id":1,"publish":{{"channel":"web_a","data":{}{}}}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let cases = [
        ("{", "bad_request"),
        ("[1]", "bad_request"),
        (r#"{"id":-1,"ping":{}}"#, "bad_request"),
        (r#"{"id":4294967296,"ping":{}}"#, "bad_request"),
        (r#"{"id":1,"dance":{}}"#, "bad_request"),
        (r#"{"id":1,"subscribe":7}"#, "bad_request"),
        (
            r#"{"id":1,"subscribe":{"channel":"web_b","epoch":"zz","offset":1}}"#,
            "bad_request",
        ),
        (r#"{"id":1,"subscribe":"no spaces"}"#, "bad_name"),
        (&long_name, "bad_name"),
        (&long, "too_large"),
        (r#"{"id":1,"subscribe":"web_3"}"#, "too_many_subscriptions"),
        (
            r#"{"id":1,"connect":{"user":7,"hash":"wrong"}}"#,
            "bad_request",
        ),
        (
            r#"{"id":1,"ack":{"offset":18446744073709551615}}"#,
            "login_required",
        ),
    ];
    let mut scene = Scene::new(|settings| settings.limits.subscriptions = 2).await;
    let mut client = Client::connect(&scene.app).await;
    for channel in ["web_1", "web_2"] {
        client
            .ask(&format!(r#"{{"id":1,"subscribe":"{channel}"}}"#))
            .await;
    }
    for (request, code) in cases {
        let answer = client.ask(request).await;
        assert_eq!(answer["error"]["code"], code, "{answer}: {:.80}", request);
        scene.goes_on().await;
    }
    // Whether this is refused is the parser's choice; that the node lives is not.
    client.ask(&deep).await;
    let history = r#"{"id":2,"history":{"channel":"web_1","epoch":"0000000000000000","offset":18446744073709551615}}"#;
    assert_eq!(client.ask(history).await["id"], 2);
    drop(client);
    scene.end().await;
}

#[tokio::test]
async fn a_wrong_log_in_leaves_the_session_anonymous() {
    let mut scene = Scene::new(|_| {}).await;
    for connect in [
        r#""user":7,"hash":"wrong""#,
        r#""token":"a.b.c""#,
        r#""token":"""#,
    ] {
        let mut client = Client::connect(&scene.app).await;
        let answer = client
            .ask(&format!(r#"{{"id":1,"connect":{{{connect}}}}}"#))
            .await;
        assert_eq!(answer["error"]["code"], "unauthorized", "{answer}");
        let answer = client.ask(r#"{"id":2,"subscribe":"private_a"}"#).await;
        assert_eq!(answer["error"]["code"], "login_required", "{answer}");
    }
    scene.goes_on().await;
    scene.end().await;
}

#[tokio::test]
async fn too_many_connections() {
    let mut scene = Scene::new(|settings| settings.http.capacity = Some(2)).await;
    let second = Client::connect(&scene.app).await;
    let request = "GET /connect?v=1 HTTP/1.1\nupgrade: websocket\nsec-websocket-version: 13";
    let answer = http(scene.app.http_address(), request).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"),
        "{answer}"
    );
    scene.goes_on().await;
    drop(second);
    scene.end().await;
}

#[tokio::test]
async fn requests_that_are_no_http() {
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40 << 10));
    let cases: [(&[u8], &[u8]); 5] = [
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"HTTP/1.1 400",
        ),
        (b"GET\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", b""),
        (
            b"GET /connect?v=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            b"HTTP/1.1 426",
        ),
        (long.as_bytes(), b"HTTP/1.1 431"),
    ];
    let mut scene = Scene::new(|_| {}).await;
    for (bytes, expected) in cases {
        let mut stream = TcpStream::connect(scene.app.http_address()).await.unwrap();
        // The server may have closed before it has read all.
        _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        _ = within(stream.read_to_end(&mut answer)).await;
        let head = bytes[..bytes.len().min(40)].escape_ascii();
        assert!(
            answer.starts_with(expected),
            "{head}: {}",
            answer.escape_ascii()
        );
        scene.goes_on().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn slow_heads_end_and_hold_nobody_up() {
    let mut scene = Scene::new(|s| s.http.head_timeout = Duration::from_millis(100)).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(scene.app.http_address()).await.unwrap();
        // The time may be over before this is written.
        _ = stream.write_all(b"GET /health HTTP/1.1\r\nx").await;
        slow.push(stream);
    }
    scene.goes_on().await;
    for mut stream in slow {
        let mut answer = Vec::new();
        _ = within(stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    scene.goes_on().await;
    scene.end().await;
}

#[tokio::test]
async fn who_answers_no_ping_goes_and_who_does_stays() {
    // Whoever lives has so long to answer.
    let mut scene = Scene::new(|s| s.http.ping_every = Duration::from_secs(3)).await;
    let mut dead = Raw::connect(&scene.app).await;
    let code = async {
        loop {
            let (first, payload) = dead.frame().await;
            if first == 0x88 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    };
    // The bystander reads meanwhile, and so answers pings.
    let lives = async {
        loop {
            scene.bystander.next().await;
        }
    };
    tokio::select! {
        code = code => assert_eq!(code, 4002),
        () = lives => unreachable!("it has no end"),
    }
    scene.goes_on().await;
    scene.end().await;
}
