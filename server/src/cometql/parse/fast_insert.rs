//! The hot path: `INSERT INTO pipes_messages | users_messages (columns) VALUES ('…', …)[, (…)]` read byte by byte.
//!
//! Whatever is unusual (comments, placeholders, introducers, functions, mistakes) makes it give up, and the full parser
//! decides. What it accepts must mean the same to the full parser: a property test compares the two.

use super::{Existing, Insert, Operand, Source};
use crate::cometql::catalog::{self, Table};
use crate::cometql::{Settings, Value, escaping};

/// The statement, if it is of that form.
pub(super) fn parse(sql: &str, settings: &Settings) -> Option<Insert> {
    let mut cursor = Cursor { text: sql, at: 0 };
    cursor.space();
    cursor.word("insert")?;
    cursor.word("into")?;
    let table = match cursor.name()? {
        name @ ("pipes_messages" | "users_messages") => catalog::table(name)?,
        _ => return None,
    };
    let columns = columns(&mut cursor, table)?;
    cursor.word("values")?;
    let mut rows = Vec::new();
    loop {
        rows.push(row(&mut cursor, table, &columns, settings)?);
        if !cursor.take(b',') {
            break;
        }
        if rows.len() >= settings.insert_rows {
            return None;
        }
    }
    while cursor.take(b';') {}
    let insert = Insert {
        table,
        columns,
        source: Source::Rows(rows),
        existing: Existing::Replaced,
    };
    (cursor.at == sql.len()).then_some(insert)
}

fn columns(cursor: &mut Cursor<'_>, table: &Table) -> Option<Vec<usize>> {
    let mut columns = Vec::with_capacity(4);
    cursor.take(b'(').then_some(())?;
    loop {
        let name = cursor.name()?;
        let index = table.columns.iter().position(|field| field.name == name)?;
        if columns.contains(&index) {
            return None;
        }
        columns.push(index);
        if !cursor.take(b',') {
            break;
        }
    }
    cursor.take(b')').then_some(columns)
}

fn row(
    cursor: &mut Cursor<'_>,
    table: &Table,
    columns: &[usize],
    settings: &Settings,
) -> Option<Vec<Operand>> {
    let mut row = Vec::with_capacity(columns.len());
    cursor.take(b'(').then_some(())?;
    for (at, index) in columns.iter().enumerate() {
        if at > 0 && !cursor.take(b',') {
            return None;
        }
        let payload = table.columns[*index].name == "message";
        row.push(Operand::Value(value(cursor, payload, settings)?));
    }
    cursor.take(b')').then_some(row)
}

fn value(cursor: &mut Cursor<'_>, payload: bool, settings: &Settings) -> Option<Value> {
    match cursor.peek()? {
        quote @ (b'\'' | b'"') => {
            let raw = cursor.quoted(quote)?;
            let quote = char::from(quote);
            let text = if payload {
                escaping::payload(raw, quote, settings.escaping)
            } else {
                escaping::mysql(raw, quote)
            };
            Some(Value::Text(text.into_owned()))
        }
        b'0'..=b'9' => cursor.digits().map(Value::Integer),
        _ => None,
    }
}

/// A place in the text. Every method that reads something also skips the white space after it.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
            self.space();
        }
        found
    }

    /// This word, in any case, with an end.
    fn word(&mut self, word: &str) -> Option<()> {
        let end = self.at + word.len();
        let found = self.text.as_bytes().get(self.at..end)?;
        if !found.eq_ignore_ascii_case(word.as_bytes()) {
            return None;
        }
        if !matches!(
            self.text.as_bytes().get(end),
            Some(b' ' | b'\t' | b'\n' | b'\r' | b'(' | b'`')
        ) {
            return None;
        }
        self.at = end;
        self.space();
        Some(())
    }

    /// A bare name or one in backticks.
    fn name(&mut self) -> Option<&'a str> {
        let quoted = self.peek() == Some(b'`');
        self.at += usize::from(quoted);
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest
            .iter()
            .position(|b| !(b.is_ascii_alphanumeric() || *b == b'_'))?;
        let name = self.text.get(self.at..self.at + length)?;
        self.at += length;
        if quoted {
            if self.peek() != Some(b'`') {
                return None;
            }
            self.at += 1;
        } else if !matches!(
            self.peek(),
            Some(b' ' | b'\t' | b'\n' | b'\r' | b'(' | b')' | b',')
        ) {
            return None;
        }
        self.space();
        Some(name)
    }

    /// What stands between the quotes.
    fn quoted(&mut self, quote: u8) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            at += memchr::memchr2(quote, b'\\', bytes.get(at..)?)?;
            if bytes[at] == b'\\' || bytes.get(at + 1) == Some(&quote) {
                at += 2;
                continue;
            }
            let raw = self.text.get(start..at)?;
            self.at = at + 1;
            self.space();
            return Some(raw);
        }
    }

    fn digits(&mut self) -> Option<i64> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|b| !b.is_ascii_digit())?;
        // Longer ones may not fit, and `1.5`, `1e5` and `0x5` are for the full parser.
        if length > 18 || !matches!(rest[length], b' ' | b'\t' | b'\n' | b'\r' | b',' | b')') {
            return None;
        }
        let number = self.text.get(self.at..self.at + length)?.parse().ok()?;
        self.at += length;
        self.space();
        Some(number)
    }
}
