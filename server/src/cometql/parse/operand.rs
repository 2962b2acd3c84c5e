//! Literals, placeholders and bare words to operands.

use sqlparser::ast::{Expr, Function, UnaryOperator, Value as Literal};

use super::{Operand, Reader};
use crate::cometql::{SqlError, Value, errors};

impl Reader<'_> {
    /// Reads one literal or placeholder from the tokens.
    pub(super) fn operand_here(&mut self) -> Result<Operand, SqlError> {
        let expr = self.parser.parse_expr().map_err(errors::syntax)?;
        self.operand(&expr, false)
    }

    /// An expression as a value. `payload`: the column is `message` or `data`.
    pub(super) fn operand(&self, expr: &Expr, payload: bool) -> Result<Operand, SqlError> {
        match expr {
            Expr::Value(value) => self.literal(&value.value, payload),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => negative(expr),
            Expr::UnaryOp {
                op: UnaryOperator::Plus,
                expr,
            }
            | Expr::Nested(expr) => self.operand(expr, payload),
            Expr::Collate { expr, .. } | Expr::Prefixed { value: expr, .. } => {
                self.operand(expr, payload)
            }
            Expr::Identifier(name) if name.value.eq_ignore_ascii_case("default") => {
                Ok(Operand::Default)
            }
            // The original took bare words as text.
            Expr::Identifier(name) if !name.value.starts_with('@') => {
                Ok(Operand::Value(Value::Text(name.value.clone())))
            }
            Expr::Function(Function { name, .. }) => Err(errors::not_implemented(format_args!(
                "Function {name} as a value"
            ))),
            _ => Err(errors::not_implemented("An expression as a value")),
        }
    }

    fn literal(&self, literal: &Literal, payload: bool) -> Result<Operand, SqlError> {
        let value = match literal {
            Literal::Number(digits, _) => number(digits),
            Literal::SingleQuotedString(text) => Value::Text(text.clone()),
            Literal::Boolean(value) => Value::Integer(i64::from(*value)),
            Literal::Null => Value::Null,
            Literal::HexStringLiteral(digits) => hex(digits)?,
            Literal::Placeholder(name) => return self.placeholder(name, payload),
            other => return Err(errors::not_implemented(format_args!("The literal {other}"))),
        };
        Ok(Operand::Value(value))
    }

    fn placeholder(&self, name: &str, payload: bool) -> Result<Operand, SqlError> {
        if let Some(number) = placeholder(name) {
            return Ok(Operand::Placeholder(number));
        }
        let raw = name
            .strip_prefix('L')
            .and_then(|n| self.raw.get(n.parse::<usize>().ok()?));
        let Some(raw) = raw else {
            return Err(errors::syntax(format_args!("near '{name}'")));
        };
        let text = if payload {
            raw.payload(self.settings.escaping)
        } else {
            raw.mysql()
        };
        Ok(Operand::Value(Value::Text(text)))
    }
}

/// The number of a `?`, which `tokens` wrote as `?<n>`.
pub(crate) fn placeholder(name: &str) -> Option<usize> {
    name.strip_prefix('?')?.parse().ok()
}

/// Digits, as the nearest value that holds them exactly.
pub(super) fn number(digits: &str) -> Value {
    if let Ok(whole) = digits.parse() {
        Value::Integer(whole)
    } else if digits.bytes().all(|b| b.is_ascii_digit()) {
        Value::Text(digits.to_owned())
    } else {
        digits
            .parse()
            .map_or_else(|_| Value::Text(digits.to_owned()), Value::Double)
    }
}

fn negative(expr: &Expr) -> Result<Operand, SqlError> {
    if let Expr::Value(value) = expr
        && let Literal::Number(digits, _) = &value.value
    {
        return Ok(Operand::Value(number(&format!("-{digits}"))));
    }
    Err(errors::not_implemented("An expression as a value"))
}

fn hex(digits: &str) -> Result<Value, SqlError> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect();
    let bytes = bytes.ok_or_else(|| errors::syntax(format_args!("near x'{digits}'")))?;
    Ok(String::from_utf8(bytes).map_or_else(|e| Value::Bytes(e.into_bytes()), Value::Text))
}
