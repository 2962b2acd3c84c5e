//! Digests, other notations of bytes, and UUIDs.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use rusqlite::Result;
use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{argument, integer};

/// Characters of a line of `TO_BASE64`, as in MySQL.
const LINE: usize = 76;

/// An argument as bytes; `None` for NULL.
fn bytes<'a>(context: &'a Context<'_>, number: usize) -> Option<Cow<'a, [u8]>> {
    match context.get_raw(number) {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(Cow::Borrowed(bytes)),
        _ => argument(context, number).map(|text| Cow::Owned(text.into_owned().into_bytes())),
    }
}

/// Bytes as text where they are text.
fn text_or_bytes(bytes: Vec<u8>) -> Value {
    String::from_utf8(bytes).map_or_else(|error| Value::Blob(error.into_bytes()), Value::Text)
}

fn digest<D: Digest>(bytes: &[u8]) -> Value {
    let digest = D::digest(bytes);
    let mut text = String::with_capacity(2 * digest.len());
    for byte in &*digest {
        _ = write!(text, "{byte:02x}");
    }
    Value::Text(text)
}

pub(super) fn md5(context: &Context<'_>) -> Result<Value> {
    Ok(bytes(context, 0).map_or(Value::Null, |bytes| digest::<Md5>(&bytes)))
}

pub(super) fn sha1(context: &Context<'_>) -> Result<Value> {
    Ok(bytes(context, 0).map_or(Value::Null, |bytes| digest::<Sha1>(&bytes)))
}

/// `SHA2(text, bits)`; 0 bits = 256, other numbers than MySQL's give NULL.
pub(super) fn sha2(context: &Context<'_>) -> Result<Value> {
    let (Some(bytes), Some(bits)) = (bytes(context, 0), integer(context, 1)) else {
        return Ok(Value::Null);
    };
    Ok(match bits {
        224 => digest::<Sha224>(&bytes),
        0 | 256 => digest::<Sha256>(&bytes),
        384 => digest::<Sha384>(&bytes),
        512 => digest::<Sha512>(&bytes),
        _ => Value::Null,
    })
}

/// `HEX`: of a number its value, of a text its bytes.
pub(super) fn hex(context: &Context<'_>) -> Result<Value> {
    if let ValueRef::Integer(_) | ValueRef::Real(_) = context.get_raw(0) {
        let number = integer(context, 0);
        return Ok(number.map_or(Value::Null, |n| Value::Text(format!("{n:X}"))));
    }
    let Some(bytes) = bytes(context, 0) else {
        return Ok(Value::Null);
    };
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in &*bytes {
        _ = write!(text, "{byte:02X}");
    }
    Ok(Value::Text(text))
}

/// `UNHEX`: NULL for what is no hexadecimal text.
pub(super) fn unhex(context: &Context<'_>) -> Result<Value> {
    let Some(digits) = bytes(context, 0) else {
        return Ok(Value::Null);
    };
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    let mut found = Vec::with_capacity(digits.len().div_ceil(2));
    // An odd number of digits counts as one with a leading 0.
    let (first, rest) = digits.split_at(digits.len() % 2);
    for pair in [first].into_iter().chain(rest.chunks(2)) {
        let pair: Option<u8> = match *pair {
            [] => continue,
            [low] => digit(low),
            [high, low, ..] => digit(high).zip(digit(low)).map(|(h, l)| h << 4 | l),
        };
        let Some(byte) = pair else {
            return Ok(Value::Null);
        };
        found.push(byte);
    }
    Ok(text_or_bytes(found))
}

pub(super) fn to_base64(context: &Context<'_>) -> Result<Value> {
    let Some(bytes) = bytes(context, 0) else {
        return Ok(Value::Null);
    };
    let encoded = STANDARD.encode(&bytes);
    let mut text = String::with_capacity(encoded.len() + encoded.len() / LINE);
    for (at, c) in encoded.chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    Ok(Value::Text(text))
}

/// `FROM_BASE64`: NULL for what is no base64.
pub(super) fn from_base64(context: &Context<'_>) -> Result<Value> {
    let Some(text) = bytes(context, 0) else {
        return Ok(Value::Null);
    };
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    Ok(STANDARD.decode(text).map_or(Value::Null, text_or_bytes))
}

pub(super) fn uuid(_: &Context<'_>) -> Result<Value> {
    Ok(Value::Text(uuid::Uuid::now_v7().to_string()))
}
