//! The README's first command: builds the server, the browser client and the demos' pages, and runs `cometql demo`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

mod backend;
mod site;

use crate::process;
pub(crate) use backend::{php, python};
pub(crate) use site::{build as build_site, folder as site};

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
    let mut command = Command::new(process::target_dir().join("demo/cometql"));
    command.arg("demo");
    match build_site() {
        Ok(None) => {
            command.arg("--site").arg(site());
            if let Some(backend) = backend::find()? {
                command.args(["--backend", &backend]);
            }
        }
        Ok(Some(missing)) => println!("Only the plain page, without the demos: {missing}"),
        // Without a network, say. The server is built, so it runs.
        Err(error) => println!("Only the plain page, without the demos: {error:#}"),
    }
    Err(command.args(&options.arguments).exec().into())
}
