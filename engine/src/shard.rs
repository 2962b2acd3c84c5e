//! A shard: the owner of some connections, the sequencer of some channels and the home of some users.
//!
//! The three parts meet only in [`Message`]s, also when one shard plays all of them: so a channel's publications, and
//! the answer to a subscribe, reach a connection's shard through one first-in-first-out mailbox.

use std::sync::Arc;

use cometql_protocol::wire::Request;
use cometql_protocol::{ChannelName, TenantId, UserId};

use crate::ids::{shard_of_channel, shard_of_user};
use crate::{
    Answer, ClientInfo, ClusterSettings, Command, ConnectionId, Effects, Ending, Identity, Limits,
    LogEvent, Message, Now, Outbox, Rates, Reject, Rules, SessionSettings, ShardId, StoreAnswer,
    StoreFailure,
};

mod acknowledge;
mod checks;
mod connections;
mod deliver;
mod elsewhere;
mod followed;
mod gather;
mod history;
mod homes;
mod inbox;
pub mod inspect;
mod leaves;
mod locals;
mod log;
mod login;
mod members;
mod messages;
mod missed;
mod placed;
mod publish;
mod rates;
mod recent;
mod replay;
mod requests;
mod revoke;
mod sequencer;
mod settings;
mod stored;
mod subscribe;
#[cfg(test)]
mod tests;
mod tickets;
pub mod trace;
mod unstored;
mod window;

use checks::Checks;
use connections::Connections;
use elsewhere::Cluster;
use gather::Gathers;
use homes::Homes;
use leaves::Leaves;
use locals::Locals;
use recent::Recent;
use sequencer::Sequencer;
use tickets::Tickets;
use trace::{Happened, Trace};
use unstored::Unstored;

/// A channel of a tenant.
pub(crate) type ChannelKey = (TenantId, ChannelName);
/// A user of a tenant.
pub(crate) type UserKey = (TenantId, UserId);

/// All that can happen to a shard. `T` is [`Effects::Token`].
#[derive(Debug)]
pub enum Input<T> {
    /// A browser asks.
    Request(ConnectionId, Request),
    /// The edge has checked credentials ([`Effects::authenticate`]).
    Authenticated {
        /// Whose.
        connection: ConnectionId,
        /// The request to answer.
        request: u32,
        /// Who it is, or why not.
        result: Result<Identity, Reject>,
    },
    /// The socket is gone, whoever closed it.
    Closed(ConnectionId, Ending),
    /// Something that was handed to a connection was written late, or never.
    Outbox(ConnectionId, Outbox),
    /// A backend changes something.
    Command(Command, T),
    /// From a shard of this node, or from the edge.
    Message(Message),
    /// The store has answered.
    Stored {
        /// As given to [`Effects::store`].
        ticket: u64,
        /// What it said.
        result: Result<StoreAnswer, StoreFailure>,
    },
    /// Something happened in the cluster; only after [`Shard::join_cluster`].
    Log(LogEvent),
    /// Time passed: expects one at least every second.
    Tick,
    /// The configuration was reloaded.
    Rules(Arc<Rules>),
}

/// One shard. See the module.
pub struct Shard<T> {
    id: ShardId,
    shards: usize,
    limits: Arc<Limits>,
    rules: Arc<Rules>,
    rates: Arc<Rates>,
    connections: Connections,
    locals: Locals,
    checks: Checks,
    sequencer: Sequencer<T>,
    leaves: Leaves,
    homes: Homes,
    gathers: Gathers,
    recent: Recent,
    unstored: Unstored<T>,
    trace: Trace,
    tickets: Tickets<T>,
    /// `None` = a node of its own.
    cluster: Option<Cluster>,
}

impl<T> Shard<T> {
    /// A shard without connections, one of `shards`.
    #[must_use]
    pub fn new(id: ShardId, shards: usize, limits: Arc<Limits>, rules: Arc<Rules>) -> Self {
        Self {
            id,
            shards,
            limits,
            rules,
            rates: Arc::default(),
            connections: Connections::default(),
            locals: Locals::default(),
            checks: Checks::default(),
            sequencer: Sequencer::default(),
            leaves: Leaves::default(),
            homes: Homes::default(),
            gathers: Gathers::default(),
            recent: Recent::default(),
            unstored: Unstored::default(),
            trace: Trace::default(),
            tickets: Tickets::default(),
            cluster: None,
        }
    }

    /// Lets it share the limits of users, channels and tenants with the other shards of the node, before the first input.
    pub fn share_rates(&mut self, rates: Arc<Rates>) {
        self.rates = rates;
    }

    /// Makes it the shard of a cluster's node, before the first input: from then on channels are ordered by the cluster's
    /// logs.
    pub fn join_cluster(&mut self, settings: ClusterSettings) {
        self.cluster = Some(Cluster::new(settings));
    }

    /// Which shard of its node it is.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Gives the ids of connections the number of this node in its cluster, before the first of them.
    pub fn number_connections(&mut self, member: u8) {
        self.connections.member = member;
    }

    /// Tells a row of `pipes_settings`, before the first input. Rows of other shards' channels are ignored.
    pub fn restore_setting(&mut self, tenant: TenantId, channel: ChannelName, length: u64) {
        if self.sequencer_of(tenant, &channel) == self.id {
            self.sequencer.settings.insert((tenant, channel), length);
        }
    }

    /// A new connection of this shard. The edge puts its socket at the slot of the returned id.
    pub fn open(&mut self, now: Now, settings: SessionSettings, info: ClientInfo) -> ConnectionId {
        let connected = Happened::Connected(settings.kind);
        let connection = self
            .connections
            .open(now, self.id, settings, info, &self.limits);
        self.trace.now = now;
        self.note(connection, None, connected);
        connection
    }

    /// Lets one thing happen.
    pub fn handle(&mut self, now: Now, input: Input<T>, effects: &mut impl Effects<Token = T>) {
        self.trace.now = now;
        match input {
            Input::Request(connection, request) => {
                self.on_request(now, connection, request, effects)
            }
            Input::Authenticated {
                connection,
                request,
                result,
            } => {
                self.on_authenticated(now, connection, request, result, effects);
            }
            Input::Closed(connection, ending) => self.on_closed(connection, ending, effects),
            Input::Outbox(connection, outbox) => self.on_outbox(connection, outbox, effects),
            Input::Command(command, token) => self.on_command(now, command, token, effects),
            Input::Message(message) => self.on_message(now, message, effects),
            Input::Stored { ticket, result } => self.on_stored(now, ticket, result, effects),
            Input::Log(event) => self.on_log(now, event, effects),
            Input::Tick => self.on_tick(now, effects),
            Input::Rules(rules) => self.on_rules(rules, effects),
        }
    }

    fn on_tick(&mut self, now: Now, effects: &mut impl Effects<Token = T>) {
        self.close_expired(now, effects);
        self.forget_old_publications(now);
        self.forget_idle_channels(now, effects);
        self.mend(now, effects);
        self.continue_inboxes(effects);
        self.forget_unstored(now, effects);
        self.give_members_up(now, effects);
        self.give_users_up(now, effects);
        self.recent
            .forget(now.0.saturating_sub(self.limits.retry_ms));
    }

    /// This shard's part of what the node may use for recovery windows.
    fn window_budget(&self) -> usize {
        self.limits.window_bytes / self.shards
    }

    /// This shard's part of what the node may use for ids that senders chose.
    fn retry_budget(&self) -> usize {
        self.limits.retry_bytes / self.shards
    }

    fn sequencer_of(&self, tenant: TenantId, channel: &ChannelName) -> ShardId {
        shard_of_channel(tenant, channel.as_str(), self.shards)
    }

    fn home_of(&self, (tenant, user): UserKey) -> ShardId {
        shard_of_user(tenant, user, self.shards)
    }
}

fn unavailable(failure: &StoreFailure) -> Reject {
    Reject::new(
        cometql_protocol::ErrorCode::Unavailable,
        failure.to_string(),
    )
}

fn rejected(failure: &StoreFailure) -> Answer {
    Answer::Rejected(unavailable(failure))
}
