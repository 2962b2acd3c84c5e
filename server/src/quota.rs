//! So much of something for the whole node, and of that so much for each tenant: places of connections, bytes of
//! statements. Counts; knows nothing of what it counts, and nobody waits here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cometql_protocol::TenantId;

/// What there is of something, and who has how much of it.
#[derive(Debug)]
pub struct Quota {
    most: usize,
    most_each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_tenant: HashMap<TenantId, usize>,
}

/// Why there was not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// The node has no more.
    Node,
    /// The tenant has as much as one may.
    Tenant,
}

/// What somebody has taken, until dropped.
#[derive(Debug)]
pub struct Share {
    quota: Arc<Quota>,
    tenant: Option<TenantId>,
    amount: usize,
}

impl Quota {
    /// So much for all together, and so much for each tenant.
    #[must_use]
    pub fn new(most: usize, most_each: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_each,
            taken: Mutex::default(),
        })
    }

    /// Takes for a tenant, or (`None`) for nobody's account.
    ///
    /// # Errors
    /// When there is not enough: then nothing is taken.
    pub fn take(self: &Arc<Self>, tenant: Option<TenantId>, amount: usize) -> Result<Share, Spent> {
        let mut share = self.nothing(tenant);
        share.resize(amount)?;
        Ok(share)
    }

    /// A share of nothing, to be resized.
    #[must_use]
    pub fn nothing(self: &Arc<Self>, tenant: Option<TenantId>) -> Share {
        Share {
            quota: Arc::clone(self),
            tenant,
            amount: 0,
        }
    }

    /// How much is taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    /// No code that can panic runs under this lock, so a poisoned one still holds what it should.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// How much it is.
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Takes more or gives back. Giving back never fails.
    ///
    /// # Errors
    /// When there is not enough: then the share stays as it was.
    pub fn resize(&mut self, amount: usize) -> Result<(), Spent> {
        if amount == self.amount {
            return Ok(());
        }
        let mut taken = self.quota.lock();
        let own = self.tenant.and_then(|tenant| taken.by_tenant.get(&tenant));
        let own = own.copied().unwrap_or(0) - self.tenant.map_or(0, |_| self.amount);
        let others = taken.all - self.amount;
        if amount > self.amount {
            if others.saturating_add(amount) > self.quota.most {
                return Err(Spent::Node);
            }
            if self.tenant.is_some() && own.saturating_add(amount) > self.quota.most_each {
                return Err(Spent::Tenant);
            }
        }
        taken.all = others + amount;
        if let Some(tenant) = self.tenant {
            match own + amount {
                0 => taken.by_tenant.remove(&tenant),
                own => taken.by_tenant.insert(tenant, own),
            };
        }
        drop(taken);
        self.amount = amount;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Giving back never fails.
        _ = self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Option<TenantId> = Some(TenantId(1));
    const TWO: Option<TenantId> = Some(TenantId(2));

    #[test]
    fn a_tenant_leaves_the_others_theirs() {
        let quota = Quota::new(10, 6);
        let mut first = quota.take(ONE, 4).unwrap();
        assert_eq!(quota.take(ONE, 3).unwrap_err(), Spent::Tenant);
        let second = quota.take(ONE, 2).unwrap();
        let other = quota.take(TWO, 4).unwrap();
        assert_eq!(quota.take(TWO, 1).unwrap_err(), Spent::Node);
        assert_eq!(quota.take(None, 1).unwrap_err(), Spent::Node);
        assert_eq!(first.resize(5).unwrap_err(), Spent::Node);
        assert_eq!((first.amount(), quota.taken()), (4, 10));
        drop(other);
        assert_eq!(first.resize(5).unwrap_err(), Spent::Tenant);
        first.resize(1).unwrap();
        let nobodys = quota.take(None, 7).unwrap();
        assert_eq!(quota.taken(), 10);
        drop((first, second, nobodys));
        assert_eq!(quota.taken(), 0);
        assert!(quota.lock().by_tenant.is_empty());
    }
}
