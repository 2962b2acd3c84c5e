//! The recovery windows of a shard: what its channels delivered lately, in memory, within one budget. When it is used up,
//! the channel that was not in use for the longest time loses its oldest publications first. It must not know of epochs
//! or of the store.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use cometql_protocol::TenantId;
use foldhash::fast::FixedState;
use hashlink::LinkedHashMap;

use super::ChannelKey;
use crate::{MessageId, Publication};

/// All windows that hold something.
#[derive(Default)]
pub(super) struct Windows {
    /// The least recently used first.
    held: LinkedHashMap<ChannelKey, Window, FixedState>,
    /// For each of them, when its oldest publication was made, or one before that: when to look for what is too old.
    ages: BTreeSet<(u64, ChannelKey)>,
    /// What all publications in them cost.
    bytes: usize,
}

/// What one channel delivered last, never empty.
struct Window {
    publications: VecDeque<Arc<Publication>>,
    /// Its entry in `ages`.
    look_ms: u64,
}

/// What a kept publication costs: its payload and about as much as its structures and encoded frames take.
fn weight(publication: &Publication) -> usize {
    2 * publication.data.len() + 256
}

impl Windows {
    /// Those of a tenant with this id.
    pub(super) fn find(&self, tenant: TenantId, id: MessageId) -> Vec<Arc<Publication>> {
        let own = self.held.iter().filter(|((of, _), _)| *of == tenant);
        let kept = own.flat_map(|(_, window)| &window.publications);
        let meant = kept.filter(|publication| publication.id == id);
        meant.cloned().collect()
    }

    /// Puts a delivered publication into its channel's window of so many, and lets go what exceeds the budget.
    pub(super) fn keep(
        &mut self,
        key: &ChannelKey,
        publication: &Arc<Publication>,
        most: usize,
        budget: usize,
    ) {
        if !self.held.contains_key(key) {
            let look_ms = publication.time_ms;
            let publications = VecDeque::new();
            let window = Window {
                publications,
                look_ms,
            };
            self.held.insert(key.clone(), window);
            self.ages.insert((look_ms, key.clone()));
        }
        let window = self.held.to_back(key).expect("it is there by now");
        // It may have waited longer on its way here than the one before it.
        if publication.time_ms < window.look_ms {
            self.ages.remove(&(window.look_ms, key.clone()));
            window.look_ms = publication.time_ms;
            self.ages.insert((window.look_ms, key.clone()));
        }
        window.publications.push_back(Arc::clone(publication));
        self.bytes += weight(publication);
        if window.publications.len() > most {
            self.let_go(key);
        }
        while self.bytes > budget
            && let Some((key, _)) = self.held.front()
        {
            let key = key.clone();
            self.let_go(&key);
        }
    }

    /// Notes that somebody uses the channel.
    pub(super) fn used(&mut self, key: &ChannelKey) {
        self.held.to_back(key);
    }

    /// Every delivered publication after this offset is in the window; `None` = none is.
    pub(super) fn floor(&self, key: &ChannelKey) -> Option<u64> {
        let oldest = self.held.get(key)?.publications.front()?;
        oldest.place.map(|place| place.previous)
    }

    /// What was delivered after an offset that the window reaches back to.
    pub(super) fn after(&self, key: &ChannelKey, offset: u64) -> Vec<Arc<Publication>> {
        let Some(window) = self.held.get(key) else {
            return Vec::new();
        };
        let publications = &window.publications;
        let from = publications.partition_point(|publication| publication.offset() <= offset);
        publications.range(from..).cloned().collect()
    }

    pub(super) fn is_empty(&self, key: &ChannelKey) -> bool {
        !self.held.contains_key(key)
    }

    /// Takes one publication out.
    pub(super) fn delete(&mut self, key: &ChannelKey, id: MessageId) {
        let Some(window) = self.held.get_mut(key) else {
            return;
        };
        let bytes = &mut self.bytes;
        window.publications.retain(|publication| {
            let stays = publication.id != id;
            *bytes -= if stays { 0 } else { weight(publication) };
            stays
        });
        self.drop_if_empty(key);
    }

    /// Takes all out.
    pub(super) fn clear(&mut self, key: &ChannelKey) {
        if let Some(window) = self.held.remove(key) {
            let weights = window.publications.iter().map(|one| weight(one));
            self.bytes -= weights.sum::<usize>();
            self.ages.remove(&(window.look_ms, key.clone()));
        }
    }

    /// Takes out what was made before a moment.
    pub(super) fn forget(&mut self, before_ms: u64) {
        while self.ages.first().is_some_and(|(at, _)| *at < before_ms)
            && let Some((_, key)) = self.ages.pop_first()
        {
            let is_old = |window: &Window| {
                let oldest = window.publications.front();
                oldest.is_some_and(|oldest| oldest.time_ms < before_ms)
            };
            while self.held.get(&key).is_some_and(is_old) {
                self.let_go(&key);
            }
            if let Some(window) = self.held.get_mut(&key)
                && let Some(oldest) = window.publications.front()
            {
                window.look_ms = oldest.time_ms;
                self.ages.insert((oldest.time_ms, key));
            }
        }
    }

    /// Takes the oldest publication of a channel out.
    fn let_go(&mut self, key: &ChannelKey) {
        let window = self.held.get_mut(key);
        if let Some(oldest) = window.and_then(|window| window.publications.pop_front()) {
            self.bytes -= weight(&oldest);
            self.drop_if_empty(key);
        }
    }

    fn drop_if_empty(&mut self, key: &ChannelKey) {
        let window = self.held.get(key);
        if window.is_some_and(|window| window.publications.is_empty()) {
            self.clear(key);
        }
    }

    /// Everything is accounted for, and no budget exceeded.
    #[cfg(test)]
    pub(super) fn check(&self, budget: usize) {
        let all = || self.held.values().flat_map(|window| &window.publications);
        assert_eq!(self.bytes, all().map(|one| weight(one)).sum::<usize>());
        assert!(self.bytes <= budget, "{} bytes", self.bytes);
        assert_eq!(self.ages.len(), self.held.len());
        for (key, window) in &self.held {
            assert!(self.ages.contains(&(window.look_ms, key.clone())));
            let oldest = window.publications.front().expect("none is empty");
            assert!(window.look_ms <= oldest.time_ms);
        }
    }
}
