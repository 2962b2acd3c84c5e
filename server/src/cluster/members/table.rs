//! The other members and their leases. Time is an argument; it must not know NATS.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::wire::{Beat, row};
use super::{MemberRow, NodeId};

/// The other members.
pub(super) struct Table {
    own: String,
    lease: Duration,
    members: BTreeMap<String, Heard>,
}

struct Heard {
    beat: Beat,
    at: Instant,
}

/// What changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A node is a member from now on.
    Joined(Beat),
    /// One has connected to NATS anew.
    Again(NodeId),
    /// One said goodbye.
    Left(NodeId),
    /// One was silent for too long.
    Lost(NodeId),
}

impl Table {
    pub(super) fn new(own: String, lease: Duration) -> Self {
        Self {
            own,
            lease,
            members: BTreeMap::new(),
        }
    }

    /// A node said something.
    pub(super) fn hear(&mut self, at: Instant, beat: Beat) -> Option<Change> {
        if beat.node == self.own {
            return None;
        }
        if beat.gone {
            let known = self.members.remove(&beat.node);
            return known.map(|known| Change::Left(known.beat.node()));
        }
        let heard = Heard {
            beat: beat.clone(),
            at,
        };
        let known = self.members.insert(beat.node.clone(), heard);
        match known {
            None => Some(Change::Joined(beat)),
            Some(known) if known.beat.connected != beat.connected => {
                Some(Change::Again(beat.node()))
            }
            Some(_) => None,
        }
    }

    /// Time passed: who was silent for a lease is none any more.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Change> {
        let lease = self.lease;
        let silent = |_: &String, heard: &mut Heard| now.duration_since(heard.at) > lease;
        let lost = self.members.extract_if(.., silent);
        lost.map(|(_, heard)| Change::Lost(heard.beat.node()))
            .collect()
    }

    /// Nothing could be heard until now: every lease begins anew.
    pub(super) fn renew(&mut self, now: Instant) {
        for heard in self.members.values_mut() {
            heard.at = now;
        }
    }

    pub(super) fn members(&self, now: Instant) -> impl Iterator<Item = MemberRow> {
        let members = self.members.values();
        members.map(move |heard| row(&heard.beat, now.duration_since(heard.at), false))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}
