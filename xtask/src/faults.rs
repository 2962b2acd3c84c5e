//! `cargo xtask faults`: a cluster of real programs is broken in every way that we can think of, under load.
//!
//! Backends write to durable channels and inboxes through HAProxy and through the nodes; browsers keep their positions and come
//! back with them to any node. What was answered OK without a warning must come to everybody once and in order. While a node is
//! away, and after all is well again, the lists of who is there must be right in time. How to read it:
//! docs-site/contributing/proofs.md.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

mod breakage;
mod disk;
mod quorum;

use crate::ci::Ending;
use crate::cluster::ports::until;
use crate::cluster::world::{Plan, World};
use crate::cluster::{balancer, node};
use crate::process::{cargo, find_program, nats_server, run as run_command, target_dir};
use crate::random::Random;
use crate::witness::{PREFIX, Server, Shared, Threads, testify};
use breakage::{Fault, Victims};
use disk::SmallDisk;

/// The default lease of a member, what is added to it in our promise about presence, and as long again: a browser of a node
/// that is cut off leaves it only once it has heard nothing for a while.
const LEASE: Duration = Duration::from_secs(20);
/// How long the witnesses may take to notice that their node is silent, and to find one that is not.
const MOVE: Duration = Duration::from_secs(20);
/// How long a broken cluster is looked at: longer than a leader's election takes, and than the lease.
const HOLD: Duration = Duration::from_secs(8);

/// How often, and with which choices.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often everything is broken.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Only these faults.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Fault>,
    /// Repeats the choices of a run; what else happens at that moment depends on the machine.
    #[arg(long)]
    seed: Option<u64>,
    /// This binary instead of the one that `cargo build` makes.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Keeps configurations and logs in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Breaks as often as asked.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_else(Random::fresh_seed);
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            run_command(&mut cargo(&["build", "--package", "cometql-server"]))?;
            target_dir().join("debug/cometql")
        }
    };
    println!("faults: seed {seed}, {} rounds", options.rounds);
    let temporary = tempfile::tempdir()?;
    let folder = match &options.keep {
        Some(folder) => std::path::absolute(folder)?,
        None => temporary.path().to_owned(),
    };
    let start = Instant::now();
    let report = faults(options, seed, &binary, &folder).with_context(|| format!("seed {seed}"))?;
    println!("{report}\nin {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// As a step of `cargo xtask ci`: each fault once.
pub(crate) fn step() -> anyhow::Result<Ending> {
    if find_program("haproxy").is_none() {
        return Ok(Ending::Skipped(balancer::MISSING.into()));
    }
    if let Err(error) = nats_server() {
        return Ok(Ending::Skipped(format!("no nats-server: {error:#}")));
    }
    run(&Options {
        rounds: 1,
        only: Vec::new(),
        seed: None,
        binary: None,
        keep: None,
    })?;
    Ok(Ending::Passed)
}

/// Durable channels whose replays and inboxes are longer than any outage here; presence that anybody may ask for.
fn configuration() -> String {
    format!(
        "[limits]\nhistory_page = 1000000\ninbox_messages = 1000000\n\
         [[channels]]\nprefix = \"{PREFIX}\"\nsubscribe = \"anyone\"\npresence = \"anyone\"\nhistory = \"durable\"\n\
         history_length = 1000000\n{}",
        quorum::CHANNELS
    )
}

fn faults(options: &Options, seed: u64, binary: &Path, folder: &Path) -> anyhow::Result<String> {
    let mut random = Random::new(seed);
    let mut world = World::new(&Plan {
        nodes: 3,
        nats: 3,
        binary,
        folder,
        more: &configuration(),
        files: None,
        tls: false,
        links: true,
        front: None,
        balancer: find_program("haproxy").is_some(),
    })?;
    let victims = Victims {
        clock: breakage::prepare_clock(&mut world, folder)?,
        disk: SmallDisk::mount(folder, 0)?,
    };
    world.run()?;
    let nodes = world.nodes.iter().map(|node| (node.http, node.mysql));
    let front = world.balancer.iter().map(|balancer| {
        let front = &balancer.addresses;
        (front.browsers, front.sql)
    });
    let servers = nodes
        .chain(front)
        .map(|(http, mysql)| Server { http, mysql });
    let shared = Shared::new(servers.collect(), node::KEY);
    shared.make_users()?;
    let mut broken = 0;
    let report = testify(&shared, &mut random, |threads, random| {
        for round in 1..=options.rounds {
            for fault in breakage::shuffled(&options.only, random) {
                let what = format!("round {round}, {fault:?}");
                ensure!(!threads.any_ended(), "before {what}");
                broken += round_of(fault, &mut world, &victims, &shared, threads, random)
                    .with_context(|| what.clone())?;
            }
        }
        Ok(())
    })?;
    Ok(format!("{broken} faults: {report}"))
}

/// One fault: broken, looked at, healed, and looked at again. 0 if it can't be tried here.
fn round_of(
    fault: Fault,
    world: &mut World,
    victims: &Victims,
    shared: &Shared,
    threads: &Threads<'_>,
    random: &mut Random,
) -> anyhow::Result<usize> {
    if let Some(missing) = fault.missing(victims) {
        println!("faults: {fault:?} skipped: {missing}");
        return Ok(0);
    }
    shared.be_quiet(false);
    std::thread::sleep(random.millis(200, 2_000));
    shared.be_quiet(true);
    let start = Instant::now();
    let victim = usize::try_from(random.below(3))?;
    match fault {
        Fault::LoseLog => quorum::goes_on_live(world, victim, random)?,
        Fault::LoseLogRefusing => quorum::refuses(world, victim, random)?,
        _ => hold(fault, victim, world, victims, shared, threads)?,
    }
    world.wait().context("after it")?;
    let all: Vec<_> = world.nodes.iter().map(|node| node.http).collect();
    presence(shared, &all, threads, "after it")?;
    let seconds = start.elapsed().as_secs_f64();
    println!("faults: {fault:?} of {victim} survived, {seconds:.0} s");
    Ok(1)
}

/// Broken for a while, and healed.
fn hold(
    fault: Fault,
    victim: usize,
    world: &mut World,
    victims: &Victims,
    shared: &Shared,
    threads: &Threads<'_>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    fault.begin(victim, world, victims)?;
    let others = world.nodes.iter().enumerate();
    let others = others.filter(|(at, _)| !fault.takes_node() || *at != victim);
    let others: Vec<_> = others.map(|(_, node)| node.http).collect();
    if fault.takes_node() {
        presence(shared, &others, threads, "while it is away")?;
    }
    while start.elapsed() < HOLD && !threads.any_ended() {
        std::thread::sleep(Duration::from_millis(50));
    }
    fault.heal(victim, world, victims)
}

/// Waits until these nodes say that exactly those are there who are.
fn presence(
    shared: &Shared,
    nodes: &[std::net::SocketAddr],
    threads: &Threads<'_>,
    when: &str,
) -> anyhow::Result<()> {
    let moved = || Ok(shared.all_are_there() || threads.any_ended());
    until("all browsers are somewhere", MOVE, moved).context(when.to_owned())?;
    for node in nodes {
        shared
            .wait_for_presence(*node, LEASE, || threads.any_ended())
            .context(when.to_owned())?;
    }
    ensure!(!threads.any_ended(), "{when}");
    Ok(())
}
