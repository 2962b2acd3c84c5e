//! Whether the file has all that was answered from it. After a loss of power, and as a copy of an earlier moment, it may be
//! older; then offsets from after that moment would be given to other messages, and clients would take those for ones
//! that they know. So channels begin new epochs, and inboxes go on from offsets that nobody was ever told. It must not
//! know what is done between open and close.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::Durability;
use super::values::integer;

/// Marks a copy. (A file system that does not tell when a file was made tells no copy from its original.)
pub(super) const MARK_COPY: &str = "UPDATE node SET is_copy = 1";

/// One start of the machine: writes outlast a process, not the machine's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Boot(String);

impl Boot {
    /// The one that runs; one of its own each time where the system does not tell.
    pub(super) fn current() -> Self {
        let told = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        told.map_or_else(
            |_| Self(uuid::Uuid::new_v4().to_string()),
            |id| Self(id.trim().to_owned()),
        )
    }

    #[cfg(test)]
    pub(super) fn named(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// The files as a start finds them, before it touches any.
pub(super) struct Found {
    boot: Boot,
    /// Tells a file from its copies: when it was made. Empty where the system does not say.
    file: String,
    has_log: bool,
    now: Duration,
}

impl Found {
    pub(super) fn look(file: &Path, log: &Path, boot: Boot) -> Self {
        let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
        let made = fs::metadata(file).and_then(|file| file.created()).ok();
        Self {
            boot,
            file: made
                .and_then(since_1970)
                .map_or_else(String::new, |made| made.as_nanos().to_string()),
            has_log: log.exists(),
            now: since_1970(SystemTime::now()).unwrap_or_default(),
        }
    }
}

/// What the last run left in `node`.
struct Left {
    is_copy: bool,
    /// The machine's boot while answered writes may not be on the disk; else empty.
    boot: String,
    file: String,
}

impl Left {
    /// Why the file may be older than what was answered.
    fn doubt(&self, found: &Found) -> Option<&'static str> {
        let is_other_file =
            !self.file.is_empty() && !found.file.is_empty() && self.file != found.file;
        if self.is_copy || is_other_file {
            return Some("the file is a copy");
        }
        if self.boot.is_empty() {
            return None;
        }
        if self.boot != found.boot.0 {
            return Some("the machine went down before the store was closed");
        }
        (!found.has_log).then_some("the write-ahead log is missing")
    }
}

/// To be called at each start, before anything is answered. What it notes must be on the disk afterwards, as it says that
/// what comes then may not be.
pub(super) fn begin(
    connection: &mut Connection,
    found: &Found,
    durability: Durability,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let left = transaction.query_row("SELECT is_copy, boot, file FROM node", [], |row| {
        Ok(Left {
            is_copy: row.get(0)?,
            boot: row.get(1)?,
            file: row.get(2)?,
        })
    })?;
    let doubt = left.doubt(found);
    if let Some(reason) = doubt {
        go_on_elsewhere(&transaction, found.now)?;
        tracing::warn!(
            reason,
            "what was answered last may be missing: durable channels begin new epochs"
        );
    }
    let boot = match durability {
        Durability::Process => found.boot.0.as_str(),
        Durability::Power => "",
    };
    transaction.execute(
        "UPDATE node SET is_copy = 0, boot = ?1, file = ?2",
        params![boot, found.file],
    )?;
    transaction.commit()?;
    // Into the file itself, so that a log that somebody removes is missed. A reader may be in the way, which is no failure.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// No place from before means anything now. An inbox has no epoch: its offsets leap to the present in milliseconds, which
/// one that gets fewer than a thousand messages a second has not reached.
fn go_on_elsewhere(connection: &Connection, now: Duration) -> rusqlite::Result<()> {
    let now_ms = integer(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    connection.execute("UPDATE channels SET epoch = random()", [])?;
    connection.execute(
        "UPDATE inboxes SET last_offset = max(last_offset, ?1)",
        [now_ms],
    )?;
    connection.execute(
        "UPDATE node SET inboxes_from = max(inboxes_from, ?1)",
        [now_ms],
    )?;
    Ok(())
}

/// To be called at the end, after all other writes: what follows the log in order has all before it.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE node SET boot = ''", [])?;
    Ok(())
}
