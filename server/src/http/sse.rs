//! Server-sent events: how our protocol's messages look in an event stream, and how a stream resumes.

use std::fmt::Write as _;

use bytes::Bytes;
use cometql_engine::Publication;
use cometql_protocol::wire::{Epoch, Position, Reply};
use cometql_protocol::{ChannelName, CloseCode};
use subtle::ConstantTimeEq;

/// What one stream remembers: its secret, and the positions that its event ids tell.
#[derive(Debug)]
pub(crate) struct Stream {
    /// What `POST /session/<id>` must know.
    secret: String,
    /// The channels of the URL, in its order, and where the client is in each.
    positions: Vec<(String, Option<Position>)>,
}

impl Stream {
    /// A stream with the channels of its URL and the positions that the client came with.
    pub(crate) fn new(secret: String, positions: Vec<(String, Option<Position>)>) -> Self {
        Self { secret, positions }
    }

    /// Whether this is the secret.
    pub(crate) fn proves(&self, secret: &str) -> bool {
        self.secret.as_bytes().ct_eq(secret.as_bytes()).into()
    }

    /// A message as an event without id. The lines of a payload that has several are joined again by the client.
    pub(crate) fn event(text: &str) -> Bytes {
        let mut event = String::with_capacity(text.len() + 8);
        for line in text.split(['\n', '\r']) {
            event.push_str("data: ");
            event.push_str(line);
            event.push('\n');
        }
        event.push('\n');
        event.into()
    }

    /// The message of an event, as [`Stream::event`] wrote it, with or without an id before it; nothing of a comment.
    pub(crate) fn text_of(event: &[u8]) -> &[u8] {
        let mut lines = event.split(|byte| *byte == b'\n');
        let skipped = match lines.next() {
            Some(line) if line.starts_with(b"id: ") => line.len() + 1,
            _ => 0,
        };
        let text = event[skipped..].strip_prefix(b"data: ");
        text.and_then(|text| text.strip_suffix(b"\n\n"))
            .unwrap_or_default()
    }

    /// A comment, which keeps proxies from closing an idle stream.
    pub(crate) fn comment() -> Bytes {
        Bytes::from_static(b":\n\n")
    }

    /// The last event of a stream.
    pub(crate) fn close(code: CloseCode, reason: &str) -> Bytes {
        let code = code.code();
        format!("event: close\ndata: {{\"code\":{code},\"reason\":\"{reason}\"}}\n\n").into()
    }

    /// A publication's event behind the id that tells where the client then is.
    pub(crate) fn publication(&mut self, event: &Bytes, publication: &Publication) -> Bytes {
        let Some(place) = publication.place else {
            return event.clone();
        };
        let position = Position {
            epoch: place.epoch,
            offset: place.offset,
        };
        if !self.advance(&publication.channel, position) {
            return event.clone();
        }
        self.identified(event)
    }

    /// A reply's event. An answered subscription tells where the client is, unless a replay is still to come.
    pub(crate) fn reply(&mut self, text: &str, reply: &Reply) -> Bytes {
        let event = Self::event(text);
        match reply {
            Reply::Subscribed {
                channel,
                position: Some(position),
                replayed: 0,
                ..
            } if self.advance(channel, *position) => self.identified(&event),
            _ => event,
        }
    }

    fn advance(&mut self, channel: &ChannelName, position: Position) -> bool {
        let mut known = self.positions.iter_mut();
        let Some((_, slot)) = known.find(|(name, _)| name == channel.as_str()) else {
            return false;
        };
        *slot = Some(position);
        true
    }

    fn identified(&self, event: &Bytes) -> Bytes {
        let id = encode_positions(self.positions.iter().map(|(_, position)| *position));
        let mut out = Vec::with_capacity(event.len() + id.len() + 5);
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(event);
        out.into()
    }
}

/// Positions as an event id: `<epoch>-<offset>` for each channel of the URL, empty where there is none, between commas.
fn encode_positions(positions: impl Iterator<Item = Option<Position>>) -> String {
    let mut id = String::new();
    for (index, position) in positions.enumerate() {
        if index > 0 {
            id.push(',');
        }
        if let Some(Position { epoch, offset }) = position {
            _ = write!(id, "{:x}-{offset}", epoch.0);
        }
    }
    id
}

/// What a `Last-Event-ID` says; an entry that is none counts as no position.
pub(crate) fn decode_positions(id: &str) -> impl Iterator<Item = Option<Position>> {
    id.split(',').map(|entry| {
        let (epoch, offset) = entry.split_once('-')?;
        Some(Position {
            epoch: epoch.parse::<Epoch>().ok()?,
            offset: offset.parse().ok()?,
        })
    })
}
