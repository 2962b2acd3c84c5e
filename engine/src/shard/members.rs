//! Who is in this shard's channels on other nodes, where others are told of joins and leaves: kept so that a node that
//! vanishes takes its members with it. Every node awaits the return of who left by itself (`leaves.rs`).

use cometql_protocol::planted::planted;
use cometql_protocol::wire::Member;

use super::sequencer::State;
use super::{ChannelKey, Shard};
use crate::{Announce, Departure, Effects, NodeId, Now};

/// Members of one channel by node.
#[derive(Default)]
pub(super) struct Members(Vec<There>);

struct There {
    node: NodeId,
    /// The node has told all of them; else they are those that it told of since this one listens.
    whole: bool,
    members: Vec<Member>,
}

impl Members {
    fn of(&mut self, node: NodeId) -> &mut There {
        let at = self.0.iter().position(|there| there.node == node);
        let at = at.unwrap_or_else(|| {
            self.0.push(There {
                node,
                whole: false,
                members: Vec::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// All members of a node are gone. If it was only out of reach, they are news when it is back.
    fn empty(&mut self, node: NodeId) -> Vec<Member> {
        let mut own = self.0.iter_mut().filter(|there| there.node == node);
        own.next().map_or_else(Vec::new, |there| {
            there.whole = true;
            std::mem::take(&mut there.members)
        })
    }
}

impl There {
    /// Takes over all members of the node; returns who joined and who left unheard of.
    fn replace(&mut self, members: Vec<Member>) -> (Vec<Member>, Vec<Member>) {
        let mut left = std::mem::replace(&mut self.members, members.clone());
        if !std::mem::replace(&mut self.whole, true) {
            // Who was there before anybody here listened is no news.
            return (Vec::new(), Vec::new());
        }
        let mut joined = Vec::new();
        for member in members {
            match left.iter().position(|known| *known == member) {
                Some(at) => drop(left.swap_remove(at)),
                None => joined.push(member),
            }
        }
        (joined, left)
    }
}

impl<T> Shard<T> {
    /// A channel is followed from now on: where others are told who is there, the other nodes are asked.
    pub(super) fn watch_members(
        &mut self,
        key: &ChannelKey,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.rules.behaviour(key.0, key.1.as_str()).join_leave {
            let (tenant, channel) = key.clone();
            effects.announce(Announce::Watch { tenant, channel });
        }
    }

    /// Tells the other nodes of a join.
    pub(super) fn announce_join(
        &self,
        key: &ChannelKey,
        member: &Member,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.cluster.is_some() {
            let (tenant, channel) = key.clone();
            let member = member.clone();
            effects.announce(Announce::Joined {
                tenant,
                channel,
                member,
            });
        }
    }

    /// Tells the other nodes of a leave, which they keep to themselves for the grace period, too.
    pub(super) fn announce_leave(
        &self,
        key: &ChannelKey,
        member: &Member,
        departure: Departure,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.cluster.is_some() {
            let (tenant, channel) = key.clone();
            let member = member.clone();
            effects.announce(Announce::Left {
                tenant,
                channel,
                member,
                departure,
            });
        }
    }

    pub(super) fn on_joined_elsewhere(
        &mut self,
        node: NodeId,
        key: &ChannelKey,
        member: Member,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(sequence) = self.sequencer.get_mut(key).filter(|one| one.is_open()) else {
            return;
        };
        let there = sequence.log_mut().members.of(node);
        there.members.push(member.clone());
        let told = &sequence.interested;
        self.leaves.join(told, key, member, None, effects);
    }

    pub(super) fn on_left_elsewhere(
        &mut self,
        now: Now,
        node: NodeId,
        key: &ChannelKey,
        member: Member,
        departure: Departure,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(sequence) = self.sequencer.get_mut(key).filter(|one| one.is_open()) else {
            return;
        };
        let there = &mut sequence.log_mut().members.of(node).members;
        if let Some(at) = there.iter().position(|known| *known == member) {
            there.swap_remove(at);
        }
        self.leaves_elsewhere(now, key, member, departure, effects);
    }

    /// Another node told all its members of a channel, not for the first time if it was out of reach.
    pub(super) fn on_present(
        &mut self,
        now: Now,
        node: NodeId,
        key: &ChannelKey,
        members: Vec<Member>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(sequence) = self.sequencer.get_mut(key).filter(|one| one.is_open()) else {
            return;
        };
        let (joined, left) = sequence.log_mut().members.of(node).replace(members);
        for member in left {
            self.leaves_elsewhere(now, key, member, Departure::ForGood, effects);
        }
        for member in joined {
            let told = &self.sequencer.ready(key).interested;
            self.leaves.join(told, key, member, None, effects);
        }
    }

    /// A node is gone, and all members that it had.
    pub(super) fn members_gone(
        &mut self,
        now: Now,
        node: NodeId,
        effects: &mut impl Effects<Token = T>,
    ) {
        if planted("engine-keeps-members-of-dead-nodes") {
            return;
        }
        for key in self.sequencer.keys() {
            let sequence = self.sequencer.ready(&key);
            let Some(log) = sequence.log.as_mut() else {
                continue;
            };
            for member in log.members.empty(node) {
                self.leaves_elsewhere(now, &key, member, Departure::ForGood, effects);
            }
        }
    }

    fn leaves_elsewhere(
        &mut self,
        now: Now,
        key: &ChannelKey,
        member: Member,
        departure: Departure,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(sequence) = self.sequencer.get(key) else {
            return;
        };
        if matches!(sequence.state, State::Closed) {
            return;
        }
        let grace = match departure {
            Departure::ForGood => None,
            Departure::MayReturn => Some(&*self.limits),
        };
        let told = &sequence.interested;
        self.leaves
            .leave(now, told, key, member, None, grace, effects);
    }
}
