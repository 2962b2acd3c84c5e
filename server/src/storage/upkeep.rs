//! Giving space back, and copies. It must not remove rows: that is the business of their modules.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::lineage::MARK_COPY;
use super::open::{self, FILE};
use super::values::Outcome;

/// Free pages (of 4 KiB) that stay in the file, because they will be used again soon.
const SPARE_PAGES: u64 = 1024;
/// Most pages given back at a time, so that nobody waits long.
const PAGES_AT_ONCE: u64 = 4096;

/// Gives unused pages back to the file system and begins the write-ahead log anew.
pub(super) fn give_space_back(connection: &Connection) -> Outcome<()> {
    let free: u64 = connection
        .pragma_query_value(None, "freelist_count", |row| super::values::number(row, 0))?;
    let give = free.saturating_sub(SPARE_PAGES).min(PAGES_AT_ONCE);
    if give > 0 {
        // The pragma does its work row by row.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({give})"))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
    }
    // A reader may need the log still: then it is begun anew next time, and nobody waits.
    connection.busy_timeout(Duration::ZERO)?;
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(open::BUSY)?;
    Ok(checkpoint?)
}

/// Copies what the connection reads, at one moment, into a new data directory.
pub(super) fn copy(connection: &Connection, target: &Path) -> Result<(), CopyError> {
    open::make_directory(target, false).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => CopyError::Exists,
        _ => CopyError::File(error),
    })?;
    let copied = copy_into(connection, target);
    if copied.is_err() {
        // It was made above, so nothing of anybody else is in it.
        _ = fs::remove_dir_all(target);
    }
    copied
}

/// Under its final name there is never half a copy.
fn copy_into(connection: &Connection, target: &Path) -> Result<(), CopyError> {
    let unfinished = target.join("unfinished");
    let name = unfinished.to_str().ok_or(CopyError::Name)?;
    open::make_file(&unfinished)?;
    connection.execute("VACUUM INTO ?1", [name])?;
    let copied = Connection::open(&unfinished)?;
    copied.execute(MARK_COPY, [])?;
    copied.close().map_err(|(_, error)| error)?;
    fs::File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, target.join(FILE))?;
    fs::File::open(target)?.sync_all()?;
    Ok(())
}

/// Why a copy could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("the target exists")]
    Exists,
    #[error("the target's name is not valid UTF-8")]
    Name,
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
}

#[cfg(test)]
pub(super) fn limit_pages(connection: &Connection, pages: u32) {
    connection
        .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        .unwrap();
}
