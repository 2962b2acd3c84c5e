//! How a SELECT will be carried out: without a table, by listed keys, or by the SELECT engine.

use sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArguments, GroupByExpr, LimitClause, Query, SelectItem,
    SetExpr, TableFactor, TableWithJoins, Value as Literal,
};

use super::{Constant, Limit, Lookup, Operand, Plan, Select, change, operand};
use crate::cometql::Value;
use crate::cometql::catalog::Table;

/// Chooses the plan. What is not understood here is the engine's, errors included.
pub(super) fn plan(query: Box<Query>) -> Select {
    let plan = simple(&query).unwrap_or(Plan::Engine);
    Select {
        query: query.into(),
        plan,
    }
}

fn simple(query: &Query) -> Option<Plan> {
    let Query {
        with: None,
        body,
        order_by: None,
        limit_clause,
        fetch: None,
        ..
    } = query
    else {
        return None;
    };
    let SetExpr::Select(select) = &**body else {
        return None;
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, with) if by.is_empty() && with.is_empty());
    if grouped || select.distinct.is_some() || select.having.is_some() || select.into.is_some() {
        return None;
    }
    let limit = limit(limit_clause.as_ref())?;
    if select.from.is_empty() {
        return constants(select, limit);
    }
    lookup(select, limit).map(Plan::Lookup)
}

fn constants(select: &ast::Select, limit: Limit) -> Option<Plan> {
    if select.selection.is_some() {
        return None;
    }
    let columns = select.projection.iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) => Some((written(expr), constant(expr)?)),
        SelectItem::ExprWithAlias { expr, alias } => Some((alias.value.clone(), constant(expr)?)),
        _ => None,
    });
    Some(Plan::Constants(columns.collect::<Option<_>>()?, limit))
}

/// The name that MySQL gives to a column without an alias.
fn written(expr: &Expr) -> String {
    match expr {
        Expr::Value(value) => match &value.value {
            Literal::SingleQuotedString(text) => text.clone(),
            Literal::Placeholder(_) => "?".to_owned(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn constant(expr: &Expr) -> Option<Constant> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => variable(expr).map(Constant::Variable),
        Expr::Function(function) => {
            if !no_arguments(&function.args) || function.over.is_some() {
                return None;
            }
            match function.name.to_string().to_ascii_lowercase().as_str() {
                "database" | "schema" => Some(Constant::Database),
                "version" => Some(Constant::Version),
                "connection_id" => Some(Constant::ConnectionId),
                "user" | "current_user" | "session_user" | "system_user" => Some(Constant::User),
                "last_insert_id" | "row_count" | "found_rows" => Some(Constant::Zero),
                _ => None,
            }
        }
        Expr::Value(value) => literal(&value.value).map(Constant::Operand),
        _ => None,
    }
}

fn no_arguments(arguments: &FunctionArguments) -> bool {
    match arguments {
        FunctionArguments::None => true,
        FunctionArguments::List(list) => list.args.is_empty() && list.clauses.is_empty(),
        FunctionArguments::Subquery(_) => false,
    }
}

/// The variable that `@@name`, `@@session.name` or `@@global.name` means, in lower case.
pub(crate) fn variable(expr: &Expr) -> Option<String> {
    let (first, rest) = match expr {
        Expr::Identifier(name) => (name.value.as_str(), None),
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [scope, name] => (scope.value.as_str(), Some(name.value.as_str())),
            _ => return None,
        },
        _ => return None,
    };
    let first = first.strip_prefix("@@")?.to_ascii_lowercase();
    match rest {
        None => Some(first),
        Some(name) if matches!(first.as_str(), "session" | "global" | "local") => {
            Some(name.to_ascii_lowercase())
        }
        Some(_) => None,
    }
}

fn lookup(select: &ast::Select, limit: Limit) -> Option<Lookup> {
    let [TableWithJoins { relation, joins }] = &select.from[..] else {
        return None;
    };
    let TableFactor::Table {
        name,
        alias: None,
        args: None,
        ..
    } = relation
    else {
        return None;
    };
    let table = change::table(name).ok()?;
    let ((key, values), after) = conditions(table, select.selection.as_ref()?)?;
    // Only the SELECT engine reads the lists of members and the trace.
    let by_key = !["pipes_members", "trace", "cluster_members"].contains(&table.name);
    if !joins.is_empty() || key != table.key().name || !by_key {
        return None;
    }
    let keys = values
        .into_iter()
        .map(|value| key_operand(table, value))
        .collect::<Option<_>>()?;
    let mut columns = Vec::new();
    for item in &select.projection {
        let (name, shown) = match item {
            SelectItem::Wildcard(_) => {
                columns.extend(table.visible().map(|(at, f)| (at, f.name.to_owned())));
                continue;
            }
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => (&name.value, &name.value),
            SelectItem::ExprWithAlias {
                expr: Expr::Identifier(name),
                alias,
            } => (&name.value, &alias.value),
            _ => return None,
        };
        columns.push((
            table.columns.iter().position(|f| f.name == name)?,
            shown.clone(),
        ));
    }
    Some(Lookup {
        table,
        columns,
        keys,
        after,
        limit,
    })
}

type Listed<'a> = (&'a str, Vec<&'a Expr>);

/// `key IN (…)`, of publications also `key IN (…) AND offset > …`, by which a history is read page by page.
fn conditions<'a>(table: &Table, expr: &'a Expr) -> Option<(Listed<'a>, Option<Operand>)> {
    if let Some(listed) = change::listed(expr) {
        return Some((listed, None));
    }
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::And,
        right,
    } = expr
    else {
        return None;
    };
    let Expr::BinaryOp {
        left: column,
        op: BinaryOperator::Gt,
        right: after,
    } = &**right
    else {
        return None;
    };
    let (Expr::Identifier(column), Expr::Value(after)) = (&**column, &**after) else {
        return None;
    };
    if table.name != "pipes_messages" || column.value != "offset" {
        return None;
    }
    Some((change::listed(left)?, Some(literal(&after.value)?)))
}

fn key_operand(table: &Table, expr: &Expr) -> Option<Operand> {
    match expr {
        Expr::Value(value) => literal(&value.value),
        // The original took bare words as text.
        Expr::Identifier(name) if change::is_simple(table, expr) => {
            Some(Operand::Value(Value::Text(name.value.clone())))
        }
        _ => None,
    }
}

fn literal(literal: &Literal) -> Option<Operand> {
    Some(match literal {
        Literal::Number(digits, _) => Operand::Value(operand::number(digits)),
        Literal::SingleQuotedString(text) => Operand::Value(Value::Text(text.clone())),
        Literal::Boolean(value) => Operand::Value(Value::Integer(i64::from(*value))),
        Literal::Null => Operand::Value(Value::Null),
        Literal::Placeholder(name) => Operand::Placeholder(operand::placeholder(name)?),
        _ => return None,
    })
}

/// `LIMIT` with MySQL's meaning; `None` when it is not simple.
fn limit(clause: Option<&LimitClause>) -> Option<Limit> {
    let value = |expr: &Expr| match expr {
        Expr::Value(value) => literal(&value.value),
        _ => None,
    };
    Some(match clause {
        None => Limit::default(),
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => Limit {
            offset: Some(value(offset)?),
            rows: Some(value(limit)?),
        },
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) if limit_by.is_empty() => Limit {
            offset: match offset {
                Some(offset) => Some(value(&offset.value)?),
                None => None,
            },
            rows: match limit {
                Some(limit) => Some(value(limit)?),
                None => None,
            },
        },
        Some(_) => return None,
    })
}
