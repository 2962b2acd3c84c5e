//! The functions that SELECT knows, and how each is written for SQLite. Anything else is refused by name.

use super::expression::{extract, literal_text};
use super::{Fact, Parameter, Translator};
use crate::cometql::errors::{not_implemented, syntax};
use crate::cometql::parse::ast::{
    DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Value,
};
use crate::cometql::parse::values_of;
use crate::cometql::{ColumnKind, SqlError};

/// A function of the language.
pub(in crate::cometql::select) struct Known {
    /// In upper case.
    pub(in crate::cometql::select) name: &'static str,
    /// Fewest and most arguments.
    arguments: (usize, usize),
    pub(super) returns: Returns,
    form: Form,
}

/// What a function returns.
#[derive(Clone, Copy)]
pub(super) enum Returns {
    Is(ColumnKind),
    /// As the values come.
    Any,
    /// The type of its arguments from this one on, if they have one in common.
    Like(usize),
}

impl Returns {
    pub(super) fn kind(self) -> Option<ColumnKind> {
        match self {
            Self::Is(kind) => Some(kind),
            Self::Any | Self::Like(_) => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Form {
    /// SQL with `$1`, `$2` … for the arguments and `$*` for all.
    Sql(&'static str),
    /// An aggregate, which may have DISTINCT.
    Aggregate(&'static str),
    /// `GROUP_CONCAT`, which has ORDER BY and SEPARATOR.
    GroupConcat,
    /// Something about the session.
    Session(Fact),
    /// A moment and an INTERVAL; true = subtract.
    Shift(bool),
    /// `DATE_FORMAT` (0) or `FROM_UNIXTIME` (1) with a literal format.
    Format(u8),
    /// `JSON_UNQUOTE`, which takes the text straight out of `JSON_EXTRACT`.
    Unquote,
    /// A part of a moment.
    Part(&'static str),
}

const TEXT: Returns = Returns::Is(ColumnKind::Text);
const INTEGER: Returns = Returns::Is(ColumnKind::Integer);
const DOUBLE: Returns = Returns::Is(ColumnKind::Double);
/// No limit of its own: SQLite's holds.
const ANY: usize = 100;

/// Every function, by name.
pub(in crate::cometql::select) static FUNCTIONS: &[Known] = &[
    sql("ABS", (1, 1), Returns::Like(0), "abs($1)"),
    aggregate("AVG", DOUBLE, "avg"),
    sql("CEIL", (1, 1), INTEGER, "my_ceil($1)"),
    sql("CEILING", (1, 1), INTEGER, "my_ceil($1)"),
    sql("CHARACTER_LENGTH", (1, 1), INTEGER, "my_char_length($1)"),
    sql("CHAR_LENGTH", (1, 1), INTEGER, "my_char_length($1)"),
    sql("COALESCE", (1, ANY), Returns::Like(0), "coalesce($*, NULL)"),
    sql("CONCAT", (1, ANY), TEXT, "my_concat($*)"),
    sql("CONCAT_WS", (2, ANY), TEXT, "my_concat_ws($*)"),
    session("CONNECTION_ID", INTEGER, Fact::Connection),
    aggregate("COUNT", INTEGER, "count"),
    sql("CURDATE", (0, 0), TEXT, "date('now')"),
    sql("CURRENT_DATE", (0, 0), TEXT, "date('now')"),
    sql("CURRENT_TIME", (0, 1), TEXT, "time('now')"),
    sql("CURRENT_TIMESTAMP", (0, 1), TEXT, "datetime('now')"),
    session("CURRENT_USER", TEXT, Fact::User),
    sql("CURTIME", (0, 1), TEXT, "time('now')"),
    session("DATABASE", TEXT, Fact::Database),
    sql("DATE", (1, 1), TEXT, "date($1)"),
    sql(
        "DATEDIFF",
        (2, 2),
        INTEGER,
        "CAST(julianday(date($1)) - julianday(date($2)) AS INTEGER)",
    ),
    known("DATE_ADD", (2, 2), TEXT, Form::Shift(false)),
    known("DATE_FORMAT", (2, 2), TEXT, Form::Format(0)),
    known("DATE_SUB", (2, 2), TEXT, Form::Shift(true)),
    known("DAY", (1, 1), INTEGER, Form::Part("DAY")),
    sql("FIELD", (2, ANY), INTEGER, "my_field($*)"),
    sql("FIND_IN_SET", (2, 2), INTEGER, "my_find_in_set($1, $2)"),
    sql("FLOOR", (1, 1), INTEGER, "my_floor($1)"),
    sql("FROM_BASE64", (1, 1), Returns::Any, "my_from_base64($1)"),
    known("FROM_UNIXTIME", (1, 2), TEXT, Form::Format(1)),
    sql("GREATEST", (2, ANY), Returns::Like(0), "max($*)"),
    known("GROUP_CONCAT", (1, 1), TEXT, Form::GroupConcat),
    sql("HEX", (1, 1), TEXT, "my_hex($1)"),
    known("HOUR", (1, 1), INTEGER, Form::Part("HOUR")),
    sql(
        "IF",
        (3, 3),
        Returns::Like(1),
        "CASE WHEN $1 THEN $2 ELSE $3 END",
    ),
    sql("IFNULL", (2, 2), Returns::Like(0), "ifnull($1, $2)"),
    sql("INSTR", (2, 2), INTEGER, "my_locate($2, $1)"),
    sql("ISNULL", (1, 1), INTEGER, "($1 IS NULL)"),
    sql("JSON_ARRAY", (0, ANY), TEXT, "json_array($*)"),
    sql(
        "JSON_EXTRACT",
        (2, 2),
        Returns::Any,
        "CASE WHEN json_valid($1) THEN $1 -> $2 END",
    ),
    sql("JSON_OBJECT", (0, ANY), TEXT, "json_object($*)"),
    known("JSON_UNQUOTE", (1, 1), Returns::Any, Form::Unquote),
    sql("JSON_VALID", (1, 1), INTEGER, "json_valid($1)"),
    session("LAST_INSERT_ID", INTEGER, Fact::LastInsertId),
    sql("LCASE", (1, 1), TEXT, "my_lower($1)"),
    sql("LEAST", (2, ANY), Returns::Like(0), "min($*)"),
    sql("LEFT", (2, 2), TEXT, "my_left($1, $2)"),
    sql("LENGTH", (1, 1), INTEGER, "my_length($1)"),
    sql("LOCATE", (2, 3), INTEGER, "my_locate($*)"),
    sql("LOWER", (1, 1), TEXT, "my_lower($1)"),
    sql("LPAD", (3, 3), TEXT, "my_pad($*, 1)"),
    sql("LTRIM", (1, 1), TEXT, "my_trim($1, ' ', 1)"),
    aggregate("MAX", Returns::Like(0), "max"),
    sql("MD5", (1, 1), TEXT, "my_md5($1)"),
    sql("MID", (3, 3), TEXT, "my_substring($*)"),
    aggregate("MIN", Returns::Like(0), "min"),
    known("MINUTE", (1, 1), INTEGER, Form::Part("MINUTE")),
    sql("MOD", (2, 2), Returns::Like(0), "my_mod($1, $2)"),
    known("MONTH", (1, 1), INTEGER, Form::Part("MONTH")),
    sql("NOW", (0, 1), TEXT, "datetime('now')"),
    sql("NULLIF", (2, 2), Returns::Any, "nullif($1, $2)"),
    sql("POSITION", (2, 2), INTEGER, "my_locate($1, $2)"),
    sql(
        "RAND",
        (0, 0),
        DOUBLE,
        "((random() & 9007199254740991) / 9007199254740992.0)",
    ),
    sql("REPEAT", (2, 2), TEXT, "my_repeat($*)"),
    sql("REPLACE", (3, 3), TEXT, "my_replace($1, $2, $3)"),
    sql("REVERSE", (1, 1), TEXT, "my_reverse($1)"),
    sql("RIGHT", (2, 2), TEXT, "my_right($1, $2)"),
    sql("ROUND", (1, 2), Returns::Any, "my_round($*)"),
    sql("RPAD", (3, 3), TEXT, "my_pad($*, 0)"),
    sql("RTRIM", (1, 1), TEXT, "my_trim($1, ' ', 2)"),
    session("SCHEMA", TEXT, Fact::Database),
    known("SECOND", (1, 1), INTEGER, Form::Part("SECOND")),
    session("SESSION_USER", TEXT, Fact::User),
    sql("SHA", (1, 1), TEXT, "my_sha1($1)"),
    sql("SHA1", (1, 1), TEXT, "my_sha1($1)"),
    sql("SHA2", (2, 2), TEXT, "my_sha2($*)"),
    sql("SUBSTR", (2, 3), TEXT, "my_substring($*)"),
    sql("SUBSTRING", (2, 3), TEXT, "my_substring($*)"),
    aggregate("SUM", Returns::Like(0), "sum"),
    session("SYSTEM_USER", TEXT, Fact::User),
    sql("TIME", (1, 1), TEXT, "time($1)"),
    sql("TO_BASE64", (1, 1), TEXT, "my_to_base64($1)"),
    sql("TRIM", (1, 1), TEXT, "my_trim($1, ' ', 3)"),
    sql("UCASE", (1, 1), TEXT, "my_upper($1)"),
    sql("UNHEX", (1, 1), Returns::Any, "my_unhex($1)"),
    known(
        "UNIX_TIMESTAMP",
        (0, 1),
        INTEGER,
        Form::Sql("unixepoch($*)"),
    ),
    sql("UPPER", (1, 1), TEXT, "my_upper($1)"),
    session("USER", TEXT, Fact::User),
    sql("UTC_TIMESTAMP", (0, 1), TEXT, "datetime('now')"),
    sql("UUID", (0, 0), TEXT, "my_uuid()"),
    session("VERSION", TEXT, Fact::Version),
    known("YEAR", (1, 1), INTEGER, Form::Part("YEAR")),
];

/// SQLite's own functions that the forms above and the operators use; the authorizer lets no other through.
pub(in crate::cometql::select) static NATIVE: &[&str] = &[
    "->",
    "->>",
    "abs",
    "avg",
    "coalesce",
    "count",
    "date",
    "datetime",
    "group_concat",
    "ifnull",
    "json_array",
    "json_object",
    "json_valid",
    "julianday",
    "max",
    "min",
    "nullif",
    "random",
    "row_number",
    "iif",
    "strftime",
    "string_agg",
    "sum",
    "time",
    "unixepoch",
];

const fn known(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    form: Form,
) -> Known {
    Known {
        name,
        arguments,
        returns,
        form,
    }
}

const fn sql(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    form: &'static str,
) -> Known {
    known(name, arguments, returns, Form::Sql(form))
}

const fn aggregate(name: &'static str, returns: Returns, form: &'static str) -> Known {
    known(name, (1, 1), returns, Form::Aggregate(form))
}

const fn session(name: &'static str, returns: Returns, fact: Fact) -> Known {
    known(name, (0, 0), returns, Form::Session(fact))
}

/// The function with this name, in any case.
pub(super) fn function(name: &str) -> Option<&'static Known> {
    FUNCTIONS
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name))
}

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
        if call.over.is_some() || call.filter.is_some() || !call.within_group.is_empty() {
            return Err(not_implemented(format!(
                "{} with OVER or FILTER",
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
        if let Form::Aggregate(name) = known.form {
            return self.aggregate(name, list);
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
            (Form::Format(from_unix), _) => self.format(from_unix == 1, &arguments),
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

    fn format(&mut self, from_unix: bool, arguments: &[&Expr]) -> Sql {
        let (moment, format) = match arguments {
            [moment, format] => (moment, Some(format)),
            [moment] => (moment, None),
            _ => return Err(syntax("wrong number of arguments")),
        };
        let moment = self.expression(moment)?;
        let unix = if from_unix { ", 'unixepoch'" } else { "" };
        let Some(format) = format else {
            return Ok(format!("datetime({moment}{unix})"));
        };
        let text = match format {
            Expr::Value(value) => literal_text(&value.value),
            _ => None,
        };
        let text = text.ok_or_else(|| not_implemented("A date format that is no literal"))?;
        let format = self.bind(Parameter::Text(strftime(&text)?));
        Ok(format!("strftime({format}, {moment}{unix})"))
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

/// MySQL's format of DATE_FORMAT as strftime's.
fn strftime(format: &str) -> Result<String, SqlError> {
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        text.push_str(match chars.next() {
            Some('Y') => "%Y",
            Some('m') => "%m",
            Some('d') => "%d",
            Some('H') => "%H",
            Some('i') => "%M",
            Some('s' | 'S') => "%S",
            Some('f') => "000000",
            Some('T') => "%H:%M:%S",
            Some('j') => "%j",
            Some('w') => "%w",
            Some('%') => "%%",
            other => {
                let other = other.map_or_else(String::new, |c| c.to_string());
                return Err(not_implemented(format!("%{other} in a date format")));
            }
        });
    }
    Ok(text)
}
