//! What a shard knows of one conversation with a browser, whatever carries it: WebSocket, server-sent events or the
//! original's protocol.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::Connect;
use cometql_protocol::{ChannelName, CloseCode, TenantId, UserId};

/// Facts about a connection that only `users_in_pipes` and `SHOW CONNECTIONS` show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    /// Peer address, or what a configured proxy forwarded.
    pub address: IpAddr,
    /// `User-Agent`, at most 250 bytes.
    pub agent: Box<str>,
    /// `Origin`, at most 250 bytes.
    pub origin: Box<str>,
    /// `Accept-Language`, at most 64 bytes.
    pub language: Box<str>,
    /// The browser's own id, at most 64 bytes; `connect` may set it.
    pub uuid: Box<str>,
}

/// How a session behaves, fixed when it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionSettings {
    /// Whose session.
    pub tenant: TenantId,
    /// The name shown in `SHOW CONNECTIONS`: `websocket`, `sse` or `legacy`.
    pub kind: &'static str,
    /// True for the original's protocol: writing a private message to the socket acknowledges it, messages begin with
    /// authentication (no `inbox` flag), the token's `exp` does not end the session, and whoever goes is gone at once.
    pub legacy: bool,
}

/// Whether somebody who goes is expected back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// No: others are told at once.
    ForGood,
    /// Perhaps, as after a reload of the page: others are told after [`Limits::grace_ms`](crate::Limits::grace_ms), if
    /// it is not back by then.
    MayReturn,
}

/// How a connection ended, as the edge saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The server closed it.
    Closed(CloseCode),
    /// The client closed it, with this code if it gave one.
    Left(Option<u16>),
    /// Its socket is gone without a word.
    Broke,
}

/// What became of something that was handed to a connection. The edge tells it where it is worth a word: what it does not
/// tell of was written to the socket at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbox {
    /// On the original's protocol: all private messages up to this offset were written to the socket.
    Written(u64),
    /// All is written that had to wait, since this moment (unix milliseconds), because the socket took no more.
    CaughtUp(u64),
    /// All publications of a channel between these two offsets, both excluded, were replaced by newer ones.
    Conflated {
        /// Of which channel.
        channel: ChannelName,
        /// What was written before.
        after: u64,
        /// What was written next.
        before: u64,
    },
    /// The connection ends, and something that was handed to it was not written before: of this channel (`None` =
    /// private messages) what lies between these offsets, both included.
    Dropped(Option<ChannelName>, u64, u64),
    /// The same for what can't be told apart: all that was handed over since this moment (unix milliseconds).
    DroppedSince(u64),
    /// The edge has closed the connection by itself: it takes nothing more, whenever its socket will be gone.
    Closed(CloseCode),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "by the server: {} {}", code.code(), code.as_str()),
            Self::Left(Some(code)) => write!(f, "by the client: {code}"),
            Self::Left(None) => f.write_str("by the client"),
            Self::Broke => f.write_str("the socket broke"),
        }
    }
}

impl Ending {
    /// Whether the client read too slowly.
    #[must_use]
    pub fn is_slow_consumer(self) -> bool {
        self == Self::Closed(CloseCode::SlowConsumer)
    }

    /// Whether the client may return. A socket's `close()` sends no code or 1000, and that is a farewell. Whatever else a
    /// client says is none: browsers send 1001 when a page is left or loaded anew. Of those that the server closed, those
    /// may return that it tells to connect again, and those that only need a newer token.
    #[must_use]
    pub fn departure(self) -> Departure {
        if planted("engine-ignores-the-grace") {
            return Departure::ForGood;
        }
        match self {
            Self::Left(None | Some(1000)) => Departure::ForGood,
            Self::Left(Some(_)) | Self::Broke => Departure::MayReturn,
            Self::Closed(code) => after(code),
        }
    }
}

fn after(code: CloseCode) -> Departure {
    match code {
        CloseCode::GoingAway
        | CloseCode::InternalError
        | CloseCode::Restart
        | CloseCode::SlowConsumer
        | CloseCode::NoPong
        | CloseCode::Overloaded
        | CloseCode::TokenExpired => Departure::MayReturn,
        CloseCode::Normal
        | CloseCode::ProtocolError
        | CloseCode::UnsupportedData
        | CloseCode::InvalidPayload
        | CloseCode::MessageTooBig
        | CloseCode::BadProtocol
        | CloseCode::Revoked
        | CloseCode::Killed => Departure::ForGood,
    }
}

/// What a session offers to prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whose user.
    pub tenant: TenantId,
    /// The request's content.
    pub connect: Connect,
    /// True on the original's endpoint, where its derived secret counts too.
    pub legacy: bool,
    /// True for `refresh`: the user must stay the same.
    pub refresh: bool,
}

/// Who a session proved to be. The default is anonymous.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// `None` = anonymous.
    pub user: Option<UserId>,
    /// When that ends, unix seconds.
    pub expires: Option<u64>,
    /// SHA-256 of the token, so that its revocation finds the session.
    pub token_digest: Option<[u8; 32]>,
    /// The token's claims as `name → value` texts, for rules that ask for one; sorted by name.
    pub claims: Option<Arc<[(String, String)]>>,
}
