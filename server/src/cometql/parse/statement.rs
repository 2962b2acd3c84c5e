//! What a statement means: the closed list of all that the language can do. Names are resolved, literals are read,
//! placeholders are open.
//!
//! Trees are behind `Arc`: a statement is cloned cheaply, and without the recursion of a deep tree's `Clone`.

use std::sync::Arc;

use super::ast;
use crate::cometql::Value;
use crate::cometql::catalog::Table;
use crate::metrics::StatementKind;

/// A statement without its placeholders' values.
#[derive(Debug, Clone)]
pub(crate) enum Parsed {
    /// Harmless and without effect: transactions, locks, `SET`, `DO 1`, an empty statement.
    Nothing,
    /// `SET wait_timeout = n`: how long the connection may be idle.
    Idle(Operand),
    /// `INSERT`, `REPLACE`.
    Insert(Insert),
    /// `UPDATE`.
    Update(Update),
    /// `DELETE`.
    Delete(Delete),
    /// `SELECT`.
    Select(Select),
    /// `SHOW`, `DESCRIBE`.
    Show(Show),
    /// `USE`.
    Use(String),
    /// `KILL`.
    Kill {
        /// As `SHOW PROCESSLIST` or `SHOW CONNECTIONS` print it.
        id: Operand,
        /// `KILL QUERY`: has no effect here.
        query: bool,
    },
    /// `EXPLAIN` of another statement.
    Explain(Box<Self>),
    /// `EXPLAIN SUBSCRIBE 'channel' FOR USER n`.
    ExplainSubscribe {
        /// The channel.
        channel: Operand,
        /// The user; 0 or NULL = anonymous.
        user: Operand,
    },
    /// `EXPLAIN MESSAGE 'id' FOR USER n`.
    ExplainMessage {
        /// The id of a private message or publication.
        message: Operand,
        /// The user.
        user: Operand,
    },
}

impl Parsed {
    /// As which it is counted.
    pub(crate) fn kind(&self) -> StatementKind {
        match self {
            Self::Insert(_) => StatementKind::Insert,
            Self::Update(_) => StatementKind::Update,
            Self::Delete(_) => StatementKind::Delete,
            Self::Select(_) => StatementKind::Select,
            Self::Show(_) => StatementKind::Show,
            Self::Nothing
            | Self::Idle(_)
            | Self::Use(_)
            | Self::Kill { .. }
            | Self::Explain(_)
            | Self::ExplainSubscribe { .. }
            | Self::ExplainMessage { .. } => StatementKind::Other,
        }
    }
}

/// A value in a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    /// A literal.
    Value(Value),
    /// The n-th `?`, from 0.
    Placeholder(usize),
    /// `DEFAULT`: as if the column was not named.
    Default,
    /// What the SELECT engine computes before the statement is carried out.
    Expression(Arc<ast::Expr>),
}

impl Operand {
    /// The value, once the placeholders' values are there.
    pub(crate) fn bind<'a>(&'a self, values: &'a [Value]) -> &'a Value {
        match self {
            Self::Value(value) => value,
            Self::Placeholder(n) => values.get(*n).unwrap_or(&Value::Null),
            Self::Default | Self::Expression(_) => &Value::Null,
        }
    }
}

/// `INSERT INTO table (columns) …`.
#[derive(Debug, Clone)]
pub(crate) struct Insert {
    pub(crate) table: &'static Table,
    /// Indexes into `table.columns`, one for each cell of a row.
    pub(crate) columns: Vec<usize>,
    pub(crate) source: Source,
    /// What happens to a row that a key table already has.
    pub(crate) existing: Existing,
}

/// Where the rows of an INSERT come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// `VALUES`, `SET`.
    Rows(Vec<Vec<Operand>>),
    /// `INSERT … SELECT`.
    Query(Arc<ast::Query>),
}

/// What an INSERT does about a row that is there already.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Existing {
    /// It is replaced, as in the original.
    Replaced,
    /// `IGNORE`, or an assignment of ON DUPLICATE KEY UPDATE that changes nothing.
    Stays,
    /// `ON DUPLICATE KEY UPDATE`: the value of the row is set.
    Set(Assigned),
}

/// What a column of a row that is there already is set to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Assigned {
    /// A value.
    Operand(Operand),
    /// What the new row would have put there: `VALUES(column)` of the column itself.
    Inserted,
    /// What an expression over both rows gives.
    Computed(Computed),
}

/// An expression of ON DUPLICATE KEY UPDATE. Bare columns mean the row that is there, `VALUES(column)` the new one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Computed {
    pub(crate) expression: Arc<ast::Expr>,
    pub(crate) alias: Option<NewRow>,
}

/// `VALUES (…) AS new` or `AS new (a, b)`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewRow {
    /// By which expressions name the new row.
    pub(crate) name: String,
    /// By which they name its columns, by index into `table.columns`; empty = by their own names.
    pub(crate) columns: Vec<(usize, String)>,
}

/// `UPDATE table SET …`.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) table: &'static Table,
    /// Indexes into `table.columns`.
    pub(crate) set: Vec<(usize, Operand)>,
    /// When the last of `set` is an expression, this is a query whose last column is the new value of each row.
    pub(crate) filter: Filter,
}

/// `DELETE FROM table …`.
#[derive(Debug, Clone)]
pub(crate) struct Delete {
    pub(crate) table: &'static Table,
    pub(crate) filter: Filter,
}

/// Which rows an UPDATE or DELETE is about.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// Columns of the key, each with its listed values; all must hold.
    Keys(Vec<(&'static str, Vec<Operand>)>),
    /// Other conditions that name the key: this query finds the rows' keys, in the order of [`key_columns`].
    Query(Arc<ast::Query>),
}

/// The columns that tell rows apart in UPDATE and DELETE.
pub(crate) fn key_columns(table: &Table) -> &'static [&'static str] {
    match table.name {
        "pipes_messages" => &["name", "id"],
        "pipes_members" => &["name", "user_id"],
        "revoked_tokens" => &["token"],
        "users_auth" | "users_data" | "users_messages" | "users_time" => &["id"],
        _ => &["name"],
    }
}

/// `SELECT`.
#[derive(Debug, Clone)]
pub(crate) struct Select {
    /// The whole of it.
    pub(crate) query: Arc<ast::Query>,
    /// How it is carried out.
    pub(crate) plan: Plan,
}

/// How a SELECT is carried out.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// No table: variables, literals and session functions, with their column names.
    Constants(Vec<(String, Constant)>, Limit),
    /// By listed keys of one table.
    Lookup(Lookup),
    /// By the SELECT engine.
    Engine,
}

/// A column of a SELECT without a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    /// `@@name`, in lower case and without its scope.
    Variable(String),
    /// `DATABASE()`.
    Database,
    /// `VERSION()`.
    Version,
    /// `CONNECTION_ID()`.
    ConnectionId,
    /// `USER()` and its like.
    User,
    /// `LAST_INSERT_ID()` and others that are always 0 here.
    Zero,
    /// A literal or placeholder.
    Operand(Operand),
}

/// `SELECT columns FROM table WHERE key IN (…)`.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    pub(crate) table: &'static Table,
    /// Indexes into `table.columns` and the names of the result.
    pub(crate) columns: Vec<(usize, String)>,
    /// In order, duplicates included.
    pub(crate) keys: Vec<Operand>,
    /// Only publications with a larger offset.
    pub(crate) after: Option<Operand>,
    pub(crate) limit: Limit,
}

/// `LIMIT`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Limit {
    /// Rows to leave out first.
    pub(crate) offset: Option<Operand>,
    /// Rows at most.
    pub(crate) rows: Option<Operand>,
}

impl Limit {
    /// (rows to leave out, rows at most).
    pub(crate) fn bind(&self, values: &[Value]) -> (usize, Option<usize>) {
        let number = |operand: &Operand| match operand.bind(values) {
            Value::Integer(n) => usize::try_from(*n).unwrap_or(0),
            Value::Text(text) => text.trim().parse().unwrap_or(0),
            _ => 0,
        };
        (
            self.offset.as_ref().map_or(0, number),
            self.rows.as_ref().map(number),
        )
    }
}

/// `SHOW …`.
#[derive(Debug, Clone)]
pub(crate) struct Show {
    pub(crate) what: ShowWhat,
    pub(crate) filter: ShowFilter,
    pub(crate) limit: Limit,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ShowWhat {
    Databases,
    Tables {
        full: bool,
    },
    TableStatus,
    Columns {
        table: &'static Table,
        full: bool,
        /// `DESCRIBE table column`.
        column: Option<String>,
    },
    CreateTable(&'static Table),
    CreateDatabase(String),
    Index(&'static Table),
    Status(StatusOf),
    Variables,
    Processlist,
    Connections,
    Warnings,
    /// `SHOW COUNT(*) WARNINGS`.
    WarningCount,
    Engines,
    CharacterSet,
    Collation,
    Grants,
    /// Nothing of that kind exists here: no rows, with MySQL's columns.
    Empty(&'static [&'static str]),
}

/// Whose status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusOf {
    Session,
    Global,
    Filesystem,
    Ram,
    Average,
    Uptime,
}

/// Which rows are shown.
#[derive(Debug, Clone, Default)]
pub(crate) enum ShowFilter {
    /// All.
    #[default]
    None,
    /// Those whose first column is like the pattern.
    Like(Operand),
    /// Those for which the condition holds.
    Where(Arc<ast::Expr>),
}
