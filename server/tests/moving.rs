//! Single nodes' data into a cluster and back: `cometql import` and `export`, on real NATS servers.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use cometql_engine::Limits;
use cometql_server::app::AppSettings;
use cometql_server::cluster::moving::{self, Importing, Step};
use cometql_server::storage::{Durability, Store};
use common::backend::{OTHER, World, connect};
use common::nats::nats_server::{PASSWORD, USER};
use common::nats::{Cluster, rules};
use common::{Client, within};
use mysql_async::prelude::Queryable;
use rusqlite::Connection;
use serde_json::Value;
use tokio::sync::Notify;

const HISTORY: usize = 300;

/// A single node on a data directory.
async fn single(directory: &Path) -> World {
    let store = Store::open(directory, Durability::Process).unwrap();
    World::start(|settings| {
        settings.store = store;
        settings.rules = rules();
    })
    .await
}

/// Something in each table, for two tenants; histories longer than a page, and one that was trimmed.
async fn fill(node: &mut World) {
    let publications = |channel: &str, count: usize| {
        let mut sql = "INSERT INTO pipes_messages (name, event, message) VALUES ".to_owned();
        for number in 0..count {
            let comma = if number == 0 { "" } else { ", " };
            write!(
                sql,
                "{comma}('{channel}', 'e{number}', '{{\"n\": {number}}}')"
            )
            .unwrap();
        }
        sql
    };
    for sql in [
        "INSERT INTO users_auth (id, hash) VALUES (7, 'h7'), (8, 'h8')".to_owned(),
        "INSERT INTO users_data (id, data) VALUES (7, 'd7')".to_owned(),
        "INSERT INTO pipes_settings (name, length) VALUES ('log_a', 100)".to_owned(),
        "INSERT INTO pipes_members (name, user_id) VALUES ('club_a', 7)".to_owned(),
        "INSERT INTO revoked_tokens (token) VALUES ('t.t.t')".to_owned(),
        publications("web_kept_a", HISTORY),
        publications("web_kept_b", 3),
        publications("log_a", 150),
        publications("web_window", 5),
    ] {
        node.run(&sql).await;
    }
    for number in 0..70 {
        node.run(&format!(
            "INSERT INTO users_messages (id, event, message) VALUES ({}, 'p', 'private {number}')",
            if number < 65 { 7 } else { 8 }
        ))
        .await;
    }
    let mut other = connect(&node.app, "7", OTHER).await;
    for sql in [
        "INSERT INTO users_auth (id, hash) VALUES (7, 'other')",
        "INSERT INTO pipes_messages (name, event, message) VALUES ('web_kept_a', 'e', 'of tenant seven')",
        "INSERT INTO users_messages (id, event, message) VALUES (7, 'p', 'of tenant seven')",
    ] {
        within(other.query_drop(sql)).await.unwrap();
    }
    within(other.disconnect()).await.unwrap();
    // Somebody who was there: `users_time`, and a publication with its sender.
    let mut browser = node.browser(9, &[]).await;
    let told = browser
        .ask(r#"{"id":9,"publish":{"channel":"web_kept_b","data":[1]}}"#)
        .await;
    assert!(told["published"].is_object(), "{told}");
    drop(browser);
}

/// A single node's data directory that was filled, and what is in it.
async fn full() -> (tempfile::TempDir, Vec<String>) {
    let home = tempfile::tempdir().unwrap();
    let mut node = single(home.path()).await;
    fill(&mut node).await;
    node.stop().await;
    let before = ended(home.path()).await;
    (home, before)
}

/// What is left when a node has ended: nobody counts as online then.
async fn ended(directory: &Path) -> Vec<String> {
    let store = Store::open(directory, Durability::Process).unwrap();
    store.shutdown().await;
    contents(directory)
}

/// All that a data directory has, but for the offsets.
fn contents(directory: &Path) -> Vec<String> {
    let file = Connection::open(directory.join("cometql.sqlite")).unwrap();
    let mut lines = Vec::new();
    for sql in [
        "SELECT 'auth', tenant, id, hash FROM users_auth ORDER BY 2, 3",
        "SELECT 'data', tenant, id, data FROM users_data ORDER BY 2, 3",
        "SELECT 'time', tenant, id, time > 0 FROM users_time ORDER BY 2, 3",
        "SELECT 'length', tenant, name, length FROM pipes_settings ORDER BY 2, 3",
        "SELECT 'member', tenant, name, user_id FROM pipes_members ORDER BY 2, 3, 4",
        "SELECT 'token', tenant, token, '' FROM revoked_tokens ORDER BY 2, 3",
        "SELECT 'publication', tenant, name, concat_ws(' ', id, time_ms, event, message, json, user_id)
         FROM pipes_messages ORDER BY tenant, name, offset",
        "SELECT 'private', tenant, user_id, concat_ws(' ', id, time_ms, event, message, json)
         FROM users_messages ORDER BY tenant, user_id, offset",
    ] {
        let mut statement = file.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let text = |at| match row.get_unwrap::<_, rusqlite::types::Value>(at) {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            };
            lines.push([0, 1, 2, 3].map(text).join(" "));
        }
    }
    lines
}

impl Cluster {
    /// The configuration of a member.
    fn configuration(&self) -> PathBuf {
        let file = self.folder.path().join("member.toml");
        let text = format!(
            "[cluster]\nnats = {:?}\nuser = \"{USER}\"\npassword = \"{PASSWORD}\"\nreplicas = {}\n\
             [[channels]]\nprefix = \"web_kept\"\nhistory = \"durable\"\nhistory_length = 1000\n",
            self.servers.urls(),
            self.servers.count()
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    async fn cometql(&self, command: &str, directory: &Path, flags: &[&str]) -> Output {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cometql"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COMETQL_")) {
            process.env_remove(name);
        }
        process
            .arg(command)
            .arg("--config")
            .arg(self.configuration());
        process.arg("--data-dir").arg(directory).args(flags);
        let run = tokio::task::spawn_blocking(move || process.output().unwrap());
        within(run).await.unwrap()
    }

    /// What a command prints.
    async fn done(&self, command: &str, directory: &Path, flags: &[&str]) -> String {
        let output = self.cometql(command, directory, flags).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {error}");
        let name = directory.display().to_string();
        String::from_utf8(output.stdout)
            .unwrap()
            .replace(&name, "DIR")
    }

    /// Why a command does not do it.
    async fn refused(&self, command: &str, directory: &Path) -> String {
        let output = self.cometql(command, directory, &[]).await;
        assert!(!output.status.success(), "{command}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// A new data directory of all that the cluster has.
    async fn exported(&self, name: &str) -> PathBuf {
        let directory = self.folder.path().join(name);
        self.done("export", &directory, &[]).await;
        directory
    }

    /// As somebody who writes to the log without being a node.
    async fn writer(&self) -> cometql_server::cluster::Cluster {
        let mut settings = AppSettings::new(Store::in_memory());
        self.member("import", &mut settings);
        let settings = settings.cluster.unwrap();
        cometql_server::cluster::Cluster::connect(settings)
            .await
            .unwrap()
    }
}

async fn subscribed(client: &mut Client, since: &str) -> Value {
    let request = format!(r#"{{"id":3,"subscribe":{{"channel":"web_kept_a"{since}}}}}"#);
    client.ask(&request).await["subscribed"].clone()
}

#[tokio::test]
async fn all_of_a_single_node_comes_into_a_cluster_and_back() {
    let Some(nats) = Cluster::start(1, "moving to a cluster and back") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut node = single(home.path()).await;
    fill(&mut node).await;
    let mut client = Client::connect(&node.app).await;
    let position = subscribed(&mut client, "").await;
    let refusal = nats.refused("import", home.path()).await;
    assert!(refusal.contains("Stop it first"), "{refusal}");
    assert!(refusal.contains("(store_in_use)"), "{refusal}");
    drop(client);
    node.stop().await;
    let before = ended(home.path()).await;

    let told = nats.done("import", home.path(), &[]).await;
    insta::assert_snapshot!(told, @"
    DIR
      pipes_settings  1 copied
      pipes_members   1 copied
      revoked_tokens  1 copied
      users_auth      4 copied
      users_data      1 copied
      users_time      1 copied
      pipes_messages  405 copied
      users_messages  71 copied
    ");
    // Nodes find it when they start, without a data directory of before.
    let mut node = nats.node("a").await;
    node.check("SELECT data FROM users_data WHERE id = 7", "d7")
        .await;
    node.check(
        "SELECT COUNT(*) FROM pipes_messages WHERE name = 'web_kept_a'",
        "300",
    )
    .await;
    node.check("SELECT COUNT(*) FROM users_messages WHERE id = 7", "65")
        .await;
    let mut client = Client::connect(&node.app).await;
    let since = format!(
        r#","epoch":{},"offset":{}"#,
        position["epoch"], position["offset"]
    );
    let told = subscribed(&mut client, &since).await;
    assert_eq!(told["recovered"], false, "{told}");
    assert_ne!(told["epoch"], position["epoch"], "{told}");
    node.stop().await;
    let told = nats.done("import", home.path(), &[]).await;
    insta::assert_snapshot!(told, @"
    DIR
      pipes_settings  0 copied, 1 there already
      pipes_members   0 copied, 1 there already
      revoked_tokens  0 copied, 1 there already
      users_auth      0 copied, 4 there already
      users_data      0 copied, 1 there already
      users_time      0 copied, 1 there already
      pipes_messages  0 copied, 405 there already
      users_messages  0 copied, 71 there already
    ");

    let back = nats.exported("back").await;
    assert_eq!(contents(&back), before);
    let refusal = nats.refused("export", &back).await;
    assert!(refusal.contains("is not empty"), "{refusal}");
    goes_on_alone(&back, &since).await;
}

/// A single node goes on with what was exported, and knows no position from before.
async fn goes_on_alone(directory: &Path, since: &str) {
    let mut node = single(directory).await;
    node.run(
        "INSERT INTO pipes_messages (name, event, message) VALUES ('web_kept_a', 'e', 'more')",
    )
    .await;
    node.check(
        "SELECT COUNT(*) FROM pipes_messages WHERE name = 'web_kept_a'",
        "301",
    )
    .await;
    let mut client = Client::connect(&node.app).await;
    assert_eq!(subscribed(&mut client, since).await["recovered"], false);
    node.stop().await;
}

#[tokio::test]
async fn what_was_read_or_trimmed_since_does_not_come_again() {
    let Some(nats) = Cluster::start(1, "moving to a cluster again") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut node = single(home.path()).await;
    fill(&mut node).await;
    node.stop().await;
    nats.done("import", home.path(), &[]).await;
    let mut node = nats.node("a").await;
    for number in 0..130 {
        node.run(&format!(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('log_a', 'e', 'later {number}')"
        ))
        .await;
    }
    node.run("DELETE FROM users_messages WHERE id = 7").await;
    node.run("DELETE FROM pipes_messages WHERE name = 'web_kept_b'")
        .await;
    node.run("DELETE FROM users_auth WHERE id = 7").await;
    node.stop().await;
    let first = contents(&nats.exported("first").await);
    let later = |line: &&String| line.contains("later");
    assert_eq!(
        first.iter().filter(later).count(),
        100,
        "as pipes_settings says"
    );
    let told = nats.done("import", home.path(), &[]).await;
    assert!(told.contains("1 in conflict"), "{told}");
    assert!(told.contains("users_auth: user 7, tenant 0"), "{told}");
    assert_eq!(contents(&nats.exported("second").await), first);
}

#[tokio::test]
async fn an_import_that_was_stopped_goes_on() {
    let Some(nats) = Cluster::start(1, "an import that is stopped") else {
        return;
    };
    let (home, before) = full().await;
    let (limits, rules) = (Limits::default(), rules());
    let how = Importing {
        limits: &limits,
        rules: &rules,
        overwrite: false,
    };
    // Stopped at every step but the last, each time a step later.
    for last in 1.. {
        let (steps, stop) = (Mutex::new(0), Notify::new());
        let tell = |_: Step| {
            let mut steps = steps.lock().unwrap();
            *steps += 1;
            if *steps == last {
                stop.notify_one();
            }
        };
        let store = Store::open(home.path(), Durability::Process).unwrap();
        let cluster = nats.writer().await;
        let ended = tokio::select! {
            biased;
            () = stop.notified() => None,
            report = moving::import(&cluster, &store, how, &tell) => Some(report.unwrap()),
        };
        store.shutdown().await;
        if let Some(report) = ended {
            assert_eq!(report.reordered, 0);
            break;
        }
    }
    assert_eq!(contents(&nats.exported("back").await), before);
}

#[tokio::test]
async fn a_founders_messages_can_follow() {
    let Some(nats) = Cluster::start(1, "a founder's messages") else {
        return;
    };
    let (home, before) = full().await;
    let founder = async || {
        let store = Store::open(home.path(), Durability::Process).unwrap();
        nats.node_with("a", |settings| settings.store = store).await
    };
    let mut node = founder().await;
    node.check("SELECT hash FROM users_auth WHERE id = 8", "h8")
        .await;
    node.check("SELECT COUNT(*) FROM pipes_messages", "0").await;
    node.stop().await;
    let told = nats.done("import", home.path(), &[]).await;
    assert!(
        !told.contains("users_auth"),
        "they are the cluster's: {told}"
    );
    let mut node = founder().await;
    node.check("SELECT COUNT(*) FROM pipes_messages", "404")
        .await;
    node.check("SELECT COUNT(*) FROM users_messages", "70")
        .await;
    node.stop().await;
    assert_eq!(contents(&nats.exported("back").await), before);
}

#[tokio::test]
async fn of_two_stores_the_first_ones_rows_stay_unless_asked_otherwise() {
    let Some(nats) = Cluster::start(1, "two stores that move to a cluster") else {
        return;
    };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (home, hash) in [(&first, "one"), (&second, "two")] {
        let mut node = single(home.path()).await;
        for sql in [
            format!("INSERT INTO users_auth (id, hash) VALUES (7, '{hash}'), (8, 'same')"),
            format!("INSERT INTO users_data (id, data) VALUES (9, '{hash}')"),
            format!(
                "INSERT INTO pipes_messages (name, event, message) VALUES ('web_kept_a', 'e', '{hash}')"
            ),
        ] {
            node.run(&sql).await;
        }
        node.stop().await;
    }
    nats.done("import", first.path(), &[]).await;
    let told = nats.done("import", second.path(), &[]).await;
    insta::assert_snapshot!(told, @"
    DIR
      users_auth      0 copied, 1 there already, 1 in conflict
      users_data      0 copied, 1 in conflict
      pipes_messages  1 copied
    2 rows are in the cluster with another value, or were removed there: the cluster's stay. --overwrite puts these in their place:
      users_auth: user 7, tenant 0
      users_data: user 9, tenant 0
    ");
    let rows = |directory: &Path| {
        let lines = contents(directory).into_iter();
        let lines = lines.filter(|line| line.starts_with("auth") || line.starts_with("data"));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(rows(&nats.exported("kept").await), @"
    auth 0 7 one
    auth 0 8 same
    data 0 9 one
    ");
    let told = nats.done("import", second.path(), &["--overwrite"]).await;
    assert!(
        told.contains("users_auth      0 copied, 1 there already, 1 replaced"),
        "{told}"
    );
    let back = nats.exported("replaced").await;
    insta::assert_snapshot!(rows(&back), @"
    auth 0 7 two
    auth 0 8 same
    data 0 9 two
    ");
    // The second one's publications come after the first one's.
    let messages = contents(&back).into_iter();
    let messages: Vec<_> = messages
        .filter(|line| line.starts_with("publication"))
        .collect();
    assert_eq!(messages.len(), 2);
    assert!(
        messages[0].contains(" one ") && messages[1].contains(" two "),
        "{messages:?}"
    );
}

#[tokio::test]
async fn what_can_not_move_says_why() {
    let Some(nats) = Cluster::start(1, "what can't move") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let refusal = nats.refused("import", home.path()).await;
    assert!(refusal.contains("has no store"), "{refusal}");
    let refusal = nats.refused("export", &home.path().join("new")).await;
    assert!(
        refusal.contains("no cluster called \"cometql\""),
        "{refusal}"
    );
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    let alone = Command::new(env!("CARGO_BIN_EXE_cometql"))
        .args(["export", "--data-dir", "x"])
        .env_remove("COMETQL_CONFIG")
        .output()
        .unwrap();
    let refusal = String::from_utf8(alone.stderr).unwrap();
    assert!(refusal.contains("no [cluster]"), "{refusal}");
}
