//! The arrows between our crates (design.md §1): who may depend on whom.

use super::{File, Violation};

/// A crate's folder and those of ours that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("engine", &["cometql-protocol"]),
    ("server", &["cometql-engine", "cometql-protocol"]),
    ("client-wasm", &["cometql-protocol"]),
    // The engine and the server for tests only.
    (
        "sdk-gen",
        &["cometql-engine", "cometql-protocol", "cometql-server"],
    ),
    ("xtask", &[]),
];

/// No crate depends on one that it must not know.
pub(super) fn arrows(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        let allowed = ARROWS
            .iter()
            .find(|(name, _)| *name == folder)
            .map_or(&[] as &[&str], |(_, allowed)| *allowed);
        for name in our_dependencies(&file.text) {
            if !allowed.contains(&name.as_str()) {
                found.push(file.violation(0, format!("{folder} must not depend on {name}")));
            }
        }
    }
    found
}

fn our_dependencies(manifest: &str) -> Vec<String> {
    let Ok(manifest) = manifest.parse::<toml::Table>() else {
        return vec!["(it can't be read)".to_owned()];
    };
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|section| section.keys())
        .filter(|name| name.starts_with("cometql-"))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn arrows_that_point_the_wrong_way() {
        let engine = "[dependencies]\ncometql-engine.workspace = true\n";
        check(arrows, "protocol/Cargo.toml", engine, &[0]);
        check(arrows, "server/Cargo.toml", engine, &[]);
        let test_only = "[dev-dependencies]\ncometql-server = { path = \"../server\" }\n";
        check(arrows, "xtask/Cargo.toml", test_only, &[0]);
        check(arrows, "engine/Cargo.toml", test_only, &[0]);
    }
}
