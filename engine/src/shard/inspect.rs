//! Read-only views of a shard for SELECT and SHOW. Each shard tells its part; the hub joins them.

use std::net::IpAddr;
use std::sync::Arc;

use cometql_protocol::{ChannelName, TenantId, UserId};

use super::Shard;
use super::connections::Session;
use super::locals::{LocalChannel, Subscriber};
use crate::{ConnectionId, Disconnect, MessageId, Publication};

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
    /// Logged-in users with this shard as their home that have a connection.
    pub users_online: u64,
    /// Users that are online and that no node before this one has: the sum over a cluster's nodes counts each once.
    pub users_first: u64,
}

impl<T> Shard<T> {
    /// Subscriber counts of the tenant's channels on this shard.
    #[must_use]
    pub fn channels(&self, tenant: TenantId, which: &Channels) -> Vec<ChannelRow> {
        let row = |local: &LocalChannel| ChannelRow {
            channel: local.key.1.clone(),
            subscribers: local.subscribers.len() as u64,
        };
        self.meant(tenant, which).map(row).collect()
    }

    /// Subscribed connections of this shard, in no order.
    #[must_use]
    pub fn subscribers(&self, tenant: TenantId, which: &Channels) -> Vec<SubscriberRow> {
        let rows = |local: &'_ LocalChannel| -> Vec<SubscriberRow> {
            let row = |subscriber: &Subscriber| {
                let session = self.connections.get(subscriber.connection)?;
                Some(subscriber_row(local, subscriber, session))
            };
            local.subscribers.iter().filter_map(row).collect()
        };
        self.meant(tenant, which).flat_map(rows).collect()
    }

    /// Open connections of this shard, of one tenant or (`None`) all.
    #[must_use]
    pub fn connections(&self, tenant: Option<TenantId>) -> Vec<ConnectionRow> {
        self.sessions_of(tenant).map(connection_row).collect()
    }

    /// Which users with this shard as their home are online: those asked for, or (`None`) all of the tenant. Those whose
    /// return is awaited are among them.
    #[must_use]
    pub fn users_online(&self, tenant: TenantId, users: Option<&[UserId]>) -> Vec<UserId> {
        match users {
            Some(users) => {
                let online = |user: &UserId| self.homes.get((tenant, *user)).is_some();
                users.iter().copied().filter(online).collect()
            }
            None => {
                let own = self.homes.iter().filter(|((of, _), _)| *of == tenant);
                own.map(|((_, user), _)| *user).collect()
            }
        }
    }

    /// Totals, of one tenant or (`None`) all.
    #[must_use]
    pub fn totals(&self, tenant: Option<TenantId>) -> Totals {
        let own = |of: TenantId| tenant.is_none_or(|tenant| tenant == of);
        let locals = self.locals.iter().filter(|local| own(local.key.0));
        let (mut subscriptions, mut channels) = (0, 0);
        for local in locals {
            subscriptions += local.subscribers.len() as u64;
            channels += 1;
        }
        let users = self.homes.iter().filter(|((of, _), _)| own(*of));
        let (mut users_online, mut users_first) = (0, 0);
        for (key, connected) in users {
            users_online += u64::from(connected);
            users_first += u64::from(self.counts_user(*key, connected));
        }
        Totals {
            connections: self.sessions_of(tenant).count() as u64,
            subscriptions,
            channels,
            users_online,
            users_first,
        }
    }

    /// Publications that are in the windows of channels which this shard sequences.
    #[must_use]
    pub fn find_publications(&self, tenant: TenantId, id: MessageId) -> Vec<Arc<Publication>> {
        self.sequencer.windows.find(tenant, id)
    }

    /// Open connections of a user on this shard.
    #[must_use]
    pub fn connections_of(&self, tenant: TenantId, user: UserId) -> Vec<ConnectionId> {
        let own = self.sessions_of(Some(tenant));
        let own = own.filter(|session| session.user() == Some(user));
        own.map(|session| session.id).collect()
    }

    /// How many connections of this shard a disconnect means.
    #[must_use]
    pub fn count_meant(&self, which: &Disconnect) -> u64 {
        self.connections
            .iter()
            .filter(|session| session.is_meant(which))
            .count() as u64
    }

    fn meant<'a>(
        &'a self,
        tenant: TenantId,
        which: &'a Channels,
    ) -> Box<dyn Iterator<Item = &'a LocalChannel> + 'a> {
        match which {
            Channels::All => Box::new(
                self.locals
                    .iter()
                    .filter(move |local| local.key.0 == tenant),
            ),
            Channels::Named(names) => Box::new(names.iter().filter_map(move |name| {
                let index = self.locals.find(&(tenant, name.clone()))?;
                Some(self.locals.get(index))
            })),
        }
    }

    fn sessions_of(&self, tenant: Option<TenantId>) -> impl Iterator<Item = &Session> {
        let own =
            move |session: &&Session| tenant.is_none_or(|tenant| session.settings.tenant == tenant);
        self.connections.iter().filter(own)
    }
}

fn subscriber_row(
    local: &LocalChannel,
    subscriber: &Subscriber,
    session: &Session,
) -> SubscriberRow {
    SubscriberRow {
        channel: local.key.1.clone(),
        connection: session.id,
        user: session.user(),
        uuid: session.info.uuid.clone(),
        agent: session.info.agent.clone(),
        address: session.info.address,
        origin: session.info.origin.clone(),
        language: session.info.language.clone(),
        since_ms: subscriber.since_ms,
    }
}

fn connection_row(session: &Session) -> ConnectionRow {
    ConnectionRow {
        connection: session.id,
        tenant: session.settings.tenant,
        user: session.user(),
        kind: session.settings.kind,
        address: session.info.address,
        agent: session.info.agent.clone(),
        origin: session.info.origin.clone(),
        subscriptions: session.subscriptions.len(),
        opened_ms: session.opened_ms,
    }
}
