//! Tables that are alike on all nodes of a cluster: whole nodes in one process, on real NATS servers.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;
use std::path::Path;
use std::time::{Duration, Instant};

use cometql_server::app::{App, AppSettings};
use cometql_server::storage::{Durability, Store};
use common::backend::{World, connect};
use common::nats::Cluster;
use common::{PATIENCE, within};
use mysql_async::prelude::Queryable;

impl Cluster {
    /// A member with a data directory.
    async fn node_in(&self, name: &str, directory: &Path) -> World {
        let store = Store::open(directory, Durability::Process).unwrap();
        self.node_with(name, |settings| settings.store = store)
            .await
    }

    /// Why a node with a data directory does not start.
    async fn refusal(&self, directory: &Path) -> String {
        let store = Store::open(directory, Durability::Process).unwrap();
        let mut settings = AppSettings::new(store.clone());
        self.member("refused", &mut settings);
        let error = within(Box::pin(App::start(settings))).await.err().unwrap();
        store.shutdown().await;
        error.to_string()
    }
}

impl World {
    /// Affected rows and info of a statement, or its error.
    async fn outcome(&mut self, sql: &str) -> String {
        match within(self.backend.query_drop(sql)).await {
            Ok(()) => format!("{} {}", self.backend.affected_rows(), self.backend.info()),
            Err(mysql_async::Error::Server(error)) => {
                format!("error {}: {}", error.code, error.message)
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

/// What each table has.
const TABLES: [(&str, &str); 5] = [
    ("SELECT id, hash FROM users_auth ORDER BY id", "7,h7 | 8,h8"),
    ("SELECT id, data FROM users_data ORDER BY id", "7,d7"),
    ("SELECT name, length FROM pipes_settings", "log_a,5"),
    ("SELECT name, user_id FROM pipes_members", "club_a,7"),
    ("SELECT token FROM revoked_tokens", "t.t.t"),
];

async fn fill(node: &mut World) {
    for (sql, affected) in [
        (
            "INSERT INTO users_auth (id, hash) VALUES (7, 'h7'), (8, 'h8')",
            "2",
        ),
        ("INSERT INTO users_data (id, data) VALUES (7, 'd7')", "1"),
        (
            "INSERT INTO pipes_settings (name, length) VALUES ('log_a', 5)",
            "1",
        ),
        (
            "INSERT INTO pipes_members (name, user_id) VALUES ('club_a', 7)",
            "1",
        ),
        ("INSERT INTO revoked_tokens (token) VALUES ('t.t.t')", "1"),
    ] {
        let told = node.outcome(sql).await;
        assert!(told.starts_with(&format!("{affected} ")), "{sql}: {told}");
    }
}

#[tokio::test]
async fn rows_written_on_one_node_are_read_on_all() {
    let Some(nats) = Cluster::start(1, "tables of a cluster") else {
        return;
    };
    let (mut a, mut b) = (nats.node("a").await, nats.node("b").await);
    fill(&mut a).await;
    for (sql, expected) in TABLES {
        a.check(sql, expected).await;
        b.until(sql, expected).await;
    }
    // What a node does not know yet it adds, and says how many rows that were.
    let again = "INSERT INTO pipes_members (name, user_id) VALUES ('club_a', 7), ('club_a', 8)";
    assert_eq!(b.outcome(again).await, "1 ");
    let ignored = "INSERT IGNORE INTO users_data (id, data) VALUES (7, 'x'), (9, 'd9')";
    assert_eq!(b.outcome(ignored).await, "1 ");
    let replaced = "INSERT INTO users_data (id, data) VALUES (7, 'x') ON DUPLICATE KEY UPDATE data = CONCAT(data, VALUES(data))";
    assert_eq!(b.outcome(replaced).await, "2 ");
    b.check(
        "SELECT id, data FROM users_data ORDER BY id",
        "7,d7x | 9,d9",
    )
    .await;
    a.until(
        "SELECT id, data FROM users_data ORDER BY id",
        "7,d7x | 9,d9",
    )
    .await;
    let many = "UPDATE users_data SET data = CONCAT(data, '!') WHERE id IN (7, 9, 5)";
    assert_eq!(
        a.outcome(many).await,
        "2 Rows matched: 2  Changed: 2  Warnings: 0"
    );
    b.until(
        "SELECT id, data FROM users_data ORDER BY id",
        "7,d7x! | 9,d9!",
    )
    .await;
    for (sql, told) in [
        ("DELETE FROM users_auth WHERE id IN (7, 6)", "0 Deleted: 1"),
        (
            "DELETE FROM users_data WHERE id IN (SELECT id FROM users_data WHERE data LIKE 'd9%')",
            "0 Deleted: 1",
        ),
        ("DELETE FROM pipes_members WHERE name = 'club_a'", "2 "),
        (
            "DELETE FROM revoked_tokens WHERE token = 't.t.t'",
            "0 Deleted: 1",
        ),
    ] {
        assert_eq!(a.outcome(sql).await, told, "{sql}");
    }
    for (sql, expected) in [
        ("SELECT id FROM users_auth", "8"),
        ("SELECT id FROM users_data", "7"),
        ("SELECT user_id FROM pipes_members", ""),
        ("SELECT token FROM revoked_tokens", ""),
    ] {
        b.until(sql, expected).await;
    }
    // Gone rows may come back.
    assert_eq!(
        b.outcome("INSERT IGNORE INTO users_auth (id, hash) VALUES (7, 'new')")
            .await,
        "1 "
    );
    a.until("SELECT hash FROM users_auth WHERE id = 7", "new")
        .await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_is_revoked_on_one_node_ends_sessions_on_others() {
    let Some(nats) = Cluster::start(1, "revocation in a cluster") else {
        return;
    };
    let (mut a, mut b) = (nats.node("a").await, nats.node("b").await);
    let mut browser = b.browser(7, &[]).await;
    let mut other = b.browser(8, &[]).await;
    a.until("SELECT id FROM users_auth WHERE id = 8", "8").await;
    a.run("DELETE FROM users_auth WHERE id = 7").await;
    // By what the other node was told.
    assert_eq!(browser.closed().await.0, 4102);
    // The other one goes on.
    let pong = other.ask(r#"{"id":9,"subscribe":"x"}"#).await;
    assert!(pong["error"].is_object(), "{pong}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_node_that_was_away_catches_up_and_a_new_one_loads_all() {
    let Some(nats) = Cluster::start(1, "nodes of a cluster that were away") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut a = nats.node_in("a", directory.path()).await;
    fill(&mut a).await;
    a.stop().await;
    let mut b = nats.node("b").await;
    for (sql, expected) in TABLES {
        b.check(sql, expected).await;
    }
    b.run("DELETE FROM users_auth WHERE id = 7").await;
    b.run("INSERT INTO users_data (id, data) VALUES (7, 'later')")
        .await;
    let mut a = nats.node_in("a", directory.path()).await;
    a.check("SELECT id FROM users_auth", "8").await;
    a.check("SELECT data FROM users_data", "later").await;
    a.check(TABLES[2].0, TABLES[2].1).await;
    a.run("INSERT INTO users_auth (id, hash) VALUES (9, 'h9')")
        .await;
    b.until("SELECT id FROM users_auth ORDER BY id", "8 | 9")
        .await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_single_nodes_rows_become_the_clusters() {
    let Some(nats) = Cluster::start(1, "a single node's rows in a cluster") else {
        return;
    };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for directory in [&first, &second] {
        let store = Store::open(directory.path(), Durability::Process).unwrap();
        let mut single = World::start(|settings| settings.store = store).await;
        fill(&mut single).await;
        single.stop().await;
    }
    // A node without rows may have been there before.
    let mut b = nats.node("b").await;
    b.check(TABLES[0].0, "").await;
    let mut a = nats.node_in("a", first.path()).await;
    for (sql, expected) in TABLES {
        a.check(sql, expected).await;
        b.until(sql, expected).await;
    }
    let refusal = nats.refusal(second.path()).await;
    assert!(refusal.contains("(cluster_other_rows)"), "{refusal}");
    assert!(refusal.contains("empty data directory"), "{refusal}");
    // It has changed nothing: as a single node it has its rows still.
    let store = Store::open(second.path(), Durability::Process).unwrap();
    let mut single = World::start(|settings| settings.store = store).await;
    for (sql, expected) in TABLES {
        single.check(sql, expected).await;
    }
    single.stop().await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn members_have_what_nats_has_lost() {
    let Some(mut nats) = Cluster::start(1, "a NATS that lost what it had") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut a = nats.node_in("a", directory.path()).await;
    fill(&mut a).await;
    let mut b = nats.node("b").await;
    b.check(TABLES[0].0, TABLES[0].1).await;
    a.stop().await;
    nats.servers.kill(0);
    std::fs::remove_dir_all(nats.folder.path().join("nats-0")).unwrap();
    nats.servers.run(0);
    let mut a = nats.node_in("a", directory.path()).await;
    for (sql, expected) in TABLES {
        a.check(sql, expected).await;
    }
    a.run("DELETE FROM users_auth WHERE id = 7").await;
    // One that has been there all the time follows, too.
    b.until(TABLES[0].0, "8,h8").await;
    let mut c = nats.node("c").await;
    c.check(TABLES[0].0, "8,h8").await;
    c.check(TABLES[1].0, TABLES[1].1).await;
    a.stop().await;
    b.stop().await;
    c.stop().await;
}

async fn count_up(world: &World, times: u64) {
    let mut backend = connect(&world.app, "root", common::backend::KEY).await;
    for time in 0..times {
        let sql = if time.is_multiple_of(2) {
            "UPDATE users_data SET data = data + 1 WHERE id = 7"
        } else {
            "INSERT INTO users_data (id, data) VALUES (7, 1), (8, 1) ON DUPLICATE KEY UPDATE data = data + 1"
        };
        within(backend.query_drop(sql)).await.unwrap();
    }
    within(backend.disconnect()).await.unwrap();
}

#[tokio::test]
async fn nodes_count_together_and_lose_nothing() {
    let Some(nats) = Cluster::start(1, "counting in a cluster") else {
        return;
    };
    let (mut a, mut b) = (nats.node("a").await, nats.node("b").await);
    a.run("INSERT INTO users_data (id, data) VALUES (7, 0)")
        .await;
    b.until("SELECT data FROM users_data", "0").await;
    tokio::join!(count_up(&a, 20), count_up(&b, 20));
    let (sql, expected) = ("SELECT id, data FROM users_data ORDER BY id", "7,40 | 8,20");
    a.until(sql, expected).await;
    b.until(sql, expected).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn without_a_quorum_changes_are_refused_until_it_is_back() {
    let Some(mut nats) = Cluster::start(3, "a cluster without a quorum") else {
        return;
    };
    let quorum_timeout = Duration::from_secs(10);
    let mut a = nats
        .node_with("a", |settings| {
            settings.cluster.as_mut().unwrap().quorum_timeout = quorum_timeout;
        })
        .await;
    fill(&mut a).await;
    nats.servers.kill(1);
    nats.servers.kill(2);
    for sql in [
        "INSERT INTO users_auth (id, hash) VALUES (9, 'h9')",
        "UPDATE users_data SET data = 'x' WHERE id = 7",
        "INSERT INTO users_data (id, data) VALUES (7, 'd7'), (9, 'd9')",
    ] {
        let told = a.outcome(sql).await;
        assert!(told.starts_with("error 503: "), "{sql}: {told}");
        assert!(
            told.contains("out of reach") && told.ends_with("try again"),
            "{told}"
        );
    }
    // Reads go on.
    a.check(TABLES[1].0, TABLES[1].1).await;
    nats.servers.run(1);
    nats.servers.run(2);
    let began = Instant::now();
    while a
        .outcome("INSERT INTO users_auth (id, hash) VALUES (9, 'h10')")
        .await
        != "1 "
    {
        assert!(began.elapsed() < PATIENCE * 2);
    }
    a.check("SELECT hash FROM users_auth WHERE id = 9", "h10")
        .await;
    let mut b = nats.node("b").await;
    b.check("SELECT hash FROM users_auth WHERE id = 9", "h10")
        .await;
    a.stop().await;
    b.stop().await;
}
