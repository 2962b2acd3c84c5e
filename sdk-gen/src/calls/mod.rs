//! The SQL of each call. Values are bound, never spliced.

mod channels;
mod publish;
mod query;

use mysql_async::{FromRowError, Row, Value as Wire};

use crate::CometError;
use crate::error::Failure;

fn text(text: &str) -> Wire {
    Wire::Bytes(text.as_bytes().to_vec())
}

/// `?, ?, ?`
fn marks(count: usize) -> String {
    let mut marks = "?, ".repeat(count);
    marks.truncate(marks.len().saturating_sub(2));
    marks
}

/// The rows as what they have to be.
fn read<T: mysql_async::prelude::FromRow>(rows: Vec<Row>) -> Result<Vec<T>, Failure> {
    let rows = rows.into_iter().map(T::from_row_opt);
    rows.collect::<Result<_, FromRowError>>().map_err(|error| {
        let detail = format!("the answer of the server is not understood: {error}");
        Failure::Answer(CometError::Interrupted { detail })
    })
}
