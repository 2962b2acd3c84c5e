//! A Swift toolchain: the one on PATH, else that of a newer Debian, in a folder of the cache in which its programs run (chroot).
//!
//! That folder takes 3 GB and some minutes once. It is made only by root, from the mirror that this machine's own apt uses.
//! `COMETQL_SWIFT=skip` says no to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process::{
    cache_dir, find_program, install_packages, output, root, run as run_command, target_dir,
};

/// The release of Debian that has Swift.
const RELEASE: &str = "trixie";

/// Swift, and what it needs to link programs.
const PACKAGES: &[&str] = &[
    "swiftlang",
    "libc6-dev",
    "libstdc++-14-dev",
    "libncurses-dev",
];

/// Whose signature the packages must carry.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What a folder that was made to its end contains; changed when it has to be made anew.
const STAMP: &str = "cometql swift 1\n";

/// Runs a program in the folder `$1`, where the folders `$2` and `$3` are what they are outside, in the folder `$4`. Its mounts
/// and what it leaves running end with it.
const RUN_INSIDE: &str = r#"set -e
inside=$1 sources=$2 target=$3 folder=$4
shift 4
mount -t proc proc "$inside/proc"
mount -t tmpfs tmpfs "$inside/tmp"
mount --rbind /dev "$inside/dev"
for shared in "$sources" "$target"; do
    mkdir -p "$inside$shared"
    mount --bind "$shared" "$inside$shared"
done
exec chroot "$inside" sh -c 'cd "$1" && shift && exec "$@"' sh "$folder" "$@"
"#;

/// Where `swift` is.
pub(super) enum Toolchain {
    /// On PATH.
    Installed,
    /// In a folder with a Debian of its own.
    Inside(PathBuf),
}

impl Toolchain {
    /// The one that is there, or is fetched now; or why there is none.
    pub(super) fn get() -> anyhow::Result<Result<Self, String>> {
        if std::env::var("COMETQL_SWIFT").is_ok_and(|value| value == "skip") {
            return Ok(Err("COMETQL_SWIFT=skip".to_owned()));
        }
        if find_program("swift").is_some() {
            return Ok(Ok(Self::Installed));
        }
        let folder = cache_dir()?.join(format!("swift-{RELEASE}"));
        let found = Self::Inside(folder.clone());
        if found.works(&folder) {
            return Ok(Ok(found));
        }
        if let Some(why) = cannot_fetch()? {
            return Ok(Err(format!("no swift is on PATH, and {why}")));
        }
        match fetch(&folder) {
            Ok(()) => Ok(Ok(found)),
            Err(error) => Ok(Err(format!(
                "no swift is on PATH, and Debian's can't be fetched: {error:#}"
            ))),
        }
    }

    /// `swift` in a folder below the sources or the target folder.
    pub(super) fn swift(&self, folder: &Path) -> Command {
        match self {
            Self::Installed => {
                let mut command = Command::new("swift");
                command.current_dir(folder);
                command
            }
            Self::Inside(inside) => {
                let mut command = enter(inside, folder);
                command.arg("swift").env("HOME", "/tmp");
                command
            }
        }
    }

    fn works(&self, folder: &Path) -> bool {
        let stamp = std::fs::read_to_string(folder.join("stamp")).unwrap_or_default();
        stamp == STAMP && output(self.swift(&root()).arg("--version")).is_ok()
    }
}

fn enter(inside: &Path, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child"])
        .args(["sh", "-c", RUN_INSIDE, "swift"])
        .args([inside, &root(), &target_dir(), folder]);
    command
}

/// What fetching needs and this machine has not.
fn cannot_fetch() -> anyhow::Result<Option<String>> {
    let lacks = |what: &str| Ok(Some(format!("Debian's needs {what}")));
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        return lacks("root to be fetched");
    }
    if find_program("apt-get").is_none() {
        return lacks("apt-get to be fetched");
    }
    if find_program("debootstrap").is_none() {
        install_packages(&["debootstrap"]);
    }
    for program in ["debootstrap", "unshare", "chroot"] {
        if find_program(program).is_none() {
            return lacks(program);
        }
    }
    if !Path::new(KEYRING).is_file() {
        return lacks(KEYRING);
    }
    Ok(None)
}

/// Makes the folder under another name first, so that it is never there in half.
fn fetch(folder: &Path) -> anyhow::Result<()> {
    println!(
        "fetching Swift from Debian {RELEASE} into {}: 3 GB, some minutes (COMETQL_SWIFT=skip to go without)",
        folder.display()
    );
    let new = folder.with_extension(format!("new-{}", std::process::id()));
    remove(&new)?;
    let made = bootstrap(&new);
    if made.is_ok() {
        remove(folder)?;
        std::fs::rename(&new, folder)?;
    } else {
        remove(&new)?;
    }
    made
}

fn bootstrap(new: &Path) -> anyhow::Result<()> {
    let mirror = mirror()?;
    println!("swift 1/3: the least of Debian {RELEASE}");
    // Its own mounts end with it, however it ends.
    run_command(
        Command::new("unshare")
            .args(["--mount", "debootstrap", "--variant=minbase"])
            .arg(format!("--keyring={KEYRING}"))
            .arg(RELEASE)
            .arg(new)
            .arg(mirror)
            .stdout(std::process::Stdio::null()),
    )?;
    std::fs::copy("/etc/resolv.conf", new.join("etc/resolv.conf"))?;
    println!("swift 2/3: {}", PACKAGES.join(", "));
    run_inside(new, &["apt-get", "update", "-qq"])?;
    let install = ["apt-get", "install", "-qq", "--no-install-recommends"];
    run_inside(new, &[&install, PACKAGES].concat())?;
    run_inside(new, &["apt-get", "clean"])?;
    println!("swift 3/3: does it run?");
    run_inside(new, &["swift", "--version"])?;
    std::fs::write(new.join("stamp"), STAMP)?;
    Ok(())
}

fn run_inside(inside: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = enter(inside, &root());
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::process::Stdio::null());
    run_command(&mut command)
}

/// The archive of Debian that this machine uses. It may be a private one: it is told to nobody.
fn mirror() -> anyhow::Result<String> {
    let uses = || {
        output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(LABEL) $(REPO_URI)",
            "Created-By: Packages",
        ]))
    };
    let mut found = archive(&uses()?);
    if found.is_none() {
        // Names of archives are known once their lists were read.
        run_command(Command::new("apt-get").args(["update", "-qq"]))?;
        found = archive(&uses()?);
    }
    found.context("this machine's apt uses no archive of Debian")
}

/// The one that is called `Debian`, not `Debian-Security` or somebody else's.
fn archive(targets: &str) -> Option<String> {
    let mut lines = targets.lines();
    let address = lines.find_map(|line| line.strip_prefix("Debian "))?;
    Some(address.trim().to_owned())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    // What somebody has mounted there stays.
    run_command(
        Command::new("rm")
            .args(["-rf", "--one-file-system"])
            .arg(folder),
    )?;
    ensure!(!folder.exists(), "{} can't be removed", folder.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_debians_own() {
        let targets =
            "Debian-Security http://a/security/\nOther http://b/\nDebian http://c/debian/\n";
        assert_eq!(archive(targets).as_deref(), Some("http://c/debian/"));
        assert_eq!(archive("Ubuntu http://d/\n"), None);
    }
}
