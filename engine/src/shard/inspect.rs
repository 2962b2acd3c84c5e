//! Read-only views of a shard for SELECT and SHOW. Each shard tells its part; the hub joins them.

use std::net::IpAddr;

use cometql_protocol::{ChannelName, TenantId, UserId};

use super::Shard;
use crate::ConnectionId;

/// A row of `pipes` in the making: how many connections of this shard are subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRow {
    /// The channel.
    pub channel: ChannelName,
    /// Subscribed connections.
    pub subscribers: u64,
}

/// A row of `users_in_pipes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberRow {
    /// The channel.
    pub channel: ChannelName,
    /// The connection.
    pub connection: ConnectionId,
    /// `None` = anonymous.
    pub user: Option<UserId>,
    /// The browser's id.
    pub uuid: Box<str>,
    /// `User-Agent`.
    pub agent: Box<str>,
    /// Peer address.
    pub address: IpAddr,
    /// `Origin`.
    pub origin: Box<str>,
    /// `Accept-Language`.
    pub language: Box<str>,
    /// When it subscribed: rises with every subscription of the shard, so that the newest can come first.
    pub since_ms: u64,
}

/// A row of `SHOW CONNECTIONS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// The connection.
    pub connection: ConnectionId,
    /// Whose.
    pub tenant: TenantId,
    /// `None` = anonymous.
    pub user: Option<UserId>,
    /// `websocket`, `sse` or `legacy`.
    pub kind: &'static str,
    /// Peer address.
    pub address: IpAddr,
    /// `User-Agent`.
    pub agent: Box<str>,
    /// `Origin`.
    pub origin: Box<str>,
    /// How many channels it is subscribed to.
    pub subscriptions: usize,
    /// When it was opened, unix milliseconds.
    pub opened_ms: u64,
}

/// Which channels are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channels {
    /// All of the tenant that have subscribers.
    All,
    /// These.
    Named(Vec<ChannelName>),
}

/// Totals of a shard for one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Open connections.
    pub connections: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Channels with subscribers on this shard.
    pub channels: u64,
    /// Logged-in users with this shard as their home that are online.
    pub users_online: u64,
}

impl<T> Shard<T> {
    /// Subscriber counts of the tenant's channels on this shard.
    #[must_use]
    pub fn channels(&self, tenant: TenantId, which: &Channels) -> Vec<ChannelRow> {
        _ = (tenant, which);
        Vec::new()
    }

    /// Subscribed connections of this shard.
    #[must_use]
    pub fn subscribers(&self, tenant: TenantId, which: &Channels) -> Vec<SubscriberRow> {
        _ = (tenant, which);
        Vec::new()
    }

    /// Open connections of this shard, of one tenant or (`None`) all.
    #[must_use]
    pub fn connections(&self, tenant: Option<TenantId>) -> Vec<ConnectionRow> {
        _ = tenant;
        Vec::new()
    }

    /// Which users with this shard as their home are online: those asked for, or (`None`) all of the tenant.
    #[must_use]
    pub fn users_online(&self, tenant: TenantId, users: Option<&[UserId]>) -> Vec<UserId> {
        _ = (tenant, users);
        Vec::new()
    }

    /// Totals, of one tenant or (`None`) all.
    #[must_use]
    pub fn totals(&self, tenant: Option<TenantId>) -> Totals {
        _ = tenant;
        Totals::default()
    }
}
