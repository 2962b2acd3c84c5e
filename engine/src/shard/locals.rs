//! Which of a shard's own connections are subscribed to what.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use slab::Slab;

use super::ChannelKey;
use crate::ConnectionId;

/// All channels that connections of this shard are subscribed to, or have asked for.
#[derive(Default)]
pub(super) struct Locals {
    channels: Slab<LocalChannel>,
    index: HashMap<ChannelKey, u32, FixedState>,
}

/// One channel as this shard's connections see it.
pub(super) struct LocalChannel {
    pub(super) key: ChannelKey,
    /// Who gets publications.
    pub(super) subscribers: Vec<Subscriber>,
    /// Who asked and waits for the sequencer.
    pending: u32,
    /// Whether others are told of joins and leaves; fixed while somebody is subscribed, so that both come in pairs.
    pub(super) join_leave: bool,
}

/// One subscribed connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscriber {
    pub(super) connection: ConnectionId,
    /// When it was subscribed, unix milliseconds.
    pub(super) since_ms: u64,
}

impl Locals {
    /// The channel's index; it is made if it is new. Counts a subscription that waits.
    pub(super) fn join(&mut self, key: ChannelKey, join_leave: bool) -> u32 {
        let channels = &mut self.channels;
        let index = *self.index.entry(key.clone()).or_insert_with(|| {
            let channel = LocalChannel {
                key,
                subscribers: Vec::new(),
                pending: 0,
                join_leave,
            };
            u32::try_from(channels.insert(channel)).expect("fewer than 2^32 channels fit in memory")
        });
        self.channels[index as usize].pending += 1;
        index
    }

    /// Counts one more subscription that waits, of a channel that exists.
    pub(super) fn wait(&mut self, index: u32) {
        self.channels[index as usize].pending += 1;
    }

    pub(super) fn find(&self, key: &ChannelKey) -> Option<u32> {
        self.index.get(key).copied()
    }

    pub(super) fn get(&self, index: u32) -> &LocalChannel {
        &self.channels[index as usize]
    }

    /// A subscription that waited is active now; returns its place among the subscribers.
    pub(super) fn activate(&mut self, index: u32, subscriber: Subscriber) -> u32 {
        let channel = &mut self.channels[index as usize];
        channel.pending -= 1;
        channel.subscribers.push(subscriber);
        u32::try_from(channel.subscribers.len() - 1)
            .expect("a shard has fewer than 2^24 connections")
    }

    /// A subscription that waited is given up.
    pub(super) fn give_up(&mut self, index: u32) {
        self.channels[index as usize].pending -= 1;
        self.drop_if_empty(index);
    }

    /// Takes an active subscription out; returns the connection that moved to its place, which must be told.
    pub(super) fn leave(&mut self, index: u32, at: u32) -> Option<ConnectionId> {
        let channel = &mut self.channels[index as usize];
        channel.subscribers.swap_remove(at as usize);
        let moved = channel
            .subscribers
            .get(at as usize)
            .map(|subscriber| subscriber.connection);
        self.drop_if_empty(index);
        moved
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LocalChannel> {
        self.channels.iter().map(|(_, channel)| channel)
    }

    fn drop_if_empty(&mut self, index: u32) {
        let channel = &self.channels[index as usize];
        if channel.pending == 0 && channel.subscribers.is_empty() {
            let channel = self.channels.remove(index as usize);
            self.index.remove(&channel.key);
        }
    }
}
