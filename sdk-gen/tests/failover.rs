//! Hosts that die, come back, or say nothing: none of what was published is lost or doubled.

#![expect(
    clippy::unwrap_used,
    reason = "helpers that are no tests themselves use it, too"
)]

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cometql_sdk::{ChannelSettings, Client, CometError, HistoryPage, Options, Value};
use cometql_server::app::App;
use cometql_server::storage::{Durability, Store};
use common::{connect, node, publication};
use proxy::{Mode, Proxy};
use tokio::task::JoinSet;

/// How often each id is in the history of `web_log`.
async fn kept(client: &Client) -> BTreeMap<String, usize> {
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

async fn keep_all(client: &Client) {
    let settings = ChannelSettings { length: 100_000 };
    let set = client.set_channel_settings("web_log".to_owned(), settings);
    set.await.unwrap();
}

/// Four that publish, and how far each has come.
struct Publishers {
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
    fn start(client: &Arc<Client>, each: usize) -> Self {
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
    async fn advance(&self, more: usize) -> bool {
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
    async fn ids(self) -> Vec<String> {
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// All of them are kept once, and nothing else.
fn check(ids: &[String], kept: &BTreeMap<String, usize>) {
    for id in ids {
        assert_eq!(kept.get(id), Some(&1), "{id}");
    }
    assert_eq!(kept.len(), ids.len());
}

/// A client of this node only.
async fn alone(app: &App) -> Arc<Client> {
    let client = connect(vec![common::host(app)], Options::default()).await;
    client.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_nodes_stops_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(folder.path(), Durability::Process).unwrap();
    let first = node(|settings| settings.store = open()).await;
    let second = node(|_| {}).await;
    let (at_first, at_second) = (alone(&first).await, alone(&second).await);
    keep_all(&at_first).await;
    keep_all(&at_second).await;
    let hosts = [&first, &second].map(common::host).to_vec();
    let client = connect(hosts, Options::default()).await.unwrap();
    let publishers = Publishers::start(&client, 100);
    publishers.advance(10).await;
    first.stop().await;
    let ids = publishers.ids().await;
    let third = node(|settings| settings.store = open()).await;
    let at_third = alone(&third).await;
    let (before, after) = (kept(&at_third).await, kept(&at_second).await);
    assert!(before.len() >= 40 && !after.is_empty());
    let mut all = before;
    for (id, times) in after {
        *all.entry(id).or_default() += times;
    }
    check(&ids, &all);
    second.stop().await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_die_again_and_again() {
    let app = node(|_| {}).await;
    let mut hosts = [Proxy::start(&app).await, Proxy::start(&app).await];
    let names = hosts.iter().map(Proxy::host).collect();
    let client = connect(names, Options::default()).await.unwrap();
    keep_all(&client).await;
    let publishers = Publishers::start(&client, 150);
    for round in 0.. {
        let dying = &mut hosts[round % 2];
        if round % 3 == 0 {
            // Statements are carried out, and their answers get lost.
            dying.become_mode(Mode::Mute);
            tokio::task::yield_now().await;
        }
        dying.die().await;
        // One retry is what a call has, so the other host lives until each has made another call.
        let ended = publishers.advance(2).await;
        dying.rise().await;
        if ended {
            assert!(round > 5, "{round}");
            break;
        }
        publishers.advance(1).await;
    }
    check(&publishers.ids().await, &kept(&*alone(&app).await).await);
    client.close().await;
    app.stop().await;
}

fn insert(client: &Client) -> impl Future<Output = Result<cometql_sdk::Answer, CometError>> {
    let sql = "INSERT INTO pipes_messages (name, event, message) VALUES ('web_log', '', ?)";
    let value = Value::Text {
        value: "x".to_owned(),
    };
    client.query(sql.to_owned(), vec![value])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_repeated_is_interrupted() {
    let app = node(|_| {}).await;
    let mut hosts = [Proxy::start(&app).await, Proxy::start(&app).await];
    let names = hosts.iter().map(Proxy::host).collect();
    let client = connect(names, Options::default()).await.unwrap();
    let direct = connect(vec![common::host(&app)], Options::default())
        .await
        .unwrap();
    keep_all(&client).await;
    insert(&client).await.unwrap();
    hosts[0].become_mode(Mode::Mute);
    let inserting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { insert(&client).await }
    });
    while kept(&direct).await.len() < 2 {}
    hosts[0].die().await;
    let interrupted = inserting.await.unwrap();
    assert!(
        matches!(interrupted, Err(CometError::Interrupted { .. })),
        "{interrupted:?}"
    );
    // The other host is there at once, and nothing was sent a second time.
    insert(&client).await.unwrap();
    assert_eq!(kept(&direct).await.len(), 3);
    client.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_nothing() {
    let app = node(|_| {}).await;
    let hosts = [Proxy::start(&app).await, Proxy::start(&app).await];
    let names: Vec<String> = hosts.iter().map(Proxy::host).collect();
    let options = Options {
        call_timeout_ms: 1_000,
        connect_timeout_ms: 200,
        ..Options::default()
    };
    let client = connect(names, options).await.unwrap();
    keep_all(&client).await;
    hosts[0].become_mode(Mode::Mute);
    // It is carried out twice and sent once.
    let sent = client.publish(publication("web_log", "x")).await.unwrap();
    check(&[sent.id], &kept(&client).await);
    // Now the silent host is known.
    let taken = hosts[1].taken();
    client.publish(publication("web_log", "y")).await.unwrap();
    assert!(taken > 0);
    hosts[1].become_mode(Mode::Mute);
    let late = insert(&client).await;
    assert!(matches!(late, Err(CometError::TimedOut { .. })), "{late:?}");
    let late = client.publish(publication("web_log", "z")).await;
    let is_late = matches!(
        late,
        Err(CometError::TimedOut { .. } | CometError::Unreachable { .. })
    );
    assert!(is_late, "{late:?}");
    for host in &hosts {
        host.become_mode(Mode::Pass);
    }
    client.publish(publication("web_log", "z")).await.unwrap();
    client.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preferred_host_comes_back() {
    let app = node(|_| {}).await;
    let mut hosts = [Proxy::start(&app).await, Proxy::start(&app).await];
    let names: Vec<String> = hosts.iter().map(Proxy::host).collect();
    hosts[0].die().await;
    let options = Options {
        back_off_max_ms: 200,
        ..Options::default()
    };
    let client = connect(names, options).await.unwrap();
    client.ping().await.unwrap();
    let before = hosts[0].taken();
    assert_eq!((before, hosts[1].taken()), (0, 1));
    hosts[0].rise().await;
    // It is asked in the background, without a call, and then calls go there.
    while hosts[0].taken() == 0 {
        tokio::task::yield_now().await;
    }
    while hosts[0].taken() == 1 {
        client.ping().await.unwrap();
    }
    hosts[1].die().await;
    client.ping().await.unwrap();
    client.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_host_for_too_long() {
    let app = node(|_| {}).await;
    let mut host = Proxy::start(&app).await;
    let options = Options {
        call_timeout_ms: 300,
        ..Options::default()
    };
    let client = connect(vec![host.host()], options).await.unwrap();
    host.die().await;
    let unreachable = insert(&client).await;
    assert!(
        matches!(unreachable, Err(CometError::Interrupted { .. })),
        "{unreachable:?}"
    );
    let unreachable = client.publish(publication("web_log", "x")).await;
    assert!(
        matches!(unreachable, Err(CometError::Unreachable { .. })),
        "{unreachable:?}"
    );
    host.rise().await;
    while client.ping().await.is_err() {}
    client.close().await;
    app.stop().await;
}
