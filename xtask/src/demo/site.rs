//! The demos' pages beside the browser client that they use, as `cometql demo --site` serves them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::package;
use crate::process::{copy_files, root, target_dir};

/// Sources that pages link to. The name says that they are to be shown, not run.
const SHOWN: &[(&str, &str)] = &[
    ("demo/cometql.toml", "cometql.toml.txt"),
    ("demo/backend/backend.py", "backend.py.txt"),
    ("demo/backend/backend.php", "backend.php.txt"),
];

/// Where the site is when it is built.
pub(crate) fn folder() -> PathBuf {
    target_dir().join("demo-site")
}

/// Puts everything into [`folder`]. Returns what is missing for it, if something is.
pub(crate) fn build() -> anyhow::Result<Option<String>> {
    if !is_fresh() {
        println!("Building the browser client.");
        if let Some(missing) = package::try_build()? {
            return Ok(Some(missing));
        }
    }
    let folder = folder();
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    copy_files(&root().join("demo/pages"), &folder)?;
    copy_files(&package::dist(), &folder.join("cometql"))?;
    for (source, name) in SHOWN {
        std::fs::copy(root().join(source), folder.join(name))?;
    }
    Ok(None)
}

/// Whether the browser client was built after all that it is built from was changed: its build takes some seconds also
/// when there is nothing to do.
fn is_fresh() -> bool {
    let sources = [
        "Cargo.lock",
        "Cargo.toml",
        "protocol",
        "client-wasm",
        "npm/src",
        "npm/build.mjs",
        "npm/package.json",
        "npm/package-lock.json",
    ];
    // The last thing that the build writes.
    let built = changed(&package::dist().join("index.d.ts"));
    let newest = sources.iter().filter_map(|name| newest(&root().join(name)));
    built.is_some_and(|built| newest.max().is_some_and(|newest| newest < built))
}

/// When something in it was changed, added or removed last.
fn newest(path: &Path) -> Option<SystemTime> {
    let within = std::fs::read_dir(path).into_iter().flatten().flatten();
    let within = within.filter_map(|entry| newest(&entry.path()));
    within.chain(changed(path)).max()
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|facts| facts.modified())
        .ok()
}
