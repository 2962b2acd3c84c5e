//! How fast users, channels and tenants may go, whichever shards of the node their connections are on.
//!
//! Owns one table of bounded size that all shards share: its cells are changed atomically, so nobody waits for anybody.
//! Connections have buckets of their own, in their sessions. Does not decide which limits there are.

use std::hash::BuildHasher as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use cometql_protocol::planted::planted;
use cometql_protocol::{TenantId, UserId};
use foldhash::fast::FixedState;

use crate::Now;

/// Cells of the table; 16 bytes each.
const CELLS: usize = 1 << 16;
/// A key may be in any of so many cells.
const WAYS: usize = 8;
const NANOSECONDS: u64 = 1_000_000_000;

/// What has a limit of its own, beside connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who<'a> {
    /// Publications of a user.
    UserPublishes(TenantId, UserId),
    /// Requests of a user.
    UserAsks(TenantId, UserId),
    /// Publications of browsers in a channel.
    Channel(TenantId, &'a str),
    /// Publications of browsers of a tenant.
    TenantPublishes(TenantId),
    /// Requests of browsers of a tenant.
    TenantAsks(TenantId),
    /// Publications of backends in a channel.
    BackendChannel(TenantId, &'a str),
    /// Publications and private messages of a tenant's backends.
    BackendTenant(TenantId),
}

/// So many per second on average, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Per second; 0 = however many.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Rate {
    /// Of publications: those of two seconds at once.
    #[must_use]
    pub fn publications(per_second: u32) -> Self {
        let burst = per_second.saturating_mul(2);
        Self { per_second, burst }
    }

    /// Of requests: those of ten seconds at once, as a page that comes back subscribes to all its channels.
    #[must_use]
    pub fn requests(per_second: u32) -> Self {
        let burst = per_second.saturating_mul(10);
        Self { per_second, burst }
    }
}

/// All that was taken by whom, for the shards of a node.
///
/// A cell holds when its key will have got back all that it took (the "theoretical arrival time" of the generic cell rate
/// algorithm): a cell of the past says nothing, and belongs to whoever needs one.
#[derive(Debug, Default)]
pub struct Rates {
    /// Made when a limit is first asked for.
    cells: OnceLock<Box<[Cell]>>,
}

#[derive(Debug, Default)]
struct Cell {
    key: AtomicU64,
    /// Unix nanoseconds.
    full_at: AtomicU64,
}

impl Rates {
    /// Takes so many if there are as many.
    ///
    /// # Errors
    /// The milliseconds after which there will be.
    pub fn take(&self, now: Now, who: Who<'_>, rate: Rate, tokens: u32) -> Result<(), u64> {
        if rate.per_second == 0 || tokens == 0 {
            return Ok(());
        }
        let now = now.0.saturating_mul(1_000_000);
        let each = NANOSECONDS / u64::from(rate.per_second);
        let burst = u64::from(rate.burst.max(1));
        let cost = each.saturating_mul(u64::from(tokens).min(burst));
        let ahead = now.saturating_add(each.saturating_mul(burst));
        let key = match planted("engine-shares-rate-limits") {
            true => 1,
            false => FixedState::default().hash_one(who).max(1),
        };
        let cell = self.cell(now, key);
        let after = |full_at: u64| full_at.max(now).saturating_add(cost);
        let taken = cell
            .full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                let after = after(full_at);
                (after <= ahead).then_some(after)
            });
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => Err((after(full_at) - ahead).div_ceil(1_000_000)),
        }
    }

    /// The cell of a key: its own, or one that says nothing any more, or the one that will soonest. Only under more keys at
    /// once than there are cells somebody's debt is forgotten, and two shards that look for a cell for the same key in the
    /// same instant may find two.
    fn cell(&self, now: u64, key: u64) -> &Cell {
        let cells = self
            .cells
            .get_or_init(|| (0..CELLS).map(|_| Cell::default()).collect());
        let set = usize::try_from(key >> 32).expect("32 bits are an index") % (CELLS / WAYS);
        let set = &cells[set * WAYS..][..WAYS];
        let own = |cell: &&Cell| cell.key.load(Ordering::Relaxed) == key;
        if let Some(own) = set.iter().find(own) {
            return own;
        }
        let soonest = set
            .iter()
            .min_by_key(|cell| cell.full_at.load(Ordering::Relaxed))
            .expect("a set has cells");
        soonest.full_at.fetch_min(now, Ordering::Relaxed);
        soonest.key.store(key, Ordering::Relaxed);
        soonest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId(3);

    /// At each moment (ms), how many are taken and what is answered.
    #[track_caller]
    fn check(rate: (u32, u32), steps: &[(u64, u32, Result<(), u64>)]) {
        let rates = Rates::default();
        let rate = Rate {
            per_second: rate.0,
            burst: rate.1,
        };
        for (at, tokens, expected) in steps {
            let now = Now(1_790_000_000_000 + at);
            let who = Who::Channel(TENANT, "web_a");
            let taken = rates.take(now, who, rate, *tokens);
            assert_eq!(taken, *expected, "{tokens} at {at} ms");
        }
    }

    #[test]
    fn so_many_at_once_and_per_second() {
        check(
            (10, 2),
            &[
                (0, 1, Ok(())),
                (0, 1, Ok(())),
                (0, 1, Err(100)),
                (50, 1, Err(50)),
                (100, 1, Ok(())),
                (100, 1, Err(100)),
                (250, 2, Err(50)),
                (300, 2, Ok(())),
                (99_000, 2, Ok(())),
                (99_000, 1, Err(100)),
            ],
        );
        // Dearer than the burst: when nothing was taken before.
        check(
            (10, 2),
            &[(0, 5, Ok(())), (0, 5, Err(200)), (200, 5, Ok(()))],
        );
        check((0, 0), &[(0, 1_000_000, Ok(())), (0, 1_000_000, Ok(()))]);
        check(
            (1, 0),
            &[(0, 1, Ok(())), (1, 1, Err(999)), (1_000, 1, Ok(()))],
        );
        let all = [(0, 1_000_000, Ok(())), (0, 1, Err(1)), (1, 1_000, Ok(()))];
        check((1_000_000, 1_000_000), &all);
    }

    #[test]
    fn everybody_has_an_own_one() {
        let rates = Rates::default();
        let rate = Rate {
            per_second: 1,
            burst: 1,
        };
        let (now, user) = (Now(1_790_000_000_000), UserId::new(7).unwrap());
        let all = [
            Who::UserPublishes(TENANT, user),
            Who::UserAsks(TENANT, user),
            Who::UserAsks(TenantId(4), user),
            Who::Channel(TENANT, "web_a"),
            Who::Channel(TENANT, "web_b"),
            Who::TenantPublishes(TENANT),
            Who::TenantAsks(TENANT),
            Who::BackendChannel(TENANT, "web_a"),
            Who::BackendTenant(TENANT),
        ];
        for expected in [Ok(()), Err(1_000)] {
            for who in all {
                assert_eq!(rates.take(now, who, rate, 1), expected, "{who:?}");
            }
        }
    }

    #[test]
    fn a_million_users_take_no_more_memory() {
        let rates = Rates::default();
        let rate = Rate {
            per_second: 1,
            burst: 1,
        };
        let now = |ms: u64| Now(1_790_000_000_000 + ms);
        let ask = |ms, number| {
            let user = UserId::new(number).unwrap();
            rates.take(now(ms), Who::UserAsks(TENANT, user), rate, 1)
        };
        // More than there are cells, each with a second of its own: none is held up by another.
        for number in 1..=1_000_000 {
            assert_eq!(ask(number * 1_001 / 1_000, number), Ok(()));
        }
        assert_eq!(ask(1_001_000, 1_000_000), Err(1_000));
        assert_eq!(rates.cells.get().map(|cells| cells.len()), Some(CELLS));
    }
}
