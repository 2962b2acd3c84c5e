//! `cargo xtask tidy`: the rules of design.md §1 and house-style.md §4 that neither cargo nor clippy checks.
//!
//! Each rule is a function from the tree's files to violations, so that its test can plant one.

mod borders;
mod crates;
mod files;
mod source;
mod wire;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::process::{output, root};

/// A text file of the tree.
struct File {
    /// From the workspace's folder, with `/`.
    path: String,
    text: String,
}

/// What breaks a rule, and where.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    /// From 1; 0 = the file as a whole.
    line: usize,
    message: String,
}

type Rule = fn(&[File]) -> Vec<Violation>;

const RULES: &[Rule] = &[
    files::lengths,
    files::module_comments,
    files::unfinished,
    files::silenced_lints,
    files::machine_paths,
    files::lock_files,
    borders::third_parties,
    borders::serde_derives,
    words::forbidden,
    crates::arrows,
    crates::npm_version,
    wire::documented,
];

/// Checks all rules; violations are printed, and are an error together.
pub(crate) fn run() -> anyhow::Result<()> {
    let files = tree()?;
    let violations: Vec<_> = RULES.iter().flat_map(|rule| rule(&files)).collect();
    for violation in &violations {
        println!(
            "{}:{}: {}",
            violation.path, violation.line, violation.message
        );
    }
    if !violations.is_empty() {
        bail!("{} violations", violations.len());
    }
    println!("{} files, no violation", files.len());
    Ok(())
}

/// Tracked files and new ones that are not ignored; those that are no text are left out.
fn tree() -> anyhow::Result<Vec<File>> {
    let root = root();
    let listed = output(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&root),
    )
    .context("tidy needs a git checkout")?;
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| read(&root, path))
        .collect())
}

fn read(root: &Path, path: &str) -> Option<File> {
    let text = std::fs::read_to_string(root.join(PathBuf::from(path))).ok()?;
    Some(File {
        path: path.to_owned(),
        text,
    })
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn violation(&self, line: usize, message: impl Into<String>) -> Violation {
        Violation {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }
}

/// For the rules' tests: the violated lines of one file.
#[cfg(test)]
#[track_caller]
fn check(rule: Rule, path: &str, text: &str, expected: &[usize]) {
    let files = [File {
        path: path.to_owned(),
        text: text.to_owned(),
    }];
    let found = rule(&files);
    let lines: Vec<_> = found.iter().map(|violation| violation.line).collect();
    assert_eq!(lines, expected, "{path}: {found:?}");
}
