//! Connections as streams of bytes that may be slow, stop, or end at any byte.

use std::collections::VecDeque;

use cometql_engine::{Conflated, ConnectionId};
use cometql_protocol::client::SocketId;

/// One connection between a browser and one life of the node.
pub(crate) struct Wire {
    pub(crate) browser: usize,
    pub(crate) socket: SocketId,
    pub(crate) life: u32,
    /// What the node calls it, while it has it.
    pub(crate) connection: Option<ConnectionId>,
    /// The browser still listens.
    pub(crate) heard: bool,
    /// From the browser.
    pub(crate) up: Flow,
    /// To the browser.
    pub(crate) down: Flow,
    /// Nothing arrives any more, and nobody is told.
    pub(crate) dead: bool,
    /// The browser reads nothing before that moment.
    pub(crate) stalled_until: u64,
    /// Publications that wait beside the stream, as the newest of their channels.
    pub(crate) held: Conflated,
    /// Payloads of all that waited so since something was written.
    pub(crate) put: Vec<String>,
    /// So many of the next publications are lost on the way, and nothing else is.
    pub(crate) swallows: u64,
}

impl Wire {
    pub(crate) fn new(browser: usize, socket: SocketId, life: u32) -> Self {
        Self {
            browser,
            socket,
            life,
            connection: None,
            heard: true,
            up: Flow::default(),
            down: Flow::default(),
            dead: false,
            stalled_until: 0,
            held: Conflated::default(),
            put: Vec::new(),
            swallows: 0,
        }
    }

    /// The node has it, and its browser reads nothing for now.
    pub(crate) fn stalls(&self, now: u64) -> bool {
        self.stalled_until > now && self.connection.is_some()
    }

    /// Bytes that wait for the browser.
    pub(crate) fn waiting(&self) -> usize {
        self.down.waiting() + self.held.bytes()
    }

    /// Both sides know each other, and nothing is on its way.
    pub(crate) fn is_quiet(&self, now: u64) -> bool {
        let open = self.heard && !self.dead && self.connection.is_some();
        let at_rest = self.stalled_until <= now && self.held.is_empty();
        open && at_rest && self.up.is_quiet() && self.down.is_quiet()
    }
}

/// One direction: frames behind each other, each with its length before it.
#[derive(Default)]
pub(crate) struct Flow {
    bytes: VecDeque<u8>,
    /// Arrived, but no whole frame yet.
    arrived: Vec<u8>,
    /// What the end of the stream says.
    pub(crate) end: Option<(u16, String)>,
    /// Bytes of replays, which may wait beside the limit.
    pub(crate) granted: usize,
}

impl Flow {
    pub(crate) fn send(&mut self, text: &str) {
        if self.end.is_some() {
            return;
        }
        let length = u32::try_from(text.len()).unwrap();
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn is_quiet(&self) -> bool {
        self.bytes.is_empty() && self.arrived.is_empty() && self.end.is_none()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// So many bytes arrive; returns the frames that are whole now.
    pub(crate) fn arrive(&mut self, bytes: usize) -> Vec<String> {
        let bytes = bytes.min(self.bytes.len());
        self.arrived.extend(self.bytes.drain(..bytes));
        if self.bytes.is_empty() {
            self.granted = 0;
        }
        let mut frames = Vec::new();
        while let Some(length) = self.arrived.first_chunk::<4>() {
            let end = 4 + usize::try_from(u32::from_be_bytes(*length)).unwrap();
            if self.arrived.len() < end {
                break;
            }
            let frame: Vec<u8> = self.arrived.drain(..end).skip(4).collect();
            frames.push(String::from_utf8(frame).unwrap());
        }
        frames
    }

    /// The stream ends after so many of the bytes that are on their way.
    pub(crate) fn cut(&mut self, keep: usize, code: u16, reason: &str) {
        self.bytes.truncate(keep);
        self.end.get_or_insert_with(|| (code, reason.to_owned()));
    }
}
