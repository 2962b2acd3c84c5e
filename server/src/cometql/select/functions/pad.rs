//! Texts made longer, and a text's place in a list.

use rusqlite::Result;
use rusqlite::functions::Context;
use rusqlite::types::Value;

use super::{argument, integer, size};

/// Longest text that is made, in bytes. Longer ones are NULL, as in MySQL beyond `max_allowed_packet`.
const MADE_BYTES: usize = 1 << 20;

/// `FIELD(what, text, …)`: the first text that equals, from 1; 0 = none. The case of ASCII letters does not count.
pub(super) fn field(context: &Context<'_>) -> Result<Value> {
    let Some(what) = argument(context, 0) else {
        return Ok(Value::Integer(0));
    };
    let mut texts = (1..context.len()).map(|number| argument(context, number));
    let place = texts.position(|text| text.is_some_and(|text| text.eq_ignore_ascii_case(&what)));
    Ok(size(place.map_or(0, |place| place + 1)))
}

/// `my_pad(text, length, with, left)`: cut or filled to so many characters.
pub(super) fn pad(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(length), Some(with)) = (
        argument(context, 0),
        integer(context, 1),
        argument(context, 2),
    ) else {
        return Ok(Value::Null);
    };
    // What is filled in has 4 bytes a character at most.
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|n| *n <= MADE_BYTES / 4)
    else {
        return Ok(Value::Null);
    };
    let missing = length.saturating_sub(text.chars().count());
    if missing > 0 && with.is_empty() {
        return Ok(Value::Text(String::new()));
    }
    let fill = with.chars().cycle().take(missing);
    Ok(Value::Text(if integer(context, 3) == Some(1) {
        fill.chain(text.chars().take(length)).collect()
    } else {
        text.chars().take(length).chain(fill).collect()
    }))
}

pub(super) fn repeat(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(times)) = (argument(context, 0), integer(context, 1)) else {
        return Ok(Value::Null);
    };
    let times = usize::try_from(times).unwrap_or(0);
    Ok(match text.len().checked_mul(times) {
        Some(length) if length <= MADE_BYTES => Value::Text(text.repeat(times)),
        _ => Value::Null,
    })
}
