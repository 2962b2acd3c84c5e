//! What travels as a message of NATS: headers say what is about a payload, the body is the payload as it is. Version 1;
//! unknown headers are ignored. The recorded messages in the tests are a contract with nodes of other versions.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use cometql_engine::publication::{Content, InboxMessage};
use cometql_engine::store::{Keep, Once};
use cometql_engine::{MessageId, Publication};
use cometql_protocol::{EventName, UserId};

const VERSION: &str = "Cometql-V";
const TIME: &str = "Cometql-Time";
const EVENT: &str = "Cometql-Event";
const SENDER: &str = "Cometql-User";
const JSON: &str = "Cometql-Json";
const BROWSER: &str = "Cometql-Browser";
const ONCE: &str = "Cometql-Once";
const DIGEST: &str = "Cometql-Digest";
const NODE: &str = "Cometql-Node";
const ATTEMPT: &str = "Cometql-Try";
const AGE: &str = "Cometql-Age";
const KEEP: &str = "Cometql-Keep";
const LOSSY: &str = "Cometql-Lossy";
const DO: &str = "Cometql-Do";
/// Says that all before it in its subject is removed.
pub(super) const ROLLUP: &str = "Nats-Rollup";

/// A message that is no publication: a note in a channel's log, or one node telling the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// A durable channel was opened that had nothing.
    Open,
    /// Something was delivered that the log lacks.
    Gap,
    /// All before it was deleted.
    Clear,
    /// One publication was deleted.
    Delete(MessageId),
    /// Private messages up to here were acknowledged.
    Removed(u64),
    /// Somebody acknowledged a private message that no log has.
    Taken(MessageId),
}

/// What a message says.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Content(Content),
    Note(Note),
}

/// The headers of a publication or private message.
pub(super) fn headers(content: &Content, node: &str) -> HeaderMap {
    let mut headers = common(node);
    headers.insert(TIME, content.time_ms.to_string());
    if !content.event.as_str().is_empty() {
        headers.insert(EVENT, content.event.as_str());
    }
    if let Some(user) = content.user {
        headers.insert(SENDER, user.get().to_string());
    }
    for (name, is) in [
        (JSON, content.data_is_json),
        (BROWSER, content.from_browser),
        (ONCE, content.once),
    ] {
        if is {
            headers.insert(name, "1");
        }
    }
    headers
}

fn common(node: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(VERSION, "1");
    headers.insert(NODE, node);
    headers
}

/// Headers and body of a publication that no log has; `lossy` = its log should have it.
pub(super) fn unstored(publication: &Publication, node: &str, lossy: bool) -> (HeaderMap, Bytes) {
    let content = Content {
        id: publication.id,
        event: publication.event.clone(),
        data: Arc::clone(&publication.data),
        data_is_json: publication.data_is_json,
        time_ms: publication.time_ms,
        user: publication.user,
        from_browser: publication.from_browser,
        once: publication.once,
    };
    bare(&content, node, lossy)
}

/// Headers and body of a private message that its log should have.
pub(super) fn private(content: &Content, node: &str) -> (HeaderMap, Bytes) {
    bare(content, node, true)
}

fn bare(content: &Content, node: &str, lossy: bool) -> (HeaderMap, Bytes) {
    let mut headers = headers(content, node);
    headers.insert(NATS_MESSAGE_ID, content.id.to_string());
    if lossy {
        headers.insert(LOSSY, "1");
    }
    (headers, Bytes::copy_from_slice(content.data.as_bytes()))
}

/// Adds the id: what a stream knows it by, when it is sent again. Unique within the subject, so the subject's hash stands
/// before it.
pub(super) fn put_id(headers: &mut HeaderMap, subject: &str, id: MessageId) {
    headers.insert(NATS_MESSAGE_ID, format!("{:016x}.{id}", fnv(subject)));
}

/// Adds what tells a message with an id that its sender chose from others with the same id.
pub(super) fn put_once(headers: &mut HeaderMap, once: Once, attempt: u64) {
    headers.insert(DIGEST, format!("{:016x}", once.digest));
    headers.insert(ATTEMPT, format!("{attempt:016x}"));
}

/// What a message with a chosen id has: its digest, and which attempt stored it.
pub(super) fn once(headers: &HeaderMap) -> (Option<u64>, Option<u64>) {
    (hex(headers, DIGEST), hex(headers, ATTEMPT))
}

/// Adds how many publications the channel keeps, and for how long, for who reads them.
pub(super) fn put_keep(headers: &mut HeaderMap, keep: Keep) {
    for (name, most) in [(AGE, keep.age_ms), (KEEP, keep.publications)] {
        if most != u64::MAX {
            headers.insert(name, most.to_string());
        }
    }
}

/// How many publications the channel keeps; `u64::MAX` = all.
pub(super) fn keep(headers: &HeaderMap) -> u64 {
    number(headers, KEEP).unwrap_or(u64::MAX)
}

/// How long the channel keeps its publications; `u64::MAX` = for ever.
pub(super) fn age(headers: &HeaderMap) -> u64 {
    number(headers, AGE).unwrap_or(u64::MAX)
}

/// When it was published, unix milliseconds; `None` for notes.
pub(super) fn time(headers: &HeaderMap) -> Option<u64> {
    number(headers, TIME)
}

/// Whether its log should have it and lacks it.
pub(super) fn is_lossy(headers: &HeaderMap) -> bool {
    headers.get(LOSSY).is_some()
}

/// The headers of a note.
pub(super) fn note(note: Note, node: &str) -> HeaderMap {
    let mut headers = common(node);
    let text = match note {
        Note::Open => "open".to_owned(),
        Note::Gap => "gap".to_owned(),
        Note::Clear => "clear".to_owned(),
        Note::Delete(id) => format!("delete {id}"),
        Note::Removed(up_to) => format!("removed {up_to}"),
        Note::Taken(id) => format!("taken {id}"),
    };
    headers.insert(DO, text);
    if note == Note::Clear {
        headers.insert(ROLLUP, "sub");
    }
    headers
}

/// What a message says; `None` when it is of nobody that we know. A note of a kind that we don't know is a gap: something
/// is said of the history, and we don't know what.
pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Option<Said> {
    if let Some(text) = text(headers, DO) {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        return Some(Said::Note(match what {
            "open" => Note::Open,
            "clear" => Note::Clear,
            "delete" => Note::Delete(id_of(rest)?),
            "removed" => Note::Removed(rest.parse().ok()?),
            "taken" => Note::Taken(id_of(rest)?),
            _ => Note::Gap,
        }));
    }
    let data: Arc<str> = simdutf8::basic::from_utf8(body).ok()?.into();
    let id = text(headers, NATS_MESSAGE_ID.as_ref())?;
    Some(Said::Content(Content {
        id: id_of(id.rsplit('.').next()?)?,
        event: EventName::parse(text(headers, EVENT).unwrap_or_default()).ok()?,
        data,
        data_is_json: headers.get(JSON).is_some(),
        time_ms: number(headers, TIME)?,
        user: number(headers, SENDER).and_then(UserId::new),
        from_browser: headers.get(BROWSER).is_some(),
        once: headers.get(ONCE).is_some(),
    }))
}

/// A private message as its user's devices get it.
pub(super) fn inbox_message(offset: u64, content: Content, waited: bool) -> InboxMessage {
    InboxMessage {
        id: content.id,
        offset,
        event: content.event,
        data: content.data,
        data_is_json: content.data_is_json,
        time_ms: content.time_ms,
        waited,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn hex(headers: &HeaderMap, name: &str) -> Option<u64> {
    u64::from_str_radix(text(headers, name)?, 16).ok()
}

fn id_of(text: &str) -> Option<MessageId> {
    let id = uuid::Uuid::parse_str(text).ok()?;
    Some(MessageId(id.as_u128()))
}

/// FNV-1a: the same on every node of every version.
pub(super) fn fnv(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            id: MessageId(0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4051),
            event: EventName::parse("goal").unwrap(),
            data: "{\"a\":\"ä\"}".into(),
            data_is_json: true,
            time_ms: 1_700_000_000_123,
            user: UserId::new(42),
            from_browser: true,
            once: true,
        }
    }

    /// As NATS writes them, in the order of their names.
    fn written(headers: &HeaderMap) -> String {
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, values)| format!("{name}: {}", values[0]))
            .collect();
        lines.sort();
        lines.join("\n")
    }

    fn full() -> HeaderMap {
        let mut headers = headers(&content(), "n1-00000000");
        put_id(&mut headers, "cometql.w.7.news", content().id);
        put_once(
            &mut headers,
            Once {
                digest: 255,
                until_ms: 0,
            },
            7,
        );
        let keep = Keep {
            publications: 100,
            age_ms: 60_000,
        };
        put_keep(&mut headers, keep);
        headers
    }

    #[test]
    fn a_publication_of_version_1() {
        insta::assert_snapshot!(written(&full()), @"
        Cometql-Age: 60000
        Cometql-Browser: 1
        Cometql-Digest: 00000000000000ff
        Cometql-Event: goal
        Cometql-Json: 1
        Cometql-Keep: 100
        Cometql-Node: n1-00000000
        Cometql-Once: 1
        Cometql-Time: 1700000000123
        Cometql-Try: 0000000000000007
        Cometql-User: 42
        Cometql-V: 1
        Nats-Msg-Id: 583b79a2cab7440f.0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051
        ");
    }

    fn recorded(lines: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
            headers.insert(name, value);
        }
        headers
    }

    #[test]
    fn a_recorded_publication_is_read() {
        let headers = recorded(
            "Cometql-V: 1\nCometql-Node: n9-0a0b0c0d\nCometql-Time: 1700000000123\nCometql-Event: goal\nCometql-User: 42\n\
             Cometql-Json: 1\nCometql-Browser: 1\nCometql-Once: 1\nCometql-Digest: 00000000000000ff\nCometql-Try: 0000000000000007\n\
             Cometql-Age: 60000\nCometql-Keep: 100\nCometql-New: what a later version says\n\
             Nats-Msg-Id: 0123456789abcdef.0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051",
        );
        let Some(Said::Content(read)) = read(&headers, &Bytes::from(content().data.to_string()))
        else {
            panic!("{headers:?}");
        };
        assert_eq!(format!("{read:?}"), format!("{:?}", content()));
        assert_eq!(once(&headers), (Some(255), Some(7)));
        assert_eq!((age(&headers), keep(&headers)), (60_000, 100));
        assert!(!is_lossy(&headers));
    }

    #[track_caller]
    fn check_note(text: &str, expected: Option<Note>) {
        let headers = recorded(&format!("Cometql-Do: {text}"));
        let note = match read(&headers, &Bytes::new()) {
            Some(Said::Note(note)) => Some(note),
            _ => None,
        };
        assert_eq!(note, expected, "{text}");
        if let Some(known) = note.filter(|_| text != "later") {
            assert_eq!(super::text(&super::note(known, "n"), DO), Some(text));
        }
    }

    #[test]
    fn notes() {
        check_note("open", Some(Note::Open));
        check_note("gap", Some(Note::Gap));
        check_note("clear", Some(Note::Clear));
        check_note(
            "delete 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051",
            Some(Note::Delete(content().id)),
        );
        check_note("delete x", None);
        check_note("removed 17", Some(Note::Removed(17)));
        check_note(
            "taken 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051",
            Some(Note::Taken(content().id)),
        );
        check_note("later", Some(Note::Gap));
    }

    #[test]
    fn what_is_nobodys_is_no_publication() {
        assert!(read(&HeaderMap::new(), &Bytes::new()).is_none());
        assert!(read(&full(), &Bytes::from_static(b"\xff")).is_none());
    }

    #[test]
    fn ids_are_of_their_subject() {
        let id = |subject: &str| {
            let mut headers = HeaderMap::new();
            put_id(&mut headers, subject, content().id);
            text(&headers, NATS_MESSAGE_ID.as_ref()).unwrap().to_owned()
        };
        assert_ne!(id("a"), id("b"));
        assert_eq!(fnv(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
