//! The demos' pages beside the browser client that they use, as `cometql demo --site` serves them.

use std::path::PathBuf;

use crate::package;
use crate::process::{copy_files, root, target_dir};

/// Sources that pages link to. The name says that they are to be shown, not run.
const SHOWN: &[(&str, &str)] = &[
    ("demo/cometql.toml", "cometql.toml.txt"),
    ("demo/backend/comments.py", "comments.py.txt"),
    ("demo/backend/comments.php", "comments.php.txt"),
    ("demo/backend/backend.py", "backend.py.txt"),
    ("demo/backend/backend.php", "backend.php.txt"),
];

/// Where the site is when it is built.
pub(crate) fn folder() -> PathBuf {
    target_dir().join("demo-site")
}

/// Puts everything into [`folder`]. Returns what is missing for it, if something is.
pub(crate) fn build() -> anyhow::Result<Option<String>> {
    if let Some(missing) = package::make()? {
        return Ok(Some(missing));
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
