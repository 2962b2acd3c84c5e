//! `cargo xtask wasm`: the browser's session as WebAssembly, `target/wasm/pkg`, and its tests.
//!
//! The compiler is rustup's where it has the target, else the distribution's (`wasm/compiler.rs`). What is built is the
//! same Rust either way; sizes differ by a few hundred bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

mod compiler;
mod tools;

use crate::ci::{Ending, Tally};
use crate::process::{find_program, output, root, run as run_command, target_dir};
use compiler::Compiler;

/// The target of browsers.
const TARGET: &str = "wasm32-unknown-unknown";

/// Most compressed bytes of the module. Together with the worker's script, which `npm` adds, 35 KiB are allowed.
const MOST_BYTES: usize = 28 << 10;

/// What to do.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Runs the module's tests in Node, too.
    #[arg(long)]
    test: bool,
}

/// Builds, and fails if anything is missing.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let compiler = match compiler::find()? {
        Ok(compiler) => compiler,
        Err(missing) => bail!(missing),
    };
    build(&compiler)?;
    if options.test {
        test(&compiler, &mut Tally::default())?;
    }
    Ok(())
}

/// For other steps: builds, or says what is missing.
pub(crate) fn try_build() -> anyhow::Result<Option<String>> {
    match compiler::find()? {
        Ok(compiler) => build(&compiler).map(|()| None),
        Err(missing) => Ok(Some(missing)),
    }
}

/// As a step of `cargo xtask ci`: also `engine` must build where there are no sockets, files or clocks, which is what
/// keeps it pure.
pub(crate) fn step(tally: &mut Tally) -> anyhow::Result<Ending> {
    let compiler = match compiler::find()? {
        Ok(compiler) => compiler,
        Err(missing) => return Ok(Ending::Skipped(missing)),
    };
    if let Some(missing) = ["node", "npm"]
        .into_iter()
        .find(|name| find_program(name).is_none())
    {
        return Ok(Ending::Skipped(format!(
            "{missing} is not installed (apt-get install nodejs npm)"
        )));
    }
    let pure = ["-p", "cometql-protocol", "-p", "cometql-engine"];
    run_command(compiler.cargo("check").args(pure))?;
    build(&compiler)?;
    test(&compiler, tally)?;
    Ok(Ending::Passed)
}

/// Where the finished module is.
pub(crate) fn package() -> PathBuf {
    target_dir().join("wasm/pkg")
}

fn build(compiler: &Compiler) -> anyhow::Result<()> {
    println!("compiling with {}", compiler.name());
    let library = ["-p", "cometql-client-wasm", "--lib", "--profile", "wasm"];
    run_command(compiler.cargo("build").args(library))?;
    let built = compiler.built("wasm/cometql_client_wasm.wasm");
    let folder = package();
    tools::bind(&built, &folder, "cometql")?;
    let module = folder.join("cometql_bg.wasm");
    tools::optimize(&module)?;
    let bytes = std::fs::read(&module)?;
    let compressed = gzip(&module)?;
    println!(
        "{}: {} bytes, {compressed} compressed",
        module.display(),
        bytes.len()
    );
    ensure!(
        compressed <= MOST_BYTES,
        "the module has {compressed} bytes compressed, more than {MOST_BYTES}"
    );
    Ok(())
}

/// Runs `client-wasm/tests` in Node, on the module and on the example that reads frames in both ways.
fn test(compiler: &Compiler, tally: &mut Tally) -> anyhow::Result<()> {
    let example = ["-p", "cometql-client-wasm", "--example", "frames"];
    run_command(compiler.cargo("build").args(example))?;
    let readers = target_dir().join("wasm/frames");
    tools::bind(
        &compiler.built("debug/examples/frames.wasm"),
        &readers,
        "frames",
    )?;
    let tests = root().join("client-wasm/tests");
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=tap"])
        .args(scripts(&tests)?)
        .env("COMETQL_WASM", package())
        .env("COMETQL_FRAMES", readers)
        .current_dir(root());
    let ended = node.output().context("cannot start node")?;
    let report = String::from_utf8_lossy(&ended.stdout);
    tally.count_in_node(&report);
    if !ended.status.success() {
        bail!("the tests of client-wasm failed:\n{report}");
    }
    println!("client-wasm in Node: {tally}");
    Ok(())
}

fn scripts(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut scripts = files
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    scripts.retain(|file| file.to_string_lossy().ends_with(".test.mjs"));
    scripts.sort();
    Ok(scripts)
}

/// The size of a file as web servers send it.
fn gzip(file: &Path) -> anyhow::Result<usize> {
    const SCRIPT: &str = "const { readFileSync } = require('fs'), { gzipSync } = require('zlib');
        console.log(gzipSync(readFileSync(process.argv[1]), { level: 9 }).length)";
    let size = output(Command::new("node").args(["-e", SCRIPT]).arg(file))?;
    Ok(size.trim().parse()?)
}
