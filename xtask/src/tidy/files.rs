//! Rules about single files: length, opening comment, unfinished work, machine paths, lock files.

use super::source::code_only;
use super::{File, Violation};

/// Most lines of a source file, tests included.
const MOST_LINES: usize = 600;

/// Endings of files that people write.
const SOURCES: &[&str] = &[
    ".rs", ".ts", ".js", ".mjs", ".py", ".php", ".java", ".css", ".html",
];

/// No source file is longer than [`MOST_LINES`].
pub(super) fn lengths(files: &[File]) -> Vec<Violation> {
    files
        .iter()
        .filter(|file| SOURCES.iter().any(|ending| file.path.ends_with(ending)))
        .filter_map(|file| {
            let lines = file.text.lines().count();
            (lines > MOST_LINES).then(|| {
                file.violation(
                    0,
                    format!("{lines} lines; the most is {MOST_LINES}: split it"),
                )
            })
        })
        .collect()
}

/// Every Rust module opens with what it owns and what it must not do; a file of unit tests belongs to its module.
pub(super) fn module_comments(files: &[File]) -> Vec<Violation> {
    files
        .iter()
        .filter(|file| file.is_rust() && !file.path.ends_with("/tests.rs"))
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| {
            file.violation(
                1,
                "a module opens with `//!`: what it owns, what it must not do",
            )
        })
        .collect()
}

/// What is not done is said in the documentation as a limit, not in a comment.
pub(super) fn unfinished(files: &[File]) -> Vec<Violation> {
    const MARKS: &[&str] = &[
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    lines_with(files, |file, line| {
        let written = SOURCES.iter().any(|ending| file.path.ends_with(ending));
        let mark = MARKS.iter().find(|mark| has_word(line, mark))?;
        written.then(|| format!("{mark}: say it in the documentation as a limit, or do it"))
    })
}

/// A lint is silenced with a reason (`#[expect(…, reason = …)]`) or not at all.
pub(super) fn silenced_lints(files: &[File]) -> Vec<Violation> {
    files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(|file| {
            let code = code_only(&file.text);
            let found: Vec<_> = code
                .lines()
                .enumerate()
                .filter(|(_, line)| line.contains("[allow("))
                .map(|(at, _)| file.violation(at + 1, "use `#[expect(…, reason = \"…\")]`"))
                .collect();
            found
        })
        .collect()
}

/// No path that exists on one machine only.
pub(super) fn machine_paths(files: &[File]) -> Vec<Violation> {
    const FOLDERS: &[&str] = &[
        concat!("/", "root/"),
        concat!("/", "work/"),
        concat!("/", "farm/"),
        concat!("/", "Users/"),
    ];
    lines_with(files, |file, line| {
        if file.path.ends_with("Cargo.lock") {
            return None;
        }
        FOLDERS
            .iter()
            .find(|folder| has_absolute(line, folder))
            .map(|folder| format!("`{folder}` exists on one machine only"))
    })
}

/// Lock files name no registry host: everybody has a registry of their own.
pub(super) fn lock_files(files: &[File]) -> Vec<Violation> {
    lines_with(files, |file, line| {
        (file.path.ends_with("package-lock.json") && line.contains("\"resolved\": \"http"))
            .then(|| "made without `omit-lockfile-registry-resolved=true`".to_owned())
    })
}

fn lines_with(files: &[File], find: impl Fn(&File, &str) -> Option<String>) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(message) = find(file, line) {
                found.push(file.violation(at + 1, message));
            }
        }
    }
    found
}

/// The path stands at the beginning of a word, so that `docs/work/` is not meant.
fn has_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || "_.-*}>".contains(c))
    })
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].chars().next_back().is_some_and(part_of_word)
            && !line[at + word.len()..]
                .chars()
                .next()
                .is_some_and(part_of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn long_files() {
        check(lengths, "a/b.rs", &"x\n".repeat(600), &[]);
        check(lengths, "a/b.rs", &"x\n".repeat(601), &[0]);
        check(lengths, "a/b.mjs", &"x\n".repeat(601), &[0]);
        check(lengths, "Cargo.lock", &"x\n".repeat(601), &[]);
    }

    #[test]
    fn modules_without_comment() {
        check(module_comments, "a.rs", "//! Owns a.\n", &[]);
        check(module_comments, "a.rs", "use b;\n", &[1]);
        check(module_comments, "a/tests.rs", "use super::*;\n", &[]);
    }

    #[test]
    fn unfinished_work() {
        check(
            unfinished,
            "a.rs",
            concat!("//! A.\n// TO", "DO: b\n"),
            &[2],
        );
        check(unfinished, "a.py", concat!("# FIX", "ME\n"), &[1]);
        check(unfinished, "a.rs", "// todo list\n", &[]);
    }

    #[test]
    fn lints_silenced_without_reason() {
        check(silenced_lints, "a.rs", "//! A.\n#[allow(x)]\n", &[2]);
        check(
            silenced_lints,
            "a.rs",
            "// #[allow(x)]\n#[expect(x, reason = \"y\")]\n",
            &[],
        );
    }

    #[test]
    fn paths_of_one_machine() {
        check(machine_paths, "a.md", concat!("see `/", "root/x`\n"), &[1]);
        check(machine_paths, "a.md", concat!("see docs/", "work/x\n"), &[]);
    }

    #[test]
    fn registry_hosts_in_lock_files() {
        let line = "      \"resolved\": \"https://registry.example/x.tgz\",\n";
        check(lock_files, "clients/node/package-lock.json", line, &[1]);
        check(lock_files, "clients/node/other.json", line, &[]);
    }
}
