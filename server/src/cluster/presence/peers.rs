//! How far this node knows the users of another one. Each shard there numbers what it announces; the list of all users
//! tells up to which number it reaches.

use std::collections::HashMap;

use super::wire::{UserMoved, UsersTold};

/// Most announcements that are kept while the list is awaited: with more, the next one shows that some were missed.
const MOST_WAITING: usize = 100_000;

/// Another member.
#[derive(Default)]
pub(super) struct Peer {
    /// The number of the last announcement of each shard there.
    known: HashMap<u8, u64>,
    /// What came since the list was asked for.
    since: Vec<UserMoved>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Its list is to be asked for.
    #[default]
    Unknown,
    /// Its list is asked for.
    Asked,
    /// It is asked for, and something was missed since.
    AskedTooEarly,
    Known,
}

/// What an announcement is to who hears it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The next one.
    Next(UserMoved),
    /// It is known, or will be once the list is there.
    Nothing,
    /// Others were lost before it.
    Missed,
}

impl Peer {
    /// The list is wanted. False if it is on its way already.
    pub(super) fn asks(&mut self) -> bool {
        let on_its_way = matches!(self.state, State::Asked | State::AskedTooEarly);
        self.state = match on_its_way {
            true => State::AskedTooEarly,
            false => State::Asked,
        };
        !on_its_way
    }

    /// The list did not come.
    pub(super) fn failed(&mut self) {
        self.state = State::Unknown;
    }

    /// Something is announced.
    pub(super) fn hear(&mut self, moved: UserMoved) -> Said {
        if self.state != State::Known {
            if self.since.len() < MOST_WAITING {
                self.since.push(moved);
            }
            return Said::Nothing;
        }
        let last = self.known.entry(moved.shard).or_default();
        if moved.number <= *last {
            return Said::Nothing;
        }
        if moved.number > *last + 1 {
            self.since.push(moved);
            self.state = State::Unknown;
            return Said::Missed;
        }
        *last = moved.number;
        Said::Next(moved)
    }

    /// The list came: what was announced after it was made, in order, and whether the list is to be asked for again.
    pub(super) fn answered(&mut self, told: &[UsersTold]) -> (Vec<UserMoved>, bool) {
        let mut again = self.state == State::AskedTooEarly;
        self.known = told.iter().map(|part| (part.shard, part.number)).collect();
        self.state = State::Known;
        let mut next = Vec::new();
        for moved in std::mem::take(&mut self.since) {
            match self.hear(moved) {
                Said::Next(moved) => next.push(moved),
                Said::Nothing => {}
                Said::Missed => again = true,
            }
        }
        if again {
            self.state = State::Unknown;
        }
        (next, again)
    }
}
