//! Result sets in both forms: text for `COM_QUERY`, binary for `COM_STMT_EXECUTE`.

use std::io;

use bytes::BufMut;
use mysql_common::collations::CollationId;
use mysql_common::constants::{ColumnFlags, ColumnType, StatusFlags};
use mysql_common::io::BufMutExt;
use mysql_common::packets::NullBitmap;
use mysql_common::value::ServerSide;

use super::gate::Gate;
use super::packets::{ColumnDefinition, Eof};
use crate::cometql::{Column, ColumnKind, RowSet, Value};

/// `decimals` of columns whose number of decimals is not fixed.
const NOT_FIXED: u8 = 31;
/// What the text protocol has for NULL.
const TEXT_NULL: u8 = 0xfb;

/// The form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Each value as text.
    Text,
    /// Numbers in binary.
    Binary,
}

/// How a result set ends, and what else its packets need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) form: Form,
    pub(super) status: StatusFlags,
    pub(super) warnings: u16,
    /// The client understands the new end of result sets (`CLIENT_DEPRECATE_EOF`).
    pub(super) new_eof: bool,
}

/// Writes a result set.
pub(super) async fn send(gate: &mut Gate, rows: &RowSet, frame: Frame) -> io::Result<()> {
    gate.send_with(|payload| payload.put_lenenc_int(rows.columns.len() as u64));
    for column in &rows.columns {
        gate.send(&definition(column));
    }
    if !frame.new_eof {
        end(gate, frame);
    }
    for row in &rows.rows {
        gate.send_with(|payload| match frame.form {
            Form::Text => text_row(payload, row),
            Form::Binary => binary_row(payload, &rows.columns, row),
        });
        gate.relieve().await?;
    }
    end(gate, frame);
    Ok(())
}

/// Writes the end of columns or rows.
pub(super) fn end(gate: &mut Gate, frame: Frame) {
    gate.send(&Eof {
        status: frame.status,
        warnings: frame.warnings,
        new_form: frame.new_eof,
    });
}

/// A column as clients see it. Text is `VAR_STRING` as the original sends it, but in UTF-8 with four bytes.
pub(super) fn definition(column: &Column) -> ColumnDefinition<'_> {
    let (kind, charset, length, flags, decimals) = match column.kind {
        ColumnKind::Text => (
            ColumnType::MYSQL_TYPE_VAR_STRING,
            CollationId::UTF8MB4_GENERAL_CI,
            0x3_fffc,
            ColumnFlags::empty(),
            NOT_FIXED,
        ),
        ColumnKind::Integer => (
            ColumnType::MYSQL_TYPE_LONGLONG,
            CollationId::BINARY,
            20,
            ColumnFlags::BINARY_FLAG | ColumnFlags::NUM_FLAG,
            0,
        ),
        ColumnKind::Double => (
            ColumnType::MYSQL_TYPE_DOUBLE,
            CollationId::BINARY,
            22,
            ColumnFlags::BINARY_FLAG | ColumnFlags::NUM_FLAG,
            NOT_FIXED,
        ),
        ColumnKind::Bytes => (
            ColumnType::MYSQL_TYPE_BLOB,
            CollationId::BINARY,
            0xff_ffff,
            ColumnFlags::BINARY_FLAG | ColumnFlags::BLOB_FLAG,
            0,
        ),
    };
    ColumnDefinition {
        name: &column.name,
        kind,
        charset,
        length,
        flags,
        decimals,
    }
}

fn text_row(payload: &mut Vec<u8>, row: &[Value]) {
    for value in row {
        put_text(payload, value);
    }
}

fn put_text(payload: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => payload.put_u8(TEXT_NULL),
        Value::Integer(number) => payload.put_lenenc_str(number.to_string().as_bytes()),
        Value::Double(number) => match decimal(*number) {
            Some(text) => payload.put_lenenc_str(text.as_bytes()),
            None => payload.put_u8(TEXT_NULL),
        },
        Value::Text(text) => payload.put_lenenc_str(text.as_bytes()),
        Value::Bytes(bytes) => payload.put_lenenc_str(bytes),
    }
}

/// A number as MySQL writes it: with an exponent if it is very large or small. `None` for what is no number.
fn decimal(number: f64) -> Option<String> {
    let plain = number == 0.0 || (1e-15..1e15).contains(&number.abs());
    match plain {
        _ if !number.is_finite() => None,
        true => Some(number.to_string()),
        false => Some(format!("{number:e}")),
    }
}

fn binary_row(payload: &mut Vec<u8>, columns: &[Column], row: &[Value]) {
    payload.put_u8(0x00);
    let mut nulls = NullBitmap::<ServerSide>::new(columns.len());
    let start = payload.len();
    payload.extend_from_slice(nulls.as_ref());
    for (index, column) in columns.iter().enumerate() {
        let value = row.get(index).unwrap_or(&Value::Null);
        if !put_binary(payload, column.kind, value) {
            nulls.set(index, true);
        }
    }
    let end = start + nulls.as_ref().len();
    payload[start..end].copy_from_slice(nulls.as_ref());
}

/// False if the value is NULL, or is nothing that a column of this kind can hold.
fn put_binary(payload: &mut Vec<u8>, kind: ColumnKind, value: &Value) -> bool {
    match (kind, value) {
        (_, Value::Null) => return false,
        (ColumnKind::Text | ColumnKind::Bytes, Value::Double(number)) if !number.is_finite() => {
            return false;
        }
        (ColumnKind::Text | ColumnKind::Bytes, value) => put_text(payload, value),
        (ColumnKind::Integer, Value::Integer(number)) => payload.put_i64_le(*number),
        (ColumnKind::Double, Value::Double(number)) => payload.put_f64_le(*number),
        // A column whose values have another type than it has: SQLite's types belong to values, not to columns.
        (ColumnKind::Integer, other) => match number_of(other) {
            Some(number) => payload.put_i64_le(whole(number)),
            None => return false,
        },
        (ColumnKind::Double, other) => match number_of(other) {
            Some(number) => payload.put_f64_le(number),
            None => return false,
        },
    }
    true
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => number.to_string().parse().ok(),
        Value::Double(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Null | Value::Bytes(_) => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "MySQL rounds and saturates here too, and so does `as`"
)]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

#[cfg(test)]
mod tests {
    use mysql_common::proto::MySerialize;

    use super::*;

    fn column(kind: ColumnKind) -> Column {
        Column {
            name: "a".to_owned(),
            kind,
        }
    }

    #[track_caller]
    fn check_definition(kind: ColumnKind, expected: &[u8]) {
        let mut bytes = Vec::new();
        definition(&column(kind)).serialize(&mut bytes);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn columns_are_defined_as_documented() {
        check_definition(
            ColumnKind::Text,
            b"\x03def\0\0\0\x01a\x01a\x0c\x2d\0\xfc\xff\x03\0\xfd\0\0\x1f\0\0",
        );
        check_definition(
            ColumnKind::Integer,
            b"\x03def\0\0\0\x01a\x01a\x0c\x3f\0\x14\0\0\0\x08\x80\x80\0\0\0",
        );
    }

    #[track_caller]
    fn check_row(kind: ColumnKind, value: Value, text: &[u8], binary: &[u8]) {
        let row = [value];
        let (mut as_text, mut as_binary) = (Vec::new(), Vec::new());
        text_row(&mut as_text, &row);
        binary_row(&mut as_binary, &[column(kind)], &row);
        assert_eq!(as_text, text);
        assert_eq!(as_binary, binary);
    }

    #[test]
    fn values_are_written_in_both_forms() {
        let text = |text: &str| Value::Text(text.to_owned());
        check_row(
            ColumnKind::Text,
            text("hé"),
            b"\x03h\xc3\xa9",
            b"\0\0\x03h\xc3\xa9",
        );
        check_row(ColumnKind::Text, Value::Null, b"\xfb", b"\0\x04");
        check_row(
            ColumnKind::Text,
            Value::Integer(-7),
            b"\x02-7",
            b"\0\0\x02-7",
        );
        check_row(
            ColumnKind::Integer,
            Value::Integer(1),
            b"\x011",
            b"\0\0\x01\0\0\0\0\0\0\0",
        );
        check_row(
            ColumnKind::Integer,
            text("2.5"),
            b"\x032.5",
            b"\0\0\x03\0\0\0\0\0\0\0",
        );
        check_row(ColumnKind::Integer, text("x"), b"\x01x", b"\0\x04");
        check_row(
            ColumnKind::Double,
            Value::Double(0.5),
            b"\x030.5",
            b"\0\0\0\0\0\0\0\0\xe0\x3f",
        );
        check_row(
            ColumnKind::Double,
            Value::Integer(2),
            b"\x012",
            b"\0\0\0\0\0\0\0\0\0\x40",
        );
        check_row(
            ColumnKind::Bytes,
            Value::Bytes(vec![0, 255]),
            b"\x02\0\xff",
            b"\0\0\x02\0\xff",
        );
        check_row(
            ColumnKind::Text,
            Value::Double(f64::NAN),
            b"\xfb",
            b"\0\x04",
        );
    }

    #[test]
    fn numbers_read_as_in_mysql() {
        assert_eq!(decimal(2.0).unwrap(), "2");
        assert_eq!(decimal(-0.25).unwrap(), "-0.25");
        assert_eq!(decimal(1e300).unwrap(), "1e300");
        assert_eq!(decimal(f64::INFINITY), None);
    }
}
