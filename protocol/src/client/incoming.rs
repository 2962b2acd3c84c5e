//! What the server says, as far as the session must understand it. Everything else goes to the tabs as it came.
//!
//! Reading JSON is the shell's: [`wire::decode_incoming`](crate::wire::decode_incoming) where there is serde, `JSON.parse`
//! in a browser.

use crate::wire::Position;

/// One reply or push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// To the request with this id.
    Reply(u32, Reply),
    /// In this channel, with its offset and the one before where the channel has history.
    Publication(String, Option<(u64, u64)>),
    /// A private message at this offset of the inbox.
    Message(u64),
    /// Somebody joined or left this channel.
    Presence(String),
    /// Something is missing in this channel, or its history is another one by now.
    Gap(String),
    /// The server ended the subscription to this channel.
    Unsubscribed(String, Refusal),
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To `connect`.
    Connected {
        /// When the session ends unless refreshed, unix seconds.
        expires: Option<u64>,
    },
    /// To `refresh`.
    Refreshed {
        /// The same.
        expires: Option<u64>,
    },
    /// To `subscribe`.
    Subscribed(Subscribed),
    /// It was refused.
    Refused(Refusal),
    /// Whatever else was asked: the tab reads it.
    Answer,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribed {
    /// Where the channel is; `None` without history.
    pub position: Option<Position>,
    /// All that came after the position asked for follows.
    pub recovered: bool,
    /// So many publications follow that were missed.
    pub replayed: u64,
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable code: [`ErrorCode::as_str`](crate::ErrorCode::as_str), or one of the client's own (see
    /// `Refusal::timeout` and the others).
    pub code: String,
    /// For people.
    pub message: String,
    /// After how many milliseconds the same may succeed, where the server said so.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    pub(super) fn new(code: &str, message: &str) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_owned(),
            retry_after_ms: None,
        }
    }

    /// `timeout`: the server did not answer in time. A publication may have arrived or not.
    pub(super) fn timeout() -> Self {
        Self::new("timeout", "the server did not answer in time")
    }

    /// `queue_full`: too much waits for a connection already.
    pub(super) fn queue_full() -> Self {
        Self::new("queue_full", "too much waits for the connection already")
    }

    /// `closed`: the session was closed.
    pub(super) fn closed() -> Self {
        Self::new("closed", "the session is closed")
    }

    /// Whether the same may be granted a little later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(&*self.code, "rate_limited" | "unavailable" | "internal")
    }
}
