//! What backends may change, and what came of it.

use std::sync::Arc;

use cometql_protocol::{ChannelName, EventName, TenantId, UserId};

use crate::{MessageId, Reject};

/// The content of a publication or private message as a backend gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its UUID.
    pub id: MessageId,
    /// True when the sender chose the id: then a second one with it is a retry, see [`Limits::retry_ms`](crate::Limits).
    /// False when the edge made it.
    pub once: bool,
    /// The label, may be empty.
    pub event: EventName,
    /// The payload's text.
    pub data: Arc<str>,
    /// True when `data` is a valid JSON object or array (the edge looked).
    pub data_is_json: bool,
}

/// A change that a backend asks of the engine. Rights were checked by the edge: a backend may do all within its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `INSERT INTO pipes_messages`.
    Publish {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// The content.
        draft: Draft,
    },
    /// `INSERT INTO users_messages`.
    Send {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The content.
        draft: Draft,
    },
    /// `DELETE FROM users_messages WHERE id = user`: empties the inbox.
    ClearInbox {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// `INSERT INTO pipes_settings`: the channel keeps its last `length` publications on disk; 0 = no longer.
    SetHistory {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Publications kept.
        length: u64,
    },
    /// `DELETE FROM pipes_settings`: removes the setting and the history.
    RemoveHistory {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
    },
    /// `DELETE FROM pipes_messages WHERE name = channel`: removes what is kept, the setting stays.
    ClearHistory {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
    },
    /// `DELETE FROM pipes_messages WHERE name = channel AND id = publication`.
    DeletePublication {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// The publication.
        id: MessageId,
    },
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `Publish`.
    Published {
        /// The publication's offset; `None` for a channel without history.
        offset: Option<u64>,
        /// To how many connections of this node it was sent.
        reached: u64,
        /// True when the channel's history lacks it, because the cluster's log was out of reach: it was only delivered.
        lossy: bool,
    },
    /// To `Send`: it is in the inbox, and was sent to so many open connections of the user.
    Sent {
        /// Its offset in the inbox.
        offset: u64,
        /// To how many connections of this node it was sent.
        reached: u64,
        /// True when it is in no inbox, because the cluster's log was out of reach: somebody has acknowledged it all the same.
        lossy: bool,
    },
    /// To the others: how many stored rows changed.
    Done {
        /// Rows.
        rows: u64,
    },
    /// Nothing was changed.
    Rejected(Reject),
}
