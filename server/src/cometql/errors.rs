//! Every code that a statement can be refused with, and the sentences of the common ones. The codes are the contract
//! (CometQL compatibility, "Error codes"); `docs-site/reference/errors.md` must list exactly these.

use cometql_engine::{MessageId, Reject, StoreFailure};
use cometql_protocol::ErrorCode;

use super::{SqlError, Warning};
use crate::hub::Hub;
use crate::quota::Spent;

/// A code of the documentation's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The number in the error packet.
    pub number: u16,
    /// SQLSTATE.
    pub state: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// All codes, in order.
pub static CODES: &[Code] = &[
    code(2, "not implemented"),
    code(3, "syntax error"),
    code(10, "the table is read-only"),
    code(11, "too long"),
    code(12, "invalid or missing data"),
    code(
        13,
        "the conditions lack the key, or a column is named twice",
    ),
    code(14, "unknown column, or wrong number of values"),
    code(15, "unknown table or database"),
    code(16, "authentication failed"),
    code(17, "too short"),
    code(18, "too many conditions or terms"),
    code(19, "too many values or rows"),
    code(20, "too many columns"),
    code(21, "too many names"),
    code(403, "access denied"),
    code(429, "too fast or too many at once: slow down"),
    code(500, "internal error"),
    code(503, "not possible now: try again later"),
    code(507, "the inbox of the recipient is full"),
    code(1094, "unknown connection id in KILL"),
    code(1104, "too many rows or too much memory"),
    code(1193, "unknown system variable"),
    code(3024, "stopped: it took too long"),
];

/// The codes of `SHOW WARNINGS`.
pub static WARNINGS: &[Code] = &[
    code(
        206,
        "a member of the cluster did not answer: what it would have told is missing",
    ),
    code(
        207,
        "the cluster's log was out of reach: the message was delivered, but not stored",
    ),
    code(1105, "another value is in force than was asked for"),
];

/// Another value is in force than a statement asked for: MySQL's `ER_UNKNOWN_ERROR`.
pub(crate) fn other_value(message: String) -> Warning {
    Warning {
        code: 1105,
        message,
    }
}

/// A publication is in no history, though its channel has one.
pub(crate) fn not_stored(id: MessageId) -> Warning {
    Warning {
        code: 207,
        message: format!("{id} was delivered, but not stored: the cluster's log is out of reach"),
    }
}

/// One warning for each member that did not answer what was asked of this hub.
pub(crate) fn unheard(hub: &Hub) -> impl Iterator<Item = Warning> {
    hub.unheard().into_iter().map(|silent| Warning {
        code: 206,
        message: silent.to_string(),
    })
}

const fn code(number: u16, meaning: &'static str) -> Code {
    Code {
        number,
        state: "HY000",
        meaning,
    }
}

pub(crate) fn not_implemented(what: impl std::fmt::Display) -> SqlError {
    SqlError::new(2, format!("{what} is not implemented"))
}

pub(crate) fn syntax(near: impl std::fmt::Display) -> SqlError {
    SqlError::new(3, format!("Syntax error in query: {near}"))
}

pub(crate) fn read_only(table: &str) -> SqlError {
    SqlError::new(10, format!("Table `{table}` is read only"))
}

pub(crate) fn too_long(what: impl std::fmt::Display) -> SqlError {
    SqlError::new(11, format!("{what} is too long"))
}

pub(crate) fn too_short(what: impl std::fmt::Display) -> SqlError {
    SqlError::new(17, format!("{what} is too short"))
}

pub(crate) fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(12, message)
}

pub(crate) fn required(field: &str) -> SqlError {
    invalid(format!("field `{field}` is required"))
}

pub(crate) fn key_missing(doing: &str, key: &str) -> SqlError {
    SqlError::new(
        13,
        format!(
            "{doing} without transferring the requested values of the primary key is not supported: \
             add WHERE {key} = ... or {key} IN (...)"
        ),
    )
}

/// `name` is no column of the table; names the nearest that is.
pub(crate) fn unknown_column(table: &super::catalog::Table, name: &str) -> SqlError {
    let names = table.columns.iter().map(|field| field.name);
    SqlError::new(
        14,
        format!(
            "Not a specific column: `{name}` in table `{}`{}",
            table.name,
            suggestion(name, names)
        ),
    )
}

/// `name` is no table; names the nearest that is.
pub(crate) fn unknown_table(name: &str) -> SqlError {
    if super::catalog::NOT_IMPLEMENTED.contains(&name) {
        return not_implemented(format!("Table `{name}`"));
    }
    let names = super::catalog::TABLES.iter().map(|table| table.name);
    SqlError::new(
        15,
        format!("Table doesn't exist: `{name}`{}", suggestion(name, names)),
    )
}

/// A SELECT that would take too many rows or too much memory: MySQL's `ER_TOO_BIG_SELECT`.
pub(crate) fn too_big(message: impl Into<String>) -> SqlError {
    SqlError::new(1104, message)
}

/// A SELECT that took too long: MySQL's `ER_QUERY_TIMEOUT`.
pub(crate) fn timeout(message: impl Into<String>) -> SqlError {
    SqlError::new(3024, message)
}

pub(crate) fn access_denied() -> SqlError {
    SqlError::new(403, "Access denied")
}

pub(crate) fn internal() -> SqlError {
    SqlError::new(500, "internal server error")
}

/// Large statements that are under way, or prepared ones, take all memory that there is for them.
pub(crate) fn no_memory(spent: Spent) -> SqlError {
    let whose = match spent {
        Spent::Node => "the node's",
        Spent::Tenant => "this tenant's",
    };
    let message = format!(
        "No memory for the statement now: {whose} large and prepared statements take all of it. Try again later, \
         or send smaller ones"
    );
    SqlError::new(503, message)
}

/// `. Did you mean …?`, where a name is near enough.
pub(crate) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.max_by(|a, b| similarity(name, a).total_cmp(&similarity(name, b)));
    match nearest {
        Some(nearest) if similarity(name, nearest) > 0.6 => {
            format!(". Did you mean `{nearest}`?")
        }
        _ => String::new(),
    }
}

fn similarity(name: &str, known: &str) -> f64 {
    // A hostile name may be long; names near enough are not.
    if name.len() > 100 {
        return 0.0;
    }
    strsim::normalized_damerau_levenshtein(&name.to_ascii_lowercase(), known)
}

impl From<Reject> for SqlError {
    fn from(reject: Reject) -> Self {
        let code = match reject.code {
            ErrorCode::BadRequest | ErrorCode::BadName | ErrorCode::Conflict => 12,
            ErrorCode::Unauthorized | ErrorCode::LoginRequired => 16,
            ErrorCode::PermissionDenied => 403,
            ErrorCode::TooLarge => 11,
            ErrorCode::TooManySubscriptions | ErrorCode::RateLimited => 429,
            ErrorCode::AlreadySubscribed | ErrorCode::NotSubscribed | ErrorCode::Internal => 500,
            ErrorCode::InboxFull => 507,
            ErrorCode::Unavailable => 503,
        };
        let message = match reject.retry_ms {
            Some(wait) => format!("{}: try again in {wait} ms", reject.message),
            None => reject.message,
        };
        Self {
            retry_ms: reject.retry_ms,
            ..Self::new(code, message)
        }
    }
}

impl From<StoreFailure> for SqlError {
    fn from(failure: StoreFailure) -> Self {
        match &failure {
            StoreFailure::Failed(_) => {
                tracing::error!(failure = %failure, "the store failed a statement");
            }
            // The cluster says so once.
            StoreFailure::NoQuorum => {}
        }
        Self::new(503, failure.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &SqlError, code: u16, words: &str) {
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(CODES.iter().any(|known| known.number == code));
    }

    #[test]
    fn suggests_the_nearest_name() {
        check(
            &unknown_table("Users_auth"),
            15,
            "Did you mean `users_auth`?",
        );
        check(&unknown_table("pipe_messages"), 15, "`pipes_messages`?");
        check(&unknown_table(&"x".repeat(5000)), 15, "doesn't exist");
        check(&unknown_table("conference"), 2, "`conference`");
        let table = super::super::catalog::table("users_auth").unwrap();
        check(&unknown_column(table, "hahs"), 14, "Did you mean `hash`?");
        assert!(!unknown_column(table, "zzzzzz").message.contains("mean"));
    }

    #[test]
    fn the_documentation_lists_exactly_these_codes() {
        let page = include_str!("../../../docs-site/reference/errors.md");
        let section = page
            .split("## ")
            .find(|s| s.starts_with("CometQL"))
            .unwrap();
        let listed: Vec<(u16, &str)> = section
            .lines()
            .filter_map(|line| {
                let mut cells = line.split('|').map(str::trim);
                let number = cells.nth(1)?.parse().ok()?;
                Some((number, cells.next()?))
            })
            .collect();
        let known: Vec<_> = CODES.iter().map(|c| (c.number, c.state)).collect();
        assert_eq!(listed, known);
    }
}
