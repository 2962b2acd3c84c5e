//! Snapshots of live state as SQLite virtual tables, and the little else that only SQLite's C interface offers. The one
//! module with `unsafe`. It must not know what the tables mean, nor reach live state: rows are handed in.

#![expect(
    unsafe_code,
    reason = "SQLite's virtual tables are structs with a C header, so rusqlite's traits for them are unsafe"
)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::sync::{Arc, OnceLock};

use rusqlite::types::{Null, ValueRef};
use rusqlite::vtab::{
    Context, CreateVTab, Filters, IndexConstraint, IndexConstraintOp, IndexInfo, Module, VTab,
    VTabConnection, VTabCursor, VTabKind, sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};

/// The name of the module in `CREATE VIRTUAL TABLE … USING`.
pub(super) const MODULE: &CStr = c"snapshot";

/// A value in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    /// NULL.
    Null,
    /// A number.
    Integer(i64),
    /// Text.
    Text(Arc<str>),
}

impl Cell {
    /// Text, copied.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// A number; those above `i64::MAX` stop there.
    pub(super) fn number(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A column of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Its name.
    pub(super) name: &'static str,
    /// Its SQLite type: `INTEGER`, `TEXT` or `TEXT COLLATE NOCASE`.
    pub(super) declared: &'static str,
    /// Whether `column = value` probes an index, which is made at the first probe.
    pub(super) indexed: bool,
}

type Index = HashMap<Cell, Vec<usize>>;

/// All rows of a table at one moment.
pub(super) struct Snapshot {
    shape: Vec<Shape>,
    rows: Vec<Box<[Cell]>>,
    indexes: Vec<OnceLock<Index>>,
}

impl Snapshot {
    /// A snapshot; every row is as long as `shape`.
    pub(super) fn new(shape: Vec<Shape>, rows: Vec<Box<[Cell]>>) -> Self {
        let indexes = shape.iter().map(|_| OnceLock::new()).collect();
        Self {
            shape,
            rows,
            indexes,
        }
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    fn declaration(&self) -> String {
        let columns: Vec<_> = self
            .shape
            .iter()
            .map(|column| format!("\"{}\" {}", column.name, column.declared))
            .collect();
        format!("CREATE TABLE x({})", columns.join(", "))
    }

    fn index(&self, column: usize) -> &Index {
        self.indexes[column].get_or_init(|| {
            let mut index = Index::new();
            for (number, row) in self.rows.iter().enumerate() {
                index.entry(row[column].clone()).or_default().push(number);
            }
            index
        })
    }

    /// The value of a constraint as the column would hold it. SQLite hands values over without the column's affinity.
    fn probe(&self, column: usize, value: ValueRef<'_>) -> Option<Cell> {
        let is_text = self.shape[column].declared.starts_with("TEXT");
        match value {
            ValueRef::Null | ValueRef::Blob(_) => None,
            ValueRef::Integer(number) if is_text => Some(Cell::text(&number.to_string())),
            ValueRef::Integer(number) => Some(Cell::Integer(number)),
            ValueRef::Real(number) if is_text => Some(Cell::text(&number.to_string())),
            ValueRef::Real(number) => whole(number),
            ValueRef::Text(bytes) => {
                let text = std::str::from_utf8(bytes).ok()?;
                if is_text {
                    return Some(Cell::text(text));
                }
                let text = text.trim();
                let exact = text.parse().ok().map(Cell::Integer);
                exact.or_else(|| whole(text.parse().ok()?))
            }
        }
    }
}

/// The number, if it is whole and small enough to be exact.
fn whole(number: f64) -> Option<Cell> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 || number.abs() > EXACT {
        return None;
    }
    format!("{number:.0}").parse().ok().map(Cell::Integer)
}

/// The snapshots of one statement by table name.
pub(super) type Snapshots = Arc<HashMap<String, Arc<Snapshot>>>;

/// Makes snapshots known to a connection and creates a table in its `temp` schema for each.
pub(super) fn register(connection: &Connection, snapshots: &Snapshots) -> Result<()> {
    const DEFINITION: Module<'_, Table> = Module::read_only_module();
    connection.create_module(MODULE, &DEFINITION, Some(Arc::clone(snapshots)))?;
    for name in snapshots.keys() {
        let sql = format!("CREATE VIRTUAL TABLE temp.\"{name}\" USING snapshot");
        connection.execute_batch(&sql)?;
    }
    Ok(())
}

/// Bytes that SQLite has allocated in the whole process.
pub(super) fn memory_used() -> i64 {
    // SAFETY: the function takes nothing, reads one counter and is thread-safe by its contract.
    unsafe { rusqlite::ffi::sqlite3_memory_used() }
}

#[repr(C)]
struct Table {
    base: sqlite3_vtab,
    snapshot: Arc<Snapshot>,
}

// SAFETY: `Table` is `repr(C)` and begins with the header that SQLite expects.
unsafe impl VTab<'_> for Table {
    type Aux = Snapshots;
    type Cursor = Cursor;

    fn connect(
        _: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _module_name: &[u8],
        _database_name: &[u8],
        table_name: &[u8],
        _args: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        let name = String::from_utf8_lossy(table_name);
        let snapshot = aux.and_then(|snapshots| snapshots.get(&*name)).cloned();
        let snapshot = snapshot
            .ok_or_else(|| Error::ModuleError(format!("there is no snapshot of {name}")))?;
        let declaration = CString::new(snapshot.declaration())?;
        let base = sqlite3_vtab::default();
        Ok((Cow::Owned(declaration), Self { base, snapshot }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let probed = |(_, constraint): &(usize, IndexConstraint<'_>)| {
            let column = usize::try_from(constraint.column()).ok();
            constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ
                && constraint.is_usable()
                && column.is_some_and(|column| self.snapshot.shape[column].indexed)
        };
        let mut candidates = info.constraints().enumerate().filter(probed);
        // The index compares byte for byte, so it can't serve a comparison under another collation.
        let chosen = candidates
            .find(|(number, _)| matches!(info.collation(*number), Ok("BINARY")))
            .map(|(number, constraint)| (number, constraint.column()));
        if let Some((number, _)) = chosen {
            // SQLite still compares the rows found: the probe only needs to find all candidates.
            info.constraint_usage(number).set_argv_index(1);
        }
        let rows = i64::try_from(self.snapshot.rows.len()).unwrap_or(i64::MAX);
        let visited = if chosen.is_some() { rows / 10 } else { rows } + 1;
        info.set_idx_num(chosen.map_or(0, |(_, column)| column + 1));
        info.set_estimated_rows(visited);
        info.set_estimated_cost(i32::try_from(visited).map_or(f64::from(i32::MAX), f64::from));
        Ok(true)
    }

    fn open(&mut self) -> Result<Cursor> {
        Ok(Cursor {
            base: sqlite3_vtab_cursor::default(),
            snapshot: Arc::clone(&self.snapshot),
            found: Found::All,
            at: 0,
        })
    }
}

impl CreateVTab<'_> for Table {
    const KIND: VTabKind = VTabKind::Default;
}

/// Which rows a cursor visits.
enum Found {
    All,
    These(Vec<usize>),
}

#[repr(C)]
struct Cursor {
    base: sqlite3_vtab_cursor,
    snapshot: Arc<Snapshot>,
    found: Found,
    at: usize,
}

impl Cursor {
    /// The number of the current row, `None` at the end.
    fn row(&self) -> Option<usize> {
        match &self.found {
            Found::All => (self.at < self.snapshot.rows.len()).then_some(self.at),
            Found::These(rows) => rows.get(self.at).copied(),
        }
    }
}

// SAFETY: `Cursor` is `repr(C)` and begins with the header that SQLite expects.
unsafe impl VTabCursor for Cursor {
    fn filter(&mut self, index: c_int, _: Option<&str>, values: &Filters<'_>) -> Result<()> {
        self.at = 0;
        self.found = match usize::try_from(index) {
            Ok(number) if number > 0 => {
                let column = number - 1;
                let value = values.iter().next().unwrap_or(ValueRef::Null);
                let key = self.snapshot.probe(column, value);
                let rows = key.and_then(|key| self.snapshot.index(column).get(&key));
                Found::These(rows.cloned().unwrap_or_default())
            }
            _ => Found::All,
        };
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.row().is_none()
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        let row = self.row().map(|row| &self.snapshot.rows[row]);
        match row.and_then(|row| row.get(column)) {
            Some(Cell::Integer(number)) => context.set_result(number),
            Some(Cell::Text(text)) => context.set_result(&**text),
            Some(Cell::Null) | None => context.set_result(Null),
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.row().map_or(0, |row| i64::try_from(row).unwrap_or(0)))
    }
}
