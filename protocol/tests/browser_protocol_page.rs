//! `docs-site/reference/browser-protocol.md` shows every message, exactly as it is on the wire.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use cometql_protocol::wire::{
    Epoch, Kept, Member, Position, PublicationView, Reply, RequestBody, decode_requests,
    encode_error, encode_gap, encode_inbox_message, encode_presence_event, encode_publication,
    encode_refusal, encode_reply, encode_unsubscribed,
};
use cometql_protocol::{ChannelName, ErrorCode, UserId};

const PAGE: &str = include_str!("../../docs-site/reference/browser-protocol.md");

/// The lines of all code blocks of a kind.
fn examples(kind: &str) -> Vec<&'static str> {
    let open = format!("```json {kind}\n");
    let blocks = PAGE.split(&*open).skip(1);
    blocks
        .flat_map(|block| block.split("```").next().unwrap_or_default().lines())
        .collect()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

/// A number for each kind of request: the compiler asks for an example of a new one.
fn kind_of(body: &RequestBody) -> usize {
    match body {
        RequestBody::Connect(_) => 0,
        RequestBody::Refresh { .. } => 1,
        RequestBody::Subscribe(_) => 2,
        RequestBody::Unsubscribe { .. } => 3,
        RequestBody::Publish(_) => 4,
        RequestBody::Presence { .. } => 5,
        RequestBody::PresenceCount { .. } => 6,
        RequestBody::History(_) => 7,
        RequestBody::Ack { .. } => 8,
        RequestBody::UserData { .. } => 9,
        RequestBody::UserStatus { .. } => 10,
        RequestBody::Ping => 11,
    }
}

#[test]
fn every_request_is_shown_and_understood() {
    let mut shown = [false; 12];
    for line in examples("request") {
        for request in decode_requests(line) {
            let request = request.unwrap_or_else(|error| panic!("{line}: {}", error.message));
            shown[kind_of(&request.body)] = true;
        }
    }
    assert_eq!(shown, [true; 12], "requests in the order of `kind_of`");
}

#[expect(clippy::too_many_lines, reason = "one example of each reply")]
fn replies() -> Vec<(u32, Reply)> {
    let user = UserId::new(2).unwrap();
    let position = |offset| {
        Some(Position {
            epoch: Epoch(255),
            offset,
        })
    };
    let member = |user, uuid: &str| Member {
        user,
        uuid: uuid.into(),
    };
    let (chat, office) = (channel("web_chat"), channel("track_office"));
    let kept = Kept {
        event: "said".into(),
        data: r#"{"text":"hello"}"#.into(),
        data_is_json: true,
        offsets: Some((44, 43)),
        time_ms: 1_790_000_000_000,
        user: Some(user),
    };
    vec![
        (
            1,
            Reply::Connected {
                session: 4_294_967_552,
                user: Some(user),
                expires: Some(1_800_000_000),
            },
        ),
        (
            2,
            Reply::Refreshed {
                expires: Some(1_800_003_600),
            },
        ),
        (
            3,
            Reply::Subscribed {
                channel: chat.clone(),
                position: position(43),
                recovered: true,
                replayed: 2,
            },
        ),
        (
            4,
            Reply::Unsubscribed {
                channel: chat.clone(),
            },
        ),
        (
            5,
            Reply::Published {
                offset: Some(44),
                reached: 17,
            },
        ),
        (
            6,
            Reply::Presence {
                channel: office.clone(),
                members: vec![member(Some(user), "browser-1"), member(None, "")],
            },
        ),
        (
            7,
            Reply::PresenceCount {
                channel: office,
                count: 2,
            },
        ),
        (
            8,
            Reply::History {
                channel: chat,
                position: position(44),
                publications: vec![kept],
            },
        ),
        (9, Reply::Acknowledged),
        (
            10,
            Reply::UserData {
                user,
                data: r#"{"name":"Ann"}"#.into(),
            },
        ),
        (
            11,
            Reply::UserStatus {
                user,
                last_seen: Some(1_790_000_000),
            },
        ),
        (12, Reply::Pong),
    ]
}

#[test]
fn every_reply_is_shown_as_it_is() {
    let mut expected: Vec<_> = replies()
        .iter()
        .map(|(id, reply)| encode_reply(*id, reply))
        .collect();
    let message = "default private_: only logged-in users";
    let code = ErrorCode::PermissionDenied;
    expected.push(encode_error(13, code, message, Some("private_a")));
    let message = "this session may publish 20 times a second, 40 at once";
    let code = ErrorCode::RateLimited;
    expected.push(encode_refusal(
        14,
        code,
        message,
        Some(50),
        Some("web_chat"),
    ));
    assert_eq!(examples("reply"), expected);
}

#[test]
fn every_push_is_shown_as_it_is() {
    let (chat, office) = (channel("web_chat"), channel("track_office"));
    let publication = PublicationView {
        channel: &chat,
        event: "said",
        data: r#"{"text":"hello"}"#,
        data_is_json: true,
        offsets: Some((44, 43)),
        time_ms: 1_790_000_000_000,
        user: UserId::new(2),
        request: None,
    };
    let own = PublicationView {
        event: "",
        data: "hello",
        data_is_json: false,
        offsets: Some((45, 44)),
        request: Some(5),
        ..publication
    };
    let member = Member {
        user: UserId::new(2),
        uuid: "browser-1".into(),
    };
    let gone = "not a member any more";
    let expected = [
        encode_publication(publication),
        encode_publication(own),
        encode_inbox_message("order", r#"{"order":7}"#, true, 12, 1_790_000_000_000),
        encode_presence_event(&office, true, &member),
        encode_presence_event(&office, false, &member),
        encode_gap(&channel("web_chat")),
        encode_unsubscribed(&channel("private_a"), ErrorCode::PermissionDenied, gone),
    ];
    assert_eq!(examples("push"), expected);
}
