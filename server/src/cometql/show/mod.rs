//! SHOW and DESCRIBE: live state and the catalog as rows, within the session's tenant.

use super::parse::{Show, ShowWhat, StatusOf};
use super::{
    Column, ColumnKind, Context, Outcome, RowSet, SqlError, SqlSession, Value, errors, variables,
};

mod filter;
mod live;
mod schema;
mod status;

pub(super) use status::sees_node;

/// A row.
type Row = Vec<Value>;

/// The columns of what is shown.
pub(super) fn columns(what: &ShowWhat) -> Vec<Column> {
    let integers = integers(what);
    names(what)
        .iter()
        .map(|&name| Column {
            name: name.to_owned(),
            kind: if integers.contains(&name) {
                ColumnKind::Integer
            } else {
                ColumnKind::Text
            },
        })
        .collect()
}

/// Names of the columns, in order.
fn names(what: &ShowWhat) -> &[&'static str] {
    match what {
        ShowWhat::Databases => &["Database"],
        ShowWhat::Tables { full: false } => &["Tables"],
        ShowWhat::Tables { full: true } => &["Tables", "Table_type"],
        ShowWhat::TableStatus => schema::TABLE_STATUS,
        ShowWhat::Columns { full: false, .. } => {
            &["Field", "Type", "Null", "Key", "Default", "Extra"]
        }
        ShowWhat::Columns { full: true, .. } => &[
            "Field",
            "Type",
            "Collation",
            "Null",
            "Key",
            "Default",
            "Extra",
            "Privileges",
            "Comment",
        ],
        ShowWhat::CreateTable(_) => &["Table", "Create Table"],
        ShowWhat::CreateDatabase(_) => &["Database", "Create Database"],
        ShowWhat::Index(_) => schema::INDEX,
        ShowWhat::Status(_) | ShowWhat::Variables => &["Variable_name", "Value"],
        ShowWhat::Processlist => &[
            "Id", "User", "Host", "db", "Command", "Time", "State", "Info",
        ],
        ShowWhat::Connections => &[
            "Id",
            "Tenant",
            "User_id",
            "Kind",
            "Host",
            "Subscriptions",
            "Seconds",
            "User_agent",
            "Origin",
            "Node",
        ],
        ShowWhat::Warnings => &["Level", "Code", "Message"],
        ShowWhat::WarningCount => &["@@session.warning_count"],
        ShowWhat::Engines => &[
            "Engine",
            "Support",
            "Comment",
            "Transactions",
            "XA",
            "Savepoints",
        ],
        ShowWhat::CharacterSet => &["Charset", "Description", "Default collation", "Maxlen"],
        ShowWhat::Collation => &[
            "Collation",
            "Charset",
            "Id",
            "Default",
            "Compiled",
            "Sortlen",
        ],
        ShowWhat::Grants => &["Grants"],
        ShowWhat::Empty(names) => names,
    }
}

/// Those of them that are numbers.
fn integers(what: &ShowWhat) -> &'static [&'static str] {
    match what {
        ShowWhat::Processlist => &["Id", "Time"],
        ShowWhat::Connections => &["Id", "Tenant", "User_id", "Subscriptions", "Seconds"],
        ShowWhat::Warnings => &["Code"],
        ShowWhat::WarningCount => &["@@session.warning_count"],
        ShowWhat::CharacterSet => &["Maxlen"],
        ShowWhat::Collation => &["Id", "Sortlen"],
        _ => &[],
    }
}

/// Carries out a SHOW.
pub(super) async fn run(
    context: &Context,
    session: &SqlSession,
    show: &Show,
    values: &[Value],
) -> Result<Outcome, SqlError> {
    let columns = columns(&show.what);
    let mut rows = Vec::new();
    let (offset, limit) = show.limit.bind(values);
    for row in all_rows(context, session, &show.what).await? {
        if filter::holds(&show.filter, &columns, &row, values)? {
            rows.push(row);
        }
    }
    let rows = rows
        .into_iter()
        .skip(offset)
        .take(limit.unwrap_or(usize::MAX))
        .collect();
    Ok(Outcome::Rows(RowSet { columns, rows }))
}

async fn all_rows(
    context: &Context,
    session: &SqlSession,
    what: &ShowWhat,
) -> Result<Vec<Row>, SqlError> {
    Ok(match what {
        ShowWhat::Databases => vec![texts(&[super::DATABASE]), texts(&["information_schema"])],
        ShowWhat::Tables { full } => schema::tables(*full),
        ShowWhat::TableStatus => schema::table_status(),
        ShowWhat::Columns {
            table,
            full,
            column,
        } => schema::columns(table, *full, column.as_deref()),
        ShowWhat::CreateTable(table) => schema::create_table(table),
        ShowWhat::CreateDatabase(name) => schema::create_database(name),
        ShowWhat::Index(table) => schema::index(table),
        ShowWhat::Status(of) => node_status(context, session, *of).await?,
        ShowWhat::Variables => {
            let all = variables::all(context, session).into_iter();
            all.map(|(name, value)| vec![text(name), as_text(value)])
                .collect()
        }
        ShowWhat::Processlist => live::processes(context, session).await,
        ShowWhat::Connections => live::connections(context, session).await,
        ShowWhat::Warnings => {
            let warnings = session.warnings.iter();
            warnings
                .map(|w| {
                    vec![
                        text("Warning"),
                        Value::Integer(w.code.into()),
                        text(&w.message),
                    ]
                })
                .collect()
        }
        ShowWhat::WarningCount => vec![vec![number(session.warnings.len() as u64)]],
        ShowWhat::Engines => vec![texts(&[
            "CometQL",
            "DEFAULT",
            "Live state, and a log on disk",
            "NO",
            "NO",
            "NO",
        ])],
        ShowWhat::CharacterSet => vec![vec![
            text("utf8mb4"),
            text("UTF-8 Unicode"),
            text("utf8mb4_general_ci"),
            Value::Integer(4),
        ]],
        ShowWhat::Collation => vec![vec![
            text("utf8mb4_general_ci"),
            text("utf8mb4"),
            Value::Integer(45),
            text("Yes"),
            text("Yes"),
            Value::Integer(1),
        ]],
        ShowWhat::Grants => vec![vec![Value::Text(format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON `{}`.* TO `{}`@`%`",
            super::DATABASE,
            session.user
        ))]],
        ShowWhat::Empty(_) => Vec::new(),
    })
}

/// What the machine is doing is nobody's business but the admin's; the rest is the tenant's own.
async fn node_status(
    context: &Context,
    session: &SqlSession,
    of: StatusOf,
) -> Result<Vec<Row>, SqlError> {
    let pairs = match of {
        StatusOf::Session => status::session(context, session).await,
        StatusOf::Global => status::global(context, session).await,
        _ if !session.admin => {
            return Err(errors::access_denied());
        }
        StatusOf::Filesystem => status::filesystem(context),
        StatusOf::Ram => status::memory(),
        StatusOf::Average => status::load(),
        StatusOf::Uptime => status::uptime(),
    };
    Ok(pairs
        .into_iter()
        .map(|(name, value)| vec![Value::Text(name), Value::Text(value)])
        .collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn texts(row: &[&str]) -> Row {
    row.iter().map(|t| text(t)).collect()
}

fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn as_text(value: Value) -> Value {
    match value {
        Value::Integer(n) => Value::Text(n.to_string()),
        Value::Double(n) => Value::Text(n.to_string()),
        other => other,
    }
}
