//! The original's browser protocol through a whole node, as its JavaScript clients use it.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use cometql_engine::shard::inspect::Channels;
use cometql_engine::{Answer, Command, Disconnect, Draft, MessageId, StoreAnswer, StoreRequest};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId};
use cometql_server::app::App;
use cometql_server::auth::{Keyring, Keys, TokenSettings, Tokens};
use common::{Client, node, within};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const TENANT: TenantId = TenantId(0);
const UUID: &str = "0123456789abcdef0123456789abcdef";

/// A page of the original.
struct Page(Client);

impl Page {
    /// Connects; returns the first message too.
    async fn open(app: &App, key: &str, user: &str, version: &str) -> (Self, Value) {
        let path = format!("/ws/sesion={key}&myid={user}&devid=0&v={version}&uuid={UUID}&api=js");
        let mut page = Self(Client::at(app.http_address(), &path).await);
        let info = page.next().await;
        assert_eq!(info["event"], "serverInfo");
        (page, info)
    }

    /// Connects as nobody.
    async fn anonymous(app: &App) -> Self {
        Self::open(app, "undefined", "undefined", "4.08").await.0
    }

    /// Connects as a user whose hash is stored.
    async fn user(app: &App, user: u64) -> Self {
        let hash = format!("hash{user}");
        let rows = vec![(id(user), hash.clone())];
        app.store().set_hashes(TENANT, rows).await.unwrap();
        let (page, info) = Self::open(app, &hash, &user.to_string(), "4.08").await;
        assert_eq!(
            (&info["authorized"], &info["data"]),
            (&json!(true), &json!(hash))
        );
        page
    }

    async fn send(&mut self, frame: &str) {
        self.0.send(frame).await;
    }

    /// The next message, decoded as both of the original's clients decode it: the line with `\'` replaced, then `data`,
    /// if it is a string, the same way again.
    async fn next(&mut self) -> Value {
        let message = self.0.next().await;
        let text = message.to_text().unwrap();
        assert!(!text.contains('\n'), "the clients split at line feeds");
        let mut message: Value = serde_json::from_str(&text.replace("\\'", "'")).unwrap();
        if let Some(data) = message["data"].as_str()
            && let Ok(value) = serde_json::from_str(&data.replace("\\'", "'"))
        {
            message["data"] = value;
        }
        message
    }

    /// The next message, without its time, which must be about now.
    async fn next_now(&mut self) -> Value {
        let mut message = self.next().await;
        let object = message.as_object_mut().unwrap();
        let time = object.remove("message_send_time").unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(now.as_secs() - time.as_u64().unwrap() < 60, "{time}");
        message
    }

    async fn ask(&mut self, frame: &str) -> Value {
        self.send(frame).await;
        self.next_now().await
    }

    /// Subscribes, and waits until the last pipe has so many subscribers: nothing is answered.
    async fn subscribe(&mut self, app: &App, list: &str, count: u64) {
        self.send(&format!("subscription\n{list}")).await;
        let last = list.lines().last().unwrap();
        subscribers(app, last, count).await;
    }

    /// TCP ended, and no close frame came before.
    async fn dropped(mut self) {
        let end = within(async {
            loop {
                match self.0.0.next().await {
                    Some(Ok(message)) if message.is_close() => panic!("a clean close"),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
        });
        end.await;
    }
}

fn id(user: u64) -> UserId {
    UserId::new(user).unwrap()
}

fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).unwrap()
}

fn draft(event: &str, data: &str) -> Draft {
    Draft {
        id: MessageId(1),
        once: false,
        event: EventName::parse(event).unwrap(),
        data: data.into(),
        data_is_json: cometql_protocol::wire::is_json_container(data),
    }
}

/// Waits until a channel has so many subscribers.
async fn subscribers(app: &App, channel: &str, count: u64) {
    let which = Channels::Named(vec![name(channel)]);
    let all = async {
        loop {
            let rows = app.hub().channels(TENANT, which.clone()).await;
            if rows.iter().map(|row| row.subscribers).sum::<u64>() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(all).await;
}

/// `INSERT INTO pipes_messages`.
async fn publish(app: &App, channel: &str, event: &str, data: &str) {
    let command = Command::Publish {
        tenant: TENANT,
        channel: name(channel),
        draft: draft(event, data),
    };
    let answer = within(app.hub().submit(command)).await;
    assert!(matches!(answer, Answer::Published { .. }), "{answer:?}");
}

/// `INSERT INTO users_messages`.
async fn message(app: &App, user: u64, data: &str) {
    let command = Command::Send {
        tenant: TENANT,
        user: id(user),
        draft: draft("ev", data),
    };
    let answer = within(app.hub().submit(command)).await;
    assert!(matches!(answer, Answer::Sent { .. }), "{answer:?}");
}

/// How many messages wait for a user.
async fn waiting(app: &App, user: u64) -> usize {
    let read = StoreRequest::InboxRead {
        tenant: TENANT,
        user: id(user),
        after: 0,
        limit: 1,
    };
    let (told, answer) = oneshot::channel();
    app.store().ask(read, |result| _ = told.send(result));
    match answer.await.unwrap().unwrap() {
        StoreAnswer::Inbox { messages, .. } => messages.len(),
        other => panic!("{other:?}"),
    }
}

/// Waits until what was written to a page is acknowledged by that: nobody is told.
async fn nothing_waits(app: &App, user: u64) {
    within(async { while waiting(app, user).await > 0 {} }).await;
}

#[tokio::test]
async fn log_in() {
    let app = node(|_| {}).await;
    let mut page = Page::user(&app, 7).await;
    let (_, info) = Page::open(&app, "wrong", "7", "4.08").await;
    assert_eq!(
        (&info["authorized"], &info["data"]),
        (&json!(false), &json!(""))
    );
    let (_, info) = Page::open(&app, "hash7", "8", "4.08").await;
    assert_eq!(info["authorized"], false);
    let (_, info) = Page::open(&app, "null", "null", "3.25").await;
    assert_eq!(
        (&info["authorized"], &info["event_name"]),
        (&json!("false"), &json!("serverInfo"))
    );
    // `webauth_` is for who is logged in.
    page.subscribe(&app, "webauth_a", 1).await;
    let mut nobody = Page::anonymous(&app).await;
    let error = nobody.ask("web_pipe2\nwebauth_a\ne\n*\nx").await;
    assert!(error["data"]["error"].as_str().unwrap().contains("anonim"));
    // So is subscribing to `private_`, of which nothing is told.
    nobody.subscribe(&app, "private_a\nweb_a", 1).await;
    subscribers(&app, "private_a", 0).await;
    page.subscribe(&app, "private_a", 1).await;
    app.stop().await;
}

#[tokio::test]
async fn tokens_of_the_original() {
    let keyring = Keyring::new(Keys {
        default: vec!["CometQLPassword".into()],
        tenant_limit: 1,
        ..Keys::default()
    });
    let settings = TokenSettings {
        derived_secret: true,
        ..TokenSettings::default()
    };
    let tokens = Tokens::new(&settings, keyring).unwrap();
    let app = node(|settings| settings.tokens = tokens).await;
    let exp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 3600;
    let claims = json!({"user_id": 7, "exp": exp});
    let key = jsonwebtoken::EncodingKey::from_secret(b"CometQLPassword0");
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let (page, info) = Page::open(&app, &token, "7", "4.08").await;
    assert_eq!(info["authorized"], true);
    // There was no hash, so one was made, and it stays.
    let stored = app.store().hash(TENANT, id(7)).await.unwrap();
    assert_eq!(info["data"].as_str(), stored.as_deref());
    let (_, again) = Page::open(&app, &token, "7", "4.08").await;
    assert_eq!(again["data"], info["data"]);
    let (_, other) = Page::open(&app, &token, "8", "4.08").await;
    assert_eq!(other["authorized"], false);
    // Revoking drops the connections, and the token opens no others.
    app.store()
        .revoke_tokens(TENANT, vec![token.clone()])
        .await
        .unwrap();
    let user = id(7);
    app.hub()
        .disconnect(Disconnect::User {
            tenant: TENANT,
            user,
        })
        .await;
    page.dropped().await;
    let (_, info) = Page::open(&app, &token, "7", "4.08").await;
    assert_eq!(info["authorized"], false);
    app.stop().await;
}

#[tokio::test]
async fn publish_between_pages() {
    let app = node(|_| {}).await;
    let mut sender = Page::user(&app, 7).await;
    let mut receiver = Page::anonymous(&app).await;
    sender.subscribe(&app, "web_a", 1).await;
    receiver.subscribe(&app, "web_a", 2).await;

    // The report counts the others, and the publisher does not get its own.
    let report = sender
        .ask("web_pipe2\nweb_a\ne1\n*\n{\"it's\":\"\\\\'\"}")
        .await;
    assert_eq!(
        report,
        json!({
            "data": {"message": "{\"it's\":\"\\\\'\"}", "number_messages": 1},
            "event": "answer",
            "pipe": "_answer_to_web_a",
        })
    );
    let live = json!({"data": {"it's": "\\'"}, "event": "e1", "pipe": "web_a", "user_id": 7});
    assert_eq!(receiver.next_now().await, live);

    // Who hides has no id, nor has who is nobody.
    sender.ask("web_pipe2\n@web_a\n\n*\n5").await;
    let live = json!({"data": 5, "event": "", "pipe": "web_a", "user_id": 0});
    assert_eq!(receiver.next_now().await, live);
    receiver.ask("web_pipe2\nweb_a\ne\n*\nplain 'text'").await;
    let live = json!({"data": "plain 'text'", "event": "e", "pipe": "web_a", "user_id": 0});
    assert_eq!(sender.next_now().await, live);

    // A backend's has none at all.
    publish(&app, "web_a", "e", "m0").await;
    let live = json!({"data": "m0", "event": "e", "pipe": "web_a"});
    assert_eq!(receiver.next_now().await, live);
    assert_eq!(sender.next_now().await, live);
    app.stop().await;
}

#[tokio::test]
async fn both_formats_get_one_publication() {
    let app = node(|_| {}).await;
    let mut new = Page::anonymous(&app).await;
    let (mut old, _) = Page::open(&app, "null", "null", "3.25").await;
    new.subscribe(&app, "web_a", 1).await;
    old.subscribe(&app, "web_a", 2).await;
    for size in [0, 62, 63, 64, 65, 66, 200, 70_000] {
        let text = "'".repeat(size);
        publish(&app, "web_a", "e", &text).await;
        assert_eq!(new.next().await["data"], text);
        let message = old.next().await;
        assert_eq!(
            (&message["data"], &message["event_name"]),
            (&json!(text), &json!("e"))
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn private_messages() {
    let app = node(|_| {}).await;
    message(&app, 7, "{\"q\":1}").await;
    let mut page = Page::user(&app, 7).await;
    let waited = page.next_now().await;
    let expected = json!({"data": {"q": 1}, "event": "ev", "fromQueue": true, "pipe": "msg"});
    assert_eq!(waited, expected);
    message(&app, 7, "{\"q\":2}").await;
    let live = json!({"data": {"q": 2}, "event": "ev", "pipe": "msg"});
    assert_eq!(page.next().await, live);
    // Nobody else's, and what was sent once is not sent again.
    let mut other = Page::user(&app, 8).await;
    message(&app, 8, "for 8").await;
    assert_eq!(other.next().await["data"], "for 8");
    nothing_waits(&app, 7).await;
    let (mut again, _) = Page::open(&app, "hash7", "7", "4.08").await;
    message(&app, 7, "last").await;
    assert_eq!(again.next().await["data"], "last");
    app.stop().await;
}

/// A browser of ours, logged in as user 7, with or without an inbox.
async fn ours(app: &App, inbox: bool) -> Client {
    let mut client = Client::connect(app).await;
    let connect = format!(r#"{{"id":1,"connect":{{"user":7,"hash":"hash7","inbox":{inbox}}}}}"#);
    assert_eq!(client.ask(&connect).await["connected"]["user"], 7);
    client
}

#[tokio::test]
async fn a_write_does_not_acknowledge_while_one_of_ours_is_open() {
    let app = node(|_| {}).await;
    let mut page = Page::user(&app, 7).await;
    // It takes no private messages, so it acknowledges none, and nobody does it in its place.
    let deaf = ours(&app, false).await;
    message(&app, 7, "kept").await;
    assert_eq!(page.next().await["data"], "kept");
    let mut reader = ours(&app, true).await;
    assert_eq!(reader.json().await["data"], "kept");
    let acknowledged = reader.ask(r#"{"id":2,"ack":{"offset":1}}"#).await;
    assert!(acknowledged["acknowledged"].is_object(), "{acknowledged}");
    drop((reader, deaf));
    // Now none of ours is open: a write counts again.
    within(async { while app.hub().connections(None).await.len() > 1 {} }).await;
    message(&app, 7, "gone").await;
    assert_eq!(page.next().await["data"], "gone");
    nothing_waits(&app, 7).await;
    let mut reader = ours(&app, true).await;
    message(&app, 7, "last").await;
    assert_eq!(reader.json().await["data"], "last");
    drop((page, reader));
    app.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_full_socket_was_not_written() {
    let app = node(|settings| settings.limits.outbox_bytes = 64 << 20).await;
    let user = Page::user(&app, 7).await;
    drop(user);
    // What is written to its socket before the node sees that it is gone counts as received.
    within(async { while !app.hub().connections(None).await.is_empty() {} }).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(app.http_address()).await.unwrap();
    let path = format!("/ws/sesion=hash7&myid=7&devid=0&v=4.08&uuid={UUID}&api=js");
    let mut slow = Page(Client::over(stream, &path).await);
    assert_eq!(slow.next().await["authorized"], true);
    slow.subscribe(&app, "web_a", 1).await;
    // More than the server's socket buffer may grow to (`tcp_wmem`, 4 MiB).
    for _ in 0..10 {
        publish(&app, "web_a", "e", &"x".repeat(900 << 10)).await;
    }
    message(&app, 7, "behind").await;
    drop(slow);
    subscribers(&app, "web_a", 0).await;
    let mut reader = ours(&app, true).await;
    assert_eq!(reader.json().await["data"], "behind");
    drop(reader);
    app.stop().await;
}

#[tokio::test]
async fn kept_publications() {
    let app = node(|_| {}).await;
    let command = Command::SetHistory {
        tenant: TENANT,
        channel: name("web_log"),
        length: 2,
    };
    within(app.hub().submit(command)).await;
    for text in ["m0", "m1", "{\"m\":2}"] {
        publish(&app, "web_log", "e", text).await;
    }
    let (mut page, _) = Page::open(&app, "null", "null", "4.08").await;
    page.send("pipe_log\nweb_log\nMARK1\n").await;
    let entry = |data: Value| {
        json!({
            "data": data, "event": "e", "fromQueue": true, "history": true, "pipe": "web_log", "user_id": 0,
        })
    };
    assert_eq!(page.next_now().await, entry(json!("m1")));
    assert_eq!(page.next_now().await, entry(json!({"m": 2})));
    // Old clients route the entries by their marker.
    let (mut page, _) = Page::open(&app, "null", "null", "3.25").await;
    page.send("pipe_log\nweb_log\nMARK1\n").await;
    assert_eq!(page.next().await["marker"], "MARK1");
    app.stop().await;
}

#[tokio::test]
async fn who_is_where() {
    let app = node(|_| {}).await;
    let mut watcher = Page::anonymous(&app).await;
    watcher.subscribe(&app, "user_status_9", 1).await;
    watcher.subscribe(&app, "user_status_9\ntrack_a", 1).await;

    let mut page = Page::user(&app, 9).await;
    let online = json!({"data": "online", "event": "online", "pipe": "user_status_9"});
    assert_eq!(watcher.next().await, online);
    page.subscribe(&app, "track_a", 2).await;
    let member = json!({"user_id": 9, "uuid": UUID});
    let joined = json!({"data": member, "event": "subscription", "pipe": "track_a"});
    assert_eq!(watcher.next_now().await, joined);

    let count = page.ask("pipe_count\ntrack_a\nMARK1\n").await;
    assert_eq!(
        count,
        json!({
            "data": {"user_in_pipe": 2}, "event": "user_in_pipe", "marker": "MARK1", "pipe": "_answer_pipe_count",
        })
    );
    let users = page.ask("track_pipe_users\ntrack_a\nMK1").await;
    assert_eq!(
        (&users["marker"], &users["pipe"]),
        (&json!("MK1"), &json!("_answer"))
    );
    let mut list = users["data"].as_array().unwrap().clone();
    list.sort_by_key(|member| member["user_id"].as_u64());
    assert_eq!(list, [json!({"user_id": 0, "uuid": UUID}), member.clone()]);

    app.store()
        .set_data(TENANT, vec![(id(9), "O'Hara".into())])
        .await
        .unwrap();
    let data = watcher.ask("user_data\nMK2\n9").await;
    assert_eq!(data["data"], json!({"user_data": "O'Hara", "user_id": 9}));
    let status = watcher.ask("user_status\n9").await;
    assert_eq!(status["pipe"], "_answer_user_status");

    // Two channels, so in any order.
    drop(page);
    let offline = json!({"data": "offline", "event": "offline", "pipe": "user_status_9"});
    let mut last = [watcher.next().await, watcher.next().await];
    last.sort_by_key(|message| message["pipe"].to_string());
    assert_eq!(last[1], offline);
    assert_eq!(
        (&last[0]["event"], &last[0]["data"]),
        (&json!("unsubscription"), &member)
    );
    let status = watcher.ask("user_status\n9").await;
    assert!(
        status["data"]["last_online_time"].as_u64().unwrap() < 60,
        "{status}"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_new_list_replaces_the_old_one() {
    let app = node(|_| {}).await;
    let mut page = Page::anonymous(&app).await;
    page.subscribe(&app, "web_a\nweb_b", 1).await;
    subscribers(&app, "web_a", 1).await;
    page.subscribe(&app, "web_b\nweb_c", 1).await;
    subscribers(&app, "web_a", 0).await;
    publish(&app, "web_a", "", "a").await;
    publish(&app, "web_b", "", "b").await;
    assert_eq!(page.next().await["data"], "b");
    publish(&app, "web_c", "", "c").await;
    assert_eq!(page.next().await["data"], "c");
    app.stop().await;
}

#[tokio::test]
async fn dropped_and_never_closed() {
    let app = node(|_| {}).await;
    // A client's close, of which its `restart()` makes a new connection.
    let mut page = Page::anonymous(&app).await;
    let close = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    within(page.0.0.send(Message::Close(Some(close))))
        .await
        .unwrap();
    page.dropped().await;
    // An unknown command.
    let mut page = Page::anonymous(&app).await;
    page.send("hello").await;
    page.dropped().await;
    // `DELETE FROM users_auth`.
    let page = Page::user(&app, 7).await;
    app.store()
        .remove_hashes(TENANT, vec![id(7)])
        .await
        .unwrap();
    let user = id(7);
    let which = Disconnect::User {
        tenant: TENANT,
        user,
    };
    assert_eq!(app.hub().disconnect(which).await, 1);
    page.dropped().await;
    let (_, info) = Page::open(&app, "hash7", "7", "4.08").await;
    assert_eq!(info["authorized"], false);
    // A bad URL, after its message.
    let mut page = Page(Client::at(app.http_address(), "/comet-server/ws/sesion=a&myid=1").await);
    assert_eq!(page.next().await["data"]["error_code"], 406);
    page.dropped().await;
    // A restart of the node.
    let page = Page::anonymous(&app).await;
    app.stop().await;
    page.dropped().await;
}

/// The session of a client before version 4 ends with its close frame, and TCP a little later.
#[tokio::test]
async fn old_clients_that_close_are_gone_at_once() {
    let app = node(|_| {}).await;
    let (mut page, _) = Page::open(&app, "null", "null", "3.25").await;
    page.subscribe(&app, "web_a", 1).await;
    within(page.0.0.send(Message::Close(None))).await.unwrap();
    subscribers(&app, "web_a", 0).await;
    publish(&app, "web_a", "e", "too late").await;
    page.dropped().await;
    app.stop().await;
}

#[tokio::test]
async fn commands_come_before_the_first_message() {
    let app = node(|_| {}).await;
    let path = "//comet-server/ws/sesion=&myid=&devid=&v=4.08&uuid=&api=js";
    let mut page = Page(Client::at(app.http_address(), path).await);
    page.send("statistics\n{}").await;
    page.send("pipe_count\nother\nM\n").await;
    assert_eq!(page.next().await["event"], "serverInfo");
    assert_eq!(page.next().await["event"], "error");
    app.stop().await;
}
