//! The browser port beside WebSocket: health, files, limits, server-sent events, TLS, and the original's protocol.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cometql_server::http::Origins;
use cometql_server::net::Tls;
use common::{Client, Events, http, node, publish, published, within};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn small_answers() {
    let app = node(|settings| settings.http.node = "berlin".into()).await;
    #[track_caller]
    fn check(answer: &str, status: &str, part: &str) {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains(part), "{answer}");
    }
    let ask = |request: &'static str| http(app.http_address(), request);
    check(
        &ask("GET /health HTTP/1.1").await,
        "200",
        r#"{"live":true,"ready":true}"#,
    );
    check(&ask("GET /health?ready HTTP/1.1").await, "200", "ready");
    check(
        &ask("GET /info HTTP/1.1").await,
        "200",
        r#"{"status":"ok","node":"berlin____"}"#,
    );
    check(&ask("GET /nothing HTTP/1.1").await, "404", "not found");
    check(&ask("POST /health HTTP/1.1").await, "405", "allow: GET");
    check(
        &ask("GET /connect?v=1 HTTP/1.1").await,
        "426",
        "upgrade: websocket",
    );
    check(
        &ask("OPTIONS /sse HTTP/1.1\norigin: https://a.example").await,
        "204",
        "last-event-id",
    );
    check(
        &ask("GET /health HTTP/1.1\norigin: https://a.example").await,
        "200",
        "access-control-allow-origin: *",
    );
    check(&ask("GET /sse HTTP/1.1").await, "400", "version 1");
    check(
        &ask("GET /sse?v=1&token=x HTTP/1.1").await,
        "400",
        "tokens do not belong into URLs",
    );
    check(
        &ask("POST /session/1.2 HTTP/1.1\n\n{}").await,
        "404",
        "no such session",
    );
    let upgrade = "\nupgrade: websocket\nsec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let second = ask_with(&app, &format!("GET /connect?v=2 HTTP/1.1{upgrade}")).await;
    check(&second, "400", "connect with ?v=1");
    app.stop().await;
}

/// Like `http`, for a request that asks for an upgrade and is refused.
async fn ask_with(app: &cometql_server::app::App, request: &str) -> String {
    let mut stream = TcpStream::connect(app.http_address()).await.unwrap();
    let request =
        format!("{request}\nhost: test\nconnection: upgrade, close\n\n").replace('\n', "\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = within(stream.read(&mut answer)).await.unwrap();
    String::from_utf8(answer[..read].to_vec()).unwrap()
}

#[tokio::test]
async fn foreign_pages_are_refused_where_origins_are_listed() {
    let listed = Origins::from_list(vec!["https://a.example".into()]);
    let app = node(|settings| settings.http.origins = listed).await;
    let foreign = http(
        app.http_address(),
        "GET /connect?v=1 HTTP/1.1\norigin: https://b.example",
    )
    .await;
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    assert!(
        !foreign.contains("access-control-allow-origin"),
        "{foreign}"
    );
    let ours = http(
        app.http_address(),
        "GET /health HTTP/1.1\norigin: https://a.example",
    )
    .await;
    assert!(
        ours.contains("access-control-allow-origin: https://a.example"),
        "{ours}"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_full_node_says_so() {
    let app = node(|settings| settings.http.capacity = Some(1)).await;
    let client = Client::connect(&app).await;
    let refused = http(app.http_address(), "GET /connect?v=1 HTTP/1.1").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 5"), "{refused}");
    let live = http(app.http_address(), "GET /health HTTP/1.1").await;
    assert!(live.starts_with("HTTP/1.1 200"), "{live}");
    let ready = http(app.http_address(), "GET /health?ready HTTP/1.1").await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    drop(client);
    app.stop().await;
}

#[tokio::test]
async fn a_slow_head_ends_the_connection() {
    let app = node(|settings| settings.http.head_timeout = Duration::from_millis(100)).await;
    let mut stream = TcpStream::connect(app.http_address()).await.unwrap();
    // The time may be over before this is written: then it ends with a reset.
    _ = stream.write_all(b"GET /health HTTP/1.1\r\nhost:").await;
    let mut answer = Vec::new();
    _ = within(stream.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    app.stop().await;
}

#[tokio::test]
async fn files_of_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("secret");
    std::fs::write(&outside, "secret").unwrap();
    let root = folder.path().join("public");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(root.join("index.html"), "<p>hi").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
    let app = node(|settings| settings.http.files = Some(root)).await;
    let ask = |request: String| {
        let address = app.http_address();
        async move { http(address, &request).await }
    };
    let page = ask("GET / HTTP/1.1".into()).await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("content-type: text/html; charset=utf-8") && page.ends_with("<p>hi"),
        "{page}"
    );
    let head = ask("HEAD /index.html HTTP/1.1".into()).await;
    assert!(
        head.contains("content-length: 5") && !head.contains("<p>"),
        "{head}"
    );
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let same = ask(format!("GET / HTTP/1.1\nif-none-match: {tag}")).await;
    assert!(same.starts_with("HTTP/1.1 304"), "{same}");
    let sub = ask("GET /sub HTTP/1.1".into()).await;
    assert!(
        sub.starts_with("HTTP/1.1 308") && sub.contains("location: /sub/"),
        "{sub}"
    );
    for path in ["/link", "/../secret", "/%2e%2e/secret", "/sub/", "/none"] {
        let answer = ask(format!("GET {path} HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    app.stop().await;
}

/// The place of who does not read is free again, and what it did not read by then never comes.
#[tokio::test]
async fn who_never_reads_a_file_is_left() {
    const LENGTH: u64 = 256 << 20;
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("large")).unwrap();
    file.set_len(LENGTH).unwrap();
    let app = node(|settings| {
        settings.http.files = Some(folder.path().to_owned());
        settings.http.capacity = Some(1);
        settings.http.write_timeout = Duration::from_millis(100);
    })
    .await;
    let mut stream = TcpStream::connect(app.http_address()).await.unwrap();
    let request = b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // It has its place once it is answered. Another shard may take the next connection before this one was taken.
    within(stream.read_u8()).await.unwrap();
    let free = async {
        let ready = "GET /health?ready HTTP/1.1";
        while !http(app.http_address(), ready)
            .await
            .starts_with("HTTP/1.1 200")
        {}
    };
    within(free).await;
    let mut read = 1;
    let mut piece = vec![0; 1 << 20];
    while let Ok(more @ 1..) = within(stream.read(&mut piece)).await {
        read += more as u64;
    }
    assert!(read < LENGTH, "all of it came");
    app.stop().await;
}

#[tokio::test]
async fn a_session_over_events_and_posts() {
    let app = node(|_| {}).await;
    let mut events = Events::open(&app, "/sse?v=1&channels=web_a", "").await;
    let session = events.session().await;
    let subscribed: Value = serde_json::from_str(&events.next().await.data).unwrap();
    assert_eq!(subscribed["subscribed"]["channel"], "web_a");

    let lines = "{\"id\":5,\"subscribe\":\"web_b\"}\n{\"id\":6,\"publish\":{\"channel\":\"web_a\",\"data\":\"hi\"}}";
    let accepted = http(
        app.http_address(),
        &format!("POST /session/{session} HTTP/1.1\n\n{lines}"),
    )
    .await;
    assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let event: Value = serde_json::from_str(&events.next().await.data).unwrap();
        ids.push((
            event["id"].clone(),
            event["data"].clone(),
            event["request"].clone(),
        ));
    }
    assert!(
        ids.contains(&(json!(5), Value::Null, Value::Null)),
        "{ids:?}"
    );
    assert!(
        ids.contains(&(json!(6), Value::Null, Value::Null)),
        "{ids:?}"
    );
    assert!(
        ids.contains(&(Value::Null, json!("hi"), json!(6))),
        "{ids:?}"
    );

    let (id, _) = session.split_once('.').unwrap();
    let guessed = http(
        app.http_address(),
        &format!("POST /session/{id}.0 HTTP/1.1\n\n{lines}"),
    )
    .await;
    assert!(guessed.starts_with("HTTP/1.1 404"), "{guessed}");
    let large = "x".repeat(200 << 10);
    let refused = http(
        app.http_address(),
        &format!("POST /session/{session} HTTP/1.1\n\n{large}"),
    )
    .await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    app.stop().await;
}

#[tokio::test]
async fn an_event_stream_resumes_where_it_was() {
    let app = node(|_| {}).await;
    let path = "/sse?v=1&channels=web_a,web_b";
    let mut events = Events::open(&app, path, "").await;
    events.session().await;
    events.next().await;
    let subscribed = events.next().await;
    assert!(subscribed.id.contains("-0,"), "{subscribed:?}");
    publish(&app, "web_a", "one").await;
    let last = events.next().await;
    assert!(last.data.contains("one"), "{last:?}");
    drop(events);
    publish(&app, "web_b", "two").await;
    publish(&app, "web_a", "three").await;

    let mut again = Events::open(&app, path, &format!("last-event-id: {}\r\n", last.id)).await;
    again.session().await;
    let mut texts = Vec::new();
    let mut recovered = 0;
    while texts.len() < 2 {
        let event: Value = serde_json::from_str(&again.next().await.data).unwrap();
        recovered += u8::from(event["subscribed"]["recovered"] == true);
        texts.extend(event["data"].as_str().map(str::to_owned));
    }
    texts.sort();
    assert_eq!((recovered, texts), (2, vec!["three".into(), "two".into()]));
    app.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_a_reason() {
    let app = node(|_| {}).await;
    let mut events = Events::open(&app, "/sse?v=1", "").await;
    events.session().await;
    let stop = tokio::spawn(app.stop());
    let last = events.next().await;
    assert_eq!(last.kind, "close");
    assert!(
        last.data.contains("\"code\":4000") && last.data.contains("retry_after_ms="),
        "{last:?}"
    );
    within(stop).await.unwrap();
}

#[tokio::test]
async fn tls_carries_everything() {
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
    let app = node(|settings| settings.http.tls = Some(Arc::new(tls))).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(app.http_address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = within(connector.connect(name, stream)).await.unwrap();
    let (mut socket, _) = within(Box::pin(tokio_tungstenite::client_async(
        "wss://localhost/connect?v=1",
        stream,
    )))
    .await
    .unwrap();
    let subscribe = Message::text(r#"{"id":1,"subscribe":"web_a"}"#);
    within(socket.send(subscribe)).await.unwrap();
    let subscribed = within(socket.next()).await.unwrap().unwrap();
    assert!(subscribed.to_text().unwrap().contains("subscribed"));
    assert_eq!(published(publish(&app, "web_a", "secret").await).1, 1);
    let push = within(socket.next()).await.unwrap().unwrap();
    assert!(push.to_text().unwrap().contains("secret"));
    within(socket.close(None)).await.unwrap();
    let echo = within(socket.next()).await.unwrap().unwrap();
    assert!(echo.is_close(), "{echo:?}");
    app.stop().await;
}

#[tokio::test]
async fn pages_of_the_original() {
    let app = node(|_| {}).await;
    let path = "/comet-server/ws/sesion=&myid=0&devid=0&v=4.09&uuid=abc&api=js";
    let mut client = Client::at(app.http_address(), path).await;
    let info = client.json().await;
    assert_eq!(
        (&info["event"], &info["authorized"]),
        (&json!("serverInfo"), &json!(false))
    );
    client.send("subscription\nweb_t1").await;
    // Nothing tells when that is in force.
    let count = async {
        client.send("pipe_count\nweb_t1\nMARK").await;
        while client.json().await["data"]["user_in_pipe"] != 1 {
            client.send("pipe_count\nweb_t1\nMARK").await;
        }
    };
    within(count).await;
    assert_eq!(published(publish(&app, "web_t1", "m0").await).1, 1);
    let push = client.json().await;
    assert_eq!(
        (&push["pipe"], &push["data"]),
        (&json!("web_t1"), &json!("m0"))
    );
    // A clean close would keep the original's clients away for ever: TCP is dropped instead.
    within(client.0.close(None)).await.unwrap();
    let end = within(client.0.next()).await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    let refused = Client::at(app.http_address(), "/ws/nonsense")
        .await
        .json()
        .await;
    assert_eq!(
        (&refused["pipe"], &refused["data"]["error_code"]),
        (&json!("sys"), &json!(401))
    );
    app.stop().await;
}
