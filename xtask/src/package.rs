//! `cargo xtask npm`: the npm package, `npm/dist`, and its tests. Node and npm do the work; what they do is in
//! `npm/package.json` and `npm/build.mjs`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::ci::{Ending, Tally};
use crate::process::{find_program, root, run as run_command, target_dir};

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
    ensure!(
        module().is_file(),
        "there is no {}: run cargo xtask wasm first",
        module().display()
    );
    build()
}

/// As a step of `cargo xtask ci`, after the one that builds the module.
pub(crate) fn step(tally: &mut Tally) -> anyhow::Result<Ending> {
    if let Some(missing) = missing() {
        return Ok(Ending::Skipped(missing));
    }
    install()?;
    test(tally)?;
    if !module().is_file() {
        return Ok(Ending::Skipped(
            "tested, but not built: there is no WebAssembly module (cargo xtask wasm)".to_owned(),
        ));
    }
    build()?;
    Ok(Ending::Passed)
}

fn folder() -> PathBuf {
    root().join("npm")
}

/// What `cargo xtask wasm` makes.
fn module() -> PathBuf {
    target_dir().join("wasm/pkg/cometql_bg.wasm")
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
    let modules = module();
    let modules = modules.parent().context("the module is in a folder")?;
    run_command(npm(&["run", "--silent", "build"]).env("COMETQL_WASM", modules))
}
