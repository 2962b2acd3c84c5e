//! `cargo xtask load`: what the server costs, in its processor time and memory per unit of work.
//!
//! The generator is a process of its own; the server's costs are read from `/proc`. A publication that is missing, comes
//! twice or out of order makes the run fail. How to read the figures: docs-site/contributing/benchmarks.md.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::json;

mod accounting;
mod at_rest;
mod bare;
mod bare_log;
mod cluster;
mod connection;
mod durable;
mod frames;
mod generator;
mod growth;
mod measures;
pub(crate) mod mysql;
mod publisher;
mod report;
mod subjects;
mod tabs;

use measures::Measure;
use report::Report;
use subjects::{Kind, Target};
pub(crate) use subjects::{free_port, wait_for};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measures these as well, with the same generator: bare, nchan, nats.
    #[arg(long, value_delimiter = ',')]
    versus: Vec<Kind>,
    /// Leaves our own server out.
    #[arg(long)]
    only_versus: bool,
    /// Only these measurements.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "thousand,ten-thousand,inserts,durable-inserts,durable,recover"
    )]
    measure: Vec<Measure>,
    /// Short runs, to see that everything works; the figures mean little.
    #[arg(long)]
    quick: bool,
    /// 64,000 connections as well: 4 servers with 16,000 each (about 5 minutes).
    #[arg(long)]
    headline: bool,
    /// Instead of all that: how cost grows from 100 to 18,000 connections and from 1 to 2 shards, as CSV and pictures in
    /// this folder (about 5 minutes).
    #[arg(long)]
    growth: Option<PathBuf>,
    /// Writes the figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measures the server's process with this id that runs already; give `--http` and `--mysql` too.
    #[arg(long, requires_all = ["http", "mysql"])]
    pid: Option<u32>,
    /// The running server's WebSocket address.
    #[arg(long)]
    http: Option<SocketAddr>,
    /// The running server's MySQL address.
    #[arg(long)]
    mysql: Option<SocketAddr>,
    /// Connections to the running server.
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Publications per second to the running server.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Set by ourselves: the optimised generator is built and running.
    #[arg(long, hide = true)]
    built: bool,
}

/// The bare loop's addresses.
#[derive(clap::Args)]
pub(crate) struct BareOptions {
    subscribe: SocketAddr,
    publish: SocketAddr,
}

/// Serves the bare loop until killed.
pub(crate) fn run_bare(options: &BareOptions) -> anyhow::Result<()> {
    bare::serve(options.subscribe, options.publish)
}

/// Builds server and generator with optimisation, then measures.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.built {
        return build_and_restart(options);
    }
    if let Some(target) = running(options) {
        return measures::one_target(target, options.connections, options.rate);
    }
    if let Some(folder) = &options.growth {
        return growth::run(folder);
    }
    let mut report = Report::default();
    let ours = (!options.only_versus).then_some(Kind::Cometql);
    for kind in ours.into_iter().chain(options.versus.iter().copied()) {
        println!("\n{kind:?}");
        for measure in &options.measure {
            measure
                .run(kind, options.quick, &mut report)
                .with_context(|| format!("{kind:?}"))?;
        }
    }
    if options.headline {
        println!("\n64,000 connections");
        headline(options.quick, &mut report)?;
    }
    report.print();
    if let Some(file) = &options.json {
        std::fs::write(file, report.to_json())?;
    }
    Ok(())
}

fn running(options: &Options) -> Option<Target> {
    Some(Target {
        kind: Kind::Cometql,
        pid: options.pid?,
        subscribe: options.http?,
        publish: options.mysql?,
    })
}

fn build_and_restart(options: &Options) -> anyhow::Result<()> {
    let mut packages = vec!["build", "--release", "--package", "xtask"];
    if !options.only_versus {
        packages.extend(["--package", "cometql-server"]);
    }
    crate::process::run(&mut crate::process::cargo(&packages))?;
    Err(
        Command::new(crate::process::target_dir().join("release/xtask"))
            .args(std::env::args_os().skip(1))
            .arg("--built")
            .exec()
            .into(),
    )
}

/// Four servers, and a generator process for each: a process may open 20,000 files only.
fn headline(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let each: usize = if quick { 1_000 } else { 16_000 };
    let servers = (0..4)
        .map(|_| Kind::Cometql.start())
        .collect::<anyhow::Result<Vec<_>>>()?;
    let generators = servers
        .iter()
        .map(|server| start_generator(server.target, each))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (mut memory, mut balance) = (0.0, 1.0_f64);
    for generator in generators {
        let output = generator.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().next_back().unwrap_or_default();
        let figures: serde_json::Value =
            serde_json::from_str(last).with_context(|| format!("a generator failed: {text}"))?;
        memory += figures["memory"].as_f64().context("no memory figure")?;
        balance = balance.min(figures["balance"].as_f64().context("no balance figure")?);
    }
    report.add(
        Kind::Cometql,
        "connections in all",
        (each * 4).to_string(),
        "",
        json!(each * 4),
    );
    report.add(
        Kind::Cometql,
        "memory of all servers",
        format!("{:.3}", memory / 1e9),
        "GB (at most 0.5)",
        json!(memory),
    );
    report.add(
        Kind::Cometql,
        "least busy shard / busiest",
        format!("{balance:.2}"),
        "(at least 0.80)",
        json!(balance),
    );
    Ok(())
}

fn start_generator(target: Target, connections: usize) -> anyhow::Result<std::process::Child> {
    Command::new(std::env::current_exe()?)
        .args(["load", "--built", "--rate", "1"])
        .args(["--pid", &target.pid.to_string()])
        .args(["--http", &target.subscribe.to_string()])
        .args(["--mysql", &target.publish.to_string()])
        .args(["--connections", &connections.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a generator")
}
