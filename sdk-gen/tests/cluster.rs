//! Two nodes of a cluster on real NATS: one dies in the middle, or the log is gone.

#![expect(
    clippy::unwrap_used,
    reason = "helpers that are no tests themselves use it, too"
)]

mod common;
mod listening;
#[expect(dead_code, reason = "the server's own tests need the rest")]
#[path = "../../server/src/cluster/nats_server.rs"]
mod nats_server;
#[path = "common/publishers.rs"]
mod publishers;

use std::sync::Arc;
use std::time::Duration;

use cometql_sdk::{Client, CometError, Event, Options};
use cometql_server::app::App;
use cometql_server::cluster::{Access, Settings};
use common::{connect, node, publication};
use listening::{at, channels, listen, next, numbers, url};
use nats_server::NatsServers;
use publishers::{Publishers, check, keep_all, kept};

/// One NATS server below this folder; `None` = it can't be had here, which was told.
#[expect(
    clippy::print_stderr,
    reason = "who reads the tests' output has to know"
)]
fn nats(folder: &tempfile::TempDir) -> Option<NatsServers> {
    let why = match NatsServers::start(1, folder.path()) {
        Ok(servers) => return Some(servers),
        Err(why) => why,
    };
    let required = std::env::var("COMETQL_CI_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "{why} (and nothing may be skipped here)");
    eprintln!("skipped: an SDK in a cluster: {why}");
    None
}

async fn member(servers: &NatsServers, name: &str) -> App {
    node(|settings| {
        settings.cluster = Some(Settings {
            servers: servers.urls(),
            node: name.into(),
            access: Access::Password {
                user: nats_server::USER.into(),
                password: nats_server::PASSWORD.into(),
            },
            replicas: 1,
            // A log that is gone is told soon; a slow machine is no dead node.
            quorum_timeout: Duration::from_secs(4),
            lease: Duration::from_secs(60),
            ..Settings::default()
        });
    })
    .await
}

fn patient() -> Options {
    Options {
        call_timeout_ms: 60_000,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_nodes_stops_and_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let Some(servers) = nats(&folder) else {
        return;
    };
    let (first, second) = (member(&servers, "a").await, member(&servers, "b").await);
    let hosts = [&first, &second].map(common::host).to_vec();
    let client = connect(hosts, patient()).await.unwrap();
    keep_all(&client).await;
    let publishers = Publishers::start(&client, 100);
    publishers.advance(10).await;
    first.stop().await;
    let ids = publishers.ids().await;
    check(&ids, &kept(&client).await);
    client.close().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_goes_on_at_the_other_node() {
    const MANY: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let Some(servers) = nats(&folder) else {
        return;
    };
    let mut nodes = vec![member(&servers, "a").await, member(&servers, "b").await];
    let urls: Vec<_> = nodes.iter().map(|node| url(node.http_address())).collect();
    let client = connect(nodes.iter().map(common::host).collect(), patient());
    let client = client.await.unwrap();
    keep_all(&client).await;
    let subscription = listen(channels(&["web_log"]), at(&urls)).await.unwrap();
    let publishing = tokio::spawn(async move {
        for number in numbers(0..MANY) {
            client
                .publish(publication("web_log", &number))
                .await
                .unwrap();
        }
        client.close().await;
    });
    let (mut seen, mut recovered, mut at) = (Vec::new(), 0, String::new());
    let mut stopping = None;
    while seen.len() < MANY {
        match next(&subscription).await {
            Event::Publication { publication } => seen.push(publication.message),
            Event::Online { url } => at = url,
            Event::Recovered { .. } => recovered += 1,
            Event::Offline { .. } | Event::Subscribed { .. } => {}
            other => panic!("{other:?}"),
        }
        if seen.len() == MANY / 3 && stopping.is_none() {
            let node = urls.iter().position(|url| *url == at).unwrap();
            stopping = Some(tokio::spawn(nodes.swap_remove(node).stop()));
        }
    }
    assert_eq!(seen, numbers(0..MANY));
    assert_eq!(recovered, 1);
    publishing.await.unwrap();
    stopping.unwrap().await.unwrap();
    nodes.remove(0).stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_log_takes_is_said_to_be_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut servers) = nats(&folder) else {
        return;
    };
    let app = member(&servers, "a").await;
    let client = connect(vec![common::host(&app)], patient()).await.unwrap();
    keep_all(&client).await;
    let sent = client.publish(publication("web_log", "one")).await.unwrap();
    assert!(sent.stored);
    servers.kill(0);
    let sent = client.publish(publication("web_log", "two")).await.unwrap();
    assert!(!sent.stored);
    let several = vec![
        publication("web_log", "three"),
        publication("web_none", "x"),
    ];
    let sent = client.publish_many(several).await.unwrap();
    assert!(!sent.stored);
    servers.run(0);
    client.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_tells_less_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut servers) = nats(&folder) else {
        return;
    };
    let (first, second) = (member(&servers, "a").await, member(&servers, "b").await);
    let short = Options {
        call_timeout_ms: 2_500,
        ..Options::default()
    };
    let hosts = vec![common::host(&first)];
    let hasty = connect(hosts.clone(), short).await.unwrap();
    let client = connect(hosts, patient()).await.unwrap();
    let ask = |client: &Arc<Client>| {
        let client = Arc::clone(client);
        async move { client.subscribers(vec!["web_a".to_owned()]).await }
    };
    assert_eq!(ask(&client).await.unwrap()[0].count, 0);
    // The other node is alive and can't be heard.
    servers.kill(0);
    let refused = ask(&hasty).await.unwrap_err();
    assert!(
        matches!(refused, CometError::Refused { code: 206, .. }),
        "{refused:?}"
    );
    // By any statement it is told what there is, with the warning.
    let sql = "SELECT users FROM pipes WHERE name = 'web_a'";
    let answer = client.query(sql.to_owned(), Vec::new()).await.unwrap();
    assert_eq!((answer.rows.len(), answer.warnings[0].code), (1, 206));
    let patiently = tokio::spawn(ask(&client));
    servers.run(0);
    assert_eq!(patiently.await.unwrap().unwrap()[0].count, 0);
    hasty.close().await;
    client.close().await;
    first.stop().await;
    second.stop().await;
}
