//! Runs the Rust tests and counts them from what the runner prints.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::Context as _;

use super::{Ending, Tally};
use crate::process::{cargo, find_program, nats_server};

/// Runs all tests of the workspace, documentation examples included.
pub(super) fn run_all(tally: &mut Tally) -> anyhow::Result<Ending> {
    if find_program("cargo-nextest").is_none() {
        return run_counted(&["test", "--workspace", "--no-fail-fast"], tally);
    }
    let unit = run_counted(&["nextest", "run", "--workspace", "--no-fail-fast"], tally)?;
    let documentation = run_counted(&["test", "--workspace", "--doc"], tally)?;
    Ok(match (unit, documentation) {
        (Ending::Passed, ending) | (ending, _) => ending,
    })
}

fn run_counted(arguments: &[&str], tally: &mut Tally) -> anyhow::Result<Ending> {
    let mut command = cargo(arguments);
    // Without it, tests of the cluster are skipped by name, or fail where nothing may be skipped.
    if let Ok(program) = nats_server() {
        command.env("COMETQL_NATS_SERVER", program);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("the output was asked for")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        count(&line, tally);
    }
    let status = child.wait()?;
    Ok(if status.success() {
        Ending::Passed
    } else {
        Ending::Failed(format!("cargo {} ended with {status}", arguments[0]))
    })
}

/// Adds up lines like `test result: ok. 3 passed; 0 failed; 1 ignored; …` (cargo test) and
/// `Summary [ 1.2s] 3 tests run: 3 passed, 1 skipped` (nextest).
fn count(line: &str, tally: &mut Tally) {
    let line = line.trim();
    if !line.starts_with("test result:") && !line.starts_with("Summary [") {
        return;
    }
    let words: Vec<&str> = line
        .split([' ', ';', ','])
        .filter(|word| !word.is_empty())
        .collect();
    for pair in words.windows(2) {
        let Ok(number) = pair[0].parse::<usize>() else {
            continue;
        };
        match pair[1] {
            "passed" => tally.passed += number,
            "failed" => tally.failed += number,
            "ignored" | "skipped" => tally.skipped += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: (usize, usize, usize)) {
        let mut tally = Tally::default();
        count(line, &mut tally);
        assert_eq!((tally.passed, tally.failed, tally.skipped), expected);
    }

    #[test]
    fn runners_are_understood() {
        check(
            "test result: ok. 31 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            (31, 2, 1),
        );
        check(
            "     Summary [   0.512s] 12 tests run: 11 passed, 1 failed, 3 skipped",
            (11, 1, 3),
        );
        check("running 4 tests", (0, 0, 0));
    }
}
