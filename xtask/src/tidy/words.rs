//! One word for each idea (design.md §7): words that we don't use in identifiers.

use super::source::code_only;
use super::{File, Violation};

/// The word and what we say instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("pipe", "channel"),
    ("pipes", "channels"),
    ("topic", "channel"),
    ("room", "channel"),
    ("master", "node or sequencer"),
    ("dev", "tenant"),
];

/// CometQL's own table names and the original's protocol keep their words.
const EXEMPT: &[&str] = &["server/src/cometql/", "server/src/legacy/", "server/tests/"];

/// Names that the standard library chose, and the other sense of room.
const FOREIGN: &[&str] = &["BrokenPipe", "make_room"];

/// No forbidden word is part of an identifier; comments and texts may use them.
pub(super) fn forbidden(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| is_checked(file)) {
        let code = code_only(&file.text);
        for (at, line) in code.lines().enumerate() {
            for identifier in identifiers(line) {
                if let Some((word, instead)) = forbidden_word(identifier) {
                    found.push(file.violation(
                        at + 1,
                        format!("`{identifier}`: we say {instead}, not {word}"),
                    ));
                }
            }
        }
    }
    found
}

fn is_checked(file: &File) -> bool {
    let ours = ["server/", "engine/", "protocol/"];
    file.is_rust()
        && ours.iter().any(|folder| file.path.starts_with(folder))
        && !EXEMPT.iter().any(|folder| file.path.starts_with(folder))
}

fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

fn forbidden_word(identifier: &str) -> Option<&'static (&'static str, &'static str)> {
    if FOREIGN.contains(&identifier) {
        return None;
    }
    let words = words(identifier);
    FORBIDDEN.iter().find(|(word, _)| {
        // `dev` alone is a usual abbreviation of device and development; `dev_id` is the original's tenant.
        if *word == "dev" {
            words
                .windows(2)
                .any(|pair| pair[0] == "dev" && pair[1] == "id")
        } else {
            words.iter().any(|part| part == word)
        }
    })
}

/// `users_inPipe` → users, in, pipe.
fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in identifier.chars() {
        if c == '_' || (c.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if c != '_'
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn forbidden_words_in_identifiers() {
        check(
            forbidden,
            "server/src/hub.rs",
            "//! A.\nfn pipe_name() {}\n",
            &[2],
        );
        check(
            forbidden,
            "engine/src/shard.rs",
            "struct RoomTopic;\n",
            &[1],
        );
        check(forbidden, "server/src/hub.rs", "let devId = 1;\n", &[1]);
        check(
            forbidden,
            "server/src/hub.rs",
            "let pipeline = device; // a pipe\n",
            &[],
        );
        check(
            forbidden,
            "server/src/hub.rs",
            "Kind::BrokenPipe => \"pipe\",\n",
            &[],
        );
        check(
            forbidden,
            "server/src/legacy/frames.rs",
            "fn pipe_name() {}\n",
            &[],
        );
    }
}
