//! What nodes tell each other: who came and went, what no log has, and who is there.

use cometql_engine::effects::PresenceAsk;
use cometql_engine::shard::inspect::Channels;
use cometql_engine::{Announce, LogEvent, Message, NodeId};
use cometql_protocol::wire;

use super::log::ChannelKey;
use super::world::{Event, World};
use crate::node::ToCluster;

impl World {
    /// One node tells another one something, behind what it told it before.
    pub(super) fn send(&mut self, from: usize, to: usize, event: LogEvent) {
        if !self.reaches(from, to) {
            return;
        }
        let (delay, life) = (self.rng.below(30), self.slots[to].life);
        self.slots[to].edge.lanes[from].push_back(event);
        self.at(delay, Event::Hears(to, life, from));
    }

    /// A node learns of another one.
    pub(super) fn meet(&mut self, node: usize, other: usize) {
        let Some(shards) = &self.slots[other].node else {
            return;
        };
        if !self.reaches(node, other) {
            return;
        }
        let users = shards
            .shards
            .iter()
            .flat_map(|shard| shard.users_here())
            .collect();
        let id: NodeId = self.slots[other].id;
        self.slots[node].reach.knows.insert(id);
        self.send(other, node, LogEvent::NodeUp(id));
        self.send(other, node, LogEvent::Users { node: id, users });
    }

    fn others(&self, node: usize) -> Vec<usize> {
        self.alive()
            .into_iter()
            .filter(|other| *other != node && self.reaches(node, *other))
            .collect()
    }

    fn following(&self, node: usize, key: &ChannelKey) -> Vec<usize> {
        let follows = |other: &usize| self.slots[*other].edge.follows.contains_key(key);
        self.others(node).into_iter().filter(follows).collect()
    }

    pub(super) fn tell_cluster(&mut self, node: usize, shard: usize, what: ToCluster) {
        match what {
            ToCluster::Unfollow(tenant, channel, kind) => {
                let follows = &mut self.slots[node].edge.follows;
                let key = (tenant, channel);
                if follows.get(&key).is_some_and(|one| one.kind == kind) {
                    follows.remove(&key);
                    self.slots[node].edge.watched.remove(&key);
                }
            }
            ToCluster::FollowUser(tenant, user, true) => {
                // Where it can't be asked, all is new.
                let last = match self.is_cut(node) {
                    true => 0,
                    false => self.log.last_message(),
                };
                self.slots[node].edge.users.insert((tenant, user), last);
            }
            ToCluster::FollowUser(tenant, user, false) => {
                self.slots[node].edge.users.remove(&(tenant, user));
            }
            ToCluster::SendUnstored(tenant, user, content) => {
                self.note(format!("{} goes without the log", content.data));
                for other in self.others(node) {
                    if self.slots[other].edge.users.contains_key(&(tenant, user)) {
                        let content = content.clone();
                        let event = LogEvent::Unstored {
                            tenant,
                            user,
                            content,
                        };
                        self.send(node, other, event);
                    }
                }
            }
            ToCluster::TellTaken(tenant, user, id) => {
                for other in self.others(node) {
                    self.send(node, other, LogEvent::Taken { tenant, user, id });
                }
            }
            ToCluster::Broadcast(publication, lossy) => self.broadcast(node, &publication, lossy),
            ToCluster::Announce(announce) => self.announce(node, announce),
            ToCluster::AskPresence(ask) => self.presence(node, shard, &ask),
        }
    }

    fn broadcast(&mut self, node: usize, publication: &cometql_engine::Publication, lossy: bool) {
        let key = (publication.tenant, publication.channel.clone());
        if self.is_cut(node) {
            self.unheard_status(&key, &publication.data);
        } else {
            self.status(&key, &publication.data);
        }
        if lossy {
            self.note(format!("{} goes without the log", publication.data));
            let life = self.slots[node].life;
            let lossy = (key.0.0, key.1.to_string(), node, life);
            self.promises.lossy.push(lossy);
            self.promises.may_come_again(&publication.data);
        }
        for other in self.following(node, &key) {
            let content = cometql_engine::publication::Content {
                id: publication.id,
                event: publication.event.clone(),
                data: publication.data.clone(),
                data_is_json: publication.data_is_json,
                time_ms: publication.time_ms,
                user: publication.user,
                from_browser: publication.from_browser,
                once: true,
            };
            let (tenant, channel) = key.clone();
            let event = LogEvent::Live {
                tenant,
                channel,
                content,
                lossy,
            };
            self.send(node, other, event);
        }
    }

    fn announce(&mut self, node: usize, announce: Announce) {
        if let Announce::User { tenant, user, .. } = &announce {
            self.note(format!("node {node}: {announce:?}"));
            let who = (tenant.0, user.get());
            self.promises.announces(who, node, self.now);
        }
        let id = self.slots[node].id;
        match announce {
            Announce::Joined {
                tenant,
                channel,
                member,
            } => {
                for other in self.following(node, &(tenant, channel.clone())) {
                    let (channel, member) = (channel.clone(), member.clone());
                    let event = LogEvent::Joined {
                        node: id,
                        tenant,
                        channel,
                        member,
                    };
                    self.send(node, other, event);
                }
            }
            Announce::Left {
                tenant,
                channel,
                member,
                departure,
            } => {
                for other in self.following(node, &(tenant, channel.clone())) {
                    let (channel, member) = (channel.clone(), member.clone());
                    let event = LogEvent::Left {
                        node: id,
                        tenant,
                        channel,
                        member,
                        departure,
                    };
                    self.send(node, other, event);
                }
            }
            Announce::Watch { tenant, channel } => {
                let key = (tenant, channel.clone());
                self.slots[node].edge.watched.insert(key);
                for other in self.others(node) {
                    let (delay, life) = (self.rng.below(30), self.slots[other].life);
                    let key = (tenant, channel.clone());
                    self.at(delay, Event::Snapshot(other, life, node, key));
                }
            }
            Announce::User {
                tenant,
                user,
                there,
            } => {
                for other in self.others(node) {
                    let event = LogEvent::User {
                        node: id,
                        tenant,
                        user,
                        there,
                    };
                    self.send(node, other, event);
                }
            }
        }
    }

    pub(super) fn snapshot(&mut self, node: usize, asker: usize, key: ChannelKey) {
        let members = self.members(node, &key);
        if self.slots[asker].node.is_some() && self.reaches(node, asker) {
            let (tenant, channel) = key;
            let event = LogEvent::Present {
                node: self.slots[node].id,
                tenant,
                channel,
                members,
            };
            self.send(node, asker, event);
        }
    }

    /// Who is subscribed to a channel on a node.
    pub(super) fn members(&self, node: usize, (tenant, channel): &ChannelKey) -> Vec<wire::Member> {
        let named = Channels::Named(vec![channel.clone()]);
        let shards = self.slots[node].node.iter().flat_map(|node| &node.shards);
        let rows = shards.flat_map(|shard| shard.subscribers(*tenant, &named));
        rows.map(|row| wire::Member {
            user: row.user,
            uuid: row.uuid.to_string(),
        })
        .collect()
    }

    fn presence(&mut self, node: usize, shard: usize, ask: &PresenceAsk) {
        let key = (ask.tenant, ask.channel.clone());
        let others = self.others(node).into_iter();
        let members: Vec<_> = others.flat_map(|other| self.members(other, &key)).collect();
        let told = Message::PresenceTold {
            connection: ask.connection,
            gather: ask.gather,
            count: members.len() as u64,
            members: if ask.count_only { Vec::new() } else { members },
        };
        self.mail(node, shard, told);
    }

    /// A node that is cut off said something of a user: what is told last of it nobody knows.
    fn unheard_status(&mut self, (tenant, channel): &ChannelKey, data: &str) {
        if let Some(user) = channel.as_str().strip_prefix("user_status_") {
            self.promises
                .forget_status((tenant.0, user.parse().unwrap()));
            self.promises.asks(data);
            self.promises.may_come_again(data);
        }
    }

    /// What was published last about a user.
    pub(super) fn status(&mut self, (tenant, channel): &ChannelKey, data: &str) {
        if let Some(user) = channel.as_str().strip_prefix("user_status_") {
            let who = (tenant.0, user.parse().unwrap());
            self.promises.status(who, data, self.now);
            self.promises.asks(data);
            self.promises.may_come_again(data);
        }
    }
}
