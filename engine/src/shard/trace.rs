//! What happened to sessions lately, for people who look for a fault: a bounded list, the oldest goes first.
//!
//! Nothing is noted for a delivery: what became of one follows from when its session subscribed and ended.

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
        /// How many publications followed at once.
        replayed: u32,
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
    bytes: usize,
}

impl OfTenant {
    fn forget_oldest(&mut self) -> usize {
        let bytes = self.events.pop_front().as_ref().map_or(0, weight);
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
        let bytes = weight(&event);
        if bytes > limits.trace_bytes_per_tenant {
            return;
        }
        let own = self.tenants.entry(tenant).or_default();
        self.order
            .push_back((tenant, own.first + own.events.len() as u64));
        own.events.push_back(event);
        own.bytes += bytes;
        self.bytes += bytes;
        self.events += 1;
        while own.bytes > limits.trace_bytes_per_tenant {
            self.bytes -= own.forget_oldest();
            self.events -= 1;
        }
        while self.bytes > limits.trace_bytes_per_shard {
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
}

impl<T> Shard<T> {
    /// Notes something about a session that is open.
    pub(super) fn note(
        &mut self,
        connection: ConnectionId,
        channel: Option<&ChannelName>,
        happened: Happened,
    ) {
        if let Some(session) = self.connections.get(connection) {
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
        let Some(own) = self.trace.tenants.get(&tenant) else {
            return Vec::new();
        };
        let meant = |event: &&Event| {
            users.is_none_or(|users| event.user.is_some_and(|user| users.contains(&user)))
        };
        own.events.iter().filter(meant).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(trace: &Trace, tenant: u32) -> Vec<u64> {
        let own = trace.tenants.get(&TenantId(tenant));
        let events = own.into_iter().flat_map(|own| &own.events);
        events.map(|event| event.time_ms).collect()
    }

    fn note(trace: &mut Trace, limits: &Limits, tenant: u32) {
        trace.now.0 += 1;
        let nobody = (None, None);
        trace.note(limits, TenantId(tenant), nobody, None, Happened::Cleared);
    }

    #[test]
    fn the_oldest_go_first_and_no_tenant_takes_all() {
        let one = size_of::<Event>() + size_of::<(TenantId, u64)>();
        let limits = Limits {
            trace_bytes_per_shard: 5 * one,
            trace_bytes_per_tenant: 3 * one,
            ..Limits::default()
        };
        let mut trace = Trace::default();
        for tenant in [1, 1, 1, 1, 2, 2, 3] {
            note(&mut trace, &limits, tenant);
        }
        assert_eq!(numbers(&trace, 1), [3, 4]);
        assert_eq!(numbers(&trace, 2), [5, 6]);
        assert_eq!(numbers(&trace, 3), [7]);
        assert_eq!((trace.bytes, trace.events), (5 * one, 5));
        for _ in 0..5_000 {
            note(&mut trace, &limits, 1);
        }
        assert_eq!(numbers(&trace, 1), [5_005, 5_006, 5_007]);
        assert!(trace.order.len() < 1_100, "{}", trace.order.len());
        assert_eq!(numbers(&trace, 2), [6], "it waits for its turn");
    }
}
