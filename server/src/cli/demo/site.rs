//! More pages for `cometql demo`: copied from a folder, with a file that tells them about the node.

use std::io;
use std::path::Path;

use anyhow::Context as _;

/// Where they are, in the folder that is served and in URLs.
pub(super) const FOLDER: &str = "demo";
/// The file that tells them about the node.
const FACTS: &str = "demo.json";

/// Copies the pages, or removes those of an earlier run when there are none.
pub(super) fn copy(from: Option<&Path>, to: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error)?,
        _ => {}
    }
    let Some(from) = from else {
        return Ok(());
    };
    copy_folder(from, to).with_context(|| format!("can't copy {}", from.display()))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Tells the pages about the node.
pub(super) fn describe(files: &Path, facts: &serde_json::Value) -> io::Result<()> {
    std::fs::write(files.join(FOLDER).join(FACTS), facts.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_an_earlier_run_go() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir_all(from.join("below")).unwrap();
        std::fs::write(from.join("below/page"), "new").unwrap();
        std::fs::create_dir_all(to.join("old")).unwrap();
        copy(Some(&from), &to).unwrap();
        assert_eq!(std::fs::read(to.join("below/page")).unwrap(), b"new");
        assert!(!to.join("old").exists());
        copy(None, &to).unwrap();
        assert!(!to.exists());
    }
}
