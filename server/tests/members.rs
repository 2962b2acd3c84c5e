//! Nodes of a cluster, with real NATS: who is a member, and SELECT, SHOW and KILL over all of them.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::time::Duration;

use async_nats::ConnectOptions;
use cometql_server::app::AppSettings;
use cometql_server::cluster::{Access, Settings};
use common::backend::{World, connect, rows};
use common::nats::nats_server::{NatsServers, PASSWORD, USER};
use common::{Events, http, skipped, within};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// One NATS server, and the folder that it lives in.
struct Nats {
    servers: NatsServers,
    _folder: tempfile::TempDir,
}

fn nats(what: &str) -> Option<Nats> {
    let folder = tempfile::tempdir().unwrap();
    match NatsServers::start(1, folder.path()) {
        Ok(servers) => Some(Nats {
            servers,
            _folder: folder,
        }),
        Err(why) => {
            skipped(what, &why);
            None
        }
    }
}

impl Nats {
    /// A node of this name with a backend.
    async fn node(&self, name: &str) -> World {
        self.node_with(name, |_| ()).await
    }

    async fn node_with(&self, name: &str, change: impl FnOnce(&mut Settings)) -> World {
        let mut cluster = Settings {
            servers: self.servers.urls(),
            node: name.to_owned(),
            access: Access::Password {
                user: USER.to_owned(),
                password: PASSWORD.to_owned(),
            },
            replicas: 1,
            ..Settings::default()
        };
        change(&mut cluster);
        World::start(|settings: &mut AppSettings| settings.cluster = Some(cluster)).await
    }

    /// Somebody else on the same NATS.
    async fn client(&self) -> async_nats::Client {
        let options = ConnectOptions::new().user_and_password(USER.into(), PASSWORD.into());
        options.connect(self.servers.url(0)).await.unwrap()
    }
}

/// Asks until the answer is this one, which it becomes when others were heard.
async fn becomes(backend: &mut Conn, sql: &str, expected: &str) {
    let mut last = String::new();
    let asking = async {
        while last != expected {
            last = rows(backend, sql, ()).await;
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(Duration::from_secs(20), asking).await;
    assert!(came.is_ok(), "{sql}: {last}");
}

const MEMBERS: &str = "SELECT node, own, draining FROM cluster_members ORDER BY node";

async fn boss(world: &World) -> Conn {
    connect(&world.app, "admin", "boss").await
}

#[tokio::test]
async fn select_and_show_cover_all_members() {
    let Some(nats) = nats("members of a cluster") else {
        return;
    };
    let (mut a, mut b) = (nats.node("a").await, nats.node("b").await);
    let mut boss = boss(&a).await;
    becomes(&mut boss, MEMBERS, "a,1,0 | b,0,0").await;
    let here = a.anonymous(&["web_room", "web_a"]).await;
    let mut there = b.browser(5, &["web_room"]).await;
    let watching = b.anonymous(&["web_room"]).await;
    let named = "WHERE name = 'web_room'";
    a.check(&format!("SELECT * FROM pipes {named}"), "web_room,3")
        .await;
    a.check(
        "SELECT name, users FROM pipes ORDER BY name",
        "web_a,1 | web_room,3",
    )
    .await;
    let join = "SELECT u.user_id, p.users, t.time FROM users_in_pipes u JOIN pipes p ON p.name = u.name \
                JOIN users_time t ON t.id = u.user_id WHERE u.name = 'web_room' AND u.user_id > 0";
    for world in [&mut a, &mut b] {
        let who = "SELECT user_id FROM users_in_pipes WHERE name = 'web_room' ORDER BY user_id";
        world.check(who, "0 | 0 | 5").await;
        world
            .check("SELECT time FROM users_time WHERE id = 5", "0")
            .await;
        world.check(join, "5,3,0").await;
        world.check("SHOW COUNT(*) WARNINGS", "0").await;
    }
    let open = "SHOW CONNECTIONS WHERE User_id = 5";
    let found: Vec<mysql_async::Row> = within(a.backend.query(open)).await.unwrap();
    let (id, node): (u64, String) = (found[0].get("Id").unwrap(), found[0].get("Node").unwrap());
    assert_eq!((found.len(), node.as_str()), (1, "b"));
    let traced =
        format!("SELECT event, node FROM trace WHERE connection = {id} AND event = 'subscribed'");
    a.check(&traced, "subscribed,b").await;
    a.run(&format!("KILL {id}")).await;
    assert_eq!(there.closed().await.0, 4103);
    a.check(&format!("SELECT * FROM pipes {named}"), "web_room,2")
        .await;
    let unknown = within(a.backend.query_drop(format!("KILL {id}"))).await;
    assert!(unknown.unwrap_err().to_string().contains("1094"));
    drop((here, watching));
    backends_of_all_nodes(a, b, boss).await;
}

/// `SHOW PROCESSLIST` and `KILL` of MySQL connections, and a node's goodbye.
async fn backends_of_all_nodes(mut a: World, mut b: World, mut boss: Conn) {
    let own: Option<u32> = within(b.backend.query_first("SELECT CONNECTION_ID()"))
        .await
        .unwrap();
    let listed: Vec<mysql_async::Row> = within(a.backend.query("SHOW PROCESSLIST")).await.unwrap();
    let listed: Vec<u32> = listed.iter().map(|row| row.get("Id").unwrap()).collect();
    assert!(listed.contains(&own.unwrap()), "{listed:?}");
    a.run(&format!("KILL {}", own.unwrap())).await;
    assert!(within(b.backend.query_drop("SELECT 1")).await.is_err());
    within(b.app.stop()).await;
    becomes(&mut boss, MEMBERS, "a,1,0").await;
    drop(boss);
    a.stop().await;
}

#[tokio::test]
async fn who_does_not_answer_is_named_in_a_warning() {
    let Some(nats) = nats("a member that is silent") else {
        return;
    };
    let short = |cluster: &mut Settings| {
        cluster.ask_timeout = Duration::from_millis(300);
        cluster.lease = Duration::from_secs(1);
    };
    let mut a = nats.node_with("a", short).await;
    let mut boss = boss(&a).await;
    let browser = a.anonymous(&["web_room"]).await;
    let client = nats.client().await;
    let mut old = client.subscribe("cometql.all.>").await.unwrap();
    let beat = |node: &str| {
        format!(r#"{{"v":1,"node":"{node}","name":"{node}","number":9,"ready":true}}"#)
    };
    for node in ["ghost", "old"] {
        client
            .publish("cometql.beat", beat(node).into())
            .await
            .unwrap();
    }
    client.flush().await.unwrap();
    becomes(&mut boss, MEMBERS, "a,1,0 | ghost,0,0 | old,0,0").await;
    let answering = async {
        use futures_util::StreamExt as _;
        let asked = old.next().await.unwrap();
        let answer = r#"{"v":1,"node":"old","error":"unsupported"}"#;
        client
            .publish(asked.reply.unwrap(), answer.into())
            .await
            .unwrap();
    };
    let asking = a.backend.query_drop("SELECT * FROM users_in_pipes");
    let (asked, ()) = within(async { tokio::join!(asking, answering) }).await;
    asked.unwrap();
    a.check(
        "SHOW WARNINGS",
        "Warning,206,Node ghost did not answer in time: its part is missing | \
         Warning,206,Node old has another version that does not answer this: its part is missing",
    )
    .await;
    // Both are silent for longer than their lease.
    becomes(&mut boss, MEMBERS, "a,1,0").await;
    a.check("SELECT name, users FROM pipes", "web_room,1").await;
    a.check("SHOW COUNT(*) WARNINGS", "0").await;
    drop((browser, boss));
    a.stop().await;
}

#[tokio::test]
async fn requests_of_an_event_stream_reach_the_node_that_has_it() {
    let Some(nats) = nats("an event stream behind a balancer") else {
        return;
    };
    let (a, b) = (nats.node("a").await, nats.node("b").await);
    let mut events = Events::at(b.app.http_address(), "/sse?v=1", "").await;
    let session = events.session().await;
    let post =
        |session: &str| format!("POST /session/{session} HTTP/1.1\n\n{{\"id\":7,\"ping\":{{}}}}");
    let accepted = http(a.app.http_address(), &post(&session)).await;
    assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
    assert_eq!(events.next().await.data, r#"{"id":7,"pong":{}}"#);
    let (id, _) = session.split_once('.').unwrap();
    let wrong = http(a.app.http_address(), &post(&format!("{id}.x"))).await;
    assert!(wrong.starts_with("HTTP/1.1 404"), "{wrong}");
    a.stop().await;
    b.stop().await;
}
