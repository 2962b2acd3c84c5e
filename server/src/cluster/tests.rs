//! With real NATS servers.

mod conformance;
mod log;

use async_nats::jetstream::message::PublishMessage;
use cometql_engine::Limits;
use tokio::time::Instant;

use super::names::StreamKind;
use super::nats_server::{NatsServers, PASSWORD, USER};
use super::*;

/// So long a test waits for what must come before it fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must come.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    let came = tokio::time::timeout(PATIENCE, future).await;
    came.expect("it comes")
}

/// A NATS of so many servers, or the reason why there is none, which is told.
pub(super) fn nats(count: usize, what: &str) -> Option<(NatsServers, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    match NatsServers::start(count, folder.path()) {
        Ok(servers) => Some((servers, folder)),
        Err(why) => {
            skipped(what, &why);
            None
        }
    }
}

/// Says that something could not be tried here. Where nothing may be skipped, that is a failure.
fn skipped(what: &str, why: &str) {
    let required = std::env::var("COMETQL_CI_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "{what}: {why} (and nothing may be skipped here)");
    eprintln!("skipped: {what}: {why}");
}

/// How a node of a test is a member.
pub(super) fn settings(nats: &NatsServers, node: &str) -> Settings {
    Settings {
        servers: nats.urls(),
        node: node.into(),
        access: Access::Password {
            user: USER.into(),
            password: PASSWORD.into(),
        },
        replicas: nats.count(),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_node_connects_and_comes_back_after_the_servers_death() {
    let Some((mut nats, _folder)) = nats(1, "the connection to NATS") else {
        return;
    };
    let cluster = Cluster::connect(settings(&nats, "a")).await.unwrap();
    let other = Cluster::connect(settings(&nats, "a")).await.unwrap();
    assert_ne!(cluster.node(), other.node(), "each run is another member");
    let mut connection = cluster.connection();
    let first = *within(connection.wait_for(|connection| connection.up))
        .await
        .unwrap();
    nats.kill(0);
    within(connection.wait_for(|connection| !connection.up))
        .await
        .unwrap();
    nats.run(0);
    let again = *within(connection.wait_for(|connection| connection.up))
        .await
        .unwrap();
    assert_eq!(again.times, first.times + 1);
}

#[tokio::test]
async fn a_wrong_file_is_named() {
    let settings = Settings {
        servers: vec!["nats://127.0.0.1:1".into()],
        access: Access::Credentials("/nowhere/a.creds".into()),
        ..Settings::default()
    };
    let error = Cluster::connect(settings).await.err().unwrap();
    assert!(
        error.to_string().starts_with("cluster.credentials: "),
        "{error}"
    );
}

/// A member of a new cluster, with its streams.
async fn member(nats: &NatsServers, limits: &Limits) -> Cluster {
    let cluster = Cluster::connect(settings(nats, "a")).await.unwrap();
    streams::prepare(&cluster, limits).await.unwrap();
    cluster
}

async fn publish(cluster: &Cluster, kind: StreamKind, subject: &str, body: &str) -> u64 {
    let outgoing = append::Outgoing {
        kind,
        subject: subject.to_owned(),
        message: PublishMessage::build()
            .payload(body.to_owned().into())
            .message_id(uuid::Uuid::new_v4().to_string()),
        once: None,
    };
    // A new stream of several servers may have no leader yet.
    let (sent, deadline) = (cluster.send(&outgoing).await, Instant::now() + PATIENCE);
    match cluster.settle(&outgoing, sent, deadline).await {
        Ok(append::Fate::Stored(offset)) => offset,
        _ => panic!("the log did not take {body}"),
    }
}

fn offsets(rows: &[read::Row]) -> Vec<u64> {
    rows.iter().map(|row| row.offset).collect()
}

#[tokio::test]
async fn streams_are_made_once_and_follow_the_limits() {
    let Some((nats, _folder)) = nats(1, "the streams of a cluster") else {
        return;
    };
    let limits = Limits::default();
    let cluster = member(&nats, &limits).await;
    let epoch = streams::epoch(&cluster, StreamKind::Windows).await.unwrap();
    let other = member(
        &nats,
        &Limits {
            window_publications: 3,
            ..limits
        },
    )
    .await;
    let same = streams::epoch(&other, StreamKind::Windows).await.unwrap();
    assert_eq!(epoch, same, "one node wins");
    let subject = cluster.names().subject("w.0.web_a");
    let mut sent = Vec::new();
    for body in ["1", "2", "3", "4"] {
        sent.push(publish(&cluster, StreamKind::Windows, &subject, body).await);
    }
    let end = cluster.end(StreamKind::Windows).await.unwrap();
    assert_eq!(Some(&end), sent.last());
    let rows = cluster
        .up_to(StreamKind::Windows, &subject, 0, end)
        .await
        .unwrap();
    assert_eq!(offsets(&rows), sent[1..], "the later limit counts");
    let rows = cluster
        .up_to(StreamKind::Windows, &subject, sent[1], sent[2])
        .await
        .unwrap();
    assert_eq!(offsets(&rows), [sent[2]]);
}

#[tokio::test]
async fn streams_need_enough_servers() {
    let Some((nats, _folder)) = nats(1, "streams that need more servers") else {
        return;
    };
    let settings = Settings {
        replicas: 3,
        ..settings(&nats, "a")
    };
    let cluster = Cluster::connect(settings).await.unwrap();
    let error = streams::prepare(&cluster, &Limits::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with("cluster.replicas = 3, but"),
        "{error}"
    );
}

#[tokio::test]
async fn ranges_of_three_servers_are_whole() {
    let Some((nats, _folder)) = nats(3, "ranges of a stream on three servers") else {
        return;
    };
    let cluster = member(&nats, &Limits::default()).await;
    let names = cluster.names();
    let (a, b) = (names.subject("h.0.web_a"), names.subject("h.0.web_b"));
    let kind = StreamKind::History;
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(publish(&cluster, kind, &a, "a").await);
        publish(&cluster, kind, &b, "b").await;
        let last = cluster
            .last(StreamKind::History, &a)
            .await
            .unwrap()
            .unwrap();
        let rows = cluster
            .up_to(StreamKind::History, &a, 0, last.offset)
            .await
            .unwrap();
        assert_eq!(offsets(&rows), sent);
    }
    let counted = cluster.count_from(kind, &a, sent[5] + 1).await.unwrap();
    assert_eq!(counted, Some((sent[6], 14)));
    let first = cluster
        .next(kind, &names.all_of(kind), 0)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (first.offset, first.subject.as_str()),
        (sent[0], a.as_str())
    );
    assert!(
        cluster
            .next(kind, &a, sent[19] + 1)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        cluster
            .last(kind, &names.subject("h.0.web_c"))
            .await
            .unwrap()
            .is_none()
    );
    let lasts = |from| {
        let (cluster, subjects) = (cluster.clone(), [a.clone(), b.clone()]);
        async move { offsets(&cluster.lasts(kind, &subjects, from).await.unwrap()) }
    };
    assert_eq!(lasts(0).await, [sent[19], sent[19] + 1]);
    assert_eq!(lasts(sent[19] + 1).await, [sent[19] + 1]);
    let all = cluster
        .first(kind, &names.all_of(kind), 0, 7)
        .await
        .unwrap();
    assert_eq!(all.len(), 7);
}
