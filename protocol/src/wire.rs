//! The browser protocol, version 1: JSON text frames.
//!
//! A client's frame holds one request, or several separated by line feeds. A server's frame holds one reply or push.
//! Owns the format only: what a request means is decided by the engine's session.

mod encode;
mod incoming;
mod push;
mod request;

use std::sync::Arc;

pub use encode::{
    Member, PublicationView, encode_error, encode_gap, encode_inbox_message, encode_presence_event,
    encode_publication, encode_refusal, encode_reply, encode_unsubscribed, json_string,
};
pub use incoming::decode_incoming;
pub use push::{Push, decode_push};
pub use request::{
    Connect, DecodeError, History, Publish, Request, RequestBody, Subscribe, decode_requests,
};

/// The version in `/connect?v=1`.
pub const VERSION: u32 = 1;

/// A place in a channel's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which life of the history; another epoch means that offsets started again.
    pub epoch: Epoch,
    /// The offset of the last publication at or before this place; 0 = before the first.
    pub offset: u64,
}

/// One life of a channel's history: random, chosen when the history begins. Sixteen hexadecimal digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for Epoch {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// A kept publication in a [`Reply::History`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The label, may be empty.
    pub event: String,
    /// The payload's text.
    pub data: Arc<str>,
    /// True when `data` is a valid JSON object or array.
    pub data_is_json: bool,
    /// Its offset and that of the one before; `None` for a channel without history.
    pub offsets: Option<(u64, u64)>,
    /// When it was published, unix milliseconds.
    pub time_ms: u64,
    /// The sender, where it is a logged-in browser that did not hide itself.
    pub user: Option<crate::UserId>,
}

/// True when the text is a valid JSON object or array, which goes into frames byte for byte. Nesting deeper than 128
/// is not; it then travels as a string.
#[must_use]
pub fn is_json_container(text: &str) -> bool {
    let begins = text
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with(['{', '[']);
    begins && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// What a session was told in answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To `connect`.
    Connected {
        /// The id under which `SHOW CONNECTIONS` lists this session, below 2^53.
        session: u64,
        /// Who the session proved to be; `None` = anonymous.
        user: Option<crate::UserId>,
        /// When the session ends unless refreshed, unix seconds.
        expires: Option<u64>,
    },
    /// To `refresh`: the new end, unix seconds.
    Refreshed {
        /// When the session ends unless refreshed again, unix seconds.
        expires: Option<u64>,
    },
    /// To `subscribe`, one for each channel; publications missed since the given position follow as pushes.
    Subscribed {
        /// The channel.
        channel: crate::ChannelName,
        /// Where the channel is now; `None` for a channel without history.
        position: Option<Position>,
        /// True when everything after the position in the request follows; false without such a position.
        recovered: bool,
        /// How many missed publications follow.
        replayed: usize,
    },
    /// To `unsubscribe`, one for each channel.
    Unsubscribed {
        /// The channel.
        channel: crate::ChannelName,
    },
    /// To `publish`.
    Published {
        /// The new publication's offset; `None` for a channel without history.
        offset: Option<u64>,
        /// How many connections of this node it was sent to.
        reached: u64,
    },
    /// To `presence`.
    Presence {
        /// The channel.
        channel: crate::ChannelName,
        /// One entry a connection.
        members: Vec<Member>,
    },
    /// To `presence_count`.
    PresenceCount {
        /// The channel.
        channel: crate::ChannelName,
        /// Subscribed connections.
        count: u64,
    },
    /// To `history`: publications, oldest first.
    History {
        /// The channel.
        channel: crate::ChannelName,
        /// Where the channel is now.
        position: Option<Position>,
        /// What is kept.
        publications: Vec<Kept>,
    },
    /// To `user_data`: the text of `users_data`, empty when there is none.
    UserData {
        /// Whose.
        user: crate::UserId,
        /// The text.
        data: String,
    },
    /// To `user_status`.
    UserStatus {
        /// Whose.
        user: crate::UserId,
        /// `None` = online now; otherwise unix seconds of leaving, 0 = never seen.
        last_seen: Option<u64>,
    },
    /// To `ack`.
    Acknowledged,
    /// To `ping`.
    Pong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_containers() {
        for (text, expected) in [
            (r#"{"a":1}"#, true),
            (" [1,2]\n", true),
            ("5", false),
            (r#""x""#, false),
            ("{", false),
            ("{} {}", false),
            ("", false),
            (&"[".repeat(100_000), false),
        ] {
            assert_eq!(
                is_json_container(text),
                expected,
                "{}",
                &text[..text.len().min(40)]
            );
        }
    }
}
