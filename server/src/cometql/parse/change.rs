//! INSERT, REPLACE, UPDATE and DELETE: names resolved, values read, keys found.

use std::sync::Arc;

use sqlparser::ast::{
    self, Assignment, AssignmentTarget, BinaryOperator, Expr, FromTable, LimitClause, ObjectName,
    SetExpr, Statement, TableFactor, TableObject, TableWithJoins,
};
use sqlparser::keywords::Keyword;

use super::computed::{Rows, is_value, key_query};
use super::{Delete, Filter, Insert, Operand, Parsed, Reader, Source, Update, key_columns, tokens};
use crate::cometql::catalog::{self, Access, Table};
use crate::cometql::{SqlError, errors};

/// A key column and the values that a condition lists for it.
type KeyValues = (&'static str, Vec<Operand>);

impl Reader<'_> {
    /// Reads one of the four.
    pub(super) fn change(&mut self) -> Result<Parsed, SqlError> {
        let token = self.parser.next_token();
        match tokens::keyword(&token.token) {
            Keyword::UPDATE => {
                self.word(&["LOW_PRIORITY"]);
                self.word(&["IGNORE"]);
                match self.parser.parse_update(token).map_err(errors::syntax)? {
                    Statement::Update(update) => self.update(update).map(Parsed::Update),
                    other => Err(errors::not_implemented(other)),
                }
            }
            Keyword::DELETE => {
                while self.word(&["LOW_PRIORITY", "QUICK", "IGNORE"]).is_some() {}
                match self.parser.parse_delete(token).map_err(errors::syntax)? {
                    Statement::Delete(delete) => self.delete(delete).map(Parsed::Delete),
                    other => Err(errors::not_implemented(other)),
                }
            }
            _ => {
                self.word(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY"]);
                let ignore = self.word(&["IGNORE"]).is_some();
                match self.parser.parse_insert(token).map_err(errors::syntax)? {
                    Statement::Insert(insert) => self.insert(insert, ignore).map(Parsed::Insert),
                    other => Err(errors::not_implemented(other)),
                }
            }
        }
    }

    fn insert(&self, insert: ast::Insert, ignore: bool) -> Result<Insert, SqlError> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(errors::not_implemented("INSERT INTO a function or query"));
        };
        let table = writable(name)?;
        let columns = insert_columns(table, &insert)?;
        let existing = self.existing(table, &columns, &insert, ignore)?;
        let source = match insert.source {
            None => {
                let cells = columns.iter().zip(&insert.assignments);
                let row = cells.map(|(index, a)| self.value_for(table, *index, &a.value));
                Source::Rows(vec![row.collect::<Result<_, _>>()?])
            }
            Some(query) => self.source(table, &columns, query)?,
        };
        Ok(Insert {
            table,
            columns,
            source,
            existing,
        })
    }

    fn source(
        &self,
        table: &'static Table,
        columns: &[usize],
        query: Box<ast::Query>,
    ) -> Result<Source, SqlError> {
        let SetExpr::Values(values) = *query.body else {
            return Ok(Source::Query(query.into()));
        };
        let rows = values.rows.iter().map(|row| {
            if row.content.len() != columns.len() {
                return Err(SqlError::new(
                    14,
                    format!(
                        "Error in columns list: {} columns, but {} values",
                        columns.len(),
                        row.content.len()
                    ),
                ));
            }
            let cells = columns.iter().zip(&row.content);
            cells
                .map(|(index, expr)| self.value_for(table, *index, expr))
                .collect()
        });
        Ok(Source::Rows(rows.collect::<Result<_, _>>()?))
    }

    fn update(&self, update: ast::Update) -> Result<Update, SqlError> {
        let table = writable(relation(std::slice::from_ref(&update.table))?)?;
        let Some(settable) = settable(table) else {
            return Err(errors::not_implemented(format_args!(
                "UPDATE of table `{}`",
                table.name
            )));
        };
        let mut set = Vec::new();
        for assignment in &update.assignments {
            let name = target(assignment)?;
            let index = column(table, name)?;
            if name != settable {
                return Err(errors::not_implemented(format_args!(
                    "UPDATE of the key `{name}`"
                )));
            }
            set.push((index, self.new_value(table, index, &assignment.value)?));
        }
        let limit = update.limit.map(limit_clause);
        let new = match set.last() {
            Some((_, Operand::Expression(new))) => Some(&**new),
            _ => None,
        };
        let rows = (update.selection, update.order_by, limit);
        let filter = self.filter("Updating", table, rows, new)?;
        Ok(Update { table, set, filter })
    }

    fn delete(&self, delete: ast::Delete) -> Result<Delete, SqlError> {
        if !delete.tables.is_empty() || delete.using.is_some() {
            return Err(errors::not_implemented("DELETE from several tables"));
        }
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let table = writable(relation(from)?)?;
        let limit = delete.limit.map(limit_clause);
        let rows = (delete.selection, delete.order_by, limit);
        let filter = self.filter("Deleting", table, rows, None)?;
        Ok(Delete { table, filter })
    }

    fn filter(
        &self,
        doing: &str,
        table: &'static Table,
        (selection, order_by, limit): (Option<Expr>, Vec<ast::OrderByExpr>, Option<LimitClause>),
        new: Option<&Expr>,
    ) -> Result<Filter, SqlError> {
        let missing = || errors::key_missing(doing, table.key().name);
        let selection = selection.ok_or_else(missing)?;
        let listed = self.keys(table, &selection)?;
        if let (Some(keys), None) = (listed, new) {
            return Ok(Filter::Keys(keys));
        }
        if !names_key(table, &selection) {
            return Err(missing());
        }
        if table.name == "users_messages" {
            return Err(errors::not_implemented(
                "Deleting private messages by anything but id",
            ));
        }
        let rows = Rows {
            selection,
            order_by,
            limit,
        };
        key_query(table, rows, new).map(Filter::Query)
    }

    /// `key = v AND other_key IN (…)`; `None` when there is more in it.
    fn keys(&self, table: &Table, selection: &Expr) -> Result<Option<Vec<KeyValues>>, SqlError> {
        let mut keys: Vec<KeyValues> = Vec::new();
        let mut rest = vec![selection];
        while let Some(expr) = rest.pop() {
            if let Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } = expr
            {
                rest.extend([&**right, &**left]);
                continue;
            }
            let Some((name, values)) = listed(expr) else {
                return Ok(None);
            };
            let known = key_columns(table).iter().find(|key| **key == name);
            let Some(key) = known else {
                return if table.column(name).is_some() {
                    Ok(None)
                } else {
                    Err(errors::unknown_column(table, name))
                };
            };
            if keys.iter().any(|(seen, _)| seen == key)
                || values.iter().any(|v| !is_simple(table, v))
            {
                return Ok(None);
            }
            let values = values.into_iter().map(|v| self.operand(v, false));
            keys.push((key, values.collect::<Result<_, _>>()?));
        }
        // Members of all channels can only be found by a query.
        let complete = table.name != "pipes_members" || keys.iter().any(|(key, _)| *key == "name");
        Ok(complete.then_some(keys))
    }

    /// What a row gives a column.
    fn value_for(&self, table: &Table, index: usize, expr: &Expr) -> Result<Operand, SqlError> {
        if is_value(expr) {
            self.operand(expr, is_payload(table, index))
        } else {
            Ok(Operand::Expression(Arc::new(expr.clone())))
        }
    }

    /// What an UPDATE sets a column to: other columns stand for the old row.
    pub(super) fn new_value(
        &self,
        table: &Table,
        index: usize,
        expr: &Expr,
    ) -> Result<Operand, SqlError> {
        match expr {
            Expr::Identifier(name) if table.column(&name.value).is_some() => {
                Ok(Operand::Expression(Arc::new(expr.clone())))
            }
            expr => self.value_for(table, index, expr),
        }
    }
}

/// The column that UPDATE may set.
pub(super) fn settable(table: &Table) -> Option<&'static str> {
    match table.name {
        "users_auth" => Some("hash"),
        "users_data" => Some("data"),
        "pipes_settings" => Some("length"),
        _ => None,
    }
}

fn is_payload(table: &Table, index: usize) -> bool {
    matches!(table.columns[index].name, "message" | "data")
}

/// `column = value` or `column IN (values)`.
pub(super) fn listed(expr: &Expr) -> Option<(&str, Vec<&Expr>)> {
    match expr {
        Expr::Nested(inner) => listed(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } => match (&**left, &**right) {
            (Expr::Identifier(name), value) | (value, Expr::Identifier(name)) => {
                Some((&name.value, vec![value]))
            }
            _ => None,
        },
        Expr::InList {
            expr,
            list,
            negated: false,
        } => match &**expr {
            Expr::Identifier(name) => Some((&name.value, list.iter().collect())),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression is a literal, a placeholder, or a bare word that is no column (text, as in the original).
pub(super) fn is_simple(table: &Table, expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) => true,
        Expr::UnaryOp { expr, .. } | Expr::Prefixed { value: expr, .. } => {
            matches!(**expr, Expr::Value(_))
        }
        Expr::Identifier(name) => {
            table.column(&name.value).is_none() && !name.value.starts_with('@')
        }
        _ => false,
    }
}

/// The table that a name stands for; the database may stand before it.
pub(super) fn table(name: &ObjectName) -> Result<&'static Table, SqlError> {
    let parts: Vec<&str> = name
        .0
        .iter()
        .filter_map(|p| p.as_ident())
        .map(|i| i.value.as_str())
        .collect();
    let bare = match parts[..] {
        [table] => table,
        [database, table] if database.eq_ignore_ascii_case(catalog::DATABASE) => table,
        _ => return Err(SqlError::new(15, format!("Table doesn't exist: `{name}`"))),
    };
    catalog::table(bare).ok_or_else(|| errors::unknown_table(bare))
}

/// The index of a column.
pub(super) fn column(table: &'static Table, name: &str) -> Result<usize, SqlError> {
    let found = table.columns.iter().position(|field| field.name == name);
    found.ok_or_else(|| errors::unknown_column(table, name))
}

/// Whether conditions name a column of the key. A work list, because condition chains are deep.
fn names_key(table: &Table, selection: &Expr) -> bool {
    let mut rest = vec![selection];
    while let Some(expr) = rest.pop() {
        match expr {
            Expr::Identifier(name) if key_columns(table).contains(&name.value.as_str()) => {
                return true;
            }
            Expr::BinaryOp { left, right, .. } => rest.extend([&**left, &**right]),
            Expr::UnaryOp { expr, .. }
            | Expr::Nested(expr)
            | Expr::InList { expr, .. }
            | Expr::InSubquery { expr, .. }
            | Expr::Between { expr, .. }
            | Expr::Like { expr, .. }
            | Expr::RLike { expr, .. } => rest.push(expr),
            _ => {}
        }
    }
    false
}

fn writable(name: &ObjectName) -> Result<&'static Table, SqlError> {
    let table = table(name)?;
    match table.access {
        Access::ReadWrite => Ok(table),
        Access::ReadOnly => Err(errors::read_only(table.name)),
    }
}

fn relation(from: &[TableWithJoins]) -> Result<&ObjectName, SqlError> {
    match from {
        [
            TableWithJoins {
                relation: TableFactor::Table { name, .. },
                joins,
            },
        ] if joins.is_empty() => Ok(name),
        _ => Err(errors::not_implemented("A change of several tables")),
    }
}

fn insert_columns(table: &'static Table, insert: &ast::Insert) -> Result<Vec<usize>, SqlError> {
    let mut columns = Vec::new();
    if insert.source.is_none() {
        for assignment in &insert.assignments {
            columns.push(column(table, target(assignment)?)?);
        }
    } else if insert.columns.is_empty() {
        columns.extend(table.visible().map(|(at, _)| at));
    } else {
        for name in &insert.columns {
            columns.push(column(table, last(name)?)?);
        }
    }
    for (at, index) in columns.iter().enumerate() {
        if columns[..at].contains(index) {
            return Err(SqlError::new(
                13,
                "Each column in the insert used only once",
            ));
        }
    }
    Ok(columns)
}

pub(super) fn target(assignment: &Assignment) -> Result<&str, SqlError> {
    match &assignment.target {
        AssignmentTarget::ColumnName(name) => last(name),
        AssignmentTarget::Tuple(_) => Err(errors::not_implemented("Assignment to a tuple")),
    }
}

/// `column` of `table.column`.
pub(super) fn last(name: &ObjectName) -> Result<&str, SqlError> {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident
        .map(|ident| ident.value.as_str())
        .ok_or_else(|| errors::syntax(format_args!("near '{name}'")))
}

fn limit_clause(limit: Expr) -> LimitClause {
    LimitClause::LimitOffset {
        limit: Some(limit),
        offset: None,
        limit_by: Vec::new(),
    }
}
