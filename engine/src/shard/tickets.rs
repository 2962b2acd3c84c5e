//! What goes on when the store answers.

use slab::Slab;

use cometql_protocol::wire::{Position, Request};
use cometql_protocol::{ChannelName, UserId};

use super::{ChannelKey, UserKey};
use crate::publication::Content;
use crate::{ConnectionId, MessageId};

/// Open questions to the store, by ticket.
pub(super) struct Tickets<T> {
    open: Slab<Then<T>>,
}

/// What goes on with the answer.
pub(super) enum Then<T> {
    /// A durable channel was opened.
    Opened(ChannelKey),
    /// A publication is kept: deliver it.
    Appended {
        key: ChannelKey,
        offset: u64,
        content: Content,
        origin: Origin<T>,
    },
    /// History for a `history` request.
    History {
        connection: ConnectionId,
        request: u32,
        key: ChannelKey,
        after: u64,
        /// Where the channel stood when it was asked: what is read holds all up to there.
        asked: Option<Position>,
    },
    /// History for a subscription that goes on where it was.
    Replay(Replay),
    /// What this node lacks of a channel, for a subscription that comes from another node.
    CaughtUp(Replay),
    /// The log was told that it lacks something.
    GapMarked(ChannelKey),
    /// The history of a channel is deleted, and then its setting is.
    HistoryRemoved { key: ChannelKey, token: T },
    /// A setting is stored.
    SettingStored {
        key: ChannelKey,
        length: Option<u64>,
        token: T,
    },
    /// Publications are deleted.
    HistoryDeleted {
        key: ChannelKey,
        id: Option<MessageId>,
        token: T,
    },
    /// A private message is kept: deliver it.
    InboxAppended {
        key: UserKey,
        content: Content,
        token: T,
    },
    /// Waiting private messages for a connection.
    InboxRead {
        key: UserKey,
        connection: ConnectionId,
        after: u64,
        /// In a cluster, the last one that had arrived when it was asked.
        arrived: u64,
    },
    /// Private messages are acknowledged.
    InboxAcked {
        key: UserKey,
        connection: ConnectionId,
        request: u32,
        up_to: u64,
    },
    /// A private message that was acknowledged without the log is removed from it.
    UnstoredRemoved((UserKey, u64)),
    /// An inbox is emptied by a backend.
    InboxCleared(T),
    /// When a user was last seen.
    LastSeen {
        connection: ConnectionId,
        request: u32,
        user: UserId,
    },
    /// A user's text.
    UserData {
        connection: ConnectionId,
        request: u32,
        user: UserId,
    },
    /// Whether the user of a session is a member of a channel: then its request is granted.
    Member {
        connection: ConnectionId,
        request: Request,
    },
    /// Nobody waits.
    Nothing,
}

/// Who publishes.
pub(super) enum Origin<T> {
    /// A backend.
    Command(T),
    /// A browser.
    Browser {
        connection: ConnectionId,
        request: u32,
        subscribed: bool,
    },
    /// The engine itself.
    Internal,
}

/// Who subscribes.
#[derive(Clone, Copy)]
pub(super) struct Newcomer {
    pub(super) connection: ConnectionId,
    pub(super) request: u32,
    pub(super) attempt: u32,
    pub(super) may_read_history: bool,
}

/// A subscription that waits for publications from the store.
pub(super) struct Replay {
    pub(super) newcomer: Newcomer,
    pub(super) key: ChannelKey,
    pub(super) since: Position,
    /// What was delivered when the store was asked.
    pub(super) delivered: u64,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self { open: Slab::new() }
    }
}

impl<T> Tickets<T> {
    /// The ticket for a question that goes on like this.
    pub(super) fn open(&mut self, then: Then<T>) -> u64 {
        self.open.insert(then) as u64
    }

    /// Takes back what goes on. Each ticket is answered once.
    pub(super) fn close(&mut self, ticket: u64) -> Then<T> {
        let key = usize::try_from(ticket).expect("a ticket is an index that was handed out");
        self.open.remove(key)
    }
}

/// The name alone, for messages to a connection's shard.
pub(super) fn name(key: &ChannelKey) -> ChannelName {
    key.1.clone()
}
