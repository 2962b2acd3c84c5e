//! Whether a balancer should send a node new clients: not while its log is out of reach. Who is here already is served in any
//! case, with what needs no log.

use tokio::sync::watch;

use super::{Cluster, Connection};

/// Tells whether the node has its log.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Option<watch::Receiver<Connection>>);

impl Readiness {
    /// Of a member; of a node on its own without one.
    #[must_use]
    pub fn of(cluster: Option<&Cluster>) -> Self {
        Self(cluster.map(Cluster::connection))
    }

    /// One that has lost it.
    #[cfg(test)]
    pub(crate) fn lost() -> Self {
        Self(Some(watch::channel(Connection::default()).1))
    }

    /// A node on its own always has.
    #[must_use]
    pub fn has_log(&self) -> bool {
        let connection = self.0.as_ref();
        connection.is_none_or(|connection| connection.borrow().up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_needs_its_connection() {
        assert!(Readiness::of(None).has_log());
        assert!(!Readiness::lost().has_log());
        let (told, state) = watch::channel(Connection::default());
        let readiness = Readiness(Some(state));
        told.send_modify(|connection| connection.up = true);
        assert!(readiness.has_log());
    }
}
