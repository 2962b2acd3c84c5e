//! Events of the trace as JSON.

use cometql_engine::shard::trace::{Event, Happened};
use cometql_engine::{ConnectionId, Ending, MessageId};
use cometql_protocol::wire::Position;
use cometql_protocol::{CloseCode, ErrorCode, UserId};
use serde::{Deserialize, Serialize};

use super::rows::{channel, kind, user};

/// An event of the trace.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventTold {
    time_ms: u64,
    user: Option<u64>,
    connection: Option<u64>,
    channel: Option<String>,
    happened: HappenedTold,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum HappenedTold {
    Connected {
        kind: String,
    },
    Authenticated,
    Subscribed {
        /// Epoch and offset.
        position: Option<(String, u64)>,
        recovered: bool,
        replayed: u16,
        reach: u32,
    },
    Unsubscribed,
    Ended {
        code: String,
    },
    Refused {
        request: String,
        code: String,
    },
    Closed {
        /// By the server.
        by_server: bool,
        code: Option<u16>,
        broke: bool,
    },
    CaughtUp {
        since_ms: u64,
    },
    Conflated {
        after: u64,
        before: u64,
    },
    Dropped {
        from: u64,
        to: u64,
    },
    DroppedSince {
        since_ms: u64,
    },
    Stored {
        id: String,
        offset: u64,
    },
    InboxRead {
        after: u64,
        up_to: u64,
        live: bool,
    },
    Acknowledged {
        up_to: u64,
    },
    Cleared,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// The requests that the trace names.
const REQUESTS: [&str; 13] = [
    "",
    "connect",
    "refresh",
    "subscribe",
    "unsubscribe",
    "publish",
    "presence",
    "presence_count",
    "history",
    "ack",
    "user_data",
    "user_status",
    "ping",
];

impl From<Event> for EventTold {
    fn from(event: Event) -> Self {
        let channel = event.channel.as_ref();
        Self {
            time_ms: event.time_ms,
            user: event.user.map(UserId::get),
            connection: event.connection.map(ConnectionId::number),
            channel: channel.map(|channel| channel.as_str().to_owned()),
            happened: event.happened.into(),
        }
    }
}

impl EventTold {
    /// The event, if this version knows what happened.
    pub(crate) fn row(self) -> Option<Event> {
        Some(Event {
            time_ms: self.time_ms,
            user: user(self.user),
            connection: self.connection.and_then(ConnectionId::from_number),
            channel: self.channel.and_then(|name| channel(&name)),
            happened: self.happened.happened()?,
        })
    }
}

impl From<Happened> for HappenedTold {
    fn from(happened: Happened) -> Self {
        let code = |code: ErrorCode| code.as_str().to_owned();
        match happened {
            Happened::Connected(kind) => Self::Connected { kind: kind.into() },
            Happened::Authenticated => Self::Authenticated,
            Happened::Subscribed {
                position,
                recovered,
                replayed,
                reach,
            } => Self::Subscribed {
                position: position.map(|at| (at.epoch.to_string(), at.offset)),
                recovered,
                replayed,
                reach,
            },
            Happened::Unsubscribed => Self::Unsubscribed,
            Happened::Ended(why) => Self::Ended { code: code(why) },
            Happened::Refused { request, code: why } => Self::Refused {
                request: request.into(),
                code: code(why),
            },
            Happened::Closed(ending) => closed(ending),
            Happened::CaughtUp(since_ms) => Self::CaughtUp { since_ms },
            Happened::Conflated { after, before } => Self::Conflated { after, before },
            Happened::Dropped(from, to) => Self::Dropped { from, to },
            Happened::DroppedSince(since_ms) => Self::DroppedSince { since_ms },
            Happened::Stored { id, offset } => Self::Stored {
                id: format!("{:032x}", id.0),
                offset,
            },
            Happened::InboxRead { after, up_to, live } => Self::InboxRead { after, up_to, live },
            Happened::Acknowledged(up_to) => Self::Acknowledged { up_to },
            Happened::Cleared => Self::Cleared,
        }
    }
}

fn closed(ending: Ending) -> HappenedTold {
    let (by_server, code) = match ending {
        Ending::Closed(code) => (true, Some(code.code())),
        Ending::Left(code) => (false, code),
        Ending::Broke => (false, None),
    };
    HappenedTold::Closed {
        by_server,
        code,
        broke: ending == Ending::Broke,
    }
}

impl HappenedTold {
    fn happened(self) -> Option<Happened> {
        Some(match self {
            Self::Connected { kind: name } => Happened::Connected(kind(&name)),
            Self::Authenticated => Happened::Authenticated,
            Self::Subscribed {
                position,
                recovered,
                replayed,
                reach,
            } => Happened::Subscribed {
                position: position.and_then(read_position),
                recovered,
                replayed,
                reach,
            },
            Self::Unsubscribed => Happened::Unsubscribed,
            Self::Ended { code } => Happened::Ended(read_error(&code)?),
            Self::Refused { request, code } => Happened::Refused {
                request: REQUESTS.into_iter().find(|known| *known == request)?,
                code: read_error(&code)?,
            },
            Self::Closed {
                by_server: true,
                code,
                ..
            } => {
                let mut known = CloseCode::ALL.into_iter();
                let known = known.find(|known| Some(known.code()) == code);
                Happened::Closed(Ending::Closed(known?))
            }
            Self::Closed { broke: true, .. } => Happened::Closed(Ending::Broke),
            Self::Closed { code, .. } => Happened::Closed(Ending::Left(code)),
            Self::CaughtUp { since_ms } => Happened::CaughtUp(since_ms),
            Self::Conflated { after, before } => Happened::Conflated { after, before },
            Self::Dropped { from, to } => Happened::Dropped(from, to),
            Self::DroppedSince { since_ms } => Happened::DroppedSince(since_ms),
            Self::Stored { id, offset } => Happened::Stored {
                id: MessageId(u128::from_str_radix(&id, 16).ok()?),
                offset,
            },
            Self::InboxRead { after, up_to, live } => Happened::InboxRead { after, up_to, live },
            Self::Acknowledged { up_to } => Happened::Acknowledged(up_to),
            Self::Cleared => Happened::Cleared,
            Self::Unknown => return None,
        })
    }
}

fn read_position((epoch, offset): (String, u64)) -> Option<Position> {
    let epoch = epoch.parse().ok()?;
    Some(Position { epoch, offset })
}

fn read_error(code: &str) -> Option<ErrorCode> {
    ErrorCode::ALL
        .into_iter()
        .find(|known| known.as_str() == code)
}
