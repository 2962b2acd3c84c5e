//! Which columns an expression may name, and what is known of their types. It must not write SQL.

use super::super::information_schema::InfoTable;
use super::quoted;
use crate::cometql::catalog::{Compare, Kind, Table};
use crate::cometql::{ColumnKind, SqlError, errors};

/// What is known of a column.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    /// Its type within the query; `None` = as the values come.
    pub(super) kind: Option<ColumnKind>,
    /// Its type on the wire where that is fixed: the original's columns are text.
    pub(super) wire: Option<ColumnKind>,
    /// Its text compares byte for byte.
    pub(super) exact: bool,
    /// SQLite converts what it is compared with (it is a column of a table).
    pub(super) affine: bool,
    /// `*` leaves it out.
    pub(super) invisible: bool,
}

impl Field {
    /// A column about which only the name is known.
    pub(super) fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: None,
            wire: None,
            exact: false,
            affine: false,
            invisible: false,
        }
    }
}

/// The columns of a table of the catalog.
pub(super) fn table_fields(table: &Table) -> Vec<Field> {
    let field = |field: &crate::cometql::catalog::Field| Field {
        name: field.name.to_owned(),
        kind: Some(match field.kind {
            Kind::Integer => ColumnKind::Integer,
            Kind::Text => ColumnKind::Text,
        }),
        wire: Some(field.wire),
        exact: field.compare == Compare::Exact,
        affine: true,
        invisible: field.invisible,
    };
    table.columns.iter().map(field).collect()
}

/// The columns of a table of `information_schema`.
pub(super) fn info_fields(table: &InfoTable) -> Vec<Field> {
    let field = |name: &&str| {
        let kind = Some(if table.numbers.contains(name) {
            ColumnKind::Integer
        } else {
            ColumnKind::Text
        });
        Field {
            name: (*name).to_owned(),
            kind,
            wire: kind,
            exact: false,
            affine: true,
            invisible: false,
        }
    };
    table.columns.iter().map(field).collect()
}

/// A table, subquery or common table expression in FROM.
#[derive(Debug)]
pub(super) struct Relation {
    /// By which its columns are qualified.
    pub(super) name: String,
    /// The table of the catalog that it is.
    pub(super) table: Option<&'static Table>,
    pub(super) fields: Vec<Field>,
}

/// What one SELECT may name.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) relations: Vec<Relation>,
    /// Columns that USING or NATURAL made one.
    pub(super) merged: Vec<String>,
    /// Names given in the SELECT list, once it is known.
    pub(super) aliases: Vec<Field>,
}

impl Scope {
    fn find(&self, qualifier: Option<&str>, name: &str) -> Option<&Field> {
        let relations = self.relations.iter().filter(|relation| {
            qualifier.is_none_or(|qualifier| relation.name.eq_ignore_ascii_case(qualifier))
        });
        let aliases = if qualifier.is_none() {
            &*self.aliases
        } else {
            &[]
        };
        let mut fields = relations
            .flat_map(|relation| &relation.fields)
            .chain(aliases);
        fields.find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The relations with a column of this name.
    pub(super) fn with_column(&self, name: &str) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter(move |relation| {
            let mut fields = relation.fields.iter();
            fields.any(|field| field.name.eq_ignore_ascii_case(name))
        })
    }
}

/// The scopes around an expression, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Scopes(Vec<Scope>);

impl Scopes {
    pub(super) fn push(&mut self, scope: Scope) {
        self.0.push(scope);
    }

    pub(super) fn pop(&mut self) -> Scope {
        self.0.pop().unwrap_or_default()
    }

    /// The innermost scope.
    pub(super) fn last(&mut self) -> &mut Scope {
        if self.0.is_empty() {
            self.0.push(Scope::default());
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// The column that a name stands for.
    pub(super) fn find(&self, qualifier: Option<&str>, name: &str) -> Option<&Field> {
        let mut scopes = self.0.iter().rev();
        scopes.find_map(|scope| scope.find(qualifier, name))
    }

    /// The column as SQLite reads it.
    pub(super) fn column(&self, qualifier: Option<&str>, name: &str) -> Result<String, SqlError> {
        if self.find(qualifier, name).is_none() {
            return Err(self.unknown(qualifier, name));
        }
        Ok(match qualifier {
            Some(qualifier) => format!("{}.{}", quoted(qualifier), quoted(name)),
            None => quoted(name),
        })
    }

    fn unknown(&self, qualifier: Option<&str>, name: &str) -> SqlError {
        let relations = || self.0.iter().rev().flat_map(|scope| &scope.relations);
        if let Some(qualifier) = qualifier {
            let mut names = relations().map(|relation| &*relation.name);
            if !names.any(|known| known.eq_ignore_ascii_case(qualifier)) {
                let names = relations().map(|relation| &*relation.name);
                let hint = errors::suggestion(qualifier, names);
                let message = format!(
                    "Not a specific column: `{qualifier}.{name}`: `{qualifier}` is not in FROM{hint}"
                );
                return SqlError::new(14, message);
            }
        }
        let names = relations().flat_map(|relation| relation.fields.iter().map(|f| &*f.name));
        let hint = errors::suggestion(name, names);
        SqlError::new(14, format!("Not a specific column: `{name}`{hint}"))
    }
}
