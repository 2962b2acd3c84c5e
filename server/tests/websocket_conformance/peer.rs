//! The client's end: frames as bytes, and what the server's frames may be.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::common::within;

/// Opcodes (RFC 6455 §11.8).
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
/// The bit that says that a frame is its message's last.
pub(crate) const FIN: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame: its first byte and its payload.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(len).unwrap().to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// A message in pieces of this size.
pub(crate) fn fragmented(opcode: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let pieces: Vec<&[u8]> = payload.chunks(size).collect();
    fragments(opcode, &pieces).concat()
}

/// A message in these pieces, a frame each.
pub(crate) fn fragments(opcode: u8, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = pieces.len() - 1;
    let first_byte = |at: usize| {
        let opcode = if at == 0 { opcode } else { CONTINUATION };
        opcode | if at == last { FIN } else { 0 }
    };
    let frames = pieces.iter().enumerate();
    frames
        .map(|(at, piece)| frame(first_byte(at), piece))
        .collect()
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(
        FIN | CLOSE,
        &[&code.to_be_bytes(), reason.as_bytes()].concat(),
    )
}

/// What the server said.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The echo of a text.
    Echo(String),
    /// A request in a text was refused, with this code.
    Refused(String),
    /// The answer to a `ping` request.
    Answer,
    /// A pong.
    Pong(Vec<u8>),
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Echo(text) => {
                let start: String = text.chars().take(20).collect();
                write!(f, "echo of {} bytes {start:?}", text.len())
            }
            Self::Refused(code) => write!(f, "refused {code}"),
            Self::Answer => write!(f, "answer"),
            Self::Pong(payload) => write!(f, "pong {}", payload.escape_ascii()),
        }
    }
}

/// One thing that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    Said(Seen),
    /// A close frame with this payload.
    Close(Vec<u8>),
    /// TCP has ended.
    End,
}

/// A connection.
pub(crate) struct Peer {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Peer {
    /// Connects and shakes hands.
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // Chops are to leave as they are written.
        stream.set_nodelay(true).unwrap();
        let (read, mut write) = stream.into_split();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            sec-websocket-extensions: permessage-deflate\r\n\r\n"
        );
        write.write_all(request.as_bytes()).await.unwrap();
        let mut read = BufReader::new(read);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(read.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        Self { read, write }
    }

    /// Writes bytes, so many at once. The server may have closed meanwhile, which reading tells.
    pub(crate) async fn write(&mut self, bytes: &[u8], chop: usize) {
        for piece in bytes.chunks(chop) {
            if within(self.write.write_all(piece)).await.is_err() {
                return;
            }
        }
    }

    /// Ends the client's half of TCP.
    pub(crate) async fn shutdown(&mut self) {
        // The server may have closed meanwhile.
        _ = self.write.shutdown().await;
    }

    /// The next thing that is meant for the test.
    pub(crate) async fn next(&mut self) -> Came {
        loop {
            let Some((first, payload)) = within(self.frame()).await else {
                return Came::End;
            };
            match first {
                0x81 => {
                    let text = String::from_utf8(payload).expect("the server's texts are UTF-8");
                    if let Some(seen) = understand(&text) {
                        return Came::Said(seen);
                    }
                }
                0x88 => return Came::Close(payload),
                0x89 => {}
                0x8a => return Came::Said(Seen::Pong(payload)),
                other => panic!("the server sent a frame that begins with {other:02x}"),
            }
        }
    }

    /// A frame of the server, checked against §5.1 and §5.5. `None` = TCP has ended.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.read.read_u8().await.ok()?;
        let second = self.read.read_u8().await.ok()?;
        assert_eq!(second & 0x80, 0, "a server's frame is not masked");
        let len = match second {
            126 => u64::from(self.read.read_u16().await.ok()?),
            127 => self.read.read_u64().await.ok()?,
            len => u64::from(len),
        };
        assert!(first & 0x08 == 0 || len < 126, "a control frame is short");
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.read.read_exact(&mut payload).await.ok()?;
        Some((first, payload))
    }
}

/// What a text of either protocol says; `None` for what every connection gets.
fn understand(text: &str) -> Option<Seen> {
    let message: Value = serde_json::from_str(text).unwrap();
    let own = |value: &Value| Some(Seen::Echo(value.as_str()?.to_owned()));
    if message["push"] == "publication" {
        return own(&message["data"]);
    }
    if message["event"] == "answer" {
        return own(&message["data"]["message"]);
    }
    if let Some(code) = message["error"]["code"].as_str() {
        return Some(Seen::Refused(code.to_owned()));
    }
    message["pong"].is_object().then_some(Seen::Answer)
}
