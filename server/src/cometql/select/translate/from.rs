//! FROM: which tables a SELECT reads, under which names, and of which of them only some rows are needed.

use super::scope::{Relation, Scope, info_fields, table_fields};
use super::{Cte, MAX_DEPTH, Parameter, Pins, Translator, quoted};
use crate::cometql::catalog::{self, Table};
use crate::cometql::errors::{not_implemented, unknown_table};
use crate::cometql::parse::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias,
    TableFactor, TableWithJoins, Value,
};
use crate::cometql::parse::placeholder;
use crate::cometql::{SqlError, select::information_schema};

use super::expression::literal_text;

type Sql = Result<String, SqlError>;

impl Translator {
    /// The list after FROM; the relations go into the innermost scope. Conditions of inner joins are added to
    /// `conditions`. Empty for `FROM dual`.
    pub(super) fn from<'q>(
        &mut self,
        from: &'q [TableWithJoins],
        conditions: &mut Vec<&'q Expr>,
    ) -> Sql {
        let mut pieces = Vec::new();
        for table in from {
            let sql = self.joined(table, conditions)?;
            if !sql.is_empty() {
                pieces.push(sql);
            }
        }
        Ok(pieces.join(", "))
    }

    fn joined<'q>(&mut self, table: &'q TableWithJoins, conditions: &mut Vec<&'q Expr>) -> Sql {
        let mut sql = self.factor(&table.relation, conditions)?;
        for join in &table.joins {
            sql += &self.join(join, conditions)?;
        }
        Ok(sql)
    }

    fn join<'q>(&mut self, join: &'q Join, conditions: &mut Vec<&'q Expr>) -> Sql {
        let (words, constraint, inner) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                ("JOIN", constraint, true)
            }
            JoinOperator::CrossJoin(constraint) => ("CROSS JOIN", constraint, true),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                ("LEFT JOIN", constraint, false)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                ("RIGHT JOIN", constraint, false)
            }
            other => {
                let name = format!("{other:?}");
                let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
                return Err(not_implemented(format!("JOIN of kind {name}")));
            }
        };
        let known = self.scopes.last().relations.len();
        let right = self.factor(&join.relation, conditions)?;
        if right.is_empty() {
            return Err(not_implemented("JOIN with dual"));
        }
        let constraint = match constraint {
            JoinConstraint::None => String::new(),
            JoinConstraint::Natural => {
                self.merge_common(known);
                return Ok(format!(" NATURAL {words} {right}"));
            }
            JoinConstraint::Using(columns) => {
                let columns: Vec<_> = columns.iter().filter_map(last).collect();
                let merged = &mut self.scopes.last().merged;
                merged.extend(columns.iter().map(|name| name.value.clone()));
                let columns: Vec<_> = columns.iter().map(|name| quoted(&name.value)).collect();
                format!(" USING ({})", columns.join(", "))
            }
            JoinConstraint::On(condition) => {
                if inner {
                    conditions.push(condition);
                }
                format!(" ON {}", self.expression(condition)?)
            }
        };
        Ok(format!(" {words} {right}{constraint}"))
    }

    /// Columns that relations before and after `known` have in common become one.
    fn merge_common(&mut self, known: usize) {
        let scope = self.scopes.last();
        let (before, after) = scope.relations.split_at(known);
        let names = after.iter().flat_map(|relation| &relation.fields);
        let common = names.filter(|field| {
            let mut others = before.iter().flat_map(|relation| &relation.fields);
            others.any(|other| other.name.eq_ignore_ascii_case(&field.name))
        });
        let common: Vec<_> = common.map(|field| field.name.clone()).collect();
        scope.merged.extend(common);
    }

    fn factor<'q>(&mut self, factor: &'q TableFactor, conditions: &mut Vec<&'q Expr>) -> Sql {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => self.table(name, alias.as_ref()),
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                ..
            } => {
                let alias = checked_alias(alias.as_ref())?;
                // A subquery in FROM does not see the tables beside it.
                let beside = self.scopes.pop();
                let answer = self.query(subquery);
                self.scopes.push(beside);
                let (sql, fields) = answer?;
                let name = alias.map_or_else(String::new, |alias| alias.value.clone());
                self.add(&name, None, fields);
                let alias = alias.map_or_else(String::new, |_| format!(" AS {}", quoted(&name)));
                Ok(format!("({sql}){alias}"))
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => {
                if self.depth >= MAX_DEPTH {
                    return Err(SqlError::new(18, "Joins are nested too deep"));
                }
                self.depth += 1;
                let sql = self.joined(table_with_joins, conditions);
                self.depth -= 1;
                Ok(format!("({})", sql?))
            }
            other => {
                let text: String = other.to_string().chars().take(60).collect();
                Err(not_implemented(format!("FROM {text}")))
            }
        }
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> Sql {
        let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let alias = checked_alias(alias)?.map(|alias| &*alias.value);
        match &parts[..] {
            [name] => {
                if let Some(cte) = self.cte(&name.value) {
                    let (stored, fields) = (cte.stored.clone(), cte.fields.clone());
                    let alias = alias.unwrap_or(&name.value);
                    self.add(alias, None, fields);
                    return Ok(format!("{} AS {}", quoted(&stored), quoted(alias)));
                }
                if name.value.eq_ignore_ascii_case("dual") {
                    return Ok(String::new());
                }
                self.catalog_table(&name.value, alias)
            }
            [schema, name] if schema.value.eq_ignore_ascii_case("information_schema") => {
                self.info_table(&name.value, alias)
            }
            [schema, name] if is_ours(&schema.value) => self.catalog_table(&name.value, alias),
            _ => Err(unknown_table(&name.to_string())),
        }
    }

    fn catalog_table(&mut self, name: &str, alias: Option<&str>) -> Sql {
        let table = catalog::table(name).ok_or_else(|| unknown_table(name))?;
        let alias = alias.unwrap_or(name);
        self.add(alias, Some(table), table_fields(table));
        Ok(format!("temp.{} AS {}", quoted(name), quoted(alias)))
    }

    fn info_table(&mut self, name: &str, alias: Option<&str>) -> Sql {
        let table = information_schema::table(name)
            .ok_or_else(|| unknown_table(&format!("information_schema.{name}")))?;
        let alias = alias.unwrap_or(name);
        self.add(alias, None, info_fields(table));
        let stored = format!("information_schema.{}", table.name);
        self.tables.entry(stored.clone()).or_default();
        Ok(format!("temp.{} AS {}", quoted(&stored), quoted(alias)))
    }

    fn add(&mut self, name: &str, table: Option<&'static Table>, fields: Vec<super::scope::Field>) {
        let relation = Relation {
            name: name.to_owned(),
            table,
            fields,
        };
        self.scopes.last().relations.push(relation);
    }

    fn cte(&self, name: &str) -> Option<&Cte> {
        let mut ctes = self.ctes.iter().rev();
        ctes.find(|cte| cte.name.eq_ignore_ascii_case(name))
    }

    /// Records for every table of the innermost scope which rows its SELECT can use, going by conditions that all its
    /// rows must meet.
    pub(super) fn pin(&mut self, conditions: &[&Expr]) {
        let mut all = Vec::new();
        for condition in conditions {
            conjuncts(condition, &mut all);
        }
        let scope = self.scopes.pop();
        for relation in &scope.relations {
            let Some(table) = relation.table else {
                continue;
            };
            let mut pins = Pins::All;
            for condition in &all {
                if let Some(keys) = keys(&scope, relation, table, condition) {
                    pins = Pins::These(keys);
                    break;
                }
            }
            let entry = self.tables.entry(table.name.to_owned()).or_default();
            entry.pins = match (entry.pins.take(), pins) {
                (None, pins) => Some(pins),
                (Some(Pins::These(mut known)), Pins::These(more)) => {
                    known.extend(more);
                    Some(Pins::These(known))
                }
                _ => Some(Pins::All),
            };
        }
        self.scopes.push(scope);
    }
}

/// The keys that a condition asks for, if it asks for any of this relation.
fn keys(
    scope: &Scope,
    relation: &Relation,
    table: &Table,
    condition: &Expr,
) -> Option<Vec<Parameter>> {
    let key = |column: &Expr| match column {
        Expr::Identifier(name) => {
            name.value.eq_ignore_ascii_case(table.key().name)
                && scope.with_column(&name.value).count() == 1
        }
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [.., qualifier, name] => {
                qualifier.value.eq_ignore_ascii_case(&relation.name)
                    && name.value.eq_ignore_ascii_case(table.key().name)
            }
            _ => false,
        },
        _ => false,
    };
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } if key(left) => Some(vec![constant(right)?]),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } if key(right) => Some(vec![constant(left)?]),
        Expr::InList {
            expr,
            list,
            negated: false,
        } if key(expr) => list.iter().map(constant).collect(),
        _ => None,
    }
}

fn constant(expression: &Expr) -> Option<Parameter> {
    let Expr::Value(value) = expression else {
        return None;
    };
    match &value.value {
        Value::Placeholder(name) => placeholder(name).map(Parameter::Placeholder),
        Value::Number(digits, _) => Some(Parameter::Text(digits.clone())),
        text => literal_text(text).map(Parameter::Text),
    }
}

/// The parts of a condition that must all hold.
fn conjuncts<'q>(condition: &'q Expr, found: &mut Vec<&'q Expr>) {
    let mut rest = vec![condition];
    while let Some(condition) = rest.pop() {
        match condition {
            Expr::Nested(inner) => rest.push(inner),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => rest.extend([&**left, &**right]),
            other => found.push(other),
        }
    }
}

/// Whether this names the database of the session: tenants can't be named in SELECT, only chosen by USE.
fn is_ours(schema: &str) -> bool {
    schema.eq_ignore_ascii_case(catalog::DATABASE)
}

fn checked_alias(alias: Option<&TableAlias>) -> Result<Option<&Ident>, SqlError> {
    match alias {
        Some(alias) if !alias.columns.is_empty() => {
            Err(not_implemented("A list of columns behind a table alias"))
        }
        other => Ok(other.map(|alias| &alias.name)),
    }
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last()?.as_ident()
}
