//! What a cluster costs: deliveries with one, two and three nodes, and how much later a publication comes to a browser of another
//! node than to who reads the log with nothing between.

use anyhow::Context as _;

use super::accounting::Accounts;
use super::bare_log;
use super::generator::{Delivered, Generator, Pace};
use super::measures::{PAYLOAD, as_f64};
use super::report::Report;
use super::subjects::{Kind, Target};
use crate::cluster::world::{Plan, World};
use crate::process::target_dir;

/// Subscribers of all nodes together; it can be divided by 1, 2 and 3.
const SUBSCRIBERS: usize = 1_200;
/// Publications per second where latency is measured.
const RATE: u32 = 1_000;

/// Deliveries with 1, 2 and 3 nodes, then latency against the bare loop.
pub(super) fn measure(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let count = if quick { 200 } else { 2_000 };
    for nodes in 1..=3 {
        deliveries(nodes, count, report).with_context(|| format!("{nodes} nodes"))?;
    }
    let count = u64::from(RATE) * if quick { 2 } else { 15 };
    latency(count, report)
}

/// So many nodes on so many NATS servers.
pub(super) fn start(nodes: usize, nats: usize, folder: &std::path::Path) -> anyhow::Result<World> {
    World::start(&Plan {
        nodes,
        nats,
        binary: &target_dir().join("release/cometql"),
        folder,
        more: "",
        files: None,
        tls: false,
        links: false,
        front: None,
        balancer: false,
    })
}

/// Publishes at the first node, listens at this one.
pub(super) fn target(world: &World, listen: usize) -> anyhow::Result<Target> {
    Ok(Target {
        kind: Kind::Cometql,
        pid: world.nodes[0].id().context("it runs")?,
        subscribe: world.nodes[listen].http,
        publish: world.nodes[0].mysql,
    })
}

/// Processor time so far, in µs: of all nodes, and of all NATS servers.
fn costs(world: &World) -> anyhow::Result<(u64, u64)> {
    let sum = |ids: Vec<Option<u32>>| {
        let costs = ids
            .into_iter()
            .flatten()
            .map(|id| Accounts::of(id).cpu_us());
        costs.sum::<anyhow::Result<u64>>()
    };
    let nodes = sum(world.nodes.iter().map(|node| node.id()).collect())?;
    let nats = sum(world.nats.iter().map(|server| server.id()).collect())?;
    Ok((nodes, nats))
}

fn deliveries(nodes: usize, count: u64, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = start(nodes, 3, folder.path())?;
    let mut generator = Generator::new(target(&world, 0)?)?;
    for node in &world.nodes {
        generator.subscribe_at(node.http, SUBSCRIBERS / nodes)?;
    }
    // What the first publications pay for once: the channel is opened, caches fill.
    generator.publish(20, PAYLOAD, Pace::InFlight(4))?;
    let before = costs(&world)?;
    let delivered = generator.publish(count, PAYLOAD, Pace::InFlight(16))?;
    let after = costs(&world)?;
    let mut add = |name: &str, figure: f64, unit| {
        let name = format!("{name}, {SUBSCRIBERS} subscribers on {nodes} of {nodes} nodes");
        report.number(Kind::Cometql, name, figure, unit);
    };
    let all = as_f64(delivered.deliveries);
    add("deliveries per second", all / delivered.seconds, "/s");
    add(
        "µs CPU/delivery, nodes",
        as_f64(after.0 - before.0) / all,
        "µs",
    );
    let each = as_f64(after.1 - before.1) / as_f64(count);
    add("µs CPU/publication, NATS servers", each, "µs");
    world.stop()
}

/// An INSERT at one node, a browser at another one, and the bare loop on the same NATS servers right after it.
fn latency(count: u64, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = start(3, 3, folder.path())?;
    let mut generator = Generator::new(target(&world, 1)?)?;
    generator.subscribe(1)?;
    generator.publish(u64::from(RATE), PAYLOAD, Pace::PerSecond(RATE))?;
    let before = costs(&world)?;
    let ours = generator.publish(count, PAYLOAD, Pace::PerSecond(RATE))?;
    let between = costs(&world)?;
    let bare = bare_log::publish(&world.nats_clients, count, PAYLOAD, RATE)?;
    let after = costs(&world)?;
    let mut add = |name: &str, figure: f64, unit| {
        let name = format!("{name}, {RATE}/s in a window of 3 NATS servers");
        report.number(Kind::Cometql, name, figure, unit);
    };
    for (name, Delivered { p50_ms, p99_ms, .. }) in [
        ("INSERT to a browser of another node", &ours),
        ("bare loop", &bare),
    ] {
        add(&format!("p50, {name}"), *p50_ms, "ms");
        add(&format!("p99, {name}"), *p99_ms, "ms");
    }
    add(
        "p50, times the bare loop",
        ours.p50_ms / bare.p50_ms,
        "(at most 2)",
    );
    add(
        "p99, times the bare loop",
        ours.p99_ms / bare.p99_ms,
        "(at most 2)",
    );
    let each = |us: u64| as_f64(us) / as_f64(count);
    add(
        "µs CPU/publication, nodes",
        each(between.0 - before.0),
        "µs",
    );
    add(
        "µs CPU/publication, NATS servers",
        each(between.1 - before.1),
        "µs",
    );
    add(
        "µs CPU/publication, NATS servers, bare loop",
        each(after.1 - between.1),
        "µs",
    );
    world.stop()
}
