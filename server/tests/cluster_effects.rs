//! What statements on one node of a cluster mean for browsers, and are read as, on another one.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::sync::Arc;

use cometql_engine::Rules;
use cometql_engine::permission::{Pattern, Retention, Rule, UserDataRule, Who};
use cometql_server::app::AppSettings;
use cometql_server::auth::{Algorithm, JwtKey, KeySource, Keyring, TokenSettings, Tokens};
use common::backend::{World, rows, subscribe};
use common::binary::lasting;
use common::nats::Cluster;
use common::{Client, within};
use futures_util::StreamExt as _;
use mysql_async::prelude::Queryable as _;
use serde_json::{Value, json};

const SECRET: &str = "a secret of at least thirty-two characters";
/// How long the channels `web_young…` keep.
const AGE_MS: u64 = 2_000;

/// Takes tokens of [`SECRET`]; `team_…` is for members, `web_young…` keeps for a short time.
fn change(settings: &mut AppSettings) {
    let key = JwtKey {
        name: "test".into(),
        id: None,
        algorithm: Some(Algorithm::HS256),
        source: KeySource::Secret(SECRET.into()),
        tenant: None,
        issuer: None,
        audience: None,
        leeway_s: 0,
    };
    let tokens = TokenSettings {
        keys: vec![key],
        derived_secret: false,
    };
    settings.tokens = Tokens::new(&tokens, Keyring::default()).unwrap();
    let team = Rule {
        subscribe: Some(Who::Members),
        ..Rule::new("team", Pattern::Prefix("team_".into()))
    };
    let young = Rule {
        retention: Some(Retention::Durable {
            publications: 1_000,
            age_ms: AGE_MS,
        }),
        ..Rule::new("young", Pattern::Prefix("web_young".into()))
    };
    settings.rules = Arc::new(Rules::new(vec![team, young], UserDataRule::Anyone));
    settings.limits.grace_ms = 0;
}

async fn nodes(cluster: &Cluster) -> (World, World) {
    (
        cluster.node_with("a", change).await,
        cluster.node_with("b", change).await,
    )
}

impl World {
    async fn publish(&mut self, channel: &str, message: &str) {
        self.run(&format!(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('{channel}', '', '{message}')"
        ))
        .await;
    }

    async fn with_token(&self, token: &str) -> (Client, Value) {
        let mut client = Client::connect(&self.app).await;
        let request = json!({"id": 1, "connect": {"token": token}});
        let reply = client.ask(&request.to_string()).await;
        (client, reply)
    }

    async fn with_hash(&self, user: u64) -> Client {
        let mut client = Client::connect(&self.app).await;
        let request = json!({"id": 1, "connect": {"user": user, "hash": format!("h{user}")}});
        let reply = client.ask(&request.to_string()).await;
        assert_eq!(reply["connected"]["user"], user, "{reply}");
        client
    }

    async fn add_users(&mut self, others: &mut Self) {
        self.run("INSERT INTO users_auth (id, hash) VALUES (6, 'h6'), (7, 'h7')")
            .await;
        others
            .until("SELECT id FROM users_auth ORDER BY id", "6 | 7")
            .await;
    }
}

#[tokio::test]
async fn what_logs_out_does_so_on_every_node() {
    let Some(cluster) = Cluster::start(1, "log-outs across nodes") else {
        return;
    };
    let (mut a, mut b) = nodes(&cluster).await;
    a.add_users(&mut b).await;
    let revoked = lasting(SECRET, 3_600);
    let (mut by_token, reply) = b.with_token(&revoked).await;
    assert_eq!(reply["connected"]["user"], 5);
    let (mut by_another, _) = b.with_token(&lasting(SECRET, 3_601)).await;
    let (mut six, mut seven) = (b.with_hash(6).await, b.with_hash(7).await);
    let insert = "INSERT INTO revoked_tokens (token) VALUES (?)";
    within(a.backend.exec_drop(insert, (&revoked,)))
        .await
        .unwrap();
    assert_eq!(by_token.closed().await, (4102, "revoked".into()));
    // As in the original, all connections of a valid token's user end.
    assert_eq!(by_another.closed().await, (4102, "revoked".into()));
    let (_, reply) = b.with_token(&revoked).await;
    assert_eq!(reply["error"]["code"], "unauthorized");
    a.run("DELETE FROM users_auth WHERE id = 7").await;
    assert_eq!(seven.closed().await, (4102, "revoked".into()));
    assert!(seven.0.next().await.is_none_or(|end| end.is_err()));
    let pong = six.ask(r#"{"id":9,"ping":{}}"#).await;
    assert_eq!(pong, json!({"id": 9, "pong": {}}), "it stays");
    // KILL asks the node that has the connection.
    let listed = rows(&mut a.backend, "SHOW CONNECTIONS WHERE User_id = 6", ()).await;
    let id = listed.split(',').next().unwrap();
    a.run(&format!("KILL {id}")).await;
    assert_eq!(six.closed().await, (4103, "killed".into()));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn members_are_the_same_everywhere() {
    let Some(cluster) = Cluster::start(1, "members of channels across nodes") else {
        return;
    };
    let (mut a, mut b) = nodes(&cluster).await;
    a.add_users(&mut b).await;
    let (mut six, mut seven) = (b.with_hash(6).await, b.with_hash(7).await);
    let refused = six.ask(r#"{"id":2,"subscribe":"team_a"}"#).await;
    assert_eq!(refused["error"]["code"], "permission_denied");
    a.run("INSERT INTO pipes_members (name, user_id) VALUES ('team_a', 6), ('team_a', 7)")
        .await;
    b.until(
        "SELECT user_id FROM pipes_members ORDER BY user_id",
        "6 | 7",
    )
    .await;
    subscribe(&mut six, &["team_a"]).await;
    subscribe(&mut seven, &["team_a"]).await;
    a.run("DELETE FROM pipes_members WHERE name = 'team_a' AND user_id = 6")
        .await;
    let push = six.json().await;
    assert_eq!(push["push"], "unsubscribed", "{push}");
    a.publish("team_a", "secret").await;
    assert_eq!(seven.json().await["data"], "secret");
    a.run("DELETE FROM pipes_members WHERE name = 'team_a'")
        .await;
    let push = seven.json().await;
    assert_eq!(push["push"], "unsubscribed", "{push}");
    a.stop().await;
    b.stop().await;
}

/// What a browser of a node is told of a channel's history.
async fn history(node: &World, channel: &str) -> String {
    let mut client = node.anonymous(&[channel]).await;
    let request = json!({"id": 3, "history": {"channel": channel}});
    let answer = client.ask(&request.to_string()).await;
    let rows = answer["history"]["publications"].as_array();
    let rows = rows.unwrap_or_else(|| panic!("{answer}")).iter();
    let data = rows.map(|row| row["data"].as_str().unwrap().to_owned());
    data.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn settings_count_everywhere() {
    let Some(cluster) = Cluster::start(1, "settings of channels across nodes") else {
        return;
    };
    let (mut a, mut b) = nodes(&cluster).await;
    a.run("INSERT INTO pipes_settings (name, length) VALUES ('log_a', 3)")
        .await;
    b.until("SELECT name, length FROM pipes_settings", "log_a,3")
        .await;
    for message in ["1", "2", "3", "4"] {
        a.publish("log_a", message).await;
    }
    let read = "SELECT message FROM pipes_messages WHERE name = 'log_a'";
    b.check(read, "2 | 3 | 4").await;
    assert_eq!(history(&b, "log_a").await, "2 3 4");
    b.run("UPDATE pipes_settings SET length = 2 WHERE name = 'log_a'")
        .await;
    a.until("SELECT length FROM pipes_settings", "2").await;
    a.publish("log_a", "5").await;
    a.check(read, "4 | 5").await;
    b.check(read, "4 | 5").await;
    assert_eq!(history(&a, "log_a").await, "4 5");
    b.run("DELETE FROM pipes_settings WHERE name = 'log_a'")
        .await;
    a.until("SELECT name FROM pipes_settings", "").await;
    a.until(read, "").await;
    // What is too old is read nowhere.
    a.publish("web_young", "old").await;
    let young = "SELECT message FROM pipes_messages WHERE name = 'web_young'";
    b.check(young, "old").await;
    b.until(young, "").await;
    a.check(young, "").await;
    b.publish("web_young", "new").await;
    a.check(young, "new").await;
    assert_eq!(history(&a, "web_young").await, "new");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn when_a_user_was_last_seen_is_known_everywhere() {
    let Some(cluster) = Cluster::start(1, "users_time across nodes") else {
        return;
    };
    let (mut a, mut b) = nodes(&cluster).await;
    a.add_users(&mut b).await;
    let time = "SELECT time FROM users_time WHERE id = 7";
    a.check(time, "-1").await;
    let seven = b.with_hash(7).await;
    a.until(time, "0").await;
    drop(seven);
    let seen = "SELECT time > 1600000000 FROM users_time WHERE id = 7";
    a.until(seen, "1").await;
    b.until(seen, "1").await;
    let told = rows(&mut b.backend, time, ()).await;
    // A node that comes later knows it, too.
    b.stop().await;
    let mut c = cluster.node_with("c", change).await;
    c.until(time, &told).await;
    a.stop().await;
    c.stop().await;
}
