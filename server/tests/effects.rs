//! What statements do to browsers that are connected: logged out, killed, no longer members.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cometql_engine::Rules;
use cometql_engine::permission::{Pattern, Rule, UserDataRule, Who};
use cometql_server::auth::{Algorithm, JwtKey, KeySource, Keyring, TokenSettings, Tokens};
use common::backend::{OTHER, World, connect, rows, subscribe};
use common::{Client, within};
use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

const SECRET: &str = "a secret of at least thirty-two characters";

fn tokens() -> Tokens {
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
    let settings = TokenSettings {
        keys: vec![key],
        derived_secret: false,
    };
    Tokens::new(&settings, Keyring::default()).unwrap()
}

/// A token of a user; `number` makes several differ.
fn token(user: u64, number: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({"sub": user.to_string(), "exp": now.as_secs() + 3600 + number});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

async fn log_in(world: &World, token: &str) -> (Client, Value) {
    let mut client = Client::connect(&world.app).await;
    let request = json!({"id": 1, "connect": {"token": token}});
    let reply = client.ask(&request.to_string()).await;
    (client, reply)
}

async fn is_alive(client: &mut Client) {
    let pong = client.ask(r#"{"id":9,"ping":{}}"#).await;
    assert_eq!(pong, json!({"id":9,"pong":{}}));
}

#[tokio::test]
async fn a_deleted_hash_closes_the_connections_of_its_user() {
    let mut world = World::start(|_| {}).await;
    let mut first = world.browser(5, &["web_a"]).await;
    let mut second = world.browser(5, &[]).await;
    let mut other = world.browser(6, &["web_a"]).await;
    let legacy =
        "/ws/sesion=hash5&myid=5&devid=0&v=4.08&uuid=0123456789abcdef0123456789abcdef&api=js";
    let mut legacy = Client::at(world.app.http_address(), legacy).await;
    assert_eq!(legacy.json().await["authorized"], true);
    // Another hash leaves open connections alone.
    world
        .run("INSERT INTO users_auth (id, hash) VALUES (5, 'new')")
        .await;
    is_alive(&mut first).await;
    world.run("DELETE FROM users_auth WHERE id = 5").await;
    assert_eq!(world.backend.info(), "Deleted: 1");
    for client in [&mut first, &mut second] {
        assert_eq!(client.closed().await, (4102, "revoked".into()));
    }
    // The original's clients reconnect only after an unclean close.
    let end = within(legacy.0.next()).await;
    assert!(
        end.is_none_or(|end| end.is_err()),
        "nothing comes before TCP ends"
    );
    is_alive(&mut other).await;
    world.stop().await;
}

#[tokio::test]
async fn a_revoked_token_ends_what_it_opened() {
    let mut world = World::start(|settings| settings.tokens = tokens()).await;
    let revoked = token(5, 0);
    let (mut by_token, reply) = log_in(&world, &revoked).await;
    assert_eq!(reply["connected"]["user"], 5);
    let (mut by_another, _) = log_in(&world, &token(5, 1)).await;
    let (mut other, _) = log_in(&world, &token(6, 0)).await;
    let insert = "INSERT INTO revoked_tokens (token) VALUES (?)";
    within(world.backend.exec_drop(insert, (&revoked,)))
        .await
        .unwrap();
    assert_eq!(by_token.closed().await, (4102, "revoked".into()));
    // As in the original, all connections of a valid token's user end.
    assert_eq!(by_another.closed().await, (4102, "revoked".into()));
    is_alive(&mut other).await;
    let (_, reply) = log_in(&world, &revoked).await;
    assert_eq!(reply["error"]["code"], "unauthorized");
    let (_, reply) = log_in(&world, &token(5, 1)).await;
    assert_eq!(reply["connected"]["user"], 5);
    world.stop().await;
}

#[tokio::test]
async fn kill_closes_a_session_of_the_own_tenant() {
    let mut world = World::start(|_| {}).await;
    let mut victim = world.browser(5, &[]).await;
    let mut other = world.browser(6, &[]).await;
    let listed = rows(&mut world.backend, "SHOW CONNECTIONS WHERE User_id = 5", ()).await;
    let id = listed.split(',').next().unwrap();
    let mut stranger = connect(&world.app, "7", OTHER).await;
    let refused = within(stranger.query_drop(format!("KILL {id}"))).await;
    assert!(matches!(refused, Err(mysql_async::Error::Server(error)) if error.code == 1094));
    is_alive(&mut victim).await;
    world.run(&format!("KILL {id}")).await;
    assert_eq!(victim.closed().await, (4103, "killed".into()));
    is_alive(&mut other).await;
    within(stranger.disconnect()).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_removed_member_loses_its_subscription() {
    let rule = Rule {
        subscribe: Some(Who::Members),
        ..Rule::new("channels[0]", Pattern::Prefix("team_".into()))
    };
    let rules = Arc::new(Rules::new(vec![rule], UserDataRule::default()));
    let mut world = World::start(|settings| settings.rules = rules).await;
    world
        .run("INSERT INTO pipes_members (name, user_id) VALUES ('team_a', 5), ('team_a', 6)")
        .await;
    let mut removed = world.browser(5, &["team_a", "web_a"]).await;
    let mut member = world.browser(6, &["team_a"]).await;
    let mut stranger = world.browser(7, &[]).await;
    let refused = stranger.ask(r#"{"id":2,"subscribe":"team_a"}"#).await;
    assert_eq!(refused["error"]["code"], "permission_denied");
    world
        .run("DELETE FROM pipes_members WHERE name = 'team_a' AND user_id = 5")
        .await;
    let push = removed.json().await;
    assert_eq!(
        (&push["push"], &push["channel"]),
        (&json!("unsubscribed"), &json!("team_a"))
    );
    world
        .run("INSERT INTO pipes_messages (name, event, message) VALUES ('team_a', '', 'secret')")
        .await;
    assert_eq!(world.backend.info(), "Reached: 1");
    assert_eq!(member.json().await["data"], "secret");
    // Other subscriptions stay; nothing of the channel comes before this.
    world
        .run("INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', '', 'public')")
        .await;
    assert_eq!(removed.json().await["data"], "public");
    subscribe(&mut stranger, &["web_a"]).await;
    world.stop().await;
}
