//! Who is where on other nodes: carries what shards announce to the other members, and what those announce to the shards.
//! Decides nothing: who is offline, and who is told what, is the engine's.
//!
//! Announcements may be lost (a reconnect), so each has a number, and whoever misses one asks for all.

use std::collections::HashMap;

use async_nats::{Message, Subscriber};
use cometql_engine::effects::PresenceAsk;
use cometql_engine::{Announce, LogEvent, ShardId};
use cometql_protocol::{ChannelName, TenantId, UserId};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::NodeId;
use super::gather::Ask;
use super::gather::wire::{MemberTold, PresenceAsked, PresenceCountAsked};
use super::members::{Event, JoinError, Members};
use crate::hub::Hub;
use peers::{Peer, Said};
use watched::Watched;
use wire::{Moved, UserMoved};
pub(crate) use wire::{UsersAsked, UsersTold};

mod peers;
#[cfg(test)]
mod tests;
mod watched;
mod wire;

/// What shards want to be told to others, or to be told of them.
#[derive(Debug)]
pub(crate) enum Voice {
    /// [`Effects::announce`](cometql_engine::Effects::announce); users with the number of the announcement on its shard.
    Announce(ShardId, u64, Announce),
    /// [`Effects::ask_presence`](cometql_engine::Effects::ask_presence).
    Ask(PresenceAsk),
    /// A channel is followed no more.
    Unfollow(TenantId, ChannelName),
}

/// A channel that is watched.
type Key = (TenantId, ChannelName);

/// What comes back to the task from what it started.
enum Back {
    /// The list of all users of a node; `None` = it did not answer.
    Users(NodeId, Option<Vec<UsersTold>>),
    /// Who is in a channel on a node.
    Present(Key, NodeId, Option<Vec<MemberTold>>),
    /// A subscription to a channel's joins and leaves is in force.
    Watching(Key),
    /// A join or leave in a watched channel.
    Moved(Key, Moved),
}

/// Carries news between the shards of this node and the other members.
pub(crate) struct Presence {
    members: Members,
    hub: Hub,
    peers: HashMap<NodeId, Peer>,
    watched: HashMap<Key, Watched>,
    back: UnboundedSender<Back>,
    told: UnboundedReceiver<Back>,
}

impl Presence {
    /// Nobody is known yet.
    pub(crate) fn new(members: Members, hub: Hub) -> Self {
        let (back, told) = unbounded_channel();
        Self {
            members,
            hub,
            peers: HashMap::new(),
            watched: HashMap::new(),
            back,
            told,
        }
    }

    /// Listens to what other members tell of users: before they are asked for all of them.
    pub(crate) async fn subscribe(&self) -> Result<Subscriber, JoinError> {
        let cluster = self.members.cluster();
        let subscriber = cluster.client().subscribe(cluster.names().subject("user"));
        let subscriber = subscriber.await;
        subscriber.map_err(|error| JoinError::Nats(error.into()))
    }

    /// Carries until it is dropped.
    pub(crate) async fn run(
        mut self,
        mut users: Subscriber,
        mut voices: UnboundedReceiver<Voice>,
        mut events: UnboundedReceiver<Event>,
    ) {
        loop {
            // Each branch may be dropped half way: what comes stays in its queue.
            tokio::select! {
                Some(voice) = voices.recv() => self.carry(voice).await,
                Some(event) = events.recv() => self.on_member(event),
                Some(message) = users.next() => self.on_user(&message),
                Some(back) = self.told.recv() => self.on_back(back),
                else => return,
            }
        }
    }

    async fn carry(&mut self, voice: Voice) {
        match voice {
            Voice::Announce(_, _, Announce::Watch { tenant, channel }) => {
                self.watch((tenant, channel));
            }
            Voice::Announce(shard, number, announce) => {
                let cluster = self.members.cluster();
                let node = cluster.node().as_str();
                let told = wire::announcement(cluster.names(), node, (shard, number), announce);
                if let Some((subject, text)) = told {
                    // Without NATS it is lost; after a reconnect the others ask for all.
                    _ = cluster.client().publish(subject, text.into()).await;
                }
            }
            Voice::Ask(ask) => {
                let (members, hub) = (self.members.clone(), self.hub.clone());
                tokio::spawn(async move { answer_presence(&members, &hub, ask).await });
            }
            Voice::Unfollow(tenant, channel) => {
                self.watched.remove(&(tenant, channel));
            }
        }
    }

    fn on_member(&mut self, event: Event) {
        match event {
            Event::Up(node) => {
                self.hub.tell(LogEvent::NodeUp(node.number()));
                self.peers.insert(node.clone(), Peer::default());
                self.ask_all_of(&node);
            }
            Event::Again(node) => self.ask_all_of(&node),
            Event::Gone(node) => {
                self.peers.remove(&node);
                self.hub.tell(LogEvent::NodeGone(node.number()));
            }
            Event::Resync => {
                let peers: Vec<_> = self.peers.keys().cloned().collect();
                for node in peers {
                    self.ask_all_of(&node);
                }
            }
        }
    }

    /// What a node announced before may have been missed.
    fn ask_all_of(&mut self, node: &NodeId) {
        self.ask_users(node);
        for (key, watched) in &mut self.watched {
            watched.asks(node);
            ask_present(&self.members, &self.back, key.clone(), node.clone());
        }
    }

    fn ask_users(&mut self, node: &NodeId) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        if peer.asks() {
            let (members, back, node) = (self.members.clone(), self.back.clone(), node.clone());
            tokio::spawn(async move {
                let rows = ask(&members, &node, &UsersAsked {}).await;
                // Nobody waits for it when the node stops.
                _ = back.send(Back::Users(node, rows));
            });
        }
    }

    fn on_user(&mut self, message: &Message) {
        let Some((node, moved)) = wire::user(&message.payload) else {
            tracing::warn!("what a member said of a user was not understood");
            return;
        };
        // Of nodes that are no members yet, all is asked once they are; this one knows its own users.
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        match peer.hear(moved) {
            Said::Next(moved) => self.tell_user(&node, &moved),
            Said::Nothing => {}
            Said::Missed => self.ask_users(&node),
        }
    }

    fn tell_user(&self, node: &NodeId, moved: &UserMoved) {
        self.hub.tell(LogEvent::User {
            node: node.number(),
            tenant: moved.tenant,
            user: moved.user,
            there: moved.there,
        });
    }

    fn on_back(&mut self, back: Back) {
        match back {
            Back::Users(node, told) => self.on_users(&node, told),
            Back::Watching(key) => {
                let nodes: Vec<_> = self.peers.keys().cloned().collect();
                for node in nodes {
                    if let Some(watched) = self.watched.get_mut(&key) {
                        watched.asks(&node);
                        ask_present(&self.members, &self.back, key.clone(), node);
                    }
                }
            }
            Back::Present(key, node, told) => self.on_present(key, node, told),
            Back::Moved(key, moved) => {
                if let Some(watched) = self.watched.get_mut(&key) {
                    watched.moved(&moved.node);
                    if let Some(event) = moved.event(key) {
                        self.hub.tell(event);
                    }
                }
            }
        }
    }

    /// All users of a node, and what it announced since.
    fn on_users(&mut self, node: &NodeId, told: Option<Vec<UsersTold>>) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        let Some(told) = told else {
            // It is still a member: it is only slow, or has an older version.
            peer.failed();
            self.ask_users(node);
            return;
        };
        let users: Vec<(TenantId, UserId, bool)> = told.iter().flat_map(UsersTold::users).collect();
        let (since, again) = peer.answered(&told);
        self.hub.tell(LogEvent::Users {
            node: node.number(),
            users,
        });
        for moved in since {
            self.tell_user(node, &moved);
        }
        if again {
            self.ask_users(node);
        }
    }

    fn on_present(&mut self, key: Key, node: NodeId, told: Option<Vec<MemberTold>>) {
        let Some(watched) = self.watched.get_mut(&key) else {
            return;
        };
        if !self.peers.contains_key(&node) {
            return;
        }
        // Somebody came or went meanwhile: the answer may be of before or of after that. One that did not answer is
        // asked again, too, for as long as it is a member.
        let Some(members) = told.filter(|_| watched.is_settled(&node)) else {
            watched.asks(&node);
            ask_present(&self.members, &self.back, key, node);
            return;
        };
        let (tenant, channel) = key;
        self.hub.tell(LogEvent::Present {
            node: node.number(),
            tenant,
            channel,
            members: members.into_iter().map(Into::into).collect(),
        });
    }

    /// Follows joins and leaves of a channel, and then asks who is there.
    fn watch(&mut self, key: Key) {
        let watching = listen(self.members.clone(), self.back.clone(), key.clone());
        let task = tokio::spawn(watching);
        self.watched.insert(key, Watched::new(task));
    }
}

/// Listens to a channel's joins and leaves until it is aborted.
async fn listen(members: Members, back: UnboundedSender<Back>, key: Key) {
    let cluster = members.cluster();
    let subject = cluster.names().presence(key.0, &key.1);
    let Ok(mut told) = cluster.client().subscribe(subject).await else {
        // Only a client that was closed refuses: the node stops.
        return;
    };
    // What is announced from now on is heard before the answer to the question who is there.
    _ = cluster.client().flush().await;
    _ = back.send(Back::Watching(key.clone()));
    while let Some(message) = told.next().await {
        match Moved::read(&message.payload) {
            Some(moved) if moved.node != *cluster.node() => {
                _ = back.send(Back::Moved(key.clone(), moved));
            }
            Some(_) => {}
            None => tracing::warn!("what a member said of a channel was not understood"),
        }
    }
}

/// Asks one member. `None`: it did not answer for as long as it may take; then the next question may follow at once.
async fn ask<Q: Ask>(members: &Members, node: &NodeId, question: &Q) -> Option<Vec<Q::Row>> {
    let patience = tokio::time::Instant::now() + members.cluster().settings().ask_timeout;
    let told = members.ask_one(node, question).await;
    let rows = told.by.into_iter().next().map(|(_, rows)| rows);
    if rows.is_none() {
        tokio::time::sleep_until(patience).await;
    }
    rows
}

fn ask_present(members: &Members, back: &UnboundedSender<Back>, key: Key, node: NodeId) {
    let (members, back) = (members.clone(), back.clone());
    tokio::spawn(async move {
        let question = PresenceAsked {
            tenant: key.0.0,
            channel: key.1.as_str().to_owned(),
        };
        let rows = ask(&members, &node, &question).await;
        // Nobody waits for it when the node stops.
        _ = back.send(Back::Present(key, node, rows));
    });
}

/// A browser asks who is in a channel: what the other nodes tell in time.
async fn answer_presence(members: &Members, hub: &Hub, ask: PresenceAsk) {
    let (tenant, channel) = (ask.tenant.0, ask.channel.as_str().to_owned());
    let (rows, count) = if ask.count_only {
        let told = members.ask(&PresenceCountAsked { tenant, channel }).await;
        let counts = told.by.iter().flat_map(|(_, counts)| counts);
        (Vec::new(), counts.sum())
    } else {
        let told = members.ask(&PresenceAsked { tenant, channel }).await;
        let rows = told.by.into_iter().flat_map(|(_, rows)| rows);
        let rows: Vec<_> = rows.map(Into::into).collect();
        let count = rows.len() as u64;
        (rows, count)
    };
    hub.tell_presence(ask.connection, ask.gather, rows, count);
}
