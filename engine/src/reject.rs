//! Why the engine refused a command or request.

use cometql_protocol::ErrorCode;

/// A refusal: a stable code, a sentence for people, and for a permission the rule that decided.
///
/// Borders map the code to a CometQL error, a close code or an HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Reject {
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong and what to do.
    pub message: String,
    /// After so many milliseconds the same may succeed.
    pub retry_ms: Option<u64>,
}

impl Reject {
    /// A refusal with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_ms: None,
        }
    }

    /// A refusal of somebody who goes too fast.
    pub fn too_fast(message: impl Into<String>, retry_ms: u64) -> Self {
        let retry_ms = Some(retry_ms);
        Self {
            retry_ms,
            ..Self::new(ErrorCode::RateLimited, message)
        }
    }
}
