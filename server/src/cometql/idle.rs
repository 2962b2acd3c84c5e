//! `@@wait_timeout`: how long a connection may be idle. A session may shorten what the configuration allows, never
//! lengthen it.

use std::time::Duration;

use super::tables::fields;
use super::{SqlError, Value, errors};

/// How long a connection may be idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    most: Duration,
    limit: Duration,
}

/// MySQL's default.
impl Default for Idle {
    fn default() -> Self {
        Self::new(Duration::from_hours(8))
    }
}

impl Idle {
    /// As the configuration says.
    #[must_use]
    pub const fn new(most: Duration) -> Self {
        Self { most, limit: most }
    }

    /// What holds now.
    #[must_use]
    pub const fn limit(self) -> Duration {
        self.limit
    }

    /// Back to what the configuration says.
    pub const fn reset(&mut self) {
        self.limit = self.most;
    }

    /// What holds now, in whole seconds, at least one.
    pub(super) fn seconds(self) -> i64 {
        i64::try_from(self.limit.as_secs().max(1)).unwrap_or(i64::MAX)
    }

    /// `SET wait_timeout = value`. A warning when another limit holds than was asked for.
    pub(super) fn set(&mut self, value: &Value) -> Result<Option<String>, SqlError> {
        let asked = fields::whole(value)
            .ok_or_else(|| errors::invalid("wait_timeout takes a whole number of seconds"))?;
        let seconds = u64::try_from(asked).unwrap_or(0).max(1);
        self.limit = Duration::from_secs(seconds).min(self.most);
        Ok((self.seconds() != asked).then(|| {
            format!(
                "Truncated incorrect wait_timeout value: '{asked}': {} seconds hold",
                self.seconds()
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &Value, seconds: u64, warned: bool) {
        let mut idle = Idle::new(Duration::from_mins(1));
        let warning = idle.set(value).unwrap();
        assert_eq!(idle.limit(), Duration::from_secs(seconds));
        assert_eq!(warning.is_some(), warned, "{warning:?}");
        idle.reset();
        assert_eq!(idle.limit(), Duration::from_mins(1));
    }

    #[test]
    fn a_session_may_only_shorten_it() {
        check(&Value::Integer(5), 5, false);
        check(&Value::Text("60".to_owned()), 60, false);
        check(&Value::Integer(2_147_483), 60, true);
        check(&Value::Integer(0), 1, true);
        check(&Value::Integer(-3), 1, true);
        let refused = Idle::default().set(&Value::Text("long".to_owned()));
        assert_eq!(refused.unwrap_err().code, 12);
    }
}
