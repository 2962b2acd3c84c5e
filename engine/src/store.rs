//! What the engine asks of the store. The server answers each request with one [`StoreAnswer`], in the order in which
//! one shard asked.

use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, TenantId, UserId};

use crate::publication::{Content, InboxMessage};

/// A request to the store. Writes are answered when they will survive (see `durability`).
#[derive(Debug, Clone)]
pub enum StoreRequest {
    /// Reads where a durable channel stands.
    ///
    /// A record's last offset becomes at least that of `start`: no offset that was told is given out again in the epoch.
    OpenChannel {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Where a channel without a record begins.
        start: Position,
        /// The epoch from now on of a channel with a record. Given when the channel has been in use without the store, or
        /// will be: then no position from before may count as complete.
        renewed: Option<Epoch>,
    },
    /// Adds a publication to a durable channel and trims it, unless it is there already ([`StoreAnswer::Known`]).
    Append {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Its offset.
        offset: u64,
        /// The content.
        content: Content,
        /// What the channel keeps.
        keep: Keep,
        /// When the sender chose the id of the content.
        once: Option<Once>,
    },
    /// Reads publications of a durable channel after `after`, oldest first; with `newest`, the last `limit` of them.
    ReadHistory {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Only larger offsets.
        after: u64,
        /// At most so many.
        limit: u64,
        /// True = the newest `limit`, false = the oldest `limit`; always returned oldest first.
        newest: bool,
    },
    /// Stores the setting of a channel; trims to `length` at the next append. `None` removes setting and history. With
    /// `None` or 0, the channel may be used without the store from now on: its record gets another epoch.
    SetHistory {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Publications kept.
        length: Option<u64>,
    },
    /// Removes the kept publications, or one of them; offsets go on from where they are.
    DeleteHistory {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// `None` = all.
        id: Option<crate::MessageId>,
    },
    /// Adds a private message, unless it was there already ([`StoreAnswer::Known`]), or `limit` messages wait
    /// ([`StoreAnswer::Full`]).
    InboxAppend {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The content.
        content: Content,
        /// Most waiting messages.
        limit: u64,
        /// When the sender chose the id of the content.
        once: Option<Once>,
    },
    /// Reads waiting private messages after an offset, oldest first.
    InboxRead {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Only larger offsets.
        after: u64,
        /// At most so many.
        limit: u64,
    },
    /// Removes private messages up to and including an offset (`u64::MAX` = all).
    InboxRemove {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The offset.
        up_to: u64,
    },
    /// Records when a user went offline; `None` = is online now.
    SetLastSeen {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Unix seconds.
        time: Option<u64>,
    },
    /// Reads when a user was last seen: unix seconds, `None` = never.
    LastSeen {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Reads the text in `users_data`.
    UserData {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Whether `pipes_members` lists the user for the channel.
    IsMember {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// The user.
        user: UserId,
    },
}

/// What makes a second message with the same id a retry: the store notes it together with the message, and keeps it for
/// its time, whatever becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Tells the content from other content under the same id.
    pub digest: u64,
    /// Until then, unix milliseconds. The content's own time is the present.
    pub until_ms: u64,
}

/// What a durable channel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many publications; `u64::MAX` = no limit by number.
    pub publications: u64,
    /// Those younger than this, in milliseconds; `u64::MAX` = no limit by age.
    pub age_ms: u64,
}

/// A publication as the store keeps it.
#[derive(Debug, Clone)]
pub struct StoredPublication {
    /// Its offset.
    pub offset: u64,
    /// The last offset of the channel when it was added: what is between the two was never delivered.
    pub previous: u64,
    /// The content.
    pub content: Content,
}

/// The store's answer.
#[derive(Debug, Clone)]
pub enum StoreAnswer {
    /// To `OpenChannel`.
    Channel {
        /// Where it stands.
        position: Position,
    },
    /// To `ReadHistory`.
    History(Vec<StoredPublication>),
    /// To `InboxAppend`: the offset it got.
    InboxOffset(u64),
    /// To `InboxAppend`: too many wait already; nothing was stored.
    Full,
    /// To `Append` and `InboxAppend`: a message with this id was stored before; now, nothing was.
    Known {
        /// Where.
        offset: u64,
        /// What it was.
        digest: u64,
    },
    /// To `InboxRead`.
    Inbox(Vec<InboxMessage>),
    /// To `Append`, `SetHistory`, `DeleteHistory`, `InboxRemove`, `SetLastSeen`: rows that changed.
    Changed(u64),
    /// To `LastSeen`.
    LastSeen(Option<u64>),
    /// To `UserData`; empty when there is none.
    UserData(String),
    /// To `IsMember`.
    Member(bool),
}

/// The store could not do it: disk full, file damaged. The message is for logs and for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store could not do that: {0}")]
pub struct StoreFailure(pub String);
