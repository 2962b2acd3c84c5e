//! The page of all error codes says what the code says, no more and no less. (The table of CometQL's codes is compared
//! beside them, in `cometql/errors.rs`.)

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cometql_protocol::{Advice, CloseCode, ErrorCode};
use cometql_server::cluster::state::JoinError;
use cometql_server::cometql::errors::WARNINGS;
use cometql_server::storage::OpenError;
use hyper::StatusCode;

const PAGE: &str = include_str!("../../docs-site/reference/errors.md");

/// The first cells of each row of a section's table.
fn listed(section: &str, cells: usize) -> BTreeSet<Vec<String>> {
    let heading = format!("{section}\n");
    let mut sections = PAGE.split("\n## ");
    let text = sections.find(|text| text.starts_with(&heading));
    let rows = text.expect("the section").lines();
    let rows = rows.filter(|line| line.starts_with("| ")).skip(1);
    let first = |row: &str| {
        let row = row.trim_matches('|').split('|');
        row.take(cells).map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<_> = rows.map(first).collect();
    let set: BTreeSet<_> = rows.iter().cloned().collect();
    assert_eq!(set.len(), rows.len(), "{section}: each once");
    set
}

/// The Rust files of a folder of the sources, without tests.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let file = std::fs::read_to_string(&path).unwrap();
            text += file.split("#[cfg(test)]\nmod tests {").next().unwrap();
        }
    }
    text
}

fn source(folder: &str) -> String {
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(folder),
    )
}

#[test]
fn warnings_of_statements() {
    let known = WARNINGS.iter().map(|code| vec![code.number.to_string()]);
    assert_eq!(listed("Warnings", 1), known.collect());
}

#[test]
fn errors_of_the_browser_protocol() {
    let known = ErrorCode::ALL.map(|code| vec![code.as_str().to_owned()]);
    assert_eq!(listed("Browser protocol", 1), BTreeSet::from(known));
}

#[test]
fn codes_of_a_start() {
    let known = OpenError::CODES.iter().chain(&["store_failed"]);
    let known = known.chain(JoinError::CODES);
    let known = known.map(|code| vec![(*code).to_owned()]);
    assert_eq!(listed("Start", 1), known.collect());
}

#[test]
fn close_codes() {
    let known = CloseCode::ALL.map(|code| {
        let advice = match code.advice() {
            Advice::ReconnectNow => "reconnect now",
            Advice::ReconnectLater => "reconnect later",
            Advice::Stop => "stop",
        };
        vec![code.code().to_string(), code.as_str().into(), advice.into()]
    });
    assert_eq!(listed("Close codes", 3), BTreeSet::from(known));
}

#[test]
fn codes_of_the_mysql_port() {
    let source = source("mysql");
    let calls = source.split("mysql_error(").skip(1);
    let known = calls.filter_map(|call| {
        let mut arguments = call.split(',');
        let code: u16 = arguments.next()?.trim().parse().ok()?;
        let state = arguments.next()?.trim().trim_matches('"');
        Some(vec![code.to_string(), state.to_owned()])
    });
    assert_eq!(listed("MySQL port", 2), known.collect());
}

/// `beside` is what hyper answers by itself.
#[track_caller]
fn check_statuses(section: &str, folder: &str, beside: &[u16]) {
    let source = source(folder);
    let named = source.split("StatusCode::").skip(1);
    let named: BTreeSet<_> = named
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        })
        .filter(|name| !name.is_empty())
        .collect();
    let name = |code: &Vec<String>| {
        let status = StatusCode::from_bytes(code[0].as_bytes()).unwrap();
        let reason = status.canonical_reason().unwrap();
        let name = reason.to_ascii_uppercase().replace([' ', '-'], "_");
        (status.as_u16(), name)
    };
    let listed = listed(section, 1);
    let listed = listed
        .iter()
        .map(name)
        .filter(|(code, _)| !beside.contains(code));
    assert_eq!(listed.map(|(_, name)| name).collect::<BTreeSet<_>>(), named);
}

#[test]
fn statuses_of_the_browser_port() {
    check_statuses("HTTP, browser port", "http", &[431]);
}

#[test]
fn statuses_of_the_admin_port() {
    check_statuses("HTTP, admin port", "admin", &[]);
}
