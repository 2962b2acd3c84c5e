//! What a subscription brings: events, made of what the session delivers.

use std::time::{Duration, SystemTime};

use cometql_protocol::UNSTORED_OFFSET;
use cometql_protocol::wire::{Push, decode_push};

use super::Position;

/// What a subscription brings. A loss is never silent: it is a `Gap`, or an error of `next`.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Event {
    /// A publication in one of the channels. Those of a channel with history come in order, each once.
    Publication {
        /// The publication.
        publication: Received,
    },
    /// A private message of the user. It comes again, in this subscription or a later one, until it is acknowledged.
    Message {
        /// The message.
        message: PrivateMessage,
    },
    /// Listening to a channel began.
    Subscribed {
        /// The channel.
        channel: String,
        /// Where it begins, to store until a publication comes: the given position if everything since then follows, else where
        /// the channel is now. None = it has no history.
        position: Option<Position>,
        /// true: everything since the given position follows. false: no position was given, or something is lost; then a `Gap`
        /// follows.
        recovered: bool,
    },
    /// The connection had broken or the node had gone; listening to the channel goes on and nothing is missing.
    Recovered {
        /// The channel.
        channel: String,
    },
    /// Something of the channel is lost and will not come: load its state anew. Listening goes on.
    Gap {
        /// The channel.
        channel: String,
        /// Where it goes on: what to store in place of an older position; None = the channel has no history.
        position: Option<Position>,
    },
    /// The server refused a channel or ended the subscription to it; the other ones go on. When no channel and no inbox is
    /// left, `next` fails after this event.
    Refused {
        /// The channel.
        channel: String,
        /// Why: a code of the browser protocol, `permission_denied` for example. Codes are stable.
        code: String,
        /// The same, for people.
        detail: String,
    },
    /// Somebody subscribed to a channel that tells of it, `track_…` for example.
    Joined {
        /// The channel.
        channel: String,
        /// The user's id; None = nobody has logged in there.
        user: Option<u64>,
        /// The name that the browser or listener gave itself, may be empty.
        name: String,
    },
    /// Somebody left such a channel.
    Left {
        /// The channel.
        channel: String,
        /// The user's id; None = nobody had logged in there.
        user: Option<u64>,
        /// The name that the browser or listener gave itself, may be empty.
        name: String,
    },
    /// There is a connection. What each channel missed is told by `Subscribed`, `Recovered` or `Gap`.
    Online {
        /// The url of the node.
        url: String,
    },
    /// There is no connection; the next attempt is made without being asked for.
    Offline {
        /// Why.
        detail: String,
        /// In how many milliseconds the next attempt is made.
        retry_ms: u64,
    },
    /// Something failed that does not end listening: a newer token that was refused, for example.
    Trouble {
        /// A code of the browser protocol, or `key` if a token could not be made.
        code: String,
        /// The same, for people.
        detail: String,
    },
}

/// A publication as a listener gets it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Received {
    /// The channel.
    pub channel: String,
    /// The label, may be empty.
    pub event: String,
    /// The payload, as it was published: the text of a JSON object or array, or any other text.
    pub message: String,
    /// The user's id, if a logged-in browser published it and did not hide who it is.
    pub user: Option<u64>,
    /// When it was published, by the server's clock, to the millisecond.
    pub at: SystemTime,
    /// Its place: what to store, and to give as `since` later. None = the channel has no history.
    pub position: Option<Position>,
}

/// A private message as a listener gets it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PrivateMessage {
    /// The label, may be empty.
    pub event: String,
    /// The payload, as it was sent.
    pub message: String,
    /// When it was sent, by the server's clock, to the millisecond.
    pub at: SystemTime,
    /// Its place in the inbox: what `acknowledge` takes. The same offset is the same message.
    pub offset: u64,
    /// false: a cluster whose log could not take it delivers it directly; offsets of such messages rise in no order.
    pub stored: bool,
}

impl Event {
    /// A publication push.
    pub(super) fn publication(
        channel: &str,
        position: Option<Position>,
        text: &str,
    ) -> Option<Self> {
        let Some(Push::Content {
            event,
            data,
            time_ms,
            user,
        }) = decode_push(text)
        else {
            return None;
        };
        let publication = Received {
            channel: channel.to_owned(),
            event,
            message: data,
            user: user.map(cometql_protocol::UserId::get),
            at: at(time_ms),
            position,
        };
        Some(Self::Publication { publication })
    }

    /// A private message's push.
    pub(super) fn message(offset: u64, text: &str) -> Option<Self> {
        let Some(Push::Content {
            event,
            data,
            time_ms,
            ..
        }) = decode_push(text)
        else {
            return None;
        };
        let message = PrivateMessage {
            event,
            message: data,
            at: at(time_ms),
            offset,
            stored: offset < UNSTORED_OFFSET,
        };
        Some(Self::Message { message })
    }

    /// A push of somebody who joined or left.
    pub(super) fn presence(channel: &str, text: &str) -> Option<Self> {
        let Some(Push::Presence { joined, member }) = decode_push(text) else {
            return None;
        };
        let channel = channel.to_owned();
        let user = member.user.map(cometql_protocol::UserId::get);
        let name = member.uuid;
        Some(if joined {
            Self::Joined {
                channel,
                user,
                name,
            }
        } else {
            Self::Left {
                channel,
                user,
                name,
            }
        })
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        let texts = match self {
            Self::Publication { publication } => {
                publication.channel.len() + publication.event.len() + publication.message.len()
            }
            Self::Message { message } => message.event.len() + message.message.len(),
            Self::Subscribed { channel, .. }
            | Self::Recovered { channel }
            | Self::Gap { channel, .. } => channel.len(),
            Self::Refused {
                channel, detail, ..
            } => channel.len() + detail.len(),
            Self::Joined { channel, name, .. } | Self::Left { channel, name, .. } => {
                channel.len() + name.len()
            }
            Self::Online { url } => url.len(),
            Self::Offline { detail, .. } | Self::Trouble { detail, .. } => detail.len(),
        };
        texts + size_of::<Self>()
    }
}

fn at(time_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time_ms)
}
