//! What a call can end with, and what each answer of a driver or server means for the call and its connection.

use mysql_async::{DriverError, Error, IoError, ServerError};

/// Why a call did not succeed. The documentation of the server lists its codes: they are stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum CometError {
    /// The server refused the statement, for a reason that its code tells. Nothing was done, but for statements of several
    /// rows, where the text says how many were carried out.
    #[error("refused with error {code}: {detail}")]
    Refused {
        /// The server's code; codes are stable.
        code: u16,
        /// The SQLSTATE of MySQL, five characters.
        state: String,
        /// The server's words, for people.
        detail: String,
    },
    /// The user, the password or the database was refused, or this log-in may not do that.
    #[error("access denied with error {code}: {detail}")]
    AccessDenied {
        /// The server's code: 16 when the log-in was refused, 403 when it may not do that, 3159 when the server requires TLS.
        code: u16,
        /// The server's words, for people.
        detail: String,
    },
    /// No host could be reached in time. Nothing was done.
    #[error("no host can be reached: {detail}")]
    Unreachable {
        /// What became of the last attempt.
        detail: String,
    },
    /// The time of the call (`call_timeout_ms`; of `subscribe`, `start_timeout_ms`) was over. It may have taken effect.
    #[error("timed out: {detail}")]
    TimedOut {
        /// What was waited for.
        detail: String,
    },
    /// The connection broke while the answer was awaited. The call may have taken effect.
    #[error("interrupted: {detail}")]
    Interrupted {
        /// What the system said.
        detail: String,
    },
    /// The client was closed, before the call or during it. A call that was under way may have taken effect.
    #[error("the client is closed")]
    Closed,
    /// Listening has ended for good, and would end the same way again: the credentials were refused, have ended or were revoked,
    /// or the server let none of the channels in.
    #[error("listening has ended: {code}: {detail}")]
    Ended {
        /// Why: a code of the browser protocol (`unauthorized`, `permission_denied`) or the word of a close code (`token_expired`,
        /// `revoked`, `killed`). Codes are stable.
        code: String,
        /// The same, for people.
        detail: String,
    },
    /// An argument is not valid. Nothing was sent.
    #[error("invalid: {detail}")]
    Invalid {
        /// Which one, and why.
        detail: String,
    },
}

impl CometError {
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid {
            detail: detail.into(),
        }
    }

    /// The same, of a call that has so many rows, so many of which were sent before this statement. The server may have told how
    /// many rows of the statement were.
    pub(crate) fn after(mut self, before: usize, all: usize) -> Self {
        let text = match &mut self {
            Self::Refused { detail, .. }
            | Self::AccessDenied { detail, .. }
            | Self::Unreachable { detail }
            | Self::TimedOut { detail }
            | Self::Interrupted { detail }
            | Self::Invalid { detail }
            | Self::Ended { detail, .. } => detail,
            Self::Closed => return self,
        };
        let sent = match of_statement(text) {
            Some((words, sent)) => {
                text.truncate(words);
                format!("{}", before + sent)
            }
            None if before == 0 => return self,
            None => format!("the first {before}"),
        };
        *text = format!("{text} ({sent} of {all} rows were sent)");
        self
    }

    fn denied(error: ServerError) -> Self {
        Self::AccessDenied {
            code: error.code,
            detail: error.message,
        }
    }

    fn refused(error: ServerError) -> Self {
        Self::Refused {
            code: error.code,
            state: error.state,
            detail: error.message,
        }
    }
}

/// What the server says of a statement that was refused in part, `… (2 of 3 rows were sent)`: how long its words before that are, and
/// how many rows were sent.
fn of_statement(detail: &str) -> Option<(usize, usize)> {
    let told = detail.strip_suffix(" rows were sent)")?;
    let (words, numbers) = told.rsplit_once(" (")?;
    let (sent, _) = numbers.split_once(" of ")?;
    Some((words.len(), sent.parse().ok()?))
}

/// How one attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This is the call's answer, and the connection goes on.
    Answer(CometError),
    /// This is the call's answer, and the connection has ended.
    LastAnswer(CometError),
    /// This host can't do it now and has not done it; another one may. The connection goes on.
    Busy(CometError),
    /// A node of the cluster did not tell its part. It may soon, or be no member any more.
    Incomplete(CometError),
    /// The host stops or takes no more connections; nothing was done. The connection has ended.
    Leaving(CometError),
    /// The connection broke; what was sent may have been carried out.
    Broken(String),
    /// No answer came for so long that another host is worth a try; what was sent may have been carried out.
    Slow(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Server(error) => Self::of_server(error),
            Error::Driver(DriverError::PacketTooLarge) => {
                Self::LastAnswer(CometError::invalid("longer than any statement may be"))
            }
            Error::Io(IoError::Io(error)) => Self::Broken(error.to_string()),
            other => Self::Broken(other.to_string()),
        }
    }
}

impl Failure {
    fn of_server(error: ServerError) -> Self {
        match error.code {
            // Too many connections; the server stops; too many connections of the tenant.
            1040 | 1053 | 1203 => Self::Leaving(CometError::refused(error)),
            503 => Self::Busy(CometError::refused(error)),
            403 => Self::Answer(CometError::denied(error)),
            // The key is wrong, or was taken away; the server requires TLS.
            16 | 1045 | 3159 => Self::LastAnswer(CometError::denied(error)),
            // Packets out of order; too slow within one; closed by KILL.
            1156 | 1159 | 1927 => Self::Broken(error.to_string()),
            _ => Self::Answer(CometError::refused(error)),
        }
    }

    /// What is told when nothing more is tried.
    pub(crate) fn told(self) -> CometError {
        match self {
            Self::Answer(error)
            | Self::LastAnswer(error)
            | Self::Busy(error)
            | Self::Incomplete(error)
            | Self::Leaving(error) => error,
            Self::Broken(detail) => CometError::Interrupted { detail },
            Self::Slow(detail) => CometError::TimedOut { detail },
        }
    }

    /// Whether the connection can be used again.
    pub(crate) fn spares_connection(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::Busy(_) | Self::Incomplete(_))
    }
}

impl From<CometError> for Failure {
    fn from(error: CometError) -> Self {
        Self::Answer(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(detail: &str, before: usize, expected: &str) {
        let detail = detail.to_owned();
        let error = CometError::TimedOut { detail }.after(before, 9);
        assert_eq!(error.to_string(), format!("timed out: {expected}"));
    }

    #[test]
    fn how_many_rows_were_sent() {
        check("no", 0, "no");
        check(
            "no (2 of 3 rows were sent)",
            0,
            "no (2 of 9 rows were sent)",
        );
        check("no", 4, "no (the first 4 of 9 rows were sent)");
        check(
            "no (2 of 3 rows were sent)",
            4,
            "no (6 of 9 rows were sent)",
        );
        check(
            "no (x of 3 rows were sent)",
            4,
            "no (x of 3 rows were sent) (the first 4 of 9 rows were sent)",
        );
        assert_eq!(CometError::Closed.after(1, 2), CometError::Closed);
    }
}
