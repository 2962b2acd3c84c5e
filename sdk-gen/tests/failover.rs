//! Hosts that die, come back, or say nothing: none of what was published is lost or doubled.

#![expect(
    clippy::unwrap_used,
    reason = "helpers that are no tests themselves use it, too"
)]

mod common;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/publishers.rs"]
mod publishers;

use std::sync::Arc;

use cometql_sdk::{Client, CometError, Options, Value};
use cometql_server::app::App;
use cometql_server::storage::{Durability, Store};
use common::{connect, node, publication};
use proxy::{Mode, Proxy};
use publishers::{Publishers, check, keep_all, kept};

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
    // Now the silent host is known, and left alone.
    let taken = hosts[1].taken();
    client.publish(publication("web_log", "y")).await.unwrap();
    assert!(hosts[1].taken() > 0 && hosts[1].taken() == taken);
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
