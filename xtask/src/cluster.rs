//! `cargo xtask cluster`: NATS servers, nodes and HAProxy on this machine, to try out what happens when some of them die.
//!
//! What dies is started again after a while. The same programs, on ports of their own, are what `proof` and
//! [`crate::faults`] test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub(crate) mod balancer;
mod certificates;
pub(crate) mod child;
mod follower;
pub(crate) mod links;
pub(crate) mod nats;
pub(crate) mod node;
mod pages;
pub(crate) mod ports;
mod proof;
pub(crate) mod world;

use crate::ci::{Ending, Tally};
use crate::process::{cargo, root, run as run_command, target_dir};
use child::Program;
pub(crate) use proof::step;
use world::{Plan, World};

/// How long what was killed stays dead, so that one sees what happens without it.
const DEAD: Duration = Duration::from_secs(15);
/// How often it is looked who has died.
const LOOK: Duration = Duration::from_millis(200);

/// How many of each, and where.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    nodes: u8,
    /// Where HAProxy takes browsers.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8087")]
    http: SocketAddr,
    /// Where HAProxy takes MySQL clients.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3307")]
    mysql: SocketAddr,
    /// TLS to NATS, between NATS servers, and for browsers (with a certificate that nobody trusts).
    #[arg(long)]
    tls: bool,
    /// Keeps everything in this folder, for the next time.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Instead: tries what happens to publications when nodes and NATS servers die, and ends.
    #[arg(long)]
    prove: bool,
    /// This binary instead of the one that is built.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Runs it until it is told to stop.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.prove {
        let mut tally = Tally::default();
        let ending = match &options.binary {
            Some(binary) => proof::prove(binary, &mut tally)?,
            None => step(&mut tally)?,
        };
        return match ending {
            Ending::Passed => Ok(()),
            Ending::Failed(why) | Ending::Skipped(why) => bail!(why),
        };
    }
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            println!("Building the server (a few minutes the first time).");
            let arguments = ["build", "--profile", "demo", "--package", "cometql-server"];
            run_command(&mut cargo(&arguments))?;
            target_dir().join("demo/cometql")
        }
    };
    for address in [options.http, options.mysql] {
        ensure!(address.ip().is_loopback(), "{address}: the keys are known");
        std::net::TcpListener::bind(address).with_context(|| {
            format!("{address} is taken: choose others with --http and --mysql")
        })?;
    }
    let stop = Signals::new([SIGINT, SIGTERM])?;
    let temporary = tempfile::tempdir()?;
    let folder = match &options.keep {
        Some(folder) => std::path::absolute(folder)?,
        None => temporary.path().to_owned(),
    };
    let page = folder.join("page");
    write_page(&page, options.mysql)?;
    let has_balancer = crate::process::find_program("haproxy").is_some();
    if !has_balancer {
        println!(
            "{}. Without it, each node is reached by itself.",
            balancer::MISSING
        );
    }
    println!("Starting 3 NATS servers and {} nodes.", options.nodes);
    let world = World::start(&Plan {
        nodes: usize::from(options.nodes),
        nats: 3,
        binary: &binary,
        folder: &folder,
        more: &std::fs::read_to_string(root().join("demo/cometql.toml"))?,
        files: Some(&page),
        tls: options.tls,
        links: false,
        front: Some([options.http, options.mysql]),
        balancer: has_balancer,
    })?;
    println!("{}", announcement(&world, &folder, options.tls));
    watch(world, stop)
}

/// The demo's page, with the line to type.
fn write_page(folder: &Path, mysql: SocketAddr) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for name in ["index.html", "style.css", "demo.js"] {
        std::fs::copy(root().join("demo").join(name), folder.join(name))?;
    }
    Ok(std::fs::write(folder.join("line.txt"), line(mysql))?)
}

fn client(mysql: SocketAddr) -> String {
    let (host, port, key) = (mysql.ip(), mysql.port(), node::KEY);
    format!("mysql -h {host} -P {port} -u root -p{key} CometQL_v1")
}

fn line(mysql: SocketAddr) -> String {
    format!(
        "{} \\\n  -e \"INSERT INTO pipes_messages (name, event, message) VALUES ('web_demo', 'hello', 'Hello from SQL')\"",
        client(mysql)
    )
}

fn announcement(world: &World, folder: &Path, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let mut text = String::from("\nThe cluster runs.");
    let mysql = match &world.balancer {
        Some(balancer) => {
            let front = &balancer.addresses;
            text += &format!(
                "\n\n  {scheme}://{}/   browsers, through HAProxy\n  http://{}/   who is up, as HAProxy sees it\n",
                front.browsers, front.overview
            );
            front.sql
        }
        None => world.nodes[0].mysql,
    };
    text += "\nThe page of each node, which all show the same:\n\n";
    for node in &world.nodes {
        text += &format!("  http://{}/   {}\n", node.http, node.name);
    }
    text += &format!(
        "\nSend to all of them:\n\n  {}\n\nand look who is there, on whatever node:\n\n  {} \\\n    -e \"SELECT * FROM users_in_pipes WHERE name = 'web_demo'\"\n",
        line(mysql).replace('\n', "\n  "),
        client(mysql)
    );
    text += &format!("\nConsoles (user root, key {}):\n\n", node::KEY);
    for node in &world.nodes {
        text += &format!("  http://{}/console   {}\n", node.admin, node.name);
    }
    text += &format!("\nWhat you kill is started again {DEAD:?} later:\n\n");
    let programs = world
        .nodes
        .iter()
        .map(|node| (node.name.clone(), node.id()));
    let servers = world.nats.iter().zip(1..);
    let servers = servers.map(|(server, number)| (format!("NATS server {number}"), server.id()));
    for (name, id) in programs.chain(servers) {
        text += &format!("  kill -9 {}   {name}\n", id.unwrap_or_default());
    }
    text += &format!("\nLogs: {}\nCtrl-C ends it.", folder.display());
    text
}

/// Starts again what died, until a signal comes.
fn watch(mut world: World, mut stop: Signals) -> anyhow::Result<()> {
    let mut dead: Vec<(String, Instant)> = Vec::new();
    while stop.pending().next().is_none() {
        std::thread::sleep(LOOK);
        let nodes = world.nodes.iter_mut();
        let nodes = nodes.map(|node| (node.name.clone(), Kept::Node(node)));
        let servers = world.nats.iter_mut().zip(1..);
        let servers =
            servers.map(|(server, number)| (format!("NATS server {number}"), Kept::Nats(server)));
        for (name, mut kept) in nodes.chain(servers) {
            let since = dead.iter().find(|(other, _)| *other == name);
            match (kept.program().check(), since.map(|(_, since)| *since)) {
                (Err(_), None) => {
                    println!("{name} has died.");
                    dead.push((name, Instant::now()));
                }
                (Err(_), Some(since)) if since.elapsed() > DEAD => {
                    kept.spawn()?;
                    println!(
                        "{name} is started: kill -9 {}",
                        kept.program().id().unwrap_or_default()
                    );
                    dead.retain(|(other, _)| *other != name);
                }
                _ => {}
            }
        }
    }
    println!("\nStopping.");
    world.stop()
}

/// What is started again.
enum Kept<'a> {
    Node(&'a mut node::Node),
    Nats(&'a mut nats::NatsServer),
}

impl Kept<'_> {
    fn program(&mut self) -> &mut Program {
        match self {
            Self::Node(node) => node.program(),
            Self::Nats(server) => server.program(),
        }
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Node(node) => node.spawn(),
            Self::Nats(server) => server.spawn(),
        }
    }
}
