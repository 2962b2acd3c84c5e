//! MySQL functions that SQLite lacks or reads otherwise, as SQLite functions whose names begin with `my_`. Each is pure,
//! and none may take longer than its arguments are long: SQLite's time limit can't interrupt them.

use std::borrow::Cow;
use std::cell::RefCell;

use regex::{Regex, RegexBuilder};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, Result};

mod encode;
mod math;
mod moment;
mod pad;
mod text;
mod words;

/// Longest LIKE pattern: matching may take as many steps as text and pattern are long, multiplied.
const PATTERN_BYTES: usize = 1024;
/// Most memory of a compiled regular expression, in bytes.
const REGEX_BYTES: usize = 1 << 20;

type Body = fn(&Context<'_>) -> Result<Value>;

/// Name, number of arguments (-1 = any), what it does.
const FUNCTIONS: &[(&str, i32, Body)] = &[
    ("my_concat", -1, concat),
    ("my_concat_ws", -1, concat_ws),
    ("my_lower", 1, |c| map_text(c, |text| text.to_lowercase())),
    ("my_upper", 1, |c| map_text(c, |text| text.to_uppercase())),
    ("my_reverse", 1, |c| {
        map_text(c, |text| text.chars().rev().collect())
    }),
    ("my_length", 1, |c| {
        Ok(argument(c, 0).map_or(Value::Null, |text| size(text.len())))
    }),
    ("my_char_length", 1, |c| {
        Ok(argument(c, 0).map_or(Value::Null, |text| size(text.chars().count())))
    }),
    ("my_substring", -1, substring),
    ("my_left", 2, left),
    ("my_right", 2, right),
    ("my_replace", 3, replace),
    ("my_trim", 3, trim),
    ("my_locate", -1, locate),
    ("my_find_in_set", 2, find_in_set),
    ("my_round", -1, round),
    ("my_floor", 1, |c| Ok(rounded(c, f64::floor))),
    ("my_ceil", 1, |c| Ok(rounded(c, f64::ceil))),
    ("my_mod", 2, modulo),
    ("my_div", 2, divide),
    ("my_like", 4, like),
    ("my_unquote", 1, unquote),
    ("my_md5", 1, encode::md5),
    ("my_sha1", 1, encode::sha1),
    ("my_sha2", 2, encode::sha2),
    ("my_hex", 1, encode::hex),
    ("my_unhex", 1, encode::unhex),
    ("my_to_base64", 1, encode::to_base64),
    ("my_from_base64", 1, encode::from_base64),
    ("my_field", -1, pad::field),
    ("my_pad", 4, pad::pad),
    ("my_repeat", 2, pad::repeat),
    ("my_format", 2, math::format),
    ("my_truncate", 2, math::truncate),
    ("my_sign", 1, math::sign),
    ("my_sqrt", 1, |c| math::of_one(c, f64::sqrt)),
    ("my_exp", 1, |c| math::of_one(c, f64::exp)),
    ("my_ln", 1, |c| math::of_one(c, f64::ln)),
    ("my_log10", 1, |c| math::of_one(c, f64::log10)),
    ("my_log2", 1, |c| math::of_one(c, f64::log2)),
    ("my_log", 2, |c| {
        math::of_two(c, |base, number| number.log(base))
    }),
    ("my_pow", 2, |c| math::of_two(c, f64::powf)),
    ("my_sin", 1, |c| math::of_one(c, f64::sin)),
    ("my_cos", 1, |c| math::of_one(c, f64::cos)),
    ("my_tan", 1, |c| math::of_one(c, f64::tan)),
    ("my_asin", 1, |c| math::of_one(c, f64::asin)),
    ("my_acos", 1, |c| math::of_one(c, f64::acos)),
    ("my_atan", 1, |c| math::of_one(c, f64::atan)),
    ("my_atan2", 2, |c| math::of_two(c, f64::atan2)),
    ("my_degrees", 1, |c| math::of_one(c, f64::to_degrees)),
    ("my_radians", 1, |c| math::of_one(c, f64::to_radians)),
    ("my_conv", 3, math::conv),
    ("my_bit_count", 1, math::bit_count),
    ("my_date_format", 2, moment::date_format),
    ("my_months", 2, moment::months),
    ("my_sec_to_time", 1, moment::sec_to_time),
    ("my_ascii", 1, words::ascii),
    ("my_char", -1, words::chars),
    ("my_elt", -1, words::elt),
    ("my_strcmp", 2, words::strcmp),
    ("my_substring_index", 3, words::substring_index),
    ("my_quote", 1, words::quote),
    ("my_crc32", 1, words::crc32),
    ("my_inet_aton", 1, words::inet_aton),
    ("my_inet_ntoa", 1, words::inet_ntoa),
    ("my_json_length", 1, words::json_length),
    ("my_json_type", 1, words::json_type),
    ("my_json_contains", 2, words::json_contains),
];

/// Longest text that a function makes, in bytes: what SQLite takes. Longer ones must not be made in the first place, since
/// the limit on memory does not see them.
const MADE_BYTES: usize = super::sqlite::VALUE_BYTES.unsigned_abs() as usize;

/// Makes the functions known to a connection.
pub(super) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for (name, arguments, body) in FUNCTIONS {
        connection.create_scalar_function(*name, *arguments, flags, *body)?;
    }
    // A new one for each row.
    let each = FunctionFlags::SQLITE_UTF8;
    connection.create_scalar_function("my_uuid", 0, each, encode::uuid)?;
    let last = RefCell::new(None);
    connection.create_scalar_function("my_regexp", 2, flags, move |c| regexp(c, &last))
}

/// An argument as text; `None` for NULL.
fn argument<'a>(context: &'a Context<'_>, number: usize) -> Option<Cow<'a, str>> {
    match context.get_raw(number) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(number.to_string().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
    }
}

/// An argument as a whole number; `None` for NULL. Text counts as the number that it begins with.
fn integer(context: &Context<'_>, number: usize) -> Option<i64> {
    match context.get_raw(number) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number),
        ValueRef::Real(number) => Some(saturate(number)),
        ValueRef::Text(_) | ValueRef::Blob(_) => {
            argument(context, number).map(|text| saturate(text::leading_number(&text)))
        }
    }
}

fn real(context: &Context<'_>, number: usize) -> Option<f64> {
    match context.get_raw(number) {
        ValueRef::Null => None,
        #[expect(
            clippy::cast_precision_loss,
            reason = "MySQL's doubles lose the same digits"
        )]
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        ValueRef::Text(_) | ValueRef::Blob(_) => {
            argument(context, number).map(|text| text::leading_number(&text))
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` stops at the ends of i64, which is what is wanted"
)]
fn saturate(number: f64) -> i64 {
    number as i64
}

fn size(length: usize) -> Value {
    Value::Integer(i64::try_from(length).unwrap_or(i64::MAX))
}

fn map_text(context: &Context<'_>, body: fn(&str) -> String) -> Result<Value> {
    Ok(argument(context, 0).map_or(Value::Null, |text| Value::Text(body(&text))))
}

fn concat(context: &Context<'_>) -> Result<Value> {
    let mut all = String::new();
    for number in 0..context.len() {
        let Some(text) = argument(context, number) else {
            return Ok(Value::Null);
        };
        fits(all.len().checked_add(text.len()))?;
        all.push_str(&text);
    }
    Ok(Value::Text(all))
}

fn concat_ws(context: &Context<'_>) -> Result<Value> {
    let Some(separator) = argument(context, 0) else {
        return Ok(Value::Null);
    };
    let texts: Vec<_> = (1..context.len())
        .filter_map(|number| argument(context, number))
        .collect();
    let separators = separator.len().checked_mul(texts.len().saturating_sub(1));
    let lengths = texts.iter().map(|text| text.len());
    fits(separators.and_then(|sum| lengths.clone().try_fold(sum, usize::checked_add)))?;
    Ok(Value::Text(texts.join(&separator)))
}

fn substring(context: &Context<'_>) -> Result<Value> {
    let length = if context.len() > 2 {
        integer(context, 2)
    } else {
        Some(i64::MAX)
    };
    let (Some(text), Some(start), Some(length)) =
        (argument(context, 0), integer(context, 1), length)
    else {
        return Ok(Value::Null);
    };
    Ok(Value::Text(text::substring(&text, start, length)))
}

fn left(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(count)) = (argument(context, 0), integer(context, 1)) else {
        return Ok(Value::Null);
    };
    Ok(Value::Text(text::substring(&text, 1, count)))
}

fn right(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(count)) = (argument(context, 0), integer(context, 1)) else {
        return Ok(Value::Null);
    };
    let skipped = text
        .chars()
        .count()
        .saturating_sub(usize::try_from(count).unwrap_or(0));
    Ok(Value::Text(text.chars().skip(skipped).collect()))
}

fn replace(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(from), Some(to)) = (
        argument(context, 0),
        argument(context, 1),
        argument(context, 2),
    ) else {
        return Ok(Value::Null);
    };
    if from.is_empty() {
        return Ok(Value::Text(text.into_owned()));
    }
    let found = text.matches(&*from).count();
    let added = found.checked_mul(to.len());
    if to.len() > from.len() {
        fits(added.and_then(|added| added.checked_add(text.len() - found * from.len())))?;
    }
    Ok(Value::Text(text.replace(&*from, &to)))
}

/// `my_trim(text, what, sides)`; sides: 1 = leading, 2 = trailing, 3 = both.
fn trim(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(what)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    let sides = integer(context, 2).unwrap_or(3);
    let mut rest = &*text;
    if !what.is_empty() && sides & 1 != 0 {
        rest = rest.trim_start_matches(&*what);
    }
    if !what.is_empty() && sides & 2 != 0 {
        rest = rest.trim_end_matches(&*what);
    }
    Ok(Value::Text(rest.to_owned()))
}

/// `my_locate(what, text[, from])`: the character where it begins, from 1; 0 = nowhere.
fn locate(context: &Context<'_>) -> Result<Value> {
    let (Some(what), Some(text)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    let from = if context.len() > 2 {
        integer(context, 2)
    } else {
        Some(1)
    };
    Ok(from.map_or(Value::Null, |from| size(text::locate(&what, &text, from))))
}

fn find_in_set(context: &Context<'_>) -> Result<Value> {
    let (Some(what), Some(list)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    let at = list
        .split(',')
        .position(|entry| entry == what && !list.is_empty());
    Ok(size(at.map_or(0, |at| at + 1)))
}

fn rounded(context: &Context<'_>, body: fn(f64) -> f64) -> Value {
    if let ValueRef::Integer(number) = context.get_raw(0) {
        return Value::Integer(number);
    }
    real(context, 0).map_or(Value::Null, |number| Value::Integer(saturate(body(number))))
}

fn round(context: &Context<'_>) -> Result<Value> {
    let digits = if context.len() > 1 {
        integer(context, 1)
    } else {
        Some(0)
    };
    let (Some(number), Some(digits)) = (real(context, 0), digits) else {
        return Ok(Value::Null);
    };
    let digits = i32::try_from(digits.clamp(-18, 18)).unwrap_or(0);
    let scale = 10_f64.powi(digits.abs());
    let rounded = if digits >= 0 {
        (number * scale).round() / scale
    } else {
        (number / scale).round() * scale
    };
    let is_integer = matches!(context.get_raw(0), ValueRef::Integer(_));
    Ok(match context.get_raw(0) {
        ValueRef::Integer(same) if digits >= 0 => Value::Integer(same),
        _ if is_integer || digits == 0 => Value::Integer(saturate(rounded)),
        _ => Value::Real(rounded),
    })
}

fn modulo(context: &Context<'_>) -> Result<Value> {
    if let (ValueRef::Integer(a), ValueRef::Integer(b)) = (context.get_raw(0), context.get_raw(1)) {
        return Ok(match b {
            0 => Value::Null,
            b => Value::Integer(a.wrapping_rem(b)),
        });
    }
    Ok(match (real(context, 0), real(context, 1)) {
        (Some(_), Some(0.0)) => Value::Null,
        (Some(a), Some(b)) => Value::Real(a % b),
        _ => Value::Null,
    })
}

/// `DIV`: a whole number, cut towards zero.
fn divide(context: &Context<'_>) -> Result<Value> {
    if let (ValueRef::Integer(a), ValueRef::Integer(b)) = (context.get_raw(0), context.get_raw(1)) {
        return Ok(a.checked_div(b).map_or(Value::Null, Value::Integer));
    }
    Ok(match (real(context, 0), real(context, 1)) {
        (Some(a), Some(b)) if b != 0.0 => Value::Integer(saturate(a / b)),
        _ => Value::Null,
    })
}

/// `my_like(text, pattern, escape, exact)`.
fn like(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(pattern)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    if pattern.len() > PATTERN_BYTES {
        return Err(refused(format!(
            "a LIKE pattern is longer than {PATTERN_BYTES} bytes"
        )));
    }
    let escape = argument(context, 2).and_then(|escape| escape.chars().next());
    let exact = integer(context, 3) == Some(1);
    let matches = text::like(&text, &pattern, escape, exact);
    Ok(Value::Integer(i64::from(matches)))
}

/// `my_regexp(text, pattern)`; the last pattern stays compiled.
fn regexp(context: &Context<'_>, last: &RefCell<Option<(String, Regex)>>) -> Result<Value> {
    let (Some(text), Some(pattern)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    let mut last = last.borrow_mut();
    let known = last.as_ref().is_some_and(|(known, _)| *known == *pattern);
    if !known {
        let regex = RegexBuilder::new(&pattern)
            .case_insensitive(true)
            .size_limit(REGEX_BYTES)
            .build()
            .map_err(|failure| refused(format!("bad regular expression: {failure}")))?;
        *last = Some((pattern.into_owned(), regex));
    }
    let found = last
        .as_ref()
        .is_some_and(|(_, regex)| regex.is_match(&text));
    Ok(Value::Integer(i64::from(found)))
}

/// A JSON string without its quotes; any other text as it is.
fn unquote(context: &Context<'_>) -> Result<Value> {
    map_text(context, |text| {
        serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
    })
}

/// Refuses a text that would be longer than SQLite takes, before it is made; `None` = longer than can be counted.
fn fits(length: Option<usize>) -> Result<()> {
    match length {
        Some(length) if length <= MADE_BYTES => Ok(()),
        _ => Err(Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_TOOBIG),
            None,
        )),
    }
}

fn refused(message: String) -> Error {
    Error::UserFunctionError(message.into())
}
