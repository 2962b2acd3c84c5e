//! The catalog as MySQL shows it.

use super::{Row, text, texts};
use crate::cometql::Value;
use crate::cometql::catalog::{Access, Field, Key, Kind, TABLES, Table};

/// Columns of `SHOW TABLE STATUS`.
pub(super) const TABLE_STATUS: &[&str] = &[
    "Name",
    "Engine",
    "Version",
    "Row_format",
    "Rows",
    "Avg_row_length",
    "Data_length",
    "Max_data_length",
    "Index_length",
    "Data_free",
    "Auto_increment",
    "Create_time",
    "Update_time",
    "Check_time",
    "Collation",
    "Checksum",
    "Create_options",
    "Comment",
];

/// Columns of `SHOW INDEX`.
pub(super) const INDEX: &[&str] = &[
    "Table",
    "Non_unique",
    "Key_name",
    "Seq_in_index",
    "Column_name",
    "Collation",
    "Cardinality",
    "Sub_part",
    "Packed",
    "Null",
    "Index_type",
    "Comment",
    "Index_comment",
];

/// `SHOW TABLES`.
pub(super) fn tables(full: bool) -> Vec<Row> {
    let row = |table: &Table| {
        if full {
            texts(&[table.name, "BASE TABLE"])
        } else {
            texts(&[table.name])
        }
    };
    TABLES.iter().map(row).collect()
}

/// `SHOW TABLE STATUS`.
pub(super) fn table_status() -> Vec<Row> {
    let row = |table: &Table| {
        let mut row = vec![Value::Null; TABLE_STATUS.len()];
        row[0] = text(table.name);
        row[1] = text("CometQL");
        row[2] = text("10");
        row[3] = text("Dynamic");
        row[14] = text("utf8mb4_general_ci");
        row[16] = text("");
        row[17] = text(table.comment);
        row
    };
    TABLES.iter().map(row).collect()
}

/// `SHOW COLUMNS` and `DESCRIBE`.
pub(super) fn columns(table: &Table, full: bool, only: Option<&str>) -> Vec<Row> {
    let shown = table
        .columns
        .iter()
        .filter(|field| only.is_none_or(|only| field.name == only));
    let row = |field: &Field| {
        let mut row = texts(&[field.name, field.sql_type]);
        if full {
            row.push(match field.kind {
                Kind::Text => text("utf8mb4_general_ci"),
                Kind::Integer => Value::Null,
            });
        }
        row.extend([text("NO"), text(field.key.as_str()), Value::Null]);
        row.push(text(if field.invisible { "INVISIBLE" } else { "" }));
        if full {
            let rights = match table.access {
                Access::ReadWrite => "select,insert,update",
                Access::ReadOnly => "select",
            };
            row.extend(texts(&[rights, ""]));
        }
        row
    };
    shown.map(row).collect()
}

/// `SHOW CREATE TABLE`.
pub(super) fn create_table(table: &Table) -> Vec<Row> {
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .map(|f| {
            // As MySQL writes it, which older clients take for a comment.
            let invisible = if f.invisible {
                " /*!80023 INVISIBLE */"
            } else {
                ""
            };
            format!("  `{}` {} NOT NULL{invisible}", f.name, f.sql_type)
        })
        .collect();
    let primary: Vec<String> = of_key(table, Key::Primary)
        .map(|f| format!("`{}`", f.name))
        .collect();
    if !primary.is_empty() {
        lines.push(format!("  PRIMARY KEY ({})", primary.join(",")));
    }
    for field in of_key(table, Key::Multiple) {
        lines.push(format!("  KEY `{0}` (`{0}`)", field.name));
    }
    let statement = format!(
        "CREATE TABLE `{}` (\n{}\n) ENGINE=CometQL DEFAULT CHARSET=utf8mb4 COMMENT='{}'",
        table.name,
        lines.join(",\n"),
        table.comment.replace('\'', "''"),
    );
    vec![vec![text(table.name), Value::Text(statement)]]
}

/// `SHOW CREATE DATABASE`.
pub(super) fn create_database(name: &str) -> Vec<Row> {
    let statement = format!(
        "CREATE DATABASE `{}` /*!40100 DEFAULT CHARACTER SET utf8mb4 */",
        name.replace('`', "``")
    );
    vec![vec![text(name), Value::Text(statement)]]
}

/// `SHOW INDEX`.
pub(super) fn index(table: &Table) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, field) in of_key(table, Key::Primary).enumerate() {
        rows.push(index_row(table, field, "0", "PRIMARY", at + 1));
    }
    for field in of_key(table, Key::Multiple) {
        rows.push(index_row(table, field, "1", field.name, 1));
    }
    rows
}

fn index_row(table: &Table, field: &Field, non_unique: &str, name: &str, sequence: usize) -> Row {
    let mut row = texts(&[
        table.name,
        non_unique,
        name,
        &sequence.to_string(),
        field.name,
        "A",
    ]);
    row.extend([Value::Null, Value::Null, Value::Null]);
    row.extend(texts(&["", "HASH", "", ""]));
    row
}

fn of_key(table: &Table, key: Key) -> impl Iterator<Item = &Field> {
    table.columns.iter().filter(move |field| field.key == key)
}
