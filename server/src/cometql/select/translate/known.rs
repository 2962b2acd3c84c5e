//! The functions that SELECT knows. Anything else is refused by name.

use super::Fact;
use crate::cometql::ColumnKind;

/// A function of the language.
pub(in crate::cometql::select) struct Known {
    /// In upper case.
    pub(in crate::cometql::select) name: &'static str,
    /// Fewest and most arguments.
    pub(super) arguments: (usize, usize),
    pub(super) returns: Returns,
    pub(super) form: Form,
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

/// How a call is written for SQLite.
#[derive(Clone, Copy)]
pub(super) enum Form {
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
    /// `FROM_UNIXTIME` with or without a format.
    FromUnix,
    /// `JSON_UNQUOTE`, which takes the text straight out of `JSON_EXTRACT`.
    Unquote,
    /// A part of a moment.
    Part(&'static str),
    /// A function that stands before OVER only.
    Window(&'static str),
    /// `TIMESTAMPDIFF`, whose first argument is a unit.
    Difference,
    /// `LOG`, to the base e or another.
    Log,
    /// `TIMESTAMPADD`, whose first argument is a unit.
    Add,
}

const TEXT: Returns = Returns::Is(ColumnKind::Text);
const INTEGER: Returns = Returns::Is(ColumnKind::Integer);
const DOUBLE: Returns = Returns::Is(ColumnKind::Double);
/// No limit of its own: SQLite's holds.
const ANY: usize = 100;
/// A moment and a format, over SQLite's way to write a moment.
const DATE_FORMAT: &str = "my_date_format(strftime('%Y-%m-%d %H:%M:%S %j', $1), $2)";

/// Every function, by name.
pub(in crate::cometql::select) static FUNCTIONS: &[Known] = &[
    sql("ABS", (1, 1), Returns::Like(0), "abs($1)"),
    sql("ACOS", (1, 1), DOUBLE, "my_acos($1)"),
    known("ADDDATE", (2, 2), TEXT, Form::Shift(false)),
    sql("ANY_VALUE", (1, 1), Returns::Like(0), "$1"),
    sql("ASCII", (1, 1), INTEGER, "my_ascii($1)"),
    sql("ASIN", (1, 1), DOUBLE, "my_asin($1)"),
    sql("ATAN", (1, 1), DOUBLE, "my_atan($1)"),
    sql("ATAN2", (2, 2), DOUBLE, "my_atan2($1, $2)"),
    aggregate("AVG", DOUBLE, "avg"),
    sql("BIN", (1, 1), TEXT, "my_conv($1, 10, 2)"),
    sql("BIT_COUNT", (1, 1), INTEGER, "my_bit_count($1)"),
    sql("BIT_LENGTH", (1, 1), INTEGER, "(8 * my_length($1))"),
    sql("CEIL", (1, 1), INTEGER, "my_ceil($1)"),
    sql("CEILING", (1, 1), INTEGER, "my_ceil($1)"),
    sql("CHAR", (1, ANY), Returns::Any, "my_char($*)"),
    sql("CHARACTER_LENGTH", (1, 1), INTEGER, "my_char_length($1)"),
    sql("CHARSET", (1, 1), TEXT, "'utf8mb4'"),
    sql("CHAR_LENGTH", (1, 1), INTEGER, "my_char_length($1)"),
    sql("COALESCE", (1, ANY), Returns::Like(0), "coalesce($*, NULL)"),
    sql("COLLATION", (1, 1), TEXT, "'utf8mb4_general_ci'"),
    sql("CONCAT", (1, ANY), TEXT, "my_concat($*)"),
    sql("CONCAT_WS", (2, ANY), TEXT, "my_concat_ws($*)"),
    session("CONNECTION_ID", INTEGER, Fact::Connection),
    sql("CONV", (3, 3), TEXT, "my_conv($*)"),
    sql("COS", (1, 1), DOUBLE, "my_cos($1)"),
    sql("COT", (1, 1), DOUBLE, "(1 / my_tan($1))"),
    aggregate("COUNT", INTEGER, "count"),
    sql("CRC32", (1, 1), INTEGER, "my_crc32($1)"),
    window("CUME_DIST", (0, 0), DOUBLE, "cume_dist"),
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
    known("DATE_FORMAT", (2, 2), TEXT, Form::Sql(DATE_FORMAT)),
    known("DATE_SUB", (2, 2), TEXT, Form::Shift(true)),
    known("DAY", (1, 1), INTEGER, Form::Part("DAY")),
    sql(
        "DAYNAME",
        (1, 1),
        TEXT,
        "my_date_format(strftime('%Y-%m-%d %H:%M:%S %j', $1), '%W')",
    ),
    known("DAYOFMONTH", (1, 1), INTEGER, Form::Part("DAY")),
    sql(
        "DAYOFWEEK",
        (1, 1),
        INTEGER,
        "(CAST(strftime('%w', $1) AS INTEGER) + 1)",
    ),
    sql(
        "DAYOFYEAR",
        (1, 1),
        INTEGER,
        "CAST(strftime('%j', $1) AS INTEGER)",
    ),
    sql("DEGREES", (1, 1), DOUBLE, "my_degrees($1)"),
    window("DENSE_RANK", (0, 0), INTEGER, "dense_rank"),
    sql("ELT", (2, ANY), TEXT, "my_elt($*)"),
    sql("EXP", (1, 1), DOUBLE, "my_exp($1)"),
    sql("FIELD", (2, ANY), INTEGER, "my_field($*)"),
    sql("FIND_IN_SET", (2, 2), INTEGER, "my_find_in_set($1, $2)"),
    window("FIRST_VALUE", (1, 1), Returns::Like(0), "first_value"),
    sql("FLOOR", (1, 1), INTEGER, "my_floor($1)"),
    sql("FORMAT", (2, 2), TEXT, "my_format($*)"),
    sql("FOUND_ROWS", (0, 0), INTEGER, "0"),
    sql("FROM_BASE64", (1, 1), Returns::Any, "my_from_base64($1)"),
    known("FROM_UNIXTIME", (1, 2), TEXT, Form::FromUnix),
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
    sql("INET_ATON", (1, 1), INTEGER, "my_inet_aton($1)"),
    sql("INET_NTOA", (1, 1), TEXT, "my_inet_ntoa($1)"),
    sql("INSTR", (2, 2), INTEGER, "my_locate($2, $1)"),
    sql("ISNULL", (1, 1), INTEGER, "($1 IS NULL)"),
    sql("JSON_ARRAY", (0, ANY), TEXT, "json_array($*)"),
    aggregate("JSON_ARRAYAGG", TEXT, "json_group_array"),
    sql("JSON_CONTAINS", (2, 2), INTEGER, "my_json_contains($*)"),
    sql(
        "JSON_EXTRACT",
        (2, 2),
        Returns::Any,
        "CASE WHEN json_valid($1) THEN $1 -> $2 END",
    ),
    sql("JSON_LENGTH", (1, 1), INTEGER, "my_json_length($1)"),
    sql("JSON_OBJECT", (0, ANY), TEXT, "json_object($*)"),
    known(
        "JSON_OBJECTAGG",
        (2, 2),
        TEXT,
        Form::Aggregate("json_group_object"),
    ),
    sql("JSON_QUOTE", (1, 1), TEXT, "json_quote(CAST($1 AS TEXT))"),
    sql(
        "JSON_REMOVE",
        (2, ANY),
        TEXT,
        "CASE WHEN json_valid($1) THEN json_remove($*) END",
    ),
    sql(
        "JSON_SET",
        (3, ANY),
        TEXT,
        "CASE WHEN json_valid($1) THEN json_set($*) END",
    ),
    sql("JSON_TYPE", (1, 1), TEXT, "my_json_type($1)"),
    known("JSON_UNQUOTE", (1, 1), Returns::Any, Form::Unquote),
    sql("JSON_VALID", (1, 1), INTEGER, "json_valid($1)"),
    sql(
        "JSON_VALUE",
        (2, 2),
        Returns::Any,
        "CASE WHEN json_valid($1) THEN $1 ->> $2 END",
    ),
    window("LAG", (1, 3), Returns::Like(0), "lag"),
    sql(
        "LAST_DAY",
        (1, 1),
        TEXT,
        "date($1, 'start of month', '+1 month', '-1 day')",
    ),
    session("LAST_INSERT_ID", INTEGER, Fact::LastInsertId),
    window("LAST_VALUE", (1, 1), Returns::Like(0), "last_value"),
    sql("LCASE", (1, 1), TEXT, "my_lower($1)"),
    window("LEAD", (1, 3), Returns::Like(0), "lead"),
    sql("LEAST", (2, ANY), Returns::Like(0), "min($*)"),
    sql("LEFT", (2, 2), TEXT, "my_left($1, $2)"),
    sql("LENGTH", (1, 1), INTEGER, "my_length($1)"),
    sql("LN", (1, 1), DOUBLE, "my_ln($1)"),
    sql("LOCALTIME", (0, 1), TEXT, "datetime('now')"),
    sql("LOCALTIMESTAMP", (0, 1), TEXT, "datetime('now')"),
    sql("LOCATE", (2, 3), INTEGER, "my_locate($*)"),
    known("LOG", (1, 2), DOUBLE, Form::Log),
    sql("LOG10", (1, 1), DOUBLE, "my_log10($1)"),
    sql("LOG2", (1, 1), DOUBLE, "my_log2($1)"),
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
    sql(
        "MONTHNAME",
        (1, 1),
        TEXT,
        "my_date_format(strftime('%Y-%m-%d %H:%M:%S %j', $1), '%M')",
    ),
    sql("NOW", (0, 1), TEXT, "datetime('now')"),
    window("NTH_VALUE", (2, 2), Returns::Like(0), "nth_value"),
    window("NTILE", (1, 1), INTEGER, "ntile"),
    sql("NULLIF", (2, 2), Returns::Any, "nullif($1, $2)"),
    sql("OCT", (1, 1), TEXT, "my_conv($1, 10, 8)"),
    sql("OCTET_LENGTH", (1, 1), INTEGER, "my_length($1)"),
    sql(
        "ORD",
        (1, 1),
        INTEGER,
        "CAST(my_conv(my_hex(my_left(CAST($1 AS TEXT), 1)), 16, 10) AS INTEGER)",
    ),
    window("PERCENT_RANK", (0, 0), DOUBLE, "percent_rank"),
    sql("PI", (0, 0), DOUBLE, "3.141592653589793"),
    sql("POSITION", (2, 2), INTEGER, "my_locate($1, $2)"),
    sql("POW", (2, 2), DOUBLE, "my_pow($*)"),
    sql("POWER", (2, 2), DOUBLE, "my_pow($*)"),
    sql(
        "QUARTER",
        (1, 1),
        INTEGER,
        "((CAST(strftime('%m', $1) AS INTEGER) + 2) / 3)",
    ),
    sql("QUOTE", (1, 1), TEXT, "my_quote($1)"),
    sql("RADIANS", (1, 1), DOUBLE, "my_radians($1)"),
    sql(
        "RAND",
        (0, 0),
        DOUBLE,
        "((random() & 9007199254740991) / 9007199254740992.0)",
    ),
    window("RANK", (0, 0), INTEGER, "rank"),
    sql("REGEXP_LIKE", (2, 2), INTEGER, "my_regexp($*)"),
    sql("REPEAT", (2, 2), TEXT, "my_repeat($*)"),
    sql("REPLACE", (3, 3), TEXT, "my_replace($1, $2, $3)"),
    sql("REVERSE", (1, 1), TEXT, "my_reverse($1)"),
    sql("RIGHT", (2, 2), TEXT, "my_right($1, $2)"),
    sql("ROUND", (1, 2), Returns::Any, "my_round($*)"),
    sql("ROW_COUNT", (0, 0), INTEGER, "0"),
    window("ROW_NUMBER", (0, 0), INTEGER, "row_number"),
    sql("RPAD", (3, 3), TEXT, "my_pad($*, 0)"),
    sql("RTRIM", (1, 1), TEXT, "my_trim($1, ' ', 2)"),
    session("SCHEMA", TEXT, Fact::Database),
    known("SECOND", (1, 1), INTEGER, Form::Part("SECOND")),
    sql("SEC_TO_TIME", (1, 1), TEXT, "my_sec_to_time($1)"),
    session("SESSION_USER", TEXT, Fact::User),
    sql("SHA", (1, 1), TEXT, "my_sha1($1)"),
    sql("SHA1", (1, 1), TEXT, "my_sha1($1)"),
    sql("SHA2", (2, 2), TEXT, "my_sha2($*)"),
    sql("SIGN", (1, 1), INTEGER, "my_sign($1)"),
    sql("SIN", (1, 1), DOUBLE, "my_sin($1)"),
    sql("SPACE", (1, 1), TEXT, "my_repeat(' ', $1)"),
    sql("SQRT", (1, 1), DOUBLE, "my_sqrt($1)"),
    sql("STRCMP", (2, 2), INTEGER, "my_strcmp($*)"),
    known("SUBDATE", (2, 2), TEXT, Form::Shift(true)),
    sql("SUBSTR", (2, 3), TEXT, "my_substring($*)"),
    sql("SUBSTRING", (2, 3), TEXT, "my_substring($*)"),
    sql("SUBSTRING_INDEX", (3, 3), TEXT, "my_substring_index($*)"),
    aggregate("SUM", Returns::Like(0), "sum"),
    sql("SYSDATE", (0, 1), TEXT, "datetime('now')"),
    session("SYSTEM_USER", TEXT, Fact::User),
    sql("TAN", (1, 1), DOUBLE, "my_tan($1)"),
    sql("TIME", (1, 1), TEXT, "time($1)"),
    sql("TIMESTAMP", (1, 1), TEXT, "datetime($1)"),
    known("TIMESTAMPADD", (3, 3), TEXT, Form::Add),
    known("TIMESTAMPDIFF", (3, 3), INTEGER, Form::Difference),
    sql(
        "TIME_TO_SEC",
        (1, 1),
        INTEGER,
        "(unixepoch('1970-01-01 ' || time($1)))",
    ),
    sql("TO_BASE64", (1, 1), TEXT, "my_to_base64($1)"),
    sql(
        "TO_DAYS",
        (1, 1),
        INTEGER,
        "CAST(julianday(date($1)) - 1721059.5 AS INTEGER)",
    ),
    sql("TRIM", (1, 1), TEXT, "my_trim($1, ' ', 3)"),
    sql("TRUNCATE", (2, 2), Returns::Any, "my_truncate($*)"),
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
    sql("UTC_DATE", (0, 0), TEXT, "date('now')"),
    sql("UTC_TIME", (0, 1), TEXT, "time('now')"),
    sql("UTC_TIMESTAMP", (0, 1), TEXT, "datetime('now')"),
    sql("UUID", (0, 0), TEXT, "my_uuid()"),
    session("VERSION", TEXT, Fact::Version),
    sql(
        "WEEK",
        (1, 1),
        INTEGER,
        "CAST(strftime('%U', $1) AS INTEGER)",
    ),
    sql(
        "WEEKDAY",
        (1, 1),
        INTEGER,
        "((CAST(strftime('%w', $1) AS INTEGER) + 6) % 7)",
    ),
    sql(
        "WEEKOFYEAR",
        (1, 1),
        INTEGER,
        "CAST(strftime('%V', $1) AS INTEGER)",
    ),
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
    "cume_dist",
    "date",
    "datetime",
    "dense_rank",
    "first_value",
    "group_concat",
    "ifnull",
    "iif",
    "json_array",
    "json_group_array",
    "json_group_object",
    "json_object",
    "json_quote",
    "json_remove",
    "json_set",
    "json_valid",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "max",
    "min",
    "nth_value",
    "ntile",
    "nullif",
    "percent_rank",
    "random",
    "rank",
    "row_number",
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

const fn window(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    form: &'static str,
) -> Known {
    known(name, arguments, returns, Form::Window(form))
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
