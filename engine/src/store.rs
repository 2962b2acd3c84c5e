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
        /// In a cluster, which log to follow from now on; answered by [`StoreAnswer::Opened`]. `start` and `renewed` say
        /// nothing then. `None` = this node orders the channel itself.
        log: Option<LogKind>,
    },
    /// Adds a publication to a durable channel and trims it, unless it is there already ([`StoreAnswer::Known`]).
    Append {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Its offset; 0 when a log gives it one ([`StoreAnswer::Appended`]).
        offset: u64,
        /// The content.
        content: Content,
        /// What the channel keeps.
        keep: Keep,
        /// When the sender chose the id of the content.
        once: Option<Once>,
        /// In a cluster, which log.
        log: Option<LogKind>,
    },
    /// Reads publications of a durable channel after `after`, oldest first; with `newest`, the last `limit` of them. From a
    /// log it is answered by [`StoreAnswer::HistoryPart`].
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
        /// In a cluster, which log.
        log: Option<LogKind>,
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
        /// In a cluster, which log.
        log: Option<LogKind>,
    },
    /// In a cluster: something was delivered that the log does not have. Notes in it that no position from before is
    /// complete; all who follow the channel hear of it ([`LogEvent::Gap`](crate::LogEvent::Gap)).
    MarkGap {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Which log.
        log: LogKind,
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
    /// Removes one private message.
    InboxRemoveOne {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Its offset.
        offset: u64,
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

/// Which of a cluster's logs puts a channel in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// None: a channel without history, which is only followed.
    Live,
    /// The one in memory, for recovery windows.
    Window,
    /// The one on disk.
    Durable,
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
    /// To `OpenChannel` of a log. What the log got after `position` is told by [`LogEvent`](crate::LogEvent)s that come
    /// after this answer.
    Opened {
        /// Where the channel stands; says nothing for [`LogKind::Live`].
        position: Position,
        /// `recent` has all publications after this offset.
        floor: u64,
        /// What the recovery window holds, oldest first, up to `position`.
        recent: Vec<StoredPublication>,
    },
    /// To `ReadHistory`.
    History(Vec<StoredPublication>),
    /// To `ReadHistory` of a log: all that the log has by now.
    HistoryPart {
        /// Oldest first.
        rows: Vec<StoredPublication>,
        /// True when nothing of what was delivered after `after` is missing in them: they reach the log's end, nothing was
        /// trimmed or deleted, no gap was marked.
        whole: bool,
    },
    /// To `Append`: the log gave it this place. It comes to those who follow the channel by a
    /// [`LogEvent`](crate::LogEvent), before or after this answer.
    Appended {
        /// Its offset.
        offset: u64,
    },
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
    Inbox {
        /// What waits, oldest first.
        messages: Vec<InboxMessage>,
        /// What of this user had an offset up to here and is not among them was gone when it was read. 0 = the store answers in
        /// the order in which it is asked, and what comes later is newer.
        end: u64,
    },
    /// To `Append`, `SetHistory`, `DeleteHistory`, `MarkGap`, `InboxRemove`, `InboxRemoveOne`, `SetLastSeen`: rows that changed.
    Changed(u64),
    /// To `LastSeen`.
    LastSeen(Option<u64>),
    /// To `UserData`; empty when there is none.
    UserData(String),
    /// To `IsMember`.
    Member(bool),
}

/// The store could not do it. The message is for logs and for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFailure {
    /// Disk full, file damaged.
    #[error("the store could not do that: {0}")]
    Failed(String),
    /// The cluster's log has no majority of its servers for the time being, and says nothing.
    #[error("the cluster's log is out of reach; try again")]
    NoQuorum,
}
