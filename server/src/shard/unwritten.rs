//! Which publications and private messages wait in an outbox. Read from the frames themselves, when somebody asks or when
//! a connection ends with frames unwritten: so nothing is noted when they are put there.

use bytes::Bytes;
use cometql_engine::{Conflated, ConnectionId, Outbox};
use cometql_protocol::{ChannelName, TenantId, UserId};

use super::codec::Codec;

/// So many frames of an outbox are read when it is lost: behind them mostly come more of the same channels.
const LOOK: usize = 4096;
/// The longest that may follow a payload in a publication's text: five numbers with their names.
const TAIL: usize = 160;

/// A message, of which somebody wants to know where it is.
#[derive(Debug, Clone)]
pub(crate) struct Sought {
    /// Whose user.
    pub(crate) tenant: TenantId,
    /// The user who was to get it.
    pub(crate) user: UserId,
    /// The channel; `None` = a private message.
    pub(crate) channel: Option<ChannelName>,
    /// Its offset there.
    pub(crate) offset: u64,
    /// When it was sent, unix milliseconds.
    pub(crate) time_ms: u64,
}

/// Where a message is that was handed to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InOutbox {
    /// Not in the outbox: written, if it was handed over at all.
    No,
    /// It waits for the socket.
    Waits,
    /// A newer one waits in its place.
    Conflated,
}

/// How a connection stands to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// Which connection.
    pub(crate) connection: ConnectionId,
    /// Since when its socket takes less than there is, unix milliseconds; 0 = it takes all.
    pub(crate) stuck_ms: u64,
    /// Where the message is.
    pub(crate) place: InOutbox,
}

/// What a frame says about itself, beside its payload.
#[derive(Debug, PartialEq, Eq)]
struct Mark<'a> {
    /// `None` = a private message.
    channel: Option<&'a str>,
    offset: u64,
    time_ms: u64,
}

/// Where a message is, as the frames of an outbox tell.
pub(super) fn find(codec: &Codec, frames: &[Bytes], stuck_ms: u64, sought: &Sought) -> InOutbox {
    let channel = sought.channel.as_ref().map(ChannelName::as_str);
    let is_it = |frame: &Bytes| match codec.text_of(frame) {
        Some(text) => mark(text).is_some_and(|mark| {
            (mark.channel, mark.offset, mark.time_ms) == (channel, sought.offset, sought.time_ms)
        }),
        // The original's frames have no offsets: only the time can tell.
        None => sought.channel.is_some() && sought.time_ms >= stuck_ms,
    };
    if frames.iter().any(is_it) {
        InOutbox::Waits
    } else {
        InOutbox::No
    }
}

/// What is lost with the frames of an outbox, and with what was conflated. `since_ms`: nothing is older.
pub(super) fn lost<'a>(
    codec: &Codec,
    frames: impl Iterator<Item = &'a Bytes>,
    conflated: Option<&Conflated>,
    since_ms: u64,
) -> Vec<Outbox> {
    let mut spans: Vec<(Option<&str>, u64, u64)> = Vec::new();
    let mut note =
        |channel, from: u64, to: u64| match spans.iter_mut().find(|span| span.0 == channel) {
            Some((_, first, last)) => (*first, *last) = (from.min(*first), to.max(*last)),
            None => spans.push((channel, from, to)),
        };
    let mut unread = false;
    for (at, frame) in frames.enumerate() {
        let Some(text) = codec.text_of(frame).filter(|_| at < LOOK) else {
            unread = true;
            break;
        };
        if let Some(mark) = mark(text) {
            note(mark.channel, mark.offset, mark.offset);
        }
    }
    for (channel, from, to) in conflated.map(Conflated::spans).unwrap_or_default() {
        note(Some(channel.as_str()), from, to);
    }
    let dropped = |(channel, from, to): (Option<&str>, u64, u64)| {
        let channel = channel.map(ChannelName::parse).transpose().ok()?;
        Some(Outbox::Dropped(channel, from, to))
    };
    let mut lost: Vec<_> = spans.into_iter().filter_map(dropped).collect();
    lost.extend(unread.then_some(Outbox::DroppedSince(since_ms)));
    lost
}

/// Reads a push of our protocol from both ends: the payload between them may be long, and may look like anything.
/// `None` for other messages, and for publications without offsets.
fn mark(text: &[u8]) -> Option<Mark<'_>> {
    let channel = if let Some(rest) = text.strip_prefix(br#"{"push":"publication","channel":""#) {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        Some(std::str::from_utf8(&rest[..end]).ok()?)
    } else {
        text.strip_prefix(br#"{"push":"message","#)?;
        None
    };
    let tail = &text[text.len().saturating_sub(TAIL)..];
    let at = tail
        .windows(OFFSET.len())
        .rposition(|window| window == OFFSET)?;
    let (offset, rest) = number(&tail[at..], OFFSET)?;
    let rest = optional(rest, br#","previous":"#);
    let (time_ms, rest) = number(rest, br#","time":"#)?;
    let rest = optional(rest, br#","user":"#);
    let rest = optional(rest, br#","request":"#);
    (rest == b"}").then_some(Mark {
        channel,
        offset,
        time_ms,
    })
}

const OFFSET: &[u8] = br#","offset":"#;

/// A number behind its name, and the rest.
fn number<'a>(text: &'a [u8], name: &[u8]) -> Option<(u64, &'a [u8])> {
    let text = text.strip_prefix(name)?;
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let digits = std::str::from_utf8(&text[..end]).ok()?;
    Some((digits.parse().ok()?, &text[end..]))
}

fn optional<'a>(text: &'a [u8], name: &[u8]) -> &'a [u8] {
    number(text, name).map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use cometql_protocol::wire::{self, PublicationView};
    use proptest::prelude::*;

    use super::*;
    use crate::http::sse::Stream;
    use crate::websocket::frame;

    fn view<'a>(
        channel: &'a ChannelName,
        data: &'a str,
        offset: Option<u64>,
    ) -> PublicationView<'a> {
        PublicationView {
            channel,
            event: "e",
            data,
            data_is_json: wire::is_json_container(data),
            offsets: offset.map(|offset| (offset, offset - 1)),
            time_ms: 1_700_000_000_000,
            user: UserId::new(5),
            request: Some(u32::MAX),
        }
    }

    fn events() -> Codec {
        Codec::Events(Box::new(Stream::new(String::new(), Vec::new())))
    }

    #[track_caller]
    fn check(text: &str, channel: Option<&str>, offset: Option<u64>) {
        let expected = offset.map(|offset| Mark {
            channel,
            offset,
            time_ms: 1_700_000_000_000,
        });
        for (codec, frame) in [
            (Codec::WebSocket, frame::text(text)),
            (events(), Stream::event(text)),
        ] {
            assert_eq!(codec.text_of(&frame).and_then(mark), expected, "{text}");
        }
    }

    #[test]
    fn marks_are_read_around_payloads_that_look_like_them() {
        let channel = ChannelName::parse("web_a").unwrap();
        let payloads = [
            "",
            "x",
            r#"{"a":1,"offset":7,"previous":6,"time":1}"#,
            r#","offset":7,"previous":6,"time":1}"#,
            "two\nlines",
            &"long".repeat(40_000),
        ];
        for data in payloads {
            for offset in [Some(1), Some(u64::MAX), None] {
                let text = wire::encode_publication(view(&channel, data, offset));
                check(&text, Some("web_a"), offset);
                if let Some(offset) = offset {
                    let json = wire::is_json_container(data);
                    let time_ms = 1_700_000_000_000;
                    let text = wire::encode_inbox_message("e", data, json, offset, time_ms);
                    check(&text, None, Some(offset));
                }
            }
        }
        check(r#"{"id":1,"pong":{}}"#, None, None);
    }

    #[test]
    fn what_is_lost_is_told_by_channel() {
        let frame = |name: &str, offset| {
            let channel = ChannelName::parse(name).unwrap();
            frame::text(&wire::encode_publication(view(&channel, "x", Some(offset))))
        };
        let frames = [
            frame::ping(),
            frame("web_a", 7),
            frame("web_b", 3),
            frame("web_a", 8),
        ];
        let dropped = |name: &str, from, to| {
            let channel = ChannelName::parse(name).unwrap();
            Outbox::Dropped(Some(channel), from, to)
        };
        assert_eq!(
            lost(&Codec::WebSocket, frames.iter(), None, 5),
            [dropped("web_a", 7, 8), dropped("web_b", 3, 3)]
        );
        let many = vec![frame("web_a", 1); LOOK + 1];
        assert_eq!(
            lost(&Codec::WebSocket, many.iter(), None, 5),
            [dropped("web_a", 1, 1), Outbox::DroppedSince(5)]
        );
        assert_eq!(lost(&Codec::WebSocket, [].iter(), None, 5), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            mark(&bytes);
            for codec in [Codec::WebSocket, events()] {
                codec.text_of(&bytes);
            }
        }

        #[test]
        fn any_payload_is_read_around(data in any::<String>(), offset in 1..u64::MAX) {
            let channel = ChannelName::parse("web_a").unwrap();
            let text = wire::encode_publication(view(&channel, &data, Some(offset)));
            prop_assert_eq!(mark(text.as_bytes()).unwrap().offset, offset);
            let text = wire::encode_publication(view(&channel, &data, None));
            prop_assert_eq!(mark(text.as_bytes()), None);
        }
    }
}
