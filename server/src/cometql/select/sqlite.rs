//! Runs translated queries in SQLite: one connection for each, with only the tables that the query names, behind an
//! authorizer and limits. It must not know the language nor reach live state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use cometql_protocol::TenantId;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement, ToSql, params_from_iter};

use super::translate::{CTE_PREFIX, NATIVE, Output};
use super::vtab::{self, Snapshots};
use super::{durable, functions};
use crate::cometql::{Column, ColumnKind, RowSet, SqlError, Value, errors};

/// Longest text or blob, in bytes: twice the largest publication would do, functions may join some.
pub(super) const VALUE_BYTES: i32 = 16 << 20;
/// Most bytes of a result.
const RESULT_BYTES: usize = 64 << 20;
/// Most memory that SQLite may take while a query runs, in bytes. It counts for the whole process, so that many queries
/// together stay below it, too.
const MEMORY_BYTES: i64 = 256 << 20;
/// How many steps of SQLite's machine pass between two looks at the clock.
const STEPS: i32 = 1_000;

/// A query and all that it needs.
pub(super) struct Job {
    pub(super) sql: String,
    pub(super) output: Vec<Output>,
    /// What to bind.
    pub(super) values: Vec<Value>,
    /// The tables that it reads.
    pub(super) tables: Vec<String>,
    pub(super) snapshots: Snapshots,
    pub(super) tenant: TenantId,
    /// Longest time.
    pub(super) time: Duration,
    /// Most rows.
    pub(super) rows: usize,
}

/// Why a query was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Time = 1,
    Memory = 2,
    Abandoned = 3,
}

/// Ends the query when whoever waits for it is gone.
pub(super) struct Watch(Arc<AtomicU8>);

impl Watch {
    /// A watch, and what the query looks at.
    pub(super) fn new() -> (Self, Arc<AtomicU8>) {
        let flag = Arc::new(AtomicU8::new(0));
        (Self(Arc::clone(&flag)), flag)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(Stop::Abandoned as u8, Ordering::Relaxed);
    }
}

/// Runs a query to its end.
pub(super) fn execute(
    mut connection: Connection,
    job: &Job,
    stop: &Arc<AtomicU8>,
) -> Result<RowSet, SqlError> {
    let started = Instant::now();
    let answer = prepare(&mut connection, job)
        .and_then(|()| guard(&mut connection, job, stop, started))
        .map_err(|failure| told(&failure, job, stop))
        .and_then(|()| {
            let mut statement = connection
                .prepare(&job.sql)
                .map_err(|failure| told(&failure, job, stop))?;
            let rows = rows(&mut statement, job, stop)?;
            Ok(shaped(&job.output, rows))
        });
    if let Err(failure) = &answer
        && failure.code == 500
    {
        tracing::error!(
            tenant = job.tenant.0,
            message = failure.message,
            "SELECT failed"
        );
    }
    answer
}

/// What SQLite would do for a query: `id`, `parent`, `detail`.
pub(super) fn explain(
    connection: Connection,
    mut job: Job,
    stop: &Arc<AtomicU8>,
) -> Result<Vec<Vec<Value>>, SqlError> {
    job.sql = format!("EXPLAIN QUERY PLAN {}", job.sql);
    job.output = ["id", "parent", "unused", "detail"]
        .map(|name| Output {
            name: name.to_owned(),
            kind: None,
            fixed: false,
        })
        .into();
    Ok(execute(connection, &job, stop)?.rows)
}

/// The functions, tables and settings of the connection.
fn prepare(connection: &mut Connection, job: &Job) -> rusqlite::Result<()> {
    // Temporary views are written to the connection's own schema, never to the file.
    connection.execute_batch("PRAGMA query_only = 0; PRAGMA temp_store = MEMORY")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    functions::register(connection)?;
    vtab::register(connection, &job.snapshots)?;
    // The message counter of a channel costs a sort, so it is made only where it is read.
    let counted = job.sql.contains("\"index\"");
    // What a snapshot has is not in the store.
    let stored = job.tables.iter();
    for table in stored.filter(|table| !job.snapshots.contains_key(*table)) {
        if let Some(view) = durable::view(table, job.tenant, counted) {
            connection.execute_batch(&view)?;
        }
    }
    Ok(())
}

/// From here on only what the query may do is possible.
fn guard(
    connection: &mut Connection,
    job: &Job,
    stop: &Arc<AtomicU8>,
    started: Instant,
) -> rusqlite::Result<()> {
    let mut tables = job.tables.clone();
    tables.extend(job.snapshots.keys().cloned());
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        if allowed(&context, &tables) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }))?;
    let (stop, time) = (Arc::clone(stop), job.time);
    let memory = vtab::memory_used().saturating_add(MEMORY_BYTES);
    connection.progress_handler(
        STEPS,
        Some(move || {
            let reason = if started.elapsed() > time {
                Stop::Time
            } else if vtab::memory_used() > memory {
                Stop::Memory
            } else {
                return stop.load(Ordering::Relaxed) != 0;
            };
            stop.store(reason as u8, Ordering::Relaxed);
            true
        }),
    )
}

/// Whether the query may do this: read its own tables in `temp`, and the store's tables only from within the views,
/// which are the only objects with those names.
fn allowed(context: &AuthContext<'_>, tables: &[String]) -> bool {
    let known = |name: &str| tables.iter().any(|table| table == name);
    match context.action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read {
            table_name,
            column_name,
        } => match context.database_name {
            Some("temp") => known(table_name),
            Some("main") => context.accessor.is_some_and(known) && durable::is_stored(table_name),
            // `COUNT(*)` of a common table expression: no table of the store has such a name.
            None => column_name.is_empty() && table_name.starts_with(CTE_PREFIX),
            Some(_) => false,
        },
        // `COUNT(*)` of a subquery, which has no name.
        AuthAction::Unknown {
            code: rusqlite::ffi::SQLITE_READ,
            arg1: None,
            ..
        } => true,
        AuthAction::Function { function_name } => {
            function_name.starts_with("my_") || NATIVE.contains(&function_name)
        }
        _ => false,
    }
}

fn rows(
    statement: &mut Statement<'_>,
    job: &Job,
    stop: &Arc<AtomicU8>,
) -> Result<Vec<Vec<Value>>, SqlError> {
    let failed = |failure: rusqlite::Error| told(&failure, job, stop);
    let width = statement.column_count();
    let mut found = statement
        .query(params_from_iter(job.values.iter().map(Bound)))
        .map_err(failed)?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = found.next().map_err(failed)? {
        let mut values = Vec::with_capacity(width);
        for column in 0..width {
            let value = owned(row.get_ref(column).map_err(failed)?);
            bytes += weight(&value);
            values.push(value);
        }
        rows.push(values);
        if rows.len() > job.rows || bytes > RESULT_BYTES {
            let message = format!(
                "The result has more than {} rows or {} MiB: add LIMIT or conditions",
                job.rows,
                RESULT_BYTES >> 20
            );
            return Err(errors::too_big(message));
        }
    }
    Ok(rows)
}

/// A value on its way into SQLite.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Double(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            // Drivers send texts as bytes, too: what is text is bound as text, so that it compares as text.
            Value::Bytes(bytes) if std::str::from_utf8(bytes).is_ok() => ValueRef::Text(bytes),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Double(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// The bytes that a value takes in memory, roughly.
fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Null | Value::Integer(_) | Value::Double(_) => 0,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        }
}

/// Rows with the types of their columns.
fn shaped(output: &[Output], mut rows: Vec<Vec<Value>>) -> RowSet {
    let columns: Vec<_> = output
        .iter()
        .enumerate()
        .map(|(number, column)| Column {
            name: column.name.clone(),
            kind: final_kind(column, rows.iter().map(|row| &row[number])),
        })
        .collect();
    for row in &mut rows {
        for (value, column) in row.iter_mut().zip(&columns) {
            convert(value, column.kind);
        }
    }
    RowSet { columns, rows }
}

/// The type of a column: what is fixed stays, the rest follows the values.
fn final_kind<'a>(column: &Output, values: impl Iterator<Item = &'a Value>) -> ColumnKind {
    let expected = column.kind.unwrap_or(ColumnKind::Text);
    if column.fixed {
        return expected;
    }
    let mut seen = None;
    for value in values {
        let kind = match value {
            Value::Null => continue,
            Value::Integer(_) => ColumnKind::Integer,
            Value::Double(_) => ColumnKind::Double,
            Value::Text(_) => ColumnKind::Text,
            Value::Bytes(_) => ColumnKind::Bytes,
        };
        seen = Some(match (seen, kind) {
            (None, kind) => kind,
            (Some(seen), kind) if seen == kind => kind,
            (
                Some(ColumnKind::Integer | ColumnKind::Double),
                ColumnKind::Integer | ColumnKind::Double,
            ) => ColumnKind::Double,
            (Some(ColumnKind::Bytes), _) | (_, ColumnKind::Bytes) => ColumnKind::Bytes,
            _ => ColumnKind::Text,
        });
    }
    match (seen, expected) {
        (None, expected) => expected,
        (Some(ColumnKind::Integer), ColumnKind::Double) => ColumnKind::Double,
        (Some(seen), _) => seen,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a column of doubles loses these digits in MySQL, too"
)]
fn convert(value: &mut Value, kind: ColumnKind) {
    let converted = match (&*value, kind) {
        (Value::Integer(number), ColumnKind::Text) => Value::Text(number.to_string()),
        (Value::Double(number), ColumnKind::Text) => Value::Text(number.to_string()),
        (Value::Integer(number), ColumnKind::Double) => Value::Double(*number as f64),
        (Value::Integer(number), ColumnKind::Bytes) => Value::Bytes(number.to_string().into()),
        (Value::Double(number), ColumnKind::Bytes) => Value::Bytes(number.to_string().into()),
        (Value::Text(text), ColumnKind::Bytes) => Value::Bytes(text.clone().into()),
        _ => return,
    };
    *value = converted;
}

/// SQLite's failure as backends see it.
fn told(failure: &rusqlite::Error, job: &Job, stop: &AtomicU8) -> SqlError {
    let message = match failure {
        rusqlite::Error::SqliteFailure(code, message) => {
            let message = message.clone().unwrap_or_else(|| code.to_string());
            match code.code {
                ErrorCode::OperationInterrupted => return stopped(job, stop),
                ErrorCode::AuthorizationForStatementDenied => return errors::access_denied(),
                ErrorCode::TooBig => return errors::too_long("A value of this SELECT"),
                ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DiskFull => return SqlError::new(503, message),
                _ => message,
            }
        }
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    let begins = |start: &str| message.starts_with(start);
    if begins("no such column") || begins("ambiguous column name") {
        return SqlError::new(14, format!("Not a specific column: {message}"));
    }
    if begins("access to ") || begins("not authorized") {
        return errors::access_denied();
    }
    errors::syntax(message)
}

fn stopped(job: &Job, stop: &AtomicU8) -> SqlError {
    let reason = stop.load(Ordering::Relaxed);
    if reason == Stop::Memory as u8 {
        let message = format!(
            "The SELECT needs more than {} MiB of memory: add conditions",
            MEMORY_BYTES >> 20
        );
        return errors::too_big(message);
    }
    let message = format!(
        "The SELECT took longer than {} ms and was stopped: add conditions",
        job.time.as_millis()
    );
    errors::timeout(message)
}
