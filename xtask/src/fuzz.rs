//! `cargo xtask fuzz`: runs each `fuzz_` test of the server for a time, alone, so that its memory can be told.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::process::{cargo, output, target_dir};

/// For each target in CI.
const SECONDS_IN_CI: u32 = 3;
/// Most memory of the process: one that is never freed or never ends is stopped here.
const MOST_KIB: u32 = 8 << 20;

/// What, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target is fuzzed.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only targets whose name contains this.
    #[arg(long, default_value = "")]
    target: String,
}

/// As a step of `cargo xtask ci`.
pub(crate) fn step() -> anyhow::Result<()> {
    run(&Options {
        seconds: SECONDS_IN_CI,
        target: String::new(),
    })
}

/// Fuzzes all chosen targets, one after the other, and fails if one failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let binary = build()?;
    let list = output(Command::new(&binary).args(["--list", "--format", "terse", "fuzz_"]))?;
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let chosen: Vec<&str> = names
        .filter(|name| name.contains("fuzz_") && name.contains(&options.target))
        .collect();
    ensure!(!chosen.is_empty(), "no target is called {}", options.target);
    let mut failed = Vec::new();
    for name in &chosen {
        if !fuzz(&binary, name, options.seconds)? {
            failed.push(*name);
        }
    }
    println!("fuzz: {} targets, {} failed", chosen.len(), failed.len());
    if failed.is_empty() {
        return Ok(());
    }
    bail!("found something: {}", failed.join(", "))
}

/// Builds the server's unit tests; returns their program.
fn build() -> anyhow::Result<PathBuf> {
    let mut command = cargo(&["test", "--package", "cometql-server", "--lib", "--no-run"]);
    let mut child = command
        .args(["--message-format", "json-render-diagnostics"])
        .stdout(Stdio::piped())
        .spawn()?;
    let messages = child.stdout.take().context("it was asked for")?;
    let mut binary = None;
    for line in BufReader::new(messages).lines() {
        let message: Value = serde_json::from_str(&line?)?;
        if let Some(file) = message["executable"].as_str() {
            binary = Some(PathBuf::from(file));
        }
    }
    ensure!(child.wait()?.success(), "the tests can't be built");
    binary.context("cargo names no test program")
}

/// Runs one target; false when it failed.
fn fuzz(binary: &std::path::Path, name: &str, seconds: u32) -> anyhow::Result<bool> {
    let last = target_dir().join("fuzz-last");
    println!("fuzz: {name}");
    let ended = Command::new("sh")
        .args(["-c", "ulimit -v $0 && exec \"$@\"", &MOST_KIB.to_string()])
        .arg(binary)
        .args(["--exact", name, "--test-threads", "1", "--quiet"])
        .env("COMETQL_FUZZ_SECONDS", seconds.to_string())
        .env("COMETQL_FUZZ_LAST", &last)
        .env("RUST_BACKTRACE", "0")
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let status = ended.status;
    if !status.success() {
        println!("{}", String::from_utf8_lossy(&ended.stdout));
    }
    if status.code().is_none() {
        // A stack that overflows, or memory that is not given, ends the process before it can say anything.
        let input = std::fs::read_to_string(&last).unwrap_or_default();
        println!("{name} was ended by {status} with this input:\n{input}");
    }
    Ok(status.success())
}
