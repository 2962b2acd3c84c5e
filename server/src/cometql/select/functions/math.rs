//! Numbers: powers, logarithms, angles, other bases, and numbers as people read them. What has no value is NULL.

use rusqlite::Result;
use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};

use super::{argument, integer, real, saturate, size};

/// Most digits behind the point, as in MySQL.
const DECIMALS: i64 = 30;

fn finite(number: f64) -> Value {
    if number.is_finite() {
        Value::Real(number)
    } else {
        Value::Null
    }
}

/// A function of one number.
pub(super) fn of_one(context: &Context<'_>, body: fn(f64) -> f64) -> Result<Value> {
    Ok(real(context, 0).map_or(Value::Null, |number| finite(body(number))))
}

/// A function of two numbers.
pub(super) fn of_two(context: &Context<'_>, body: fn(f64, f64) -> f64) -> Result<Value> {
    let both = real(context, 0).zip(real(context, 1));
    Ok(both.map_or(Value::Null, |(a, b)| finite(body(a, b))))
}

pub(super) fn sign(context: &Context<'_>) -> Result<Value> {
    Ok(real(context, 0).map_or(Value::Null, |number| {
        Value::Integer(i64::from(number > 0.0) - i64::from(number < 0.0))
    }))
}

/// `TRUNCATE(number, digits)`: cut towards zero.
pub(super) fn truncate(context: &Context<'_>) -> Result<Value> {
    let (Some(number), Some(digits)) = (real(context, 0), integer(context, 1)) else {
        return Ok(Value::Null);
    };
    let scale = 10_f64.powi(i32::try_from(digits.abs().clamp(0, 18)).unwrap_or(0));
    Ok(match (context.get_raw(0), digits) {
        (ValueRef::Integer(whole), 0..) => Value::Integer(whole),
        (_, 1..) => finite((number * scale).trunc() / scale),
        _ => Value::Integer(saturate((number / scale).trunc() * scale)),
    })
}

/// `FORMAT(number, digits)`: with commas between thousands.
pub(super) fn format(context: &Context<'_>) -> Result<Value> {
    let (Some(number), Some(digits)) = (real(context, 0), integer(context, 1)) else {
        return Ok(Value::Null);
    };
    let digits = usize::try_from(digits.clamp(0, DECIMALS)).unwrap_or(0);
    let text = match context.get_raw(0) {
        ValueRef::Integer(whole) if digits == 0 => whole.to_string(),
        ValueRef::Integer(whole) => format!("{whole}.{:0<digits$}", ""),
        _ => format!("{:.digits$}", half_up(number, digits)),
    };
    Ok(Value::Text(with_commas(&text)))
}

/// Halves away from zero, as far as a double has the digits.
fn half_up(number: f64, digits: usize) -> f64 {
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or(i32::MAX));
    let scaled = number * scale;
    if digits > 15 || scaled.abs() >= 9e15 {
        return number;
    }
    scaled.round() / scale
}

fn with_commas(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let mut text = sign.to_owned();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// `my_conv(number, from, to)`: a whole number in another base, as unsigned 64 bits.
pub(super) fn conv(context: &Context<'_>) -> Result<Value> {
    let (Some(text), Some(from), Some(to)) = (
        argument(context, 0),
        integer(context, 1),
        integer(context, 2),
    ) else {
        return Ok(Value::Null);
    };
    let base = |base: i64| {
        u32::try_from(base)
            .ok()
            .filter(|base| (2..=36).contains(base))
    };
    let (Some(from), Some(to)) = (base(from), base(to)) else {
        return Ok(Value::Null);
    };
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let digits = digits.chars().map_while(|c| c.to_digit(from));
    let mut number = digits.fold(0_u64, |number, digit| {
        number
            .saturating_mul(u64::from(from))
            .saturating_add(u64::from(digit))
    });
    if negative {
        number = number.wrapping_neg();
    }
    Ok(Value::Text(in_base(number, to)))
}

fn in_base(mut number: u64, base: u32) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % u64::from(base)).unwrap_or(0);
        digits.extend(char::from_digit(digit, base));
        number /= u64::from(base);
        if number == 0 {
            break;
        }
    }
    let digits = digits.into_iter().rev();
    digits.map(|digit| digit.to_ascii_uppercase()).collect()
}

pub(super) fn bit_count(context: &Context<'_>) -> Result<Value> {
    let bits = integer(context, 0).map(i64::count_ones);
    Ok(bits.map_or(Value::Null, |bits| size(bits as usize)))
}
