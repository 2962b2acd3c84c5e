//! How a call of a function is written for SQLite.

use super::expression::{extract, literal_text};
use super::known::{Form, Known, function};
use super::{Parameter, Translator};
use crate::cometql::SqlError;
use crate::cometql::errors::{not_implemented, syntax};
use crate::cometql::parse::ast::{
    DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Value,
};
use crate::cometql::parse::values_of;

type Sql = Result<String, SqlError>;

impl Translator {
    /// A function call.
    pub(super) fn call(&mut self, call: &Function) -> Sql {
        let name = match &call.name.0[..] {
            [one] => one.as_ident().map_or("", |name| &name.value),
            _ => "",
        };
        let written = call.name.to_string();
        let refused = || {
            not_implemented(format!(
                "Function {}",
                written.chars().take(60).collect::<String>()
            ))
        };
        if let Some(column) = values_of(call) {
            let column = format!("values({column})");
            // Known only where a new row stands beside the old one.
            self.scopes.find(None, &column).ok_or_else(refused)?;
            return self.scopes.column(None, &column);
        }
        let known = function(name).ok_or_else(refused)?;
        if call.filter.is_some() || call.null_treatment.is_some() || !call.within_group.is_empty() {
            return Err(not_implemented(format!(
                "{} with FILTER or IGNORE NULLS",
                known.name
            )));
        }
        let none = FunctionArgumentList {
            duplicate_treatment: None,
            args: Vec::new(),
            clauses: Vec::new(),
        };
        let list = match &call.args {
            FunctionArguments::List(list) => list,
            FunctionArguments::None => &none,
            FunctionArguments::Subquery(_) => return Err(refused()),
        };
        let count = list.args.len();
        if count < known.arguments.0 || count > known.arguments.1 {
            return Err(syntax(format!(
                "{} does not take {count} arguments",
                known.name
            )));
        }
        match (known.form, &call.over) {
            (Form::Aggregate(name), None) => return self.aggregate(name, list),
            (Form::Aggregate(name) | Form::Window(name), Some(over)) => {
                if list.duplicate_treatment.is_some() {
                    return Err(not_implemented(format!(
                        "{} with DISTINCT and OVER",
                        known.name
                    )));
                }
                let call = self.aggregate(name, list)?;
                return Ok(format!("{call} OVER ({})", self.window(over)?));
            }
            (Form::Window(_), None) => return Err(syntax(format!("{} needs OVER", known.name))),
            (_, Some(_)) => return Err(not_implemented(format!("{} with OVER", known.name))),
            (_, None) => {}
        }
        if !matches!(known.form, Form::GroupConcat)
            && (list.duplicate_treatment.is_some() || !list.clauses.is_empty())
        {
            return Err(not_implemented(format!("This form of {}", known.name)));
        }
        self.form(known, list)
    }

    fn form(&mut self, known: &Known, list: &FunctionArgumentList) -> Sql {
        let arguments = expressions(list)?;
        match (known.form, &arguments[..]) {
            (Form::Sql(form), _) => {
                let arguments = arguments
                    .iter()
                    .map(|argument| self.expression(argument))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(filled(form, &arguments))
            }
            (Form::GroupConcat, [one]) => self.group_concat(one, list),
            (Form::Session(fact), _) => Ok(self.bind(Parameter::Session(fact))),
            (Form::Shift(back), [moment, interval]) => self.shifted(moment, interval, back),
            (Form::FromUnix, _) => self.unix_time(&arguments),
            (Form::Log, [number]) => self.wrapped("my_ln", &[number]),
            (Form::Log, [base, number]) => self.wrapped("my_log", &[base, number]),
            (Form::Difference, [unit, from, to]) => self.difference(unit, from, to),
            (Form::Add, [unit, count, moment]) => self.added(unit, count, moment),
            (Form::Unquote, [one]) => self.unquoted(one),
            (Form::Part(part), [one]) => {
                let moment = self.expression(one)?;
                let field = match part {
                    "YEAR" => DateTimeField::Year,
                    "MONTH" => DateTimeField::Month,
                    "DAY" => DateTimeField::Day,
                    "HOUR" => DateTimeField::Hour,
                    "MINUTE" => DateTimeField::Minute,
                    _ => DateTimeField::Second,
                };
                extract(&field, &moment).ok_or_else(|| not_implemented(known.name))
            }
            _ => Err(not_implemented(format!("This form of {}", known.name))),
        }
    }

    fn aggregate(&mut self, name: &str, list: &FunctionArgumentList) -> Sql {
        if !list.clauses.is_empty() {
            return Err(not_implemented(format!("This form of {name}")));
        }
        let argument = match &list.args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "count" => "*".to_owned(),
            _ => {
                let expressions = expressions(list)?;
                self.list_of(&expressions)?
            }
        };
        Ok(format!("{name}({}{argument})", distinct(list)))
    }

    fn group_concat(&mut self, argument: &Expr, list: &FunctionArgumentList) -> Sql {
        let mut order = String::new();
        let mut separator = None;
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(terms) => {
                    order = format!(" ORDER BY {}", self.order_terms(terms)?);
                }
                FunctionArgumentClause::Separator(value) => {
                    let text = literal_text(&value.value)
                        .ok_or_else(|| syntax("SEPARATOR wants a text"))?;
                    separator = Some(self.bind(Parameter::Text(text)));
                }
                _ => return Err(not_implemented("This form of GROUP_CONCAT")),
            }
        }
        let argument = self.expression(argument)?;
        let distinct = distinct(list);
        match separator {
            Some(_) if !distinct.is_empty() => Err(not_implemented(
                "GROUP_CONCAT with both DISTINCT and SEPARATOR",
            )),
            Some(separator) => Ok(format!("group_concat({argument}, {separator}{order})")),
            None => Ok(format!("group_concat({distinct}{argument}{order})")),
        }
    }

    fn unix_time(&mut self, arguments: &[&Expr]) -> Sql {
        let [moment, format @ ..] = arguments else {
            return Err(syntax("wrong number of arguments"));
        };
        let moment = self.expression(moment)?;
        let Some(format) = format.first() else {
            return Ok(format!("datetime({moment}, 'unixepoch')"));
        };
        let format = self.expression(format)?;
        Ok(format!(
            "my_date_format(strftime('%Y-%m-%d %H:%M:%S %j', {moment}, 'unixepoch'), {format})"
        ))
    }

    /// `TIMESTAMPDIFF(unit, from, to)`: whole units, cut towards zero.
    fn difference(&mut self, unit: &Expr, from: &Expr, to: &Expr) -> Sql {
        let (from, to) = (self.expression(from)?, self.expression(to)?);
        let unit = unit_of(unit)?;
        let per = |seconds: u32| {
            Ok(format!(
                "((unixepoch({to}) - unixepoch({from})) / {seconds})"
            ))
        };
        let months = |months: u32| {
            let read = |moment| format!("strftime('%Y-%m-%d %H:%M:%S %j', {moment})");
            Ok(format!(
                "(my_months({}, {}) / {months})",
                read(&from),
                read(&to)
            ))
        };
        match unit {
            "SECOND" => per(1),
            "MINUTE" => per(60),
            "HOUR" => per(3_600),
            "DAY" => per(86_400),
            "WEEK" => per(7 * 86_400),
            "MONTH" => months(1),
            "QUARTER" => months(3),
            _ => months(12),
        }
    }

    /// `TIMESTAMPADD(unit, count, moment)`.
    fn added(&mut self, unit: &Expr, count: &Expr, moment: &Expr) -> Sql {
        let (count, moment) = (self.expression(count)?, self.expression(moment)?);
        let (unit, factor) = match unit_of(unit)? {
            "SECOND" => ("seconds", 1),
            "MINUTE" => ("minutes", 1),
            "HOUR" => ("hours", 1),
            "DAY" => ("days", 1),
            "WEEK" => ("days", 7),
            "MONTH" => ("months", 1),
            "QUARTER" => ("months", 3),
            _ => ("years", 1),
        };
        Ok(format!(
            "datetime({moment}, (({count}) * {factor}) || ' {unit}')"
        ))
    }

    fn unquoted(&mut self, argument: &Expr) -> Sql {
        if let Expr::Function(call) = argument
            && call.name.to_string().eq_ignore_ascii_case("json_extract")
            && let FunctionArguments::List(list) = &call.args
            && let [json, path] = expressions(list)?[..]
        {
            return self.json_arrow(json, path, true);
        }
        if matches!(argument, Expr::Value(value) if matches!(value.value, Value::Null)) {
            return Ok("NULL".to_owned());
        }
        self.wrapped("my_unquote", &[argument])
    }

    fn list_of(&mut self, expressions: &[&Expr]) -> Sql {
        let list = expressions
            .iter()
            .map(|expression| self.expression(expression))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(list.join(", "))
    }
}

fn expressions(list: &FunctionArgumentList) -> Result<Vec<&Expr>, SqlError> {
    let expression = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expression)) => Ok(expression),
        other => Err(syntax(format!("near {other}"))),
    };
    list.args.iter().map(expression).collect()
}

fn distinct(list: &FunctionArgumentList) -> &'static str {
    match list.duplicate_treatment {
        Some(DuplicateTreatment::Distinct) => "DISTINCT ",
        Some(DuplicateTreatment::All) | None => "",
    }
}

/// The form with its arguments, in one pass: what an argument holds is never taken for a mark.
fn filled(form: &str, arguments: &[String]) -> String {
    let mut sql = String::new();
    let mut pieces = form.split('$');
    sql.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (mark, rest) = piece.split_at(1);
        match mark.parse::<usize>() {
            Ok(number) => sql.push_str(arguments.get(number - 1).map_or("NULL", |a| a)),
            Err(_) => sql.push_str(&arguments.join(", ")),
        }
        sql.push_str(rest);
    }
    sql
}

/// The unit that stands as an argument.
fn unit_of(expression: &Expr) -> Result<&'static str, SqlError> {
    const UNITS: [&str; 8] = [
        "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR",
    ];
    let written = expression.to_string();
    let bare = written.strip_prefix("SQL_TSI_").unwrap_or(&written);
    let unit = UNITS
        .into_iter()
        .find(|unit| unit.eq_ignore_ascii_case(bare));
    let short = || written.chars().take(60).collect::<String>();
    unit.ok_or_else(|| not_implemented(format!("The unit {}", short())))
}
