//! With real NATS servers.

use super::nats_server::{NatsServers, PASSWORD, USER};
use super::*;

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
    let first = *connection
        .wait_for(|connection| connection.up)
        .await
        .unwrap();
    nats.kill(0);
    connection
        .wait_for(|connection| !connection.up)
        .await
        .unwrap();
    nats.run(0);
    let again = *connection
        .wait_for(|connection| connection.up)
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
