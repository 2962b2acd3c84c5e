//! The simulator of `engine/tests/simulation`: fresh seeds for as long as one likes, and the same with bugs planted.

use crate::process::{cargo, run, target_dir};

/// For how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of fresh seeds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Hours of fresh seeds, instead.
    #[arg(long, conflicts_with = "seconds")]
    hours: Option<u64>,
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Cuts nodes of a cluster off, too: about one seed in a thousand then shows what is not promised.
    #[arg(long)]
    cuts: bool,
}

const TEST: &[&str] = &[
    "test",
    "--package",
    "cometql-engine",
    "--test",
    "simulation",
    "--",
    "--nocapture",
];

/// Runs fresh seeds, or one.
pub(crate) fn run_seeds(options: &Options) -> anyhow::Result<()> {
    let seconds = options.hours.map_or(options.seconds, |hours| hours * 3600);
    let mut command = cargo(TEST);
    command
        .arg("fresh_seeds")
        .env("SIMULATION_SECONDS", seconds.to_string());
    if options.cuts {
        command.env("SIMULATION_CUTS", "1");
    }
    if let Some(seed) = options.seed {
        command.env("SIMULATION_SEED", seed.to_string());
    }
    run(&mut command)
}

/// Runs fresh seeds for a minute, as the project's CI does.
pub(crate) fn step() -> anyhow::Result<()> {
    run_seeds(&Options {
        seconds: 60,
        hours: None,
        seed: None,
        cuts: false,
    })
}

/// Builds `protocol` and `engine` with guards that can be broken, in a folder of their own so that no other build starts
/// anew, and lets the simulator find each of them.
pub(crate) fn planted() -> anyhow::Result<()> {
    run(cargo(TEST)
        .arg("planted::")
        .env("RUST_BACKTRACE", "0")
        .env("RUSTFLAGS", "--cfg planted_bug")
        .env("CARGO_TARGET_DIR", target_dir().join("planted")))
}
