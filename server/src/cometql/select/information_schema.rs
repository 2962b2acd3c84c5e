//! `information_schema`: what drivers and tools ask about the tables, made from the catalog. Tables that have no rows
//! here exist with the columns that tools select. It must not read anything but the catalog.

use super::vtab::{Cell, Shape, Snapshot};
use crate::cometql::catalog::{self, Access, Field, Key, Kind, Table};

/// A table of `information_schema`; its columns are texts unless `numbers` lists them.
pub(super) struct InfoTable {
    /// In lower case.
    pub(super) name: &'static str,
    /// In the order of `SELECT *`.
    pub(super) columns: &'static [&'static str],
    /// Those of `columns` that are numbers.
    pub(super) numbers: &'static [&'static str],
    rows: fn() -> Vec<Box<[Cell]>>,
}

/// Every table of `information_schema` that exists.
pub(super) static TABLES: &[InfoTable] = &[
    InfoTable {
        name: "schemata",
        columns: &[
            "CATALOG_NAME",
            "SCHEMA_NAME",
            "DEFAULT_CHARACTER_SET_NAME",
            "DEFAULT_COLLATION_NAME",
            "SQL_PATH",
        ],
        numbers: &[],
        rows: schemata,
    },
    InfoTable {
        name: "tables",
        columns: &[
            "TABLE_CATALOG",
            "TABLE_SCHEMA",
            "TABLE_NAME",
            "TABLE_TYPE",
            "ENGINE",
            "VERSION",
            "ROW_FORMAT",
            "TABLE_ROWS",
            "AVG_ROW_LENGTH",
            "DATA_LENGTH",
            "MAX_DATA_LENGTH",
            "INDEX_LENGTH",
            "DATA_FREE",
            "AUTO_INCREMENT",
            "CREATE_TIME",
            "UPDATE_TIME",
            "CHECK_TIME",
            "TABLE_COLLATION",
            "CHECKSUM",
            "CREATE_OPTIONS",
            "TABLE_COMMENT",
        ],
        numbers: &["VERSION", "TABLE_ROWS", "DATA_LENGTH", "INDEX_LENGTH"],
        rows: tables,
    },
    InfoTable {
        name: "columns",
        columns: &[
            "TABLE_CATALOG",
            "TABLE_SCHEMA",
            "TABLE_NAME",
            "COLUMN_NAME",
            "ORDINAL_POSITION",
            "COLUMN_DEFAULT",
            "IS_NULLABLE",
            "DATA_TYPE",
            "CHARACTER_MAXIMUM_LENGTH",
            "CHARACTER_OCTET_LENGTH",
            "NUMERIC_PRECISION",
            "NUMERIC_SCALE",
            "DATETIME_PRECISION",
            "CHARACTER_SET_NAME",
            "COLLATION_NAME",
            "COLUMN_TYPE",
            "COLUMN_KEY",
            "EXTRA",
            "PRIVILEGES",
            "COLUMN_COMMENT",
            "GENERATION_EXPRESSION",
        ],
        numbers: &[
            "ORDINAL_POSITION",
            "CHARACTER_MAXIMUM_LENGTH",
            "CHARACTER_OCTET_LENGTH",
            "NUMERIC_PRECISION",
            "NUMERIC_SCALE",
            "DATETIME_PRECISION",
        ],
        rows: columns,
    },
    InfoTable {
        name: "statistics",
        columns: &[
            "TABLE_CATALOG",
            "TABLE_SCHEMA",
            "TABLE_NAME",
            "NON_UNIQUE",
            "INDEX_SCHEMA",
            "INDEX_NAME",
            "SEQ_IN_INDEX",
            "COLUMN_NAME",
            "COLLATION",
            "CARDINALITY",
            "SUB_PART",
            "PACKED",
            "NULLABLE",
            "INDEX_TYPE",
            "COMMENT",
            "INDEX_COMMENT",
        ],
        numbers: &["NON_UNIQUE", "SEQ_IN_INDEX", "CARDINALITY", "SUB_PART"],
        rows: statistics,
    },
    InfoTable {
        name: "key_column_usage",
        columns: &[
            "CONSTRAINT_CATALOG",
            "CONSTRAINT_SCHEMA",
            "CONSTRAINT_NAME",
            "TABLE_CATALOG",
            "TABLE_SCHEMA",
            "TABLE_NAME",
            "COLUMN_NAME",
            "ORDINAL_POSITION",
            "POSITION_IN_UNIQUE_CONSTRAINT",
            "REFERENCED_TABLE_SCHEMA",
            "REFERENCED_TABLE_NAME",
            "REFERENCED_COLUMN_NAME",
        ],
        numbers: &["ORDINAL_POSITION", "POSITION_IN_UNIQUE_CONSTRAINT"],
        rows: key_column_usage,
    },
    InfoTable {
        name: "table_constraints",
        columns: &[
            "CONSTRAINT_CATALOG",
            "CONSTRAINT_SCHEMA",
            "CONSTRAINT_NAME",
            "TABLE_SCHEMA",
            "TABLE_NAME",
            "CONSTRAINT_TYPE",
        ],
        numbers: &[],
        rows: table_constraints,
    },
    InfoTable {
        name: "referential_constraints",
        columns: &[
            "CONSTRAINT_CATALOG",
            "CONSTRAINT_SCHEMA",
            "CONSTRAINT_NAME",
            "UNIQUE_CONSTRAINT_CATALOG",
            "UNIQUE_CONSTRAINT_SCHEMA",
            "UNIQUE_CONSTRAINT_NAME",
            "MATCH_OPTION",
            "UPDATE_RULE",
            "DELETE_RULE",
            "TABLE_NAME",
            "REFERENCED_TABLE_NAME",
        ],
        numbers: &[],
        rows: Vec::new,
    },
    InfoTable {
        name: "views",
        columns: &[
            "TABLE_CATALOG",
            "TABLE_SCHEMA",
            "TABLE_NAME",
            "VIEW_DEFINITION",
            "CHECK_OPTION",
            "IS_UPDATABLE",
            "DEFINER",
            "SECURITY_TYPE",
        ],
        numbers: &[],
        rows: Vec::new,
    },
    InfoTable {
        name: "routines",
        columns: &[
            "SPECIFIC_NAME",
            "ROUTINE_CATALOG",
            "ROUTINE_SCHEMA",
            "ROUTINE_NAME",
            "ROUTINE_TYPE",
            "DATA_TYPE",
            "ROUTINE_DEFINITION",
            "ROUTINE_COMMENT",
        ],
        numbers: &[],
        rows: Vec::new,
    },
    InfoTable {
        name: "triggers",
        columns: &[
            "TRIGGER_CATALOG",
            "TRIGGER_SCHEMA",
            "TRIGGER_NAME",
            "EVENT_MANIPULATION",
            "EVENT_OBJECT_SCHEMA",
            "EVENT_OBJECT_TABLE",
            "ACTION_STATEMENT",
            "ACTION_TIMING",
        ],
        numbers: &[],
        rows: Vec::new,
    },
    InfoTable {
        name: "events",
        columns: &[
            "EVENT_CATALOG",
            "EVENT_SCHEMA",
            "EVENT_NAME",
            "DEFINER",
            "TIME_ZONE",
            "EVENT_BODY",
            "EVENT_DEFINITION",
            "EVENT_TYPE",
            "STATUS",
            "EVENT_COMMENT",
        ],
        numbers: &[],
        rows: Vec::new,
    },
    InfoTable {
        name: "partitions",
        columns: &[
            "TABLE_CATALOG",
            "TABLE_SCHEMA",
            "TABLE_NAME",
            "PARTITION_NAME",
            "SUBPARTITION_NAME",
            "PARTITION_ORDINAL_POSITION",
            "SUBPARTITION_ORDINAL_POSITION",
            "PARTITION_METHOD",
            "PARTITION_EXPRESSION",
            "PARTITION_DESCRIPTION",
            "TABLE_ROWS",
        ],
        numbers: &[
            "PARTITION_ORDINAL_POSITION",
            "SUBPARTITION_ORDINAL_POSITION",
            "TABLE_ROWS",
        ],
        rows: Vec::new,
    },
    InfoTable {
        name: "engines",
        columns: &[
            "ENGINE",
            "SUPPORT",
            "COMMENT",
            "TRANSACTIONS",
            "XA",
            "SAVEPOINTS",
        ],
        numbers: &[],
        rows: engines,
    },
];

/// The table with this name, in any case.
pub(super) fn table(name: &str) -> Option<&'static InfoTable> {
    TABLES
        .iter()
        .find(|table| table.name.eq_ignore_ascii_case(name))
}

impl InfoTable {
    /// Its rows.
    pub(super) fn snapshot(&self) -> Snapshot {
        let shape = |name: &&'static str| Shape {
            name,
            declared: if self.numbers.contains(name) {
                "INTEGER"
            } else {
                "TEXT COLLATE NOCASE"
            },
            indexed: false,
        };
        Snapshot::new(self.columns.iter().map(shape).collect(), (self.rows)())
    }
}

fn schemata() -> Vec<Box<[Cell]>> {
    let names = [catalog::DATABASE, "information_schema"];
    let row = |name: &str| texts(&["def", name, "utf8mb4", "utf8mb4_general_ci", ""]);
    names.iter().map(|name| row(name)).collect()
}

fn engines() -> Vec<Box<[Cell]>> {
    vec![texts(&[
        "CometQL",
        "DEFAULT",
        "Live state and its durable tables",
        "NO",
        "NO",
        "NO",
    ])]
}

fn tables() -> Vec<Box<[Cell]>> {
    catalog::TABLES.iter().map(table_row).collect()
}

fn table_row(table: &Table) -> Box<[Cell]> {
    let kind = match table.access {
        Access::ReadWrite => "BASE TABLE",
        Access::ReadOnly => "VIEW",
    };
    let mut row = texts(&["def", catalog::DATABASE, table.name, kind, "CometQL"]).into_vec();
    row.extend([Cell::Integer(10), Cell::text("Dynamic")]);
    row.extend(std::iter::repeat_n(Cell::Null, 10));
    row.push(Cell::text("utf8mb4_general_ci"));
    row.extend([Cell::Null, Cell::text(""), Cell::text(table.comment)]);
    row.into()
}

fn columns() -> Vec<Box<[Cell]>> {
    let of_table = |table: &'static Table| {
        let numbered = table.columns.iter().zip(1..);
        numbered.map(|(field, position)| column_row(table, field, position))
    };
    catalog::TABLES.iter().flat_map(of_table).collect()
}

fn column_row(table: &Table, field: &Field, position: u64) -> Box<[Cell]> {
    let (data_type, length) = split_type(field.sql_type);
    let (length, precision, charset) = match field.kind {
        Kind::Integer => (Cell::Null, Cell::Integer(19), Cell::Null),
        Kind::Text => (length, Cell::Null, Cell::text("utf8mb4")),
    };
    let scale = match precision {
        Cell::Null => Cell::Null,
        _ => Cell::Integer(0),
    };
    let collation = match charset {
        Cell::Null => Cell::Null,
        _ => Cell::text("utf8mb4_general_ci"),
    };
    let mut row = texts(&["def", catalog::DATABASE, table.name, field.name]).into_vec();
    row.extend([Cell::number(position), Cell::Null, Cell::text("NO")]);
    row.push(Cell::text(data_type));
    row.extend([length.clone(), length, precision, scale, Cell::Null]);
    row.extend([charset, collation, Cell::text(field.sql_type)]);
    row.extend(texts(&[
        field.key.as_str(),
        if field.invisible { "INVISIBLE" } else { "" },
        "select,insert,update,references",
    ]));
    row.extend([Cell::text(""), Cell::text("")]);
    row.into()
}

/// `varchar(32)` → `varchar` and 32.
fn split_type(sql_type: &str) -> (&str, Cell) {
    match sql_type.split_once('(') {
        Some((name, length)) => {
            let length = length.trim_end_matches(')').parse();
            (name, length.map_or(Cell::Null, Cell::Integer))
        }
        None => (sql_type, Cell::Integer(16_777_215)),
    }
}

/// Columns with a part in a key: table, column, its number within the key.
fn keys() -> impl Iterator<Item = (&'static Table, &'static Field, u64)> {
    catalog::TABLES.iter().flat_map(|table| {
        let keyed = table.columns.iter().filter(|field| field.key != Key::No);
        keyed.zip(1..).map(move |(field, n)| (table, field, n))
    })
}

fn statistics() -> Vec<Box<[Cell]>> {
    let row = |(table, field, number): (&Table, &Field, u64)| {
        let primary = field.key == Key::Primary;
        let index = if primary { "PRIMARY" } else { field.name };
        let number = if primary { number } else { 1 };
        let mut row = texts(&["def", catalog::DATABASE, table.name]).into_vec();
        row.push(Cell::Integer(i64::from(!primary)));
        row.extend(texts(&[catalog::DATABASE, index]));
        row.extend([Cell::number(number), Cell::text(field.name)]);
        row.extend([Cell::text("A"), Cell::Null, Cell::Null, Cell::Null]);
        row.extend(texts(&["", "BTREE", "", ""]));
        row.into()
    };
    keys().map(row).collect()
}

fn key_column_usage() -> Vec<Box<[Cell]>> {
    let primary = keys().filter(|(_, field, _)| field.key == Key::Primary);
    let row = |(table, field, number): (&Table, &Field, u64)| {
        let mut row = texts(&["def", catalog::DATABASE, "PRIMARY", "def"]).into_vec();
        row.extend(texts(&[catalog::DATABASE, table.name, field.name]));
        row.push(Cell::number(number));
        row.extend(std::iter::repeat_n(Cell::Null, 4));
        row.into()
    };
    primary.map(row).collect()
}

fn table_constraints() -> Vec<Box<[Cell]>> {
    let first = keys().filter(|(_, field, n)| field.key == Key::Primary && *n == 1);
    let row = |(table, _, _): (&Table, &Field, u64)| {
        let database = catalog::DATABASE;
        texts(&[
            "def",
            database,
            "PRIMARY",
            database,
            table.name,
            "PRIMARY KEY",
        ])
    };
    first.map(row).collect()
}

fn texts(values: &[&str]) -> Box<[Cell]> {
    values.iter().map(|value| Cell::text(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_every_column() {
        for table in TABLES {
            for row in (table.rows)() {
                assert_eq!(row.len(), table.columns.len(), "{}", table.name);
            }
            for name in table.numbers {
                assert!(table.columns.contains(name), "{}.{name}", table.name);
            }
        }
    }
}
