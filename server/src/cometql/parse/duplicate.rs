//! What INSERT does about rows that are there already: IGNORE and ON DUPLICATE KEY UPDATE.

use sqlparser::ast::{
    self, Assignment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    InsertAliases, ObjectNamePart, OnInsert,
};

use super::change::{column, last, settable, target};
use super::{Assigned, Computed, Existing, NewRow, Operand, Reader};
use crate::cometql::catalog::Table;
use crate::cometql::{SqlError, errors};

impl Reader<'_> {
    /// What happens to a row that a key table already has.
    pub(super) fn existing(
        &self,
        table: &'static Table,
        columns: &[usize],
        insert: &ast::Insert,
        ignore: bool,
    ) -> Result<Existing, SqlError> {
        let assignments = match &insert.on {
            None if ignore => return Ok(Existing::Stays),
            None => return Ok(Existing::Replaced),
            Some(OnInsert::DuplicateKeyUpdate(assignments)) => assignments,
            Some(_) => return Err(errors::not_implemented("ON CONFLICT")),
        };
        let alias = insert.insert_alias.as_ref();
        let alias = alias.map(|alias| new_row(columns, alias)).transpose()?;
        let mut existing = Existing::Stays;
        for assignment in assignments {
            if let Some(assigned) = self.on_duplicate(table, alias.as_ref(), assignment)? {
                existing = Existing::Set(assigned);
            }
        }
        Ok(existing)
    }

    /// What ON DUPLICATE KEY UPDATE sets. The key can only stay as it is.
    fn on_duplicate(
        &self,
        table: &'static Table,
        alias: Option<&NewRow>,
        assignment: &Assignment,
    ) -> Result<Option<Assigned>, SqlError> {
        let Some(settable) = settable(table) else {
            return Err(errors::not_implemented(format_args!(
                "ON DUPLICATE KEY UPDATE of table `{}`",
                table.name
            )));
        };
        let index = column(table, target(assignment)?)?;
        let name = table.columns[index].name;
        let inserted = inserted(&assignment.value, table, alias);
        if name != settable {
            let stays = inserted == Some(index) || own_value(&assignment.value) == Some(name);
            return if stays {
                Ok(None)
            } else {
                Err(errors::not_implemented(format_args!(
                    "UPDATE of the key `{name}`"
                )))
            };
        }
        if inserted == Some(index) {
            return Ok(Some(Assigned::Inserted));
        }
        Ok(Some(
            match self.new_value(table, index, &assignment.value)? {
                Operand::Expression(expression) => Assigned::Computed(Computed {
                    expression,
                    alias: alias.cloned(),
                }),
                operand => Assigned::Operand(operand),
            },
        ))
    }
}

/// What `VALUES (…) AS new` and `AS new (a, b)` call the new row and its columns.
fn new_row(columns: &[usize], alias: &InsertAliases) -> Result<NewRow, SqlError> {
    let names = alias.col_aliases.as_deref().unwrap_or_default();
    if !names.is_empty() && names.len() != columns.len() {
        return Err(SqlError::new(
            14,
            "Error in columns list: AS names another number of columns",
        ));
    }
    let names = columns.iter().zip(names);
    let names = names.map(|(index, name)| (*index, name.value.clone()));
    Ok(NewRow {
        name: last(&alias.row_alias)?.to_owned(),
        columns: names.collect(),
    })
}

/// The column of the new row that an expression is and nothing else: `VALUES(column)`, `new.column`.
fn inserted(expr: &Expr, table: &Table, alias: Option<&NewRow>) -> Option<usize> {
    let position = |name: &str| table.columns.iter().position(|field| field.name == name);
    match expr {
        Expr::Function(call) => values_of(call).and_then(position),
        Expr::CompoundIdentifier(parts) => {
            let ([row, column], new) = (&parts[..], alias?) else {
                return None;
            };
            if !row.value.eq_ignore_ascii_case(&new.name) {
                return None;
            }
            match new.columns.iter().find(|(_, name)| *name == column.value) {
                Some((index, _)) => Some(*index),
                None if new.columns.is_empty() => position(&column.value),
                None => None,
            }
        }
        _ => None,
    }
}

/// The column whose value an expression leaves as it is: the column itself, or `LAST_INSERT_ID(column)`.
fn own_value(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(name) => Some(&name.value),
        Expr::Function(call) => only_column(call, "LAST_INSERT_ID"),
        _ => None,
    }
}

/// The column of `VALUES(column)`.
pub(crate) fn values_of(call: &Function) -> Option<&str> {
    only_column(call, "VALUES")
}

/// The column that is the only argument of the function with this name.
fn only_column<'a>(call: &'a Function, name: &str) -> Option<&'a str> {
    let [ObjectNamePart::Identifier(called)] = &call.name.0[..] else {
        return None;
    };
    match &call.args {
        FunctionArguments::List(list) if called.value.eq_ignore_ascii_case(name) => {
            match &list.args[..] {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(column)))] => {
                    Some(&column.value)
                }
                _ => None,
            }
        }
        _ => None,
    }
}
