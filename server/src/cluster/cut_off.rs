//! Notices that this node is cut off from its cluster, and sends its browsers to the other nodes, once. Who stays or comes
//! back is served as well as one node can: if all nodes have lost NATS, there is nowhere better.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::Readiness;
use super::members::Members;
use crate::hub::Hub;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a node sees of its cluster at one moment.
#[derive(Debug, Clone, Copy)]
struct Sight {
    /// NATS is connected to.
    connected: bool,
    /// How many times it was.
    times: u64,
    /// The log takes messages.
    has_log: bool,
    /// No other member is heard.
    alone: bool,
}

impl Sight {
    fn of(members: &Members, readiness: &Readiness) -> Self {
        let connection = *members.cluster().connection().borrow();
        Self {
            connected: connection.up,
            times: connection.times,
            has_log: readiness.has_log(),
            alone: members.alone(),
        }
    }

    /// A NATS server that is cut off with the node is connected to, but has no quorum. While others are heard, they are no
    /// better off.
    fn is_cut_off(self) -> bool {
        !self.connected || (!self.has_log && self.alone)
    }
}

/// Whether and since when the node is cut off.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    drained: bool,
    /// [`Sight::times`] when it was looked at last: another outage has begun if it is more.
    times: u64,
    /// There are other nodes to go to, or were.
    had_others: bool,
}

impl Outage {
    /// Whether the browsers are to go now.
    fn look(&mut self, now: Instant, sight: Sight, after: Duration) -> bool {
        self.had_others |= !sight.alone;
        if !sight.is_cut_off() || sight.times != self.times {
            (self.since, self.drained, self.times) = (None, false, sight.times);
        }
        if !sight.is_cut_off() {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let due = self.had_others && !self.drained && now - since >= after;
        self.drained |= due;
        due
    }
}

/// Watches until it is dropped; browsers come back within `spread`.
pub(crate) async fn watch(members: Members, hub: Hub, spread: Duration) {
    let readiness = Readiness::of(Some(members.cluster()));
    let after = members.cluster().settings().drain_after;
    if after.is_zero() {
        return;
    }
    let mut outage = Outage::default();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if outage.look(Instant::now(), Sight::of(&members, &readiness), after) {
            tracing::warn!("cut off from the cluster: browsers are sent to the other nodes");
            hub.drain(spread);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Sight = Sight {
        connected: true,
        times: 0,
        has_log: true,
        alone: false,
    };
    const NO_QUORUM: Sight = Sight {
        has_log: false,
        ..WELL
    };
    const NO_NATS: Sight = Sight {
        connected: false,
        ..NO_QUORUM
    };
    const NO_NATS_AGAIN: Sight = Sight {
        times: 1,
        ..NO_NATS
    };
    const MINORITY: Sight = Sight {
        alone: true,
        ..NO_QUORUM
    };
    const LAST: Sight = Sight {
        alone: true,
        ..WELL
    };

    /// What is seen, one second after the other, and in which of them browsers are sent away, after three.
    #[track_caller]
    fn check(seen: &[Sight], drained: &[usize]) {
        let start = Instant::now();
        let mut outage = Outage::default();
        let mut now = (0..).map(|second| start + Duration::from_secs(second));
        let mut look = |sight| outage.look(now.next().unwrap(), sight, Duration::from_secs(3));
        let told: Vec<_> = seen.iter().map(|sight| look(*sight)).collect();
        let told: Vec<_> = (0..seen.len()).filter(|second| told[*second]).collect();
        assert_eq!(told, drained);
    }

    #[test]
    fn browsers_are_sent_away_once_for_each_outage() {
        check(&[WELL, NO_NATS, NO_NATS, NO_NATS], &[]);
        check(&[WELL, NO_NATS, NO_NATS, WELL, NO_NATS, NO_NATS], &[]);
        check(&[&[WELL][..], &[NO_NATS; 9]].concat(), &[4]);
        check(&[&[WELL][..], &[MINORITY; 9]].concat(), &[4]);
        let twice = [&[WELL][..], &[NO_NATS; 5], &[WELL], &[MINORITY; 5]];
        check(&twice.concat(), &[4, 10]);
        // It was back in between, too shortly to be seen.
        let twice = [&[NO_NATS; 5][..], &[NO_NATS_AGAIN; 5]];
        check(&twice.concat(), &[3, 8]);
    }

    #[test]
    fn browsers_stay_where_no_other_node_is_better() {
        check(&[&[WELL][..], &[NO_QUORUM; 9]].concat(), &[]);
        check(&[&[WELL][..], &[LAST; 9]].concat(), &[]);
        check(&[&[LAST][..], &[MINORITY; 9]].concat(), &[]);
    }
}
