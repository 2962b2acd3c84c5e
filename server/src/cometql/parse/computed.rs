//! Values that are computed: which expressions are, and the queries by which the SELECT engine computes them.

use std::sync::Arc;

use sqlparser::ast::Value as Literal;
use sqlparser::ast::{self, Expr, LimitClause, OrderByKind, SelectItem, SetExpr, UnaryOperator};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use super::key_columns;
use crate::cometql::catalog::Table;
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

fn parsed(sql: &str) -> Result<Box<ast::Query>, SqlError> {
    let mut parser = Parser::new(&MySqlDialect {})
        .try_with_sql(sql)
        .map_err(errors::syntax)?;
    parser.parse_query().map_err(errors::syntax)
}
