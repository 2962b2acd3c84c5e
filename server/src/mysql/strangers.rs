//! The places of clients that have not logged in. Whoever comes gets one: when there are too many, the one that has been
//! there longest has to go, of those of the address that has most. So strangers that hold their places keep no backend
//! out, which logs in within moments. Those who have logged in need none of these places.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The places.
pub(super) struct Strangers {
    most: usize,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    last: u64,
    /// By arrival.
    strangers: BTreeMap<u64, Stranger>,
}

struct Stranger {
    address: IpAddr,
    out: Arc<Notify>,
}

/// A stranger's place, until dropped.
pub(super) struct Place {
    strangers: Arc<Strangers>,
    number: u64,
    out: Arc<Notify>,
}

impl Strangers {
    /// So many places.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            inside: Mutex::default(),
        })
    }

    /// Lets somebody in, and somebody out if there is no place.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Place {
        let mut inside = self.lock();
        if inside.strangers.len() >= self.most
            && let Some(number) = inside.to_go()
            && let Some(stranger) = inside.strangers.remove(&number)
        {
            stranger.out.notify_one();
        }
        inside.last += 1;
        let number = inside.last;
        let out = Arc::new(Notify::new());
        let stranger = Stranger {
            address,
            out: Arc::clone(&out),
        };
        inside.strangers.insert(number, stranger);
        drop(inside);
        Place {
            strangers: Arc::clone(self),
            number,
            out,
        }
    }

    /// No code that can panic runs under this lock, so a poisoned one still holds what it should.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn to_go(&self) -> Option<u64> {
        let mut counts = HashMap::new();
        for stranger in self.strangers.values() {
            *counts.entry(stranger.address).or_insert(0_usize) += 1;
        }
        let most = counts.values().copied().max()?;
        let mut oldest = self.strangers.iter();
        let found = oldest.find(|(_, stranger)| counts[&stranger.address] == most);
        found.map(|(&number, _)| number)
    }
}

impl Place {
    /// Notes who the stranger is, where a proxy told.
    pub(super) fn is_of(&self, address: IpAddr) {
        if let Some(stranger) = self.strangers.lock().strangers.get_mut(&self.number) {
            stranger.address = address;
        }
    }

    /// Waits until the stranger has to go.
    pub(super) async fn lost(&self) {
        self.out.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.strangers.lock().strangers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn is_lost(place: &Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[test]
    fn who_comes_gets_in_and_who_has_been_there_longest_goes() {
        let strangers = Strangers::new(3);
        let [busy, quiet] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let first = strangers.enter(quiet);
        let second = strangers.enter(busy);
        let third = strangers.enter(busy);
        let fourth = strangers.enter(busy);
        assert!(is_lost(&second) && !is_lost(&first) && !is_lost(&third));
        drop(third);
        let fifth = strangers.enter(busy);
        assert!(!is_lost(&first) && !is_lost(&fourth));
        fourth.is_of(quiet);
        let sixth = strangers.enter(busy);
        assert!(is_lost(&first) && !is_lost(&fifth));
        drop((first, second, fourth, fifth, sixth));
        assert!(strangers.lock().strangers.is_empty());
    }
}
