//! The rows that members answer, and the engine's rows that they stand for.

use std::net::{IpAddr, SocketAddr};

use cometql_engine::ConnectionId;
use cometql_engine::shard::inspect::{ChannelRow, ConnectionRow, SubscriberRow, Totals};
use cometql_protocol::wire::{Epoch, Member};
use cometql_protocol::{ChannelName, TenantId, UserId};
use serde::{Deserialize, Serialize};

use crate::cometql::ProcessRow;
use crate::hub::Found;
use crate::shard::{InOutbox, Outlook};

/// A channel and how many are subscribed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelTold {
    channel: String,
    subscribers: u64,
}

/// A subscription.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriberTold {
    channel: String,
    connection: u64,
    user: Option<u64>,
    uuid: Box<str>,
    agent: Box<str>,
    address: IpAddr,
    origin: Box<str>,
    language: Box<str>,
    since_ms: u64,
}

/// A connection.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConnectionTold {
    connection: u64,
    tenant: u32,
    user: Option<u64>,
    kind: String,
    address: IpAddr,
    agent: Box<str>,
    origin: Box<str>,
    subscriptions: usize,
    opened_ms: u64,
}

/// Sums over a node.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TotalsTold {
    connections: u64,
    subscriptions: u64,
    channels: u64,
    users_online: u64,
    /// Told where it is another number; version 1 has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    users_first: Option<u64>,
}

/// A publication that is kept in memory.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundTold {
    channel: String,
    offset: u64,
    epoch: String,
    time_ms: u64,
}

/// How a connection stands to a message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutlookTold {
    connection: u64,
    stuck_ms: u64,
    place: PlaceTold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlaceTold {
    No,
    Waits,
    Conflated,
}

/// A MySQL connection.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessTold {
    id: u32,
    user: String,
    tenant: Option<u32>,
    host: SocketAddr,
    database: String,
    command: String,
    seconds: u64,
    info: String,
}

/// Somebody in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberTold {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<u64>,
    #[serde(default)]
    pub(crate) uuid: String,
}

/// Names and numbers of other members are parsed as those of anybody else.
pub(in crate::cluster) fn channel(name: &str) -> Option<ChannelName> {
    ChannelName::parse(name).ok()
}

pub(super) fn user(number: Option<u64>) -> Option<UserId> {
    number.and_then(UserId::new)
}

impl From<ChannelRow> for ChannelTold {
    fn from(row: ChannelRow) -> Self {
        Self {
            channel: row.channel.as_str().to_owned(),
            subscribers: row.subscribers,
        }
    }
}

impl ChannelTold {
    pub(crate) fn row(self) -> Option<ChannelRow> {
        Some(ChannelRow {
            channel: channel(&self.channel)?,
            subscribers: self.subscribers,
        })
    }
}

impl From<SubscriberRow> for SubscriberTold {
    fn from(row: SubscriberRow) -> Self {
        Self {
            channel: row.channel.as_str().to_owned(),
            connection: row.connection.number(),
            user: row.user.map(UserId::get),
            uuid: row.uuid,
            agent: row.agent,
            address: row.address,
            origin: row.origin,
            language: row.language,
            since_ms: row.since_ms,
        }
    }
}

impl SubscriberTold {
    pub(crate) fn row(self) -> Option<SubscriberRow> {
        Some(SubscriberRow {
            channel: channel(&self.channel)?,
            connection: ConnectionId::from_number(self.connection)?,
            user: user(self.user),
            uuid: self.uuid,
            agent: self.agent,
            address: self.address,
            origin: self.origin,
            language: self.language,
            since_ms: self.since_ms,
        })
    }
}

impl From<ConnectionRow> for ConnectionTold {
    fn from(row: ConnectionRow) -> Self {
        Self {
            connection: row.connection.number(),
            tenant: row.tenant.0,
            user: row.user.map(UserId::get),
            kind: row.kind.to_owned(),
            address: row.address,
            agent: row.agent,
            origin: row.origin,
            subscriptions: row.subscriptions,
            opened_ms: row.opened_ms,
        }
    }
}

impl ConnectionTold {
    pub(crate) fn row(self) -> Option<ConnectionRow> {
        Some(ConnectionRow {
            connection: ConnectionId::from_number(self.connection)?,
            tenant: TenantId(self.tenant),
            user: user(self.user),
            kind: kind(&self.kind),
            address: self.address,
            agent: self.agent,
            origin: self.origin,
            subscriptions: self.subscriptions,
            opened_ms: self.opened_ms,
        })
    }
}

/// The kinds of connections that this version knows.
pub(super) fn kind(name: &str) -> &'static str {
    let known = ["websocket", "sse", "legacy"].into_iter();
    known
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

impl From<Totals> for TotalsTold {
    fn from(totals: Totals) -> Self {
        Self {
            connections: totals.connections,
            subscriptions: totals.subscriptions,
            channels: totals.channels,
            users_online: totals.users_online,
            users_first: (totals.users_first != totals.users_online).then_some(totals.users_first),
        }
    }
}

impl From<TotalsTold> for Totals {
    fn from(told: TotalsTold) -> Self {
        Self {
            connections: told.connections,
            subscriptions: told.subscriptions,
            channels: told.channels,
            users_online: told.users_online,
            users_first: told.users_first.unwrap_or(told.users_online),
        }
    }
}

impl From<Found> for FoundTold {
    fn from(found: Found) -> Self {
        Self {
            channel: found.channel.as_str().to_owned(),
            offset: found.offset,
            epoch: found.epoch.to_string(),
            time_ms: found.time_ms,
        }
    }
}

impl FoundTold {
    pub(crate) fn row(self) -> Option<Found> {
        Some(Found {
            channel: channel(&self.channel)?,
            offset: self.offset,
            epoch: self.epoch.parse::<Epoch>().ok()?,
            time_ms: self.time_ms,
        })
    }
}

impl From<ProcessRow> for ProcessTold {
    fn from(row: ProcessRow) -> Self {
        Self {
            id: row.id,
            user: row.user,
            tenant: row.tenant.map(|tenant| tenant.0),
            host: row.host,
            database: row.database,
            command: row.command.to_owned(),
            seconds: row.seconds,
            info: row.info,
        }
    }
}

impl From<ProcessTold> for ProcessRow {
    fn from(told: ProcessTold) -> Self {
        let mut known = ["Connect", "Sleep", "Query", "Execute"].into_iter();
        let command = known.find(|known| *known == told.command);
        Self {
            id: told.id,
            user: told.user,
            tenant: told.tenant.map(TenantId),
            host: told.host,
            database: told.database,
            command: command.unwrap_or("Query"),
            seconds: told.seconds,
            info: told.info,
        }
    }
}

impl From<Outlook> for OutlookTold {
    fn from(outlook: Outlook) -> Self {
        Self {
            connection: outlook.connection.number(),
            stuck_ms: outlook.stuck_ms,
            place: match outlook.place {
                InOutbox::No => PlaceTold::No,
                InOutbox::Waits => PlaceTold::Waits,
                InOutbox::Conflated => PlaceTold::Conflated,
            },
        }
    }
}

impl OutlookTold {
    pub(crate) fn row(self) -> Option<Outlook> {
        Some(Outlook {
            connection: ConnectionId::from_number(self.connection)?,
            stuck_ms: self.stuck_ms,
            place: match self.place {
                PlaceTold::No => InOutbox::No,
                PlaceTold::Waits => InOutbox::Waits,
                PlaceTold::Conflated => InOutbox::Conflated,
            },
        })
    }
}

impl From<Member> for MemberTold {
    fn from(member: Member) -> Self {
        Self {
            user: member.user.map(UserId::get),
            uuid: member.uuid,
        }
    }
}

impl From<MemberTold> for Member {
    fn from(told: MemberTold) -> Self {
        Self {
            user: user(told.user),
            uuid: told.uuid,
        }
    }
}
