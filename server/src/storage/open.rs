//! The data directory: its lock, the look before anything is touched, and connections. It must not know the tables.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::lineage::{self, Boot, Found};
use super::schema::{self, APPLICATION_ID, PROBES, STEPS};
use super::{Durability, OpenError, users};

/// The store's file in the data directory.
pub(super) const FILE: &str = "cometql.sqlite";
/// Its write-ahead log.
pub(super) const LOG: &str = "cometql.sqlite-wal";
const LOCK: &str = "lock";
/// How long a connection waits for another one; only readers at a start or end of a process ever make it wait.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// A file up to this size is read whole at start; a larger one only in parts, as the start would take too long.
const CHECKED_WHOLE_BYTES: u64 = 64 << 20;

/// Held as long as the store is open.
pub(super) struct Lock {
    _file: File,
}

/// Where connections of a store lead.
#[derive(Clone)]
pub(super) enum Location {
    /// The data directory.
    Directory(PathBuf),
    /// The URI of a database in memory that is gone with its last connection.
    Memory(String),
}

impl Lock {
    /// Locks the directory. The operating system gives the lock back when the process ends, however it ends.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let failed = |error: io::Error| OpenError::system(directory, &error);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(directory.join(LOCK))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number is only there to help; without it the message is still true.
                _ = file.read_to_string(&mut holder);
                return Err(OpenError::Locked {
                    directory: directory.to_owned(),
                    process: holder.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Opens the file of a locked directory for writing, made or led forward to the newest version where needed.
pub(super) fn writer(
    directory: &Path,
    durability: Durability,
    boot: Boot,
) -> Result<Connection, OpenError> {
    let path = directory.join(FILE);
    let is_new = fs::metadata(&path).map_or(true, |file| file.len() == 0);
    if is_new {
        make_file(&path).map_err(|error| OpenError::system(directory, &error))?;
    }
    // To look makes an empty log.
    let found = Found::look(&path, &directory.join(LOG), boot);
    if !is_new {
        look(&path)?;
    }
    let opened = Connection::open(&path).and_then(|mut connection| {
        prepare(&mut connection)?;
        keep_on_disk(&mut connection, &found, durability)?;
        Ok(connection)
    });
    opened.map_err(|error| OpenError::sqlite(&path, &error))
}

/// Opens a database in memory for writing.
pub(super) fn memory_writer(uri: &str) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(uri)?;
    prepare(&mut connection)?;
    begin(&mut connection)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    keep_plans(connection)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Only has a meaning before the first table.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // In KiB.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

fn keep_on_disk(
    connection: &mut Connection,
    found: &Found,
    durability: Durability,
) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In pages of 4 KiB: rarer than the default, as hot pages are written again and again.
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    begin(connection)?;
    // Flushed: it says that what comes then may not be.
    connection.pragma_update(None, "synchronous", "FULL")?;
    lineage::begin(connection, found, durability)?;
    match durability {
        Durability::Process => connection.pragma_update(None, "synchronous", "NORMAL"),
        Durability::Power => Ok(()),
    }
}

fn begin(connection: &mut Connection) -> rusqlite::Result<()> {
    schema::migrate(connection, STEPS)?;
    users::all_offline(connection, unix_seconds())
}

/// Looks at a file without changing it: is it ours, whole, and of a version that we know? Gives the connection back.
pub(super) fn look(path: &Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let connection = read_only(path).map_err(failed)?;
    let application: i32 = pragma(&connection, "application_id").map_err(failed)?;
    if application != APPLICATION_ID {
        let why = format!("its application_id is {application:#x}");
        return Err(OpenError::foreign(path, &why));
    }
    let found: u32 = pragma(&connection, "user_version").map_err(failed)?;
    let known = schema::version_of(STEPS);
    if found > known {
        return Err(OpenError::Newer {
            file: path.to_owned(),
            found,
            known,
        });
    }
    if found == known {
        for probe in PROBES {
            connection.prepare(probe).map_err(failed)?;
        }
        let has_node = "SELECT one FROM node";
        connection
            .query_row(has_node, [], |_| Ok(()))
            .map_err(failed)?;
    }
    let size = fs::metadata(path).map_err(|error| OpenError::system(path, &error))?;
    if size.len() <= CHECKED_WHOLE_BYTES {
        let verdict: String = pragma(&connection, "quick_check(1)").map_err(failed)?;
        if verdict != "ok" {
            return Err(OpenError::damaged(path, &verdict));
        }
    }
    Ok(connection)
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

/// A connection that can't change the file.
pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// Prepared statements stay prepared. Otherwise SQLite looks at the values bound to some of them and plans these anew at
/// each run, which took a third of the writing thread's time.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

impl Location {
    /// A connection that reads what is committed.
    pub(super) fn read_only(&self) -> rusqlite::Result<Connection> {
        match self {
            Self::Directory(directory) => read_only(&directory.join(FILE)),
            Self::Memory(uri) => {
                let connection = Connection::open(uri)?;
                // Readers of a shared cache lock tables otherwise, and the writer does not wait for them.
                connection.pragma_update(None, "read_uncommitted", true)?;
                Ok(connection)
            }
        }
    }

    /// Bytes on disk: the file and the write-ahead log.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let Self::Directory(directory) = self else {
            return (0, 0);
        };
        let size = |name: &str| fs::metadata(directory.join(name)).map_or(0, |file| file.len());
        (size(FILE), size(LOG))
    }
}

/// Makes a directory that only its owner may look into, as it will hold hashes and messages.
pub(super) fn make_directory(path: &Path, with_parents: bool) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(with_parents);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes an empty file that only its owner may read; one that is there stays as it is.
pub(super) fn make_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
