//! Rules about where a name from outside may stand: third-party crates in their one place, serde at the borders.

use super::source::code_only;
use super::{File, Violation};

/// A third-party crate and the only places that may know it (design.md §1 rule 4).
const THIRD_PARTIES: &[(&str, &[&str])] = &[
    ("sqlparser", &["server/src/cometql/"]),
    (
        "rusqlite",
        &[
            "server/src/storage/",
            "server/src/cometql/select",
            "server/tests/",
        ],
    ),
    ("mysql_common", &["server/src/mysql/"]),
    (
        "mysql_async",
        &["sdk-gen/src/", "server/src/cli/", "server/tests/"],
    ),
    (
        "jsonwebtoken",
        &[
            "sdk-gen/src/tokens.rs",
            "server/src/auth/",
            "server/src/cli/",
            "server/tests/",
        ],
    ),
    ("tungstenite", &["server/src/websocket/", "server/tests/"]),
    ("async_nats", &["server/src/cluster/", "server/tests/"]),
    ("prometheus", &["server/src/metrics"]),
    ("comfy_table", &["server/src/cli/"]),
    ("rustyline", &["server/src/cli/"]),
    ("toml", &["server/src/config"]),
];

/// Where types may derive serde (design.md §1 rule 7): each of these owns a format.
const SERDE_BORDERS: &[&str] = &[
    "protocol/src/wire",
    "server/src/storage/",
    "server/src/cluster/",
    "server/src/config",
    "server/src/auth/",
    "server/src/legacy/",
    "server/src/admin/",
    "server/src/http/",
    "server/src/websocket/",
    "server/tests/",
    "xtask/",
];

/// A third-party name appears in its one place.
pub(super) fn third_parties(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| is_ours(file)) {
        let code = code_only(&file.text);
        for (at, line) in code.lines().enumerate() {
            for (name, places) in THIRD_PARTIES {
                if names_crate(line, name) && !stands_in(file, places) {
                    found.push(file.violation(
                        at + 1,
                        format!("`{name}` is known only to {}", places.join(", ")),
                    ));
                }
            }
        }
    }
    found
}

/// Only border files derive serde's traits.
pub(super) fn serde_derives(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        if stands_in(file, SERDE_BORDERS) {
            continue;
        }
        let code = code_only(&file.text);
        for (at, line) in code.lines().enumerate() {
            if line.contains("derive(")
                && (line.contains("Serialize") || line.contains("Deserialize"))
            {
                found.push(file.violation(
                    at + 1,
                    "only border files derive serde (design.md §1 rule 7)",
                ));
            }
        }
    }
    found
}

fn is_ours(file: &File) -> bool {
    file.is_rust()
        && ["server/", "engine/", "protocol/"]
            .iter()
            .any(|folder| file.path.starts_with(folder))
}

fn stands_in(file: &File, places: &[&str]) -> bool {
    places.iter().any(|place| file.path.starts_with(place))
}

/// `name::…` or `use name;`, as a crate's name.
fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + name.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            && (after.starts_with("::") || after.starts_with(';') || after.starts_with(" as "))
    })
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn third_parties_outside_of_their_place() {
        let line = "//! A.\nuse sqlparser::ast::Statement;\n";
        check(third_parties, "server/src/mysql/shim.rs", line, &[2]);
        check(third_parties, "server/src/cometql/parse.rs", line, &[]);
        check(
            third_parties,
            "server/src/hub.rs",
            "fn f() -> rusqlite::Result<()> {}\n",
            &[1],
        );
        check(
            third_parties,
            "server/src/hub.rs",
            "// rusqlite::x\nlet a = my::toml::b();\n",
            &[],
        );
    }

    #[test]
    fn serde_in_the_middle() {
        let line = "//! A.\n#[derive(Debug, Deserialize)]\nstruct A;\n";
        check(serde_derives, "engine/src/ids.rs", line, &[2]);
        check(serde_derives, "protocol/src/wire/request.rs", line, &[]);
    }
}
