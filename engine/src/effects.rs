//! All that a shard may cause, and what shards tell each other.

use std::sync::Arc;

use cometql_protocol::wire::{Member, Position, Reply};
use cometql_protocol::{ChannelName, CloseCode, ErrorCode, TenantId, UserId};

use crate::publication::{Content, InboxMessage, Publication};
use crate::{
    Announce, Answer, ConnectionId, Credentials, Departure, LogKind, Reject, ShardId, StoreRequest,
};

/// What a shard may cause. The server implements it over sockets, mailboxes and the store; the simulator over queues.
pub trait Effects {
    /// Stands for whoever waits for the answer to a command (in the server: the MySQL connection).
    type Token;

    /// Sends to another shard of the node. Mailboxes are first in, first out. A shard may send to itself.
    fn send(&mut self, to: ShardId, message: Message);
    /// Hands a push to a connection of this shard. Once a private message is written to a socket that acknowledges by
    /// that, [`Outbox::Written`](crate::Outbox::Written) must follow.
    fn push(&mut self, to: ConnectionId, push: Push<'_>);
    /// Answers a request of a connection of this shard.
    fn reply(&mut self, to: ConnectionId, request: u32, reply: Reply);
    /// Refuses a request of a connection of this shard.
    fn refuse(&mut self, to: ConnectionId, request: u32, reject: &Reject, channel: Option<&str>);
    /// Closes a connection of this shard; its [`Input::Closed`](crate::Input::Closed) must still follow.
    fn close(&mut self, connection: ConnectionId, code: CloseCode);
    /// Checks credentials; the result comes back as [`Input::Authenticated`](crate::Input::Authenticated).
    fn authenticate(&mut self, connection: ConnectionId, request: u32, credentials: Credentials);
    /// Asks the store; the answer comes back as [`Input::Stored`](crate::Input::Stored) with the same ticket. Requests
    /// of one shard are carried out and answered in order.
    fn store(&mut self, ticket: u64, request: StoreRequest);
    /// Answers a command.
    fn answer(&mut self, token: Self::Token, answer: Answer);
    /// A publication has its place and goes to its subscribers, if there are any: for those who watch from the side.
    fn published(&mut self, publication: &Arc<Publication>) {
        _ = publication;
    }
    /// In a cluster: nobody here uses a channel any more that was opened as of this log; its events may stop.
    fn unfollow(&mut self, tenant: TenantId, channel: &ChannelName, log: LogKind) {
        _ = (tenant, channel, log);
    }
    /// In a cluster: private messages of a user are wanted here from now on, or no longer. A question for its inbox that
    /// follows must see all messages that are not told by [`LogEvent::Inbox`](crate::LogEvent::Inbox).
    fn follow_user(&mut self, tenant: TenantId, user: UserId, wanted: bool) {
        _ = (tenant, user, wanted);
    }
    /// In a cluster: a publication that no log has is told to other nodes that follow its channel, which hear
    /// [`LogEvent::Live`](crate::LogEvent::Live); `lossy` when a log should have it. This node has delivered it.
    fn broadcast(&mut self, publication: &Arc<Publication>, lossy: bool) {
        _ = (publication, lossy);
    }
    /// In a cluster: a private message that the log could not take is told to other nodes that follow the user, which hear
    /// [`LogEvent::Unstored`](crate::LogEvent::Unstored).
    fn send_unstored(&mut self, tenant: TenantId, user: UserId, content: &Content) {
        _ = (tenant, user, content);
    }
    /// In a cluster: somebody has acknowledged such a message. All other nodes hear
    /// [`LogEvent::Taken`](crate::LogEvent::Taken).
    fn tell_taken(&mut self, tenant: TenantId, user: UserId, id: crate::MessageId) {
        _ = (tenant, user, id);
    }
    /// In a cluster: tells the other nodes.
    fn announce(&mut self, announce: Announce) {
        _ = announce;
    }
    /// In a cluster: asks the other nodes who is in a channel. [`Message::PresenceTold`] must follow for this connection
    /// and gather, once, also when nodes did not answer.
    fn ask_presence(&mut self, ask: PresenceAsk) {
        _ = ask;
    }
    /// Counts what happened, for `/metrics` and `SHOW STATUS`.
    fn count(&mut self, event: Counted, times: u64);
    /// A fresh random number: for epochs.
    fn random(&mut self) -> u64;
}

/// A question to the other nodes: who is in a channel?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceAsk {
    /// Whose request.
    pub connection: ConnectionId,
    /// Where the answers are gathered.
    pub gather: u64,
    /// Whose channel.
    pub tenant: TenantId,
    /// The channel.
    pub channel: ChannelName,
    /// True = only how many.
    pub count_only: bool,
}

/// Something unasked for a connection.
#[derive(Debug, Clone, Copy)]
pub enum Push<'a> {
    /// A publication of a channel that the session subscribed to.
    Publication(&'a Arc<Publication>),
    /// The session's own publication, marked with the id of its request.
    Own(&'a Arc<Publication>, u32),
    /// Somebody joined (`true`) or left a channel.
    Presence(&'a ChannelName, bool, &'a Member),
    /// A private message.
    Inbox(&'a Arc<InboxMessage>),
    /// Something of a channel is missing, or its history is another one from now on: the client subscribes again with its
    /// last position. The subscription goes on.
    Gap(&'a ChannelName),
    /// The server ended a subscription.
    Unsubscribed(&'a ChannelName, ErrorCode, &'a str),
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Publications that got their place.
    Publications,
    /// Pushes of publications handed to connections.
    Deliveries,
    /// Private messages sent.
    InboxMessages,
    /// Requests refused.
    Refusals,
    /// Subscriptions that were answered `recovered: true`.
    Recovered,
    /// Subscriptions that asked for a position and were answered `recovered: false`.
    NotRecovered,
    /// Requests and commands refused because somebody went too fast.
    RateLimited(Limited),
}

/// Who went too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limited {
    /// One browser session.
    Connection,
    /// A user, over all connections.
    User,
    /// The browsers that publish in a channel.
    Channel,
    /// The browsers of a tenant.
    Tenant,
    /// The backends that publish in a channel.
    BackendChannel,
    /// The backends of a tenant.
    BackendTenant,
}

/// What one shard tells another (or itself): the parts "owner of connections" (local), "sequencer of a channel" and
/// "home of a user" meet only here.
#[derive(Debug, Clone)]
pub enum Message {
    /// Local → sequencer.
    Subscribe {
        /// Who.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Tells this subscription from an earlier one of the same connection to the same channel.
        attempt: u32,
        /// Last position seen.
        since: Option<Position>,
        /// Whether the session may read history: if not, it recovers from the window only.
        may_read_history: bool,
        /// Who joins, where the channel tells others.
        joins: Option<Member>,
    },
    /// Local → sequencer: one subscription less.
    Unsubscribe {
        /// Who.
        connection: ConnectionId,
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Who leaves, where the channel tells others.
        leaves: Option<Member>,
        /// Whether others are told at once.
        departure: Departure,
    },
    /// Local → sequencer: a browser publishes.
    Publish {
        /// Who.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// The content.
        content: Content,
        /// True when the publisher is subscribed itself: its own copy counts as reached by nobody.
        subscribed: bool,
    },
    /// Local → sequencer: kept publications are asked for.
    History {
        /// Who.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Only those after it.
        since: Option<Position>,
        /// At most so many, the newest.
        limit: u64,
    },
    /// Sequencer → local: the answer to `Subscribe`. What it does not replay comes later through the same mailbox.
    Subscribed {
        /// Who.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// The channel.
        channel: ChannelName,
        /// As in `Subscribe`.
        attempt: u32,
        /// Where the channel is; `None` without history.
        position: Option<Position>,
        /// True when the replay reaches back to the position asked for.
        recovered: bool,
        /// What was missed, oldest first.
        replay: Vec<Arc<Publication>>,
    },
    /// Sequencer → local: a request failed after it left the session's shard.
    Refused {
        /// Who.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// The channel.
        channel: ChannelName,
        /// As in `Subscribe`, if that was asked: the subscription is none.
        attempt: Option<u32>,
        /// Why.
        reject: Reject,
    },
    /// Sequencer → local: the answer to `Publish`.
    Published {
        /// Who.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// The offset.
        offset: Option<u64>,
        /// How many connections it was sent to.
        reached: u64,
    },
    /// Sequencer → local: the answer to `History`.
    HistoryRead {
        /// Who.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// The channel.
        channel: ChannelName,
        /// Where the channel is.
        position: Option<Position>,
        /// Oldest first.
        publications: Vec<Arc<Publication>>,
    },
    /// Sequencer → every local shard with subscribers.
    Deliver {
        /// What.
        publication: Arc<Publication>,
        /// The browser that published it, with the id of its request.
        origin: Option<(ConnectionId, u32)>,
    },
    /// Sequencer → every local shard with subscribers: they are to come back with their positions.
    Gap {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
    },
    /// Sequencer → every local shard with subscribers: a join or leave, not told to the connection concerned.
    Presence {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// True = joined.
        joined: bool,
        /// Who.
        member: Member,
        /// Not told to this one; `None` = it is on another node.
        except: Option<ConnectionId>,
        /// When it left, unix milliseconds; 0 for a join that is no return. A leave is told to subscriptions that began until
        /// then, a return to later ones: the others know already who is there.
        left_ms: u64,
    },
    /// Local → all shards: who is in this channel?
    PresenceAsk {
        /// Whose request.
        connection: ConnectionId,
        /// Where the answers are gathered.
        gather: u64,
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// True = only how many.
        count_only: bool,
    },
    /// Answer to `PresenceAsk`.
    PresenceTold {
        /// Whose request.
        connection: ConnectionId,
        /// Where the answers are gathered.
        gather: u64,
        /// Who, unless only the number was asked for.
        members: Vec<Member>,
        /// How many.
        count: u64,
    },
    /// Local → home of the user: a connection proved to be this user.
    UserOnline {
        /// Who.
        connection: ConnectionId,
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// True when the connection wants private messages.
        inbox: bool,
        /// True when writing a message to the socket counts as its acknowledgement (the original's protocol).
        acknowledges_by_write: bool,
    },
    /// Local → home of the user: that connection is gone.
    UserOffline {
        /// Who.
        connection: ConnectionId,
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Whether others are told at once.
        departure: Departure,
    },
    /// Home → local: private messages for one connection.
    Inbox {
        /// For whom.
        connection: ConnectionId,
        /// Oldest first.
        messages: Vec<Arc<InboxMessage>>,
    },
    /// Local → home: those messages were written to the socket of a connection that acknowledges by that.
    InboxWritten {
        /// Which connection.
        connection: ConnectionId,
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The last one's offset.
        up_to: u64,
    },
    /// Local → home: acknowledged up to this offset.
    InboxAck {
        /// Whose request.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The offset.
        up_to: u64,
    },
    /// Home → local: the answer to `InboxAck`; those messages won't come again.
    InboxAcked {
        /// Whose request.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
    },
    /// Home → local: `InboxAck` could not be stored; the messages will come again.
    AckRefused {
        /// Whose request.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// Why.
        reject: Reject,
    },
    /// Local → home: is the user online, and since when not?
    StatusAsk {
        /// Whose request.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Answer to `StatusAsk`.
    StatusTold {
        /// Whose request.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// The user.
        user: UserId,
        /// `None` = online now.
        last_seen: Option<u64>,
    },
    /// Home of a user → sequencer: publish without an answer (`user_status_<id>`).
    PublishInternal {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// The content.
        content: Content,
    },
    /// Edge → all shards: close connections.
    Disconnect(Disconnect),
    /// Edge → all shards: rows of `pipes_members` are gone, and with them the subscriptions that needed them.
    MembersRemoved {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// `None` = all its members.
        user: Option<UserId>,
    },
}

/// Which connections to close, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disconnect {
    /// All connections of a user: its hash was deleted or its rights were revoked.
    User {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// All connections that logged in with this token, by its SHA-256.
    Token {
        /// Whose token.
        tenant: TenantId,
        /// SHA-256 of the token's text.
        digest: [u8; 32],
    },
    /// `KILL`: one connection.
    Connection {
        /// Only if it is this tenant's; `None` = whose ever (the `[admin]` log-in).
        tenant: Option<TenantId>,
        /// The connection.
        connection: ConnectionId,
    },
}
