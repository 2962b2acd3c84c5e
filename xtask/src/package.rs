//! `cargo xtask npm`: the npm package, `npm/dist`, around the module of `cargo xtask wasm`, and its tests. Node and npm do
//! the work; what they do is in `npm/package.json` and `npm/build.mjs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, bail, ensure};

use crate::ci::{Ending, Tally};
use crate::process::{find_program, root, run as run_command};
use crate::wasm;

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Checks types and runs the tests, too.
    #[arg(long)]
    test: bool,
}

/// Builds, and fails if anything is missing.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(missing) = missing() {
        bail!(missing);
    }
    install()?;
    if options.test {
        test(&mut Tally::default())?;
    }
    wasm::run(&wasm::Options::default())?;
    build()
}

/// As a step of `cargo xtask ci`, after the one that builds the module.
pub(crate) fn step(tally: &mut Tally) -> anyhow::Result<Ending> {
    if let Some(missing) = missing() {
        return Ok(Ending::Skipped(missing));
    }
    install()?;
    test(tally)?;
    if !wasm::package().join("cometql_bg.wasm").is_file() {
        return Ok(Ending::Skipped(
            "tested, but not built: there is no WebAssembly module (cargo xtask wasm)".to_owned(),
        ));
    }
    build()?;
    Ok(Ending::Passed)
}

/// For other steps: builds the module, and the package into [`dist`], unless that is done; or says what is missing.
pub(crate) fn make() -> anyhow::Result<Option<String>> {
    if is_fresh() {
        return Ok(None);
    }
    println!("Building the browser client.");
    if let Some(missing) = missing() {
        return Ok(Some(missing));
    }
    if let Some(missing) = wasm::try_build()? {
        return Ok(Some(missing));
    }
    install()?;
    build()?;
    Ok(None)
}

/// Where the built package is.
pub(crate) fn dist() -> PathBuf {
    folder().join("dist")
}

fn folder() -> PathBuf {
    root().join("npm")
}

/// Whether it was built after all that it is built from was changed: its build takes some seconds also
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
    let built = changed(&dist().join("index.d.ts"));
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

fn missing() -> Option<String> {
    let name = ["node", "npm"]
        .into_iter()
        .find(|name| find_program(name).is_none())?;
    Some(format!(
        "{name} is not installed (apt-get install nodejs npm)"
    ))
}

fn npm(arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(folder());
    command
}

/// Installs what `package-lock.json` pins, when that has changed.
fn install() -> anyhow::Result<()> {
    let pins = std::fs::read(folder().join("package-lock.json"))?;
    let installed = folder().join("node_modules/.installed-pins");
    if std::fs::read(&installed).is_ok_and(|old| old == pins) {
        return Ok(());
    }
    run_command(&mut npm(&["ci", "--silent", "--no-audit", "--no-fund"]))?;
    Ok(std::fs::write(installed, pins)?)
}

fn test(tally: &mut Tally) -> anyhow::Result<()> {
    run_command(&mut npm(&["run", "--silent", "check"]))?;
    let ended = npm(&["test", "--silent"])
        .output()
        .context("cannot start npm")?;
    let report = String::from_utf8_lossy(&ended.stdout);
    let before = tally.passed;
    tally.count_in_node(&report);
    ensure!(
        ended.status.success(),
        "the tests of npm failed:\n{report}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    ensure!(tally.passed > before, "no test of npm was run");
    println!("npm in Node: {} passed", tally.passed - before);
    Ok(())
}

/// Fails, too, when a file has outgrown its limit.
fn build() -> anyhow::Result<()> {
    run_command(npm(&["run", "--silent", "build"]).env("COMETQL_WASM", wasm::package()))
}
