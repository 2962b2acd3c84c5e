//! The README's first command: builds the server and runs `cometql demo`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::process;

/// What is handed on.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Arguments for `cometql demo`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds, then becomes the server, so that Ctrl-C and signals reach it directly.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    println!("Building the server (a few minutes the first time).");
    process::run(&mut process::cargo(&[
        "build",
        "--profile",
        "demo",
        "--package",
        "cometql-server",
    ]))?;
    let binary = process::target_dir().join("demo/cometql");
    Err(Command::new(binary)
        .arg("demo")
        .args(&options.arguments)
        .exec()
        .into())
}
