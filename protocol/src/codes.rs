//! Stable codes of the browser protocol: errors in replies, and WebSocket close codes with reconnect advice.

/// Why a request was refused. The text of [`ErrorCode::as_str`] is the contract; messages beside it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The frame or a field is not what the protocol says.
    BadRequest,
    /// The credentials were not accepted; the session stays as it was.
    Unauthorized,
    /// No rule lets this session do that to this channel.
    PermissionDenied,
    /// A channel or event name has a bad length or character.
    BadName,
    /// The payload is larger than the limit.
    TooLarge,
    /// The session has as many subscriptions as it may.
    TooManySubscriptions,
    /// The session asks faster than it may.
    RateLimited,
    /// The session is already subscribed to that channel.
    AlreadySubscribed,
    /// The session is not subscribed to that channel.
    NotSubscribed,
    /// The request needs a logged-in user.
    LoginRequired,
    /// The inbox of the recipient is full.
    InboxFull,
    /// The same id was already used with other content.
    Conflict,
    /// The node can't do that now (its disk is full, say); trying again later may help.
    Unavailable,
    /// A defect of the server; its log has the details.
    Internal,
}

impl ErrorCode {
    /// Every code, for the documentation's table and its test.
    pub const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::PermissionDenied,
        Self::BadName,
        Self::TooLarge,
        Self::TooManySubscriptions,
        Self::RateLimited,
        Self::AlreadySubscribed,
        Self::NotSubscribed,
        Self::LoginRequired,
        Self::InboxFull,
        Self::Conflict,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::PermissionDenied => "permission_denied",
            Self::BadName => "bad_name",
            Self::TooLarge => "too_large",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::RateLimited => "rate_limited",
            Self::AlreadySubscribed => "already_subscribed",
            Self::NotSubscribed => "not_subscribed",
            Self::LoginRequired => "login_required",
            Self::InboxFull => "inbox_full",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

/// What a client should do after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Connect again at once, with the last positions.
    ReconnectNow,
    /// Connect again after a delay: the close reason has `retry_after_ms=N`, or back off.
    ReconnectLater,
    /// Don't connect again with the same credentials or code: it would end the same way.
    Stop,
}

/// Why the server closed a connection: RFC 6455 §7.4.1 codes, and ours from 4000.
///
/// 40xx = reconnect, 41xx = don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the client asked for it.
    Normal,
    /// 1001: the node is going away and gives no delay.
    GoingAway,
    /// 1002: the bytes are not RFC 6455.
    ProtocolError,
    /// 1003: a binary frame; this protocol is text.
    UnsupportedData,
    /// 1007: a text frame that is not UTF-8.
    InvalidPayload,
    /// 1009: a frame or message over the limit.
    MessageTooBig,
    /// 1011: a defect of the server.
    InternalError,
    /// 4000: the node restarts; reconnect after the delay in the reason.
    Restart,
    /// 4001: the outbox was full; reconnect and recover.
    SlowConsumer,
    /// 4002: no pong in time.
    NoPong,
    /// 4003: the node can't serve this connection now.
    Overloaded,
    /// 4100: too many refused requests, or requests that are not of this protocol.
    BadProtocol,
    /// 4101: the token's `exp` has passed; get a new token.
    TokenExpired,
    /// 4102: the token or the user was revoked.
    Revoked,
    /// 4103: closed by `KILL`.
    Killed,
}

impl CloseCode {
    /// Every code, for the documentation's table and its test.
    pub const ALL: [Self; 15] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidPayload,
        Self::MessageTooBig,
        Self::InternalError,
        Self::Restart,
        Self::SlowConsumer,
        Self::NoPong,
        Self::Overloaded,
        Self::BadProtocol,
        Self::TokenExpired,
        Self::Revoked,
        Self::Killed,
    ];

    /// The number in the close frame.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::UnsupportedData => 1003,
            Self::InvalidPayload => 1007,
            Self::MessageTooBig => 1009,
            Self::InternalError => 1011,
            Self::Restart => 4000,
            Self::SlowConsumer => 4001,
            Self::NoPong => 4002,
            Self::Overloaded => 4003,
            Self::BadProtocol => 4100,
            Self::TokenExpired => 4101,
            Self::Revoked => 4102,
            Self::Killed => 4103,
        }
    }

    /// The stable word that begins the close reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::GoingAway => "going_away",
            Self::ProtocolError => "protocol_error",
            Self::UnsupportedData => "unsupported_data",
            Self::InvalidPayload => "invalid_utf8",
            Self::MessageTooBig => "too_big",
            Self::InternalError => "internal",
            Self::Restart => "restart",
            Self::SlowConsumer => "slow_consumer",
            Self::NoPong => "no_pong",
            Self::Overloaded => "overloaded",
            Self::BadProtocol => "bad_protocol",
            Self::TokenExpired => "token_expired",
            Self::Revoked => "revoked",
            Self::Killed => "killed",
        }
    }

    /// What the client should do.
    #[must_use]
    pub fn advice(self) -> Advice {
        match self {
            Self::SlowConsumer | Self::NoPong => Advice::ReconnectNow,
            Self::GoingAway | Self::InternalError | Self::Restart | Self::Overloaded => {
                Advice::ReconnectLater
            }
            Self::Normal
            | Self::ProtocolError
            | Self::UnsupportedData
            | Self::InvalidPayload
            | Self::MessageTooBig
            | Self::BadProtocol
            | Self::TokenExpired
            | Self::Revoked
            | Self::Killed => Advice::Stop,
        }
    }
}
