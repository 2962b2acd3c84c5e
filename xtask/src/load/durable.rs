//! What durability costs: INSERTs and deliveries on a channel that keeps its history on disk, and clients that come back
//! after the server was killed.

use std::net::{SocketAddr, TcpStream};
use std::thread;

use anyhow::Context as _;

use super::accounting::Accounts;
use super::generator::{Generator, Pace};
use super::measures::{PAYLOAD, as_f64, deliveries, hundred_rows};
use super::publisher::insert;
use super::report::Report;
use super::subjects::{CHANNEL, KEY, Kind, Running, Subscription};
use super::{frames, mysql};

/// Publications that each client misses.
const MISSED: u64 = 10;
/// Backends that insert at the same time.
const BACKENDS: u64 = 32;

/// Deliveries as on a channel with the default window.
pub(super) fn delivered(kind: Kind, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    for (subscribers, publications, pace, names) in [
        (
            1_000,
            300,
            Pace::PerSecond(20),
            (
                "µs CPU/delivery, durable, 1,000 subscribers, 20/s",
                "p50, durable, 20/s",
                "p99, durable, 20/s",
            ),
        ),
        (
            1_000,
            4_000,
            Pace::InFlight(16),
            (
                "µs CPU/delivery, durable, 1,000, 16 in flight",
                "p50, durable, 16 in flight",
                "p99, durable, 16 in flight",
            ),
        ),
        (
            10_000,
            400,
            Pace::InFlight(4),
            (
                "µs CPU/delivery, durable, 10,000, 4 in flight",
                "p50, durable, 10,000, 4 in flight",
                "p99, durable, 10,000, 4 in flight",
            ),
        ),
    ] {
        let server = start(kind)?;
        let accounts = Accounts::of(server.target.pid);
        let mut generator = Generator::new(server.target)?;
        generator.subscribe(subscribers)?;
        let run = (if quick { 20 } else { publications }, pace);
        deliveries(kind, accounts, &mut generator, run, names, report)?;
    }
    Ok(())
}

/// Processor time per client that comes back after `kill -9` and is told what it missed.
pub(super) fn recover(kind: Kind, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let mut server = start(kind)?;
    let clients: u32 = if quick { 1_000 } else { 10_000 };
    let mut generator = Generator::new(server.target)?;
    generator.subscribe(usize::try_from(clients)?)?;
    generator.publish(MISSED, PAYLOAD, Pace::PerSecond(100))?;
    let (epoch, offset) = position(server.target.subscribe)?;
    generator.publish(MISSED, PAYLOAD, Pace::PerSecond(100))?;
    let missed_from = generator.next() - MISSED;
    drop(generator);
    server.restart()?;
    let accounts = Accounts::of(server.target.pid);
    let since = Subscription::since(&epoch, offset);
    let mut generator = Generator::resuming(server.target, since, missed_from)?;
    let before = accounts.cpu_us()?;
    generator.recover(usize::try_from(clients)?, MISSED)?;
    let cpu = accounts.cpu_us()? - before;
    report.number(
        kind,
        "µs CPU/recovery of 10 publications, 10,000",
        as_f64(cpu) / f64::from(clients),
        "µs, all recovered",
    );
    Ok(())
}

/// A server whose channel is durable.
fn start(kind: Kind) -> anyhow::Result<Running> {
    let server = kind.start()?;
    let mut stream = mysql::log_in(server.target.publish, KEY)?;
    let setting = format!("INSERT INTO pipes_settings (name, length) VALUES ('{CHANNEL}', 1000)");
    mysql::insert_all(&mut stream, &[setting], 1)?;
    Ok(server)
}

/// Processor time per row from 32 connections.
pub(super) fn inserts(kind: Kind, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let server = start(kind)?;
    let accounts = Accounts::of(server.target.pid);
    let each: u64 = if quick { 100 } else { 2_000 };
    let single: Vec<String> = (0..each)
        .map(|row| insert(&frames::payload(row, 0, PAYLOAD)))
        .collect();
    let many: Vec<String> = (0..each / 20).map(hundred_rows).collect();
    let cases = [
        ("µs CPU/row, durable INSERT, 32 backends", &single, each),
        (
            "µs CPU/row, durable, 100 rows, 32 backends",
            &many,
            each * 5,
        ),
    ];
    for (name, statements, rows) in cases {
        let before = accounts.cpu_us()?;
        from_many(server.target.publish, statements)?;
        let cpu = accounts.cpu_us()? - before;
        report.number(kind, name, as_f64(cpu) / as_f64(rows * BACKENDS), "µs");
    }
    Ok(())
}

/// Every backend sends all statements, one at a time.
fn from_many(server: SocketAddr, statements: &[String]) -> anyhow::Result<()> {
    let streams = (0..BACKENDS).map(|_| mysql::log_in(server, KEY));
    let streams = streams.collect::<anyhow::Result<Vec<TcpStream>>>()?;
    thread::scope(|scope| {
        let backend = |mut stream: TcpStream| {
            scope.spawn(move || mysql::insert_all(&mut stream, statements, 1))
        };
        let backends: Vec<_> = streams.into_iter().map(backend).collect();
        for backend in backends {
            backend.join().expect("a backend does not panic")?;
        }
        Ok(())
    })
}

/// Where the channel is, as a new subscriber is told.
fn position(server: SocketAddr) -> anyhow::Result<(String, u64)> {
    let (mut socket, _) = tungstenite::connect(format!("ws://{server}/connect?v=1"))?;
    let request = format!(r#"{{"id":1,"subscribe":"{CHANNEL}"}}"#);
    socket.send(request.into())?;
    let answer: serde_json::Value = serde_json::from_str(socket.read()?.to_text()?)?;
    let subscribed = &answer["subscribed"];
    let epoch = subscribed["epoch"].as_str().context("no epoch")?;
    let offset = subscribed["offset"].as_u64().context("no offset")?;
    Ok((epoch.to_owned(), offset))
}
