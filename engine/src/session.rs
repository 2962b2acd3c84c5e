//! What a shard knows of one conversation with a browser, whatever carries it: WebSocket, server-sent events or the
//! original's protocol.

use std::net::IpAddr;
use std::sync::Arc;

use cometql_protocol::wire::Connect;
use cometql_protocol::{TenantId, UserId};

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
    /// authentication (no `inbox` flag), and the token's `exp` does not end the session.
    pub legacy: bool,
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
