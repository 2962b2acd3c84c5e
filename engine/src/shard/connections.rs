//! The sessions of a shard's connections, by slot.

use std::collections::{BTreeSet, VecDeque};

use cometql_protocol::wire::{Member, Request};
use cometql_protocol::{TenantId, UserId};
use slab::Slab;
use smallvec::SmallVec;

use crate::rates::Rate;
use crate::{ClientInfo, ConnectionId, Identity, Limits, Now, SessionSettings, ShardId};

/// All sessions of a shard.
#[derive(Default)]
pub(super) struct Connections {
    slots: Slab<Session>,
    opened: u32,
    /// The number of this node in its cluster; 0 = it is on its own.
    pub(super) member: u8,
    /// When sessions end, unix seconds, soonest first.
    pub(super) expiries: BTreeSet<(u64, ConnectionId)>,
}

/// One conversation.
pub(super) struct Session {
    pub(super) id: ConnectionId,
    pub(super) settings: SessionSettings,
    pub(super) info: Box<ClientInfo>,
    /// `None` = anonymous, which costs nothing.
    identity: Option<Box<Identity>>,
    pub(super) subscriptions: Subscriptions,
    /// Requests that wait behind an open question (authentication, membership); `None` = nothing is open.
    pub(super) parked: Option<VecDeque<Request>>,
    pub(super) opened_ms: u64,
    pub(super) publish_bucket: Bucket,
    pub(super) request_bucket: Bucket,
    /// The next subscription's mark; see `Message::Subscribe`.
    pub(super) attempts: u32,
    /// True when private messages are wanted.
    pub(super) inbox: bool,
    /// The server has closed it: for everybody else it is gone, only its slot is taken until the socket is.
    ended: bool,
}

/// What is left of a session that ended.
pub(super) struct Ended {
    pub(super) tenant: TenantId,
    pub(super) member: Member,
    pub(super) legacy: bool,
    pub(super) subscriptions: Subscriptions,
}

/// The subscriptions of one session: most have one, which costs no allocation.
pub(super) type Subscriptions = SmallVec<[Subscription; 1]>;

/// Interest of a session in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscription {
    /// Index of the channel in [`super::locals::Locals`].
    pub(super) local: u32,
    pub(super) attempt: u32,
    pub(super) state: State,
}

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The sequencer was asked.
    Pending,
    /// At this index of the channel's subscribers.
    Active(u32),
}

/// Allows so many per second, with bursts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Thousandths of a token.
    milli: u32,
    /// Unix milliseconds, low 32 bits.
    at: u32,
}

impl Bucket {
    fn full(now: Now, burst: u32) -> Self {
        Self {
            milli: burst.saturating_mul(1000),
            at: low(now),
        }
    }

    /// Takes so many tokens if there are as many. Else it returns after how many milliseconds there will be.
    pub(super) fn take(&mut self, now: Now, rate: Rate, tokens: u32) -> Result<(), u64> {
        let passed = low(now).wrapping_sub(self.at);
        self.at = low(now);
        let gained = passed.saturating_mul(rate.per_second);
        self.milli = self
            .milli
            .saturating_add(gained)
            .min(rate.burst.saturating_mul(1000));
        let cost = tokens.saturating_mul(1000);
        let missing = u64::from(cost.saturating_sub(self.milli));
        if missing > 0 {
            return Err(missing.div_ceil(u64::from(rate.per_second.max(1))));
        }
        self.milli -= cost;
        Ok(())
    }
}

fn low(now: Now) -> u32 {
    u32::try_from(now.0 & u64::from(u32::MAX)).expect("32 bits are left")
}

impl Connections {
    pub(super) fn open(
        &mut self,
        now: Now,
        shard: ShardId,
        settings: SessionSettings,
        info: ClientInfo,
        limits: &Limits,
    ) -> ConnectionId {
        self.opened = self.opened.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let id = ConnectionId::of_member(self.member, shard, entry.key(), self.opened);
        entry.insert(Session {
            id,
            settings,
            info: Box::new(info),
            identity: None,
            subscriptions: Subscriptions::new(),
            parked: None,
            opened_ms: now.0,
            publish_bucket: Bucket::full(now, limits.publish_burst),
            request_bucket: Bucket::full(now, limits.request_burst),
            attempts: 0,
            inbox: false,
            ended: false,
        });
        id
    }

    /// The session, unless it is over.
    pub(super) fn get(&self, id: ConnectionId) -> Option<&Session> {
        let session = self.slots.get(id.slot())?;
        (session.id == id && !session.ended).then_some(session)
    }

    /// The session, unless it is over.
    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Session> {
        let session = self.slots.get_mut(id.slot())?;
        (session.id == id && !session.ended).then_some(session)
    }

    /// The session, also when it is over and only its socket is left.
    pub(super) fn get_ended(&self, id: ConnectionId) -> Option<&Session> {
        self.slots.get(id.slot()).filter(|session| session.id == id)
    }

    /// Ends a session, which keeps its slot; returns who it was and what it was subscribed to.
    pub(super) fn end(&mut self, id: ConnectionId) -> Option<Ended> {
        let session = self.get_mut(id)?;
        session.ended = true;
        session.parked = None;
        let ended = Ended {
            tenant: session.settings.tenant,
            member: session.member(),
            legacy: session.settings.legacy,
            subscriptions: std::mem::take(&mut session.subscriptions),
        };
        if let Some(expires) = session.identity().expires {
            self.expiries.remove(&(expires, id));
        }
        Some(ended)
    }

    /// The socket is gone: the slot is free.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        if self
            .slots
            .get(id.slot())
            .is_some_and(|session| session.id == id)
        {
            self.slots.remove(id.slot());
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        let sessions = self.slots.iter().map(|(_, session)| session);
        sessions.filter(|session| !session.ended)
    }

    /// Puts a proved identity in force, and the end that it has (where the session obeys it).
    pub(super) fn identify(&mut self, id: ConnectionId, identity: Identity) {
        let Some(session) = self
            .slots
            .get_mut(id.slot())
            .filter(|session| session.id == id)
        else {
            return;
        };
        if let Some(old) = session.identity().expires {
            self.expiries.remove(&(old, id));
        }
        if let Some(expires) = identity.expires.filter(|_| !session.settings.legacy) {
            self.expiries.insert((expires, id));
        }
        session.identity = Some(Box::new(identity));
    }
}

impl Session {
    /// Who it proved to be.
    pub(super) fn identity(&self) -> &Identity {
        static ANONYMOUS: Identity = Identity {
            user: None,
            expires: None,
            token_digest: None,
            claims: None,
        };
        self.identity.as_deref().unwrap_or(&ANONYMOUS)
    }

    /// True when `connect` has proved somebody.
    pub(super) fn is_identified(&self) -> bool {
        self.identity.is_some()
    }

    pub(super) fn user(&self) -> Option<UserId> {
        self.identity().user
    }

    /// How presence shows it.
    pub(super) fn member(&self) -> Member {
        Member {
            user: self.user(),
            uuid: self.info.uuid.to_string(),
        }
    }

    pub(super) fn subscription(&self, local: u32) -> Option<usize> {
        self.subscriptions
            .iter()
            .position(|subscription| subscription.local == local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_refill() {
        let mut bucket = Bucket::full(Now(0), 2);
        let rate = Rate {
            per_second: 10,
            burst: 2,
        };
        assert_eq!(bucket.take(Now(0), rate, 1), Ok(()));
        assert_eq!(bucket.take(Now(0), rate, 1), Ok(()));
        assert_eq!(bucket.take(Now(50), rate, 1), Err(50));
        assert_eq!(bucket.take(Now(100), rate, 1), Ok(()));
        assert_eq!(bucket.take(Now(100), rate, 1), Err(100));
        assert_eq!(bucket.take(Now(200), rate, 2), Err(100));
        assert_eq!(bucket.take(Now(300), rate, 2), Ok(()));
    }
}
