//! `cargo xtask crash`: the real binary is killed with SIGKILL at random moments under load, and started again.
//!
//! Backends write to durable channels and inboxes and note each row that was answered OK. Browsers keep their positions and
//! come back with them. At the end each answered row must have come once, in order; after every start the lists of who is
//! there must be right within ten seconds. How to read it: docs-site/contributing/proofs.md.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

mod node;

use crate::process::{cargo, run as run_command, target_dir};
use crate::random::Random;
use crate::witness::{Server, Shared, Threads, testify};
use node::{KEY, Node};

/// How many times the server is killed in CI.
const KILLS_IN_CI: u32 = 20;
/// So long after a start the lists of who is there may be wrong.
const PRESENCE: Duration = Duration::from_secs(10);
/// How often, and with which choices.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many times the server is killed.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Repeats the choices of a run; where each kill hits depends on the machine as well.
    #[arg(long)]
    seed: Option<u64>,
    /// This binary instead of the one that `cargo build` makes.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Kills as often as asked.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_else(Random::fresh_seed);
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            run_command(&mut cargo(&["build", "--package", "cometql-server"]))?;
            target_dir().join("debug/cometql")
        }
    };
    println!("crash: seed {seed}, {} kills", options.kills);
    let start = Instant::now();
    let report = crash(options.kills, seed, binary).with_context(|| format!("seed {seed}"))?;
    println!("{report}\nin {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// As a step of `cargo xtask ci`.
pub(crate) fn step() -> anyhow::Result<()> {
    run(&Options {
        kills: KILLS_IN_CI,
        seed: None,
        binary: None,
    })
}

fn crash(kills: u32, seed: u64, binary: PathBuf) -> anyhow::Result<String> {
    let mut random = Random::new(seed);
    let mut node = Node::new(binary)?;
    node.spawn()?;
    node.wait()?;
    let server = Server {
        http: node.http,
        mysql: node.mysql,
    };
    let shared = Shared::new(vec![server], KEY);
    shared.make_users()?;
    let report = testify(&shared, &mut random, |threads, random| {
        drive(kills, &mut node, &shared, threads, random)
    })?;
    Ok(format!("{kills} kills: {report}"))
}

/// The kills.
fn drive(
    kills: u32,
    node: &mut Node,
    shared: &Shared,
    threads: &Threads<'_>,
    random: &mut Random,
) -> anyhow::Result<()> {
    for kill in 1..=kills {
        ensure!(!threads.any_ended(), "before kill {kill}");
        shared.be_quiet(false);
        std::thread::sleep(random.millis(20, 500));
        shared.be_quiet(true);
        node.kill();
        node.spawn()?;
        if random.once_in(5) {
            // While it starts, or just after.
            std::thread::sleep(random.millis(0, 200));
            node.kill();
            node.spawn()?;
        }
        node.wait().with_context(|| format!("after kill {kill}"))?;
        let right = shared.wait_for_presence(node.http, PRESENCE, || threads.any_ended());
        right.with_context(|| format!("after kill {kill}"))?;
    }
    Ok(())
}
