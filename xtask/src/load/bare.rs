//! The yardstick: the least that a server can do with a WebSocket, one `write` per delivery, one thread, no protocol.
//!
//! Lines on the publishing port go to every connection of the WebSocket port that has said something; its first words get
//! an answer as long as ours.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::Context as _;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::frames::server_frame;

const SUBSCRIBE: Token = Token(usize::MAX);
const PUBLISH: Token = Token(usize::MAX - 1);
const FIRST_PUBLISHER: usize = usize::MAX / 2;

struct Loop {
    poll: Poll,
    subscribers: Vec<Subscriber>,
    publishers: Vec<(TcpStream, Vec<u8>)>,
    scratch: Vec<u8>,
}

/// To the first words of a connection.
const ANSWER: &str = r#"{"id":1,"subscribed":{"channel":"web_load","epoch":"0123456789abcdef","offset":0,"recovered":false,"replayed":0}}"#;

struct Subscriber {
    stream: TcpStream,
    upgraded: bool,
    subscribed: bool,
    /// What a full socket did not take.
    waiting: Vec<u8>,
}

/// Serves until killed.
pub(super) fn serve(subscribe: SocketAddr, publish: SocketAddr) -> anyhow::Result<()> {
    let poll = Poll::new()?;
    let mut subscribe = TcpListener::bind(subscribe)?;
    let mut publish = TcpListener::bind(publish)?;
    let registry = poll.registry();
    registry.register(&mut subscribe, SUBSCRIBE, Interest::READABLE)?;
    registry.register(&mut publish, PUBLISH, Interest::READABLE)?;
    let mut state = Loop {
        poll,
        subscribers: Vec::new(),
        publishers: Vec::new(),
        scratch: vec![0; 65536],
    };
    let mut events = Events::with_capacity(1024);
    loop {
        state.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                SUBSCRIBE => state.accept(&subscribe, false)?,
                PUBLISH => state.accept(&publish, true)?,
                Token(at) if at >= FIRST_PUBLISHER => state.publish(at - FIRST_PUBLISHER),
                Token(at) => state.subscribers[at]
                    .ready(&mut state.scratch)
                    .unwrap_or(()),
            }
        }
    }
}

impl Loop {
    fn accept(&mut self, listener: &TcpListener, publisher: bool) -> anyhow::Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            let at = if publisher {
                FIRST_PUBLISHER + self.publishers.len()
            } else {
                self.subscribers.len()
            };
            self.poll
                .registry()
                .register(&mut stream, Token(at), both)?;
            if publisher {
                self.publishers.push((stream, Vec::new()));
            } else {
                self.subscribers.push(Subscriber {
                    stream,
                    upgraded: false,
                    subscribed: false,
                    waiting: Vec::new(),
                });
            }
        }
        Ok(())
    }

    fn publish(&mut self, at: usize) {
        let (stream, held) = &mut self.publishers[at];
        while let Ok(length) = stream.read(&mut self.scratch) {
            if length == 0 {
                return;
            }
            held.extend(&self.scratch[..length]);
        }
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let frame = server_frame(&held[..end]);
            held.drain(..=end);
            for subscriber in self.subscribers.iter_mut().filter(|one| one.subscribed) {
                subscriber.send(&frame);
            }
        }
    }
}

impl Subscriber {
    fn send(&mut self, frame: &[u8]) {
        let sent = if self.waiting.is_empty() {
            self.stream.write(frame).unwrap_or(0)
        } else {
            0
        };
        self.waiting.extend(&frame[sent..]);
    }

    fn ready(&mut self, scratch: &mut [u8]) -> anyhow::Result<()> {
        if !self.waiting.is_empty() {
            let sent = self.stream.write(&self.waiting).unwrap_or(0);
            self.waiting.drain(..sent);
        }
        while let Ok(length) = self.stream.read(scratch) {
            if length == 0 {
                self.subscribed = false;
                break;
            }
            if !self.upgraded {
                self.upgrade(&scratch[..length])?;
            } else if !self.subscribed {
                self.subscribed = true;
                self.send(&server_frame(ANSWER.as_bytes()));
            }
        }
        Ok(())
    }

    fn upgrade(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let head = std::str::from_utf8(request)?;
        let key = head
            .split("Sec-WebSocket-Key: ")
            .nth(1)
            .context("no WebSocket request")?;
        let key = key.lines().next().unwrap_or_default();
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        write!(
            self.stream,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )?;
        self.upgraded = true;
        Ok(())
    }
}
