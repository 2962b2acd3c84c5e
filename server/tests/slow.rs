//! Clients that do not read: channels that conflate keep the newest for them, and the node's budget closes the fullest.
//! Nobody else notices.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cometql_engine::Rules;
use cometql_engine::permission::{Conflate, Pattern, Rule, UserDataRule};
use cometql_engine::{Answer, Command, Draft, MessageId};
use cometql_protocol::{ChannelName, EventName, TenantId};
use cometql_server::app::App;
use cometql_server::net::Tls;
use common::{Client, Events, node, publish, published, within};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;

/// Bytes of a publication.
const SIZE: usize = 64 << 10;
/// So many are more than the server's socket buffer may grow to (`tcp_wmem`, 4 MiB), hyper's buffer and an outbox.
const MANY: u64 = 128;

/// Two kinds of channels that conflate, small outboxes, and patience with those who do not read.
async fn start(change: impl FnOnce(&mut cometql_server::app::AppSettings)) -> App {
    let rule = |prefix: &str, conflate| Rule {
        conflate: Some(Some(conflate)),
        ..Rule::new("test", Pattern::Prefix(prefix.into()))
    };
    let rules = vec![
        rule("web_last", Conflate::Channel),
        rule("web_each", Conflate::Event),
    ];
    node(|settings| {
        // The answer to a publication tells that the one before it is on its way.
        settings.shards = Some(1);
        settings.rules = Arc::new(Rules::new(rules, UserDataRule::Anyone));
        settings.limits.outbox_bytes = 512 << 10;
        settings.http.close_wait = Duration::from_secs(60);
        change(settings);
    })
    .await
}

/// All publications, several of them before anything is sent.
async fn publish_batches(app: &App) {
    let data = "x".repeat(SIZE);
    for _ in 0..MANY / 16 {
        let commands = (0..16).map(|_| command("web_last", "", &data));
        for answer in within(app.hub().submit_many(commands.collect())).await {
            published(answer);
        }
    }
}

fn command(channel: &str, event: &str, data: &str) -> Command {
    let draft = Draft {
        id: MessageId(7),
        event: EventName::parse(event).unwrap(),
        data: data.into(),
        data_is_json: false,
        once: false,
    };
    Command::Publish {
        tenant: TenantId(0),
        channel: ChannelName::parse(channel).unwrap(),
        draft,
    }
}

/// What a client that stayed in a channel has to see: an unbroken chain of rising offsets.
#[derive(Default)]
struct Chain {
    last: u64,
    seen: u64,
}

impl Chain {
    #[track_caller]
    fn see(&mut self, push: &Value) {
        let number = |field: &str| push[field].as_u64().unwrap();
        assert_eq!(number("previous"), self.last, "{}", push["offset"]);
        assert!(number("offset") > self.last);
        self.last = number("offset");
        self.seen += 1;
    }
}

#[tokio::test]
async fn the_newest_waits_and_nothing_seems_missing() {
    let app = start(|_| {}).await;
    let mut slow = Client::connect_slow(&app).await;
    slow.ask(r#"{"id":1,"subscribe":"web_last"}"#).await;
    let mut quick = Client::connect(&app).await;
    quick.ask(r#"{"id":1,"subscribe":"web_last"}"#).await;
    let data = "x".repeat(SIZE);
    for offset in 1..=MANY {
        publish(&app, "web_last", &data).await;
        let push = quick.json().await;
        assert_eq!(
            (&push["offset"], &push["previous"]),
            (&json!(offset), &json!(offset - 1))
        );
    }
    let mut chain = Chain::default();
    while chain.last < MANY {
        chain.see(&slow.json().await);
    }
    assert!(chain.seen < MANY, "all {MANY} were sent");
    // As before: nothing is held back.
    publish(&app, "web_last", "after").await;
    chain.see(&slow.json().await);
    assert_eq!(chain.last, MANY + 1);
    drop((slow, quick));
    app.stop().await;
}

#[tokio::test]
async fn each_event_has_its_newest() {
    let app = start(|_| {}).await;
    let mut slow = Client::connect_slow(&app).await;
    slow.ask(r#"{"id":1,"subscribe":"web_each"}"#).await;
    let data = "x".repeat(SIZE);
    for number in 0..MANY {
        let event = ["low", "high", "seldom"][usize::try_from(number % 3).unwrap()];
        within(app.hub().submit(command("web_each", event, &data))).await;
    }
    within(app.hub().submit(command("web_each", "seldom", "end"))).await;
    let mut chain = Chain::default();
    let mut newest = Vec::new();
    while chain.last < MANY + 1 {
        let push = slow.json().await;
        chain.see(&push);
        newest.push(push["event"].as_str().unwrap().to_owned());
    }
    assert!(chain.seen < MANY);
    let mut last: Vec<_> = newest.split_off(newest.len() - 3);
    last.sort();
    assert_eq!(last, ["high", "low", "seldom"]);
    drop(slow);
    app.stop().await;
}

#[tokio::test]
async fn order_outlasts_a_full_socket() {
    let app = start(|_| {}).await;
    let mut slow = Client::connect_slow(&app).await;
    slow.ask(r#"{"id":1,"subscribe":"web_last"}"#).await;
    let data = "x".repeat(SIZE);
    for _ in 0..MANY {
        publish(&app, "web_last", &data).await;
    }
    // It leaves and comes back while nothing can be sent to it; then it missed all that came between.
    slow.send(r#"{"id":2,"unsubscribe":"web_last"}"#).await;
    while published(publish(&app, "web_last", "nobody").await).1 > 0 {}
    slow.send(r#"{"id":3,"subscribe":"web_last"}"#).await;
    let mut last = 0;
    while published(publish(&app, "web_last", "back").await).1 == 0 {}
    for _ in 0..10 {
        last = published(publish(&app, "web_last", "last").await)
            .0
            .unwrap();
    }
    let mut chain = Chain::default();
    let left = loop {
        let message = slow.json().await;
        if message["id"] == 2 {
            break message;
        }
        chain.see(&message);
    };
    assert_eq!(left["unsubscribed"]["channel"], "web_last");
    assert!(chain.last >= MANY, "{}", chain.last);
    let back = slow.json().await;
    assert_eq!(back["id"], 3, "{back}");
    chain.last = back["subscribed"]["offset"].as_u64().unwrap();
    while chain.last < last {
        chain.see(&slow.json().await);
    }
    drop(slow);
    app.stop().await;
}

#[tokio::test]
async fn streams_conflate_too() {
    let app = start(|_| {}).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(app.http_address()).await.unwrap();
    let path = "/sse?v=1&channels=web_last";
    let mut slow = Events::over(stream, path, "").await;
    slow.session().await;
    assert!(slow.next().await.data.contains("subscribed"));
    publish_batches(&app).await;
    let mut chain = Chain::default();
    while chain.last < MANY {
        let event = slow.next().await;
        let push: Value = serde_json::from_str(&event.data).unwrap();
        chain.see(&push);
        assert!(
            event.id.ends_with(&format!("-{}", chain.last)),
            "{}",
            event.id
        );
    }
    assert!(chain.seen < MANY);
    drop(slow);
    app.stop().await;
}

#[tokio::test]
async fn tls_conflates_too() {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let mut files = [
        tempfile::NamedTempFile::new().unwrap(),
        tempfile::NamedTempFile::new().unwrap(),
    ];
    files[0].write_all(made.cert.pem().as_bytes()).unwrap();
    files[1]
        .write_all(made.signing_key.serialize_pem().as_bytes())
        .unwrap();
    let tls = Tls::load(files[0].path(), files[1].path(), &["http/1.1"]).unwrap();
    let app = start(|settings| settings.http.tls = Some(Arc::new(tls))).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(app.http_address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = within(connector.connect(name, stream)).await.unwrap();
    let url = "wss://localhost/connect?v=1";
    let (mut slow, _) = within(Box::pin(tokio_tungstenite::client_async(url, stream)))
        .await
        .unwrap();
    let subscribe = Message::text(r#"{"id":1,"subscribe":"web_last"}"#);
    within(slow.send(subscribe)).await.unwrap();
    let subscribed = within(slow.next()).await.unwrap().unwrap();
    assert!(subscribed.to_text().unwrap().contains("subscribed"));
    publish_batches(&app).await;
    let mut chain = Chain::default();
    while chain.last < MANY {
        let message = within(slow.next()).await.unwrap().unwrap();
        if message.is_text() {
            chain.see(&serde_json::from_str(message.to_text().unwrap()).unwrap());
        }
    }
    assert!(chain.seen < MANY);
    drop(slow);
    app.stop().await;
}

#[tokio::test]
async fn the_fullest_makes_room_for_the_node() {
    let app = start(|settings| {
        settings.limits.outbox_bytes = 64 << 20;
        settings.limits.outbox_bytes_per_node = 12 << 20;
    })
    .await;
    let mut fat = Client::connect_slow(&app).await;
    fat.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
    fat.ask(r#"{"id":1,"subscribe":"web_b"}"#).await;
    let mut thin = Client::connect_slow(&app).await;
    thin.ask(r#"{"id":1,"subscribe":"web_b"}"#).await;
    let data = "x".repeat(16 << 10);
    // 12 MiB for one of them, of which its sockets take some; then for both, until it is too much.
    for _ in 0..768 {
        publish(&app, "web_a", &data).await;
    }
    assert_eq!(app.metrics().relieved_total(), 0);
    let mut sent = 0;
    while app.metrics().relieved_total() == 0 {
        publish(&app, "web_b", &data).await;
        sent += 1;
    }
    assert_eq!(app.metrics().relieved_total(), 1);
    let waiting = app.hub().waiting().await;
    let bytes: u64 = waiting.iter().map(|shard| shard.bytes).sum();
    assert!(bytes <= 12 << 20, "{waiting:?}");
    assert_eq!(fat.closed().await, (4001, "slow_consumer".into()));
    // The other one has lost nothing.
    let mut chain = Chain::default();
    while chain.seen < sent {
        chain.see(&thin.json().await);
    }
    match publish(&app, "web_b", "after").await {
        Answer::Published { .. } => chain.see(&thin.json().await),
        other => panic!("{other:?}"),
    }
    drop((fat, thin));
    app.stop().await;
}
