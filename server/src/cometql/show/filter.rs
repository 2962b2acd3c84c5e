//! LIKE and WHERE of SHOW.

use crate::cometql::parse::ast::{BinaryOperator, Expr, UnaryOperator, Value as Literal};
use crate::cometql::parse::{ShowFilter, placeholder};
use crate::cometql::tables::fields;
use crate::cometql::{Column, SqlError, Value, errors};

/// Whether a row is shown.
pub(super) fn holds(
    filter: &ShowFilter,
    columns: &[Column],
    row: &[Value],
    values: &[Value],
) -> Result<bool, SqlError> {
    let row = Row {
        columns,
        row,
        values,
    };
    match filter {
        ShowFilter::None => Ok(true),
        ShowFilter::Like(pattern) => {
            let pattern = fields::text(pattern.bind(values), "pattern")?;
            let first = row
                .row
                .first()
                .map_or(Ok("".into()), |value| fields::text(value, "name"))?;
            Ok(like(&pattern, &first))
        }
        ShowFilter::Where(condition) => row.truth(condition),
    }
}

/// MySQL's LIKE without regard to case: `%` any run, `_` any character, `\` takes their meaning.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when a run turns out to be longer: after the last `%`, at its next start.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        let escaped = pattern.get(p) == Some(&'\\') && p + 1 < pattern.len();
        let wanted = pattern.get(p + usize::from(escaped));
        if !escaped && wanted == Some(&'%') {
            retry = Some((p + 1, t));
            p += 1;
        } else if wanted.is_some_and(|w| *w == text[t] || (!escaped && *w == '_')) {
            p += 1 + usize::from(escaped);
            t += 1;
        } else if let Some((after, start)) = retry {
            retry = Some((after, start + 1));
            (p, t) = (after, start + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

struct Row<'a> {
    columns: &'a [Column],
    row: &'a [Value],
    values: &'a [Value],
}

impl Row<'_> {
    fn truth(&self, condition: &Expr) -> Result<bool, SqlError> {
        Ok(match condition {
            Expr::Nested(inner) => self.truth(inner)?,
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => !self.truth(expr)?,
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => self.truth(left)? && self.truth(right)?,
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Or,
                right,
            } => self.truth(left)? || self.truth(right)?,
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } => self.same(left, right)?,
            Expr::BinaryOp {
                left,
                op: BinaryOperator::NotEq,
                right,
            } => !self.same(left, right)?,
            Expr::InList {
                expr,
                list,
                negated,
            } => {
                let mut found = false;
                for item in list {
                    found |= self.same(expr, item)?;
                }
                found != *negated
            }
            Expr::Like {
                negated,
                expr,
                pattern,
                ..
            } => like(&self.text(pattern)?, &self.text(expr)?) != *negated,
            Expr::Value(value) => match &value.value {
                Literal::Number(digits, _) => digits != "0",
                Literal::Boolean(truth) => *truth,
                other => {
                    return Err(errors::not_implemented(format_args!(
                        "SHOW ... WHERE {other}"
                    )));
                }
            },
            other => {
                return Err(errors::not_implemented(format_args!(
                    "SHOW ... WHERE {other}"
                )));
            }
        })
    }

    fn same(&self, left: &Expr, right: &Expr) -> Result<bool, SqlError> {
        Ok(self.text(left)?.to_lowercase() == self.text(right)?.to_lowercase())
    }

    fn text(&self, expr: &Expr) -> Result<String, SqlError> {
        match expr {
            Expr::Identifier(name) => {
                // MySQL calls the column of SHOW TABLES `Tables_in_<database>`; here it has the original's name.
                let in_database = name.value.get(..10);
                let known = match in_database.filter(|s| s.eq_ignore_ascii_case("Tables_in_")) {
                    Some(_) => "Tables",
                    None => &name.value,
                };
                let named = |column: &Column| column.name.eq_ignore_ascii_case(known);
                let at = self.columns.iter().position(named);
                let at = at
                    .ok_or_else(|| SqlError::new(14, format!("Not a specific column: `{name}`")))?;
                Ok(fields::text(&self.row[at], &name.value)?.into_owned())
            }
            Expr::Value(value) => match &value.value {
                Literal::SingleQuotedString(text) | Literal::Number(text, _) => Ok(text.clone()),
                Literal::Placeholder(name) => {
                    let value = placeholder(name).and_then(|n| self.values.get(n));
                    Ok(fields::text(value.unwrap_or(&Value::Null), name)?.into_owned())
                }
                other => Ok(other.to_string()),
            },
            Expr::Nested(inner) => self.text(inner),
            other => Err(errors::not_implemented(format_args!(
                "SHOW ... WHERE {other}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(like(pattern, text), expected, "{pattern:?} {text:?}");
    }

    #[test]
    fn likes() {
        check("lower_case_%", "lower_case_table_names", true);
        check("lower\\_case%", "lowerXcase_table_names", false);
        check("VERSION", "version", true);
        check("%a%b%", "xxaxxbxx", true);
        check("%ab", "aab", true);
        check("a_c", "abc", true);
        check("a_c", "ac", false);
        check("", "", true);
        check("", "a", false);
        check("%", "", true);
        check("a\\%", "a%", true);
        check("a\\%", "ab", false);
    }
}
