//! Live state of the whole cluster: what the shards of this node tell, and what all other members do. Without a cluster,
//! the same as of this node. Who does not answer in time is noted for the statement that asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use cometql_engine::shard::inspect::{ChannelRow, Channels, ConnectionRow, SubscriberRow, Totals};
use cometql_engine::shard::trace::Event;
use cometql_engine::{Disconnect, MessageId, Publication};
use cometql_protocol::wire::Epoch;
use cometql_protocol::{ChannelName, TenantId, UserId};

use super::Hub;
use crate::cluster::gather::{Ask, Silent, Told, wire};
use crate::cluster::members::{MemberRow, Members};
use crate::cometql::ProcessRow;
use crate::shard::{Outlook, Sought};

/// A publication that a channel keeps in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The channel.
    pub channel: ChannelName,
    /// Its place there.
    pub offset: u64,
    /// In this life of the history.
    pub epoch: Epoch,
    /// When it was published, unix milliseconds.
    pub time_ms: u64,
}

impl Found {
    /// One that has a place.
    pub(super) fn of(kept: &Publication) -> Option<Self> {
        let place = kept.place?;
        Some(Self {
            channel: kept.channel.clone(),
            offset: place.offset,
            epoch: place.epoch,
            time_ms: kept.time_ms,
        })
    }
}

/// What happened, and on which node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The node's name, in a cluster.
    pub node: Option<Arc<str>>,
    /// What happened.
    pub event: Event,
}

/// The members that did not answer a statement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unheard(Arc<Mutex<BTreeSet<Silent>>>);

impl Unheard {
    fn note(&self, silent: Vec<Silent>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.extend(silent);
    }
}

impl Hub {
    /// A hub that notes which members did not answer, if this node is a member of a cluster.
    pub(crate) fn noting(&self) -> Option<Self> {
        self.0.members.as_ref()?;
        Some(Self(Arc::clone(&self.0), Some(Unheard::default())))
    }

    /// Who did not answer what was asked of this hub, since [`Hub::noting`].
    pub(crate) fn unheard(&self) -> Vec<Silent> {
        let noted = self.1.as_ref().map(|unheard| {
            let noted = unheard.0.lock().unwrap_or_else(PoisonError::into_inner);
            noted.iter().cloned().collect()
        });
        noted.unwrap_or_default()
    }

    /// The number of this node in its cluster; 0 = it is on its own.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.0.members.as_ref().map_or(0, Members::number)
    }

    /// The members of the cluster; none without one.
    #[must_use]
    pub fn members(&self) -> Vec<MemberRow> {
        self.0
            .members
            .as_ref()
            .map(Members::rows)
            .unwrap_or_default()
    }

    /// In a cluster: the names of nodes by the numbers in the ids of their connections
    /// ([`ConnectionId::member`](cometql_engine::ConnectionId::member)).
    #[must_use]
    pub fn nodes(&self) -> BTreeMap<u8, String> {
        let rows = self.members().into_iter();
        rows.map(|row| (row.number, row.name)).collect()
    }

    /// Subscriber counts. `Named` gives one row for each name, 0 for unknown ones.
    pub async fn channels(&self, tenant: TenantId, which: Channels) -> Vec<ChannelRow> {
        if !self.has_others() {
            return self.channels_here(tenant, which).await;
        }
        let question = wire::ChannelsAsked {
            tenant: tenant.0,
            names: wire::names(&which),
        };
        let here = self.channels_here(tenant, which.clone());
        let (here, others) = tokio::join!(here, self.others(&question));
        let others = others.into_iter().filter_map(wire::ChannelTold::row);
        let mut sums: BTreeMap<ChannelName, u64> = BTreeMap::new();
        for row in here.into_iter().chain(others) {
            *sums.entry(row.channel).or_default() += row.subscribers;
        }
        let row = |(channel, subscribers)| ChannelRow {
            channel,
            subscribers,
        };
        match which {
            Channels::All => sums.into_iter().map(row).collect(),
            Channels::Named(names) => {
                let counted = names.into_iter().map(|name| {
                    let count = sums.get(&name).copied().unwrap_or(0);
                    (name, count)
                });
                counted.map(row).collect()
            }
        }
    }

    /// Subscribed connections, newest first within a channel.
    pub async fn subscribers(&self, tenant: TenantId, which: Channels) -> Vec<SubscriberRow> {
        if !self.has_others() {
            return self.subscribers_here(tenant, which).await;
        }
        let question = wire::SubscribersAsked {
            tenant: tenant.0,
            names: wire::names(&which),
        };
        let here = self.subscribers_here(tenant, which);
        let (mut rows, others) = tokio::join!(here, self.others(&question));
        rows.extend(others.into_iter().filter_map(wire::SubscriberTold::row));
        rows.sort_by(super::newest_first);
        rows
    }

    /// Open browser connections, of one tenant or (`None`) all.
    pub async fn connections(&self, tenant: Option<TenantId>) -> Vec<ConnectionRow> {
        let question = wire::ConnectionsAsked {
            tenant: tenant.map(|tenant| tenant.0),
        };
        let here = self.connections_here(tenant);
        let (mut rows, others) = tokio::join!(here, self.others(&question));
        rows.extend(others.into_iter().filter_map(wire::ConnectionTold::row));
        rows
    }

    /// The MySQL connections of other members, of one tenant or (`None`) all.
    pub(crate) async fn processes_elsewhere(&self, tenant: Option<TenantId>) -> Vec<ProcessRow> {
        let question = wire::ProcessesAsked {
            tenant: tenant.map(|tenant| tenant.0),
        };
        let others = self.others(&question).await;
        others.into_iter().map(ProcessRow::from).collect()
    }

    /// Ends a MySQL connection of another member; false if none has one with this id.
    pub(crate) async fn kill_elsewhere(&self, id: u32, tenant: Option<TenantId>) -> bool {
        let question = wire::KillAsked {
            id,
            tenant: tenant.map(|tenant| tenant.0),
        };
        self.others(&question).await.contains(&true)
    }

    /// Which users are online: of those given, or (`None`) all.
    pub async fn users_online(&self, tenant: TenantId, users: Option<Vec<UserId>>) -> Vec<UserId> {
        if !self.has_others() {
            return self.users_online_here(tenant, users).await;
        }
        let numbers = users.as_ref();
        let question = wire::OnlineAsked {
            tenant: tenant.0,
            users: numbers.map(|users| users.iter().map(|user| user.get()).collect()),
        };
        let here = self.users_online_here(tenant, users);
        let (here, others) = tokio::join!(here, self.others(&question));
        let others = others.into_iter().filter_map(UserId::new);
        // A user may be on several nodes.
        let online: BTreeSet<UserId> = here.into_iter().chain(others).collect();
        online.into_iter().collect()
    }

    /// Totals, of one tenant or (`None`) all. A channel counts once for each shard of each node, and so does a user in
    /// `users_online`; not in `users_first`.
    pub async fn totals(&self, tenant: Option<TenantId>) -> Totals {
        let question = wire::TotalsAsked {
            tenant: tenant.map(|tenant| tenant.0),
        };
        let (here, others) = tokio::join!(self.totals_here(tenant), self.others(&question));
        let others = others.into_iter().map(Totals::from);
        others.fold(here, super::sum)
    }

    /// Where a message is that was handed to connections of its user: of each that is open.
    pub(crate) async fn outlook(&self, sought: &Sought) -> Vec<Outlook> {
        let question = wire::OutlookAsked::from(sought);
        let (mut told, others) = tokio::join!(self.outlook_here(sought), self.others(&question));
        told.extend(others.into_iter().filter_map(wire::OutlookTold::row));
        told
    }

    /// Until when (unix milliseconds) a shard has forgotten something that outboxes told; 0 = none has.
    pub async fn outboxes_forgotten(&self, tenant: TenantId) -> u64 {
        let question = wire::ForgottenAsked { tenant: tenant.0 };
        let (here, others) = tokio::join!(self.forgotten_here(tenant), self.others(&question));
        others.into_iter().fold(here, u64::max)
    }

    /// What happened lately to sessions of these users, or (`None`) of all, oldest first.
    pub async fn trace(&self, tenant: TenantId, users: Option<Vec<UserId>>) -> Vec<Traced> {
        let Some(members) = &self.0.members else {
            let events = self.trace_here(tenant, users).await.into_iter();
            let here = |event| Traced { node: None, event };
            return events.map(here).collect();
        };
        let numbers = users.as_ref();
        let question = wire::TraceAsked {
            tenant: tenant.0,
            users: numbers.map(|users| users.iter().map(|user| user.get()).collect()),
        };
        let (here, told) = tokio::join!(self.trace_here(tenant, users), members.ask(&question));
        let traced = |name: &str, events: Vec<Event>| {
            let node: Arc<str> = name.into();
            let traced = events.into_iter().map(move |event| Traced {
                node: Some(Arc::clone(&node)),
                event,
            });
            traced.collect::<Vec<_>>()
        };
        let mut all = traced(&members.own_beat().name, here);
        for (node, events) in told.by {
            let name = members.name_of(&node);
            let events = events.into_iter().filter_map(wire::EventTold::row);
            all.extend(traced(
                name.as_deref().unwrap_or(node.as_str()),
                events.collect(),
            ));
        }
        self.note(told.missing);
        // What one shard noted keeps its order.
        all.sort_by_key(|traced| traced.event.time_ms);
        all
    }

    /// Publications that their channels keep in memory.
    pub async fn find_publications(&self, tenant: TenantId, id: MessageId) -> Vec<Found> {
        let question = wire::PublicationsAsked {
            tenant: tenant.0,
            id: format!("{:032x}", id.0),
        };
        let here = self.find_publications_here(tenant, id);
        let (mut found, others) = tokio::join!(here, self.others(&question));
        for other in others.into_iter().filter_map(wire::FoundTold::row) {
            if !found.contains(&other) {
                found.push(other);
            }
        }
        found
    }

    /// Closes connections, on whatever node; returns how many this node knows to be told to close. One connection is closed
    /// by the node that has it. Those of a user or token each member closes when it hears of the row that says so, with
    /// which the caller's statement begins.
    pub async fn disconnect(&self, which: Disconnect) -> u64 {
        let there = self.disconnect_there(&which);
        let (here, there) = tokio::join!(self.disconnect_here(which.clone()), there);
        here.saturating_add(there)
    }

    async fn disconnect_there(&self, which: &Disconnect) -> u64 {
        let (Some(members), Disconnect::Connection { connection, .. }) = (&self.0.members, which)
        else {
            return 0;
        };
        let Some(node) = members.with_number(connection.member()) else {
            return 0;
        };
        let question = wire::DisconnectAsked::from(which);
        let Told { by, missing } = members.ask_one(&node, &question).await;
        self.note(missing);
        by.into_iter().flat_map(|(_, rows)| rows).sum()
    }

    /// Ends the subscriptions that needed rows of `pipes_members` which are gone, on whatever node; `None` = all rows of
    /// the channel.
    pub async fn members_removed(
        &self,
        tenant: TenantId,
        channel: &ChannelName,
        users: Option<Vec<UserId>>,
    ) {
        let numbers = users.as_ref();
        let question = wire::MembersRemovedAsked {
            tenant: tenant.0,
            channel: channel.as_str().to_owned(),
            users: numbers.map(|users| users.iter().map(|user| user.get()).collect()),
        };
        self.members_removed_here(tenant, channel, users);
        self.others(&question).await;
    }

    /// Whether there is somebody else to ask.
    fn has_others(&self) -> bool {
        self.0
            .members
            .as_ref()
            .is_some_and(|members| !members.alone())
    }

    /// Asks all other members.
    async fn others<Q: Ask>(&self, question: &Q) -> Vec<Q::Row> {
        let Some(members) = &self.0.members else {
            return Vec::new();
        };
        let told: Told<Q::Row> = members.ask(question).await;
        let Told { by, missing } = told;
        self.note(missing);
        by.into_iter().flat_map(|(_, rows)| rows).collect()
    }

    fn note(&self, silent: Vec<Silent>) {
        for one in &silent {
            tracing::debug!(member = one.name, why = ?one.why, "a member did not answer");
        }
        if let Some(unheard) = &self.1 {
            unheard.note(silent);
        }
    }
}
