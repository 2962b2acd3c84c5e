//! Nodes of a cluster, with real NATS: who is a member, and SELECT, SHOW and KILL over all of them.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::time::Duration;

use async_nats::ConnectOptions;
use cometql_server::app::AppSettings;
use cometql_server::cluster::{Access, Settings};
use common::backend::{World, connect, rows, subscribe};
use common::binary::{JWT, Node, lasting};
use common::nats::nats_server::{NatsServers, PASSWORD, USER};
use common::{Client, Events, PATIENCE, http, skipped, within};
use futures_util::SinkExt as _;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

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
            ..common::nats::patient()
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
    let came = tokio::time::timeout(PATIENCE, asking).await;
    assert!(came.is_ok(), "{sql}: {last}");
}

const MEMBERS: &str = "SELECT node, own, draining FROM cluster_members ORDER BY node";

async fn boss(world: &World) -> Conn {
    connect(&world.app, "admin", "boss").await
}

/// Waits until each of two nodes knows the other one.
async fn meet(a: &World, b: &World) {
    for world in [a, b] {
        let count = "SELECT COUNT(*) FROM cluster_members";
        becomes(&mut boss(world).await, count, "2").await;
    }
}

#[tokio::test]
async fn select_and_show_cover_all_members() {
    let Some(nats) = nats("members of a cluster") else {
        return;
    };
    let (mut a, mut b) = (nats.node("a").await, nats.node("b").await);
    meet(&a, &b).await;
    let mut boss = boss(&a).await;
    assert_eq!(rows(&mut boss, MEMBERS, ()).await, "a,1,0 | b,0,0");
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

#[tokio::test]
async fn a_user_on_two_nodes_counts_once() {
    let Some(nats) = nats("users of a cluster") else {
        return;
    };
    let (mut a, mut b) = (nats.node("a").await, nats.node("b").await);
    let on_both = (a.browser(5, &[]).await, b.browser(5, &[]).await);
    let on_one = b.browser(6, &[]).await;
    let counted = "SHOW GLOBAL STATUS LIKE 'users_online'";
    for world in [&mut a, &mut b] {
        becomes(&mut world.backend, counted, "users_online,2").await;
    }
    drop((on_both, on_one));
    a.stop().await;
    b.stop().await;
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
        // So long the one is awaited that never answers, and the other one may take.
        cluster.ask_timeout = Duration::from_secs(2);
        cluster.lease = Duration::from_secs(2);
    };
    let mut a = nats.node_with("a", short).await;
    let mut boss = boss(&a).await;
    let browser = a.anonymous(&["web_room"]).await;
    let client = nats.client().await;
    let mut old = client.subscribe("cometql.all.>").await.unwrap();
    let beat = |node: &str| {
        format!(r#"{{"v":1,"node":"{node}","name":"{node}","number":9,"ready":true}}"#)
    };
    let heart = client.clone();
    let beating = tokio::spawn(async move {
        let mut beats = tokio::time::interval(Duration::from_millis(200));
        loop {
            beats.tick().await;
            for node in ["ghost", "old"] {
                let beat = heart.publish("cometql.beat", beat(node).into());
                beat.await.unwrap();
            }
        }
    });
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
    // From now on both are silent, and that for longer than their lease.
    beating.abort();
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
    meet(&a, &b).await;
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

/// What a watcher is told, in words, up to a publication in `web_end`.
async fn told(watcher: &mut Client) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        let push = watcher.json().await;
        let channel = push["channel"].as_str().unwrap_or_default();
        match push["push"].as_str() {
            Some("publication") if channel == "web_end" => return words,
            Some("publication") => words.push(format!("{channel} {}", push["data"])),
            Some(word) => words.push(format!("{word} {channel} {}", push["member"]["user"])),
            None => panic!("{push}"),
        }
    }
}

async fn end(world: &mut World, watcher: &mut Client) -> Vec<String> {
    world
        .run("INSERT INTO pipes_messages (name, event, message) VALUES ('web_end', '', 'x')")
        .await;
    let mut words = told(watcher).await;
    words.sort();
    words
}

async fn leave(mut client: Client) {
    within(client.0.send(Message::Close(None))).await.unwrap();
}

const ONLINE: &str = "SELECT time FROM users_time WHERE id = 5";
const HERE: &str = "SELECT COUNT(*) FROM users_in_pipes WHERE name = 'track_a' AND user_id = 5";

/// Waits for a push about somebody in `track_a`.
async fn next(watcher: &mut Client, word: &str) {
    let push = watcher.json().await;
    assert_eq!(
        (&push["push"], &push["channel"]),
        (&word.into(), &"track_a".into()),
        "{push}"
    );
}

/// Takes a push about `track_a` and one of `user_status_5`, in whatever order.
async fn both(watcher: &mut Client, word: &str, status: &str) {
    let mut pushes = [watcher.json().await, watcher.json().await];
    pushes.sort_by_key(|push| push["channel"].to_string());
    let told = (&pushes[0]["push"], &pushes[1]["data"]);
    assert_eq!(told, (&word.into(), &status.into()), "{pushes:?}");
}

/// All that is told until both of these were: kinds of pushes, and what publications say.
async fn told_both(watcher: &mut Client, word: &str, status: &str) -> Vec<Value> {
    let mut words = Vec::new();
    while !(words.contains(&Value::from(word)) && words.contains(&Value::from(status))) {
        let push = watcher.json().await;
        words.extend([push["push"].clone(), push["data"].clone()]);
    }
    words
}

/// Asks until the node of this browser knows that a user is online: then it knows what the other one told before, too.
async fn knows(asking: &mut Client, user: u64) {
    let ask = format!(r#"{{"id":40,"user_status":{{"user":{user}}}}}"#);
    within(async { while asking.ask(&ask).await["user_status"]["online"] != true {} }).await;
}

#[tokio::test]
async fn a_user_on_two_nodes_is_offline_once_it_has_left_both() {
    let Some(nats) = nats("users on two nodes") else {
        return;
    };
    let (mut a, mut b) = (nats.node("a").await, nats.node("b").await);
    meet(&a, &b).await;
    let mut boss = boss(&a).await;
    let mut watcher = a.browser(9, &["track_a", "user_status_5", "web_end"]).await;
    let there = b.browser(5, &["track_a"]).await;
    both(&mut watcher, "join", "online").await;
    let mut asking = b.browser(7, &[]).await;
    knows(&mut watcher, 7).await;
    let ask = r#"{"id":30,"presence_count":{"channel":"track_a"}}"#;
    assert_eq!(watcher.ask(ask).await["presence_count"]["count"], 2);
    let ask = r#"{"id":31,"presence":{"channel":"track_a"}}"#;
    let present = watcher.ask(ask).await["presence"]["members"].clone();
    assert_eq!(present.as_array().unwrap().len(), 2, "{present}");
    let here = a.browser(5, &["track_a"]).await;
    next(&mut watcher, "join").await;
    let marker = a.browser(6, &[]).await;
    knows(&mut asking, 6).await;
    leave(there).await;
    next(&mut watcher, "leave").await;
    becomes(&mut boss, HERE, "1").await;
    assert_eq!(
        end(&mut a, &mut watcher).await,
        [""; 0],
        "it is still on node a"
    );
    a.check(ONLINE, "0").await;
    leave(here).await;
    both(&mut watcher, "leave", "offline").await;
    assert_eq!(end(&mut b, &mut watcher).await, [""; 0], "it is told once");
    // What this node hears of the other one comes by itself.
    within(async { while rows(&mut b.backend, ONLINE, ()).await == "0" {} }).await;
    drop((boss, asking, marker));
    a.stop().await;
    b.stop().await;
}

/// A process that is a member with a short lease, with a browser of user 5.
async fn other_process(nats: &Nats) -> (Node, Client) {
    let node = Node::start_with(&[], |text| {
        let url = nats.servers.url(0);
        format!(
            "{text}\n[cluster]\nnats = ['{url}']\nuser = '{USER}'\npassword = '{PASSWORD}'\nreplicas = 1\nlease = '4 s'\n\
             ask_timeout = '5 s'\n"
        )
    });
    let mut browser = Client::at(node.browsers, "/connect?v=1").await;
    let token = lasting(JWT, 600);
    let log_in = format!(r#"{{"id":1,"connect":{{"token":"{token}","uuid":"u5"}}}}"#);
    assert_eq!(browser.ask(&log_in).await["connected"]["user"], 5);
    subscribe(&mut browser, &["track_a"]).await;
    (node, browser)
}

/// A node that is killed takes its users with it, once; one that is frozen does, too, and brings them back.
#[tokio::test]
async fn the_users_of_a_dead_node_leave_once() {
    let Some(nats) = nats("the death of a node") else {
        return;
    };
    // Several times as long as a process waits for its turn on a busy machine.
    let lease = |cluster: &mut Settings| cluster.lease = Duration::from_secs(4);
    let (mut a, mut b) = (
        nats.node_with("a", lease).await,
        nats.node_with("b", lease).await,
    );
    let channels = ["track_a", "user_status_5", "web_end"];
    let first = a.browser(8, &channels).await;
    let mut watchers = [first, b.browser(9, &channels).await];
    next(&mut watchers[0], "join").await;
    let (mut node, browser) = other_process(&nats).await;
    for watcher in &mut watchers {
        both(watcher, "join", "online").await;
    }
    becomes(&mut a.backend, HERE, "1").await;
    node.signal(Signal::STOP);
    for watcher in &mut watchers {
        both(watcher, "leave", "offline").await;
    }
    becomes(&mut a.backend, HERE, "0").await;
    node.signal(Signal::CONT);
    for watcher in &mut watchers {
        // The frozen node may tell by itself that its user is online, as another one does.
        let words = told_both(watcher, "join", "online").await;
        let joins = words.iter().filter(|told| *told == "join");
        assert_eq!(joins.count(), 1, "{words:?}");
    }
    becomes(&mut b.backend, HERE, "1").await;
    node.process.kill().unwrap();
    for (watcher, world) in watchers.iter_mut().zip([&mut b, &mut a]) {
        let words = told_both(watcher, "leave", "offline").await;
        let of = |word: &str| words.iter().filter(|told| *told == word).count();
        assert_eq!((of("leave"), of("offline")), (1, 1), "{words:?}");
        becomes(&mut world.backend, HERE, "0").await;
        assert_eq!(end(world, watcher).await, [""; 0], "both are told once");
    }
    drop(browser);
    a.stop().await;
    b.stop().await;
}

/// More than a SELECT may read is refused, not cut off.
#[tokio::test]
async fn too_many_messages_are_no_result() {
    let Some(cluster) = common::nats::Cluster::start(1, "SELECT of much from the log") else {
        return;
    };
    let mut a = cluster
        .node_with("a", |settings| settings.backends.language.select_rows = 3)
        .await;
    for number in 0..4 {
        a.run(&format!(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('web_kept_{number}', 'e', '{number}')"
        ))
        .await;
    }
    let error = within(a.backend.query_drop("SELECT COUNT(*) FROM pipes_messages"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("More than 3 rows"), "{error}");
    a.check(
        "SELECT COUNT(*) FROM pipes_messages WHERE name = 'web_kept_1'",
        "1",
    )
    .await;
    a.stop().await;
}

/// Messages are in the cluster's log, not in the store of a node.
#[tokio::test]
async fn messages_are_read_from_the_log() {
    let Some(cluster) = common::nats::Cluster::start(1, "SELECT from the log") else {
        return;
    };
    let (mut a, mut b) = (cluster.node("a").await, cluster.node("b").await);
    let insert = |text: &str| {
        format!(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('web_kept_1', 'e', '{text}')"
        )
    };
    a.run(&insert("one")).await;
    b.run(&insert("two")).await;
    b.run("INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'hi')")
        .await;
    let named = "FROM pipes_messages WHERE name = 'web_kept_1'";
    for world in [&mut a, &mut b] {
        world
            .check(&format!("SELECT message, `index` {named}"), "one,0 | two,1")
            .await;
        world
            .check(&format!("SELECT COUNT(*), MAX(message) {named}"), "2,two")
            .await;
        world
            .check("SELECT message FROM users_messages WHERE id = 5", "hi")
            .await;
        world
            .check("SELECT COUNT(*) FROM users_messages WHERE id = 5", "1")
            .await;
    }
    // Without a key, all of the tenant, and of no other.
    let id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051";
    for channel in ["web_kept_2", "web_kept_3"] {
        a.run(&format!(
            "INSERT INTO pipes_messages (name, event, message, id) VALUES ('{channel}', 'e', 'same', '{id}')"
        ))
        .await;
    }
    a.run("INSERT INTO users_messages (id, event, message) VALUES (4, 'e', 'ho')")
        .await;
    let mut other = connect(&a.app, "7", common::backend::OTHER).await;
    for sql in [
        "INSERT INTO pipes_messages (name, event, message) VALUES ('web_kept_1', 'e', 'theirs')",
        "INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'theirs')",
    ] {
        within(other.query_drop(sql)).await.unwrap();
    }
    let all = "SELECT name, `index`, message FROM pipes_messages";
    let private = "SELECT id, message FROM users_messages";
    for world in [&mut a, &mut b] {
        world
            .check(
                all,
                "web_kept_1,0,one | web_kept_1,1,two | web_kept_2,0,same | web_kept_3,0,same",
            )
            .await;
        world.check(private, "4,ho | 5,hi").await;
        world
            .check(
                "SELECT name FROM pipes_messages GROUP BY name HAVING COUNT(*) > 1",
                "web_kept_1",
            )
            .await;
    }
    assert_eq!(rows(&mut other, all, ()).await, "web_kept_1,0,theirs");
    // Who knows the id only removes it from all channels.
    b.run(&format!("DELETE FROM pipes_messages WHERE id = '{id}'"))
        .await;
    a.check("SELECT message FROM pipes_messages", "one | two")
        .await;
    within(other.disconnect()).await.unwrap();
    a.stop().await;
    b.stop().await;
}
