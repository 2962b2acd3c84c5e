//! How nodes prove to NATS that they may connect, and how both encrypt: credentials as `nsc` makes them, and TLS.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cometql_server::app::{App, AppSettings};
use cometql_server::cluster::Access;
use cometql_server::storage::Store;
use common::backend::World;
use common::binary::write_pair;
use common::nats::Cluster;
use common::within;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// What one node publishes reaches a browser of another one.
async fn check(a: &mut World, b: &World) {
    let mut browser = b.anonymous(&["web_kept"]).await;
    a.run("INSERT INTO pipes_messages (name, event, message) VALUES ('web_kept', '', 'one')")
        .await;
    assert_eq!(browser.json().await["data"], "one");
}

/// Why a member with these settings does not start; it is given some time to try.
async fn refusal(cluster: &Cluster, change: impl FnOnce(&mut AppSettings)) -> bool {
    let store = Store::in_memory();
    let mut settings = AppSettings::new(store.clone());
    cluster.member("refused", &mut settings);
    change(&mut settings);
    let start = Box::pin(App::start(settings));
    let limit = std::time::Duration::from_secs(5);
    let refused = match tokio::time::timeout(limit, start).await {
        Ok(Ok(app)) => {
            app.stop().await;
            false
        }
        // It waits for NATS, as at every start.
        Ok(Err(_)) | Err(_) => true,
    };
    within(store.shutdown()).await;
    refused
}

/// A signed statement of NATS: who may do what.
fn jwt(by: &KeyPair, of: &KeyPair, name: &str, nats: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": name,
        "iat": now.as_secs(),
        "iss": by.public_key(),
        "sub": of.public_key(),
        "name": name,
        "nats": nats,
    });
    let head = part(&json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let said = format!("{head}.{}", part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(by.sign(said.as_bytes()).unwrap());
    format!("{said}.{signature}")
}

/// An account without limits.
fn account(operator: &KeyPair, account: &KeyPair, name: &str, storage: i64) -> String {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": storage, "disk_storage": storage, "streams": storage,
        "consumer": storage,
    });
    let nats = json!({"limits": limits, "type": "account", "version": 2});
    jwt(operator, account, name, &nats)
}

/// A file as `nsc` writes it.
fn credentials(folder: &Path, file: &str, by: &KeyPair) -> PathBuf {
    let user = KeyPair::new_user();
    let nats = json!({"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2});
    let jwt = jwt(by, &user, "node", &nats);
    let seed = user.seed().unwrap();
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    let path = folder.join(file);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn nodes_have_credentials() {
    let (operator, system, ours) = (
        KeyPair::new_operator(),
        KeyPair::new_account(),
        KeyPair::new_account(),
    );
    let started = Cluster::start_with(1, "NATS with credentials", |_| {
        let nats = json!({"type": "operator", "version": 2});
        format!(
            "operator: {}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{\n {system}: {}\n {}: {}\n}}",
            jwt(&operator, &operator, "operator", &nats),
            account(&operator, &system, "system", 0),
            ours.public_key(),
            account(&operator, &ours, "ours", -1),
            system = system.public_key(),
        )
    });
    let Some(cluster) = started else {
        return;
    };
    let folder = cluster.folder.path();
    let file = credentials(folder, "node.creds", &ours);
    let with = |file: PathBuf| {
        move |settings: &mut AppSettings| {
            settings.cluster.as_mut().unwrap().access = Access::Credentials(file);
        }
    };
    let mut a = cluster.node_with("a", with(file.clone())).await;
    let b = cluster.node_with("b", with(file)).await;
    check(&mut a, &b).await;
    let foreign = credentials(folder, "foreign.creds", &KeyPair::new_account());
    assert!(refusal(&cluster, with(foreign)).await, "of another account");
    assert!(refusal(&cluster, |_| {}).await, "a password");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn nodes_and_nats_encrypt() {
    let started = Cluster::start_with(1, "NATS with TLS", |folder| {
        write_pair(folder);
        let file = |name: &str| folder.join(name).display().to_string();
        format!(
            "{}\ntls {{ cert_file: \"{}\", key_file: \"{}\" }}",
            common::nats::nats_server::password(),
            file("certificate.pem"),
            file("key.pem"),
        )
    });
    let Some(cluster) = started else {
        return;
    };
    let ca = cluster.folder.path().join("certificate.pem");
    let localhost = |settings: &mut AppSettings| {
        let cluster = settings.cluster.as_mut().unwrap();
        for url in &mut cluster.servers {
            *url = url.replace("nats://127.0.0.1", "tls://localhost");
        }
    };
    let trusting = |settings: &mut AppSettings| {
        localhost(settings);
        settings.cluster.as_mut().unwrap().tls.ca = Some(ca.clone());
    };
    let mut a = cluster.node_with("a", trusting).await;
    let b = cluster.node_with("b", trusting).await;
    check(&mut a, &b).await;
    assert!(
        refusal(&cluster, localhost).await,
        "nobody that the system trusts has signed it"
    );
    a.stop().await;
    b.stop().await;
}
