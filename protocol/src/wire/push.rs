//! From a server's push to what an application is told of it, for clients that have serde. What a session must know of
//! the same frame is read by `incoming.rs`; who is there and what a payload means is not judged here.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Member;
use crate::UserId;

/// What a push brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// A publication or a private message.
    Content {
        /// The label, may be empty.
        event: String,
        /// The payload as it was published: a JSON object or array as its text, anything else as the text itself.
        data: String,
        /// When it was published, unix milliseconds.
        time_ms: u64,
        /// The sender, where it is a logged-in browser that did not hide itself.
        user: Option<UserId>,
    },
    /// Somebody joined or left.
    Presence {
        /// Joined.
        joined: bool,
        /// Who.
        member: Member,
    },
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    push: Cow<'a, str>,
    #[serde(default)]
    event: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    time: u64,
    user: Option<u64>,
    member: Option<Who>,
}

#[derive(Deserialize)]
struct Who {
    user: Option<u64>,
    #[serde(default)]
    uuid: String,
}

/// Reads a push; `None` when it is none of these.
#[must_use]
pub fn decode_push(text: &str) -> Option<Push> {
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    match &*frame.push {
        "publication" | "message" => Some(Push::Content {
            event: frame.event,
            data: payload(frame.data?)?,
            time_ms: frame.time,
            user: frame.user.and_then(UserId::new),
        }),
        kind @ ("join" | "leave") => {
            let who = frame.member?;
            Some(Push::Presence {
                joined: kind == "join",
                member: Member {
                    user: who.user.and_then(UserId::new),
                    uuid: who.uuid,
                },
            })
        }
        _ => None,
    }
}

/// A string is the text that it stands for; everything else stays as it came.
fn payload(data: &RawValue) -> Option<String> {
    let text = data.get();
    if text.starts_with('"') {
        serde_json::from_str(text).ok()
    } else {
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        self as wire, PublicationView, encode_inbox_message, encode_presence_event,
        encode_publication,
    };
    use super::*;
    use crate::ChannelName;

    fn content(event: &str, data: &str, time_ms: u64, user: Option<u64>) -> Push {
        Push::Content {
            event: event.into(),
            data: data.into(),
            time_ms,
            user: user.and_then(UserId::new),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<Push>) {
        assert_eq!(decode_push(text), expected, "{text}");
    }

    #[test]
    fn pushes() {
        check(
            r#"{"push":"publication","channel":"web_a","event":"said","data":{ "a": "\u0441" },"offset":5,"previous":4,"time":7,"user":2}"#,
            Some(content("said", r#"{ "a": "\u0441" }"#, 7, Some(2))),
        );
        check(
            r#"{"push":"message","data":"a\"b","offset":4,"time":5}"#,
            Some(content("", "a\"b", 5, None)),
        );
        for text in [
            "hello",
            r#"{"id":1,"pong":{}}"#,
            r#"{"push":"gap","channel":"web_a"}"#,
            r#"{"push":"message","offset":4}"#,
            r#"{"push":"join","channel":"track_a"}"#,
        ] {
            check(text, None);
        }
    }

    #[test]
    fn joins_and_leaves() {
        let channel = ChannelName::parse("track_a").unwrap();
        for (joined, user, uuid) in [(true, Some(7), "b-1"), (false, None, "")] {
            let member = Member {
                user: user.and_then(UserId::new),
                uuid: uuid.into(),
            };
            let text = encode_presence_event(&channel, joined, &member);
            check(&text, Some(Push::Presence { joined, member }));
        }
    }

    proptest! {
        #[test]
        fn what_is_published_is_what_is_read(
            event in "[a-z ]{0,9}",
            data in prop_oneof![".*", Just(r#"{"a":[1,"x"]}"#.to_owned()), Just("[]".to_owned())],
            time_ms in 0..1_u64 << 53,
            user in prop::option::of(1..1_u64 << 53),
        ) {
            let channel = ChannelName::parse("web_a").unwrap();
            let text = encode_publication(PublicationView {
                channel: &channel,
                event: &event,
                data: &data,
                data_is_json: wire::is_json_container(&data),
                offsets: Some((2, 1)),
                time_ms,
                user: user.and_then(UserId::new),
                request: None,
            });
            prop_assert_eq!(decode_push(&text), Some(content(&event, &data, time_ms, user)));
            let text = encode_inbox_message(&event, &data, wire::is_json_container(&data), 9, time_ms);
            prop_assert_eq!(decode_push(&text), Some(content(&event, &data, time_ms, None)));
        }
    }
}
