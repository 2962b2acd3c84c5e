//! A MySQL query as SQLite's SQL. What is written is made of known words, known tables, known columns and bound values
//! only: no text of the statement gets through otherwise. It must not run anything.

mod call;
mod clauses;
mod expression;
mod from;
mod kinds;
mod known;
mod scope;
mod window;

use std::collections::BTreeMap;

#[cfg(test)]
pub(super) use known::FUNCTIONS;
pub(super) use known::NATIVE;
use scope::{Field, Scope, Scopes};

use super::super::errors::not_implemented;
use super::super::parse::ast::{
    Cte as CteSyntax, Distinct, Expr, GroupByExpr, Ident, OrderBy, OrderByExpr, OrderByKind, Query,
    Select, SetExpr, SetOperator, SetQuantifier, With,
};
use super::super::{ColumnKind, SqlError};

/// Deepest nesting of expressions and subqueries, which also bounds the stack.
const MAX_DEPTH: usize = 100;
/// Most SELECTs in one UNION: SQLite's own limit is 500.
const MAX_UNION: usize = 200;

/// Most bytes of SQL that all expressions become, those within others counted again. Some forms name an argument twice,
/// so that few of them within each other would write more than fits into memory.
const MAX_WRITTEN: usize = 16 << 20;

/// What the names of common table expressions begin with in SQLite: no table's name does.
pub(super) const CTE_PREFIX: &str = "cte:";

/// A query, ready for SQLite.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) sql: String,
    pub(super) output: Vec<Output>,
    /// What to bind, in order.
    pub(super) parameters: Vec<Parameter>,
    /// The tables that it reads.
    pub(super) tables: BTreeMap<String, Use>,
}

/// A column of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) name: String,
    /// Its type, as far as it can be told without values.
    pub(super) kind: Option<ColumnKind>,
    /// True when it goes over the wire as `kind` whatever the values are.
    pub(super) fixed: bool,
}

/// A value to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parameter {
    /// The n-th value of the statement, from 0.
    Placeholder(usize),
    Text(String),
    Bytes(Vec<u8>),
    /// A system variable, by its lower-case name.
    Variable(String),
    Session(Fact),
}

/// What functions tell of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Database,
    User,
    Connection,
    LastInsertId,
    Version,
}

/// How a table is read.
#[derive(Debug, Default)]
pub(super) struct Use {
    /// Which rows are needed; `None` = it has no key.
    pub(super) pins: Option<Pins>,
}

/// Which rows of a table a query can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pins {
    All,
    /// Those with one of these keys.
    These(Vec<Parameter>),
}

/// Translates a query for SQLite.
pub(super) fn translate(query: &Query) -> Result<Translation, SqlError> {
    let mut translator = Translator {
        parameters: Vec::new(),
        tables: BTreeMap::new(),
        scopes: Scopes::default(),
        ctes: Vec::new(),
        depth: 0,
        written: 0,
    };
    let (sql, fields) = translator.query(query)?;
    let output = fields.into_iter().map(|field| Output {
        name: field.name,
        kind: field.wire.or(field.kind),
        fixed: field.wire.is_some(),
    });
    Ok(Translation {
        sql,
        output: output.collect(),
        parameters: translator.parameters,
        tables: translator.tables,
    })
}

/// A common table expression that is in sight.
struct Cte {
    name: String,
    /// Its name in SQLite, which can never be that of a table.
    stored: String,
    fields: Vec<Field>,
}

/// Walks over a query and keeps what it has seen.
struct Translator {
    parameters: Vec<Parameter>,
    tables: BTreeMap<String, Use>,
    scopes: Scopes,
    ctes: Vec<Cte>,
    depth: usize,
    /// Bytes of SQL so far.
    written: usize,
}

type Sql = Result<String, SqlError>;
type Table = Result<(String, Vec<Field>), SqlError>;

impl Translator {
    /// A query with all its clauses: its SQL and its columns.
    fn query(&mut self, query: &Query) -> Table {
        if self.depth >= MAX_DEPTH {
            return Err(SqlError::new(18, "Subqueries are nested too deep"));
        }
        self.depth += 1;
        let known = self.ctes.len();
        let answer = self.whole_query(query);
        self.ctes.truncate(known);
        self.depth -= 1;
        answer
    }

    fn whole_query(&mut self, query: &Query) -> Table {
        if query.fetch.is_some() || query.for_clause.is_some() || !query.pipe_operators.is_empty() {
            return Err(not_implemented("This form of SELECT"));
        }
        let with = match &query.with {
            Some(with) => self.with(with)?,
            None => String::new(),
        };
        let terms = order_terms(query.order_by.as_ref())?;
        let (mut sql, fields) = match &*query.body {
            SetExpr::Select(select) => self.select(select, terms)?,
            SetExpr::Query(inner) if terms.is_empty() => {
                let (sql, fields) = self.query(inner)?;
                (format!("SELECT * FROM ({sql})"), fields)
            }
            body => {
                let (sql, fields) = self.body(body)?;
                if terms.is_empty() {
                    (sql, fields)
                } else {
                    let order = self.outer_order(&fields, terms)?;
                    (format!("SELECT * FROM ({sql}) ORDER BY {order}"), fields)
                }
            }
        };
        sql += &self.limit(query.limit_clause.as_ref())?;
        Ok((format!("{with}{sql}"), fields))
    }

    /// ORDER BY behind a UNION, which names the columns of the result.
    fn outer_order(&mut self, fields: &[Field], terms: &[OrderByExpr]) -> Sql {
        let scope = Scope {
            aliases: fields.to_vec(),
            ..Scope::default()
        };
        self.scopes.push(scope);
        let order = self.order_terms(terms);
        self.scopes.pop();
        order
    }

    fn with(&mut self, with: &With) -> Sql {
        let mut pieces = Vec::new();
        for cte in &with.cte_tables {
            pieces.push(self.common_table(cte, with.recursive)?);
        }
        let recursive = if with.recursive { "RECURSIVE " } else { "" };
        Ok(format!("WITH {recursive}{} ", pieces.join(", ")))
    }

    fn common_table(&mut self, cte: &CteSyntax, recursive: bool) -> Sql {
        let name = cte.alias.name.value.clone();
        let columns: Vec<&Ident> = cte.alias.columns.iter().map(|c| &c.name).collect();
        let stored = format!("{CTE_PREFIX}{name}");
        if recursive {
            let fields = self.first_fields(&cte.query, &columns)?;
            let stored = stored.clone();
            self.ctes.push(Cte {
                name: name.clone(),
                stored,
                fields,
            });
        }
        let (sql, fields) = self.query(&cte.query)?;
        if recursive {
            self.ctes.pop();
        }
        let fields = renamed(fields, &columns)?;
        let columns: Vec<_> = fields.iter().map(|field| quoted(&field.name)).collect();
        let piece = format!("{}({}) AS ({sql})", quoted(&stored), columns.join(", "));
        self.ctes.push(Cte {
            name,
            stored,
            fields,
        });
        Ok(piece)
    }

    /// The columns of a recursive expression, told from its first SELECT.
    fn first_fields(&mut self, query: &Query, columns: &[&Ident]) -> Result<Vec<Field>, SqlError> {
        let mut first = &*query.body;
        while let SetExpr::SetOperation { left, .. } = first {
            first = left;
        }
        let bound = self.parameters.len();
        let (_, fields) = self.body(first)?;
        self.parameters.truncate(bound);
        let unknown = fields.iter().map(|field| Field::unknown(&field.name));
        renamed(unknown.collect(), columns)
    }

    fn body(&mut self, body: &SetExpr) -> Table {
        match body {
            SetExpr::Select(select) => self.select(select, &[]),
            SetExpr::Query(query) => {
                let (sql, fields) = self.query(query)?;
                Ok((format!("SELECT * FROM ({sql})"), fields))
            }
            SetExpr::SetOperation { .. } => self.set_operation(body),
            _ => Err(not_implemented("A query that is no SELECT")),
        }
    }

    /// A chain of UNIONs, which may be long: it is taken apart without recursion.
    fn set_operation(&mut self, body: &SetExpr) -> Table {
        let mut steps = Vec::new();
        let mut first = body;
        while let SetExpr::SetOperation {
            left,
            op,
            set_quantifier,
            right,
        } = first
        {
            steps.push((op, set_quantifier, &**right));
            first = left;
        }
        if steps.len() >= MAX_UNION {
            let message = format!("More than {MAX_UNION} SELECTs in one UNION");
            return Err(SqlError::new(18, message));
        }
        let (mut sql, mut fields) = self.body(first)?;
        for (operator, quantifier, right) in steps.into_iter().rev() {
            let (mut other, others) = self.body(right)?;
            if matches!(right, SetExpr::SetOperation { .. }) {
                other = format!("SELECT * FROM ({other})");
            }
            if others.len() != fields.len() {
                return Err(SqlError::new(
                    14,
                    "Error in columns list: the SELECTs have different numbers of columns",
                ));
            }
            sql = format!("{sql} {} {other}", set_words(*operator, *quantifier)?);
            fields = fields.into_iter().zip(others).map(merged).collect();
        }
        Ok((sql, fields))
    }

    fn select(&mut self, select: &Select, order: &[OrderByExpr]) -> Table {
        self.scopes.push(Scope::default());
        let answer = self.whole_select(select, order);
        self.scopes.pop();
        answer
    }

    fn whole_select(&mut self, select: &Select, order: &[OrderByExpr]) -> Table {
        refuse_others(select)?;
        let mut conditions: Vec<&Expr> = select.selection.iter().collect();
        let from = self.from(&select.from, &mut conditions)?;
        self.pin(&conditions);
        let filter = match &select.selection {
            Some(condition) => format!(" WHERE {}", self.expression(condition)?),
            None => String::new(),
        };
        let (items, fields) = self.items(&select.projection)?;
        self.scopes.last().aliases = fields.clone();
        let mut sql = "SELECT ".to_owned();
        if matches!(select.distinct, Some(Distinct::Distinct)) {
            sql += "DISTINCT ";
        }
        sql += &items.join(", ");
        if !from.is_empty() {
            sql += " FROM ";
            sql += &from;
        }
        sql += &filter;
        sql += &self.grouping(select)?;
        if !order.is_empty() {
            sql += &format!(" ORDER BY {}", self.order_terms(order)?);
        }
        Ok((sql, fields))
    }

    fn grouping(&mut self, select: &Select) -> Sql {
        let mut sql = match &select.group_by {
            GroupByExpr::Expressions(expressions, modifiers) if modifiers.is_empty() => {
                match self.list(expressions)? {
                    list if list.is_empty() => list,
                    list => format!(" GROUP BY {list}"),
                }
            }
            _ => return Err(not_implemented("GROUP BY with ALL or ROLLUP")),
        };
        if let Some(having) = &select.having {
            sql += &format!(" HAVING {}", self.expression(having)?);
        }
        Ok(sql)
    }

    /// A new parameter with this value, as it is written in the SQL.
    fn bind(&mut self, parameter: Parameter) -> String {
        self.parameters.push(parameter);
        format!("?{}", self.parameters.len())
    }
}

/// A name for SQLite, in quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn order_terms(order: Option<&OrderBy>) -> Result<&[OrderByExpr], SqlError> {
    match order.map(|order| &order.kind) {
        None => Ok(&[]),
        Some(OrderByKind::Expressions(terms)) => Ok(terms),
        Some(OrderByKind::All(_)) => Err(not_implemented("ORDER BY ALL")),
    }
}

fn set_words(operator: SetOperator, quantifier: SetQuantifier) -> Result<&'static str, SqlError> {
    match (operator, quantifier) {
        (SetOperator::Union, SetQuantifier::All) => Ok("UNION ALL"),
        (SetOperator::Union, SetQuantifier::Distinct | SetQuantifier::None) => Ok("UNION"),
        (SetOperator::Except, SetQuantifier::Distinct | SetQuantifier::None) => Ok("EXCEPT"),
        (SetOperator::Intersect, SetQuantifier::Distinct | SetQuantifier::None) => Ok("INTERSECT"),
        (operator, quantifier) => Err(not_implemented(format!("{operator} {quantifier}"))),
    }
}

/// A column of a UNION.
fn merged((left, right): (Field, Field)) -> Field {
    let same = |a: Option<ColumnKind>, b| if a == b { a } else { None };
    Field {
        kind: same(left.kind, right.kind),
        wire: same(left.wire, right.wire),
        exact: left.exact && right.exact,
        affine: false,
        invisible: left.invisible && right.invisible,
        name: left.name,
    }
}

fn renamed(mut fields: Vec<Field>, columns: &[&Ident]) -> Result<Vec<Field>, SqlError> {
    if columns.is_empty() {
        return Ok(fields);
    }
    if columns.len() != fields.len() {
        return Err(SqlError::new(
            14,
            "Error in columns list: WITH names another number of columns than its SELECT has",
        ));
    }
    for (field, column) in fields.iter_mut().zip(columns) {
        field.name.clone_from(&column.value);
    }
    Ok(fields)
}

/// Clauses of other databases, and those of MySQL that we lack.
fn refuse_others(select: &Select) -> Result<(), SqlError> {
    let refused = [
        (select.into.is_some(), "SELECT INTO"),
        (select.top.is_some(), "TOP"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.named_window.is_empty(), "WINDOW"),
        (select.qualify.is_some(), "QUALIFY"),
        (
            matches!(select.distinct, Some(Distinct::On(_))),
            "DISTINCT ON",
        ),
        (
            !select.cluster_by.is_empty()
                || !select.distribute_by.is_empty()
                || !select.sort_by.is_empty(),
            "CLUSTER BY",
        ),
    ];
    match refused.iter().find(|(present, _)| *present) {
        Some((_, name)) => Err(not_implemented(name)),
        None => Ok(()),
    }
}
