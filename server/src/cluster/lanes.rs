//! Answers in the order of questions, for each channel and user; different ones don't wait for each other. What can be under
//! way together (appends) is; what must be alone waits for what is before it. It must not know what the questions are.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::Hash;

/// Questions `J` and answers `D` by key.
pub(super) struct Lanes<K, J, D> {
    lanes: HashMap<K, Lane<J, D>>,
    is_alone: fn(&J) -> bool,
}

struct Lane<J, D> {
    waiting: VecDeque<J>,
    /// Questions under way, the oldest first, with their answers.
    flying: VecDeque<Option<D>>,
    /// The turn of the oldest.
    first: u64,
    /// What is under way must be alone.
    alone: bool,
}

impl<J, D> Default for Lane<J, D> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            first: 0,
            alone: false,
        }
    }
}

/// A question that may be asked now, with its turn.
pub(super) type Turn<J> = (u64, J);

impl<K: Eq + Hash + Clone, J, D> Lanes<K, J, D> {
    pub(super) fn new(is_alone: fn(&J) -> bool) -> Self {
        Self {
            lanes: HashMap::new(),
            is_alone,
        }
    }

    /// A question comes; it is given back if it may be asked now.
    pub(super) fn come(&mut self, key: &K, job: J) -> Option<Turn<J>> {
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.waiting.push_back(job);
        lane.next(self.is_alone)
    }

    /// An answer comes: all that may be given out now, in their order. Then [`Lanes::next`] has to be called until it is `None`.
    pub(super) fn done(&mut self, key: &K, turn: u64, answer: D) -> Vec<D> {
        let Some(lane) = self.lanes.get_mut(key) else {
            return Vec::new();
        };
        let place = usize::try_from(turn - lane.first).ok();
        if let Some(place) = place.and_then(|place| lane.flying.get_mut(place)) {
            *place = Some(answer);
        }
        let mut told = Vec::new();
        while let Some(Some(_)) = lane.flying.front() {
            told.extend(lane.flying.pop_front().flatten());
            lane.first += 1;
        }
        told
    }

    /// The next question of a key that may be asked now.
    pub(super) fn next(&mut self, key: &K) -> Option<Turn<J>> {
        let lane = self.lanes.get_mut(key)?;
        let next = lane.next(self.is_alone);
        if next.is_none() && lane.flying.is_empty() && lane.waiting.is_empty() {
            self.lanes.remove(key);
        }
        next
    }
}

impl<J, D> Lane<J, D> {
    fn next(&mut self, is_alone: fn(&J) -> bool) -> Option<Turn<J>> {
        let alone = is_alone(self.waiting.front()?);
        if !self.flying.is_empty() && (alone || self.alone) {
            return None;
        }
        self.alone = alone;
        let turn = self.first + self.flying.len() as u64;
        self.flying.push_back(None);
        self.waiting.pop_front().map(|job| (turn, job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Capital letters must be alone.
    fn lanes() -> Lanes<u8, char, char> {
        Lanes::new(char::is_ascii_uppercase)
    }

    #[test]
    fn appends_fly_together_and_land_in_order() {
        let mut lanes = lanes();
        assert_eq!(lanes.come(&1, 'a'), Some((0, 'a')));
        assert_eq!(lanes.come(&1, 'b'), Some((1, 'b')));
        assert!(lanes.done(&1, 1, 'b').is_empty());
        assert_eq!(lanes.next(&1), None);
        assert_eq!(lanes.done(&1, 0, 'a'), ['a', 'b']);
        assert_eq!(lanes.next(&1), None);
        assert!(lanes.lanes.is_empty());
    }

    #[test]
    fn what_must_be_alone_waits_and_is_waited_for() {
        let mut lanes = lanes();
        assert_eq!(lanes.come(&1, 'a'), Some((0, 'a')));
        assert_eq!(lanes.come(&1, 'B'), None);
        assert_eq!(lanes.come(&1, 'c'), None);
        assert_eq!(
            lanes.come(&2, 'D'),
            Some((0, 'D')),
            "another key does not wait"
        );
        assert_eq!(lanes.done(&1, 0, 'a'), ['a']);
        assert_eq!(lanes.next(&1), Some((1, 'B')));
        assert_eq!(lanes.next(&1), None);
        assert_eq!(lanes.done(&1, 1, 'B'), ['B']);
        assert_eq!(lanes.next(&1), Some((2, 'c')));
    }
}
