//! A node that is out of reach of the log and of all other nodes for a while, and comes back with its clients: what nodes
//! tell each other meanwhile is lost.

use std::collections::BTreeSet;

use cometql_engine::{LogEvent, LogKind, NodeId};

use super::world::{Event, World};

/// After so long of silence a node counts as dead.
const LEASE_MS: u64 = 5_000;

/// Of one life: which way it is out of reach, and whom it knows as members.
#[derive(Default)]
pub(super) struct Reach {
    pub(super) cut: bool,
    /// How often it was cut off, and when it came back.
    times: u32,
    back: u64,

    pub(super) knows: BTreeSet<NodeId>,
    /// The life of the windows that it has heard of.
    pub(super) windows: u64,
}

impl Reach {
    pub(super) fn begin(windows: u64) -> Self {
        Self {
            windows,
            ..Self::default()
        }
    }
}

impl World {
    pub(super) fn is_cut(&self, node: usize) -> bool {
        self.slots[node].reach.cut
    }

    /// Whether what one says comes to the other.
    pub(super) fn reaches(&self, node: usize, other: usize) -> bool {
        node == other || !self.is_cut(node) && !self.is_cut(other)
    }

    pub(super) fn cut_or_heal(&mut self) {
        let alive = self.alive();
        if alive.is_empty() {
            return;
        }
        let node = alive[self.rng.index(alive.len())];
        if self.is_cut(node) {
            self.heal(node);
        } else {
            self.cut(node);
        }
    }

    pub(super) fn cut(&mut self, node: usize) {
        self.note(format!("node {node} is cut off"));
        let slot = &mut self.slots[node];
        slot.reach.cut = true;
        slot.reach.times += 1;
        let (life, times) = (slot.life, slot.reach.times);
        // Of what is on its way the last part is lost.
        for other in self.alive().into_iter().filter(|other| *other != node) {
            for (from, to) in [(node, other), (other, node)] {
                let left = self.rng.below(4);
                let lane = &mut self.slots[to].edge.lanes[from];
                lane.truncate(usize::try_from(left).unwrap());
            }
        }
        self.promises.dies(node, self.now);
        self.at(LEASE_MS, Event::SilenceEnds(node, life, times));
    }

    /// Nobody has heard a node that was cut off, nor it the others.
    pub(super) fn silence_ends(&mut self, node: usize, times: u32) {
        let reach = &self.slots[node].reach;
        if !reach.cut || reach.times != times {
            return;
        }
        self.note(format!("node {node} counts as dead"));
        let id = self.slots[node].id;
        for other in self.alive().into_iter().filter(|other| *other != node) {
            self.is_gone(other, id);
            let other = self.slots[other].id;
            self.is_gone(node, other);
        }
    }

    /// A node no longer counts another one as a member.
    pub(super) fn is_gone(&mut self, node: usize, other: NodeId) {
        if self.slots[node].reach.knows.remove(&other) {
            self.every_shard(node, &LogEvent::NodeGone(other));
        }
    }

    /// It is connected again, and all tell each other who is there.
    pub(super) fn heal(&mut self, node: usize) {
        self.note(format!("node {node} is back"));
        self.slots[node].reach.cut = false;
        self.slots[node].reach.back = self.now;
        self.nobody_says_who_is_back();
        for other in self.alive().into_iter().filter(|other| *other != node) {
            if self.is_cut(other) {
                continue;
            }
            for (one, of) in [(node, other), (other, node)] {
                self.meet(one, of);
                let watched: Vec<_> = self.slots[one].edge.watched.iter().cloned().collect();
                for key in watched {
                    let life = self.slots[of].life;
                    let delay = self.rng.below(30);
                    self.at(delay, Event::Snapshot(of, life, one, key));
                }
            }
        }
        self.hear_what_was_missed(node);
    }

    /// Who has started since another one went out of reach, or while it comes back, does not know that it was away; who has died
    /// can't say it; and one of these may be the one that has to say that its users are online again. And who went to a node that
    /// still took it for being elsewhere is told to be online by nobody.
    fn nobody_says_who_is_back(&mut self) {
        self.promises.forget_statuses(self.now);
    }

    /// A node starts.
    pub(super) fn meets_who_is_back(&mut self) {
        let now = self.now;
        let mut slots = self.slots.iter();
        if slots.any(|slot| slot.reach.back > 0 && slot.reach.back + 200 > now) {
            self.nobody_says_who_is_back();
        }
    }

    /// The tables are followed anew, and the log's life is asked for.
    fn hear_what_was_missed(&mut self, node: usize) {
        let event = self.setting();
        self.send(node, node, event);
        let windows = self.log.window.epoch.0;
        if std::mem::replace(&mut self.slots[node].reach.windows, windows) != windows {
            self.windows_are_lost(node);
        }
    }

    /// A node hears that another life of the windows has begun.
    pub(super) fn windows_are_lost(&mut self, node: usize) {
        self.slots[node].reach.windows = self.log.window.epoch.0;
        let follows = self.slots[node].edge.follows.iter_mut();
        let lost = follows.filter(|(_, one)| one.kind == LogKind::Window);
        let lost: Vec<_> = lost
            .map(|(key, one)| {
                one.open = false;
                key.clone()
            })
            .collect();
        for (tenant, channel) in lost {
            self.send(node, node, LogEvent::Reset { tenant, channel });
        }
    }
}
