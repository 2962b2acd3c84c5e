//! From replies and pushes to a server's text frame.
//!
//! Written around `serde_json`'s string escaping, because payloads that are JSON already are embedded byte for byte
//! and a publication is encoded on the hot path.

use std::fmt::Write as _;

use super::{Kept, Position, Reply};
use crate::{ChannelName, ErrorCode, UserId};

/// One connection in a presence list or a join/leave event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// `None` = anonymous.
    pub user: Option<UserId>,
    /// The browser's id as the client gave it, may be empty.
    pub uuid: String,
}

/// What is encoded of a publication; borrowed, so that each owner keeps its own layout.
#[derive(Debug, Clone, Copy)]
pub struct PublicationView<'a> {
    /// The channel.
    pub channel: &'a ChannelName,
    /// The label, may be empty.
    pub event: &'a str,
    /// The payload's text.
    pub data: &'a str,
    /// True when `data` is a valid JSON object or array, which is embedded as it is.
    pub data_is_json: bool,
    /// Its offset and that of the one before; `None` for a channel without history.
    pub offsets: Option<(u64, u64)>,
    /// When it was published, unix milliseconds.
    pub time_ms: u64,
    /// The sender, where it is a logged-in browser that did not hide itself.
    pub user: Option<UserId>,
    /// For the publisher's own copy: the id of its request.
    pub request: Option<u32>,
}

/// The push of a publication: `{"push":"publication",…}`.
#[must_use]
pub fn encode_publication(publication: PublicationView<'_>) -> String {
    let mut out = String::with_capacity(publication.data.len() + publication.event.len() + 160);
    out.push_str(r#"{"push":"publication","channel":"#);
    push_string(&mut out, publication.channel.as_str());
    push_content(
        &mut out,
        publication.event,
        publication.data,
        publication.data_is_json,
    );
    push_offsets(&mut out, publication.offsets);
    push_origin(&mut out, publication.time_ms, publication.user);
    if let Some(request) = publication.request {
        _ = write!(out, r#","request":{request}"#);
    }
    out.push('}');
    out
}

/// The push of a private message: `{"push":"message",…}`; `offset` is what an `ack` repeats.
#[must_use]
pub fn encode_inbox_message(
    event: &str,
    data: &str,
    data_is_json: bool,
    offset: u64,
    time_ms: u64,
) -> String {
    let mut out = String::with_capacity(data.len() + 96);
    out.push_str(r#"{"push":"message""#);
    push_content(&mut out, event, data, data_is_json);
    _ = write!(out, r#","offset":{offset}"#);
    push_origin(&mut out, time_ms, None);
    out.push('}');
    out
}

/// The push when somebody joins or leaves: `{"push":"join",…}` or `{"push":"leave",…}`.
#[must_use]
pub fn encode_presence_event(channel: &ChannelName, joined: bool, member: &Member) -> String {
    let kind = if joined { "join" } else { "leave" };
    let mut out = format!(r#"{{"push":"{kind}","channel":"#);
    push_string(&mut out, channel.as_str());
    out.push_str(r#","member":"#);
    push_member(&mut out, member);
    out.push('}');
    out
}

/// The push when the server ends a subscription: `{"push":"unsubscribed",…}`.
#[must_use]
pub fn encode_unsubscribed(channel: &ChannelName, code: ErrorCode, message: &str) -> String {
    let mut out = String::from(r#"{"push":"unsubscribed","channel":"#);
    push_string(&mut out, channel.as_str());
    push_error(&mut out, code, message);
    out.push('}');
    out
}

/// The push when something of a channel is missing, and the subscription goes on: `{"push":"gap",…}`.
#[must_use]
pub fn encode_gap(channel: &ChannelName) -> String {
    let mut out = String::from(r#"{"push":"gap","channel":"#);
    push_string(&mut out, channel.as_str());
    out.push('}');
    out
}

/// The reply when a request was refused: `{"id":…,"error":{"code":…,"message":…}}`.
#[must_use]
pub fn encode_error(id: u32, code: ErrorCode, message: &str, channel: Option<&str>) -> String {
    encode_refusal(id, code, message, None, channel)
}

/// The same, and after how many milliseconds the request may succeed: `{"id":…,"error":{…,"retry_after_ms":…}}`.
#[must_use]
pub fn encode_refusal(
    id: u32,
    code: ErrorCode,
    message: &str,
    retry_after_ms: Option<u64>,
    channel: Option<&str>,
) -> String {
    let mut out = format!(r#"{{"id":{id}"#);
    push_error(&mut out, code, message);
    if let Some(retry_after_ms) = retry_after_ms {
        out.pop();
        _ = write!(out, r#","retry_after_ms":{retry_after_ms}}}"#);
    }
    if let Some(channel) = channel {
        out.push_str(r#","channel":"#);
        push_string(&mut out, channel);
    }
    out.push('}');
    out
}

/// The reply when a request was granted: `{"id":…,"<kind>":{…}}`.
#[must_use]
pub fn encode_reply(id: u32, reply: &Reply) -> String {
    let mut out = format!(r#"{{"id":{id},"#);
    match reply {
        Reply::Connected {
            session,
            user,
            expires,
        } => {
            push_connected(&mut out, *session, *user, *expires);
        }
        Reply::Refreshed { expires } => push_refreshed(&mut out, *expires),
        Reply::Subscribed {
            channel,
            position,
            recovered,
            replayed,
        } => {
            open_channel(&mut out, "subscribed", channel);
            push_position(&mut out, *position);
            _ = write!(out, r#","recovered":{recovered},"replayed":{replayed}}}"#);
        }
        Reply::Unsubscribed { channel } => {
            open_channel(&mut out, "unsubscribed", channel);
            out.push('}');
        }
        Reply::Published { offset, reached } => push_published(&mut out, *offset, *reached),
        Reply::Presence { channel, members } => push_presence(&mut out, channel, members),
        Reply::PresenceCount { channel, count } => {
            open_channel(&mut out, "presence_count", channel);
            _ = write!(out, r#","count":{count}}}"#);
        }
        Reply::History {
            channel,
            position,
            publications,
        } => {
            open_channel(&mut out, "history", channel);
            push_position(&mut out, *position);
            push_kept(&mut out, publications);
        }
        Reply::UserData { user, data } => {
            _ = write!(out, r#""user_data":{{"user":{user},"data":"#);
            push_string(&mut out, data);
            out.push('}');
        }
        Reply::UserStatus { user, last_seen } => push_status(&mut out, *user, *last_seen),
        Reply::Acknowledged => out.push_str(r#""acknowledged":{}"#),
        Reply::Pong => out.push_str(r#""pong":{}"#),
    }
    out.push('}');
    out
}

fn push_connected(out: &mut String, session: u64, user: Option<UserId>, expires: Option<u64>) {
    _ = write!(out, r#""connected":{{"session":{session}"#);
    if let Some(user) = user {
        _ = write!(out, r#","user":{user}"#);
    }
    if let Some(expires) = expires {
        _ = write!(out, r#","expires":{expires}"#);
    }
    out.push('}');
}

fn push_refreshed(out: &mut String, expires: Option<u64>) {
    out.push_str(r#""refreshed":{"#);
    if let Some(expires) = expires {
        _ = write!(out, r#""expires":{expires}"#);
    }
    out.push('}');
}

fn push_published(out: &mut String, offset: Option<u64>, reached: u64) {
    _ = write!(out, r#""published":{{"reached":{reached}"#);
    if let Some(offset) = offset {
        _ = write!(out, r#","offset":{offset}"#);
    }
    out.push('}');
}

fn push_presence(out: &mut String, channel: &ChannelName, members: &[Member]) {
    open_channel(out, "presence", channel);
    out.push_str(r#","members":["#);
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_member(out, member);
    }
    out.push_str("]}");
}

fn push_kept(out: &mut String, publications: &[Kept]) {
    out.push_str(r#","publications":["#);
    for (index, kept) in publications.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        _ = write!(out, r#"{comma}{{"time":{}"#, kept.time_ms);
        push_offsets(out, kept.offsets);
        push_user(out, kept.user);
        push_content(out, &kept.event, &kept.data, kept.data_is_json);
        out.push('}');
    }
    out.push_str("]}");
}

fn push_status(out: &mut String, user: UserId, last_seen: Option<u64>) {
    _ = write!(
        out,
        r#""user_status":{{"user":{user},"online":{}"#,
        last_seen.is_none()
    );
    if let Some(time) = last_seen.filter(|time| *time > 0) {
        _ = write!(out, r#","last_seen":{time}"#);
    }
    out.push('}');
}

/// Opens `"<kind>":{"channel":"…"`, which the caller closes.
fn open_channel(out: &mut String, kind: &str, channel: &ChannelName) {
    _ = write!(out, r#""{kind}":{{"channel":"#);
    push_string(out, channel.as_str());
}

fn push_member(out: &mut String, member: &Member) {
    out.push('{');
    if let Some(user) = member.user {
        _ = write!(out, r#""user":{user},"#);
    }
    out.push_str(r#""uuid":"#);
    push_string(out, &member.uuid);
    out.push('}');
}

fn push_content(out: &mut String, event: &str, data: &str, data_is_json: bool) {
    if !event.is_empty() {
        out.push_str(r#","event":"#);
        push_string(out, event);
    }
    out.push_str(r#","data":"#);
    if data_is_json {
        out.push_str(data);
    } else {
        push_string(out, data);
    }
}

fn push_origin(out: &mut String, time_ms: u64, user: Option<UserId>) {
    _ = write!(out, r#","time":{time_ms}"#);
    push_user(out, user);
}

fn push_user(out: &mut String, user: Option<UserId>) {
    if let Some(user) = user {
        _ = write!(out, r#","user":{user}"#);
    }
}

fn push_offsets(out: &mut String, offsets: Option<(u64, u64)>) {
    if let Some((offset, previous)) = offsets {
        _ = write!(out, r#","offset":{offset},"previous":{previous}"#);
    }
}

fn push_position(out: &mut String, position: Option<Position>) {
    if let Some(position) = position {
        _ = write!(
            out,
            r#","epoch":"{}","offset":{}"#,
            position.epoch, position.offset
        );
    }
}

fn push_error(out: &mut String, code: ErrorCode, message: &str) {
    _ = write!(out, r#","error":{{"code":"{}","message":"#, code.as_str());
    push_string(out, message);
    out.push('}');
}

/// A text as a JSON string, quotes included.
#[must_use]
pub fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a str always becomes JSON text")
}

fn push_string(out: &mut String, text: &str) {
    out.push_str(&json_string(text));
}

#[cfg(test)]
mod tests {
    use super::super::Epoch;
    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    fn view<'a>(
        channel: &'a ChannelName,
        data: &'a str,
        data_is_json: bool,
    ) -> PublicationView<'a> {
        PublicationView {
            channel,
            event: "e1",
            data,
            data_is_json,
            offsets: Some((2, 1)),
            time_ms: 5,
            user: UserId::new(7),
            request: None,
        }
    }

    fn kept(offsets: Option<(u64, u64)>, data: &str, data_is_json: bool) -> Kept {
        let data = data.into();
        Kept {
            event: String::new(),
            data,
            data_is_json,
            offsets,
            time_ms: 5,
            user: None,
        }
    }

    #[test]
    fn publications() {
        let channel = name("web_a");
        insta::assert_snapshot!(encode_publication(view(&channel, r#"{"a": 1}"#, true)), @r#"{"push":"publication","channel":"web_a","event":"e1","data":{"a": 1},"offset":2,"previous":1,"time":5,"user":7}"#);
        let text = view(&channel, "it's \"x\"\n", false);
        let own = PublicationView {
            request: Some(9),
            offsets: None,
            user: None,
            event: "",
            ..text
        };
        insta::assert_snapshot!(encode_publication(own), @r#"{"push":"publication","channel":"web_a","data":"it's \"x\"\n","time":5,"request":9}"#);
    }

    #[test]
    fn pushes() {
        let member = Member {
            user: UserId::new(3),
            uuid: "u-1".into(),
        };
        insta::assert_snapshot!(encode_presence_event(&name("track_a"), true, &member), @r#"{"push":"join","channel":"track_a","member":{"user":3,"uuid":"u-1"}}"#);
        insta::assert_snapshot!(encode_inbox_message("hi", "[1]", true, 4, 5), @r#"{"push":"message","event":"hi","data":[1],"offset":4,"time":5}"#);
        insta::assert_snapshot!(encode_gap(&name("web_a")), @r#"{"push":"gap","channel":"web_a"}"#);
        insta::assert_snapshot!(encode_unsubscribed(&name("web_a"), ErrorCode::PermissionDenied, "rule"), @r#"{"push":"unsubscribed","channel":"web_a","error":{"code":"permission_denied","message":"rule"}}"#);
        insta::assert_snapshot!(encode_error(3, ErrorCode::BadName, "is too short", Some("ab")), @r#"{"id":3,"error":{"code":"bad_name","message":"is too short"},"channel":"ab"}"#);
        insta::assert_snapshot!(encode_refusal(3, ErrorCode::RateLimited, "slow down", Some(250), Some("web_a")), @r#"{"id":3,"error":{"code":"rate_limited","message":"slow down","retry_after_ms":250},"channel":"web_a"}"#);
    }

    #[test]
    fn replies() {
        let position = Some(Position {
            epoch: Epoch(16),
            offset: 2,
        });
        let replies = [
            Reply::Connected {
                session: 1,
                user: UserId::new(2),
                expires: Some(3),
            },
            Reply::Refreshed { expires: None },
            Reply::Subscribed {
                channel: name("web_a"),
                position,
                recovered: true,
                replayed: 1,
            },
            Reply::Unsubscribed {
                channel: name("web_a"),
            },
            Reply::Published {
                offset: Some(1),
                reached: 2,
            },
            Reply::Presence {
                channel: name("track_a"),
                members: vec![Member {
                    user: None,
                    uuid: String::new(),
                }],
            },
            Reply::PresenceCount {
                channel: name("track_a"),
                count: 4,
            },
            Reply::History {
                channel: name("web_a"),
                position,
                publications: vec![kept(Some((1, 0)), "{}", true), kept(None, "x", false)],
            },
            Reply::UserData {
                user: UserId::new(5).unwrap(),
                data: "x".into(),
            },
            Reply::UserStatus {
                user: UserId::new(5).unwrap(),
                last_seen: Some(9),
            },
            Reply::Acknowledged,
            Reply::Pong,
        ];
        let all: Vec<_> = replies.iter().map(|reply| encode_reply(1, reply)).collect();
        for line in &all {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        insta::assert_snapshot!(all.join("\n"), @r#"
        {"id":1,"connected":{"session":1,"user":2,"expires":3}}
        {"id":1,"refreshed":{}}
        {"id":1,"subscribed":{"channel":"web_a","epoch":"0000000000000010","offset":2,"recovered":true,"replayed":1}}
        {"id":1,"unsubscribed":{"channel":"web_a"}}
        {"id":1,"published":{"reached":2,"offset":1}}
        {"id":1,"presence":{"channel":"track_a","members":[{"uuid":""}]}}
        {"id":1,"presence_count":{"channel":"track_a","count":4}}
        {"id":1,"history":{"channel":"web_a","epoch":"0000000000000010","offset":2,"publications":[{"time":5,"offset":1,"previous":0,"data":{}},{"time":5,"data":"x"}]}}
        {"id":1,"user_data":{"user":5,"data":"x"}}
        {"id":1,"user_status":{"user":5,"online":false,"last_seen":9}}
        {"id":1,"acknowledged":{}}
        {"id":1,"pong":{}}
        "#);
    }
}
