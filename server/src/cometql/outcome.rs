//! What came of a statement, before any wire format.

/// What came of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// No rows: INSERT, DELETE, SET, USE, KILL …
    Done(Done),
    /// Rows.
    Rows(RowSet),
}

/// The numbers of an OK packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// As the original counts them.
    pub affected_rows: u64,
    /// As the original sets it.
    pub last_insert_id: u64,
    /// The info string, may be empty: `Reached: 3`.
    pub info: String,
}

/// A result set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowSet {
    /// In order.
    pub columns: Vec<Column>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// A column of a result set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As written or aliased.
    pub name: String,
    /// How it goes over the wire.
    pub kind: ColumnKind,
}

/// How a column goes over the wire. The original's own columns are all `Text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// `VAR_STRING`.
    Text,
    /// `LONGLONG`.
    Integer,
    /// `DOUBLE`.
    Double,
    /// `BLOB`.
    Bytes,
}

/// A value: of a result row, or bound to a placeholder.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Double(f64),
    /// Text.
    Text(String),
    /// Bytes that may not be text.
    Bytes(Vec<u8>),
}

/// A refusal as backends see it: code and SQLSTATE are the contract, the message may change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error {code} ({state}): {message}")]
pub struct SqlError {
    /// The original's codes (1–21, 403, 500), or MySQL's where a driver depends on it.
    pub code: u16,
    /// Five characters.
    pub state: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// After so many milliseconds the same may succeed.
    pub retry_ms: Option<u64>,
}

/// What a statement did other than asked, or could not tell: the code is the contract, the message may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// One of [`super::errors::WARNINGS`].
    pub code: u16,
    /// What it is.
    pub message: String,
}

impl SqlError {
    /// An error with the original's SQLSTATE, `HY000`.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            state: "HY000",
            message: message.into(),
            retry_ms: None,
        }
    }
}
