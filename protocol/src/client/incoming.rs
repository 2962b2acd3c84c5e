//! What the server says, as far as the session must understand it. Everything else goes to the tabs as it came.

use super::json::{field, fields, name, string};
use crate::wire::Position;

/// One reply or push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming<'a> {
    /// To the request with this id.
    Reply(u32, Reply),
    /// In this channel, with its offset and the one before where the channel has history.
    Publication(&'a str, Option<(u64, u64)>),
    /// A private message at this offset of the inbox.
    Message(u64),
    /// Somebody joined or left this channel.
    Presence(&'a str),
    /// The server ended the subscription to this channel.
    Unsubscribed(&'a str, Refusal),
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// To `connect`: when the session ends unless refreshed, unix seconds.
    Connected { expires: Option<u64> },
    /// To `refresh`, the same.
    Refreshed { expires: Option<u64> },
    /// To `subscribe`.
    Subscribed(Subscribed),
    /// It was refused.
    Refused(Refusal),
    /// Whatever else was asked: the tab reads it.
    Answer,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscribed {
    /// Where the channel is; `None` without history.
    pub(super) position: Option<Position>,
    /// All that came after the position asked for follows.
    pub(super) recovered: bool,
    /// So many publications follow that were missed.
    pub(super) replayed: u64,
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable code: [`ErrorCode::as_str`](crate::ErrorCode::as_str), or one of the client's own (see
    /// `Refusal::timeout` and the others).
    pub code: String,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// `timeout`: the server did not answer in time. A publication may have arrived or not.
    pub(super) fn timeout() -> Self {
        Self::new("timeout", "the server did not answer in time")
    }

    /// `queue_full`: too much waits for a connection already.
    pub(super) fn queue_full() -> Self {
        Self::new("queue_full", "too much waits for the connection already")
    }

    /// `closed`: the session was closed.
    pub(super) fn closed() -> Self {
        Self::new("closed", "the session is closed")
    }

    /// Whether the same may be granted a little later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(&*self.code, "rate_limited" | "unavailable" | "internal")
    }
}

/// Reads a frame of the server; `None` when it is none of version 1, or of a kind that only newer clients know.
pub(super) fn read(text: &str) -> Option<Incoming<'_>> {
    let fields = fields(text)?;
    if let Some(push) = field(&fields, "push") {
        return read_push(name(push)?, &fields);
    }
    let id = field(&fields, "id")?.parse().ok()?;
    Some(Incoming::Reply(id, read_reply(&fields)?))
}

fn read_push<'a>(kind: &str, fields: &[(&str, &'a str)]) -> Option<Incoming<'a>> {
    if kind == "message" {
        return Some(Incoming::Message(number(fields, "offset")?));
    }
    let channel = name(field(fields, "channel")?)?;
    match kind {
        "publication" => {
            let offsets = number(fields, "offset").zip(number(fields, "previous"));
            Some(Incoming::Publication(channel, offsets))
        }
        "join" | "leave" => Some(Incoming::Presence(channel)),
        "unsubscribed" => {
            let refusal = read_refusal(field(fields, "error")?)?;
            Some(Incoming::Unsubscribed(channel, refusal))
        }
        _ => None,
    }
}

fn read_reply(outer: &[(&str, &str)]) -> Option<Reply> {
    if let Some(error) = field(outer, "error") {
        return read_refusal(error).map(Reply::Refused);
    }
    let expires = |inner: &str| Some(number(&fields(inner)?, "expires"));
    if let Some(inner) = field(outer, "connected") {
        return expires(inner).map(|expires| Reply::Connected { expires });
    }
    if let Some(inner) = field(outer, "refreshed") {
        return expires(inner).map(|expires| Reply::Refreshed { expires });
    }
    if let Some(inner) = field(outer, "subscribed") {
        return read_subscribed(inner).map(Reply::Subscribed);
    }
    Some(Reply::Answer)
}

fn read_subscribed(inner: &str) -> Option<Subscribed> {
    let fields = fields(inner)?;
    let epoch = field(&fields, "epoch").and_then(name);
    let epoch = epoch.and_then(|epoch| epoch.parse().ok());
    let position = epoch.zip(number(&fields, "offset"));
    Some(Subscribed {
        position: position.map(|(epoch, offset)| Position { epoch, offset }),
        recovered: field(&fields, "recovered") == Some("true"),
        replayed: number(&fields, "replayed").unwrap_or(0),
    })
}

fn read_refusal(error: &str) -> Option<Refusal> {
    let fields = fields(error)?;
    Some(Refusal {
        code: string(field(&fields, "code")?)?,
        message: string(field(&fields, "message")?)?,
    })
}

fn number(fields: &[(&str, &str)], name: &str) -> Option<u64> {
    field(fields, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Epoch, Reply as Wire, encode_error, encode_reply};
    use crate::{ChannelName, ErrorCode};

    #[track_caller]
    fn check(text: &str, expected: &Incoming<'_>) {
        assert_eq!(read(text).as_ref(), Some(expected), "{text}");
    }

    #[test]
    fn replies_as_the_server_writes_them() {
        let position = Some(Position {
            epoch: Epoch(255),
            offset: 43,
        });
        let channel = ChannelName::parse("web_a").unwrap();
        let subscribed = Wire::Subscribed {
            channel: channel.clone(),
            position,
            recovered: true,
            replayed: 2,
        };
        let expected = Subscribed {
            position,
            recovered: true,
            replayed: 2,
        };
        check(
            &encode_reply(3, &subscribed),
            &Incoming::Reply(3, Reply::Subscribed(expected)),
        );
        let connected = Wire::Connected {
            session: 1,
            user: None,
            expires: Some(9),
        };
        let expires = Some(9);
        check(
            &encode_reply(1, &connected),
            &Incoming::Reply(1, Reply::Connected { expires }),
        );
        let expires = None;
        check(
            &encode_reply(2, &Wire::Refreshed { expires }),
            &Incoming::Reply(2, Reply::Refreshed { expires }),
        );
        check(
            &encode_reply(4, &Wire::Unsubscribed { channel }),
            &Incoming::Reply(4, Reply::Answer),
        );
        let refusal = Refusal::new("bad_name", "is \"too\" short");
        check(
            &encode_error(5, ErrorCode::BadName, "is \"too\" short", Some("ab")),
            &Incoming::Reply(5, Reply::Refused(refusal)),
        );
    }

    #[test]
    fn pushes() {
        check(
            r#"{"push":"publication","channel":"web_a","data":{"push":"x"},"offset":5,"previous":4,"time":1}"#,
            &Incoming::Publication("web_a", Some((5, 4))),
        );
        check(
            r#"{"push":"publication","channel":"live","data":"}{","time":1}"#,
            &Incoming::Publication("live", None),
        );
        check(
            r#"{"push":"message","data":[1],"offset":4,"time":5}"#,
            &Incoming::Message(4),
        );
        check(
            r#"{"push":"leave","channel":"track_a","member":{"uuid":""}}"#,
            &Incoming::Presence("track_a"),
        );
        check(
            r#"{"push":"unsubscribed","channel":"a_1","error":{"code":"permission_denied","message":"m"}}"#,
            &Incoming::Unsubscribed("a_1", Refusal::new("permission_denied", "m")),
        );
    }

    #[test]
    fn what_is_not_understood_is_nothing() {
        for text in [
            "",
            "hello",
            "{}",
            r#"{"push":"dance"}"#,
            r#"{"push":"join"}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// Every example of the documentation is understood.
    #[test]
    fn the_page_of_the_protocol() {
        let page = include_str!("../../../docs-site/reference/browser-protocol.md");
        let mut read_any = 0;
        for kind in ["```json reply\n", "```json push\n"] {
            for block in page.split(kind).skip(1) {
                for line in block.split("```").next().unwrap().lines() {
                    assert!(read(line).is_some(), "{line}");
                    read_any += 1;
                }
            }
        }
        assert!(read_any > 15, "{read_any}");
    }
}
