//! How quoted literals become text. Pure; values that are bound to placeholders never come here.
//!
//! MySQL's rules hold everywhere but in the columns `message` and `data`, where backends of the original send raw JSON
//! too (CometQL compatibility, "Escaping: our rule").

use std::borrow::Cow;

use super::Escaping;

/// The text of a literal as MySQL reads it. `raw` is what stands between the quotes.
pub(crate) fn mysql(raw: &str, quote: char) -> Cow<'_, str> {
    let Some(first) = raw.find([quote, '\\']) else {
        return Cow::Borrowed(raw);
    };
    let mut text = String::with_capacity(raw.len());
    text.push_str(&raw[..first]);
    let mut rest = raw[first..].chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => unescape(&mut text, rest.next()),
            c if c == quote => {
                // A lone delimiter can't stand inside of a literal: this one is doubled.
                rest.next();
                text.push(quote);
            }
            c => text.push(c),
        }
    }
    Cow::Owned(text)
}

/// The text of a literal in a column `message` or `data`.
pub(crate) fn payload(raw: &str, quote: char, mode: Escaping) -> Cow<'_, str> {
    match mode {
        Escaping::Mysql => mysql(raw, quote),
        Escaping::Raw => single_quotes(raw, quote),
        Escaping::Auto if !raw.contains('\\') => single_quotes(raw, quote),
        Escaping::Auto => {
            let single = single_quotes(raw, quote);
            if has_odd_run(&single) && is_json(&single) {
                single
            } else {
                mysql(raw, quote)
            }
        }
    }
}

/// True for a valid JSON object or array. Does not recurse, whatever the nesting.
pub(crate) fn is_json_container(text: &str) -> bool {
    let first = text.bytes().find(|b| !b.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'[')) && is_json(text)
}

fn is_json(text: &str) -> bool {
    // `IgnoredAny` is skipped with an explicit stack, so that a nesting bomb can't overflow ours.
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn unescape(text: &mut String, escaped: Option<char>) {
    match escaped {
        Some('0') => text.push('\0'),
        Some('b') => text.push('\u{8}'),
        Some('n') => text.push('\n'),
        Some('r') => text.push('\r'),
        Some('t') => text.push('\t'),
        Some('Z') => text.push('\u{1a}'),
        // LIKE gives these two their meaning.
        Some(c @ ('%' | '_')) => text.extend(['\\', c]),
        Some(c) => text.push(c),
        None => text.push('\\'),
    }
}

/// Doubled delimiters become one; nothing else changes.
fn single_quotes(raw: &str, quote: char) -> Cow<'_, str> {
    if !raw.contains(quote) {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        text.push(c);
        if c == '\\' {
            text.extend(rest.next());
        } else if c == quote {
            rest.next();
        }
    }
    Cow::Owned(text)
}

/// Whether there is a run of backslashes of odd length.
fn has_odd_run(text: &str) -> bool {
    let mut odd = false;
    for byte in text.bytes() {
        if byte == b'\\' {
            odd = !odd;
        } else if odd {
            return true;
        }
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, quote: char, auto: &str, as_mysql: &str) {
        assert_eq!(payload(raw, quote, Escaping::Auto), auto, "auto");
        assert_eq!(payload(raw, quote, Escaping::Mysql), as_mysql, "mysql");
    }

    #[test]
    fn payloads() {
        check("plain", '\'', "plain", "plain");
        check("d''q", '\'', "d'q", "d'q");
        check("d\"\"q", '"', "d\"q", "d\"q");
        check("d\"\"q", '\'', "d\"\"q", "d\"\"q");
        check(r"it\'s", '\'', "it's", "it's");
        check(r"a\nb", '\'', "a\nb", "a\nb");
        // (a) json_encode and real_escape_string.
        check(
            r#"{\"a\":\"x\\ny\",\"b\":\"it\'s\"}"#,
            '\'',
            r#"{"a":"x\ny","b":"it's"}"#,
            r#"{"a":"x\ny","b":"it's"}"#,
        );
        // (b) json_encode alone.
        check(
            r#"{"a":"\u0441\n\"q\""}"#,
            '\'',
            r#"{"a":"\u0441\n\"q\""}"#,
            "{\"a\":\"u0441\n\"q\"\"}",
        );
        check(r#"["\/"]"#, '\'', r#"["\/"]"#, r#"["/"]"#);
        // (b) with doubled quotes of the delimiter.
        check(
            r#"{"a":"it''s\n"}"#,
            '\'',
            r#"{"a":"it's\n"}"#,
            "{\"a\":\"it's\n\"}",
        );
        // (c) a driver that doubles backslashes only.
        check(
            r#"{"a":"x\\ny"}"#,
            '\'',
            r#"{"a":"x\ny"}"#,
            r#"{"a":"x\ny"}"#,
        );
        check(r"\\\\", '\'', r"\\", r"\\");
    }

    #[test]
    fn raw_mode_keeps_backslashes() {
        assert_eq!(payload(r"it\'s", '\'', Escaping::Raw), r"it\'s");
        assert_eq!(payload("d''q", '\'', Escaping::Raw), "d'q");
    }

    #[test]
    fn mysql_escapes() {
        assert_eq!(
            mysql(r"\0\'\b\n\r\t\Z\\\%\_\x", '"'),
            "\0'\u{8}\n\r\t\u{1a}\\\\%\\_x"
        );
    }

    #[test]
    fn json_containers() {
        for (text, expected) in [
            ("{}", true),
            (" [1,2]", true),
            ("{\"a\":}", false),
            ("\"text\"", false),
            ("1", false),
            ("", false),
            ("{} x", false),
        ] {
            assert_eq!(is_json_container(text), expected, "{text:?}");
        }
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert!(is_json_container(&deep));
        assert!(!is_json_container(&"[".repeat(1_000_000)));
    }
}
