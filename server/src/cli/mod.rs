//! The `cometql` command: reads flags, calls the parts, prints for people. Holds no rules of its own.

use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

mod demo;
mod key;
mod logs;
mod moving;
mod node;
mod progress;
mod serve;
mod sql;
mod token;

use crate::config::{self, DEFAULT_FILE};
use crate::storage;

/// CometQL: browsers hold one WebSocket each, backends speak SQL to it with any MySQL client.
#[derive(Parser)]
#[command(name = "cometql", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node.
    Serve(serve::Options),
    /// Run a node to try things out: own data, this machine only, a page, and a key that is printed.
    Demo(demo::Options),
    /// Run statements: interactively, or those of standard input.
    Sql(sql::Options),
    /// Make a token (JWT) for development.
    Token(token::Options),
    /// Say what is wrong in a configuration file.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
    /// Print the commented default configuration.
    Config,
    /// Copy the data of a node into a new data directory, also while the node runs.
    Backup {
        /// The data directory.
        #[arg(long, value_name = "DIR", default_value = "cometql-data")]
        data_dir: PathBuf,
        /// The directory to make; it must not exist.
        target: PathBuf,
    },
    /// Copy the data of a single node, which must not run, into a cluster.
    ///
    /// Rows of tables, histories and waiting private messages go into the cluster that [cluster] of the configuration names,
    /// whether its nodes run or not. It can be stopped and run again: nothing is copied twice. What clients hold as their
    /// positions does not count in the cluster: they are told recovered:false, and load anew.
    Import(moving::Import),
    /// Copy the data of a cluster into a new data directory, with which a single node starts.
    ///
    /// What the cluster's log has when it is read is copied: stop the nodes first if nothing may be missing. Positions that
    /// clients hold don't count in the new data directory: they are told recovered:false, and load anew.
    Export(moving::Export),
    /// Print the version.
    Version,
}

/// Runs the command of this process.
///
/// # Errors
/// Whatever made it fail, in words for people.
pub fn run() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Serve(options) => serve::run(options)?,
        Command::Demo(options) => demo::run(&options)?,
        Command::Sql(options) => return sql::run(options),
        Command::Token(options) => token::run(&options)?,
        Command::CheckConfig { file } => return check_config(&file),
        Command::Config => say(DEFAULT_FILE),
        Command::Backup { data_dir, target } => {
            storage::backup(&data_dir, &target)?;
            say(&format!("{}\n", target.display()));
        }
        Command::Import(options) => options.run()?,
        Command::Export(options) => options.run()?,
        Command::Version => say(concat!("cometql ", env!("CARGO_PKG_VERSION"), "\n")),
    }
    Ok(ExitCode::SUCCESS)
}

fn check_config(file: &std::path::Path) -> anyhow::Result<ExitCode> {
    let config = config::load(Some(file), std::iter::empty())?;
    let mut wrong = config.check();
    wrong.extend(config.rules().err());
    for line in config.warnings() {
        say(&format!("warning: {line}\n"));
    }
    wrong.dedup();
    for line in &wrong {
        say(&format!("error: {line}\n"));
    }
    if wrong.is_empty() {
        say("ok\n");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Prints to standard output. Who closed it does not want to read: no error.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The runtime of everything but the shards, which have their own: one thread for each core. Half as many here, as each that
/// wakes another one costs a publication on its way to the log and back processor time.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2))
        .enable_all()
        .build()
        .context("can't start threads")
}

#[cfg(test)]
mod tests;
