//! The page about all SDKs (`docs-site/sdks/README.md`) names every option with its default and limits, and every call.

use cometql_sdk::{BlockingClient, CometError, Options};

const PAGE: &str = include_str!("../../docs-site/sdks/README.md");

/// The first cells of the rows whose first cell is code.
fn rows(cells: usize) -> Vec<Vec<&'static str>> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &'static str| line.split('|').skip(1).take(cells).map(str::trim).collect();
    rows.map(row).collect()
}

/// The options with one of them changed.
fn with(name: &str, number: u64) -> Options {
    let mut options = Options::default();
    match name {
        "call_timeout_ms" => options.call_timeout_ms = number,
        "connect_timeout_ms" => options.connect_timeout_ms = number,
        "max_connections" => {
            options.max_connections = u32::try_from(number).expect("the page has small numbers")
        }
        "idle_check_ms" => options.idle_check_ms = number,
        "idle_close_ms" => options.idle_close_ms = number,
        "back_off_min_ms" => options.back_off_min_ms = number,
        "back_off_max_ms" => options.back_off_max_ms = number,
        other => panic!("the page names {other}"),
    }
    options
}

/// What connecting says about the options; no host is asked, because there is none.
fn said(options: Options) -> String {
    let nobody = String::new;
    match BlockingClient::connect(Vec::new(), nobody(), nobody(), nobody(), options) {
        Err(CometError::Invalid { detail }) => detail,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it connects to nothing"),
    }
}

#[test]
fn options_with_their_defaults_and_limits() {
    let defaults = format!("{:?}", Options::default());
    let fields = defaults
        .trim_start_matches("Options { ")
        .trim_end_matches(" }");
    for field in fields.split(", ") {
        let (name, default) = field.split_once(": ").unwrap();
        let code = format!("`{name}`");
        let rows = rows(3);
        let row = rows.iter().find(|row| row[0] == code);
        let row = row.unwrap_or_else(|| panic!("the page lacks {name}"));
        assert_eq!(row[1], default.to_lowercase(), "{name}");
        let Some((least, most)) = row[2].split_once(" to ") else {
            continue;
        };
        let (least, most): (u64, u64) = (least.parse().unwrap(), most.parse().unwrap());
        let beyond = [Some(most + 1), least.checked_sub(1)];
        for number in beyond.into_iter().flatten() {
            let said = said(with(name, number));
            assert!(said.starts_with(&format!("{name} must be")), "{said}");
        }
        let allowed = if name == "back_off_min_ms" {
            [least, 10_000]
        } else {
            [least, most]
        };
        for number in allowed {
            assert_eq!(
                said(with(name, number)),
                "hosts must name at least one host"
            );
        }
    }
}

#[test]
fn every_call() {
    let source = include_str!("../src/client.rs");
    let (_, calls) = source.split_once("\ncalls! {").unwrap();
    let names = calls
        .lines()
        .filter_map(|line| line.trim().strip_prefix("fn "));
    let names: Vec<_> = names.filter_map(|line| line.split_once('(')).collect();
    assert!(names.len() > 20);
    let described: String = rows(1).concat().concat();
    for (name, _) in names {
        assert!(
            described.contains(&format!("`{name}`")),
            "the page lacks {name}"
        );
    }
}
