//! A small disk of its own for a NATS server, that can be filled. Only root may mount it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::world::nats_store;
use crate::process::output;

/// It is unmounted when this is dropped.
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// The disk of a NATS server that is not started yet; none where we may not.
    pub(super) fn mount(folder: &Path, server: usize) -> anyhow::Result<Option<Self>> {
        let store = nats_store(folder, server);
        std::fs::create_dir_all(&store)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256m", "none"]);
        Ok(output(mount.arg(&store)).is_ok().then_some(Self(store)))
    }

    /// Leaves no room.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        let mut file = std::fs::File::create(self.ballast())?;
        let piece = vec![0; 64 << 10];
        // The error that is wanted here: no space is left.
        while file.write_all(&piece).is_ok() {}
        Ok(())
    }

    /// Gives it back.
    pub(super) fn make_room(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server that uses it may be ended after this.
        _ = output(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_and_then_again() {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(folder.path(), 0).unwrap() else {
            eprintln!("skipped: only root may mount");
            return;
        };
        disk.fill().unwrap();
        let file = nats_store(folder.path(), 0).join("a");
        assert!(std::fs::write(&file, "a").is_err());
        disk.make_room().unwrap();
        std::fs::write(&file, "a").unwrap();
    }
}
