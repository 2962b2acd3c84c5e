//! One subscribed WebSocket connection of the generator.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{bail, ensure};
use mio::net::TcpStream;

use super::frames::{client_frame, scan_frames, scan_marks};
use super::subjects::{Kind, Subscription};

const REQUEST_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Upgrading,
    Subscribing,
    Live,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    state: State,
    /// Bytes of a frame that is not whole yet. Usually empty.
    held: Vec<u8>,
    /// The end of the last frame where a mark may have begun. Usually empty.
    tail: Vec<u8>,
    /// The sequence number that must come next.
    next: u64,
}

impl Connection {
    pub(super) fn open(server: SocketAddr, next: u64) -> anyhow::Result<Self> {
        Ok(Self {
            stream: TcpStream::connect(server)?,
            state: State::Connecting,
            held: Vec::new(),
            tail: Vec::new(),
            next,
        })
    }

    /// The number of the publication that must come next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Does what the socket allows; calls back with (sequence, time) of each publication.
    pub(super) fn ready(
        &mut self,
        kind: Kind,
        subscription: Option<&Subscription>,
        scratch: &mut [u8],
        mut delivered: impl FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        if self.state == State::Connecting {
            if self.stream.peer_addr().is_err() {
                if let Some(error) = self.stream.take_error()? {
                    return Err(error.into());
                }
                return Ok(());
            }
            self.stream.set_nodelay(true)?;
            self.request(kind)?;
            self.state = State::Upgrading;
        }
        loop {
            match self.stream.read(scratch) {
                Ok(0) => bail!("the server closed a connection ({:?})", self.state),
                Ok(length) => self.take(kind, subscription, &scratch[..length], &mut delivered)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn request(&mut self, kind: Kind) -> anyhow::Result<()> {
        let (path, headers) = kind.request();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {REQUEST_KEY}\r\n{headers}\r\n"
        );
        // A fresh socket has room for a few hundred bytes.
        self.stream.write_all(request.as_bytes())?;
        Ok(())
    }

    fn take(
        &mut self,
        kind: Kind,
        subscription: Option<&Subscription>,
        bytes: &[u8],
        delivered: &mut impl FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        if self.held.is_empty() && self.state == State::Live {
            let taken = self.frames(kind, subscription, bytes, delivered)?;
            self.held.extend(&bytes[taken..]);
            return Ok(());
        }
        self.held.extend(bytes);
        if self.state == State::Upgrading {
            let Some(end) = memchr::memmem::find(&self.held, b"\r\n\r\n") else {
                return Ok(());
            };
            ensure!(
                self.held.starts_with(b"HTTP/1.1 101"),
                "no WebSocket: {}",
                String::from_utf8_lossy(&self.held)
            );
            self.held.drain(..end + 4);
            self.upgraded(subscription)?;
        }
        let held = std::mem::take(&mut self.held);
        let taken = self.frames(kind, subscription, &held, delivered)?;
        self.held.extend(&held[taken..]);
        Ok(())
    }

    fn upgraded(&mut self, subscription: Option<&Subscription>) -> anyhow::Result<()> {
        self.state = State::Live;
        if let Some(subscription) = subscription {
            self.stream.write_all(&subscription.frame)?;
            self.state = State::Subscribing;
        }
        Ok(())
    }

    fn frames(
        &mut self,
        kind: Kind,
        subscription: Option<&Subscription>,
        bytes: &[u8],
        delivered: &mut impl FnMut(u64, u64),
    ) -> anyhow::Result<usize> {
        let mut result = Ok(());
        let taken = scan_frames(bytes, |opcode, payload| {
            if result.is_ok() {
                result = self.frame(kind, subscription, opcode, payload, delivered);
            }
        });
        result.map(|()| taken)
    }

    fn frame(
        &mut self,
        kind: Kind,
        subscription: Option<&Subscription>,
        opcode: u8,
        payload: &[u8],
        delivered: &mut impl FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        match opcode {
            9 => self.stream.write_all(&client_frame(10, payload))?,
            8 => bail!(
                "the server closed a connection: {}",
                String::from_utf8_lossy(payload)
            ),
            _ if self.state == State::Subscribing => self.answer(subscription, payload)?,
            _ => {
                // Publications may stand behind it in the same frame.
                if kind == Kind::Nats && payload.starts_with(b"PING\r\n") {
                    self.stream.write_all(&client_frame(2, b"PONG\r\n"))?;
                }
                return self.marks(payload, delivered);
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        subscription: Option<&Subscription>,
        payload: &[u8],
    ) -> anyhow::Result<()> {
        let has = |part: &[u8]| memchr::memmem::find(payload, part).is_some();
        if subscription.is_none_or(|subscription| has(subscription.answer)) {
            self.state = State::Live;
        } else if has(b"error") || has(b"\"subscribed\"") {
            bail!("refused: {}", String::from_utf8_lossy(payload));
        }
        Ok(())
    }

    fn marks(
        &mut self,
        payload: &[u8],
        delivered: &mut impl FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        let mut wrong = None;
        let mut next = self.next;
        let mut found = |sequence, time| {
            if sequence != next && wrong.is_none() {
                wrong = Some((sequence, next));
            }
            next = sequence + 1;
            delivered(sequence, time);
        };
        if self.tail.is_empty() {
            let rest = scan_marks(payload, &mut found);
            self.tail.extend(&payload[rest..]);
        } else {
            self.tail.extend(payload);
            let rest = scan_marks(&self.tail, &mut found);
            self.tail.drain(..rest);
        }
        self.next = next;
        if let Some((got, expected)) = wrong {
            bail!("publication {got} came where {expected} was due: one is missing or came twice");
        }
        Ok(())
    }
}
