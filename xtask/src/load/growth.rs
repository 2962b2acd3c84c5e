//! How cost grows with connections and with shards: a CSV file and its pictures.

use std::path::Path;

use anyhow::Context as _;

use super::accounting::Accounts;
use super::generator::{Generator, Pace};
use super::measures::{PAYLOAD, as_f64};
use super::subjects::Kind;
use crate::plot::{Labels, Line, lines};

const CONNECTIONS: &[u32] = &[100, 300, 1_000, 3_000, 6_000, 10_000, 14_000, 18_000];
const SHARDS: &[u32] = &[1, 2];
/// Deliveries of each measurement, about.
const DELIVERIES: u32 = 1_500_000;

struct Point {
    shards: u32,
    connections: u32,
    /// Bytes.
    memory: f64,
    /// Microseconds of processor time.
    delivery: f64,
    /// Deliveries per second.
    throughput: f64,
}

/// Measures all sizes with one and with two shards, and writes `growth.csv` and the pictures into `folder`.
pub(super) fn run(folder: &Path) -> anyhow::Result<()> {
    let mut points = Vec::new();
    for &shards in SHARDS {
        for &connections in CONNECTIONS {
            let point = measure(shards, connections)?;
            println!("{}", csv(&point));
            points.push(point);
        }
    }
    let table: Vec<String> = points.iter().map(csv).collect();
    let head = "shards,connections,bytes_per_connection,us_per_delivery,deliveries_per_second";
    let file = folder.join("growth.csv");
    std::fs::write(&file, format!("{head}\n{}\n", table.join("\n")))
        .with_context(|| file.display().to_string())?;
    let picture = |name: &str, title, y, value: fn(&Point) -> f64| {
        let labels = Labels {
            title,
            x: "subscribed connections",
            y,
        };
        let line = |label, shards| Line {
            label,
            points: points
                .iter()
                .filter(|point| point.shards == shards)
                .map(|point| (f64::from(point.connections), value(point)))
                .collect(),
        };
        let both = [line("1 shard", 1), line("2 shards", 2)];
        lines(&folder.join(name), &labels, &both)
    };
    picture(
        "growth-delivery.png",
        "Processor time per delivery, 4 publications in flight",
        "µs",
        |point| point.delivery,
    )?;
    picture(
        "growth-memory.png",
        "User-space memory per idle subscribed connection",
        "bytes",
        |point| point.memory,
    )?;
    picture(
        "growth-throughput.png",
        "Deliveries per second, 4 publications in flight",
        "deliveries/s",
        |point| point.throughput,
    )
}

fn measure(shards: u32, connections: u32) -> anyhow::Result<Point> {
    let server = Kind::Cometql.start_with(&["--shards", &shards.to_string()])?;
    let accounts = Accounts::of(server.target.pid);
    let mut generator = Generator::new(server.target)?;
    let memory = accounts.memory()?;
    generator.subscribe(usize::try_from(connections)?)?;
    let memory = accounts.memory()?.saturating_sub(memory);
    let before = accounts.cpu_us()?;
    let publications = u64::from((DELIVERIES / connections).max(20));
    let delivered = generator.publish(publications, PAYLOAD, Pace::InFlight(4))?;
    let cpu = accounts.cpu_us()? - before;
    let deliveries = as_f64(delivered.deliveries);
    Ok(Point {
        shards,
        connections,
        memory: as_f64(memory) / f64::from(connections),
        delivery: as_f64(cpu) / deliveries,
        throughput: deliveries / delivered.seconds,
    })
}

fn csv(point: &Point) -> String {
    format!(
        "{},{},{:.0},{:.2},{:.0}",
        point.shards, point.connections, point.memory, point.delivery, point.throughput
    )
}
