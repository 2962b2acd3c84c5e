//! The door to the shards: any thread hands in commands and asks for live state.

use std::sync::Arc;

use cometql_engine::shard::inspect::{ChannelRow, Channels, ConnectionRow, SubscriberRow, Totals};
use cometql_engine::{Answer, Command, Disconnect, Rules};
use cometql_protocol::{TenantId, UserId};

/// Cheap to clone; all clones speak to the same shards.
#[derive(Clone)]
pub struct Hub {}

/// An answer that is on its way. Commands started one after the other for one channel or user are carried out in that
/// order, whether or not earlier answers were awaited.
pub struct Pending {}

impl Pending {
    /// Waits for the answer. A node that is stopping answers `unavailable`.
    pub async fn answer(self) -> Answer {
        unimplemented!()
    }
}

impl Hub {
    /// Hands in a command without waiting.
    pub fn start(&self, command: Command) -> Pending {
        _ = command;
        unimplemented!()
    }

    /// Carries out a command.
    pub async fn submit(&self, command: Command) -> Answer {
        self.start(command).answer().await
    }

    /// Carries out many commands with one message per shard; answers come in the order of the commands.
    pub async fn submit_many(&self, commands: Vec<Command>) -> Vec<Answer> {
        _ = commands;
        unimplemented!()
    }

    /// Subscriber counts, summed over the shards. `Named` gives one row for each name, 0 for unknown ones.
    pub async fn channels(&self, tenant: TenantId, which: Channels) -> Vec<ChannelRow> {
        _ = (tenant, which);
        unimplemented!()
    }

    /// Subscribed connections, newest first within a channel.
    pub async fn subscribers(&self, tenant: TenantId, which: Channels) -> Vec<SubscriberRow> {
        _ = (tenant, which);
        unimplemented!()
    }

    /// Open browser connections, of one tenant or (`None`) all.
    pub async fn connections(&self, tenant: Option<TenantId>) -> Vec<ConnectionRow> {
        _ = tenant;
        unimplemented!()
    }

    /// Which users are online: of those given, or (`None`) all.
    pub async fn users_online(&self, tenant: TenantId, users: Option<Vec<UserId>>) -> Vec<UserId> {
        _ = (tenant, users);
        unimplemented!()
    }

    /// Totals over the shards, of one tenant or (`None`) all.
    pub async fn totals(&self, tenant: Option<TenantId>) -> Totals {
        _ = tenant;
        unimplemented!()
    }

    /// Closes connections; returns how many were told to close.
    pub async fn disconnect(&self, which: Disconnect) -> u64 {
        _ = which;
        unimplemented!()
    }

    /// The channel rules in force, for `EXPLAIN SUBSCRIBE`.
    pub fn rules(&self) -> Arc<Rules> {
        unimplemented!()
    }

    /// Puts new channel rules in force on all shards.
    pub fn set_rules(&self, rules: Arc<Rules>) {
        _ = rules;
        unimplemented!()
    }
}
