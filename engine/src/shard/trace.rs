//! What happened to sessions lately, for people who look for a fault: a bounded list, the oldest goes first.
//!
//! Nothing is noted for a delivery: what became of one follows from when its session subscribed and ended, and from what
//! its outbox told. What outboxes of slow readers tell again and again has a part of its own, so that it can't push the
//! rest out.

use std::collections::{HashMap, VecDeque};

use cometql_protocol::wire::Position;
use cometql_protocol::{ChannelName, ErrorCode, TenantId, UserId};
use foldhash::fast::FixedState;

use super::Shard;
use crate::{ConnectionId, Ending, Limits, MessageId, Now};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unix milliseconds.
    pub time_ms: u64,
    /// Whose session.
    pub user: Option<UserId>,
    /// Which one, unless it is about the user's inbox alone.
    pub connection: Option<ConnectionId>,
    /// In which channel.
    pub channel: Option<ChannelName>,
    /// What.
    pub happened: Happened,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// A connection was opened; `websocket`, `sse` or `legacy`.
    Connected(&'static str),
    /// It proved who it is.
    Authenticated,
    /// It subscribed.
    Subscribed {
        /// Where the channel was; `None` without history.
        position: Option<Position>,
        /// Whether all that it had missed followed.
        recovered: bool,
        /// How many publications followed at once; more than 65,535 are not told.
        replayed: u16,
        /// How far before `position` the first of them is, itself included; 0 = none followed.
        reach: u32,
    },
    /// Its subscription ended because it asked for that.
    Unsubscribed,
    /// Its subscription ended because a right did.
    Ended(ErrorCode),
    /// A request was refused.
    Refused {
        /// Which kind, if it was refused at once.
        request: &'static str,
        /// Why.
        code: ErrorCode,
    },
    /// It ended.
    Closed(Ending),
    /// All is written that had to wait for its socket, since this moment (unix milliseconds).
    CaughtUp(u64),
    /// Publications between these two offsets, both excluded, were replaced by newer ones while it read too slowly.
    Conflated {
        /// What was written before.
        after: u64,
        /// What was written next.
        before: u64,
    },
    /// It ends, and nothing from the first of these offsets on was written to it; up to the second it had been handed over.
    Dropped(u64, u64),
    /// It ends, and nothing was written to it that was sent since this moment (unix milliseconds).
    DroppedSince(u64),
    /// A private message is kept in the user's inbox.
    Stored {
        /// Which one.
        id: MessageId,
        /// Its place.
        offset: u64,
    },
    /// Messages that waited were sent to the connection.
    InboxRead {
        /// Those after this offset.
        after: u64,
        /// Up to this one.
        up_to: u64,
        /// No more waits: later messages are sent at once.
        live: bool,
    },
    /// Messages up to this offset were acknowledged; without a connection: by being written to the original's socket.
    Acknowledged(u64),
    /// A backend emptied the inbox.
    Cleared,
}

impl Happened {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connected(_) => "connected",
            Self::Authenticated => "authenticated",
            Self::Subscribed { .. } => "subscribed",
            Self::Unsubscribed => "unsubscribed",
            Self::Ended(_) => "subscription ended",
            Self::Refused { .. } => "refused",
            Self::Closed(ending) if ending.is_slow_consumer() => "slow consumer",
            Self::Closed(_) => "closed",
            Self::CaughtUp(_) => "caught up",
            Self::Conflated { .. } => "conflated",
            Self::Dropped(..) | Self::DroppedSince(_) => "dropped",
            Self::Stored { .. } => "message stored",
            Self::InboxRead { .. } => "inbox sent",
            Self::Acknowledged(_) => "acknowledged",
            Self::Cleared => "inbox emptied",
        }
    }

    /// What more there is to say.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Connected(kind) => (*kind).to_owned(),
            Self::Authenticated | Self::Unsubscribed | Self::Cleared => String::new(),
            Self::Subscribed {
                position,
                recovered,
                replayed,
                reach: _,
            } => {
                let at = position.map_or_else(
                    || "no history".to_owned(),
                    |position| format!("offset {}", position.offset),
                );
                format!("{at}, recovered: {recovered}, replayed: {replayed}")
            }
            Self::Ended(code) => code.as_str().to_owned(),
            Self::Refused { request: "", code } => code.as_str().to_owned(),
            Self::Refused { request, code } => format!("{request}: {}", code.as_str()),
            Self::Closed(ending) => ending.to_string(),
            Self::CaughtUp(since) => format!("its socket was full since {since}"),
            Self::Conflated { after, before } => {
                format!("offsets between {after} and {before} were replaced")
            }
            Self::Dropped(from, to) => format!("offsets from {from} up to {to}"),
            Self::DroppedSince(since) => format!("what was sent since {since}"),
            Self::Stored { offset, .. } => format!("offset {offset}"),
            Self::InboxRead { after, up_to, live } => {
                let more = if *live { "" } else { ", more waits" };
                format!("offsets after {after} up to {up_to}{more}")
            }
            Self::Acknowledged(up_to) => format!("up to offset {up_to}"),
        }
    }
}

/// What happened lately, of all tenants.
#[derive(Default)]
pub(super) struct Trace {
    /// The moment of the input in hand.
    pub(super) now: Now,
    sessions: Ring,
    /// How they keep up.
    outboxes: Ring,
}

/// What a ring may take, in bytes.
#[derive(Clone, Copy)]
struct Budget {
    all: usize,
    of_tenant: usize,
}

/// Events of all tenants, the oldest of which go first.
#[derive(Default)]
struct Ring {
    tenants: HashMap<TenantId, OfTenant, FixedState>,
    /// Whose event is the oldest, and its number there. Some are forgotten already.
    order: VecDeque<(TenantId, u64)>,
    bytes: usize,
    events: usize,
}

#[derive(Default)]
struct OfTenant {
    events: VecDeque<Event>,
    /// The number of the first event.
    first: u64,
    /// When the last one happened that is forgotten.
    forgotten_ms: u64,
    bytes: usize,
}

impl OfTenant {
    fn forget_oldest(&mut self) -> usize {
        let oldest = self.events.pop_front();
        let bytes = oldest.as_ref().map_or(0, weight);
        self.forgotten_ms = oldest.map_or(self.forgotten_ms, |event| event.time_ms);
        self.first += 1;
        self.bytes -= bytes;
        bytes
    }
}

/// What an event costs. The text of its channel is mostly shared.
fn weight(event: &Event) -> usize {
    let name = event.channel.as_ref().map_or(0, |name| name.as_str().len());
    size_of::<Event>() + size_of::<(TenantId, u64)>() + name
}

impl Trace {
    /// Notes something about a session.
    pub(super) fn note(
        &mut self,
        limits: &Limits,
        tenant: TenantId,
        (user, connection): (Option<UserId>, Option<ConnectionId>),
        channel: Option<&ChannelName>,
        happened: Happened,
    ) {
        let event = Event {
            time_ms: self.now.0,
            user,
            connection,
            channel: channel.cloned(),
            happened,
        };
        let (all, of_tenant) = (limits.trace_bytes_per_shard, limits.trace_bytes_per_tenant);
        // Three quarters and one.
        let outboxes = Budget {
            all: all / 4,
            of_tenant: of_tenant / 4,
        };
        if matches!(happened, Happened::CaughtUp(_) | Happened::Conflated { .. }) {
            return self.outboxes.put(outboxes, tenant, event);
        }
        let sessions = Budget {
            all: all - outboxes.all,
            of_tenant: of_tenant - outboxes.of_tenant,
        };
        self.sessions.put(sessions, tenant, event);
    }
}

impl Ring {
    fn put(&mut self, budget: Budget, tenant: TenantId, event: Event) {
        let bytes = weight(&event);
        if bytes > budget.of_tenant {
            return;
        }
        let own = self.tenants.entry(tenant).or_default();
        self.order
            .push_back((tenant, own.first + own.events.len() as u64));
        own.events.push_back(event);
        own.bytes += bytes;
        self.bytes += bytes;
        self.events += 1;
        while own.bytes > budget.of_tenant {
            self.bytes -= own.forget_oldest();
            self.events -= 1;
        }
        while self.bytes > budget.all {
            self.forget_oldest();
        }
        if self.order.len() > 2 * self.events + 1024 {
            let tenants = &self.tenants;
            let known = |(tenant, number): &(TenantId, u64)| {
                tenants.get(tenant).is_some_and(|own| *number >= own.first)
            };
            self.order.retain(known);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((tenant, number)) = self.order.pop_front() else {
            return;
        };
        let Some(own) = self.tenants.get_mut(&tenant) else {
            return;
        };
        if own.first == number {
            self.bytes -= own.forget_oldest();
            self.events -= 1;
        }
    }

    fn of(&self, tenant: TenantId) -> impl Iterator<Item = &Event> {
        self.tenants
            .get(&tenant)
            .into_iter()
            .flat_map(|own| &own.events)
    }
}

impl<T> Shard<T> {
    /// Notes something about a session that is open.
    pub(super) fn note(
        &mut self,
        connection: ConnectionId,
        channel: Option<&ChannelName>,
        happened: Happened,
    ) {
        if self.connections.get(connection).is_some() {
            self.note_late(connection, channel, happened);
        }
    }

    /// Notes something about a session that may be over, as long as its socket is not gone.
    pub(super) fn note_late(
        &mut self,
        connection: ConnectionId,
        channel: Option<&ChannelName>,
        happened: Happened,
    ) {
        if let Some(session) = self.connections.get_ended(connection) {
            let who = (session.user(), Some(connection));
            let tenant = session.settings.tenant;
            self.trace
                .note(&self.limits, tenant, who, channel, happened);
        }
    }

    /// What happened lately to sessions that live here and to users who have their home here, oldest first: of these
    /// users, or (`None`) of all.
    #[must_use]
    pub fn trace(&self, tenant: TenantId, users: Option<&[UserId]>) -> Vec<Event> {
        let meant = |event: &&Event| {
            users.is_none_or(|users| event.user.is_some_and(|user| users.contains(&user)))
        };
        let sessions = self.trace.sessions.of(tenant).filter(meant);
        let outboxes = self.trace.outboxes.of(tenant).filter(meant);
        let mut events: Vec<_> = outboxes.chain(sessions).cloned().collect();
        // An outbox tells before its session ends.
        events.sort_by_key(|event| event.time_ms);
        events
    }

    /// Until when (unix milliseconds) something is forgotten that outboxes told; 0 = nothing is.
    #[must_use]
    pub fn outboxes_forgotten(&self, tenant: TenantId) -> u64 {
        let own = self.trace.outboxes.tenants.get(&tenant);
        own.map_or(0, |own| own.forgotten_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(ring: &Ring, tenant: u32) -> Vec<u64> {
        let events = ring.of(TenantId(tenant));
        events.map(|event| event.time_ms).collect()
    }

    fn note(trace: &mut Trace, limits: &Limits, tenant: u32, happened: Happened) {
        trace.now.0 += 1;
        trace.note(limits, TenantId(tenant), (None, None), None, happened);
    }

    #[test]
    fn the_oldest_go_first_and_no_tenant_takes_all() {
        let one = size_of::<Event>() + size_of::<(TenantId, u64)>();
        // Three quarters of it are for sessions: five, of one tenant three.
        let limits = Limits {
            trace_bytes_per_shard: 20 * one / 3 + 1,
            trace_bytes_per_tenant: 4 * one,
            ..Limits::default()
        };
        let mut trace = Trace::default();
        for tenant in [1, 1, 1, 1, 2, 2, 3] {
            note(&mut trace, &limits, tenant, Happened::Cleared);
        }
        let sessions = &trace.sessions;
        assert_eq!(numbers(sessions, 1), [3, 4]);
        assert_eq!(numbers(sessions, 2), [5, 6]);
        assert_eq!(numbers(sessions, 3), [7]);
        assert_eq!((sessions.bytes, sessions.events), (5 * one, 5));
        for _ in 0..5_000 {
            note(&mut trace, &limits, 1, Happened::Cleared);
        }
        let sessions = &trace.sessions;
        assert_eq!(numbers(sessions, 1), [5_005, 5_006, 5_007]);
        assert!(sessions.order.len() < 1_100, "{}", sessions.order.len());
        assert_eq!(numbers(sessions, 2), [6], "it waits for its turn");
        // However much outboxes have to tell: one of them is kept.
        for _ in 0..3 {
            note(&mut trace, &limits, 1, Happened::CaughtUp(7));
        }
        assert_eq!(numbers(&trace.sessions, 1), [5_005, 5_006, 5_007]);
        assert_eq!(numbers(&trace.outboxes, 1), [5_010]);
        assert_eq!(trace.outboxes.tenants[&TenantId(1)].forgotten_ms, 5_009);
    }
}
