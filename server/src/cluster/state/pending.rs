//! Changes that nobody waits for: when users were last seen. They are made when the log takes them, however long that lasts;
//! of several of one row, only the last one. It must not forget any while the node runs.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{State, record};
use crate::storage::{Change, Table};

/// How many are on their way at once.
const AT_ONCE: usize = 256;
/// How many are read from the store at once.
const PAGE: u64 = 1_000;

impl State {
    /// Publishes what is handed in, and first what the store has left from before.
    pub(super) async fn publish_pending(self, mut later: mpsc::UnboundedReceiver<Change>) {
        self.publish_left().await;
        let mut waiting: HashMap<String, Change> = HashMap::new();
        loop {
            if waiting.is_empty() {
                let Some(change) = later.recv().await else {
                    return;
                };
                waiting.insert(record::name(&change), change);
            }
            while let Ok(change) = later.try_recv() {
                waiting.insert(record::name(&change), change);
            }
            let now: Vec<Change> = waiting.drain().map(|(_, change)| change).collect();
            let publish = self.publish(now);
            tokio::pin!(publish);
            loop {
                tokio::select! {
                    () = &mut publish => break,
                    Some(change) = later.recv() => {
                        waiting.insert(record::name(&change), change);
                    }
                }
            }
        }
    }

    /// Users who were online when this node ended: when they left was known only at its next start.
    async fn publish_left(&self) {
        let mut after = None;
        // A store that fails has said so in the log.
        while let Ok(page) = self.0.store.unlogged(Table::Time, after.take(), PAGE).await {
            let Some(last) = page.last().cloned() else {
                return;
            };
            self.publish(page).await;
            after = Some(last);
        }
    }

    async fn publish(&self, changes: Vec<Change>) {
        let log = &self.0.log;
        let put = |change| async move { log.put(log.prepare(&change), None, None).await };
        let puts = futures_util::stream::iter(changes.into_iter().map(put));
        let mut puts = std::pin::pin!(puts.buffer_unordered(AT_ONCE));
        while puts.next().await.is_some() {}
    }
}
