//! The two programs after the compiler: wasm-bindgen, which writes the JavaScript, and wasm-opt, which makes it small. Both are
//! pinned and kept in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::process::{cache_dir, cargo, root, run};

/// wasm-opt's version. Distributions have some that don't know the instructions of today's compilers.
const BINARYEN: &str = "132.0.0";

/// What the optimizer may use: what the compiler uses anyway, in every browser of the last years.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Writes the module and its JavaScript and TypeScript into a folder.
pub(super) fn bind(built: &Path, folder: &Path, name: &str) -> anyhow::Result<()> {
    run(Command::new(wasm_bindgen()?)
        .args(["--target", "web", "--out-name", name, "--out-dir"])
        .arg(folder)
        .arg(built))?;
    // So that Node, too, takes the JavaScript for what it is.
    std::fs::write(folder.join("package.json"), "{ \"type\": \"module\" }\n")?;
    Ok(())
}

/// Makes a module as small as it gets, in its place.
pub(super) fn optimize(module: &Path) -> anyhow::Result<()> {
    let smaller = module.with_extension("small");
    run(Command::new("node")
        .arg(wasm_opt()?)
        .arg(module)
        .args(FEATURES)
        .args(["-Oz", "--flatten", "--rereloop", "-Oz", "-Oz"])
        .args([
            "--strip-debug",
            "--strip-producers",
            "--strip-target-features",
        ])
        .arg("-o")
        .arg(&smaller))?;
    std::fs::rename(&smaller, module)?;
    Ok(())
}

/// The program of the library's version: another one refuses its modules.
fn wasm_bindgen() -> anyhow::Result<PathBuf> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let version = locked_version(&lock, "wasm-bindgen").context("Cargo.lock has wasm-bindgen")?;
    let folder = cache_dir()?.join(format!("tool-wasm-bindgen-cli-{version}"));
    let program = folder.join("bin/wasm-bindgen");
    if !program.is_file() {
        println!("building wasm-bindgen {version} (two to five minutes, once)");
        // Not its lock file: a mirror of the registry may lack a version that it names. No defaults: they are for the network.
        run(
            cargo(&["install", "wasm-bindgen-cli", "--quiet", "--debug"])
                .args(["--no-default-features", "--version", &version, "--root"])
                .arg(&folder),
        )?;
    }
    Ok(program)
}

fn locked_version(lock: &str, name: &str) -> Option<String> {
    let lock: toml::Table = lock.parse().ok()?;
    let packages = lock.get("package")?.as_array()?;
    let package = packages
        .iter()
        .find(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))?;
    Some(package.get("version")?.as_str()?.to_owned())
}

/// npm's build of Binaryen, which runs wherever Node does.
fn wasm_opt() -> anyhow::Result<PathBuf> {
    let folder = cache_dir()?.join(format!("tool-binaryen-{BINARYEN}"));
    let program = folder.join("node_modules/binaryen/bin/wasm-opt");
    if !program.is_file() {
        println!("installing binaryen {BINARYEN} (once)");
        std::fs::create_dir_all(&folder)?;
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg(format!("binaryen@{BINARYEN}")))?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_a_lock_file() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0.0\"\n[[package]]\nname = \"a\"\nversion = \"2.0.1\"\n";
        assert_eq!(locked_version(lock, "a").as_deref(), Some("2.0.1"));
        assert_eq!(locked_version(lock, "c"), None);
    }
}
