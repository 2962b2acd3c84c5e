//! Expressions: MySQL's meaning in SQLite's words. Whatever is not listed here is refused by name.

use super::kinds::{affinity, kind};
use super::{MAX_DEPTH, MAX_WRITTEN, Parameter, Translator, quoted};
use crate::cometql::errors::{not_implemented, syntax};
use crate::cometql::parse::ast::{
    BinaryOperator, CaseWhen, CeilFloorKind, DataType, DateTimeField, Expr, Ident, TrimWhereField,
    UnaryOperator, Value, ValueWithSpan,
};
use crate::cometql::parse::placeholder;
use crate::cometql::{ColumnKind, SqlError};

type Sql = Result<String, SqlError>;

impl Translator {
    /// An expression.
    pub(super) fn expression(&mut self, expression: &Expr) -> Sql {
        if self.depth >= MAX_DEPTH {
            let message = format!("An expression or subquery is nested more than {MAX_DEPTH} deep");
            return Err(SqlError::new(18, message));
        }
        self.depth += 1;
        let sql = self.any(expression);
        self.depth -= 1;
        let sql = sql?;
        self.written += sql.len();
        if self.written > MAX_WRITTEN {
            return Err(SqlError::new(18, "The expressions are too large"));
        }
        Ok(sql)
    }

    fn any(&mut self, expression: &Expr) -> Sql {
        match expression {
            Expr::Identifier(name) => self.identifier(name),
            Expr::CompoundIdentifier(parts) => self.qualified(parts),
            Expr::Value(value) => self.literal(value),
            Expr::Nested(inner) => Ok(format!("({})", self.expression(inner)?)),
            Expr::Prefixed { value, .. } => self.expression(value),
            Expr::TypedString(typed) => self.literal(&typed.value),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op, expr } => self.unary(op, expr),
            Expr::IsNull(inner) => self.postfix(inner, "IS NULL"),
            Expr::IsNotNull(inner) => self.postfix(inner, "IS NOT NULL"),
            Expr::IsTrue(inner) => self.postfix(inner, "IS TRUE"),
            Expr::IsNotTrue(inner) => self.postfix(inner, "IS NOT TRUE"),
            Expr::IsFalse(inner) => self.postfix(inner, "IS FALSE"),
            Expr::IsNotFalse(inner) => self.postfix(inner, "IS NOT FALSE"),
            Expr::IsUnknown(inner) => self.postfix(inner, "IS NULL"),
            Expr::IsNotUnknown(inner) => self.postfix(inner, "IS NOT NULL"),
            Expr::Subquery(query) => Ok(format!("({})", self.query(query)?.0)),
            Expr::Exists { subquery, negated } => {
                let (sql, _) = self.query(subquery)?;
                Ok(format!("({}EXISTS ({sql}))", not(*negated)))
            }
            Expr::Function(call) => self.call(call),
            Expr::Tuple(parts) => Ok(format!("({})", self.list(parts)?)),
            other => self.wordy(other),
        }
    }

    /// Expressions that are written with keywords.
    fn wordy(&mut self, expression: &Expr) -> Sql {
        match expression {
            Expr::InList {
                expr,
                list,
                negated,
            } => {
                let left = self.comparable(expr)?;
                let list = self.list(list)?;
                Ok(format!("({left} {}IN ({list}))", not(*negated)))
            }
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => {
                let left = self.comparable(expr)?;
                let (sql, _) = self.query(subquery)?;
                Ok(format!("({left} {}IN ({sql}))", not(*negated)))
            }
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let value = self.comparable(expr)?;
                let (low, high) = (self.comparable(low)?, self.comparable(high)?);
                let not = not(*negated);
                Ok(format!("({value} {not}BETWEEN {low} AND {high})"))
            }
            Expr::Like { .. } => self.like(expression),
            Expr::RLike {
                negated,
                expr,
                pattern,
                ..
            } => {
                let (text, pattern) = (self.expression(expr)?, self.expression(pattern)?);
                Ok(format!("({}my_regexp({text}, {pattern}))", not(*negated)))
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref()),
            other => self.function_like(other),
        }
    }

    /// Functions with a grammar of their own.
    fn function_like(&mut self, expression: &Expr) -> Sql {
        match expression {
            Expr::Cast {
                expr, data_type, ..
            } => self.cast(expr, data_type),
            Expr::Convert {
                expr, data_type, ..
            } => match data_type {
                Some(data_type) => self.cast(expr, data_type),
                None => self.expression(expr),
            },
            Expr::Collate { expr, collation } => {
                let exact = collation.to_string().to_ascii_lowercase().ends_with("bin");
                let collation = if exact { "BINARY" } else { "NOCASE" };
                Ok(format!("({} COLLATE {collation})", self.expression(expr)?))
            }
            Expr::Ceil { expr, field } if is_plain(field) => self.wrapped("my_ceil", &[expr]),
            Expr::Floor { expr, field } if is_plain(field) => self.wrapped("my_floor", &[expr]),
            Expr::Position { expr, r#in } => self.wrapped("my_locate", &[expr, r#in]),
            Expr::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let mut arguments = vec![&**expr, &**from];
                arguments.extend(substring_for.as_deref());
                self.wrapped("my_substring", &arguments)
            }
            Expr::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters: None,
            } => {
                let text = self.expression(expr)?;
                let what = match trim_what {
                    Some(what) => self.expression(what)?,
                    None => "' '".to_owned(),
                };
                let sides = match trim_where {
                    Some(TrimWhereField::Leading) => 1,
                    Some(TrimWhereField::Trailing) => 2,
                    Some(TrimWhereField::Both) | None => 3,
                };
                Ok(format!("my_trim({text}, {what}, {sides})"))
            }
            Expr::Extract { field, expr, .. } => {
                let value = self.expression(expr)?;
                extract(field, &value).ok_or_else(|| not_implemented(format!("EXTRACT({field})")))
            }
            other => Err(not_implemented(shown(other))),
        }
    }

    fn identifier(&mut self, name: &Ident) -> Sql {
        if let Some(variable) = name.value.strip_prefix("@@") {
            return Ok(self.bind(Parameter::Variable(variable.to_ascii_lowercase())));
        }
        if name.value.starts_with('@') {
            return Err(not_implemented(format!("User variable {}", name.value)));
        }
        self.scopes.column(None, &name.value)
    }

    fn qualified(&mut self, parts: &[Ident]) -> Sql {
        match parts {
            [scope, name] if scope.value.starts_with("@@") => {
                Ok(self.bind(Parameter::Variable(name.value.to_ascii_lowercase())))
            }
            [table, name] => self.scopes.column(Some(&table.value), &name.value),
            [_database, table, name] => self.scopes.column(Some(&table.value), &name.value),
            _ => Err(syntax("a column has at most three parts")),
        }
    }

    /// A literal. Text is bound, never part of the SQL.
    pub(super) fn literal(&mut self, value: &ValueWithSpan) -> Sql {
        match &value.value {
            Value::Number(digits, _) => {
                let plain = |b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                if digits.is_empty() || !digits.bytes().all(plain) {
                    return Err(syntax(format!("near {digits}")));
                }
                Ok(digits.clone())
            }
            Value::Null => Ok("NULL".to_owned()),
            Value::Boolean(true) => Ok("1".to_owned()),
            Value::Boolean(false) => Ok("0".to_owned()),
            Value::Placeholder(name) => {
                let number = placeholder(name).ok_or_else(|| syntax(format!("near {name}")))?;
                Ok(self.bind(Parameter::Placeholder(number)))
            }
            Value::HexStringLiteral(digits) => {
                let bytes = digits.as_bytes().chunks(2).map(|pair| {
                    let pair = std::str::from_utf8(pair).unwrap_or_default();
                    u8::from_str_radix(pair, 16).map_err(|_| syntax("hexadecimal literal"))
                });
                let bytes = bytes.collect::<Result<_, _>>()?;
                Ok(self.bind(Parameter::Bytes(bytes)))
            }
            text => {
                let text =
                    literal_text(text).ok_or_else(|| not_implemented(format!("Literal {text}")))?;
                Ok(self.bind(Parameter::Text(text)))
            }
        }
    }

    fn binary(&mut self, left: &Expr, operator: &BinaryOperator, right: &Expr) -> Sql {
        use BinaryOperator as Op;
        match operator {
            Op::And | Op::Or => self.chain(left, operator, right),
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Spaceship => {
                let symbol = match operator {
                    Op::Spaceship => "IS".to_owned(),
                    other => other.to_string(),
                };
                let (left, right) = (self.comparable(left)?, self.comparable(right)?);
                Ok(format!("({left} {symbol} {right})"))
            }
            Op::Plus | Op::Minus if matches!(right, Expr::Interval(_)) => {
                self.shifted(left, right, matches!(operator, Op::Minus))
            }
            Op::Plus | Op::Minus | Op::Multiply | Op::BitwiseAnd | Op::BitwiseOr => {
                self.infix(left, &operator.to_string(), right)
            }
            Op::PGBitwiseShiftLeft => self.infix(left, "<<", right),
            Op::PGBitwiseShiftRight => self.infix(left, ">>", right),
            Op::Divide => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                Ok(format!("(CAST({left} AS REAL) / {right})"))
            }
            Op::Modulo => self.wrapped("my_mod", &[left, right]),
            Op::MyIntegerDivide => self.wrapped("my_div", &[left, right]),
            Op::BitwiseXor => {
                let (a, b) = (self.expression(left)?, self.expression(right)?);
                Ok(format!("(({a} | {b}) - ({a} & {b}))"))
            }
            Op::Xor => {
                let (a, b) = (self.expression(left)?, self.expression(right)?);
                Ok(format!("((NOT {a}) <> (NOT {b}))"))
            }
            Op::Regexp => self.wrapped("my_regexp", &[left, right]),
            Op::Arrow => self.json_arrow(left, right, false),
            Op::LongArrow => self.json_arrow(left, right, true),
            other => Err(not_implemented(format!("Operator {other}"))),
        }
    }

    /// AND and OR chains may be thousands long: they are taken apart without recursion and put together as a balanced
    /// tree, because SQLite limits the depth.
    fn chain(&mut self, left: &Expr, operator: &BinaryOperator, right: &Expr) -> Sql {
        let mut operands = vec![right];
        let mut rest = left;
        while let Expr::BinaryOp { left, op, right } = rest
            && op == operator
        {
            operands.push(right);
            rest = left;
        }
        operands.push(rest);
        operands.reverse();
        let mut pieces = operands
            .into_iter()
            .map(|operand| self.expression(operand))
            .collect::<Result<Vec<_>, _>>()?;
        while pieces.len() > 1 {
            pieces = pieces
                .chunks(2)
                .map(|pair| match pair {
                    [a, b] => format!("({a} {operator} {b})"),
                    one => one.concat(),
                })
                .collect();
        }
        Ok(pieces.concat())
    }

    /// An operand of a comparison. SQLite converts the other side to a number only where this one is a numeric column,
    /// MySQL wherever it is a number: a cast tells SQLite so. JSON values compare without their quotes.
    pub(super) fn comparable(&mut self, expression: &Expr) -> Sql {
        let mut inner = expression;
        while let Expr::Nested(nested) = inner {
            inner = nested;
        }
        if let Expr::BinaryOp {
            left,
            op: BinaryOperator::Arrow,
            right,
        } = inner
        {
            return self.json_arrow(left, right, true);
        }
        let numeric = matches!(
            kind(&self.scopes, inner),
            Some(ColumnKind::Integer | ColumnKind::Double)
        );
        let affine = match inner {
            Expr::Identifier(name) => self.scopes.find(None, &name.value),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [.., table, name] => self.scopes.find(Some(&table.value), &name.value),
                _ => None,
            },
            _ => None,
        };
        let affine = affine.is_some_and(|field| field.affine);
        let sql = self.expression(inner)?;
        if numeric && !affine {
            return Ok(format!("CAST({sql} AS NUMERIC)"));
        }
        Ok(sql)
    }

    fn unary(&mut self, operator: &UnaryOperator, operand: &Expr) -> Sql {
        let symbol = match operator {
            UnaryOperator::Not | UnaryOperator::BangNot => "NOT ",
            UnaryOperator::Minus => "- ",
            UnaryOperator::Plus => "+ ",
            UnaryOperator::BitwiseNot => "~ ",
            other => return Err(not_implemented(format!("Operator {other}"))),
        };
        Ok(format!("({symbol}{})", self.expression(operand)?))
    }

    fn like(&mut self, expression: &Expr) -> Sql {
        let Expr::Like {
            negated,
            any: false,
            expr,
            pattern,
            escape_char,
        } = expression
        else {
            return Err(not_implemented(shown(expression)));
        };
        let exact = match &**expr {
            Expr::Identifier(name) => self.scopes.find(None, &name.value),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [.., table, name] => self.scopes.find(Some(&table.value), &name.value),
                _ => None,
            },
            _ => None,
        };
        let exact = i32::from(exact.is_some_and(|field| field.exact));
        let (text, pattern) = (self.expression(expr)?, self.expression(pattern)?);
        let escape = match escape_char {
            Some(escape) => self.expression(escape)?,
            None => "'\\'".to_owned(),
        };
        let not = not(*negated);
        Ok(format!(
            "({not}my_like({text}, {pattern}, {escape}, {exact}))"
        ))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Sql {
        let mut sql = "CASE".to_owned();
        if let Some(operand) = operand {
            sql += &format!(" {}", self.comparable(operand)?);
        }
        for case in conditions {
            let condition = self.comparable(&case.condition)?;
            sql += &format!(" WHEN {condition} THEN {}", self.expression(&case.result)?);
        }
        if let Some(otherwise) = otherwise {
            sql += &format!(" ELSE {}", self.expression(otherwise)?);
        }
        Ok(sql + " END")
    }

    fn cast(&mut self, expression: &Expr, data_type: &DataType) -> Sql {
        let target =
            affinity(data_type).ok_or_else(|| not_implemented(format!("CAST to {data_type}")))?;
        let sql = self.expression(expression)?;
        Ok(match target {
            "date" | "time" | "datetime" => format!("{target}({sql})"),
            _ if matches!(data_type, DataType::Binary(_)) => {
                format!("(CAST({sql} AS TEXT) COLLATE BINARY)")
            }
            _ => format!("CAST({sql} AS {target})"),
        })
    }

    /// `a -> path` (JSON) or `a ->> path` (its text); NULL where `a` is no JSON, because payloads may be anything.
    pub(super) fn json_arrow(&mut self, left: &Expr, path: &Expr, unquoted: bool) -> Sql {
        let (json, path) = (self.expression(left)?, self.expression(path)?);
        let arrow = if unquoted { "->>" } else { "->" };
        Ok(format!(
            "(CASE WHEN json_valid({json}) THEN {json} {arrow} {path} END)"
        ))
    }

    /// A moment and an interval.
    pub(super) fn shifted(&mut self, moment: &Expr, interval: &Expr, back: bool) -> Sql {
        let Expr::Interval(interval) = interval else {
            return Err(syntax("an INTERVAL is expected"));
        };
        let (unit, factor) = match &interval.leading_field {
            Some(DateTimeField::Second) => ("seconds", 1),
            Some(DateTimeField::Minute) => ("minutes", 1),
            Some(DateTimeField::Hour) => ("hours", 1),
            Some(DateTimeField::Day) => ("days", 1),
            Some(DateTimeField::Week(None)) => ("days", 7),
            Some(DateTimeField::Month) => ("months", 1),
            Some(DateTimeField::Year) => ("years", 1),
            _ => return Err(not_implemented(format!("INTERVAL unit in {interval}"))),
        };
        let sign = if back { "-" } else { "" };
        let moment = self.expression(moment)?;
        let count = self.expression(&interval.value)?;
        Ok(format!(
            "datetime({moment}, ({sign}({count}) * {factor}) || ' {unit}')"
        ))
    }

    fn postfix(&mut self, operand: &Expr, words: &str) -> Sql {
        Ok(format!("({} {words})", self.expression(operand)?))
    }

    fn infix(&mut self, left: &Expr, symbol: &str, right: &Expr) -> Sql {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        Ok(format!("({left} {symbol} {right})"))
    }

    pub(super) fn wrapped(&mut self, name: &str, arguments: &[&Expr]) -> Sql {
        let arguments = arguments
            .iter()
            .map(|argument| self.expression(argument))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{name}({})", arguments.join(", ")))
    }

    pub(super) fn list(&mut self, expressions: &[Expr]) -> Sql {
        let list = expressions
            .iter()
            .map(|expression| self.expression(expression))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(list.join(", "))
    }
}

/// The text of a literal, which the parser has read; `None` for literals that are no text.
pub(super) fn literal_text(value: &Value) -> Option<String> {
    match value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}

/// SQLite for a part of a moment; `None` for parts that it does not have.
pub(super) fn extract(field: &DateTimeField, moment: &str) -> Option<String> {
    let format = match field {
        DateTimeField::Year => "%Y",
        DateTimeField::Month => "%m",
        DateTimeField::Day => "%d",
        DateTimeField::Hour => "%H",
        DateTimeField::Minute => "%M",
        DateTimeField::Second => "%S",
        _ => return None,
    };
    Some(format!("CAST(strftime('{format}', {moment}) AS INTEGER)"))
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// FLOOR and CEIL of a number, not to a unit of time.
fn is_plain(field: &CeilFloorKind) -> bool {
    matches!(
        field,
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)
    )
}

/// The beginning of what was written, for a message.
fn shown(expression: &Expr) -> String {
    let text = expression.to_string();
    quoted(&text.chars().take(60).collect::<String>())
}
