//! Whatever the language can do is tried against another tenant: `tests/fixtures/isolation.sql` has it all.

use std::collections::BTreeSet;

use super::*;
use crate::cometql::catalog::{Access, TABLES};
use crate::cometql::parse::{Show, ShowWhat};

/// All names that [`name`] gives: who adds a statement adds it in both places, and to the file.
const ALL: [&str; 29] = [
    "nothing",
    "idle",
    "insert",
    "insert select",
    "update",
    "delete",
    "select",
    "use",
    "kill",
    "explain",
    "explain subscribe",
    "explain message",
    "databases",
    "tables",
    "table status",
    "columns",
    "create table",
    "create database",
    "index",
    "status",
    "variables",
    "connections",
    "warnings",
    "warning count",
    "engines",
    "character set",
    "collation",
    "grants",
    "empty",
];

fn name(parsed: &Parsed) -> &'static str {
    match parsed {
        Parsed::Nothing => "nothing",
        Parsed::Idle(_) => "idle",
        Parsed::Insert(insert) => match insert.source {
            Source::Rows(_) => "insert",
            Source::Query(_) => "insert select",
        },
        Parsed::Update(_) => "update",
        Parsed::Delete(_) => "delete",
        Parsed::Select(_) => "select",
        Parsed::Show(show) => shown(show),
        Parsed::Use(_) => "use",
        Parsed::Kill { .. } => "kill",
        Parsed::Explain(_) => "explain",
        Parsed::ExplainSubscribe { .. } => "explain subscribe",
        Parsed::ExplainMessage { .. } => "explain message",
    }
}

fn shown(show: &Show) -> &'static str {
    match show.what {
        ShowWhat::Databases => "databases",
        ShowWhat::Tables { .. } => "tables",
        ShowWhat::TableStatus => "table status",
        ShowWhat::Columns { .. } => "columns",
        ShowWhat::CreateTable(_) => "create table",
        ShowWhat::CreateDatabase(_) => "create database",
        ShowWhat::Index(_) => "index",
        ShowWhat::Status(_) => "status",
        ShowWhat::Variables => "variables",
        // `kill_and_use_stop_at_the_border` looks at its rows: there is always one's own.
        ShowWhat::Processlist => "processlist",
        ShowWhat::Connections => "connections",
        ShowWhat::Warnings => "warnings",
        ShowWhat::WarningCount => "warning count",
        ShowWhat::Engines => "engines",
        ShowWhat::CharacterSet => "character set",
        ShowWhat::Collation => "collation",
        ShowWhat::Grants => "grants",
        ShowWhat::Empty(_) => "empty",
    }
}

#[test]
fn every_statement_and_table_is_tried_against_another_tenant() {
    let file = include_str!("../../../../tests/fixtures/isolation.sql");
    let lines = || file.lines().filter(|line| !line.starts_with("--"));
    let statements: Vec<_> = lines().filter_map(|sql| one(sql).ok()).collect();
    let names: BTreeSet<_> = statements.iter().map(name).collect();
    assert_eq!(names, BTreeSet::from(ALL));
    for table in TABLES {
        let name = table.name;
        let select = format!("SELECT * FROM {name}");
        let selects =
            |line: &str| line.split_once(" ORDER").map_or(line, |parts| parts.0) == select;
        assert!(lines().any(selects), "{select}");
        if table.access == Access::ReadOnly {
            continue;
        }
        let inserts =
            |parsed: &Parsed| matches!(parsed, Parsed::Insert(insert) if insert.table.name == name);
        let deletes =
            |parsed: &Parsed| matches!(parsed, Parsed::Delete(delete) if delete.table.name == name);
        assert!(statements.iter().any(inserts), "INSERT INTO {name}");
        assert!(statements.iter().any(deletes), "DELETE FROM {name}");
    }
}
