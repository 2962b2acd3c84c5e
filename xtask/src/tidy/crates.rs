//! The arrows between our crates (design.md §1): who may depend on whom. And the one version of all packages.

use super::{File, Violation};

/// A crate's folder, those of ours that it may name, and those that its tests may name, too.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("protocol", &[], &[]),
    ("engine", &["cometql-protocol"], &[]),
    ("server", &["cometql-engine", "cometql-protocol"], &[]),
    ("client-wasm", &["cometql-protocol"], &[]),
    (
        "sdk-gen",
        &["cometql-protocol"],
        &["cometql-engine", "cometql-server"],
    ),
    ("xtask", &[], &[]),
];

/// Files of the npm package that have its version.
const NPM: &[&str] = &["npm/package.json", "npm/package-lock.json"];

/// No crate depends on one that it must not know.
pub(super) fn arrows(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        let arrow = ARROWS.iter().find(|(name, ..)| *name == folder);
        let (always, in_tests) = arrow.map_or((&[][..], &[][..]), |(_, one, two)| (*one, *two));
        for (section, name) in our_dependencies(&file.text) {
            let for_tests = section == "dev-dependencies" && in_tests.contains(&&*name);
            if !always.contains(&&*name) && !for_tests {
                found.push(file.violation(0, format!("{folder} must not depend on {name}")));
            }
        }
    }
    found
}

fn our_dependencies(manifest: &str) -> Vec<(&'static str, String)> {
    let Ok(manifest) = manifest.parse::<toml::Table>() else {
        return vec![("", "(it can't be read)".to_owned())];
    };
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| Some((section, manifest.get(section)?.as_table()?)))
        .flat_map(|(section, names)| names.keys().map(move |name| (section, name.clone())))
        .filter(|(_, name)| name.starts_with("cometql-"))
        .collect()
}

/// The npm package has the version of the workspace, from which all other packages take theirs.
pub(super) fn npm_version(files: &[File]) -> Vec<Violation> {
    let ours = env!("CARGO_PKG_VERSION");
    let differs = |file: &&File| {
        let package = serde_json::from_str::<serde_json::Value>(&file.text);
        NPM.contains(&&*file.path) && package.is_ok_and(|package| package["version"] != ours)
    };
    let wrong = files.iter().filter(differs);
    let told = |file: &File| file.violation(0, format!("the version is {ours} everywhere"));
    wrong.map(told).collect()
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
        check(arrows, "sdk-gen/Cargo.toml", test_only, &[]);
        let always = "[dependencies]\ncometql-server.workspace = true\n";
        check(arrows, "sdk-gen/Cargo.toml", always, &[0]);
    }

    #[test]
    fn another_version_of_the_npm_package() {
        let ours = format!(r#"{{"version": "{}"}}"#, env!("CARGO_PKG_VERSION"));
        check(npm_version, "npm/package.json", &ours, &[]);
        let other = r#"{"version": "9.9.9"}"#;
        check(npm_version, "npm/package.json", other, &[0]);
        check(npm_version, "other/package.json", other, &[]);
    }
}
