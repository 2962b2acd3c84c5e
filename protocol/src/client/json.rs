//! Just enough JSON for the envelopes of replies and pushes. A payload stays the text that it is: who shows it reads it.
//!
//! Not `serde_json`: it would double what a browser downloads.

use std::fmt::Write as _;

/// The fields of an object, each value as its own text; `None` when the text is no JSON object.
///
/// Field names are taken as they are written: those of the protocol need no escapes.
pub(super) fn fields(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = text.trim_ascii().strip_prefix('{')?.trim_ascii_start();
    let mut fields = Vec::new();
    if rest == "}" {
        return Some(fields);
    }
    loop {
        let (name, after) = rest.split_at_checked(value_end(rest)?)?;
        let name = name.strip_prefix('"')?.strip_suffix('"')?;
        let after = after.trim_ascii_start().strip_prefix(':')?;
        let after = after.trim_ascii_start();
        let (value, after) = after.split_at_checked(value_end(after)?)?;
        fields.push((name, value));
        let after = after.trim_ascii_start();
        match after.strip_prefix(',') {
            Some(next) => rest = next.trim_ascii_start(),
            None if after == "}" => return Some(fields),
            None => return None,
        }
    }
}

/// The value of a field.
pub(super) fn field<'a>(fields: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(is, _)| *is == name);
    found.map(|(_, value)| *value)
}

/// The content of a string that has no escapes, as names have none.
pub(super) fn name(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('\\')).then_some(inner)
}

/// The content of a string.
pub(super) fn string(value: &str) -> Option<String> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escaped.chars();
        let character = match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = escaped_unit(chars.as_str())?;
                rest = after;
                out.push(character);
                continue;
            }
            other => other,
        };
        out.push(character);
        rest = chars.as_str();
    }
    out.push_str(rest);
    Some(out)
}

/// Appends a text as a JSON string.
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => _ = write!(out, "\\u{:04x}", u32::from(control)),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// What follows `\u`: a character of one unit or of a pair of them.
fn escaped_unit(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let first = unit(text)?;
    let after = text.get(4..)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((
            char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
            after,
        ));
    }
    let second = after.strip_prefix("\\u").and_then(unit);
    match second.filter(|second| (0xdc00..0xe000).contains(second)) {
        Some(second) => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Some((char::from_u32(code)?, after.get(6..)?))
        }
        None => Some((char::REPLACEMENT_CHARACTER, after)),
    }
}

/// Where the value ends that the text begins with.
fn value_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    match bytes.first()? {
        b'"' => string_end(bytes, 0),
        b'{' | b'[' => container_end(bytes),
        _ => {
            let end = bytes
                .iter()
                .position(|byte| b",}] \t\r\n:".contains(byte))
                .unwrap_or(bytes.len());
            (end > 0).then_some(end)
        }
    }
}

/// The place behind the quote that closes the string beginning at `from`.
fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn container_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Any JSON value.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a-z]{1,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Every object splits into the same fields as serde sees.
        #[test]
        fn same_fields_as_serde(object in proptest::collection::btree_map("[a-z]{1,5}", value(), 0..5), pretty: bool) {
            let object = Value::Object(object.into_iter().collect());
            let text = if pretty { format!("{object:#}") } else { object.to_string() };
            let fields = fields(&text).unwrap();
            let read = fields.iter().map(|(name, value)| {
                ((*name).to_owned(), serde_json::from_str::<Value>(value).unwrap())
            });
            prop_assert_eq!(Value::Object(read.collect()), object);
        }

        #[test]
        fn strings_round_trip(text: String) {
            let mut ours = String::new();
            push_string(&mut ours, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&ours).unwrap(), &*text);
            prop_assert_eq!(string(&ours).unwrap(), &*text);
            prop_assert_eq!(string(&serde_json::to_string(&text).unwrap()).unwrap(), text);
        }

        #[test]
        fn nothing_panics(text in "[{}\\[\\]\",:\\\\u0-9a-dé ]{0,30}") {
            for (_, value) in fields(&text).unwrap_or_default() {
                _ = string(value);
            }
            _ = string(&text);
        }
    }

    #[test]
    fn escapes_of_other_writers() {
        #[track_caller]
        fn check(json: &str, text: &str) {
            assert_eq!(string(json).as_deref(), Some(text), "{json}");
        }
        check(r#""a\/b\tc\u00e9""#, "a/b\tcé");
        check(r#""\ud83d\ude00!""#, "😀!");
        check(r#""\ud83d!""#, "\u{fffd}!");
    }

    #[test]
    fn no_objects() {
        for text in [
            "",
            "[]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1}}",
            "{a:1}",
        ] {
            assert_eq!(fields(text), None, "{text}");
        }
    }
}
