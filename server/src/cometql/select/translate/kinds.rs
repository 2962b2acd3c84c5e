//! The types of expressions, as far as they can be told without values. It must not write SQL.

use super::known::{Returns, function};
use super::scope::Scopes;
use crate::cometql::ColumnKind;
use crate::cometql::parse::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    UnaryOperator, Value,
};

/// The type of an expression; `None` = as the values come.
pub(super) fn kind(scopes: &Scopes, expression: &Expr) -> Option<ColumnKind> {
    match expression {
        Expr::Identifier(name) => scopes.find(None, &name.value)?.kind,
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [.., table, name] => scopes.find(Some(&table.value), &name.value)?.kind,
            _ => None,
        },
        Expr::Nested(inner) => kind(scopes, inner),
        Expr::Value(value) => literal(&value.value),
        Expr::BinaryOp { left, op, right } => {
            operation(op, || (kind(scopes, left), kind(scopes, right)))
        }
        Expr::UnaryOp { op, expr } => match op {
            UnaryOperator::Not | UnaryOperator::BangNot => Some(ColumnKind::Integer),
            _ => kind(scopes, expr),
        },
        Expr::Function(call) => call_kind(scopes, call),
        Expr::Case {
            conditions,
            else_result,
            ..
        } => {
            let results = conditions.iter().map(|case| &case.result);
            unified(scopes, results.chain(else_result.as_deref()))
        }
        Expr::Cast { data_type, .. } => cast(data_type),
        Expr::Convert { data_type, .. } => data_type.as_ref().map_or(Some(ColumnKind::Text), cast),
        Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::TypedString(_)
        | Expr::Prefixed { .. }
        | Expr::Collate { .. } => Some(ColumnKind::Text),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::RLike { .. }
        | Expr::Exists { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::Position { .. }
        | Expr::Extract { .. } => Some(ColumnKind::Integer),
        _ => None,
    }
}

/// One type for several expressions; `None` when they differ.
fn unified<'a>(
    scopes: &Scopes,
    mut expressions: impl Iterator<Item = &'a Expr>,
) -> Option<ColumnKind> {
    let first = kind(scopes, expressions.next()?)?;
    expressions
        .all(|other| kind(scopes, other) == Some(first))
        .then_some(first)
}

fn literal(value: &Value) -> Option<ColumnKind> {
    match value {
        Value::Number(digits, _) if digits.contains(['.', 'e', 'E']) => Some(ColumnKind::Double),
        Value::Number(..) | Value::Boolean(_) => Some(ColumnKind::Integer),
        Value::Null | Value::Placeholder(_) => None,
        Value::HexStringLiteral(_) => Some(ColumnKind::Bytes),
        _ => Some(ColumnKind::Text),
    }
}

fn operation(
    operator: &BinaryOperator,
    operands: impl Fn() -> (Option<ColumnKind>, Option<ColumnKind>),
) -> Option<ColumnKind> {
    match operator {
        BinaryOperator::Plus
        | BinaryOperator::Minus
        | BinaryOperator::Multiply
        | BinaryOperator::Modulo => match operands() {
            (Some(ColumnKind::Integer), Some(ColumnKind::Integer)) => Some(ColumnKind::Integer),
            (Some(ColumnKind::Double), Some(ColumnKind::Integer | ColumnKind::Double))
            | (Some(ColumnKind::Integer), Some(ColumnKind::Double)) => Some(ColumnKind::Double),
            _ => None,
        },
        BinaryOperator::Divide => Some(ColumnKind::Double),
        BinaryOperator::Arrow | BinaryOperator::LongArrow => None,
        _ => Some(ColumnKind::Integer),
    }
}

fn call_kind(scopes: &Scopes, call: &Function) -> Option<ColumnKind> {
    let name = call.name.0.last()?.as_ident()?;
    let returns = function(&name.value)?.returns;
    let Returns::Like(position) = returns else {
        return returns.kind();
    };
    let FunctionArguments::List(list) = &call.args else {
        return None;
    };
    let arguments = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    });
    unified(scopes, arguments.skip(position))
}

fn cast(data_type: &DataType) -> Option<ColumnKind> {
    Some(match affinity(data_type)? {
        "INTEGER" => ColumnKind::Integer,
        "REAL" => ColumnKind::Double,
        "NUMERIC" => return None,
        _ => ColumnKind::Text,
    })
}

/// What SQLite casts to for a type of MySQL's CAST; `None` for types that it does not have.
pub(super) fn affinity(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Signed
        | DataType::SignedInteger
        | DataType::Unsigned
        | DataType::UnsignedInteger
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::BigInt(_) => "INTEGER",
        DataType::Decimal(_) | DataType::Dec(_) | DataType::Numeric(_) => "NUMERIC",
        DataType::Double(_) | DataType::Float(_) | DataType::Real | DataType::DoublePrecision => {
            "REAL"
        }
        DataType::Char(_)
        | DataType::Character(_)
        | DataType::Varchar(_)
        | DataType::Text
        | DataType::Binary(_)
        | DataType::JSON => "TEXT",
        DataType::Date => "date",
        DataType::Datetime(_) | DataType::Timestamp(..) => "datetime",
        DataType::Time(..) => "time",
        _ => return None,
    })
}
