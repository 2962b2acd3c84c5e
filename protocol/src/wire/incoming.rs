//! From a server's text frame to what a client's session must know of it, for shells that have serde. A browser has
//! `JSON.parse` instead: `client-wasm/src/frame.rs` reads the same fields with it.

use serde::Deserialize;

use super::Position;
use crate::client::{Incoming, Refusal, Reply, Subscribed};

/// All fields that concern a session; whatever else is there is the tabs'.
#[derive(Deserialize)]
struct Frame {
    push: Option<String>,
    channel: Option<String>,
    offset: Option<u64>,
    previous: Option<u64>,
    id: Option<u32>,
    error: Option<Error>,
    connected: Option<Session>,
    refreshed: Option<Session>,
    subscribed: Option<Subscription>,
}

#[derive(Deserialize)]
struct Error {
    code: String,
    message: String,
    retry_after_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Session {
    expires: Option<u64>,
}

#[derive(Deserialize)]
struct Subscription {
    epoch: Option<String>,
    offset: Option<u64>,
    recovered: bool,
    replayed: u64,
}

/// Reads a frame of the server; `None` when it is none of version 1, or of a kind that only newer clients know.
#[must_use]
pub fn decode_incoming(text: &str) -> Option<Incoming> {
    let mut frame: Frame = serde_json::from_str(text).ok()?;
    match frame.push.take() {
        Some(kind) => push(&kind, frame),
        None => Some(Incoming::Reply(frame.id?, reply(frame))),
    }
}

fn push(kind: &str, frame: Frame) -> Option<Incoming> {
    match kind {
        "publication" => {
            let offsets = frame.offset.zip(frame.previous);
            Some(Incoming::Publication(frame.channel?, offsets))
        }
        "message" => frame.offset.map(Incoming::Message),
        "join" | "leave" => frame.channel.map(Incoming::Presence),
        "gap" => frame.channel.map(Incoming::Gap),
        "unsubscribed" => {
            let refusal = frame.error?.into();
            Some(Incoming::Unsubscribed(frame.channel?, refusal))
        }
        _ => None,
    }
}

fn reply(frame: Frame) -> Reply {
    if let Some(error) = frame.error {
        return Reply::Refused(error.into());
    }
    if let Some(Session { expires }) = frame.connected {
        return Reply::Connected { expires };
    }
    if let Some(Session { expires }) = frame.refreshed {
        return Reply::Refreshed { expires };
    }
    frame.subscribed.map_or(Reply::Answer, |subscription| {
        Reply::Subscribed(subscription.into())
    })
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retry_after_ms: error.retry_after_ms,
        }
    }
}

impl From<Subscription> for Subscribed {
    fn from(subscription: Subscription) -> Self {
        let epoch = subscription.epoch.and_then(|epoch| epoch.parse().ok());
        let position = epoch.zip(subscription.offset);
        Self {
            position: position.map(|(epoch, offset)| Position { epoch, offset }),
            recovered: subscription.recovered,
            replayed: subscription.replayed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{self as wire, Epoch, encode_error, encode_refusal, encode_reply};
    use super::*;
    use crate::{ChannelName, ErrorCode};

    #[track_caller]
    fn check(text: &str, expected: &Incoming) {
        assert_eq!(decode_incoming(text).as_ref(), Some(expected), "{text}");
    }

    fn refusal(code: &str, message: &str, retry_after_ms: Option<u64>) -> Refusal {
        Refusal {
            code: code.into(),
            message: message.into(),
            retry_after_ms,
        }
    }

    #[test]
    fn replies_as_the_server_writes_them() {
        let position = Some(Position {
            epoch: Epoch(255),
            offset: 43,
        });
        let channel = ChannelName::parse("web_a").unwrap();
        let subscribed = wire::Reply::Subscribed {
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
        let connected = wire::Reply::Connected {
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
            &encode_reply(2, &wire::Reply::Refreshed { expires }),
            &Incoming::Reply(2, Reply::Refreshed { expires }),
        );
        check(
            &encode_reply(4, &wire::Reply::Unsubscribed { channel }),
            &Incoming::Reply(4, Reply::Answer),
        );
    }

    #[test]
    fn refusals_as_the_server_writes_them() {
        check(
            &encode_error(5, ErrorCode::BadName, "is \"too\" short", Some("ab")),
            &Incoming::Reply(
                5,
                Reply::Refused(refusal("bad_name", "is \"too\" short", None)),
            ),
        );
        check(
            &encode_refusal(6, ErrorCode::RateLimited, "m", Some(50), None),
            &Incoming::Reply(6, Reply::Refused(refusal("rate_limited", "m", Some(50)))),
        );
    }

    #[test]
    fn pushes() {
        check(
            r#"{"push":"publication","channel":"web_a","data":{"push":"x"},"offset":5,"previous":4,"time":1}"#,
            &Incoming::Publication("web_a".into(), Some((5, 4))),
        );
        check(
            r#"{"push":"publication","channel":"live","data":"}{","time":1}"#,
            &Incoming::Publication("live".into(), None),
        );
        check(
            r#"{"push":"message","data":[1],"offset":4,"time":5}"#,
            &Incoming::Message(4),
        );
        check(
            r#"{"push":"leave","channel":"track_a","member":{"uuid":""}}"#,
            &Incoming::Presence("track_a".into()),
        );
        check(
            r#"{"push":"gap","channel":"web_a"}"#,
            &Incoming::Gap("web_a".into()),
        );
        check(
            r#"{"push":"unsubscribed","channel":"a_1","error":{"code":"permission_denied","message":"m"}}"#,
            &Incoming::Unsubscribed("a_1".into(), refusal("permission_denied", "m", None)),
        );
    }

    #[test]
    fn what_is_not_understood_is_nothing() {
        for text in [
            "",
            "hello",
            "null",
            "5",
            "[]",
            "{}",
            r#"{"id":-1}"#,
            r#"{"push":"dance"}"#,
            r#"{"push":"join"}"#,
            r#"{"push":"message"}"#,
        ] {
            assert_eq!(decode_incoming(text), None, "{text}");
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
                    assert!(decode_incoming(line).is_some(), "{line}");
                    read_any += 1;
                }
            }
        }
        assert!(read_any > 15, "{read_any}");
    }
}
