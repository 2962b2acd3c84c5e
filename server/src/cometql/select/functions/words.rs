//! Parts and notations of texts, addresses, and what JSON holds.

use std::cmp::Ordering;
use std::net::Ipv4Addr;

use rusqlite::Result;
use rusqlite::functions::Context;
use rusqlite::types::Value;
use serde_json::Value as Json;

use super::{argument, integer, refused, size};

/// Most comparisons of `JSON_CONTAINS`, which SQLite's time limit can't interrupt.
const CONTAINS_STEPS: usize = 1_000_000;

/// `ASCII`: the first byte, 0 of an empty text.
pub(super) fn ascii(context: &Context<'_>) -> Result<Value> {
    Ok(argument(context, 0).map_or(Value::Null, |text| {
        Value::Integer(text.bytes().next().map_or(0, i64::from))
    }))
}

/// `CHAR(number, …)`: bytes, of which one number may be several.
pub(super) fn chars(context: &Context<'_>) -> Result<Value> {
    let mut bytes = Vec::new();
    for number in (0..context.len()).filter_map(|number| integer(context, number)) {
        let all = number.to_be_bytes();
        // Of the lower 32 bits, without what is zero before them.
        let used = all[4..].iter().skip_while(|byte| **byte == 0);
        let before = bytes.len();
        bytes.extend(used);
        if bytes.len() == before {
            bytes.push(0);
        }
    }
    Ok(String::from_utf8(bytes).map_or_else(|error| Value::Blob(error.into_bytes()), Value::Text))
}

/// `ELT(number, text, …)`: the text with that number, from 1.
pub(super) fn elt(context: &Context<'_>) -> Result<Value> {
    let number = integer(context, 0).and_then(|number| usize::try_from(number).ok());
    let text = number.filter(|number| (1..context.len()).contains(number));
    let text = text.and_then(|number| argument(context, number));
    Ok(text.map_or(Value::Null, |text| Value::Text(text.into_owned())))
}

pub(super) fn strcmp(context: &Context<'_>) -> Result<Value> {
    let (Some(a), Some(b)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    let order = a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase());
    Ok(Value::Integer(match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

/// `SUBSTRING_INDEX(text, mark, count)`: what stands before the count-th mark, or (negative) behind it from the end.
pub(super) fn substring_index(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(mark), Some(count)) = (
        argument(context, 0),
        argument(context, 1),
        integer(context, 2),
    ) else {
        return Ok(Value::Null);
    };
    if mark.is_empty() || count == 0 {
        return Ok(Value::Text(String::new()));
    }
    let nth = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) - 1;
    let part = if count > 0 {
        let found = text.match_indices(&*mark).nth(nth);
        found.map_or(&*text, |(at, _)| &text[..at])
    } else {
        let found = text.rmatch_indices(&*mark).nth(nth);
        found.map_or(&*text, |(at, _)| &text[at + mark.len()..])
    };
    Ok(Value::Text(part.to_owned()))
}

/// `QUOTE`: as a literal of a statement.
pub(super) fn quote(context: &Context<'_>) -> Result<Value> {
    let Some(text) = argument(context, 0) else {
        return Ok(Value::Text("NULL".to_owned()));
    };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            '\0' => quoted.push_str("\\0"),
            '\u{1a}' => quoted.push_str("\\Z"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    Ok(Value::Text(quoted))
}

/// `CRC32` (IEEE 802.3).
pub(super) fn crc32(context: &Context<'_>) -> Result<Value> {
    Ok(argument(context, 0).map_or(Value::Null, |text| {
        let sum = text.bytes().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(byte), |sum, _| {
                (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
            })
        });
        Value::Integer(i64::from(!sum))
    }))
}

pub(super) fn inet_aton(context: &Context<'_>) -> Result<Value> {
    let address = argument(context, 0).and_then(|text| text.parse::<Ipv4Addr>().ok());
    Ok(address.map_or(Value::Null, |address| {
        Value::Integer(i64::from(address.to_bits()))
    }))
}

pub(super) fn inet_ntoa(context: &Context<'_>) -> Result<Value> {
    let bits = integer(context, 0).and_then(|bits| u32::try_from(bits).ok());
    Ok(bits.map_or(Value::Null, |bits| {
        Value::Text(Ipv4Addr::from_bits(bits).to_string())
    }))
}

fn json(context: &Context<'_>, number: usize) -> Option<Json> {
    serde_json::from_str(&argument(context, number)?).ok()
}

/// `JSON_LENGTH`: entries of an array or object, 1 of all else.
pub(super) fn json_length(context: &Context<'_>) -> Result<Value> {
    Ok(json(context, 0).map_or(Value::Null, |json| {
        size(match &json {
            Json::Array(entries) => entries.len(),
            Json::Object(entries) => entries.len(),
            _ => 1,
        })
    }))
}

pub(super) fn json_type(context: &Context<'_>) -> Result<Value> {
    Ok(json(context, 0).map_or(Value::Null, |json| {
        let name = match &json {
            Json::Null => "NULL",
            Json::Bool(_) => "BOOLEAN",
            Json::Number(number) if number.is_f64() => "DOUBLE",
            Json::Number(_) => "INTEGER",
            Json::String(_) => "STRING",
            Json::Array(_) => "ARRAY",
            Json::Object(_) => "OBJECT",
        };
        Value::Text(name.to_owned())
    }))
}

/// `JSON_CONTAINS(json, what)`.
pub(super) fn json_contains(context: &Context<'_>) -> Result<Value> {
    let Some((json, what)) = json(context, 0).zip(json(context, 1)) else {
        return Ok(Value::Null);
    };
    let mut steps = CONTAINS_STEPS;
    let found = contains(&json, &what, &mut steps);
    let found = found.ok_or_else(|| refused("JSON_CONTAINS has too much to compare".to_owned()))?;
    Ok(Value::Integer(i64::from(found)))
}

/// `None` when it takes too many steps. How deep it goes is bounded by the parser.
fn contains(json: &Json, what: &Json, steps: &mut usize) -> Option<bool> {
    *steps = steps.checked_sub(1)?;
    match (json, what) {
        (Json::Array(_), Json::Array(all)) => {
            for what in all {
                if !contains(json, what, steps)? {
                    return Some(false);
                }
            }
            Some(true)
        }
        (Json::Array(entries), what) => {
            for entry in entries {
                if contains(entry, what, steps)? {
                    return Some(true);
                }
            }
            Some(false)
        }
        (Json::Object(entries), Json::Object(all)) => {
            for (name, what) in all {
                let Some(entry) = entries.get(name) else {
                    return Some(false);
                };
                if !contains(entry, what, steps)? {
                    return Some(false);
                }
            }
            Some(true)
        }
        (json, what) => Some(json == what),
    }
}
