//! The SELECT list, ORDER BY and LIMIT.

use super::expression::literal_text;
use super::kinds::kind;
use super::scope::Field;
use super::{Sql, Translator, quoted};
use crate::cometql::SqlError;
use crate::cometql::errors::{not_implemented, syntax};
use crate::cometql::parse::ast::{
    BinaryOperator, Expr, LimitClause, OrderByExpr, OrderBySort, SelectItem,
    SelectItemQualifiedWildcardKind, Value,
};

impl Translator {
    /// The SELECT list: its SQL and its columns.
    pub(super) fn items(
        &mut self,
        items: &[SelectItem],
    ) -> Result<(Vec<String>, Vec<Field>), SqlError> {
        let (mut sql, mut fields) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expression) => {
                    let name = name_of(expression);
                    self.item(expression, name, &mut sql, &mut fields)?;
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.item(expr, alias.value.clone(), &mut sql, &mut fields)?;
                }
                SelectItem::Wildcard(_) => self.wildcard(None, &mut sql, &mut fields)?,
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let table = name.0.last().and_then(|part| part.as_ident());
                    let table = table.ok_or_else(|| syntax("near *"))?;
                    self.wildcard(Some(&table.value), &mut sql, &mut fields)?;
                }
                other => return Err(not_implemented(format!("SELECT {other}"))),
            }
        }
        Ok((sql, fields))
    }

    fn item(
        &mut self,
        expression: &Expr,
        name: String,
        sql: &mut Vec<String>,
        fields: &mut Vec<Field>,
    ) -> Result<(), SqlError> {
        let source = match expression {
            Expr::Identifier(column) => self.scopes.find(None, &column.value),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [.., table, column] => self.scopes.find(Some(&table.value), &column.value),
                _ => None,
            },
            _ => None,
        };
        let field = match source {
            Some(field) => Field {
                name,
                invisible: false,
                ..field.clone()
            },
            None => Field {
                kind: kind(&self.scopes, expression),
                ..Field::unknown(&name)
            },
        };
        let piece = self.expression(expression)?;
        sql.push(format!("{piece} AS {}", quoted(&field.name)));
        fields.push(field);
        Ok(())
    }

    /// `*` or `table.*`.
    fn wildcard(
        &mut self,
        table: Option<&str>,
        sql: &mut Vec<String>,
        fields: &mut Vec<Field>,
    ) -> Result<(), SqlError> {
        let scope = self.scopes.last();
        let before = fields.len();
        let mut merged = Vec::new();
        for relation in &scope.relations {
            if table.is_some_and(|table| !relation.name.eq_ignore_ascii_case(table)) {
                continue;
            }
            for field in relation.fields.iter().filter(|field| !field.invisible) {
                let column = quoted(&field.name);
                let is_merged = |name: &String| name.eq_ignore_ascii_case(&field.name);
                if table.is_none() && scope.merged.iter().any(is_merged) {
                    if merged.iter().any(is_merged) {
                        continue;
                    }
                    merged.push(field.name.clone());
                    sql.push(column);
                } else if relation.name.is_empty() {
                    sql.push(column);
                } else {
                    sql.push(format!("{}.{column} AS {column}", quoted(&relation.name)));
                }
                fields.push(field.clone());
            }
        }
        if fields.len() == before {
            return Err(syntax("* without a table"));
        }
        Ok(())
    }

    pub(super) fn order_terms(&mut self, terms: &[OrderByExpr]) -> Sql {
        let mut pieces = Vec::new();
        for term in terms {
            let direction = match &term.options.sort {
                Some(OrderBySort::Desc) => " DESC",
                Some(OrderBySort::Asc) | None => "",
                Some(_) => return Err(not_implemented("ORDER BY USING")),
            };
            let number = matches!(&term.expr, Expr::Value(value) if matches!(value.value, Value::Number(..)));
            let sql = if number {
                self.expression(&term.expr)?
            } else {
                // A cast would take the column's collation away: only JSON needs to be told apart.
                self.sortable(&term.expr)?
            };
            pieces.push(format!("{sql}{direction}"));
        }
        Ok(pieces.join(", "))
    }

    fn sortable(&mut self, expression: &Expr) -> Sql {
        match expression {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Arrow,
                right,
            } => self.json_arrow(left, right, true),
            other => self.expression(other),
        }
    }

    pub(super) fn limit(&mut self, clause: Option<&LimitClause>) -> Sql {
        let (limit, offset) = match clause {
            None => return Ok(String::new()),
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            Some(_) => return Err(not_implemented("LIMIT BY")),
        };
        let mut sql = match limit {
            Some(limit) => format!(" LIMIT {}", self.count(limit)?),
            None => " LIMIT -1".to_owned(),
        };
        if let Some(offset) = offset {
            sql += &format!(" OFFSET {}", self.count(offset)?);
        }
        Ok(sql)
    }

    /// A number of rows: never negative, which SQLite would read as "all".
    fn count(&mut self, expression: &Expr) -> Sql {
        match expression {
            Expr::Value(value)
                if matches!(value.value, Value::Number(..) | Value::Placeholder(_)) =>
            {
                let sql = self.literal(value)?;
                Ok(format!("max(0, CAST({sql} AS INTEGER))"))
            }
            other => Err(syntax(format!("LIMIT wants a number, near {other}"))),
        }
    }
}

/// The name of a column without an alias: as written, as far as the parser keeps it.
fn name_of(expression: &Expr) -> String {
    match expression {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [scope, name] if scope.value.starts_with("@@") => {
                format!("{}.{}", scope.value, name.value)
            }
            parts => parts
                .last()
                .map_or_else(String::new, |name| name.value.clone()),
        },
        Expr::Value(value) => literal_text(&value.value).unwrap_or_else(|| value.to_string()),
        other => other.to_string(),
    }
}
