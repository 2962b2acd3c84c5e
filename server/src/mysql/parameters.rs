//! The values of `COM_STMT_EXECUTE`: from the binary protocol to the language's values. Never panics on what it reads.

use std::collections::BTreeMap;
use std::fmt::Write;

use mysql_common::constants::{ColumnFlags, ColumnType};
use mysql_common::io::ParseBuf;
use mysql_common::packets::NullBitmap;
use mysql_common::value::{BinValue, ClientSide, Value as Wire, ValueDeserializer};

use crate::cometql::Value;

/// The bit of a parameter's type that makes its number unsigned.
const UNSIGNED: u8 = 0x80;

/// Type and signedness of a parameter, as the client declared them.
pub(super) type ParameterType = (ColumnType, ColumnFlags);

/// The packet does not hold what it declares.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadParameters {
    /// It ends too early.
    #[error("the packet ends before its parameters do")]
    Truncated,
    /// A type that parameters don't have.
    #[error("parameter type {0} is not supported")]
    Type(u8),
    /// The first EXECUTE of a statement must declare the types.
    #[error("the types of the parameters were never sent")]
    NoTypes,
}

/// Reads the values. `types` are those of the last EXECUTE and become those of this one; `long` holds what
/// `COM_STMT_SEND_LONG_DATA` brought.
pub(super) fn decode(
    packet: &[u8],
    count: usize,
    types: &mut Vec<ParameterType>,
    long: &BTreeMap<u16, Vec<u8>>,
) -> Result<Vec<Value>, BadParameters> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut rest = ParseBuf(packet);
    let nulls = rest
        .checked_eat(NullBitmap::<ClientSide, Vec<u8>>::bitmap_len(count))
        .ok_or(BadParameters::Truncated)?;
    let nulls = NullBitmap::<ClientSide, &[u8]>::from_bytes(nulls);
    if rest.checked_eat_u8().ok_or(BadParameters::Truncated)? == 1 {
        *types = decode_types(&mut rest, count)?;
    }
    if types.len() != count {
        return Err(BadParameters::NoTypes);
    }
    let mut values = Vec::with_capacity(count);
    for (index, &kind) in types.iter().enumerate() {
        let sent = u16::try_from(index).ok().and_then(|index| long.get(&index));
        values.push(match sent {
            Some(bytes) => text_or_bytes(bytes.clone()),
            None if nulls.is_null(index) => Value::Null,
            None => decode_value(&mut rest, kind)?,
        });
    }
    Ok(values)
}

fn decode_types(
    rest: &mut ParseBuf<'_>,
    count: usize,
) -> Result<Vec<ParameterType>, BadParameters> {
    let bytes = rest
        .checked_eat(count * 2)
        .ok_or(BadParameters::Truncated)?;
    bytes
        .chunks_exact(2)
        .map(|pair| {
            let kind = ColumnType::try_from(pair[0]).map_err(|_| BadParameters::Type(pair[0]))?;
            if !is_parameter(kind) {
                return Err(BadParameters::Type(pair[0]));
            }
            let unsigned = pair[1] & UNSIGNED != 0;
            let mut flags = ColumnFlags::empty();
            flags.set(ColumnFlags::UNSIGNED_FLAG, unsigned);
            Ok((kind, flags))
        })
        .collect()
}

/// The others exist in binlogs only; `mysql_common` would panic on their values.
fn is_parameter(kind: ColumnType) -> bool {
    !matches!(
        kind,
        ColumnType::MYSQL_TYPE_TIMESTAMP2
            | ColumnType::MYSQL_TYPE_DATETIME2
            | ColumnType::MYSQL_TYPE_TIME2
            | ColumnType::MYSQL_TYPE_TYPED_ARRAY
            | ColumnType::MYSQL_TYPE_UNKNOWN
    )
}

fn decode_value(rest: &mut ParseBuf<'_>, kind: ParameterType) -> Result<Value, BadParameters> {
    let value: ValueDeserializer<BinValue> =
        rest.parse(kind).map_err(|_| BadParameters::Truncated)?;
    let date_only = kind.0 == ColumnType::MYSQL_TYPE_DATE;
    Ok(match value.0 {
        Wire::NULL => Value::Null,
        Wire::Bytes(bytes) => text_or_bytes(bytes),
        Wire::Int(number) => Value::Integer(number),
        Wire::UInt(number) => {
            i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Integer)
        }
        // Through its shortest text: 0.1 stays 0.1, as MySQL has it, and does not become 0.10000000149.
        Wire::Float(number) => Value::Double(number.to_string().parse().unwrap_or_default()),
        Wire::Double(number) => Value::Double(number),
        Wire::Date(year, month, day, hour, minute, second, micros) => {
            let mut text = format!("{year:04}-{month:02}-{day:02}");
            if !date_only {
                // Writing to a String does not fail.
                _ = write!(text, " {hour:02}:{minute:02}:{second:02}");
                fraction(&mut text, micros);
            }
            Value::Text(text)
        }
        Wire::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            let mut text = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}");
            fraction(&mut text, micros);
            Value::Text(text)
        }
    })
}

fn fraction(text: &mut String, micros: u32) {
    if micros != 0 {
        // Writing to a String does not fail.
        _ = write!(text, ".{micros:06}");
    }
}

fn text_or_bytes(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text),
        Err(error) => Value::Bytes(error.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(packet: &[u8], count: usize, expected: Result<&[Value], BadParameters>) {
        let found = decode(packet, count, &mut Vec::new(), &BTreeMap::new());
        assert_eq!(found, expected.map(<[Value]>::to_vec));
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn values_of_each_type_are_read() {
        check(
            b"\x02\x01\x08\x00\xfd\x00\x07\0\0\0\0\0\0\0",
            2,
            Ok(&[Value::Integer(7), Value::Null]),
        );
        check(b"\x00\x01\xfd\x00\x02hi", 1, Ok(&[text("hi")]));
        check(
            b"\x00\x01\xfc\x00\x02\xff\xfe",
            1,
            Ok(&[Value::Bytes(vec![0xff, 0xfe])]),
        );
        check(b"\x00\x01\x01\x80\xff", 1, Ok(&[Value::Integer(255)]));
        check(b"\x00\x01\x01\x00\xff", 1, Ok(&[Value::Integer(-1)]));
        check(
            b"\x00\x01\x08\x80\xff\xff\xff\xff\xff\xff\xff\xff",
            1,
            Ok(&[text("18446744073709551615")]),
        );
        check(
            b"\x00\x01\x04\x00\xcd\xcc\xcc\x3d",
            1,
            Ok(&[Value::Double(0.1)]),
        );
        check(
            b"\x00\x01\x0c\x00\x0b\xea\x07\x0b\x16\x11\x07\x05\x40\xe2\x01\x00",
            1,
            Ok(&[text("2026-11-22 17:07:05.123456")]),
        );
        check(
            b"\x00\x01\x0a\x00\x04\xea\x07\x0b\x16",
            1,
            Ok(&[text("2026-11-22")]),
        );
        check(
            b"\x00\x01\x07\x00\x00",
            1,
            Ok(&[text("0000-00-00 00:00:00")]),
        );
        check(
            b"\x00\x01\x0b\x00\x08\x01\x02\0\0\0\x03\x04\x05",
            1,
            Ok(&[text("-51:04:05")]),
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        check(b"", 1, Err(BadParameters::Truncated));
        check(b"\x00", 1, Err(BadParameters::Truncated));
        check(b"\x00\x00", 1, Err(BadParameters::NoTypes));
        check(b"\x00\x01\x08", 1, Err(BadParameters::Truncated));
        check(b"\x00\x01\x08\x00\x07", 1, Err(BadParameters::Truncated));
        check(
            b"\x00\x01\xfd\x00\xfc\xff",
            1,
            Err(BadParameters::Truncated),
        );
        check(b"\x00\x01\x12\x00\x00", 1, Err(BadParameters::Type(0x12)));
        check(b"\x00\x01\x99\x00\x00", 1, Err(BadParameters::Type(0x99)));
    }

    #[test]
    fn long_data_comes_before_everything() {
        let long = BTreeMap::from([(0, b"long".to_vec())]);
        let mut types = Vec::new();
        let packet = b"\x00\x01\xfc\x00\x01\x00\x05";
        let values = decode(packet, 2, &mut types, &long);
        assert_eq!(values, Ok(vec![text("long"), Value::Integer(5)]));
        let again = decode(b"\x00\x00\x06", 2, &mut types, &long);
        assert_eq!(again, Ok(vec![text("long"), Value::Integer(6)]));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            packet in proptest::collection::vec(any::<u8>(), 0..64),
            count in 0_usize..20,
        ) {
            _ = decode(&packet, count, &mut Vec::new(), &BTreeMap::new());
        }

        #[test]
        fn garbage_of_each_type_never_panics(
            kind in any::<u8>(),
            unsigned in any::<bool>(),
            value in proptest::collection::vec(any::<u8>(), 0..24),
        ) {
            let mut packet = vec![0, 1, kind, u8::from(unsigned) << 7];
            packet.extend(value);
            _ = decode(&packet, 1, &mut Vec::new(), &BTreeMap::new());
        }
    }
}
