//! Requests on their way: their ids, what each one asked, and the frames that carry them. Knows nothing of answers.

use litemap::LiteMap;

use super::{Effects, Publish, TabId};
use crate::wire::Position;

/// Lines are joined into frames of about this many bytes: a page that comes back subscribes in one frame, and a frame
/// stays below what a server takes.
const FRAME_BYTES: usize = 16 << 10;

/// What a request asked, so that its reply finds who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Connect,
    Refresh,
    Subscribe { channel: String },
    Unsubscribe,
    Publish { serial: u64 },
    Question { serial: u64 },
    Acknowledge { up_to: u64 },
    Ping,
}

/// Requests without a reply, and lines that wait for the end of the input that caused them.
#[derive(Debug, Default)]
pub(super) struct Requests {
    last: u32,
    open: LiteMap<u32, Asked>,
    frame: String,
}

impl Requests {
    /// Sends a request, `body` being `"kind":…`; returns its id.
    pub(super) fn ask(&mut self, asked: Asked, body: &str, effects: &mut impl Effects) -> u32 {
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.open.insert(self.last, asked);
        if !self.frame.is_empty() && self.frame.len() + body.len() > FRAME_BYTES {
            self.flush(effects);
        }
        if !self.frame.is_empty() {
            self.frame.push('\n');
        }
        self.frame
            .push_str(&format!(r#"{{"id":{},{body}}}"#, self.last));
        self.last
    }

    /// A reply came: what it answers. A list of channels is never asked at once, so one reply is all.
    pub(super) fn answered(&mut self, id: u32) -> Option<Asked> {
        self.open.remove(&id)
    }

    /// Whether a subscription waits for its answer.
    pub(super) fn has_subscription(&self) -> bool {
        let mut open = self.open.values();
        open.any(|asked| matches!(asked, Asked::Subscribe { .. }))
    }

    /// Nobody waits for this one any more.
    pub(super) fn forget(&mut self, id: u32) {
        self.open.remove(&id);
    }

    /// The connection is gone, and all replies with it.
    pub(super) fn lost(&mut self) {
        self.open.clear();
        self.frame.clear();
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self, effects: &mut impl Effects) {
        if !self.frame.is_empty() {
            effects.send(&self.frame);
            self.frame.clear();
        }
    }
}

/// `"subscribe":…`
pub(super) fn subscribe(
    channel: &str,
    since: Option<Position>,
    effects: &mut impl Effects,
) -> String {
    let mut body = String::from(r#""subscribe":{"channel":"#);
    body.push_str(&effects.json_string(channel));
    push_position(&mut body, since);
    body.push('}');
    body
}

/// `"unsubscribe":…`
pub(super) fn unsubscribe(channel: &str, effects: &mut impl Effects) -> String {
    let mut body = String::from(r#""unsubscribe":"#);
    body.push_str(&effects.json_string(channel));
    body
}

/// `"publish":…`, with an id by which the server knows it again.
pub(super) fn publish(content: &Publish<'_>, effects: &mut impl Effects) -> String {
    let id = match content.id {
        Some(id) => id.to_owned(),
        None => uuid((effects.random(), effects.random())),
    };
    let mut body = format!(
        r#""publish":{{"id":{},"channel":"#,
        effects.json_string(&id)
    );
    body.push_str(&effects.json_string(content.channel));
    if !content.event.is_empty() {
        body.push_str(r#","event":"#);
        body.push_str(&effects.json_string(content.event));
    }
    body.push_str(r#","data":"#);
    body.push_str(content.data);
    body.push('}');
    body
}

/// Random bits as a UUID (RFC 9562 version 4).
fn uuid((high, low): (u64, u64)) -> String {
    let high = high & !(0xf << 12) | 4 << 12;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let (time, middle, version) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    let (variant, node) = (low >> 48, low & 0xffff_ffff_ffff);
    format!("{time:08x}-{middle:04x}-{version:04x}-{variant:04x}-{node:012x}")
}

/// What a tab may ask once, and is answered once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Who is in a channel.
    Presence(String),
    /// How many are in a channel.
    PresenceCount(String),
    /// Kept publications.
    History {
        /// The channel.
        channel: String,
        /// Only those after this position.
        since: Option<Position>,
        /// At most so many, the newest.
        limit: Option<u32>,
    },
    /// What a backend stored for a user.
    UserData(u64),
    /// Whether a user is online.
    UserStatus(u64),
}

impl Question {
    /// The request's body.
    pub(super) fn body(&self, effects: &mut impl Effects) -> String {
        let mut of_channel = |kind: &str, channel: &str| {
            let mut body = format!(r#""{kind}":{{"channel":"#);
            body.push_str(&effects.json_string(channel));
            body
        };
        match self {
            Self::Presence(channel) => of_channel("presence", channel) + "}",
            Self::PresenceCount(channel) => of_channel("presence_count", channel) + "}",
            Self::History {
                channel,
                since,
                limit,
            } => {
                let mut body = of_channel("history", channel);
                push_position(&mut body, *since);
                if let Some(limit) = limit {
                    body.push_str(&format!(r#","limit":{limit}"#));
                }
                body + "}"
            }
            Self::UserData(user) => format!(r#""user_data":{{"user":{user}}}"#),
            Self::UserStatus(user) => format!(r#""user_status":{{"user":{user}}}"#),
        }
    }
}

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caller {
    pub(super) tab: TabId,
    pub(super) call: u32,
}

fn push_position(body: &mut String, position: Option<Position>) {
    if let Some(Position { epoch, offset }) = position {
        body.push_str(&format!(r#","epoch":"{epoch}","offset":{offset}"#));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Record;
    use super::*;
    use crate::wire::{Epoch, decode_requests};

    /// What the server understands.
    #[track_caller]
    fn check(body: &str, expected: &str) {
        let line = format!(r#"{{"id":1,{body}}}"#);
        let request = decode_requests(&line).remove(0);
        let request = request.unwrap_or_else(|error| panic!("{line}: {}", error.message));
        assert_eq!(format!("{:?}", request.body), expected, "{line}");
    }

    #[test]
    fn bodies_are_what_the_server_reads() {
        let mut effects = Record::default();
        let since = Some(Position {
            epoch: Epoch(255),
            offset: 4,
        });
        check(
            &subscribe("web_a", None, &mut effects),
            r#"Subscribe(Subscribe { channel: "web_a", since: None })"#,
        );
        check(
            &subscribe("web_a", since, &mut effects),
            r#"Subscribe(Subscribe { channel: "web_a", since: Some(Position { epoch: Epoch(255), offset: 4 }) })"#,
        );
        check(
            &unsubscribe("a\"b", &mut effects),
            r#"Unsubscribe { channel: "a\"b" }"#,
        );
        let history = Question::History {
            channel: "web_a".into(),
            since,
            limit: Some(3),
        };
        check(
            &history.body(&mut effects),
            r#"History(History { channel: "web_a", since: Some(Position { epoch: Epoch(255), offset: 4 }), limit: Some(3) })"#,
        );
        check(
            &Question::PresenceCount("web_a".into()).body(&mut effects),
            r#"PresenceCount { channel: "web_a" }"#,
        );
        check(
            &Question::UserData(7).body(&mut effects),
            "UserData { user: 7 }",
        );
        check(
            &Question::UserStatus(7).body(&mut effects),
            "UserStatus { user: 7 }",
        );
        let content = Publish {
            channel: "web_a",
            event: "said",
            data: r#"{"a":"\n"}"#,
            id: Some("00000000-0000-4000-8000-0000000000ff"),
        };
        assert_eq!(
            publish(&content, &mut effects),
            r#""publish":{"id":"00000000-0000-4000-8000-0000000000ff","channel":"web_a","event":"said","data":{"a":"\n"}}"#
        );
        assert_eq!(uuid((0, 255)), "00000000-0000-4000-8000-0000000000ff");
    }

    #[test]
    fn lines_share_frames_up_to_a_size() {
        let (mut requests, mut effects) = (Requests::default(), Record::default());
        let long = "x".repeat(FRAME_BYTES);
        for channel in ["web_a", "web_b", &long] {
            let body = unsubscribe(channel, &mut effects);
            requests.ask(Asked::Unsubscribe, &body, &mut effects);
        }
        requests.flush(&mut effects);
        let sent = effects.take_sent();
        assert_eq!(sent.len(), 2);
        assert_eq!(
            sent[0],
            "{\"id\":1,\"unsubscribe\":\"web_a\"}\n{\"id\":2,\"unsubscribe\":\"web_b\"}"
        );
        assert_eq!(requests.answered(2), Some(Asked::Unsubscribe));
        assert_eq!(requests.answered(2), None);
    }
}
