//! What is promised while the log has lost its quorum, and once it is back: asked of every node, beside what the witnesses see.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::breakage::{Fault, Victims};
use crate::browser::Browser;
use crate::cluster::node::{KEY, Node};
use crate::cluster::ports::until;
use crate::cluster::world::World;
use crate::load::mysql;
use crate::random::Random;

/// A durable channel, and one that needs no log.
pub(super) const CHANNELS: &str = "[[channels]]\nprefix = \"web_stored\"\nsubscribe = \"anyone\"\nhistory = \"durable\"\n\
                                   [[channels]]\nprefix = \"web_passing\"\nsubscribe = \"anyone\"\nhistory = \"none\"\n";
const STORED: &str = "web_stored";
const PASSING: &str = "web_passing";
const WRITTEN: [&str; 3] = ["a publication", "a private message", "a user"];
/// Nobody is ever logged in as this user.
const NOBODY: u64 = 999;
/// The default of `quorum_timeout`, how long a private message waits for an acknowledgement, and what a machine may add that
/// does more than it can.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(10 + 5 + 5);
/// How long nodes may take to see that the log is back, or a NATS server is gone.
const SEEN: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

/// `on_quorum_loss = "live"`: what can't be stored is delivered, and subscribers hear of the gap later.
pub(super) fn goes_on_live(
    world: &mut World,
    survivor: usize,
    random: &mut Random,
) -> anyhow::Result<()> {
    let mut probes = Probes::start(&world.nodes, random)?;
    Fault::LoseLog.begin(survivor, world, &Victims::default())?;
    probes.pass("without the log")?;
    let [stored, message, user] = probes.write_at_once();
    let warnings = stored.context("a publication that can't be stored")?;
    ensure!(warnings > 0, "it was answered OK as if it were stored");
    ensure!(message.is_err(), "a private message to nobody was taken");
    ensure!(user.is_err(), "a change of users_auth was taken");
    let first = probes.text();
    probes.all("it is heard", |probe| Ok(probe.times(&first) == (1, 0)))?;
    probes.pass("while the rest is not stored")?;
    Fault::LoseLog.heal(survivor, world, &Victims::default())?;
    world.wait().context("the log is back")?;
    probes.all("the gap is told", |probe| Ok(probe.gaps > 0))?;
    for probe in &mut probes.each {
        probe.subscribe()?;
    }
    probes.all("there is a place again", |probe| Ok(probe.has_place))?;
    // Sent again it might be known: the log may have it after all, if a server took it that was killed before it said so.
    probes.number += 1;
    probes.is_well()?;
    for probe in &probes.each {
        let times = probe.times(&first);
        ensure!(times.0 == 1 && times.1 <= 1, "{first}: {times:?}");
    }
    Ok(())
}

/// `on_quorum_loss = "refuse"`: errors, and what is sent again when the log is back comes once.
pub(super) fn refuses(
    world: &mut World,
    survivor: usize,
    random: &mut Random,
) -> anyhow::Result<()> {
    configure(world, Some("refuse"))?;
    let mut probes = Probes::start(&world.nodes, random)?;
    Fault::LoseLogRefusing.begin(survivor, world, &Victims::default())?;
    probes.pass("without the log")?;
    for (what, taken) in WRITTEN.iter().zip(probes.write_at_once()) {
        ensure!(taken.is_err(), "{what} was taken without the log");
    }
    probes.pass("while the rest is refused")?;
    let heard = probes.each.iter().any(|probe| !probe.stored.is_empty());
    ensure!(!heard, "what was refused was delivered");
    Fault::LoseLogRefusing.heal(survivor, world, &Victims::default())?;
    world.wait().context("the log is back")?;
    probes.is_well()?;
    configure(world, None)
}

/// Starts all nodes again, as one changes a setting in a hurry.
fn configure(world: &mut World, on_quorum_loss: Option<&str>) -> anyhow::Result<()> {
    const NAME: &str = "COMETQL_CLUSTER_ON_QUORUM_LOSS";
    for node in &mut world.nodes {
        node.environment.retain(|(name, _)| name != NAME);
        let value = on_quorum_loss.map(|value| (NAME.to_owned(), value.to_owned()));
        node.environment.extend(value);
        node.program().stop()?;
        node.spawn()?;
    }
    world.wait()
}

/// A browser at each node, and a backend.
struct Probes {
    each: Vec<Probe>,
    backends: Vec<SocketAddr>,
    /// In the ids of publications: sent again, they are the same ones.
    number: u64,
}

impl Probes {
    fn start(nodes: &[Node], random: &mut Random) -> anyhow::Result<Self> {
        let each: anyhow::Result<_> = nodes.iter().map(|node| Probe::start(node.http)).collect();
        let mut probes = Self {
            each: each?,
            backends: nodes.iter().map(|node| node.mysql).collect(),
            number: random.below(1 << 40) << 8,
        };
        probes.all("the probes are subscribed", |probe| Ok(probe.has_place))?;
        Ok(probes)
    }

    /// Waits until something is so for each of them.
    fn all(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Probe) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        for probe in &mut self.each {
            until(what, SEEN, || {
                probe.listen()?;
                done(probe)
            })
            .with_context(|| format!("{}", probe.server))?;
        }
        Ok(())
    }

    /// What needs no log goes from each node to all of them. Nodes may have to find another NATS server first.
    fn pass(&mut self, when: &str) -> anyhow::Result<()> {
        for (at, backend) in self.backends.clone().into_iter().enumerate() {
            let mut connection = mysql::log_in(backend, KEY)?;
            let mut send = |text: &str| -> anyhow::Result<()> {
                let insert = insert(PASSING, "", text);
                let warnings = mysql::send_one(&mut connection, &insert)?;
                ensure!(warnings == 0, "{warnings} warnings for {text}");
                Ok(())
            };
            let first = format!("{when}, from {at}");
            self.all(&first, |probe| {
                send(&first)?;
                Ok(probe.passed(&first) > 0)
            })?;
            for number in 0..10 {
                let text = format!("{first}: {number}");
                send(&text)?;
                self.all(&text, |probe| Ok(probe.passed(&text) > 0))?;
                let twice = self.each.iter().any(|probe| probe.passed(&text) > 1);
                ensure!(!twice, "{text} came twice");
            }
        }
        Ok(())
    }

    /// A publication, a private message and a user, all at once, as each waits for the log. The numbers of warnings.
    fn write_at_once(&self) -> [anyhow::Result<u16>; 3] {
        let write = |statement: String, backend: SocketAddr| {
            std::thread::spawn(move || -> anyhow::Result<u16> {
                let mut connection = mysql::log_in(backend, KEY)?;
                let start = Instant::now();
                let answer = mysql::send_one(&mut connection, &statement);
                let waited = start.elapsed();
                ensure!(waited < QUORUM_TIMEOUT, "answered after {waited:?}");
                answer
            })
        };
        let statements = self.statements();
        let written = [0, 1, 2].map(|at| write(statements[at].clone(), self.backends[at % 3]));
        written.map(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
        })
    }

    fn statements(&self) -> [String; 3] {
        let id = format!("00000000-0000-4000-8000-{:012x}", self.number);
        [
            insert(STORED, &id, &self.text()),
            format!(
                "INSERT INTO users_messages (id, event, message) VALUES ({NOBODY}, 'e', 'message')"
            ),
            format!("INSERT INTO users_auth (id, hash) VALUES ({NOBODY}, 'hash{NOBODY}')"),
        ]
    }

    /// Of the publication that is written.
    fn text(&self) -> String {
        self.number.to_string()
    }

    /// All is taken, and all browsers hear the publication once, with its place.
    fn is_well(&mut self) -> anyhow::Result<()> {
        for (statement, what) in self.statements().iter().zip(WRITTEN) {
            until(&format!("{what} is taken"), SEEN, || {
                let mut connection = mysql::log_in(self.backends[0], KEY)?;
                Ok(mysql::send_one(&mut connection, statement).is_ok_and(|warnings| warnings == 0))
            })?;
        }
        let text = self.text();
        self.all("what is stored is heard", |probe| {
            Ok(probe.times(&text) != (0, 0))
        })?;
        self.pass("with the log")?;
        for probe in &self.each {
            let times = probe.times(&text);
            ensure!(times == (0, 1), "{}: {text}: {times:?}", probe.server);
        }
        Ok(())
    }
}

fn insert(channel: &str, id: &str, text: &str) -> String {
    format!(
        "INSERT INTO pipes_messages (id, name, event, message) VALUES ('{id}', '{channel}', 'e', '{text}')"
    )
}

/// A browser that stays where it is.
struct Probe {
    server: SocketAddr,
    browser: Browser,
    /// Texts that need no log.
    passing: Vec<String>,
    /// Publications of the durable channel, and whether they came with an offset.
    stored: Vec<(String, bool)>,
    gaps: usize,
    /// What a `subscribe` request to the durable channel says, with the position that was told last.
    wanted: Value,
    /// The node has said where it stands in the durable channel.
    has_place: bool,
}

impl Probe {
    fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let mut probe = Self {
            server,
            browser: Browser::open(server, TICK)?,
            passing: Vec::new(),
            stored: Vec::new(),
            gaps: 0,
            wanted: json!({"channel": STORED}),
            has_place: false,
        };
        let passing = json!({"id": 1, "subscribe": PASSING});
        probe.browser.send(&passing)?;
        probe.subscribe()?;
        Ok(probe)
    }

    /// Again, to hear where the channel stands: that is for those who say where they stand.
    fn subscribe(&mut self) -> anyhow::Result<()> {
        self.has_place = false;
        let request = json!({"id": 2, "subscribe": self.wanted});
        self.browser.send(&request)
    }

    fn passed(&self, text: &str) -> usize {
        self.passing.iter().filter(|other| *other == text).count()
    }

    /// How often a publication of the durable channel came, without an offset and with one.
    fn times(&self, text: &str) -> (usize, usize) {
        let (with, without): (Vec<_>, Vec<_>) = self
            .stored
            .iter()
            .filter(|(other, _)| other == text)
            .partition(|(_, stored)| *stored);
        (without.len(), with.len())
    }

    /// Takes what has come.
    fn listen(&mut self) -> anyhow::Result<()> {
        while let Some(message) = self.browser.read()? {
            let text = |name: &str| message[name].as_str();
            let subscribed = &message["subscribed"];
            if subscribed["channel"] == STORED {
                self.has_place = subscribed["epoch"].is_string();
                for name in ["epoch", "offset"] {
                    self.wanted[name] = subscribed[name].clone();
                }
            } else if text("push") == Some("gap") {
                self.gaps += 1;
            } else if text("push") == Some("publication") && text("channel") == Some(STORED) {
                let text = text("data").context("a text")?.to_owned();
                self.stored.push((text, message["offset"].is_u64()));
            } else if text("push") == Some("publication") {
                self.passing.extend(text("data").map(str::to_owned));
            } else if message["error"].is_object() {
                bail!("refused: {message}");
            }
        }
        Ok(())
    }
}
