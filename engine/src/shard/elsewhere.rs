//! The users of this home on other nodes. One node decides that a user is offline: the last one, or one that all would
//! pick when several saw the last others go.

use std::collections::{BTreeSet, HashMap, VecDeque};

use cometql_protocol::planted::planted;
use cometql_protocol::{TenantId, UserId};
use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::homes::Home;
use super::{Shard, UserKey};
use crate::{Announce, ClusterSettings, Effects, NodeId, Now, UserThere};

/// So many nodes that went are known again when they come back.
const GONE: usize = 64;

/// The cluster as this shard knows it.
pub(super) struct Cluster {
    pub(super) settings: ClusterSettings,
    /// The other members.
    nodes: BTreeSet<NodeId>,
    /// Those that are none any more, the last ones: they may have been out of reach only.
    gone: VecDeque<NodeId>,
    users: HashMap<UserKey, Places, FixedState>,
    /// The last private message that arrived for each user with devices here.
    arrived: HashMap<UserKey, u64, FixedState>,
}

/// Where else a user is.
#[derive(Default)]
struct Places {
    /// On which nodes, and whether one of its connections there reads private messages.
    nodes: SmallVec<[(NodeId, bool); 1]>,
    /// It was told that the user is offline, by a node that did not know of these: they may be dead.
    doubted: bool,
}

impl Cluster {
    pub(super) fn new(settings: ClusterSettings) -> Self {
        Self {
            settings,
            nodes: BTreeSet::new(),
            gone: VecDeque::new(),
            users: HashMap::default(),
            arrived: HashMap::default(),
        }
    }

    /// The last private message that arrived for a user.
    pub(super) fn arrived(&self, key: UserKey) -> u64 {
        self.arrived.get(&key).copied().unwrap_or(0)
    }

    pub(super) fn note_arrival(&mut self, key: UserKey, offset: u64) {
        let last = self.arrived.entry(key).or_default();
        *last = offset.max(*last);
    }

    pub(super) fn forget_arrivals(&mut self, key: UserKey) {
        self.arrived.remove(&key);
    }

    fn is_there(&self, key: UserKey) -> bool {
        let places = self.users.get(&key);
        places.is_some_and(|places| !places.doubted)
    }

    fn put(&mut self, key: UserKey, node: NodeId, reads: bool) {
        let places = self.users.entry(key).or_default();
        places.doubted = false;
        let places = &mut places.nodes;
        match places.iter_mut().find(|(of, _)| *of == node) {
            Some(place) => place.1 = reads,
            None => places.push((node, reads)),
        }
    }

    fn doubt(&mut self, key: UserKey) {
        if let Some(places) = self.users.get_mut(&key) {
            places.doubted = true;
        }
    }

    /// Whether this was the last other node that had the user.
    fn remove(&mut self, key: UserKey, node: NodeId) -> bool {
        let Some(places) = self.users.get_mut(&key) else {
            return false;
        };
        places.nodes.retain(|(of, _)| *of != node);
        let last = places.nodes.is_empty();
        if last {
            self.users.remove(&key);
        }
        last
    }

    fn users_of(&self, node: NodeId) -> Vec<UserKey> {
        let has = |places: &Places| places.nodes.iter().any(|(of, _)| *of == node);
        let users = self.users.iter().filter(|(_, places)| has(places));
        users.map(|(key, _)| *key).collect()
    }

    /// Whether this node is the one that all members would pick for a user (rendezvous hashing). `but` is none of them: a
    /// node that was out of reach does not know that it was.
    fn is_picked(&self, (tenant, user): UserKey, but: Option<NodeId>) -> bool {
        let weight = |node: NodeId| {
            (
                mix(node.0 ^ mix(u64::from(tenant.0) ^ mix(user.get()))),
                node,
            )
        };
        let own = weight(self.settings.node);
        let mut others = self.nodes.iter().filter(|node| Some(**node) != but);
        others.all(|node| weight(*node) < own)
    }
}

/// `SplitMix64`: the same on all nodes, whichever version they are.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

impl<T> Shard<T> {
    /// The users that have this shard as their home and are on this node, as other nodes have to know of them
    /// ([`LogEvent::Users`](crate::LogEvent::Users)).
    #[must_use]
    pub fn users_here(&self) -> Vec<(TenantId, UserId, bool)> {
        let users = self.homes.reading();
        users
            .map(|((tenant, user), reads)| (*tenant, *user, reads))
            .collect()
    }

    /// Whether it is this node that counts a user of its own, who may be on several. One whose return is awaited here counts
    /// as long as another node has it.
    pub(super) fn counts_user(&self, key: UserKey, connected: bool) -> bool {
        let Some(cluster) = &self.cluster else {
            return connected;
        };
        let own = cluster.settings.node;
        match cluster.users.get(&key).filter(|places| !places.doubted) {
            Some(places) => places.nodes.iter().all(|(node, _)| own < *node),
            None => connected,
        }
    }

    /// Whether another node has the user.
    pub(super) fn is_elsewhere(&self, key: UserKey) -> bool {
        let cluster = self.cluster.as_ref();
        cluster.is_some_and(|cluster| cluster.is_there(key))
    }

    /// Whether a connection on another node acknowledges the user's private messages by itself.
    pub(super) fn reads_elsewhere(&self, key: UserKey) -> bool {
        let places = self
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.users.get(&key));
        places.is_some_and(|places| places.nodes.iter().any(|(_, reads)| *reads))
    }

    pub(super) fn announce_user(
        &self,
        (tenant, user): UserKey,
        there: UserThere,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.cluster.is_some() {
            effects.announce(Announce::User {
                tenant,
                user,
                there,
            });
        }
    }

    pub(super) fn on_user_elsewhere(
        &mut self,
        now: Now,
        node: NodeId,
        key: UserKey,
        there: UserThere,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        match there {
            UserThere::Online { reads } => cluster.put(key, node, reads),
            UserThere::Offline { told } => {
                let last = cluster.remove(key, node);
                if told {
                    cluster.doubt(key);
                }
                if let Some(reads) = self.homes.get(key).map(Home::reads).filter(|_| told) {
                    // It has come here while it went there.
                    self.announce_user(key, UserThere::Online { reads }, effects);
                    self.tell_online(now, key, effects);
                } else if last && !told {
                    self.went_elsewhere(now, key, effects);
                }
            }
        }
    }

    /// Another node tells all its users.
    pub(super) fn on_users_elsewhere(
        &mut self,
        now: Now,
        node: NodeId,
        users: Vec<(TenantId, UserId, bool)>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let mut gone: BTreeSet<_> = cluster.users_of(node).into_iter().collect();
        let returned = cluster.gone.contains(&node);
        cluster.gone.retain(|other| *other != node);
        let mut back = Vec::new();
        for (tenant, user, reads) in users {
            let key = (tenant, user);
            gone.remove(&key);
            if returned && !cluster.is_there(key) && cluster.is_picked(key, Some(node)) {
                back.push(key);
            }
            cluster.put(key, node, reads);
        }
        self.users_gone(now, node, gone, effects);
        // When the node went out of reach, its users were told to be offline.
        back.retain(|key| self.homes.get(*key).is_none());
        for key in back {
            self.tell_online(now, key, effects);
        }
    }

    pub(super) fn on_node_up(&mut self, node: NodeId) {
        if let Some(cluster) = &mut self.cluster
            && node != cluster.settings.node
        {
            cluster.nodes.insert(node);
        }
    }

    /// A node is gone, and all users that it had.
    pub(super) fn on_node_gone(
        &mut self,
        now: Now,
        node: NodeId,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.nodes.remove(&node);
        cluster.gone.push_back(node);
        if cluster.gone.len() > GONE {
            cluster.gone.pop_front();
        }
        if planted("engine-keeps-users-of-dead-nodes") {
            return;
        }
        let users = cluster.users_of(node);
        self.users_gone(now, node, users, effects);
    }

    fn users_gone(
        &mut self,
        now: Now,
        node: NodeId,
        users: impl IntoIterator<Item = UserKey>,
        effects: &mut impl Effects<Token = T>,
    ) {
        for key in users {
            let cluster = self.cluster.as_mut();
            if cluster.is_some_and(|cluster| cluster.remove(key, node)) {
                self.went_elsewhere(now, key, effects);
            }
        }
    }

    /// The last other node that had a user has it no more, and told nobody.
    fn went_elsewhere(&mut self, now: Now, key: UserKey, effects: &mut impl Effects<Token = T>) {
        let picked = self
            .cluster
            .as_ref()
            .is_some_and(|cluster| cluster.is_picked(key, None));
        if picked && self.homes.get(key).is_none() {
            self.tell_offline(now, key, now, effects);
            // Whoever still believes it to be on a node that is dead learns that it was told.
            self.announce_user(key, UserThere::Offline { told: true }, effects);
        }
    }
}
