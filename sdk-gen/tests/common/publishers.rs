//! Publishers whose messages must be kept once each, whatever happens to hosts meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cometql_sdk::{ChannelSettings, Client, HistoryPage};
use tokio::task::JoinSet;

use crate::common::publication;

/// How often each id is in the history of `web_log`.
pub(crate) async fn kept(client: &Client) -> BTreeMap<String, usize> {
    let mut kept = BTreeMap::new();
    let mut page = HistoryPage {
        after: 0,
        limit: 1_000,
    };
    loop {
        let told = client.history("web_log".to_owned(), page).await.unwrap();
        for publication in told.publications {
            *kept.entry(publication.id).or_default() += 1;
        }
        match told.next {
            Some(next) => page.after = next,
            None => return kept,
        }
    }
}

/// Makes `web_log` keep everything.
pub(crate) async fn keep_all(client: &Client) {
    let settings = ChannelSettings { length: 100_000 };
    let set = client.set_channel_settings("web_log".to_owned(), settings);
    set.await.unwrap();
}

/// Four that publish, and how far each has come.
pub(crate) struct Publishers {
    tasks: JoinSet<Vec<String>>,
    calls: Arc<[AtomicUsize; 4]>,
}

/// What `calls` tells of one that has ended.
const ENDED: usize = usize::MAX;

/// Tells that one has ended, by a failure too.
struct Ends(Arc<[AtomicUsize; 4]>, usize);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0[self.1].store(ENDED, Ordering::SeqCst);
    }
}

impl Publishers {
    /// Each makes so many calls.
    pub(crate) fn start(client: &Arc<Client>, each: usize) -> Self {
        let calls: Arc<[AtomicUsize; 4]> = Arc::default();
        let mut tasks = JoinSet::new();
        for own in 0..4 {
            let (client, calls) = (Arc::clone(client), Arc::clone(&calls));
            tasks.spawn(async move {
                let told = Ends(calls, own);
                let mut ids = Vec::new();
                for number in 0..each {
                    let message = number.to_string();
                    if number % 10 == 9 {
                        let several = vec![publication("web_log", &message); 3];
                        ids.extend(client.publish_many(several).await.unwrap().ids);
                    } else {
                        let sent = client.publish(publication("web_log", &message)).await;
                        ids.push(sent.unwrap().id);
                    }
                    told.0[own].fetch_add(1, Ordering::SeqCst);
                }
                ids
            });
        }
        Self { tasks, calls }
    }

    fn calls(&self) -> [usize; 4] {
        [0, 1, 2, 3].map(|own| self.calls[own].load(Ordering::SeqCst))
    }

    /// Waits until each has made so many more calls; whether all have ended.
    pub(crate) async fn advance(&self, more: usize) -> bool {
        let before = self.calls();
        loop {
            let now = self.calls();
            let pairs = || before.iter().zip(&now);
            if pairs().all(|(before, now)| *now == ENDED || *now >= before + more) {
                return now == [ENDED; 4];
            }
            tokio::task::yield_now().await;
        }
    }

    /// What was published.
    pub(crate) async fn ids(self) -> Vec<String> {
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// All of them are kept once, and nothing else.
pub(crate) fn check(ids: &[String], kept: &BTreeMap<String, usize>) {
    for id in ids {
        assert_eq!(kept.get(id), Some(&1), "{id}");
    }
    assert_eq!(kept.len(), ids.len());
}
