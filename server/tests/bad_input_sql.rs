//! Statements and log-ins that are refused: with which code and words, while others go on.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cometql_server::app::App;
use cometql_server::auth::{Keyring, Keys};
use cometql_server::mysql::Settings;
use common::{Client, node, within};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder};

const KEY: &str = "a key of tenant zero";

/// A node, and the bystanders: a subscribed browser and a backend.
struct Scene {
    app: App,
    browser: Client,
    backend: Conn,
    told: u64,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let app = node(|settings| {
            settings.backends.keyring = Keyring::new(Keys {
                admin: Vec::new(),
                default: vec![KEY.to_owned()],
                tenants: BTreeMap::new(),
                tenant_limit: 10,
            });
            let mut mysql = Settings {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                ..Settings::default()
            };
            change(&mut mysql);
            settings.backends.mysql = Some(mysql);
        })
        .await;
        let mut browser = Client::connect(&app).await;
        browser.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
        let backend = log_in(&app, "root", KEY, "CometQL_v1").await.unwrap();
        Self {
            app,
            browser,
            backend,
            told: 0,
        }
    }

    /// The bystanders are served as ever, and nothing was lost.
    async fn goes_on(&mut self) {
        self.told += 1;
        let text = format!("told {}", self.told);
        let insert = "INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', '', ?)";
        within(self.backend.exec_drop(insert, (&text,)))
            .await
            .unwrap();
        let push = self.browser.json().await;
        assert_eq!(push["data"], text);
        assert_eq!(push["offset"], self.told);
    }

    async fn end(self) {
        within(self.backend.disconnect()).await.unwrap();
        drop(self.browser);
        within(self.app.stop()).await;
    }
}

async fn log_in(app: &App, user: &str, key: &str, database: &str) -> Result<Conn, Error> {
    let address = app.mysql_address().unwrap();
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(user))
        .pass(Some(key))
        .db_name(Some(database));
    within(Conn::new(options)).await
}

#[track_caller]
fn check<T>(what: &str, result: Result<T, Error>, code: u16, words: &[&str]) {
    let what = &what[..what.len().min(80)];
    match result {
        Err(Error::Server(error)) => {
            assert_eq!(error.code, code, "{what}: {error}");
            for word in words {
                let said = &error.message;
                assert!(said.contains(word), "{what}: {word:?} is not in {said:?}");
            }
        }
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: it was accepted"),
    }
}

#[tokio::test]
async fn log_ins() {
    let mut scene = Scene::new(|_| {}).await;
    let cases: [(&str, &str, &str, u16, &[&str]); 5] = [
        ("root", "wrong", "CometQL_v1", 16, &[]),
        ("root", "", "CometQL_v1", 16, &[]),
        ("3", "wrong", "CometQL_v1", 16, &[]),
        ("nobody", KEY, "CometQL_v1", 16, &[]),
        ("root", KEY, "shop", 15, &["shop"]),
    ];
    for (user, key, database, code, words) in cases {
        let result = log_in(&scene.app, user, key, database).await;
        check(&format!("{user}/{key}/{database}"), result, code, words);
        scene.goes_on().await;
    }
    check(
        "USE",
        scene.backend.query_drop("USE shop").await,
        15,
        &["shop"],
    );
    scene.goes_on().await;
    scene.end().await;
}

/// Conditions, values, rows, columns.
fn too_many() -> [String; 4] {
    let conditions = format!(
        "SELECT * FROM pipes WHERE name = 'a'{}",
        " OR 1".repeat(9_000)
    );
    let values = format!(
        "SELECT * FROM pipes WHERE name IN ('a'{})",
        ",'b'".repeat(15_000)
    );
    let rows = format!(
        "INSERT INTO users_auth VALUES (1, 'a'){}",
        ",(1,'a')".repeat(100_000)
    );
    let columns = format!("SELECT id{} FROM users_auth", ", id".repeat(5_000));
    [conditions, values, rows, columns]
}

/// On a runtime as the program has it: long statements are read beside the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn statements() {
    let long_name = format!(
        "INSERT INTO pipes_messages (name, event, message) VALUES ('{}', '', '')",
        "x".repeat(65)
    );
    let long = format!("SELECT '{}'", "x".repeat(64 << 10));
    let large = format!(
        "INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', '', '{}')",
        "x".repeat((1 << 20) + 1)
    );
    let [conditions, values, rows, columns] = &too_many();
    let cases: [(&str, u16, &[&str]); 15] = [
        (columns, 19, &["too many"]),
        ("SELEKT 1", 3, &["SELEKT"]),
        ("SELECT * FROM pipes WHERE", 3, &["Syntax error"]),
        ("SELECT 'never closed", 3, &["Syntax error"]),
        (
            "SELECT * FROM user_auth",
            15,
            &["user_auth", "Did you mean `users_auth`?"],
        ),
        (
            "SELECT hahs FROM users_auth WHERE id = 1",
            14,
            &["hahs", "`hash`"],
        ),
        (
            "INSERT INTO users_auth (id, hahs) VALUES (1, 'a')",
            14,
            &["hahs", "`hash`"],
        ),
        (
            "SELECT * FROM users_auth WHERE idd = 1",
            14,
            &["idd", "`id`"],
        ),
        (&long_name, 11, &["too long"]),
        (&long, 11, &["too long"]),
        (&large, 11, &["too long", "1048576"]),
        (conditions, 18, &["conditions"]),
        (values, 19, &["values"]),
        (rows, 19, &["values"]),
        (
            "INSERT INTO users_auth (id, hash) VALUES (1, 'a', 2)",
            14,
            &[],
        ),
    ];
    let mut scene = Scene::new(|_| {}).await;
    let mut client = log_in(&scene.app, "root", KEY, "CometQL_v1").await.unwrap();
    for (sql, code, words) in cases {
        check(sql, within(client.query_drop(sql)).await, code, words);
        // The connection that sent it lives, too.
        within(client.ping()).await.unwrap();
        scene.goes_on().await;
    }
    let bytes: &[u8] = b"SELECT '\xff'";
    check(
        "not UTF-8",
        within(client.query_drop(bytes)).await,
        12,
        &["UTF-8"],
    );
    scene.goes_on().await;
    within(client.disconnect()).await.unwrap();
    scene.end().await;
}

#[tokio::test]
async fn too_many_prepared_statements() {
    let mut scene = Scene::new(|settings| settings.prepared_statements = 2).await;
    let mut client = log_in(&scene.app, "root", KEY, "CometQL_v1").await.unwrap();
    let first = within(client.prep("SELECT 1")).await.unwrap();
    within(client.prep("SELECT 2")).await.unwrap();
    check(
        "a third",
        within(client.prep("SELECT 3")).await,
        1461,
        &["2"],
    );
    scene.goes_on().await;
    within(client.close(first)).await.unwrap();
    within(client.prep("SELECT 3")).await.unwrap();
    within(client.disconnect()).await.unwrap();
    scene.end().await;
}

#[tokio::test]
async fn too_many_connections() {
    let mut scene = Scene::new(|settings| settings.max_connections = 2).await;
    let second = log_in(&scene.app, "root", KEY, "CometQL_v1").await.unwrap();
    let third = log_in(&scene.app, "root", KEY, "CometQL_v1").await;
    check("a third", third, 1040, &["Too many connections"]);
    scene.goes_on().await;
    within(second.disconnect()).await.unwrap();
    scene.end().await;
}
