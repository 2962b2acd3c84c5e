//! Why a store is not opened: which of it a person has to do what about. It must not open anything.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a store can't be opened. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data directory {} is in use by another process{}: stop that one, or use another directory (store_in_use)",
        .directory.display(),
        pid(*.process)
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// The number of that process, if it can be told.
        process: Option<u32>,
    },
    /// Made by a newer version.
    #[error(
        "{} has format {found}, this program knows up to {known}: use a newer cometql, or restore a backup from before (store_newer)",
        .file.display()
    )]
    Newer {
        /// The store's file.
        file: PathBuf,
        /// Its format version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another program's file, or one without a beginning.
    #[error(
        "{} was not made by cometql, or its beginning is damaged ({why}): use another directory, or restore the last backup (store_foreign)",
        .file.display()
    )]
    Foreign {
        /// The store's file.
        file: PathBuf,
        /// What was found.
        why: String,
    },
    /// Ours, but not whole.
    #[error("{} is damaged ({why}): restore the last backup (store_damaged)", .file.display())]
    Damaged {
        /// The store's file.
        file: PathBuf,
        /// What was found.
        why: String,
    },
    /// The system does not let us.
    #[error(
        "the data directory {} can't be used ({why}): check its owner, its mode and its disk (store_inaccessible)",
        .directory.display()
    )]
    Inaccessible {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        why: String,
    },
}

fn pid(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}

impl OpenError {
    /// Every [`OpenError::code`].
    pub const CODES: [&str; 5] = [
        "store_in_use",
        "store_newer",
        "store_foreign",
        "store_damaged",
        "store_inaccessible",
    ];

    /// The word at the end of the message, which programs may depend on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        let [in_use, newer, foreign, damaged, inaccessible] = Self::CODES;
        match self {
            Self::Locked { .. } => in_use,
            Self::Newer { .. } => newer,
            Self::Foreign { .. } => foreign,
            Self::Damaged { .. } => damaged,
            Self::Inaccessible { .. } => inaccessible,
        }
    }

    pub(super) fn foreign(file: &Path, why: &str) -> Self {
        Self::Foreign {
            file: file.to_owned(),
            why: why.to_owned(),
        }
    }

    pub(super) fn damaged(file: &Path, why: &str) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            // Some have several lines; people get one.
            why: why.replace('\n', ": "),
        }
    }

    /// The system failed on the directory or a file in it.
    pub(super) fn system(directory: &Path, error: &impl ToString) -> Self {
        Self::Inaccessible {
            directory: directory.to_owned(),
            why: error.to_string(),
        }
    }

    /// SQLite failed on the file.
    pub(super) fn sqlite(file: &Path, error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::foreign(file, &error.to_string()),
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure,
            ) => Self::system(file.parent().unwrap_or(file), error),
            // A table, a column or a row that must be there is not.
            _ => Self::damaged(file, &error.to_string()),
        }
    }
}
