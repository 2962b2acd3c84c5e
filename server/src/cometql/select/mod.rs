//! SELECT with all that the look-ups by key don't do: joins, expressions, grouping, order, `information_schema`. SQLite
//! runs it over snapshots of live state beside the durable tables.

mod durable;
mod functions;
mod information_schema;
mod live;
mod sqlite;
#[cfg(test)]
mod tests;
mod translate;
mod vtab;

use std::time::Duration;

use self::sqlite::{Job, Watch};
use self::translate::{Fact, Parameter, Translation, translate};
use super::parse::ast::Query;
use super::{
    Column, ColumnKind, Context, Outcome, Place, RowSet, SqlError, SqlSession, Value, errors,
    variables,
};

/// Runs a SELECT that is no simple look-up.
///
/// # Errors
/// Code 2 for what is not supported (by name), 3 for what makes no sense, 14 and 15 for columns and tables, 18 for too
/// many terms, 1104 and 3024 for too many rows and too long a time, 429 for too many at once, 500 and 503 for defects.
pub(crate) async fn run(
    context: &Context,
    session: &SqlSession,
    query: &Query,
    values: &[Value],
) -> Result<Outcome, SqlError> {
    let translation = translate(query)?;
    let place = place(context, session).await?;
    let job = job(context, session, translation, values).await?;
    let connection = context.store.reader()?;
    let (_watch, stop) = Watch::new();
    let execute = move || {
        // A query that nobody waits for any more keeps its place until it has stopped.
        let _place = place;
        sqlite::execute(connection, &job, &stop)
    };
    let answer = tokio::task::spawn_blocking(execute).await;
    answer.map_err(|_| errors::internal())?.map(Outcome::Rows)
}

/// How a SELECT would run: MySQL's columns, a row for each table that SQLite visits.
///
/// # Errors
/// As [`run`].
pub(crate) async fn explain(
    context: &Context,
    session: &SqlSession,
    query: &Query,
    values: &[Value],
) -> Result<Outcome, SqlError> {
    let translation = translate(query)?;
    let _place = place(context, session).await?;
    let job = job(context, session, translation, values).await?;
    let connection = context.store.reader()?;
    let (_watch, stop) = Watch::new();
    let plan = tokio::task::spawn_blocking(move || sqlite::explain(connection, job, &stop)).await;
    let plan = plan.map_err(|_| errors::internal())??;
    Ok(Outcome::Rows(explained(&plan)))
}

/// The columns that [`run`] will return, as far as they can be told without values.
pub(crate) fn columns(query: &Query) -> Vec<Column> {
    let output = translate(query).map(|translation| translation.output);
    let column = |output: translate::Output| Column {
        name: output.name,
        kind: output.kind.unwrap_or(ColumnKind::Text),
    };
    output.unwrap_or_default().into_iter().map(column).collect()
}

/// Waits for a place among the SELECTs that may run at once, no longer than one of them may take.
async fn place(context: &Context, session: &SqlSession) -> Result<Place, SqlError> {
    let wait = Duration::from_millis(context.settings.load().select_ms);
    let place = context.turns.place(session.tenant);
    let place = tokio::time::timeout(wait, place).await;
    place.map_err(|_| SqlError::new(429, "Too many SELECTs run at once: try again later"))
}

async fn job(
    context: &Context,
    session: &SqlSession,
    translation: Translation,
    values: &[Value],
) -> Result<Job, SqlError> {
    let snapshots = live::snapshots(context, session, &translation, values).await?;
    let bound = translation.parameters.iter();
    let bound = bound.map(|parameter| bound_value(context, session, parameter, values));
    Ok(Job {
        values: bound.collect::<Result<_, _>>()?,
        sql: translation.sql,
        output: translation.output,
        tables: translation.tables.into_keys().collect(),
        snapshots,
        tenant: session.tenant,
        time: Duration::from_millis(context.settings.load().select_ms),
        rows: context.settings.load().select_rows,
    })
}

fn bound_value(
    context: &Context,
    session: &SqlSession,
    parameter: &Parameter,
    values: &[Value],
) -> Result<Value, SqlError> {
    Ok(match parameter {
        Parameter::Placeholder(number) => values
            .get(*number)
            .cloned()
            .ok_or_else(|| errors::invalid("There are more placeholders than values"))?,
        Parameter::Text(text) => Value::Text(text.clone()),
        Parameter::Bytes(bytes) => Value::Bytes(bytes.clone()),
        Parameter::Variable(name) => variable(context, session, name)?,
        Parameter::Session(fact) => match fact {
            Fact::Database => Value::Text(session.database.clone()),
            Fact::User => Value::Text(format!("{}@%", session.user)),
            Fact::Connection => Value::Integer(session.connection.into()),
            Fact::LastInsertId => Value::Integer(0),
            Fact::Version => variable(context, session, "version")?,
        },
    })
}

fn variable(context: &Context, session: &SqlSession, name: &str) -> Result<Value, SqlError> {
    variables::value(context, session, name).ok_or_else(|| variables::unknown(name))
}

/// A value as a whole number, where it is one.
fn number_of(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Double(number) => format!("{number}").parse().ok(),
        Value::Text(text) => {
            let text = text.trim();
            let whole = text.parse().ok();
            whole.or_else(|| number_of(&Value::Double(text.parse().ok()?)))
        }
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
        Value::Null => None,
    }
}

/// SQLite's plan (`id, parent, unused, detail`) in MySQL's columns. The number of rows is not known in advance.
fn explained(plan: &[Vec<Value>]) -> RowSet {
    let row = |(number, step): (usize, &Vec<Value>)| {
        let detail = match step.last() {
            Some(Value::Text(detail)) => detail.as_str(),
            _ => "",
        };
        let mut words = detail.split(' ');
        let (table, access) = match words.next() {
            Some("SCAN") => (words.next(), Some("ALL")),
            Some("SEARCH") => (words.next(), Some("ref")),
            _ => (None, None),
        };
        // The tables behind the views bear the same names.
        let table = table.map(|table| table.strip_prefix("main.").unwrap_or(table));
        let key = detail.split_once(" USING ").map(|(_, key)| key);
        let text =
            |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
        vec![
            Value::Text((number + 1).to_string()),
            text(Some("SIMPLE")),
            text(table),
            Value::Null,
            text(access),
            Value::Null,
            text(key),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            text(Some(detail)),
        ]
    };
    RowSet {
        columns: super::explain::statement_columns(),
        rows: plan.iter().enumerate().map(row).collect(),
    }
}
