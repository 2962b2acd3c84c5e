//! `kill -9` of the real binary: what a client with a position, an inbox or a retry finds after the next start.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Client, within};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use serde_json::{Value, json};

const KEY: &str = "the key of all tenants here";
const ID: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051";

/// The binary on free ports, and a backend.
struct Node {
    process: Child,
    browsers: SocketAddr,
    backend: Conn,
}

impl Drop for Node {
    fn drop(&mut self) {
        // SIGKILL; it may have ended.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Node {
    async fn start(data: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cometql"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COMETQL_")) {
            command.env_remove(name);
        }
        command.arg("serve").arg("--data-dir").arg(data);
        command.args(["--shards", "2", "--log-level", "error", "--password", KEY]);
        for flag in ["--http", "--mysql", "--admin"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for line in said.map_while(Result::ok) {
            let (_, rest) = line.split_once(' ').unwrap();
            let rest = rest.trim().trim_start_matches("http://");
            addresses.extend(rest.parse::<SocketAddr>());
            if line.starts_with("capacity") {
                break;
            }
        }
        let options = OptsBuilder::default()
            .ip_or_hostname(addresses[1].ip().to_string())
            .tcp_port(addresses[1].port())
            .user(Some("root"))
            .pass(Some(KEY));
        let backend = within(Conn::new(options)).await.unwrap();
        Self {
            process,
            browsers: addresses[0],
            backend,
        }
    }

    /// Dies at once.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn run(&mut self, sql: &str) {
        within(self.backend.query_drop(sql)).await.unwrap();
    }

    async fn publish(&mut self, name: &str, message: &str) {
        let insert = format!(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('{name}', '', '{message}')"
        );
        self.run(&insert).await;
    }

    /// Logged in as user 7, who wants private messages.
    async fn browser(&self) -> Client {
        let mut client = Client::at(self.browsers, "/connect?v=1").await;
        let connect = json!({"id": 1, "connect": {"user": 7, "hash": "h7", "inbox": true}});
        assert_eq!(
            client.ask(&connect.to_string()).await["connected"]["user"],
            7
        );
        client
    }

    /// Subscribes where the client was; the reply, and the payloads that it missed.
    async fn recover(&self, name: &str, position: &Value) -> (Value, Vec<Value>) {
        let mut client = Client::at(self.browsers, "/connect?v=1").await;
        let mut subscribe = json!({"id": 2, "subscribe": {"channel": name}});
        subscribe["subscribe"]["epoch"] = position["epoch"].clone();
        subscribe["subscribe"]["offset"] = position["offset"].clone();
        let reply = client.ask(&subscribe.to_string()).await["subscribed"].take();
        let mut missed = Vec::new();
        for _ in 0..reply["replayed"].as_u64().unwrap() {
            missed.push(client.json().await["data"].take());
        }
        let pong = client.ask(r#"{"id":3,"ping":{}}"#).await;
        assert_eq!(pong["id"], 3, "nothing else was sent");
        (reply, missed)
    }

    /// Where a channel is.
    async fn position(&self, name: &str) -> Value {
        let mut client = Client::at(self.browsers, "/connect?v=1").await;
        let subscribe = json!({"id": 2, "subscribe": name});
        client.ask(&subscribe.to_string()).await["subscribed"].take()
    }
}

#[tokio::test]
async fn a_durable_channel_goes_on_where_it_was() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Node::start(data.path()).await;
    node.run("INSERT INTO pipes_settings (name, length) VALUES ('log_a', 100)")
        .await;
    let before = node.position("log_a").await;
    node.publish("log_a", "a").await;
    node.publish("log_a", "b").await;
    let between = node.position("log_a").await;
    let with_id = format!(
        "INSERT INTO pipes_messages (name, event, message, id) VALUES ('log_a', '', 'c', '{ID}')"
    );
    node.run(&with_id).await;
    node.kill();

    let mut node = Node::start(data.path()).await;
    node.run(&with_id).await;
    node.publish("log_a", "d").await;
    let (reply, missed) = node.recover("log_a", &between).await;
    assert_eq!(missed, ["c", "d"]);
    assert_eq!(reply["recovered"], true);
    assert_eq!(reply["epoch"], before["epoch"], "the same life");
    // The retry took an offset, and nothing else.
    assert_eq!(between["offset"], 2);
    let (_, missed) = node.recover("log_a", &before).await;
    assert_eq!(missed, ["a", "b", "c", "d"]);
    node.kill();
}

#[tokio::test]
async fn a_window_is_lost_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Node::start(data.path()).await;
    let before = node.position("web_a").await;
    node.publish("web_a", "a").await;
    let (reply, missed) = node.recover("web_a", &before).await;
    assert_eq!(
        (&reply["recovered"], &missed[..]),
        (&json!(true), &[json!("a")][..])
    );
    node.kill();

    let mut node = Node::start(data.path()).await;
    let (reply, missed) = node.recover("web_a", &before).await;
    assert_eq!(missed, [0; 0]);
    assert_eq!(reply["recovered"], false);
    assert_ne!(reply["epoch"], before["epoch"]);
    assert_eq!(reply["offset"], 0, "the new position");
    node.publish("web_a", "b").await;
    let (reply, missed) = node.recover("web_a", &reply).await;
    assert_eq!(
        (&reply["recovered"], &missed[..]),
        (&json!(true), &[json!("b")][..])
    );
    node.kill();
}

#[tokio::test]
async fn a_channel_that_was_durable_twice_gives_no_offset_twice() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Node::start(data.path()).await;
    let keep = "INSERT INTO pipes_settings (name, length) VALUES ('log_a', 100)";
    node.run(keep).await;
    node.publish("log_a", "a").await;
    node.run("DELETE FROM pipes_settings WHERE name = 'log_a'")
        .await;
    node.publish("log_a", "b").await;
    node.publish("log_a", "c").await;
    let window = node.position("log_a").await;
    node.run(keep).await;
    let durable = node.position("log_a").await;
    node.kill();

    let mut node = Node::start(data.path()).await;
    for message in ["d", "e", "f"] {
        node.publish("log_a", message).await;
    }
    let (reply, _) = node.recover("log_a", &window).await;
    assert_eq!(reply["recovered"], false);
    let (reply, missed) = node.recover("log_a", &durable).await;
    assert_eq!(reply["recovered"], true);
    assert_eq!(missed, ["d", "e", "f"]);
    node.kill();
}

#[tokio::test]
async fn private_messages_wait_until_they_are_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Node::start(data.path()).await;
    let send = |message: &str| {
        format!(
            "INSERT INTO users_messages (id, event, message, `index`) VALUES (7, '', '{message}', '{ID}')"
        )
    };
    let plain = "INSERT INTO users_messages (id, event, message) VALUES (7, '', 'two')";
    node.run("INSERT INTO users_auth (id, hash) VALUES (7, 'h7')")
        .await;
    let mut browser = node.browser().await;
    node.run(&send("one")).await;
    node.run(plain).await;
    assert_eq!(browser.json().await["data"], "one");
    assert_eq!(browser.json().await["data"], "two");
    let ack = json!({"id": 2, "ack": {"offset": 1}}).to_string();
    assert_eq!(
        browser.ask(&ack).await,
        json!({"id": 2, "acknowledged": {}})
    );
    node.kill();

    let mut node = Node::start(data.path()).await;
    // It is acknowledged and gone, and still not sent again.
    node.run(&send("one")).await;
    node.run("INSERT INTO users_messages (id, event, message) VALUES (7, '', 'three')")
        .await;
    let mut browser = node.browser().await;
    for (offset, data) in [(2, "two"), (3, "three")] {
        let message = browser.json().await;
        assert_eq!(
            (&message["offset"], &message["data"]),
            (&json!(offset), &json!(data))
        );
    }
    let ack = json!({"id": 2, "ack": {"offset": 3}}).to_string();
    assert_eq!(browser.ask(&ack).await["id"], 2);
    node.kill();

    let node = Node::start(data.path()).await;
    let mut browser = node.browser().await;
    let pong = browser.ask(r#"{"id":3,"ping":{}}"#).await;
    assert_eq!(pong["id"], 3, "nothing waits");
    node.kill();
}
