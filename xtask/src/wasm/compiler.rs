//! Which compiler builds for browsers: rustup's where it has the target, else the distribution's, whose sources of the
//! standard library are then built once and kept in the cache. Builds nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::TARGET;
use crate::process::{
    cache_dir, cargo, cargo_at, find_program, install_packages, output, root, run, target_dir,
};

/// Where Debian and others put theirs.
const DISTRIBUTION: &str = "/usr/bin";

/// The packages of Debian: its newest compiler and the library's sources.
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// How to build.
pub(super) enum Compiler {
    /// The cargo that runs us: it has the target.
    Ours,
    /// The distribution's, with a library built for the target and a linker for it.
    Distribution { sysroot: PathBuf, linker: PathBuf },
}

/// A compiler that can build for browsers, else what is missing and how to get it.
pub(super) fn find() -> anyhow::Result<Result<Compiler, String>> {
    let ours = sysroot(Path::new("rustc"))?;
    if has_target(&ours) {
        return Ok(Ok(Compiler::Ours));
    }
    if !is_usable()? {
        install_packages(PACKAGES);
    }
    if !is_usable()? {
        return Ok(Err(format!(
            "no compiler for WebAssembly (rustup target add {TARGET}, or apt-get install {})",
            PACKAGES.join(" ")
        )));
    }
    let Some(linker) = linker(&ours)? else {
        return Ok(Err(
            "no linker for WebAssembly (rustup's rust-lld, or apt-get install lld)".to_owned(),
        ));
    };
    let sysroot = library()?;
    Ok(Ok(Compiler::Distribution { sysroot, linker }))
}

impl Compiler {
    /// For people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ours => "the installed target",
            Self::Distribution { .. } => "the distribution's compiler",
        }
    }

    /// A cargo that builds for browsers, in a folder of its own: the two compilers would throw away each other's work.
    pub(super) fn cargo(&self, subcommand: &str) -> Command {
        let arguments = [subcommand, "--locked", "--target", TARGET];
        let mut flags = without_paths();
        let mut command = match self {
            Self::Ours => cargo(&arguments),
            Self::Distribution { sysroot, linker } => {
                let mut command = distribution(&arguments);
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                flags.push(format!("--sysroot={}", sysroot.display()));
                command
            }
        };
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        command.arg("--target-dir").arg(target_dir().join("wasm"));
        command
    }

    /// The path of something built.
    pub(super) fn built(&self, file: &str) -> PathBuf {
        target_dir().join("wasm").join(TARGET).join(file)
    }
}

/// Flags that keep the folders of this machine out of the module, where panics would name them: it is shipped.
fn without_paths() -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let registries = home.map(|home| std::fs::read_dir(home.join("registry/src")));
    let folders = registries.into_iter().flatten().flatten().flatten();
    let mut folders: Vec<_> = folders.map(|entry| entry.path()).collect();
    folders.sort();
    folders
        .into_iter()
        .map(|folder| format!("--remap-path-prefix={}=", folder.display()))
        .collect()
}

/// The distribution's cargo, without what rustup's told us.
fn distribution(arguments: &[&str]) -> Command {
    let folder = Path::new(DISTRIBUTION);
    let mut command = cargo_at(&folder.join("cargo"), arguments);
    command
        .env("RUSTC", folder.join("rustc"))
        .env("RUSTDOC", folder.join("rustdoc"))
        .env_remove("RUSTC_WRAPPER")
        .env_remove("LD_LIBRARY_PATH");
    command
}

/// Whether the distribution's compiler is new enough and has the library's sources.
fn is_usable() -> anyhow::Result<bool> {
    let rustc = Path::new(DISTRIBUTION).join("rustc");
    let all_there = rustc.is_file() && Path::new(DISTRIBUTION).join("cargo").is_file();
    if !all_there {
        return Ok(false);
    }
    let sources = sysroot(&rustc)?.join("lib/rustlib/src/rust/library/std");
    Ok(sources.is_dir() && release(&rustc)? >= least_release()?)
}

/// The library for the target, from the cache or built into it.
fn library() -> anyhow::Result<PathBuf> {
    let rustc = Path::new(DISTRIBUTION).join("rustc");
    let distributed = sysroot(&rustc)?;
    if has_target(&distributed) {
        return Ok(distributed);
    }
    let version = output(Command::new(&rustc).arg("--version"))?;
    let key: Vec<_> = version
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty())
        .take(3)
        .collect();
    let finished = cache_dir()?.join(format!("wasm-library-{}", key.join("-")));
    if !finished.is_dir() {
        println!("building Rust's library for {TARGET} (one to three minutes, once)");
        build_library(&finished)?;
    }
    Ok(finished)
}

/// Builds an empty crate with the library from its sources, and keeps the library.
fn build_library(finished: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(cache_dir()?)?;
    let source = folder.path().join("crate");
    std::fs::create_dir_all(source.join("src"))?;
    std::fs::write(source.join("src/lib.rs"), "#![no_std]\n")?;
    std::fs::write(
        source.join("Cargo.toml"),
        "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
         [profile.release]\nopt-level = \"z\"\npanic = \"abort\"\ncodegen-units = 1\n",
    )?;
    let mut build = distribution(&["build", "--release", "--target", TARGET]);
    build
        .args(["-Zbuild-std=std,panic_abort", "--target-dir"])
        .arg(folder.path().join("target"))
        .current_dir(&source)
        // A released compiler builds its own library: that is all that this permits here.
        .env("RUSTC_BOOTSTRAP", "1")
        // The library takes part in the optimization of the whole module.
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            [vec!["-Cembed-bitcode=yes".to_owned()], without_paths()]
                .concat()
                .join("\x1f"),
        );
    run(&mut build)?;
    let built = folder
        .path()
        .join("target")
        .join(TARGET)
        .join("release/deps");
    let sysroot = folder.path().join("sysroot");
    let to = libraries(&sysroot);
    std::fs::create_dir_all(&to)?;
    for entry in std::fs::read_dir(&built)? {
        let file = entry?.path();
        let name = file.file_name().context("a file has a name")?;
        if file.extension().is_some_and(|end| end == "rlib") {
            std::fs::copy(&file, to.join(name))?;
        }
    }
    ensure!(has_target(&sysroot), "no library was built");
    // Whoever was faster has made the same.
    match std::fs::rename(&sysroot, finished) {
        Err(error) if !finished.is_dir() => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `wasm-ld`: rustup's linker goes by the name under which it is called.
fn linker(ours: &Path) -> anyhow::Result<Option<PathBuf>> {
    let verbose = output(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let host = verbose
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say for what it builds")?;
    let rustup = ours.join("lib/rustlib").join(host).join("bin/rust-lld");
    if !rustup.is_file() {
        return Ok(find_program("wasm-ld"));
    }
    // Cargo builds everything anew when the linker's path changes, so it must not.
    let link = cache_dir()?.join("bin/wasm-ld");
    if std::fs::read_link(&link).ok().as_ref() != Some(&rustup) {
        std::fs::create_dir_all(link.parent().context("it lies in a folder")?)?;
        _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&rustup, &link)?;
    }
    Ok(Some(link))
}

fn libraries(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(TARGET).join("lib")
}

fn has_target(sysroot: &Path) -> bool {
    let files = std::fs::read_dir(libraries(sysroot));
    files.is_ok_and(|mut files| {
        files.any(|file| {
            file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

fn sysroot(rustc: &Path) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(rustc);
    let path = output(command.args(["--print", "sysroot"]).current_dir(root()))?;
    Ok(PathBuf::from(path.trim()))
}

/// The version of a compiler.
fn release(rustc: &Path) -> anyhow::Result<(u32, u32)> {
    let told = output(Command::new(rustc).arg("--version"))?;
    let version = told.split(' ').nth(1).context("rustc tells no version")?;
    version_of(version).context("rustc's version is none")
}

/// The version that the workspace needs.
fn least_release() -> anyhow::Result<(u32, u32)> {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let version = manifest["workspace"]["package"]["rust-version"].as_str();
    version
        .and_then(version_of)
        .context("Cargo.toml names the Rust version")
}

fn version_of(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        #[track_caller]
        fn check(text: &str, expected: Option<(u32, u32)>) {
            assert_eq!(version_of(text), expected, "{text}");
        }
        check("1.95", Some((1, 95)));
        check("1.96.0", Some((1, 96)));
        check("nightly", None);
        assert!(least_release().is_ok());
    }

    #[test]
    fn a_folder_without_the_library_has_no_target() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_target(folder.path()));
        let to = libraries(folder.path());
        std::fs::create_dir_all(&to).unwrap();
        std::fs::write(to.join("libcore-1.rlib"), "").unwrap();
        assert!(!has_target(folder.path()));
        std::fs::write(to.join("libstd-1.rlib"), "").unwrap();
        assert!(has_target(folder.path()));
    }
}
