use std::sync::Arc;

use cometql_engine::publication::Content;
use cometql_engine::{InboxMessage, MessageId};
use cometql_protocol::wire::{Kept, Member, is_json_container};
use cometql_protocol::{ChannelName, EventName, TenantId};
use proptest::prelude::*;

use super::super::asked::BYTES_MAX;
use super::super::encode_publication;
use super::super::url::{LARGEST_TENANT, parse};
use super::*;

const NOW: Now = Now(1_600_000_000_999);

fn adapter(key: &str, version: &str) -> Adapter {
    let target = format!("/ws/sesion={key}&myid=7&devid=0&v={version}&uuid=u7&api=js");
    Adapter::new(parse(&target, LARGEST_TENANT).unwrap())
}

/// A connection that is logged in as user 7 (or as nobody) and has been told so.
fn opened(version: &str, authorised: bool) -> Adapter {
    let mut adapter = adapter("hash7", version);
    adapter.on_open();
    connected(&mut adapter, authorised);
    adapter
}

fn connected(adapter: &mut Adapter, authorised: bool) -> Vec<Output> {
    if authorised {
        adapter.authenticated("hash7");
    }
    let reply = Reply::Connected {
        session: 1,
        user: UserId::new(7).filter(|_| authorised),
        expires: None,
    };
    adapter.on_reply(NOW, CONNECT, &reply)
}

fn user(number: u64) -> UserId {
    UserId::new(number).unwrap()
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

/// What was sent, one frame a line, as the JavaScript clients must be able to read it.
#[track_caller]
fn frames(outputs: &[Output]) -> String {
    let lines = outputs.iter().map(|output| match output {
        Output::Send(text) => {
            read_as_the_clients(text);
            text.as_str()
        }
        Output::Drop => "(drop)",
        Output::Request(_) => "(request)",
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Both JavaScript clients split a frame at line feeds and replace `\'` before they parse a line.
#[track_caller]
fn read_as_the_clients(frame: &str) -> serde_json::Value {
    assert!(!frame.contains('\n'), "{frame}");
    assert!(!frame.contains('\''), "{frame}");
    let message: serde_json::Value =
        serde_json::from_str(&frame.replace("\\'", "'")).expect("the clients can parse it");
    assert!(message.get("jscode").is_none(), "the clients evaluate it");
    message
}

/// Feeds a command and answers the one request that it makes.
#[track_caller]
fn ask(adapter: &mut Adapter, frame: &str, reply: &Reply) -> String {
    let outputs = adapter.feed(NOW, frame);
    let [Output::Request(request)] = &*outputs else {
        panic!("{frame:?} gave {outputs:?}");
    };
    frames(&adapter.on_reply(NOW, request.id, reply))
}

#[track_caller]
fn bodies(outputs: Vec<Output>) -> Vec<RequestBody> {
    let body = |output| match output {
        Output::Request(request) => request.body,
        other => panic!("{other:?} is no request"),
    };
    outputs.into_iter().map(body).collect()
}

fn publication(channel: &str, event: &str, data: &str, from: Option<u64>) -> Arc<Publication> {
    let content = Content {
        id: MessageId(1),
        once: false,
        event: EventName::parse(event).unwrap(),
        data: data.into(),
        data_is_json: is_json_container(data),
        time_ms: 1_600_000_000_500,
        user: from.and_then(UserId::new),
        from_browser: from.is_some(),
    };
    Arc::new(Publication::new(TenantId(0), name(channel), content, None))
}

fn inbox(data: &str, waited: bool) -> Arc<InboxMessage> {
    Arc::new(InboxMessage {
        id: MessageId(1),
        offset: 1,
        event: EventName::parse("ev").unwrap(),
        data: data.into(),
        data_is_json: true,
        time_ms: 1_500_000_000_500,
        waited,
    })
}

fn kept(data: &str, from: Option<u64>) -> Kept {
    Kept {
        event: "e0".into(),
        data: data.into(),
        data_is_json: false,
        offsets: None,
        time_ms: 1_500_000_000_500,
        user: from.and_then(UserId::new),
    }
}

fn members() -> Vec<Member> {
    let member = |user, uuid: &str| Member {
        user,
        uuid: uuid.into(),
    };
    vec![member(None, "u0"), member(UserId::new(7), "u7")]
}

/// Every row of the table of server messages, in one client's format.
fn every_message(version: &str) -> String {
    let mut adapter = adapter("hash7", version);
    adapter.on_open();
    let mut nobody = self::adapter("bad", version);
    nobody.on_open();
    let mut rows = vec![
        ("1", frames(&connected(&mut adapter, true))),
        ("2", frames(&connected(&mut nobody, false))),
    ];
    rows.extend(every_push(&mut adapter));
    rows.extend(every_answer(&mut adapter));
    rows.extend(every_error(&mut adapter));
    let lines = rows
        .into_iter()
        .map(|(row, frames)| format!("{row}: {frames}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn every_push(adapter: &mut Adapter) -> Vec<(&'static str, String)> {
    let publications = [
        ("3", publication("web_t1", "e0", "m0", None)),
        ("4", publication("web_t1", "", "{\"it's\":1}", Some(7))),
        (
            "4 anonymous",
            publication("web_t1", "ev1", "\\'\n", Some(0)),
        ),
        ("8", publication("user_status_9", "online", "online", None)),
        (
            "8",
            publication("user_status_9", "offline", "offline", None),
        ),
    ];
    let (live, waited) = (inbox("{\"q\":2}", false), inbox("{\"q\":1}", true));
    let (track, member) = (name("track_t1"), &members()[1]);
    let others = [
        ("6", Push::Inbox(&live)),
        ("7", Push::Inbox(&waited)),
        ("9", Push::Presence(&track, true, member)),
        ("9", Push::Presence(&track, false, member)),
    ];
    let pushes = publications
        .iter()
        .map(|(row, publication)| (*row, Push::Publication(publication)))
        .chain(others);
    pushes.map(|(row, of)| (row, push(adapter, of))).collect()
}

fn every_answer(adapter: &mut Adapter) -> Vec<(&'static str, String)> {
    let published = Reply::Published {
        offset: Some(1),
        reached: 1,
    };
    let history = Reply::History {
        channel: name("web_t1"),
        position: None,
        publications: vec![kept("m0", None), kept("[1]", Some(7))],
    };
    let count = Reply::PresenceCount {
        channel: name("web_t1"),
        count: 2,
    };
    let presence = Reply::Presence {
        channel: name("track_t1"),
        members: members(),
    };
    let data = Reply::UserData {
        user: user(55),
        data: "{\"name\":\"O'Hara\"}".into(),
    };
    let status = Reply::UserStatus {
        user: user(7),
        last_seen: Some(1_599_999_990),
    };
    [
        ("5", "web_pipe2\n@web_t1\nev1\n*\nit's \"x\"", &published),
        ("10", "pipe_log\nweb_t1\nMARK1\n", &history),
        ("10 no marker", "pipe_log\nweb_t1\nundefined\n", &history),
        ("11", "pipe_count\nweb_t1\nMARK123456\n", &count),
        ("12", "track_pipe_users\ntrack_t1\nMK1", &presence),
        (
            "12 no marker",
            "track_pipe_users\ntrack_t1\nundefined",
            &presence,
        ),
        ("13", "user_data\nMK2\n55", &data),
        ("14", "user_status\n7", &status),
    ]
    .map(|(row, frame, reply)| (row, ask(adapter, frame, reply)))
    .into()
}

/// What the adapter answers by itself.
fn every_error(adapter: &mut Adapter) -> Vec<(&'static str, String)> {
    [
        ("13 nobody", "user_data\nMK2\n0"),
        ("14 nobody", "user_status\n0"),
        ("15", "web_pipe2\nother\ne\n*\nx"),
        ("15", "track_pipe_users\nother\n"),
        ("15", "user_data\nM\nx"),
    ]
    .map(|(row, frame)| (row, frames(&adapter.feed(NOW, frame))))
    .into()
}

#[track_caller]
fn push(adapter: &mut Adapter, push: Push<'_>) -> String {
    let frame = adapter.on_push(NOW, &push).expect("it is told");
    frames(&[Output::Send(frame)])
}

#[test]
fn messages_to_newer_clients() {
    insta::assert_snapshot!(every_message("4.08"), @r#"
    1: {"authorized":true,"data":"hash7","event":"serverInfo","message_send_time":1600000000,"pipe":"sys","server":"CometQL (compatible with CppComet community 4.09)"}
    2: {"authorized":false,"data":"","event":"serverInfo","message_send_time":1600000000,"pipe":"sys","server":"CometQL (compatible with CppComet community 4.09)"}
    3: {"data":"m0","event":"e0","message_send_time":1600000000,"pipe":"web_t1"}
    4: {"data":"{\"it\u0027s\":1}","event":"","message_send_time":1600000000,"pipe":"web_t1","user_id":7}
    4 anonymous: {"data":"\\\u0027\n","event":"ev1","message_send_time":1600000000,"pipe":"web_t1","user_id":0}
    8: {"data":"online","event":"online","pipe":"user_status_9"}
    8: {"data":"offline","event":"offline","pipe":"user_status_9"}
    6: {"data":"{\"q\":2}","event":"ev","pipe":"msg"}
    7: {"data":"{\"q\":1}","event":"ev","fromQueue":true,"message_send_time":1500000000,"pipe":"msg"}
    9: {"data":{"user_id":7,"uuid":"u7"},"event":"subscription","message_send_time":1600000000,"pipe":"track_t1"}
    9: {"data":{"user_id":7,"uuid":"u7"},"event":"unsubscription","message_send_time":1600000000,"pipe":"track_t1"}
    5: {"data":{"message":"it\u0027s \"x\"","number_messages":1},"event":"answer","message_send_time":1600000000,"pipe":"_answer_to_web_t1"}
    10: {"data":"m0","event":"e0","fromQueue":true,"history":true,"message_send_time":1500000000,"pipe":"web_t1","user_id":0}
    {"data":"[1]","event":"e0","fromQueue":true,"history":true,"message_send_time":1500000000,"pipe":"web_t1","user_id":7}
    10 no marker: {"data":"m0","event":"e0","fromQueue":true,"history":true,"message_send_time":1500000000,"pipe":"web_t1","user_id":0}
    {"data":"[1]","event":"e0","fromQueue":true,"history":true,"message_send_time":1500000000,"pipe":"web_t1","user_id":7}
    11: {"data":{"user_in_pipe":2},"event":"user_in_pipe","marker":"MARK123456","message_send_time":1600000000,"pipe":"_answer_pipe_count"}
    12: {"_info":"answer for track_pipe_users","data":[{"user_id":0,"uuid":"u0"},{"user_id":7,"uuid":"u7"}],"event":"answer","marker":"MK1","message_send_time":1600000000,"pipe":"_answer"}
    12 no marker: {"_info":"answer for track_pipe_users","data":[{"user_id":0,"uuid":"u0"},{"user_id":7,"uuid":"u7"}],"event":"answer","marker":"undefined","message_send_time":1600000000,"pipe":"_answer"}
    13: {"data":{"user_data":"{\"name\":\"O\u0027Hara\"}","user_id":55},"event":"answer","marker":"MK2","message_send_time":1600000000,"pipe":"_answer"}
    14: {"data":{"data":10,"last_online_time":10},"event":"user_status_7","message_send_time":1600000000,"pipe":"_answer_user_status"}
    13 nobody: {"data":{"user_data":"","user_id":0},"event":"answer","marker":"MK2","message_send_time":1600000000,"pipe":"_answer"}
    14 nobody: {"data":{"data":1600000000,"last_online_time":1600000000},"event":"user_status_0","message_send_time":1600000000,"pipe":"_answer_user_status"}
    15: {"data":{"error":"[pipe_msg2] Invalid channel name. The channel should begin with web_","number_messages":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    15: {"data":{"error":"[track_pipe_users] Invalid channel name. The channel should start with track_","user_id":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    15: {"data":{"error":"Invalid user id","user_data":"","user_id":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    "#);
}

#[test]
fn messages_to_old_clients() {
    insta::assert_snapshot!(every_message("3.25"), @r#"
    1: {"api_data":"for major_version < 4","authorized":"true","data":"hash7","event":"serverInfo","event_name":"serverInfo","message_send_time":1600000000,"pipe":"sys","server":"CometQL (compatible with CppComet community 4.09)"}
    2: {"api_data":"for major_version < 4","authorized":"false","data":"","event":"serverInfo","event_name":"serverInfo","message_send_time":1600000000,"pipe":"sys","server":"CometQL (compatible with CppComet community 4.09)"}
    3: {"api_data":"for major_version < 4","data":"m0","event":"e0","event_name":"e0","message_send_time":1600000000,"pipe":"web_t1"}
    4: {"api_data":"for major_version < 4","data":"{\"it\u0027s\":1}","event":"","event_name":"","message_send_time":1600000000,"pipe":"web_t1","user_id":7}
    4 anonymous: {"api_data":"for major_version < 4","data":"\\\u0027\n","event":"ev1","event_name":"ev1","message_send_time":1600000000,"pipe":"web_t1","user_id":0}
    8: {"api_data":"for major_version < 4","data":"online","event":"online","event_name":"online","pipe":"user_status_9"}
    8: {"api_data":"for major_version < 4","data":"offline","event":"offline","event_name":"offline","pipe":"user_status_9"}
    6: {"api_data":"for major_version < 4","data":"{\"q\":2}","event":"ev","event_name":"ev","pipe":"msg"}
    7: {"api_data":"for major_version < 4","data":"{\"q\":1}","event":"ev","event_name":"ev","fromQueue":true,"message_send_time":1500000000,"pipe":"msg"}
    9: {"api_data":"for major_version < 4","data":"{\"user_id\":7,\"uuid\":\"u7\"}","event":"subscription","event_name":"subscription","message_send_time":1600000000,"pipe":"track_t1"}
    9: {"api_data":"for major_version < 4","data":"{\"user_id\":7,\"uuid\":\"u7\"}","event":"unsubscription","event_name":"unsubscription","message_send_time":1600000000,"pipe":"track_t1"}
    5: {"api_data":"for major_version < 4","data":"{\"message\":\"it\\u0027s \\\"x\\\"\",\"number_messages\":1}","event":"answer","event_name":"answer","message_send_time":1600000000,"pipe":"_answer_to_web_t1"}
    10: {"api_data":"for major_version < 4","data":"m0","event":"e0","event_name":"e0","fromQueue":true,"history":true,"marker":"MARK1","message_send_time":1500000000,"pipe":"web_t1","user_id":0}
    {"api_data":"for major_version < 4","data":"[1]","event":"e0","event_name":"e0","fromQueue":true,"history":true,"marker":"MARK1","message_send_time":1500000000,"pipe":"web_t1","user_id":7}
    10 no marker: {"api_data":"for major_version < 4","data":"m0","event":"e0","event_name":"e0","fromQueue":true,"history":true,"message_send_time":1500000000,"pipe":"web_t1","user_id":0}
    {"api_data":"for major_version < 4","data":"[1]","event":"e0","event_name":"e0","fromQueue":true,"history":true,"message_send_time":1500000000,"pipe":"web_t1","user_id":7}
    11: {"api_data":"for major_version < 4","data":"{\"user_in_pipe\":2}","event":"user_in_pipe","event_name":"user_in_pipe","marker":"MARK123456","message_send_time":1600000000,"pipe":"_answer_pipe_count"}
    12: {"_info":"answer for track_pipe_users","api_data":"for major_version < 4","data":"[{\"user_id\":0,\"uuid\":\"u0\"},{\"user_id\":7,\"uuid\":\"u7\"}]","event":"answer","event_name":"answer","marker":"MK1","message_send_time":1600000000,"pipe":"_answer"}
    {"_info":"answer for track_pipe_users","api_data":"for major_version < 4","data":"[{\"user_id\":0,\"uuid\":\"u0\"},{\"user_id\":7,\"uuid\":\"u7\"}]","event":"answer","event_name":"answer","marker":"MK1","message_send_time":1600000000,"pipe":"track_t1"}
    12 no marker: {"_info":"answer for track_pipe_users","api_data":"for major_version < 4","data":"[{\"user_id\":0,\"uuid\":\"u0\"},{\"user_id\":7,\"uuid\":\"u7\"}]","event":"answer","event_name":"answer","marker":"undefined","message_send_time":1600000000,"pipe":"_answer"}
    13: {"api_data":"for major_version < 4","data":"{\"user_data\":\"{\\\"name\\\":\\\"O\\u0027Hara\\\"}\",\"user_id\":55}","event":"answer","event_name":"answer","marker":"MK2","message_send_time":1600000000,"pipe":"_answer"}
    14: {"api_data":"for major_version < 4","data":"{\"data\":10,\"last_online_time\":10}","event":"user_status_7","event_name":"user_status_7","message_send_time":1600000000,"pipe":"_answer_user_status"}
    13 nobody: {"api_data":"for major_version < 4","data":"{\"user_data\":\"\",\"user_id\":0}","event":"answer","event_name":"answer","marker":"MK2","message_send_time":1600000000,"pipe":"_answer"}
    14 nobody: {"api_data":"for major_version < 4","data":"{\"data\":1600000000,\"last_online_time\":1600000000}","event":"user_status_0","event_name":"user_status_0","message_send_time":1600000000,"pipe":"_answer_user_status"}
    15: {"api_data":"for major_version < 4","data":"{\"error\":\"[pipe_msg2] Invalid channel name. The channel should begin with web_\",\"number_messages\":-1}","event":"error","event_name":"error","message_send_time":1600000000,"pipe":"sys"}
    15: {"api_data":"for major_version < 4","data":"{\"error\":\"[track_pipe_users] Invalid channel name. The channel should start with track_\",\"user_id\":-1}","event":"error","event_name":"error","message_send_time":1600000000,"pipe":"sys"}
    15: {"api_data":"for major_version < 4","data":"{\"error\":\"Invalid user id\",\"user_data\":\"\",\"user_id\":-1}","event":"error","event_name":"error","message_send_time":1600000000,"pipe":"sys"}
    "#);
}

/// An old client parses `data` a second time; that must give what a newer client gets at once.
#[test]
fn old_clients_get_the_same_data() {
    let (new, old) = (every_message("4.08"), every_message("3.25"));
    let frames = |text: &str| -> Vec<serde_json::Value> {
        let frames = text
            .lines()
            .map(|line| &line[line.find('{').expect("a frame")..]);
        frames.map(read_as_the_clients).collect()
    };
    let (new, mut old) = (frames(&new), frames(&old));
    // What only old clients get: the list of users on its pipe.
    old.retain(|message| message["pipe"] != "track_t1" || message["event"] != "answer");
    assert_eq!(new.len(), old.len());
    for (new, old) in new.iter().zip(old) {
        assert_eq!(old["event_name"], new["event"]);
        let data = old["data"].as_str().expect("old clients need a string");
        match &new["data"] {
            serde_json::Value::String(text) => assert_eq!(data, text),
            value => assert_eq!(read_as_the_clients(data), *value),
        }
    }
}

#[test]
fn a_key_is_a_hash_or_a_token() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjo3fQ.c2ln";
    for (key, as_token) in [("hash7", false), (token, true)] {
        let connect = Connect {
            token: as_token.then(|| key.to_owned()),
            user: Some(7),
            hash: (!as_token).then(|| key.to_owned()),
            uuid: Some("u7".into()),
            inbox: true,
        };
        let mut adapter = adapter(key, "4.08");
        assert_eq!(bodies(adapter.on_open()), [RequestBody::Connect(connect)]);
        assert_eq!(adapter.on_open(), []);
    }
    let anonymous = Connect {
        uuid: Some("u7".into()),
        inbox: true,
        ..Connect::default()
    };
    let mut adapter = adapter("undefined", "4.08");
    assert_eq!(bodies(adapter.on_open()), [RequestBody::Connect(anonymous)]);
}

#[test]
fn wrong_credentials_leave_an_anonymous_connection() {
    let mut adapter = adapter("bad", "4.08");
    adapter.on_open();
    let reject = Reject::new(ErrorCode::Unauthorized, "no");
    let told = adapter.on_refused(NOW, CONNECT, &reject, None);
    assert!(frames(&told).contains(r#""authorized":false,"data":"""#));
    assert_eq!(bodies(adapter.feed(NOW, "subscription\nweb_t1")).len(), 1);
}

#[test]
fn a_node_that_cannot_look_drops_the_connection() {
    let mut adapter = adapter("hash7", "4.08");
    adapter.on_open();
    let reject = Reject::new(ErrorCode::Unavailable, "disk");
    let told = adapter.on_refused(NOW, CONNECT, &reject, None);
    assert_eq!(told, [Output::Drop]);
    assert_eq!(adapter.feed(NOW, "subscription\nweb_t1"), []);
}

#[test]
fn early_frames_wait_for_server_info() {
    let mut adapter = adapter("hash7", "4.08");
    adapter.on_open();
    assert_eq!(adapter.feed(NOW, "subscription\nweb_t1"), []);
    assert_eq!(adapter.feed(NOW, "pipe_count\nweb_t1\nM\n"), []);
    let outputs = connected(&mut adapter, true);
    assert!(matches!(&outputs[0], Output::Send(text) if text.contains("serverInfo")));
    assert_eq!(bodies(outputs[1..].to_vec()).len(), 2);
    // Nobody can make the server keep more than this.
    let mut adapter = self::adapter("hash7", "4.08");
    let frame = "x".repeat(WAITING_BYTES / 2 + 1);
    assert_eq!(adapter.feed(NOW, &frame), []);
    assert_eq!(adapter.feed(NOW, &frame), [Output::Drop]);
}

#[test]
fn a_subscription_replaces_the_list() {
    let sub = |channel: &str| {
        let channel = channel.into();
        RequestBody::Subscribe(Subscribe {
            channel,
            since: None,
        })
    };
    let unsub = |channel: &str| RequestBody::Unsubscribe {
        channel: channel.into(),
    };
    let mut adapter = opened("4.08", false);
    let mut list = |list: &str| bodies(adapter.feed(NOW, &format!("subscription\n{list}")));
    assert_eq!(
        list("web_a\ntrack_a\nab\nweb_a"),
        [sub("web_a"), sub("track_a")]
    );
    // `web_a` stays; `track_a` is left and joined again, which others see as in the original.
    assert_eq!(
        list("track_a\nweb_b\nweb_a"),
        [unsub("track_a"), sub("track_a"), sub("web_b")]
    );
    assert_eq!(list(""), [unsub("web_a"), unsub("track_a"), unsub("web_b")]);
}

#[test]
fn a_refused_pipe_can_be_asked_for_again() {
    let mut adapter = opened("4.08", false);
    adapter.feed(NOW, "subscription\nprivate_a\nweb_a");
    let reject = Reject::new(ErrorCode::PermissionDenied, "no");
    assert_eq!(
        adapter.on_refused(NOW, SUBSCRIBE, &reject, Some("private_a")),
        []
    );
    let again = bodies(adapter.feed(NOW, "subscription\nprivate_a\nweb_a"));
    assert_eq!(again.len(), 1);
    let reject = Reject::new(ErrorCode::Unavailable, "disk");
    let told = adapter.on_refused(NOW, SUBSCRIBE, &reject, Some("private_a"));
    assert!(frames(&told).contains("disk"));
    let ended = Push::Unsubscribed(&name("web_a"), ErrorCode::PermissionDenied, "rules");
    assert!(adapter.on_push(NOW, &ended).unwrap().contains("rules"));
    assert_eq!(bodies(adapter.feed(NOW, "subscription\nweb_a")).len(), 1);
}

#[test]
fn list_errors() {
    let many: Vec<_> = (10..43).map(|number| format!("web_{number}")).collect();
    let mut adapter = opened("4.08", false);
    let outputs = adapter.feed(NOW, &format!("subscription\n{}", many.join("\n")));
    insta::assert_snapshot!(frames(&outputs[32..]), @r#"{"data":{"code":"403","error":"Too many letters"},"event":"error","message_send_time":1600000000,"pipe":"sys"}"#);
    let outputs = adapter.feed(NOW, &format!("subscription\n{}", "n".repeat(65)));
    insta::assert_snapshot!(frames(&outputs[32..]), @r#"
    {"data":{"code":"403","error":"Channel name is too long"},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    (drop)
    "#);
}

/// See `restart()` of 3.25: for one second it takes a connection that ends for one that it wanted to end.
#[test]
fn old_clients_are_left_alone_for_a_while_after_they_closed() {
    assert!(opened("3.25", false).linger() > Duration::from_secs(1));
    assert_eq!(opened("4.08", false).linger(), Duration::ZERO);
}

#[test]
fn unknown_commands_drop_the_connection() {
    let mut adapter = opened("4.08", true);
    assert_eq!(adapter.feed(NOW, "hello"), [Output::Drop]);
    assert_eq!(adapter.feed(NOW, "pipe_count\nweb_t1\nM\n"), []);
}

#[test]
fn own_publications_are_not_sent_back() {
    let mut adapter = opened("4.08", true);
    let own = publication("web_t1", "e", "m", Some(7));
    assert_eq!(adapter.on_push(NOW, &Push::Own(&own, 17)), None);
}

#[test]
fn refusals_of_the_engine() {
    let mut adapter = opened("4.08", true);
    let commands = [
        "web_pipe2\nweb_t1\ne\n*\nx",
        "pipe_log\nprivate_t1\nM\n",
        "pipe_count\nweb_t1\nM\n",
        "track_pipe_users\ntrack_t1\nM",
        "user_data\nM\n8",
        "user_status\n8",
    ];
    let mut told = Vec::new();
    for command in commands {
        let outputs = adapter.feed(NOW, command);
        let Output::Request(request) = &outputs[0] else {
            panic!("{command:?} gave {outputs:?}");
        };
        let reject = Reject::new(ErrorCode::RateLimited, "not so fast");
        told.push(frames(&adapter.on_refused(NOW, request.id, &reject, None)));
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    {"data":{"error":"[pipe_msg2] not so fast","number_messages":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    {"data":{"error":"[pipe_log] not so fast","number_messages":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    {"data":{"error":"[pipe_count] not so fast","number_messages":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    {"data":{"error":"[track_pipe_users] not so fast","user_id":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    {"data":{"error":"[user_data] not so fast","user_data":"","user_id":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    {"data":{"error":"[user_status] not so fast","number_messages":-1},"event":"error","message_send_time":1600000000,"pipe":"sys"}
    "#);
}

#[test]
fn one_encoding_for_all_subscribers() {
    let publication = publication("web_t1", "e0", &"it's ".repeat(20_000), None);
    for version in ["4.08", "3.25"] {
        let mut adapter = opened(version, false);
        let pushed = adapter.on_push(NOW, &Push::Publication(&publication));
        assert_eq!(
            pushed,
            Some(encode_publication(&publication, adapter.is_old()))
        );
    }
}

#[test]
fn too_many_waiting_commands_are_refused() {
    let mut adapter = opened("4.08", true);
    let frame = format!("web_pipe2\nweb_t1\ne\n*\n{}", "x".repeat(60_000));
    let waiting = (0..1_000)
        .map(|_| bodies_or_error(adapter.feed(NOW, &frame)))
        .filter(|taken| *taken)
        .count();
    assert_eq!(waiting, BYTES_MAX / 60_000);
}

#[track_caller]
fn bodies_or_error(outputs: Vec<Output>) -> bool {
    match &*outputs {
        [Output::Request(_)] => true,
        [Output::Send(text)] if text.contains("Too many requests") => false,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn any_text_is_carried_out_or_refused(
        frames in prop::collection::vec(
            prop_oneof![
                "\\PC{0,60}",
                "(subscription|user_status|pipe_count|statistics|web_pipe2|pipe_log|track_pipe_users|user_data)(\n|\\PC){1,3}([@a-z_]{0,9}[\n ']{0,2}\\PC{0,9}){0,5}",
                "web_pipe2\nweb_t1\n[a-z]{0,3}\n[*é]\n(.|\n){0,80}",
            ],
            0..20,
        ),
        version in prop_oneof![Just("3.25"), Just("4.08")],
    ) {
        let mut adapter = opened(version, true);
        for frame in frames {
            for output in adapter.feed(NOW, &frame) {
                match output {
                    Output::Send(text) => {
                        read_as_the_clients(&text);
                    }
                    Output::Request(request) => {
                        let reject = Reject::new(ErrorCode::Internal, &frame);
                        self::frames(&adapter.on_refused(NOW, request.id, &reject, None));
                    }
                    Output::Drop => {}
                }
            }
        }
        assert!(adapter.pipes.len() <= command::SUBSCRIPTIONS_MAX);
    }

    #[test]
    fn any_text_arrives(data in "(.|\n|\\\\|'|\"){0,200}") {
        for old in [false, true] {
            let frame = encode_publication(&publication("web_t1", "e", &data, Some(7)), old);
            let message = read_as_the_clients(&frame);
            prop_assert_eq!(message["data"].as_str(), Some(&*data));
        }
    }

    /// The clients parse a payload that is a string once more, after the same replacement.
    #[test]
    fn any_json_arrives(text in "(.|\n|\\\\|'|\"){0,50}") {
        let value = serde_json::json!({ "it's": text });
        let publication = publication("web_t1", "e", &value.to_string(), None);
        for old in [false, true] {
            let message = read_as_the_clients(&encode_publication(&publication, old));
            let data = message["data"].as_str().expect("a string").replace("\\'", "'");
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&data).ok(), Some(value.clone()));
        }
    }
}
