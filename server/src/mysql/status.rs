//! The status flags of answers. Drivers read from them whether a transaction is open, although CometQL has none: PDO
//! refuses to `commit()` without, and JDBC reports its auto-commit mode by them.

use mysql_common::constants::StatusFlags;

/// What a client believes about its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    in_transaction: bool,
    autocommit: bool,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            in_transaction: false,
            autocommit: true,
        }
    }
}

impl Status {
    /// The flags of an answer that is the last, or (`more`) not the last one of its command.
    pub(super) fn flags(self, more: bool) -> StatusFlags {
        let mut flags = StatusFlags::empty();
        flags.set(StatusFlags::SERVER_STATUS_AUTOCOMMIT, self.autocommit);
        flags.set(StatusFlags::SERVER_STATUS_IN_TRANS, self.in_transaction);
        flags.set(StatusFlags::SERVER_MORE_RESULTS_EXISTS, more);
        flags
    }

    /// Follows a statement that was carried out.
    pub(super) fn follow(&mut self, sql: &str) {
        let mut words = sql
            .split(|c: char| c.is_ascii_whitespace() || c == ';')
            .filter(|word| !word.is_empty());
        let mut next = || words.next().unwrap_or_default().to_ascii_lowercase();
        match next().as_str() {
            "begin" => self.in_transaction = true,
            "start" if next() == "transaction" => self.in_transaction = true,
            "commit" => self.in_transaction = false,
            // `ROLLBACK TO name` goes back within the transaction.
            "rollback" if !matches!(next().as_str(), "to") => self.in_transaction = false,
            "set" => self.follow_set(sql),
            _ => {}
        }
    }

    fn follow_set(&mut self, sql: &str) {
        let text: String = sql
            .chars()
            .filter(|c| !c.is_ascii_whitespace() && *c != ';')
            .take(40)
            .collect();
        let text = text.to_ascii_lowercase();
        let assignment = text
            .strip_prefix("set@@")
            .or_else(|| text.strip_prefix("set"))
            .map(|rest| rest.trim_start_matches("session").trim_start_matches('.'));
        match assignment {
            Some("autocommit=0" | "autocommit=off" | "autocommit=false") => self.autocommit = false,
            Some("autocommit=1" | "autocommit=on" | "autocommit=true") => self.autocommit = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(statements: &[&str], in_transaction: bool, autocommit: bool) {
        let mut status = Status::default();
        for sql in statements {
            status.follow(sql);
        }
        let expected = Status {
            in_transaction,
            autocommit,
        };
        assert_eq!(status, expected);
    }

    #[test]
    fn transactions_are_followed() {
        check(&["BEGIN"], true, true);
        check(&[" start  transaction;"], true, true);
        check(&["START SLAVE"], false, true);
        check(&["begin;", "COMMIT"], false, true);
        check(&["begin", "rollback to a"], true, true);
        check(&["begin", "ROLLBACK"], false, true);
        check(
            &["beginning", "INSERT INTO x VALUES ('begin')"],
            false,
            true,
        );
    }

    #[test]
    fn autocommit_is_followed() {
        check(&["SET autocommit=0"], false, false);
        check(&["set session autocommit = OFF"], false, false);
        check(
            &["SET @@session.autocommit = 0;", "SET AUTOCOMMIT = 1"],
            false,
            true,
        );
        check(&["SET NAMES utf8mb4"], false, true);
    }

    #[test]
    fn flags_tell_it() {
        let mut status = Status::default();
        assert_eq!(status.flags(false).bits(), 0x0002);
        status.follow("BEGIN");
        assert_eq!(status.flags(true).bits(), 0x000b);
    }
}
