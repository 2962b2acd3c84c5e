//! Values that are computed: which expressions are, and the queries by which the SELECT engine computes them.

use std::sync::Arc;

use sqlparser::ast::Value as Literal;
use sqlparser::ast::{
    self, Expr, Ident, LimitClause, ObjectName, OrderByKind, SelectItem, SetExpr, TableFactor,
    TableWithJoins, UnaryOperator,
};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use super::{Computed, key_columns};
use crate::cometql::catalog::{Compare, Table};
use crate::cometql::{SqlError, errors};

/// Whether an expression is a value as it stands: a literal, a placeholder, or a bare word, which is text as in the
/// original. All else is computed.
pub(super) fn is_value(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) => true,
        Expr::Identifier(name) => !name.value.starts_with('@'),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => matches!(&**expr, Expr::Value(value) if matches!(value.value, Literal::Number(..))),
        Expr::UnaryOp {
            op: UnaryOperator::Plus,
            expr,
        }
        | Expr::Nested(expr)
        | Expr::Collate { expr, .. }
        | Expr::Prefixed { value: expr, .. } => is_value(expr),
        _ => false,
    }
}

/// Which rows an UPDATE or DELETE is about, by other conditions than listed keys.
pub(super) struct Rows {
    pub(super) selection: Expr,
    pub(super) order_by: Vec<ast::OrderByExpr>,
    pub(super) limit: Option<LimitClause>,
}

/// `SELECT key columns[, new] FROM table WHERE …`.
pub(super) fn key_query(
    table: &Table,
    rows: Rows,
    new: Option<&Expr>,
) -> Result<Arc<ast::Query>, SqlError> {
    let columns: Vec<String> = key_columns(table)
        .iter()
        .map(|key| format!("`{key}`"))
        .collect();
    let mut query = parsed(&format!(
        "SELECT {} FROM `{}`",
        columns.join(", "),
        table.name
    ))?;
    if let SetExpr::Select(select) = &mut *query.body {
        select.selection = Some(rows.selection);
        let new = new.cloned().map(SelectItem::UnnamedExpr);
        select.projection.extend(new);
    }
    if !rows.order_by.is_empty() {
        query.order_by = Some(ast::OrderBy {
            kind: OrderByKind::Expressions(rows.order_by),
            interpolate: None,
        });
    }
    query.limit_clause = rows.limit;
    Ok(query.into())
}

/// `SELECT expression, …`: one row.
pub(crate) fn row_query(expressions: &[&Expr]) -> Result<ast::Query, SqlError> {
    let mut query = parsed("SELECT 1")?;
    if let SetExpr::Select(select) = &mut *query.body {
        let items = expressions.iter().map(|&expr| expr.clone());
        select.projection = items.map(SelectItem::UnnamedExpr).collect();
    }
    Ok(*query)
}

/// An assignment of ON DUPLICATE KEY UPDATE, seen from one row: `(SELECT expression FROM (SELECT ?first AS key, …) AS
/// table)`. The values from `first` on are key and value of the row that is there, then those of the new one.
pub(crate) fn on_row(
    computed: &Computed,
    table: &Table,
    columns: [&str; 2],
    first: usize,
) -> Result<Expr, SqlError> {
    let named = columns.into_iter().map(str::to_owned);
    let values = columns.into_iter().map(|name| format!("values({name})"));
    let both = cells(table, columns, first).zip(named.chain(values));
    let mut query = parsed(&format!("SELECT 1 FROM (SELECT 1) AS `{}`", table.name))?;
    put_cells(&mut query, both.collect());
    if let Some(alias) = &computed.alias {
        let names = columns.map(|column| {
            let index = table.columns.iter().position(|field| field.name == column);
            let mut names = alias.columns.iter();
            let name = names.find(|(of, _)| Some(*of) == index);
            name.map_or_else(|| column.to_owned(), |(_, name)| name.clone())
        });
        let new = cells(table, columns, first).skip(2).zip(names);
        let mut beside = parsed("SELECT 1 FROM (SELECT 1) AS `new`")?;
        put_cells(&mut beside, new.collect());
        if let (SetExpr::Select(select), SetExpr::Select(beside)) = (&mut *query.body, *beside.body)
        {
            select.from.extend(beside.from);
            if let Some(TableWithJoins {
                relation:
                    TableFactor::Derived {
                        alias: Some(of), ..
                    },
                ..
            }) = select.from.last_mut()
            {
                of.name = Ident::with_quote('`', &alias.name);
            }
        }
    }
    if let SetExpr::Select(select) = &mut *query.body {
        select.projection = vec![SelectItem::UnnamedExpr(Expr::clone(&computed.expression))];
    }
    Ok(Expr::Subquery(query))
}

/// Placeholders for key and value of two rows. Text compares as in the table.
fn cells(table: &Table, columns: [&str; 2], first: usize) -> impl Iterator<Item = Expr> {
    let ignores_case = columns.map(|name| {
        let field = table.columns.iter().find(|field| field.name == name);
        field.is_some_and(|field| field.compare == Compare::IgnoreCase)
    });
    let both = ignores_case.into_iter().chain(ignores_case);
    both.zip(first..).map(|(ignores_case, number)| {
        let cell = Expr::Value(Literal::Placeholder(format!("?{number}")).into());
        if !ignores_case {
            return cell;
        }
        Expr::Collate {
            expr: Box::new(cell),
            collation: ObjectName::from(vec![Ident::new("utf8mb4_general_ci")]),
        }
    })
}

/// Makes these the columns of the only subquery in FROM.
fn put_cells(query: &mut ast::Query, cells: Vec<(Expr, String)>) {
    let SetExpr::Select(select) = &mut *query.body else {
        return;
    };
    if let [
        TableWithJoins {
            relation: TableFactor::Derived { subquery, .. },
            ..
        },
    ] = &mut select.from[..]
        && let SetExpr::Select(row) = &mut *subquery.body
    {
        let item = |(expr, name): (Expr, String)| SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('`', name),
        };
        row.projection = cells.into_iter().map(item).collect();
    }
}

fn parsed(sql: &str) -> Result<Box<ast::Query>, SqlError> {
    let mut parser = Parser::new(&MySqlDialect {})
        .try_with_sql(sql)
        .map_err(errors::syntax)?;
    parser.parse_query().map_err(errors::syntax)
}
