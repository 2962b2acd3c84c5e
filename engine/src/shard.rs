//! A shard: the owner of some connections, the sequencer of some channels and the home of some users.

use std::sync::Arc;

use crate::permission::Rules;
use crate::{
    ClientInfo, Command, ConnectionId, Effects, Identity, Limits, Message, Now, Reject,
    SessionSettings, ShardId, StoreAnswer, StoreFailure,
};
use cometql_protocol::wire::Request;

pub mod inspect;

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
    Closed(ConnectionId),
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
    /// Time passed: expects one at least every second.
    Tick,
    /// The configuration was reloaded.
    Rules(Arc<Rules>),
}

/// One shard. See the module.
pub struct Shard<T> {
    id: ShardId,
    waiting: Vec<T>,
}

impl<T> Shard<T> {
    /// A shard without connections.
    #[must_use]
    pub fn new(id: ShardId, shards: usize, limits: Arc<Limits>, rules: Arc<Rules>) -> Self {
        _ = (shards, limits, rules);
        Self {
            id,
            waiting: Vec::new(),
        }
    }

    /// A new connection of this shard. The edge puts its socket at the slot of the returned id.
    pub fn open(&mut self, now: Now, settings: SessionSettings, info: ClientInfo) -> ConnectionId {
        _ = (now, settings, info, &self.waiting);
        ConnectionId::new(self.id, 0, 0)
    }

    /// Lets one thing happen.
    pub fn handle(&mut self, now: Now, input: Input<T>, effects: &mut impl Effects<Token = T>) {
        _ = (now, input, effects);
    }
}
