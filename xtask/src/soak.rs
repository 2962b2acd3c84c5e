//! `cargo xtask soak`: a release server under steady load for long, and its memory.
//!
//! Browsers come, go and come back with their positions, backends publish and send private messages, all at a fixed rate. The
//! run fails when anything that was published is missing or comes twice, or when anonymous memory grows by 2 % or more after
//! the first sixth of the time. How to read it: docs-site/contributing/proofs.md.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

mod crowd;
mod memory;
mod server;

use crate::plot::{Labels, Line, lines};
use crate::process::{cargo, run as run_command, target_dir};
use crate::random::Random;
use crowd::{Crowd, Rates};
use memory::{Sample, growth};
use server::Server;

/// All sockets are looked at so often.
const TICK: Duration = Duration::from_millis(100);
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Growth from which on memory counts as leaking.
const MOST_GROWTH: f64 = 0.02;

/// How long, and with how much load.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// The same in hours.
    #[arg(long, conflicts_with = "minutes")]
    hours: Option<f64>,
    /// Browsers that are there at any time.
    #[arg(long, default_value_t = 500)]
    connections: usize,
    /// Browsers that leave, and come, each second.
    #[arg(long, default_value_t = 10)]
    churn: u32,
    /// Publications each second.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// This binary instead of the one that `cargo build --release` makes.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where soak.csv and soak.png go.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs it to its end.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            let build = ["build", "--release", "--package", "cometql-server"];
            run_command(&mut cargo(&build))?;
            target_dir().join("release/cometql")
        }
    };
    let out = options.out.clone().unwrap_or_else(target_dir);
    std::fs::create_dir_all(&out)?;
    let server = Server::start(&binary)?;
    let rates = Rates {
        connections: options.connections,
        churn: options.churn,
        publications: options.rate,
    };
    let mut crowd = Crowd::new(&server, rates, Random::new(Random::fresh_seed()))?;
    let minutes = options.hours.map_or(options.minutes, |hours| hours * 60.0);
    let duration = Duration::from_secs_f64(minutes * 60.0);
    let samples = soak(&server, &mut crowd, duration)?;
    write_csv(&out.join("soak.csv"), &samples)?;
    write_png(&out.join("soak.png"), &samples, options)?;
    let growth = growth(&samples).context("too short to say anything")?;
    println!(
        "{} publications, {} deliveries, {} private messages, {} visits, {} recoveries; growth {:+.2} %; {}/soak.{{csv,png}}",
        crowd.counts.published,
        crowd.counts.delivered,
        crowd.counts.messages,
        crowd.counts.visits,
        crowd.counts.recovered,
        growth * 100.0,
        out.display()
    );
    ensure!(
        growth < MOST_GROWTH,
        "memory grew by {:.2} %",
        growth * 100.0
    );
    Ok(())
}

fn soak(server: &Server, crowd: &mut Crowd, duration: Duration) -> anyhow::Result<Vec<Sample>> {
    let start = Instant::now();
    let mut samples = Vec::new();
    let mut next_sample = Duration::ZERO;
    while start.elapsed() < duration {
        let tick = Instant::now();
        let since = start.elapsed();
        crowd.tick(since)?;
        if since >= next_sample {
            next_sample += SAMPLE_EVERY;
            samples.push(Sample {
                seconds: since.as_secs_f64(),
                memory: server.memory()?,
                connections: crowd.len(),
                counts: crowd.counts,
            });
        }
        std::thread::sleep(TICK.saturating_sub(tick.elapsed()));
    }
    Ok(samples)
}

fn write_csv(file: &Path, samples: &[Sample]) -> anyhow::Result<()> {
    let mut text = String::from(
        "seconds,rss_kb,anonymous_kb,connections,published,delivered,messages,visits,recovered\n",
    );
    for sample in samples {
        text += &sample.line();
    }
    std::fs::write(file, text).with_context(|| file.display().to_string())
}

fn write_png(file: &Path, samples: &[Sample], options: &Options) -> anyhow::Result<()> {
    let points = |kb: fn(&Sample) -> u32| {
        let point = |sample: &Sample| (sample.seconds / 60.0, f64::from(kb(sample)) / 1024.0);
        samples.iter().map(point).collect()
    };
    let title = format!(
        "Memory: {} browsers, {} leaving and coming, {} publications a second",
        options.connections, options.churn, options.rate
    );
    let labels = Labels {
        title: &title,
        x: "minutes",
        y: "MiB",
    };
    let resident = Line {
        label: "resident (VmRSS)",
        points: points(|sample| sample.memory.resident_kb),
    };
    let anonymous = Line {
        label: "of it anonymous (RssAnon)",
        points: points(|sample| sample.memory.anonymous_kb),
    };
    lines(file, &labels, &[resident, anonymous])
}
