//! What being a member of a cluster costs when little happens: a node and its NATS servers at rest, and each channel that a
//! node follows, beside the same channels on a node of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::accounting::Accounts;
use super::frames::client_frame;
use super::generator::{Generator, Pace};
use super::measures::{PAYLOAD, as_f64};
use super::report::Report;
use super::subjects::{Kind, Target};
use crate::cluster::world::World;

/// Channels of one connection: less than a session may subscribe to.
const EACH: usize = 200;
/// How long anything that a start leaves behind may take.
const SETTLE: Duration = Duration::from_secs(8);
/// Publications per second in a channel that nobody listens to.
const RATE: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// A node of its own, a member with one NATS server, and three with three.
pub(super) fn measure(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let alone = Kind::Cometql.start()?;
    let subject = Subject {
        what: "a single node",
        target: alone.target,
        nats: Vec::new(),
    };
    subject.measure(quick, report)?;
    drop(alone);
    for (count, what) in [
        (1, "one of 1 member, 1 NATS server"),
        (3, "one of 3 members, 3 NATS servers"),
    ] {
        let folder = tempfile::tempdir()?;
        let world = super::cluster::start(count, count, folder.path())?;
        let subject = Subject {
            what,
            target: super::cluster::target(&world, 0)?,
            nats: nats(&world),
        };
        subject.measure(quick, report)?;
        world.stop()?;
    }
    Ok(())
}

fn nats(world: &World) -> Vec<Accounts> {
    let ids = world.nats.iter().filter_map(|server| server.id());
    ids.map(Accounts::of).collect()
}

/// What is looked at.
struct Subject {
    what: &'static str,
    target: Target,
    nats: Vec<Accounts>,
}

/// Processor time and memory at a moment: of the node, and of a NATS server on average.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    node: (u64, u64),
    nats: (u64, u64),
}

impl Subject {
    fn measure(&self, quick: bool, report: &mut Report) -> anyhow::Result<()> {
        let channels: usize = if quick { 2_000 } else { 20_000 };
        let rest = Duration::from_secs(if quick { 3 } else { 20 });
        std::thread::sleep(SETTLE);
        let start = self.now()?;
        let add = |report: &mut Report, name: &str, figure: f64, unit| {
            let name = format!("{name}, {}", self.what);
            report.number(Kind::Cometql, name, figure, unit);
        };
        add(report, "memory at rest", as_f64(start.node.1) / 1e6, "MB");
        if !self.nats.is_empty() {
            add(
                report,
                "memory of a NATS server at rest",
                as_f64(start.nats.1) / 1e6,
                "MB",
            );
        }
        self.processor("at rest", rest, report)?;
        // What the first connections and channels cost once is not counted.
        let first = follow(self.target.subscribe, 0, EACH * 2)?;
        std::thread::sleep(SETTLE / 4);
        let before = self.now()?;
        let followed = follow(self.target.subscribe, EACH * 2, channels)?;
        std::thread::sleep(SETTLE / 4);
        let after = self.now()?;
        let each = |before: u64, after: u64| {
            as_f64(after.saturating_sub(before)) / as_f64(channels as u64)
        };
        let node = each(before.node.1, after.node.1);
        add(report, "bytes per followed channel", node, "B");
        let cpu = each(before.node.0, after.node.0);
        add(report, "µs CPU per followed channel", cpu, "µs");
        if !self.nats.is_empty() {
            let nats = each(before.nats.1, after.nats.1);
            add(
                report,
                "bytes per followed channel, a NATS server",
                nats,
                "B",
            );
        }
        let name = format!("with {channels} channels followed");
        self.processor(&name, rest, report)?;
        let mut generator = Generator::new(self.target)?;
        generator.subscribe(1)?;
        let before = self.now()?;
        let count = u64::from(RATE) * rest.as_secs();
        generator.publish(count, PAYLOAD, Pace::PerSecond(RATE))?;
        let name =
            format!("with {channels} channels followed and {RATE} publications/s in another");
        self.told(&name, before, report)?;
        drop((first, followed));
        Ok(())
    }

    fn now(&self) -> anyhow::Result<Moment> {
        let count = self.nats.len().max(1) as u64;
        let (mut cpu, mut memory) = (0, 0);
        for server in &self.nats {
            cpu += server.cpu_us()?;
            memory += server.memory()?;
        }
        let node = Accounts::of(self.target.pid);
        Ok(Moment {
            at: Instant::now(),
            node: (node.cpu_us()?, node.memory()?),
            nats: (cpu / count, memory / count),
        })
    }

    fn processor(&self, when: &str, rest: Duration, report: &mut Report) -> anyhow::Result<()> {
        let before = self.now()?;
        std::thread::sleep(rest);
        self.told(when, before, report)
    }

    /// Processor time since a moment.
    fn told(&self, when: &str, before: Moment, report: &mut Report) -> anyhow::Result<()> {
        let now = self.now()?;
        let seconds = (now.at - before.at).as_secs_f64();
        let mut add = |name: &str, before: u64, after: u64| {
            let name = format!("{name}, {when}, {}", self.what);
            let figure = as_f64(after - before) / 1_000.0 / seconds;
            report.number(Kind::Cometql, name, figure, "ms/s");
        };
        add("CPU", before.node.0, now.node.0);
        if !self.nats.is_empty() {
            add("CPU of a NATS server", before.nats.0, now.nats.0);
        }
        Ok(())
    }
}

/// Connections that are subscribed to so many channels of their own, from this number on.
fn follow(server: SocketAddr, first: usize, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut connections = Vec::new();
    for at in (first..first + count).step_by(EACH) {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let (path, _) = Kind::Cometql.request();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut answers = Answers::default();
        answers.wait(&mut stream, b"\r\n\r\n", 1)?;
        let mut told = 0;
        for id in 0..EACH {
            let channel = at + id;
            let request = format!(r#"{{"id":{},"subscribe":"web_follow_{channel}"}}"#, id + 1);
            stream.write_all(&client_frame(1, request.as_bytes()))?;
            // A session has so many requests without an answer at most.
            if id % 16 == 15 || id + 1 == EACH {
                told = id + 1;
                answers.wait(&mut stream, b"\"subscribed\"", told)?;
            }
        }
        ensure!(told == EACH, "{told} of {EACH} subscriptions");
        connections.push(stream);
    }
    Ok(connections)
}

/// What came over a connection.
#[derive(Default)]
struct Answers(Vec<u8>);

impl Answers {
    /// Reads until something came so often.
    fn wait(&mut self, stream: &mut TcpStream, what: &[u8], times: usize) -> anyhow::Result<()> {
        let mut scratch = [0; 16 << 10];
        while memchr::memmem::find_iter(&self.0, what).count() < times {
            let length = stream.read(&mut scratch).with_context(|| {
                let told = String::from_utf8_lossy(&self.0);
                format!("no answer after {told:.200}")
            })?;
            ensure!(length > 0, "the node closed a connection");
            self.0.extend(&scratch[..length]);
        }
        Ok(())
    }
}
