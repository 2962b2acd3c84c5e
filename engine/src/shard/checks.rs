//! Log-ins that the edge checks, and what is revoked meanwhile. Only remembers: what follows is `login.rs`'s.
//!
//! A check looks credentials up and its result comes back through the mailbox. What a backend revokes in between closes
//! the sessions that are known by then, and this one is not: its user is told with the result only.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::{ConnectionId, Disconnect};

/// Most revocations that are remembered at a time. Checks that began before a forgotten one have to be done again.
const MOST: usize = 1024;

/// All checks under way.
#[derive(Default)]
pub(super) struct Checks {
    /// The number of the next revocation when each began. A session has one check at a time.
    begun: HashMap<ConnectionId, u64, FixedState>,
    /// What was revoked since the first of them began, oldest first.
    revoked: VecDeque<Disconnect>,
    /// The number of the oldest one.
    first: u64,
}

/// What happened during a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This was revoked.
    Since(Vec<Disconnect>),
    /// More was revoked than is remembered.
    Unknown,
}

impl Checks {
    /// A check begins.
    pub(super) fn begin(&mut self, connection: ConnectionId) {
        let next = self.first + self.revoked.len() as u64;
        self.begun.insert(connection, next);
    }

    /// Something is revoked.
    pub(super) fn revoke(&mut self, which: &Disconnect) {
        if self.begun.is_empty() {
            return;
        }
        if self.revoked.len() == MOST {
            self.revoked.pop_front();
            self.first += 1;
        }
        self.revoked.push_back(which.clone());
    }

    /// A check ends.
    pub(super) fn end(&mut self, connection: ConnectionId) -> Verdict {
        let Some(begun) = self.begun.remove(&connection) else {
            return Verdict::Unknown;
        };
        let verdict = match begun.checked_sub(self.first) {
            Some(known) => {
                let known = usize::try_from(known).unwrap_or(usize::MAX);
                Verdict::Since(self.revoked.iter().skip(known).cloned().collect())
            }
            None => Verdict::Unknown,
        };
        if self.begun.is_empty() {
            self.first += self.revoked.len() as u64;
            self.revoked.clear();
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use cometql_protocol::{TenantId, UserId};

    use super::*;
    use crate::ShardId;

    fn connection(slot: usize) -> ConnectionId {
        ConnectionId::new(ShardId(0), slot, 1)
    }

    fn user(number: u64) -> Disconnect {
        Disconnect::User {
            tenant: TenantId(1),
            user: UserId::new(number).unwrap(),
        }
    }

    #[test]
    fn each_check_knows_what_was_revoked_since_it_began() {
        let mut checks = Checks::default();
        checks.revoke(&user(1));
        checks.begin(connection(1));
        checks.revoke(&user(2));
        checks.begin(connection(2));
        checks.revoke(&user(3));
        let since = Verdict::Since(vec![user(2), user(3)]);
        assert_eq!(checks.end(connection(1)), since);
        assert_eq!(checks.end(connection(2)), Verdict::Since(vec![user(3)]));
        assert!(checks.revoked.is_empty(), "nobody asks any more");
        checks.begin(connection(3));
        assert_eq!(checks.end(connection(3)), Verdict::Since(Vec::new()));
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_no_consent() {
        let mut checks = Checks::default();
        checks.begin(connection(1));
        checks.revoke(&user(1));
        checks.begin(connection(2));
        for _ in 0..MOST {
            checks.revoke(&user(2));
        }
        assert_eq!(checks.revoked.len(), MOST);
        assert_eq!(checks.end(connection(1)), Verdict::Unknown);
        let all = Verdict::Since(vec![user(2); MOST]);
        assert_eq!(checks.end(connection(2)), all);
    }
}
