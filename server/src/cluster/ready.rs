//! Whether a balancer should send a node new clients: not while its log is out of reach, be it that NATS is or that NATS has
//! no quorum. Who is here already is served in any case, with what needs no log.

use std::sync::Arc;

use tokio::sync::watch;

use super::append::Health;
use super::{Cluster, Connection};

/// Tells whether the node has its log.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Option<Log>);

#[derive(Debug, Clone)]
struct Log {
    connection: watch::Receiver<Connection>,
    health: Arc<Health>,
}

impl Readiness {
    /// Of a member; of a node on its own without one.
    #[must_use]
    pub fn of(cluster: Option<&Cluster>) -> Self {
        Self(cluster.map(|cluster| Log {
            connection: cluster.connection(),
            health: Arc::clone(&cluster.0.health),
        }))
    }

    /// One that has lost it.
    #[cfg(test)]
    pub(crate) fn lost() -> Self {
        Self(Some(Log {
            connection: watch::channel(Connection::default()).1,
            health: Arc::default(),
        }))
    }

    /// A node on its own always has. A quorum counts as lost after `cluster.quorum_timeout`, so that an election is no
    /// reason to send clients elsewhere.
    #[must_use]
    pub fn has_log(&self) -> bool {
        let has = |log: &Log| log.connection.borrow().up && log.health.is_well();
        self.0.as_ref().is_none_or(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::names::StreamKind;

    #[test]
    fn a_member_needs_its_connection_and_all_its_logs() {
        assert!(Readiness::of(None).has_log());
        assert!(!Readiness::lost().has_log());
        let (told, connection) = watch::channel(Connection::default());
        let health = Arc::<Health>::default();
        let readiness = Readiness(Some(Log {
            connection,
            health: Arc::clone(&health),
        }));
        told.send_modify(|connection| connection.up = true);
        assert!(readiness.has_log());
        for kind in StreamKind::ALL {
            health.set_lost(kind, true);
            assert!(!readiness.has_log(), "{kind:?}");
            health.set_lost(kind, false);
            assert!(readiness.has_log());
        }
    }
}
