//! The measurements, each on a server that was started for it.

use serde_json::json;

use super::accounting::Accounts;
use super::generator::{Generator, Pace};
use super::publisher::insert;
use super::report::Report;
use super::subjects::{KEY, Kind, Target};
use super::{at_rest, cluster, durable, frames, mysql, tabs};

/// Bytes of a publication's payload.
pub(super) const PAYLOAD: usize = 128;

/// What is measured together, on one server that was started for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Measure {
    /// Deliveries to 1,000 subscribers.
    Thousand,
    /// 10,000 connections: memory, connecting, deliveries.
    TenThousand,
    /// INSERTs when nobody is subscribed.
    Inserts,
    /// A channel that keeps its history on disk.
    Durable,
    /// INSERTs from 32 backends on such a channel.
    DurableInserts,
    /// 10,000 clients that come back after the server was killed.
    Recover,
    /// Deliveries with one, two and three nodes, and latency from one node to another.
    Cluster,
    /// Memory and processor time of members and NATS at rest, and for each channel that is followed.
    ClusterAtRest,
    /// How soon a page is connected, in the browsers that are there.
    TabStart,
}

impl Measure {
    /// Measures a server of this kind.
    pub(super) fn run(self, kind: Kind, quick: bool, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Thousand => thousand(kind, quick, report),
            Self::TenThousand => ten_thousand(kind, quick, report),
            // The others have no such thing.
            Self::Inserts
            | Self::Durable
            | Self::DurableInserts
            | Self::Recover
            | Self::Cluster
            | Self::ClusterAtRest
            | Self::TabStart
                if kind != Kind::Cometql =>
            {
                Ok(())
            }
            Self::Inserts => inserts(quick, report),
            Self::Durable => durable::delivered(kind, quick, report),
            Self::DurableInserts => durable::inserts(kind, quick, report),
            Self::Recover => durable::recover(kind, quick, report),
            Self::Cluster => cluster::measure(quick, report),
            Self::ClusterAtRest => at_rest::measure(quick, report),
            Self::TabStart => tabs::start(quick, report),
        }
    }
}

/// Processor time per delivery with 1,000 subscribers: slowly and as fast as it goes.
fn thousand(kind: Kind, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let server = kind.start()?;
    let mut generator = Generator::new(server.target)?;
    generator.subscribe(1_000)?;
    let accounts = Accounts::of(server.target.pid);
    let seconds = if quick { 2 } else { 15 };
    let names = (
        "µs CPU/delivery, 1,000 subscribers, 20/s",
        "p50, 20/s",
        "p99, 20/s",
    );
    deliveries(
        kind,
        accounts,
        &mut generator,
        (20 * seconds, Pace::PerSecond(20)),
        names,
        report,
    )?;
    let count = if quick { 200 } else { 4_000 };
    let names = (
        "µs CPU/delivery, 1,000 subscribers, 16 in flight",
        "p50, 16 in flight",
        "p99, 16 in flight",
    );
    deliveries(
        kind,
        accounts,
        &mut generator,
        (count, Pace::InFlight(16)),
        names,
        report,
    )
}

/// Memory and processor time per connection with 10,000 subscribers, then deliveries to them.
fn ten_thousand(kind: Kind, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let server = kind.start()?;
    let accounts = Accounts::of(server.target.pid);
    let mut generator = Generator::new(server.target)?;
    // What the first connections of a process cost only once is not counted.
    generator.subscribe(100)?;
    let count: u32 = if quick { 1_000 } else { 10_000 };
    let (memory, cpu) = (accounts.memory()?, accounts.cpu_us()?);
    generator.subscribe(usize::try_from(count)?)?;
    let cpu = accounts.cpu_us()? - cpu;
    let memory = accounts.memory()?.saturating_sub(memory);
    report.number(
        kind,
        "bytes per idle subscribed connection, 10,000",
        as_f64(memory) / f64::from(count),
        "B (ours at most 3,000)",
    );
    report.number(
        kind,
        "µs CPU/connect + subscribe, 10,000",
        as_f64(cpu) / f64::from(count),
        "µs (ours at most 60)",
    );
    let publications = if quick { 20 } else { 400 };
    let names = (
        "µs CPU/delivery, 10,000 subscribers, 4 in flight",
        "p50, 10,000, 4 in flight",
        "p99, 10,000, 4 in flight",
    );
    deliveries(
        kind,
        accounts,
        &mut generator,
        (publications, Pace::InFlight(4)),
        names,
        report,
    )
}

pub(super) fn deliveries(
    kind: Kind,
    accounts: Accounts,
    generator: &mut Generator,
    (count, pace): (u64, Pace),
    names: (&'static str, &'static str, &'static str),
    report: &mut Report,
) -> anyhow::Result<()> {
    let before = accounts.cpu_us()?;
    let delivered = generator.publish(count, PAYLOAD, pace)?;
    let cpu = accounts.cpu_us()? - before;
    report.number(
        kind,
        names.0,
        as_f64(cpu) / as_f64(delivered.deliveries),
        "µs",
    );
    report.number(kind, names.1, delivered.p50_ms, "ms");
    report.number(kind, names.2, delivered.p99_ms, "ms");
    if matches!(pace, Pace::InFlight(_)) {
        let rate = as_f64(delivered.deliveries) / delivered.seconds;
        report.number(kind, "deliveries per second in this run", rate, "/s");
    }
    Ok(())
}

/// Processor time per row of `INSERT INTO pipes_messages` when nobody is subscribed.
fn inserts(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let server = Kind::Cometql.start()?;
    let accounts = Accounts::of(server.target.pid);
    let mut stream = mysql::log_in(server.target.publish, KEY)?;
    let rows: u64 = if quick { 2_000 } else { 50_000 };
    let single: Vec<String> = (0..rows)
        .map(|row| insert(&frames::payload(row, 0, PAYLOAD)))
        .collect();
    let many: Vec<String> = (0..rows * 4 / 100).map(hundred_rows).collect();
    mysql::insert_all(&mut stream, &single[..1_000], 1)?;
    let cases: [(&'static str, &[String], usize, u64); 3] = [
        ("µs CPU/row, INSERT one at a time", &single, 1, rows),
        ("µs CPU/row, INSERT pipelined", &single, 100, rows),
        ("µs CPU/row, INSERT of 100 rows", &many, 1, rows * 4),
    ];
    for (name, statements, ahead, rows) in cases {
        let before = accounts.cpu_us()?;
        mysql::insert_all(&mut stream, statements, ahead)?;
        let cpu = accounts.cpu_us()? - before;
        report.number(Kind::Cometql, name, as_f64(cpu) / as_f64(rows), "µs");
    }
    Ok(())
}

pub(super) fn hundred_rows(statement: u64) -> String {
    let one = insert(&frames::payload(statement, 0, PAYLOAD));
    let row = one.split_once("VALUES ").map_or("", |(_, row)| row);
    let mut sql = one.clone();
    for _ in 1..100 {
        sql.push_str(", ");
        sql.push_str(row);
    }
    sql
}

/// For a server that runs already: one line of JSON is the last that is printed.
pub(super) fn one_target(target: Target, connections: usize, rate: u32) -> anyhow::Result<()> {
    let accounts = Accounts::of(target.pid);
    let mut generator = Generator::new(target)?;
    let (memory, cpu) = (accounts.memory()?, accounts.cpu_us()?);
    generator.subscribe(connections)?;
    let connected = accounts.cpu_us()?;
    let memory_after = accounts.memory()?;
    let threads = accounts.threads_us()?;
    let delivered = generator.publish(u64::from(rate) * 10, PAYLOAD, Pace::PerSecond(rate))?;
    let delivering = accounts.cpu_us()? - connected;
    let busy: Vec<u64> = accounts
        .threads_us()?
        .into_iter()
        .filter(|((_, name), _)| name.starts_with("shard"))
        .map(|(thread, after)| after - threads.get(&thread).copied().unwrap_or(0))
        .collect();
    let balance = match (busy.iter().min(), busy.iter().max()) {
        (Some(least), Some(most)) if *most > 0 => as_f64(*least) / as_f64(*most),
        _ => 1.0,
    };
    println!(
        "{}",
        json!({
            "connections": connections,
            "memory": memory_after,
            "memory_per_connection": as_f64(memory_after.saturating_sub(memory)) / as_f64(u64::try_from(connections)?),
            "connect_us": as_f64(connected - cpu) / as_f64(u64::try_from(connections)?),
            "delivery_us": as_f64(delivering) / as_f64(delivered.deliveries),
            "p50_ms": delivered.p50_ms,
            "p99_ms": delivered.p99_ms,
            "balance": balance,
        })
    );
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with two decimals"
)]
pub(super) fn as_f64(number: u64) -> f64 {
    number as f64
}
