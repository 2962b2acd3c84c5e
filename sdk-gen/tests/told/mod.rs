//! Between the suite's JSON and the client's records.

#![expect(clippy::unwrap_used, reason = "these are the tests' own helpers")]

pub(crate) mod records;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cometql_sdk::{
    Answer, ChannelSettings, CometError, Event, LastSeen, Presence, Publication, PublicationPage,
    Sent, SentMany, Subscribers, Value as Bound,
};
use serde_json::{Map, Value, json};

type Kept = BTreeMap<String, Value>;

/// A text.
#[track_caller]
pub(crate) fn words(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A number.
#[track_caller]
pub(crate) fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// A list.
pub(crate) fn given<T>(list: &Value, one: impl Fn(&Value) -> T) -> Vec<T> {
    list.as_array().unwrap().iter().map(one).collect()
}

/// A result as JSON.
pub(crate) fn tell<T: Told>(result: Result<T, CometError>) -> Result<Value, CometError> {
    result.map(Told::told)
}

/// An error as JSON.
pub(crate) fn error(error: &CometError) -> Value {
    match error {
        CometError::Refused { code, .. } => json!({"kind": "Refused", "code": code}),
        CometError::AccessDenied { code, .. } => json!({"kind": "AccessDenied", "code": code}),
        CometError::Unreachable { .. } => json!({"kind": "Unreachable"}),
        CometError::TimedOut { .. } => json!({"kind": "TimedOut"}),
        CometError::Interrupted { .. } => json!({"kind": "Interrupted"}),
        CometError::Ended { code, .. } => json!({"kind": "Ended", "code": code}),
        CometError::Closed => json!({"kind": "Closed"}),
        CometError::Invalid { .. } => json!({"kind": "Invalid"}),
    }
}

/// An event in a line; of a message the offset is kept.
pub(crate) fn event(event: &Event, offset: &mut u64) -> Value {
    let line = match event {
        Event::Publication { publication: p } => {
            format!("publication {} {} {}", p.channel, p.event, p.message)
        }
        Event::Message { message } => {
            *offset = message.offset;
            format!("message {} {}", message.event, message.message)
        }
        Event::Subscribed { channel, .. } => format!("subscribed {channel}"),
        Event::Refused { channel, code, .. } => format!("refused {channel} {code}"),
        Event::Trouble { code, .. } => format!("trouble {code}"),
        other => panic!("the suite does not know {other:?}"),
    };
    line.into()
}

/// Arguments with what stands for something else put in.
pub(crate) fn answer(value: &Value, kept: &Kept) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$').and_then(|name| kept.get(name)) {
            Some(kept) => kept.clone(),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| answer(item, kept)).collect(),
        Value::Object(fields) => made(fields).unwrap_or_else(|| {
            let fields = fields.iter();
            let fields = fields.map(|(name, field)| (name.clone(), answer(field, kept)));
            Value::Object(fields.collect())
        }),
        _ => value.clone(),
    }
}

/// `$repeat` and `$list`.
fn made(fields: &Map<String, Value>) -> Option<Value> {
    if let Some(repeat) = fields.get("$repeat") {
        let times = usize::try_from(whole(&repeat[1])).unwrap();
        return Some(words(&repeat[0]).repeat(times).into());
    }
    let list = fields.get("$list")?;
    let times = usize::try_from(whole(&list[1])).unwrap();
    Some(vec![list[0].clone(); times].into())
}

/// Whether a value is what is expected.
pub(crate) fn matches(expected: &Value, told: &Value, kept: &mut Kept) -> bool {
    match expected {
        Value::String(text) => match text.strip_prefix('$') {
            Some("any") => true,
            Some("text") => told.is_string(),
            Some("number") => told.is_u64(),
            Some("uuid") => told.as_str().is_some_and(is_uuid),
            // After September 2020.
            Some("time") => told.as_u64().is_some_and(|seconds| seconds > 1_600_000_000),
            Some(name) => match name.strip_prefix("keep ") {
                Some(name) => {
                    kept.insert(name.to_owned(), told.clone());
                    true
                }
                None => kept[name] == *told,
            },
            None => expected == told,
        },
        Value::Array(items) => told.as_array().is_some_and(|told| {
            let pairs = items.iter().zip(told);
            items.len() == told.len() && pairs.into_iter().all(|(e, t)| matches(e, t, kept))
        }),
        Value::Object(fields) => {
            if let Some(made) = made(fields) {
                return made == *told;
            }
            if let Some(length) = fields.get("$length") {
                return told.as_array().unwrap().len() as u64 == whole(length);
            }
            if let Some(expected) = fields.get("$claims") {
                return matches(expected, &claims(told.as_str().unwrap()), kept);
            }
            told.as_object().is_some_and(|told| {
                let all = |(name, field)| told.get(name).is_some_and(|t| matches(field, t, kept));
                fields.len() == told.len() && fields.iter().all(all)
            })
        }
        _ => expected == told,
    }
}

fn is_uuid(text: &str) -> bool {
    let shape = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    };
    text.len() == 36 && text.bytes().enumerate().all(shape)
}

/// What a token says.
fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    let text = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// What the suite knows as JSON.
pub(crate) trait Told {
    /// It as JSON.
    fn told(self) -> Value;
}

impl Told for () {
    fn told(self) -> Value {
        Value::Null
    }
}

impl Told for u64 {
    fn told(self) -> Value {
        self.into()
    }
}

impl Told for String {
    fn told(self) -> Value {
        self.into()
    }
}

impl<T: Told> Told for Option<T> {
    fn told(self) -> Value {
        self.map_or(Value::Null, Told::told)
    }
}

impl<T: Told> Told for Vec<T> {
    fn told(self) -> Value {
        self.into_iter().map(Told::told).collect()
    }
}

impl Told for SystemTime {
    fn told(self) -> Value {
        self.duration_since(UNIX_EPOCH).unwrap().as_secs().into()
    }
}

impl Told for Sent {
    fn told(self) -> Value {
        json!({"id": self.id, "reached": self.reached, "stored": self.stored})
    }
}

impl Told for SentMany {
    fn told(self) -> Value {
        json!({"ids": self.ids, "reached": self.reached, "stored": self.stored})
    }
}

impl Told for PublicationPage {
    fn told(self) -> Value {
        json!({"publications": self.publications.told(), "next": self.next})
    }
}

impl Told for Publication {
    fn told(self) -> Value {
        json!({"id": self.id, "event": self.event, "message": self.message, "user": self.user,
            "at": self.at.told(), "offset": self.offset})
    }
}

impl Told for ChannelSettings {
    fn told(self) -> Value {
        json!({"length": self.length})
    }
}

impl Told for Presence {
    fn told(self) -> Value {
        json!({"user": self.user, "uuid": self.uuid, "user_agent": self.user_agent, "ip": self.ip,
            "origin": self.origin, "language": self.language})
    }
}

impl Told for Subscribers {
    fn told(self) -> Value {
        json!({"channel": self.channel, "count": self.count})
    }
}

impl Told for LastSeen {
    fn told(self) -> Value {
        json!({"user": self.user, "online": self.online, "at": self.at.told()})
    }
}

impl Told for Bound {
    fn told(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Int { value } => value.into(),
            Self::Float { value } => value.into(),
            Self::Text { value } => value.into(),
            Self::Blob { value } => {
                let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
                json!({"$blob": hex})
            }
        }
    }
}

impl Told for Answer {
    fn told(self) -> Value {
        let warnings = self.warnings.into_iter();
        let warnings = warnings.map(|w| json!({"code": w.code, "detail": w.detail}));
        json!({"columns": self.columns, "rows": self.rows.told(), "affected": self.affected,
            "insert_id": self.insert_id, "info": self.info, "warnings": warnings.collect::<Vec<_>>()})
    }
}
