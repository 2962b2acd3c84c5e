//! What a node of a cluster hears of the cluster, and what it tells the others.
//!
//! The edge puts the log's events in order: those of one channel, and those of one inbox, come as the log has them.

use cometql_protocol::wire::Member;
use cometql_protocol::{ChannelName, TenantId, UserId};

use crate::publication::{Content, InboxMessage};
use crate::{Departure, MessageId};

/// A member of the cluster: one life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// What a shard must know of its cluster, see [`Shard::join_cluster`](crate::Shard::join_cluster).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterSettings {
    /// This node.
    pub node: NodeId,
    /// What becomes of publications that the log can't take.
    pub on_quorum_loss: QuorumLoss,
}

/// What becomes of publications to channels with history while the log's quorum is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuorumLoss {
    /// They are delivered without an offset, and the publisher is told that they were not stored.
    #[default]
    Live,
    /// They are refused.
    Refuse,
}

/// What happened in the cluster. Events of a channel go to the shard that sequences it
/// ([`shard_of_channel`](crate::ids::shard_of_channel)), those of a user to its home
/// ([`shard_of_user`](crate::ids::shard_of_user)), those of a node to all shards.
#[derive(Debug, Clone)]
pub enum LogEvent {
    /// The next publication of a followed channel, whichever node published it, this one included. One that came before
    /// is dropped.
    Publication {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Its place in the log.
        offset: u64,
        /// False when something may be missing between it and what the edge told before.
        complete: bool,
        /// The content.
        content: Content,
    },
    /// Another node published what no log has.
    Live {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// The content.
        content: Content,
        /// True when a log should have it, and its quorum was lost.
        lossy: bool,
    },
    /// Something was published that the log does not have ([`StoreRequest::MarkGap`](crate::StoreRequest::MarkGap)).
    Gap {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// The place of the note.
        offset: u64,
    },
    /// History was deleted, on whatever node.
    Removed {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// `None` = all.
        id: Option<MessageId>,
        /// The place of the note.
        offset: u64,
    },
    /// The log of a followed channel began a new life, or lost what the edge has not told yet: the channel is opened
    /// anew, and its subscribers come back with their positions.
    Reset {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
    },
    /// The next private message for a followed user. One that came before is dropped.
    Inbox {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The message; its offset is the log's.
        message: InboxMessage,
    },
    /// The log has lost what it had for a user, and counts anew: what it has now is read.
    InboxReset {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Private messages were acknowledged or removed on another node.
    InboxRemoved {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Up to this offset.
        up_to: u64,
    },
    /// Another node sends a private message that the log could not take.
    Unstored {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The content.
        content: Content,
    },
    /// On another node, somebody has acknowledged such a message.
    Taken {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The message.
        id: MessageId,
    },
    /// `pipes_settings` has another row for a channel, whichever node wrote it; `None` = none.
    Setting {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Publications kept.
        length: Option<u64>,
    },
    /// Another node announced [`Announce::Joined`].
    Joined {
        /// Where.
        node: NodeId,
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Who.
        member: Member,
    },
    /// Another node announced [`Announce::Left`].
    Left {
        /// Where.
        node: NodeId,
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Who.
        member: Member,
        /// Whether it may be back soon, on whatever node.
        departure: Departure,
    },
    /// All members that a channel has on another node: the answer to [`Announce::Watch`].
    Present {
        /// Where.
        node: NodeId,
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Who, each as often as it is subscribed.
        members: Vec<Member>,
    },
    /// Another node announced [`Announce::User`].
    User {
        /// Where.
        node: NodeId,
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Whether it is there.
        there: UserThere,
    },
    /// All users of another node whose home is this shard, and of each whether a connection reads private messages as in
    /// [`UserThere::Online`].
    Users {
        /// Where.
        node: NodeId,
        /// Who.
        users: Vec<(TenantId, UserId, bool)>,
    },
    /// Another node became a member.
    NodeUp(NodeId),
    /// Another node is no member any more: whoever was there has left.
    NodeGone(NodeId),
}

/// What a node tells the others. They hear it as a [`LogEvent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announce {
    /// Somebody joined a channel that tells so: to nodes that follow it.
    Joined {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Who.
        member: Member,
    },
    /// Somebody left such a channel.
    Left {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
        /// Who.
        member: Member,
        /// Whether it may be back soon.
        departure: Departure,
    },
    /// Asks who is in a channel on the other nodes, as somebody here is told who joins and leaves from now on, until the
    /// channel is unfollowed. To be asked again after a time without the cluster. Answered by [`LogEvent::Present`].
    Watch {
        /// Whose channel.
        tenant: TenantId,
        /// The channel.
        channel: ChannelName,
    },
    /// A user came, went or changed on this node: to all.
    User {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Whether it is here.
        there: UserThere,
    },
}

/// Whether a user is on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserThere {
    /// It has a connection, or its return is awaited.
    Online {
        /// One of the connections acknowledges private messages by itself: writing them to the original's sockets does not.
        reads: bool,
    },
    /// It has none any more.
    Offline {
        /// The node knew of no other one where it was, and told that it is offline.
        told: bool,
    },
}
