//! What licences ask of everybody who gives a built program or library to others: the texts of the licences of all packages
//! that are linked into it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::process::{cargo, output, root, target_dir};

/// The file with them, wherever it is put.
pub(crate) const FILE: &str = "THIRD-PARTY.txt";

/// Of what.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The package of this workspace that was built.
    #[arg(long, default_value = "cometql-server")]
    package: String,
    /// Where to write; `target/notices/PACKAGE/THIRD-PARTY.txt` if it is not given.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Writes the file and says where it is.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let usual = || target_dir().join("notices").join(&options.package);
    let file = options.output.clone().unwrap_or_else(|| usual().join(FILE));
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::write(&file, third_party(&options.package)?)?;
    println!("{}", file.display());
    Ok(())
}

/// Puts the workspace's own licences into a folder, and the notices of what is linked into a package of it.
pub(crate) fn put(package: &str, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        std::fs::copy(root().join(name), folder.join(name)).context(name)?;
    }
    std::fs::write(folder.join(FILE), third_party(package)?)?;
    Ok(())
}

/// A package from a registry.
struct Package {
    /// Name and version.
    name: String,
    licence: String,
    source: String,
    authors: String,
    folder: PathBuf,
}

/// The notices of what is linked into a package of this workspace.
fn third_party(package: &str) -> anyhow::Result<String> {
    let linked = linked(package)?;
    let metadata = output(&mut cargo(&["metadata", "--format-version=1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = packages(&metadata).context("cargo's metadata is not what it was")?;
    let packages: Vec<_> = packages
        .into_iter()
        .filter(|one| linked.contains(&one.name))
        .collect();
    ensure!(!packages.is_empty(), "nothing is linked into {package}");
    let mut texts: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for package in &packages {
        for text in texts_of(package)? {
            let same = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let entry = texts.entry(same).or_insert_with(|| (text, Vec::new()));
            entry.1.push(package.name.clone());
        }
    }
    Ok(written(package, &packages, texts.into_values().collect()))
}

fn written(package: &str, packages: &[Package], mut texts: Vec<(String, Vec<String>)>) -> String {
    let mut file = format!(
        "{package} {} is built from its own sources (MIT or Apache-2.0), the standard library of Rust (MIT or Apache-2.0,\n\
         https://github.com/rust-lang/rust) and these packages, whose sources are at the addresses below. Their licences follow.\n\n",
        env!("CARGO_PKG_VERSION")
    );
    for one in packages {
        file += &format!("{}: {}, {}\n", one.name, one.licence, one.source);
    }
    // What most packages share comes first.
    texts.sort_by_key(|(_, names)| (std::cmp::Reverse(names.len()), names.clone()));
    for (text, names) in texts {
        file += &format!(
            "\n{}\n{}\n\n{}\n",
            "-".repeat(80),
            names.join(", "),
            text.trim_end()
        );
    }
    file
}

/// Name and version of all that is linked into it on this system.
fn linked(package: &str) -> anyhow::Result<BTreeSet<String>> {
    let tree = output(&mut cargo(&[
        "tree",
        "--locked",
        "--package",
        package,
        "--edges=normal,no-proc-macro",
        "--prefix=none",
        "--format={p}",
    ]))?;
    Ok(tree.lines().filter_map(name_and_version).collect())
}

/// `bytes v1.12.0` and what may follow.
fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?);
    Some(format!("{name} {}", version.strip_prefix('v')?))
}

/// All that come from a registry.
fn packages(metadata: &Value) -> Option<Vec<Package>> {
    let all = metadata.get("packages")?.as_array()?;
    let foreign = all
        .iter()
        .filter(|one| one.get("source").is_some_and(Value::is_string));
    let mut packages = Vec::new();
    for one in foreign {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let authors = one
            .get("authors")?
            .as_array()?
            .iter()
            .filter_map(Value::as_str);
        let registry = format!("https://crates.io/crates/{}", text("name"));
        packages.push(Package {
            name: format!("{} {}", text("name"), text("version")),
            licence: text("license").to_owned(),
            source: Some(text("repository"))
                .filter(|url| !url.is_empty())
                .unwrap_or(&registry)
                .to_owned(),
            authors: authors.collect::<Vec<_>>().join(", "),
            folder: Path::new(text("manifest_path")).parent()?.to_owned(),
        });
    }
    Some(packages)
}

/// The texts that a package carries; where it carries none, the one that its licence means.
fn texts_of(package: &Package) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in
        std::fs::read_dir(&package.folder).with_context(|| package.folder.display().to_string())?
    {
        let path = entry?.path();
        if path.is_file()
            && path
                .file_name()
                .is_some_and(|name| is_licence(&name.to_string_lossy()))
        {
            files.push(path);
        }
    }
    files.sort();
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
    let texts = files
        .iter()
        .map(|path| Ok(String::from_utf8_lossy(&read(path)?).into_owned()));
    let texts: Vec<_> = texts.collect::<anyhow::Result<_>>()?;
    if texts.is_empty() {
        return Ok(vec![usual_text(package)?]);
    }
    Ok(texts)
}

fn is_licence(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    [
        "LICENSE",
        "LICENCE",
        "COPYING",
        "COPYRIGHT",
        "NOTICE",
        "UNLICENSE",
    ]
    .iter()
    .any(|begins| name.starts_with(begins))
}

fn usual_text(package: &Package) -> anyhow::Result<String> {
    let ours = |name: &str| std::fs::read_to_string(root().join(name)).context(name.to_owned());
    let offers = |name: &str| {
        package
            .licence
            .split([' ', '/', '(', ')'])
            .any(|word| word == name)
    };
    if offers("MIT") {
        let whose = format!("Copyright (c) {}", package.authors);
        let text = ours("LICENSE-MIT")?;
        let lines = text.lines().map(|line| {
            if line.starts_with("Copyright") {
                &whose
            } else {
                line
            }
        });
        return Ok(lines.collect::<Vec<_>>().join("\n"));
    }
    if offers("Apache-2.0") {
        return ours("LICENSE-APACHE");
    }
    if offers("MPL-2.0") {
        return Ok("This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0. If a copy of the MPL was not \
                   distributed with this file, You can obtain one at https://mozilla.org/MPL/2.0/."
            .to_owned());
    }
    bail!(
        "{} carries no text of its licence, {}",
        package.name,
        package.licence
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_linked_package_has_its_notice() {
        let file = third_party("cometql-sdk").unwrap();
        let (list, texts) = file.split_once(&"-".repeat(80)).unwrap();
        for name in linked("cometql-sdk").unwrap() {
            // The workspace's own packages are not somebody else's.
            if name.starts_with("cometql-") {
                assert!(!list.contains(&format!("\n{name}: ")), "{name}");
                continue;
            }
            assert!(list.contains(&format!("\n{name}: ")), "{name}");
            assert!(texts.contains(&name), "{name}");
        }
        assert!(list.contains("\nuniffi_core ") && !list.contains("\nuniffi_bindgen "));
        assert!(texts.contains("OpenSSL") && texts.contains("Apache License"));
    }

    #[test]
    fn packages_without_a_text_get_the_usual_one() {
        let check = |licence: &str, expected: &str| {
            let package = Package {
                name: "x 1".to_owned(),
                licence: licence.to_owned(),
                source: String::new(),
                authors: "Somebody".to_owned(),
                folder: PathBuf::new(),
            };
            let text = usual_text(&package);
            assert_eq!(
                text.is_ok_and(|text| text.contains(expected)),
                !expected.is_empty(),
                "{licence}"
            );
        };
        check("MIT", "Copyright (c) Somebody");
        check("Zlib OR MIT/Apache-2.0", "Copyright (c) Somebody");
        check("Apache-2.0 WITH LLVM-exception", "Apache License");
        check("MPL-2.0", "Mozilla");
        check("Secret", "");
    }

    #[test]
    fn lines_of_the_tree() {
        assert_eq!(
            name_and_version("bytes v1.12.0 (*)").as_deref(),
            Some("bytes 1.12.0")
        );
        assert_eq!(name_and_version(""), None);
    }
}
