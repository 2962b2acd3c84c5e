//! One message in a channel, and one in an inbox.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cometql_protocol::wire::{Epoch, PublicationView};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId};

use crate::MessageId;
use crate::permission::Conflate;

/// Wire encodings of which a publication caches its bytes. The server's codecs number them; the engine only counts.
pub const ENCODINGS: usize = 4;

/// A publication as every subscriber of a node shares it. Immutable, but for the encoded frames that are made on first
/// use: once per encoding, never once per subscriber.
#[derive(Debug)]
pub struct Publication {
    /// Its UUID.
    pub id: MessageId,
    /// Whose channel.
    pub tenant: TenantId,
    /// The channel.
    pub channel: ChannelName,
    /// The label, may be empty.
    pub event: EventName,
    /// The payload's text.
    pub data: Arc<str>,
    /// True when `data` is a valid JSON object or array.
    pub data_is_json: bool,
    /// When it was published, unix milliseconds.
    pub time_ms: u64,
    /// The sender, where it is a logged-in browser that did not hide itself.
    pub user: Option<UserId>,
    /// True when a browser sent it, anonymous and hidden senders included; false once it was read from a store.
    pub from_browser: bool,
    /// True when the sender chose the id: nodes that hear of the publication know a second one by it.
    pub once: bool,
    /// Its place in the channel's history; `None` on channels without history.
    pub place: Option<Place>,
    /// Whether only the newest waits for a slow consumer.
    pub conflate: Option<Conflate>,
    frames: [OnceLock<Bytes>; ENCODINGS],
}

/// A place in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The life of the history.
    pub epoch: Epoch,
    /// Rising within the epoch.
    pub offset: u64,
    /// The offset of the publication before this one; 0 = none.
    pub previous: u64,
}

/// What a publication says, before it has a place.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its UUID.
    pub id: MessageId,
    /// The label, may be empty.
    pub event: EventName,
    /// The payload's text.
    pub data: Arc<str>,
    /// True when `data` is a valid JSON object or array.
    pub data_is_json: bool,
    /// When it was published, unix milliseconds.
    pub time_ms: u64,
    /// The sender, where it is a logged-in browser that did not hide itself.
    pub user: Option<UserId>,
    /// True when a browser sent it, anonymous and hidden senders included. Told live only: histories don't keep it.
    pub from_browser: bool,
    /// True when the sender chose the id, so that a second one is a retry. False once it was read from a store.
    pub once: bool,
}

impl Publication {
    /// Gives content its place.
    #[must_use]
    pub fn new(
        tenant: TenantId,
        channel: ChannelName,
        content: Content,
        place: Option<Place>,
    ) -> Self {
        let Content {
            id,
            event,
            data,
            data_is_json,
            time_ms,
            user,
            from_browser,
            once,
        } = content;
        let frames = Default::default();
        Self {
            id,
            tenant,
            channel,
            event,
            data,
            data_is_json,
            time_ms,
            user,
            from_browser,
            once,
            place,
            conflate: None,
            frames,
        }
    }

    /// The frame in the given encoding, made by `encode` at the first call.
    pub fn frame(&self, encoding: usize, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.frames[encoding].get_or_init(|| encode(self))
    }

    /// The offset, 0 without history.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.place.map_or(0, |place| place.offset)
    }

    /// What the browser protocol encodes; `request` marks the publisher's own copy.
    #[must_use]
    pub fn view(&self, request: Option<u32>) -> PublicationView<'_> {
        PublicationView {
            channel: &self.channel,
            event: self.event.as_str(),
            data: &self.data,
            data_is_json: self.data_is_json,
            offsets: self.place.map(|place| (place.offset, place.previous)),
            time_ms: self.time_ms,
            user: self.user,
            request,
        }
    }
}

/// A private message as all connections of its user share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxMessage {
    /// Its UUID.
    pub id: MessageId,
    /// Its place in the inbox, rising; what an acknowledgement repeats.
    pub offset: u64,
    /// The label, may be empty.
    pub event: EventName,
    /// The payload's text.
    pub data: Arc<str>,
    /// True when `data` is a valid JSON object or array.
    pub data_is_json: bool,
    /// When it was sent, unix milliseconds.
    pub time_ms: u64,
    /// True when it waited in the inbox before this connection came.
    pub waited: bool,
}
