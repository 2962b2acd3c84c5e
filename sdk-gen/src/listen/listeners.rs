//! The subscriptions of a client: where its nodes are, and that they end when it is closed. A client that is only forgotten, as by
//! a collector of garbage, takes none of them along.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use futures_util::future::join_all;

use super::options::{Home, Plan};
use super::queue::Queue;
use super::{ChannelSince, Listening, task};
use crate::CometError;
use crate::options::Tls;
use crate::small::lock;

/// The subscriptions of one client.
pub(crate) struct Listeners {
    /// Names or addresses, without ports.
    hosts: Vec<String>,
    tls: Option<Tls>,
    tenant: u32,
    /// `None` when the client was closed.
    open: Mutex<Option<Vec<Weak<Queue>>>>,
}

impl Listeners {
    /// None yet, of a client that logs in like this.
    pub(crate) fn new(hosts: Vec<String>, tls: Option<Tls>, user: &str, database: &str) -> Self {
        Self {
            hosts,
            tls,
            tenant: tenant(user, database),
            open: Mutex::new(Some(Vec::new())),
        }
    }

    /// Starts to listen.
    pub(crate) async fn subscribe(
        &self,
        channels: Vec<ChannelSince>,
        listening: Listening,
    ) -> Result<Arc<Queue>, CometError> {
        let home = Home {
            hosts: &self.hosts,
            tls: self.tls.as_ref(),
            tenant: self.tenant,
        };
        let plan = Plan::new(channels, listening, home)?;
        let start = task::start(plan, |queue| {
            if !self.keep(queue) {
                queue.close();
            }
        });
        start.await
    }

    /// Whether the client is open; then it knows of this one.
    fn keep(&self, queue: &Arc<Queue>) -> bool {
        let mut open = self.open();
        let Some(open) = &mut *open else {
            return false;
        };
        open.retain(|queue| queue.strong_count() > 0);
        open.push(Arc::downgrade(queue));
        true
    }

    /// Ends them all now, and those that are begun later as well. What it returns waits until their last words are said.
    pub(crate) fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        let open = self.open().take().unwrap_or_default();
        let open: Vec<_> = open.iter().filter_map(Weak::upgrade).collect();
        open.iter().for_each(|queue| queue.close());
        async move {
            join_all(open.iter().map(|queue| queue.end_of_task())).await;
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<Vec<Weak<Queue>>>> {
        lock(&self.open)
    }
}

/// The tenant that a log-in is for: that of the database `db_N`, else that of the user.
fn tenant(user: &str, database: &str) -> u32 {
    let named = database.strip_prefix("db_").unwrap_or(user);
    named.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants() {
        for (user, database, expected) in [
            ("root", "", 0),
            ("root", "CometQL_v1", 0),
            ("7", "CometQL_v1", 7),
            ("7", "db_5", 5),
            ("boss", "db_3", 3),
        ] {
            assert_eq!(tenant(user, database), expected, "{user} {database}");
        }
    }
}
