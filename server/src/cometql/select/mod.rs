//! SELECT with all that the look-ups by key don't do: joins, expressions, grouping, order, `information_schema`.

use super::parse::ast::Query;
use super::{Column, Context, Outcome, SqlError, SqlSession, Value};

/// Runs a SELECT that is no simple look-up.
///
/// # Errors
/// Code 2 for what is not supported (by name), 13–15 for tables and columns, 500 for defects.
pub(crate) async fn run(
    context: &Context,
    session: &SqlSession,
    query: &Query,
    values: &[Value],
) -> Result<Outcome, SqlError> {
    _ = (context, session, query, values);
    Err(SqlError::new(2, "This form of SELECT is not implemented"))
}

/// The columns that [`run`] will return, as far as they can be told without values.
pub(crate) fn columns(query: &Query) -> Vec<Column> {
    _ = query;
    Vec::new()
}
