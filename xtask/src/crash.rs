//! `cargo xtask crash`: the real binary is killed with SIGKILL at random moments under load, and started again.
//!
//! Backends write to durable channels and inboxes and note each row that was answered OK. Browsers keep their positions and
//! come back with them. At the end each answered row must have come once, in order; after every start the lists of who is
//! there must be right within ten seconds. How to read it: docs-site/contributing/proofs.md.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

mod inbox;
mod ledger;
mod node;
mod subscriber;
mod writer;

use crate::browser::Browser;
use crate::process::{cargo, run as run_command, target_dir};
use crate::random::Random;
use ledger::{Counts, END, Written, judge};
use node::Node;
use writer::Target;

/// How many times the server is killed in CI.
const KILLS_IN_CI: u32 = 20;
const CHANNELS: usize = 2;
const WRITERS_OF_A_CHANNEL: usize = 2;
const USERS: u64 = 2;
const SUBSCRIBERS: usize = 4;
/// So long after a start the lists of who is there may be wrong.
const PRESENCE: Duration = Duration::from_secs(10);
/// So long after the last row its end may take to come.
const LAST: Duration = Duration::from_secs(60);

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

/// What all threads see.
pub(super) struct Shared {
    http: SocketAddr,
    mysql: SocketAddr,
    channels: Vec<String>,
    /// The numbers of subscribers that are subscribed to everything.
    there: Mutex<BTreeSet<usize>>,
    writers_stop: AtomicBool,
    quiet: AtomicBool,
    over: AtomicBool,
}

impl Shared {
    fn new(node: &Node) -> Self {
        Self {
            http: node.http,
            mysql: node.mysql,
            channels: (0..CHANNELS).map(|n| format!("web_crash{n}")).collect(),
            there: Mutex::default(),
            writers_stop: AtomicBool::new(false),
            quiet: AtomicBool::new(true),
            over: AtomicBool::new(false),
        }
    }

    fn writers_stop(&self) -> bool {
        self.writers_stop.load(Ordering::Relaxed) || self.is_over()
    }

    /// Nobody leaves of their own accord.
    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    /// Whatever is missing now is lost.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn enter(&self, number: usize) {
        self.there().insert(number);
    }

    fn leave(&self, number: usize) {
        self.there().remove(&number);
    }

    fn all_are_there(&self) -> bool {
        self.there().len() == SUBSCRIBERS
    }

    fn there(&self) -> std::sync::MutexGuard<'_, BTreeSet<usize>> {
        self.there.lock().expect("nobody panics with the list")
    }

    fn uuid(number: usize) -> String {
        format!("browser-{number}")
    }

    fn hash(user: u64) -> String {
        format!("hashof{user}")
    }
}

/// Threads that promise to find an error if there is one.
struct Threads<'scope> {
    writers: Vec<ScopedJoinHandle<'scope, anyhow::Result<Written>>>,
    subscribers: Vec<ScopedJoinHandle<'scope, anyhow::Result<subscriber::Seen>>>,
    inboxes: Vec<ScopedJoinHandle<'scope, anyhow::Result<inbox::Seen>>>,
}

impl<'scope> Threads<'scope> {
    fn start(
        scope: &'scope Scope<'scope, '_>,
        shared: &'scope Shared,
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let mut subscribers = Vec::new();
        for number in 0..SUBSCRIBERS {
            let random = random.split();
            subscribers.push(scope.spawn(move || subscriber::run(number, shared, random)));
        }
        // So that each sees its channels from the beginning.
        until("all subscribers are there", PRESENCE, || {
            Ok(shared.all_are_there())
        })?;
        let mut inboxes = Vec::new();
        for user in 1..=USERS {
            let random = random.split();
            inboxes.push(scope.spawn(move || inbox::run(user, shared, random)));
        }
        let mut writers = Vec::new();
        for (number, target) in targets(shared).into_iter().enumerate() {
            let random = random.split();
            writers.push(scope.spawn(move || writer::run(number, &target, shared, random)));
        }
        Ok(Self {
            writers,
            subscribers,
            inboxes,
        })
    }

    /// True when a thread has ended before it was told to: it has found something.
    fn any_ended(&self) -> bool {
        self.writers.iter().any(ScopedJoinHandle::is_finished)
            || self.subscribers.iter().any(ScopedJoinHandle::is_finished)
            || self.inboxes.iter().any(ScopedJoinHandle::is_finished)
    }
}

/// What each writer writes to.
fn targets(shared: &Shared) -> Vec<Target> {
    let channels = shared.channels.iter().cloned().map(Target::Channel);
    let channels = channels.flat_map(|target| vec![target; WRITERS_OF_A_CHANNEL]);
    channels.chain((1..=USERS).map(Target::User)).collect()
}

fn crash(kills: u32, seed: u64, binary: PathBuf) -> anyhow::Result<String> {
    let mut random = Random::new(seed);
    let mut node = Node::new(binary, &mut random)?;
    node.spawn()?;
    node.wait()?;
    let shared = Shared::new(&node);
    let users = (1..=USERS).map(|user| {
        let hash = Shared::hash(user);
        format!("INSERT INTO users_auth (id, hash) VALUES ({user}, '{hash}')")
    });
    writer::execute(node.mysql, &users.collect::<Vec<_>>())?;
    std::thread::scope(|scope| {
        let driven = Threads::start(scope, &shared, &mut random).and_then(|threads| {
            let driven = drive(kills, &mut node, &shared, &threads, &mut random);
            if driven.is_err() {
                shared.over.store(true, Ordering::Relaxed);
            }
            // What a thread has found says more than what its end stopped.
            let report = report(kills, &mut node, &shared, threads);
            driven.and(Ok(())).or_else(|error| match &report {
                Err(found) => bail!("{found:#} ({error:#})"),
                Ok(_) => Err(error),
            })?;
            report
        });
        shared.over.store(true, Ordering::Relaxed);
        driven
    })
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
        shared.quiet.store(false, Ordering::Relaxed);
        std::thread::sleep(random.millis(20, 500));
        shared.quiet.store(true, Ordering::Relaxed);
        node.kill();
        node.spawn()?;
        if random.once_in(5) {
            // While it starts, or just after.
            std::thread::sleep(random.millis(0, 200));
            node.kill();
            node.spawn()?;
        }
        node.wait().with_context(|| format!("after kill {kill}"))?;
        presence(shared).with_context(|| format!("after kill {kill}"))?;
    }
    Ok(())
}

/// Waits until exactly those who are there count as there.
fn presence(shared: &Shared) -> anyhow::Result<()> {
    let wanted: BTreeSet<String> = (0..SUBSCRIBERS).map(Shared::uuid).collect();
    until("who is there is right", PRESENCE, || {
        if !shared.all_are_there() {
            return Ok(false);
        }
        let mut browser = Browser::open(shared.http, Duration::from_millis(20))?;
        for channel in &shared.channels {
            let reply = browser.ask(&json!({"id": 3, "presence": {"channel": channel}}))?;
            let members = reply["presence"]["members"].as_array();
            let members = members.with_context(|| format!("no members: {reply}"))?;
            let uuids = members.iter().filter_map(|member| member["uuid"].as_str());
            let there: Vec<String> = uuids.map(str::to_owned).collect();
            if there.len() != SUBSCRIBERS || there.into_iter().collect::<BTreeSet<_>>() != wanted {
                return Ok(false);
            }
        }
        for user in 1..=USERS {
            let reply = browser.ask(&json!({"id": 4, "user_status": {"user": user}}))?;
            if reply["user_status"]["online"] != true {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn until(
    what: &str,
    most: Duration,
    mut done: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !done()? {
        ensure!(start.elapsed() < most, "not within {most:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Ends all threads and compares what was written with what came.
fn report(
    kills: u32,
    node: &mut Node,
    shared: &Shared,
    threads: Threads<'_>,
) -> anyhow::Result<String> {
    shared.writers_stop.store(true, Ordering::Relaxed);
    let written = join(threads.writers)?;
    let mut ends: Vec<String> = Vec::new();
    let channels = shared.channels.iter().cloned().map(Target::Channel);
    for target in channels.chain((1..=USERS).map(Target::User)) {
        ends.push(target.insert(&[END.to_owned()]));
    }
    if !shared.is_over() {
        writer::execute(node.mysql, &ends)?;
    }
    let all = || {
        threads
            .subscribers
            .iter()
            .all(ScopedJoinHandle::is_finished)
            && threads.inboxes.iter().all(ScopedJoinHandle::is_finished)
    };
    // The threads say what is missing.
    _ = until("all ends have come", LAST, || Ok(all() || shared.is_over()));
    shared.over.store(true, Ordering::Relaxed);
    let subscribers = join(threads.subscribers)?;
    let inboxes = join(threads.inboxes)?;
    let counts = compare(shared, &written, &subscribers, &inboxes)?;
    Ok(format!(
        "{kills} kills: {} rows were answered OK and came to everybody once and in order; of {} more whose answer a kill \
         took, {} are stored; {} recoveries; {} private messages came again before they were acknowledged",
        counts.answered,
        counts.unknown_stored + counts.unknown_lost,
        counts.unknown_stored,
        subscribers.iter().map(|seen| seen.recovered).sum::<usize>(),
        inboxes.iter().map(|seen| seen.again).sum::<usize>(),
    ))
}

fn compare(
    shared: &Shared,
    written: &[Written],
    subscribers: &[subscriber::Seen],
    inboxes: &[inbox::Seen],
) -> anyhow::Result<Counts> {
    let mut all = Counts::default();
    let mut add = |target: &str, rows: &[(u64, String)]| -> anyhow::Result<()> {
        let texts: Vec<String> = rows.iter().map(|(_, text)| text.clone()).collect();
        let written: Vec<&Written> = written.iter().filter(|w| w.target == target).collect();
        let counts = judge(&written, &texts).with_context(|| target.to_owned())?;
        all.answered += counts.answered;
        all.unknown_stored += counts.unknown_stored;
        all.unknown_lost += counts.unknown_lost;
        Ok(())
    };
    for channel in &shared.channels {
        let first = &subscribers[0].channels[channel];
        add(channel, first)?;
        let same = subscribers
            .iter()
            .all(|seen| &seen.channels[channel] == first);
        ensure!(same, "{channel}: two subscribers saw different things");
    }
    for (user, seen) in (1_u64..).zip(inboxes) {
        add(&user.to_string(), &seen.messages)?;
    }
    Ok(all)
}

fn join<T>(threads: Vec<ScopedJoinHandle<'_, anyhow::Result<T>>>) -> anyhow::Result<Vec<T>> {
    let ended = threads.into_iter().map(ScopedJoinHandle::join);
    let ended = ended.map(|result| result.unwrap_or_else(|_| bail!("a thread panicked")));
    ended.collect()
}
