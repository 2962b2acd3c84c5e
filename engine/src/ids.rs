//! Numbers that name things inside a node.

use std::fmt;
use std::hash::BuildHasher as _;
use std::num::NonZeroU64;

use cometql_protocol::{TenantId, UserId};
use foldhash::fast::FixedState;

/// A moment: unix time in milliseconds, never going backwards within a shard. The engine has no clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now(pub u64);

impl Now {
    /// Whole unix seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// Which shard of the node, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u8);

/// Most shards of a node.
pub const MAX_SHARDS: usize = 256;

/// The shard that sequences a channel, of `shards`.
#[must_use]
pub fn shard_of_channel(tenant: TenantId, channel: &str, shards: usize) -> ShardId {
    pick(FixedState::default().hash_one((tenant.0, channel)), shards)
}

/// The shard that is the home of a user, of `shards`.
#[must_use]
pub fn shard_of_user(tenant: TenantId, user: UserId, shards: usize) -> ShardId {
    pick(
        FixedState::default().hash_one((tenant.0, user.get())),
        shards,
    )
}

fn pick(hash: u64, shards: usize) -> ShardId {
    let index = hash % shards as u64;
    ShardId(u8::try_from(index).expect("a node has at most 256 shards"))
}

/// A live browser connection of this node: `sequence (21 bits) | slot (24 bits) | shard (8 bits)`, below 2^53.
///
/// The slot indexes the shard's slabs; the sequence tells a connection from an earlier one in the same slot. Always
/// above 2^32, so that it is never taken for the id of a MySQL connection. In a cluster the upper 7 bits of the sequence
/// are the number of the member where the connection is, from 1: so an id names one connection of the whole cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(NonZeroU64);

impl ConnectionId {
    /// Most connections of a shard.
    pub const MAX_SLOTS: usize = 1 << 24;

    /// Composes an id. `sequence` wraps within its 21 bits and skips 0.
    #[must_use]
    pub fn new(shard: ShardId, slot: usize, sequence: u32) -> Self {
        assert!(
            slot < Self::MAX_SLOTS,
            "a shard holds at most 2^24 connections"
        );
        let sequence = u64::from(sequence % ((1 << 21) - 1)) + 1;
        let number = sequence << 32 | (slot as u64) << 8 | u64::from(shard.0);
        Self(NonZeroU64::new(number).expect("no sequence is 0"))
    }

    /// Composes an id on a member of a cluster; 0 = the node is on its own. `sequence` wraps within the 14 bits that the
    /// member's number leaves.
    #[must_use]
    pub fn of_member(member: u8, shard: ShardId, slot: usize, sequence: u32) -> Self {
        assert!(member < 1 << 7, "a cluster has at most 127 members");
        if member == 0 {
            return Self::new(shard, slot, sequence);
        }
        let sequence = (u32::from(member) << 14) | (sequence % ((1 << 14) - 1));
        // `new` adds 1.
        Self::new(shard, slot, sequence - 1)
    }

    /// The id that `SHOW CONNECTIONS` printed, if it can be one.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        let is_one = number >> 32 != 0 && number < 1 << 53;
        NonZeroU64::new(number).filter(|_| is_one).map(Self)
    }

    /// The id as a number for people and for the wire.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.get()
    }

    /// In a cluster: the number of the member where the connection is.
    #[must_use]
    pub fn member(self) -> u8 {
        u8::try_from(self.number() >> 46).expect("7 bits are left of 53")
    }

    /// Where the connection lives.
    #[must_use]
    pub fn shard(self) -> ShardId {
        ShardId((self.number() & 0xff) as u8)
    }

    /// Its index in the shard's slabs.
    #[must_use]
    pub fn slot(self) -> usize {
        (self.number() >> 8 & 0xff_ffff) as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connection {} (shard {}, slot {})",
            self.0,
            self.shard().0,
            self.slot()
        )
    }
}

/// The UUID of a publication or private message, as its 128 bits. Its sender or the edge makes it: the engine has no
/// randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u128);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        let part = |above: u32, digits: u32| bits >> above & ((1 << (4 * digits)) - 1);
        let (a, b, c, d, e) = (
            part(96, 8),
            part(80, 4),
            part(64, 4),
            part(48, 4),
            part(0, 12),
        );
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_as_text() {
        let id = MessageId(0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4051);
        assert_eq!(id.to_string(), "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051");
        assert_eq!(
            MessageId(7).to_string(),
            "00000000-0000-0000-0000-000000000007"
        );
    }

    #[test]
    fn connection_ids_keep_their_parts() {
        let id = ConnectionId::new(ShardId(3), 70_000, 5);
        assert_eq!((id.shard(), id.slot()), (ShardId(3), 70_000));
        assert_eq!(ConnectionId::from_number(id.number()), Some(id));
        assert_eq!(ConnectionId::from_number(12), None);
        assert_ne!(id, ConnectionId::new(ShardId(3), 70_000, 6));
        assert!(ConnectionId::new(ShardId(255), (1 << 24) - 1, u32::MAX).number() < 1 << 53);
    }

    #[test]
    fn connection_ids_tell_the_member() {
        for member in [1, 2, 64, 127] {
            for sequence in [0, 1, 16_382, 16_383, u32::MAX] {
                let id = ConnectionId::of_member(member, ShardId(255), 9, sequence);
                let parts = (id.member(), id.shard(), id.slot());
                assert_eq!(parts, (member, ShardId(255), 9), "{sequence}");
                assert_eq!(ConnectionId::from_number(id.number()), Some(id));
            }
        }
        let one = |sequence| ConnectionId::of_member(3, ShardId(0), 9, sequence);
        assert_ne!(one(5), one(6));
        let alone = ConnectionId::of_member(0, ShardId(0), 9, 5);
        assert_eq!(alone, ConnectionId::new(ShardId(0), 9, 5));
    }
}
