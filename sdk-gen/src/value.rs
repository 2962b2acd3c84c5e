//! Values of statements, to the server and back.

use mysql_async::Value as Wire;
use mysql_async::consts::ColumnType;

/// A value that is bound to a `?`, or that stands in a row.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number. The server has no larger ones: what is larger is text.
    Int {
        /// The number.
        value: i64,
    },
    /// A number with a fraction.
    Float {
        /// The number.
        value: f64,
    },
    /// Text.
    Text {
        /// The text.
        value: String,
    },
    /// Bytes; in rows, those that are no text.
    Blob {
        /// The bytes.
        value: Vec<u8>,
    },
}

impl From<Value> for Wire {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Int { value } => Self::Int(value),
            Value::Float { value } => Self::Double(value),
            Value::Text { value } => Self::Bytes(value.into_bytes()),
            Value::Blob { value } => Self::Bytes(value),
        }
    }
}

impl Value {
    /// What a column of this type holds.
    pub(crate) fn read(wire: Wire, kind: ColumnType) -> Self {
        match wire {
            Wire::NULL => Self::Null,
            Wire::Int(value) => Self::Int { value },
            Wire::UInt(value) => match i64::try_from(value) {
                Ok(value) => Self::Int { value },
                Err(_) => Self::Text {
                    value: value.to_string(),
                },
            },
            Wire::Float(value) => Self::Float {
                value: value.into(),
            },
            Wire::Double(value) => Self::Float { value },
            Wire::Bytes(bytes) if kind == ColumnType::MYSQL_TYPE_BLOB => {
                Self::Blob { value: bytes }
            }
            Wire::Bytes(bytes) => match String::from_utf8(bytes) {
                Ok(value) => Self::Text { value },
                Err(error) => Self::Blob {
                    value: error.into_bytes(),
                },
            },
            other @ (Wire::Date(..) | Wire::Time(..)) => Self::Text {
                value: other.as_sql(true).trim_matches('\'').to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wire: Wire, kind: ColumnType, expected: Value) {
        assert_eq!(Value::read(wire, kind), expected);
    }

    #[test]
    fn values_of_rows() {
        let text = ColumnType::MYSQL_TYPE_VAR_STRING;
        let number = ColumnType::MYSQL_TYPE_LONGLONG;
        check(Wire::NULL, text, Value::Null);
        check(Wire::UInt(7), number, Value::Int { value: 7 });
        let most = u64::MAX;
        let value = most.to_string();
        check(Wire::UInt(most), number, Value::Text { value });
        check(Wire::Int(-1), number, Value::Int { value: -1 });
        let value = "žluť".to_owned();
        check(
            Wire::Bytes(value.clone().into_bytes()),
            text,
            Value::Text { value },
        );
        let value = vec![0xff];
        check(
            Wire::Bytes(value.clone()),
            text,
            Value::Blob {
                value: value.clone(),
            },
        );
        let value = b"ab".to_vec();
        check(
            Wire::Bytes(value.clone()),
            ColumnType::MYSQL_TYPE_BLOB,
            Value::Blob { value },
        );
        check(
            Wire::Date(2026, 11, 23, 1, 2, 3, 0),
            text,
            Value::Text {
                value: "2026-11-23 01:02:03".to_owned(),
            },
        );
    }
}
