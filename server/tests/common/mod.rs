//! A whole node on a free port, and the plainest clients.

#![expect(
    dead_code,
    reason = "each test file uses the part of this that it needs"
)]
#![expect(clippy::unwrap_used, reason = "these are the tests' own helpers")]

pub(crate) mod backend;
pub(crate) mod binary;
pub(crate) mod certificate;
pub(crate) mod nats;

use std::net::SocketAddr;
use std::time::Duration;

use cometql_engine::{Answer, Command, Draft, MessageId};
use cometql_protocol::{ChannelName, EventName, TenantId};
use cometql_server::app::{App, AppSettings};
use cometql_server::storage::Store;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// So long a test waits for what must come before it fails. Nothing waits for its end that works, on however slow a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must come.
#[track_caller]
pub(crate) fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        let result = tokio::time::timeout(PATIENCE, future).await;
        result.unwrap_or_else(|_| panic!("nothing came at {place}"))
    }
}

/// Says that something could not be tried here. Where nothing may be skipped, that is a failure.
#[expect(
    clippy::print_stderr,
    reason = "who reads the tests' output has to know"
)]
pub(crate) fn skipped(what: &str, why: &str) {
    let required = std::env::var("COMETQL_CI_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "{what}: {why} (and nothing may be skipped here)");
    eprintln!("skipped: {what}: {why}");
}

/// A node with two shards and a store in memory.
pub(crate) async fn node(change: impl FnOnce(&mut AppSettings)) -> App {
    let mut settings = AppSettings::new(Store::in_memory());
    settings.shards = Some(2);
    // Most tests stop the node while clients are connected and read no more.
    settings.http.close_wait = Duration::from_millis(200);
    change(&mut settings);
    App::start(settings).await.unwrap()
}

/// Publishes as a backend does.
pub(crate) async fn publish(app: &App, channel: &str, data: &str) -> Answer {
    let draft = Draft {
        id: MessageId(7),
        once: false,
        event: EventName::default(),
        data: data.into(),
        data_is_json: false,
    };
    let command = Command::Publish {
        tenant: TenantId(0),
        channel: ChannelName::parse(channel).unwrap(),
        draft,
    };
    within(app.hub().submit(command)).await
}

/// A browser.
pub(crate) struct Client(pub(crate) WebSocketStream<TcpStream>);

impl Client {
    /// Connects with our protocol.
    pub(crate) async fn connect(app: &App) -> Self {
        Self::at(app.http_address(), "/connect?v=1").await
    }

    /// Connects with a small buffer for what it does not read.
    pub(crate) async fn connect_slow(app: &App) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let stream = socket.connect(app.http_address()).await.unwrap();
        Self::over(stream, "/connect?v=1").await
    }

    /// Connects somewhere.
    pub(crate) async fn at(address: SocketAddr, path: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), path).await
    }

    /// Connects over a stream.
    pub(crate) async fn over(stream: TcpStream, path: &str) -> Self {
        let url = format!("ws://{}{path}", stream.peer_addr().unwrap());
        let (socket, _) = within(tokio_tungstenite::client_async(url, stream))
            .await
            .unwrap();
        Self(socket)
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, text: &str) {
        within(self.0.send(Message::text(text))).await.unwrap();
    }

    /// The next message that is no ping.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Message> {
        let next = async {
            loop {
                let message = self.0.next().await.expect("the connection goes on");
                let message = message.unwrap();
                if !message.is_ping() && !message.is_pong() {
                    return message;
                }
            }
        };
        within(next)
    }

    /// The next text message, as JSON.
    #[track_caller]
    pub(crate) fn json(&mut self) -> impl Future<Output = Value> {
        let next = self.next();
        async move {
            let message = next.await;
            let text = message.to_text().unwrap();
            serde_json::from_str(text).unwrap_or_else(|_| panic!("{message:?} is no JSON"))
        }
    }

    /// Sends a request and returns what comes next.
    pub(crate) async fn ask(&mut self, request: &str) -> Value {
        self.send(request).await;
        self.json().await
    }

    /// The code and reason of the close frame that comes, after whatever comes before it.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next().await {
                let frame = frame.expect("the server gives a reason");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

/// Sends one HTTP request and returns the whole answer, up to the end of the connection.
pub(crate) async fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let head = head.trim_start().replace('\n', "\r\n");
    let request = format!(
        "{head}\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // Who refuses it for its head answers and closes before all of it was read: then writing fails, and reading after the answer.
    _ = within(stream.write_all(request.as_bytes())).await;
    let mut answer = Vec::new();
    _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

/// What a browser asks for, without what most of them add.
pub(crate) const HANDSHAKE: &[u8] =
    b"GET /connect?v=1 HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A WebSocket connection of bare bytes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Connects and shakes hands.
    pub(crate) async fn connect(app: &App) -> Self {
        Self::connect_in_pieces(app, &[HANDSHAKE]).await
    }

    /// Connects and sends these pieces, which begin with a handshake.
    pub(crate) async fn connect_in_pieces(app: &App, pieces: &[&[u8]]) -> Self {
        let mut stream = TcpStream::connect(app.http_address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece).await.unwrap();
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(stream.read_u8()).await.unwrap());
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101 "),
            "{}",
            head.escape_ascii()
        );
        Self(stream)
    }

    /// Sends a text frame.
    pub(crate) async fn text(&mut self, text: &str) {
        let len = u8::try_from(text.len()).expect("a short text");
        assert!(len < 126);
        // A mask of zeros changes nothing.
        let mut frame = vec![0x81, 0x80 | len, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next frame, of less than 64 KiB: its first byte and its payload.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        let first = within(self.0.read_u8()).await.unwrap();
        let len = match within(self.0.read_u8()).await.unwrap() {
            126 => usize::from(within(self.0.read_u16()).await.unwrap()),
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        within(self.0.read_exact(&mut payload)).await.unwrap();
        (first, payload)
    }

    /// The code of the close frame that comes next.
    pub(crate) async fn close_code(&mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, 0x88, "{}", payload.escape_ascii());
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// Waits until the server has closed TCP.
    pub(crate) async fn ended(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        _ = within(self.0.read_to_end(&mut rest)).await;
    }
}

/// A server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

/// A stream of server-sent events.
pub(crate) struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    /// Opens a stream.
    pub(crate) async fn open(app: &App, path: &str, headers: &str) -> Self {
        Self::at(app.http_address(), path, headers).await
    }

    /// Opens a stream somewhere.
    pub(crate) async fn at(address: SocketAddr, path: &str, headers: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::over(stream, path, headers).await
    }

    /// Opens a stream over a connection.
    pub(crate) async fn over(mut stream: TcpStream, path: &str, headers: &str) -> Self {
        // Without chunks: HTTP/1.0 ends a body with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nhost: test\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self {
            stream,
            text: String::new(),
        };
        let head = events.until("\r\n\r\n").await;
        assert!(head.contains("200 OK"), "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        events
    }

    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some((first, rest)) = self.text.split_once(end) {
                let (first, rest) = (first.to_owned(), rest.to_owned());
                self.text = rest;
                return first;
            }
            let mut piece = vec![0; 4096];
            let read = within(self.stream.read(&mut piece)).await.unwrap();
            assert_ne!(read, 0, "the stream ended behind {:?}", self.text);
            self.text += std::str::from_utf8(&piece[..read]).unwrap();
        }
    }

    /// The next event that is no comment.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            let mut event = Event::default();
            for line in self.until("\n\n").await.lines() {
                match line.split_once(": ") {
                    Some(("event", value)) => event.kind = value.into(),
                    Some(("id", value)) => event.id = value.into(),
                    Some(("data", value)) => event.data += value,
                    _ => {}
                }
            }
            if event != Event::default() {
                return event;
            }
        }
    }

    /// The name of the session, from the first event.
    pub(crate) async fn session(&mut self) -> String {
        let event = self.next().await;
        assert_eq!(event.kind, "session");
        let data: Value = serde_json::from_str(&event.data).unwrap();
        data["session"].as_str().unwrap().to_owned()
    }
}

/// The offset and number of receivers of a publication.
#[track_caller]
pub(crate) fn published(answer: Answer) -> (Option<u64>, u64) {
    match answer {
        Answer::Published {
            offset, reached, ..
        } => (offset, reached),
        other => panic!("{other:?}"),
    }
}
