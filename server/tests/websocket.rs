//! Our protocol over WebSocket, through a whole node.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::time::Duration;

use cometql_engine::shard::inspect::Channels;
use cometql_engine::{Answer, Command, ConnectionId, Disconnect, Draft, MessageId};
use cometql_protocol::{ChannelName, EventName, TenantId};
use cometql_server::app::App;
use common::{Client, HANDSHAKE, Raw, node, publish, published};
use serde_json::json;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn subscribe_publish_unsubscribe() {
    let app = node(|_| {}).await;
    let mut client = Client::connect(&app).await;
    let subscribed = client.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
    assert_eq!(subscribed["id"], 1);
    assert_eq!(subscribed["subscribed"]["channel"], "web_a");

    assert_eq!(
        published(publish(&app, "web_a", "hello").await),
        (Some(1), 1)
    );
    let push = client.json().await;
    assert_eq!(push["push"], "publication");
    assert_eq!(push["data"], "hello");
    assert_eq!((&push["offset"], &push["previous"]), (&json!(1), &json!(0)));

    let unsubscribed = client.ask(r#"{"id":2,"unsubscribe":"web_a"}"#).await;
    assert_eq!(unsubscribed["unsubscribed"]["channel"], "web_a");
    assert_eq!(
        published(publish(&app, "web_a", "late").await),
        (Some(2), 0)
    );
    assert_eq!(
        client.ask(r#"{"id":3,"ping":{}}"#).await,
        json!({"id":3,"pong":{}})
    );
    app.stop().await;
}

/// More connections than a shard writes to at once, and publications that come faster than it writes.
#[tokio::test]
async fn a_crowd_gets_everything_in_order() {
    const TEXTS: usize = 40;
    let app = node(|_| {}).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(&app).await;
        client.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
        clients.push(client);
    }
    let texts: Vec<String> = (0..TEXTS).map(|text| text.to_string()).collect();
    let publishing = texts.iter().map(|text| publish(&app, "web_a", text));
    futures_util::future::join_all(publishing).await;
    for mut client in clients {
        for text in &texts {
            assert_eq!(client.json().await["data"], **text);
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn clients_on_all_shards_get_each_publication_once() {
    const CLIENTS: u64 = 40;
    let app = node(|settings| settings.shards = Some(2)).await;
    let mut clients = Vec::new();
    let mut shards = [0; 2];
    for _ in 0..CLIENTS {
        let mut client = Client::connect(&app).await;
        let connected = client.ask(r#"{"id":1,"connect":{"uuid":"a"}}"#).await;
        let session = connected["connected"]["session"].as_u64().unwrap();
        let shard = ConnectionId::from_number(session).unwrap().shard();
        shards[usize::from(shard.0)] += 1;
        client.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
        clients.push(client);
    }
    assert!(shards[0] > 10 && shards[1] > 10, "uneven: {shards:?}");
    let rows = app.hub().channels(TenantId(0), Channels::All).await;
    assert_eq!(rows.iter().map(|row| row.subscribers).sum::<u64>(), CLIENTS);
    for text in ["one", "two", "three"] {
        assert_eq!(published(publish(&app, "web_a", text).await).1, CLIENTS);
    }
    let own = clients[0].ask(r#"{"id":2,"publish":{"channel":"web_a","data":"four"}}"#);
    assert_eq!(own.await["data"], "one");
    for (index, client) in clients.iter_mut().enumerate() {
        let mut texts = Vec::new();
        let expected: &[&str] = if index == 0 {
            &["two", "three", "four"]
        } else {
            &["one", "two", "three", "four"]
        };
        while texts.len() < expected.len() {
            let push = client.json().await;
            texts.extend(push["data"].as_str().map(str::to_owned));
        }
        assert_eq!(texts, expected);
    }
    app.stop().await;
}

#[tokio::test]
async fn many_commands_are_answered_in_their_order() {
    let app = node(|_| {}).await;
    let command = |number: u128| Command::Publish {
        tenant: TenantId(0),
        channel: ChannelName::parse(&format!("web_{}", number % 7)).unwrap(),
        draft: Draft {
            id: MessageId(number),
            once: false,
            event: EventName::default(),
            data: "x".into(),
            data_is_json: false,
        },
    };
    let answers = app.hub().submit_many((0..70).map(command).collect()).await;
    let offsets: Vec<_> = answers
        .into_iter()
        .map(|answer| published(answer).0)
        .collect();
    let expected: Vec<_> = (0..70).map(|number| Some(number / 7 + 1)).collect();
    assert_eq!(offsets, expected);
    assert_eq!(
        app.hub().submit_many(Vec::new()).await,
        Vec::<Answer>::new()
    );
    app.stop().await;
}

#[tokio::test]
async fn several_requests_in_a_frame_and_a_bad_one_between() {
    let app = node(|_| {}).await;
    let mut client = Client::connect(&app).await;
    let lines = concat!(
        r#"{"id":1,"ping":{}}"#,
        "\n\n",
        r#"{"id":2,"nonsense":{}}"#,
        "\n",
        r#"{"id":3,"subscribe":["web_a","web_b"]}"#
    );
    let first = client.ask(lines).await;
    assert_eq!(first, json!({"id":1,"pong":{}}));
    let second = client.json().await;
    assert_eq!(
        (&second["id"], &second["error"]["code"]),
        (&json!(2), &json!("bad_request"))
    );
    let mut channels = Vec::new();
    for _ in 0..2 {
        let reply = client.json().await;
        assert_eq!(reply["id"], 3);
        channels.push(reply["subscribed"]["channel"].as_str().unwrap().to_owned());
    }
    channels.sort();
    assert_eq!(channels, ["web_a", "web_b"]);
    app.stop().await;
}

#[tokio::test]
async fn requests_that_are_none_end_the_connection_at_last() {
    let app = node(|_| {}).await;
    let mut client = Client::connect(&app).await;
    client.send(&"nonsense\n".repeat(16)).await;
    assert_eq!(client.closed().await, (4100, "bad_protocol".into()));
    app.stop().await;
}

/// Sends bytes and says with which code the server closes.
async fn closes(bytes: &[u8], expected: u16) {
    let app = node(|_| {}).await;
    let mut raw = Raw::connect(&app).await;
    raw.0.write_all(bytes).await.unwrap();
    assert_eq!(raw.close_code().await, expected, "{bytes:02x?}");
    // The server may have stopped waiting for it.
    _ = raw.0.shutdown().await;
    raw.ended().await;
    app.stop().await;
}

#[tokio::test]
async fn malformed_frames() {
    closes(b"\x81\x01a", 1002).await;
    closes(b"\xc1\x80\0\0\0\0", 1002).await;
    closes(b"\x83\x80\0\0\0\0", 1002).await;
    closes(b"\x09\x80\0\0\0\0", 1002).await;
    closes(b"\x89\xfe\x00\x7e\0\0\0\0", 1002).await;
    closes(b"\x80\x80\0\0\0\0", 1002).await;
    closes(b"\x88\x81\0\0\0\0\x03", 1002).await;
    closes(b"\x82\x80\0\0\0\0", 1003).await;
    closes(b"\x81\x81\0\0\0\0\xff", 1007).await;
    closes(b"\x81\xff\0\0\0\0\x7f\0\0\0\0\0\0\0", 1009).await;
    closes(b"\x88\x82\0\0\0\0\x03\xe8", 1000).await;
}

#[tokio::test]
async fn a_ping_is_answered_and_frames_may_come_in_pieces() {
    let app = node(|_| {}).await;
    let mut raw = Raw::connect(&app).await;
    let ping = b"\x89\x82\0\0\0\0hi\x81\x93\0\0\0\0{\"id\":1,\"ping\":{}} ";
    for byte in ping {
        raw.0.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(raw.frame().await, (0x8a, b"hi".to_vec()));
    let (first, payload) = raw.frame().await;
    assert_eq!(
        (first, payload.as_slice()),
        (0x81, br#"{"id":1,"pong":{}}"#.as_slice())
    );
    app.stop().await;
}

/// Whole, with more behind it, with too many fields for the short way, or cut anywhere.
#[tokio::test]
async fn a_handshake_may_come_in_any_pieces() {
    async fn check(app: &App, pieces: &[&[u8]]) {
        let mut raw = Raw::connect_in_pieces(app, pieces).await;
        assert_eq!(raw.frame().await, (0x8a, b"hi".to_vec()), "{pieces:?}");
    }
    const PING: &[u8] = b"\x89\x82\0\0\0\0hi";
    let app = node(|_| {}).await;
    check(&app, &[HANDSHAKE, PING]).await;
    check(&app, &[&[HANDSHAKE, PING].concat()]).await;
    let (first, rest) = HANDSHAKE.split_at(27);
    let fields = "x-field: value\r\n".repeat(40);
    let long = [first, fields.as_bytes(), rest, PING].concat();
    check(&app, &[&long]).await;
    for cut in (1..HANDSHAKE.len()).step_by(7) {
        let (first, rest) = HANDSHAKE.split_at(cut);
        check(&app, &[first, &[rest, PING].concat()]).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_half_open_connection_is_found() {
    let app = node(|settings| settings.http.ping_every = Duration::from_millis(250)).await;
    let mut raw = Raw::connect(&app).await;
    // A client that is gone answers nothing; what the server sends is lost, or read later.
    assert_eq!(raw.frame().await, (0x89, Vec::new()));
    loop {
        let (first, payload) = raw.frame().await;
        if first == 0x88 {
            assert_eq!(payload[..2], 4002_u16.to_be_bytes());
            break;
        }
        assert_eq!(first, 0x89);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_slow_consumer_is_closed_and_disturbs_nobody() {
    let app = node(|settings| {
        settings.limits.outbox_bytes = 64 << 10;
        settings.http.close_wait = Duration::from_secs(60);
    })
    .await;
    let mut slow = Client::connect_slow(&app).await;
    slow.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
    let mut quick = Client::connect(&app).await;
    quick.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
    // Together more than the server's socket buffer may grow to (`tcp_wmem`, 4 MiB) and the outbox.
    let data = "x".repeat(64 << 10);
    for offset in 1..=128 {
        publish(&app, "web_a", &data).await;
        assert_eq!(quick.json().await["offset"], offset);
    }
    assert_eq!(slow.closed().await, (4001, "slow_consumer".into()));
    drop(slow);
    publish(&app, "web_a", "after").await;
    assert_eq!(quick.json().await["data"], "after");
    drop(quick);
    app.stop().await;
}

#[tokio::test]
async fn kill_closes_one_connection() {
    let app = node(|_| {}).await;
    let mut client = Client::connect(&app).await;
    let mut other = Client::connect(&app).await;
    let connected = client.ask(r#"{"id":1,"connect":{}}"#).await;
    let number = connected["connected"]["session"].as_u64().unwrap();
    let connection = ConnectionId::from_number(number).unwrap();
    let tenant = Some(TenantId(0));
    let which = Disconnect::Connection { tenant, connection };
    assert_eq!(app.hub().disconnect(which).await, 1);
    assert_eq!(client.closed().await, (4103, "killed".into()));
    assert_eq!(
        other.ask(r#"{"id":3,"ping":{}}"#).await,
        json!({"id":3,"pong":{}})
    );
    app.stop().await;
}

#[tokio::test]
async fn a_stop_tells_clients_when_to_come_back() {
    let app = node(|settings| settings.http.restart_spread = Duration::from_secs(9)).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(&app).await;
        client.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
        clients.push(client);
    }
    let address = app.http_address();
    let hub = app.hub().clone();
    let stop = tokio::spawn(app.stop());
    for client in &mut clients {
        let (code, reason) = client.closed().await;
        assert_eq!(code, 4000);
        let wait = reason.strip_prefix("restart retry_after_ms=").unwrap();
        assert!(wait.parse::<u64>().unwrap() < 9000);
    }
    drop(clients);
    common::within(stop).await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(hub.channels(TenantId(0), Channels::All).await.is_empty());
}
