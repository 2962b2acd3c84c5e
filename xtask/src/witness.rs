//! Backends that note what was answered OK, browsers that note what came, and whether the one fits the other, whatever is done
//! to the servers meanwhile. [`crate::crash`] kills a node, [`crate::faults`] breaks a cluster.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

mod inbox;
mod ledger;
mod subscriber;
mod writer;

use crate::browser::Browser;
use crate::cluster::ports::until;
use crate::random::Random;
use ledger::{Counts, END, Written, judge};
use writer::Target;

/// All channels of the witnesses begin so.
pub(crate) const PREFIX: &str = "web_witness";
const CHANNELS: usize = 2;
const WRITERS_OF_A_CHANNEL: usize = 2;
const USERS: u64 = 2;
const SUBSCRIBERS: usize = 4;
/// So long after the last row its end may take to come.
const LAST: Duration = Duration::from_secs(60);
/// How long a server that is there may take for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long one of several servers may: there are others.
const HANDSHAKE_OF_MANY: Duration = Duration::from_secs(3);

/// A server, or a balancer in front of several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) mysql: SocketAddr,
}

/// What all threads see.
pub(crate) struct Shared {
    servers: Vec<Server>,
    key: &'static str,
    channels: Vec<String>,
    /// The numbers of subscribers that are subscribed to everything.
    there: Mutex<BTreeSet<usize>>,
    writers_stop: AtomicBool,
    quiet: AtomicBool,
    over: AtomicBool,
    /// What a thread found first. Others then only say what had not come yet.
    found: Mutex<Option<String>>,
}

impl Shared {
    /// Witnesses of these servers, whose tenant 0 has this key. The channels must be durable, and presence anybody's to ask for.
    pub(crate) fn new(servers: Vec<Server>, key: &'static str) -> Self {
        Self {
            servers,
            key,
            channels: (0..CHANNELS).map(|n| format!("{PREFIX}{n}")).collect(),
            there: Mutex::default(),
            writers_stop: AtomicBool::new(false),
            quiet: AtomicBool::new(true),
            over: AtomicBool::new(false),
            found: Mutex::default(),
        }
    }

    /// Keeps what a thread has found, unless it was told to end.
    fn noting<T>(&self, ended: anyhow::Result<T>) -> anyhow::Result<T> {
        if let Err(error) = &ended
            && !self.is_over()
        {
            let mut found = self.found.lock().expect("nobody panics with it");
            found.get_or_insert_with(|| format!("{error:#}"));
        }
        ended
    }

    /// From now on nobody leaves of their own accord, or they do again.
    pub(crate) fn be_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Ordering::Relaxed);
    }

    /// Whatever is missing now is lost.
    pub(crate) fn give_up(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Of several servers some may refuse, be silent, or have no log for a while: then one goes elsewhere. A single one that
    /// is there never may.
    fn is_cluster(&self) -> bool {
        self.servers.len() > 1
    }

    fn server(&self, random: &mut Random) -> Server {
        let count = u64::try_from(self.servers.len()).expect("few");
        let at = usize::try_from(random.below(count)).expect("few");
        self.servers[at]
    }

    /// Another one than that which was silent.
    fn server_but(&self, silent: Option<SocketAddr>, random: &mut Random) -> SocketAddr {
        loop {
            let server = self.server(random).http;
            if Some(server) != silent || !self.is_cluster() {
                return server;
            }
        }
    }

    fn handshake(&self) -> Duration {
        if self.is_cluster() {
            HANDSHAKE_OF_MANY
        } else {
            HANDSHAKE
        }
    }

    fn writers_stop(&self) -> bool {
        self.writers_stop.load(Ordering::Relaxed) || self.is_over()
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn enter(&self, number: usize) {
        self.there().insert(number);
    }

    fn leave(&self, number: usize) {
        self.there().remove(&number);
    }

    /// Whether all subscribers are subscribed to everything.
    pub(crate) fn all_are_there(&self) -> bool {
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

    /// Makes the users known that the witnesses log in as.
    pub(crate) fn make_users(&self) -> anyhow::Result<()> {
        let users = (1..=USERS).map(|user| {
            let hash = Self::hash(user);
            format!("INSERT INTO users_auth (id, hash) VALUES ({user}, '{hash}')")
        });
        writer::execute(self.servers[0].mysql, self.key, &users.collect::<Vec<_>>())
    }

    /// Waits until this server says that exactly those are there who are; `stop` = something else is wrong.
    pub(crate) fn wait_for_presence(
        &self,
        server: SocketAddr,
        most: Duration,
        stop: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let mut wrong = String::new();
        let right = until("who is there is right", most, || {
            // A node of a cluster may be so slow that it does not answer in time.
            wrong = match self.wrong_presence(server) {
                Ok(wrong) => wrong,
                Err(error) if self.is_cluster() => format!("{error:#}"),
                Err(error) => return Err(error),
            };
            Ok(wrong.is_empty() || stop())
        });
        right.with_context(|| format!("{server}: {wrong}"))
    }

    /// What is wrong with whom it calls there; empty = nothing.
    fn wrong_presence(&self, server: SocketAddr) -> anyhow::Result<String> {
        if !self.all_are_there() {
            return Ok("not all browsers are subscribed".to_owned());
        }
        let wanted: BTreeSet<String> = (0..SUBSCRIBERS).map(Self::uuid).collect();
        let mut browser =
            Browser::open_within(server, Duration::from_millis(20), self.handshake())?;
        for channel in &self.channels {
            let reply = browser.ask(&json!({"id": 3, "presence": {"channel": channel}}))?;
            let members = reply["presence"]["members"].as_array();
            let members = members.with_context(|| format!("no members: {reply}"))?;
            let uuids = members.iter().filter_map(|member| member["uuid"].as_str());
            let there: Vec<String> = uuids.map(str::to_owned).collect();
            if there.len() != SUBSCRIBERS
                || there.iter().cloned().collect::<BTreeSet<_>>() != wanted
            {
                return Ok(format!("{there:?} in {channel}"));
            }
        }
        for user in 1..=USERS {
            let reply = browser.ask(&json!({"id": 4, "user_status": {"user": user}}))?;
            if reply["user_status"]["online"] != true {
                return Ok(format!("user {user} is not online: {reply}"));
            }
        }
        Ok(String::new())
    }
}

/// Runs the witnesses while `drive` does what it does to the servers; then compares what was written with what came.
pub(crate) fn testify(
    shared: &Shared,
    random: &mut Random,
    drive: impl FnOnce(&Threads<'_>, &mut Random) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    std::thread::scope(|scope| {
        let driven = Threads::start(scope, shared, random).and_then(|threads| {
            let driven = drive(&threads, random);
            if driven.is_err() {
                shared.give_up();
            }
            // What a thread has found says more than what its end stopped.
            let report = report(shared, threads);
            let found = shared.found.lock().expect("nobody panics with it").take();
            let found = found.or_else(|| report.as_ref().err().map(|error| format!("{error:#}")));
            match (driven, found) {
                (Err(error), Some(found)) => bail!("{found} ({error:#})"),
                (Ok(()), Some(found)) => bail!(found),
                (Err(error), None) => Err(error),
                (Ok(()), None) => report,
            }
        });
        shared.give_up();
        driven
    })
}

/// Threads that promise to find an error if there is one.
pub(crate) struct Threads<'scope> {
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
            subscribers
                .push(scope.spawn(move || shared.noting(subscriber::run(number, shared, random))));
        }
        // So that each sees its channels from the beginning.
        let all = || Ok(shared.all_are_there());
        if let Err(error) = until("all subscribers are there", HANDSHAKE * 2, all) {
            shared.give_up();
            return Err(error);
        }
        let mut inboxes = Vec::new();
        for user in 1..=USERS {
            let random = random.split();
            inboxes.push(scope.spawn(move || shared.noting(inbox::run(user, shared, random))));
        }
        let mut writers = Vec::new();
        for (number, target) in targets(shared).into_iter().enumerate() {
            let random = random.split();
            writers.push(
                scope.spawn(move || shared.noting(writer::run(number, &target, shared, random))),
            );
        }
        Ok(Self {
            writers,
            subscribers,
            inboxes,
        })
    }

    /// True when a thread has ended before it was told to: it has found something.
    pub(crate) fn any_ended(&self) -> bool {
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

/// Ends all threads and compares what was written with what came.
fn report(shared: &Shared, threads: Threads<'_>) -> anyhow::Result<String> {
    shared.writers_stop.store(true, Ordering::Relaxed);
    let written = join(threads.writers)?;
    let mut ends: Vec<String> = Vec::new();
    let channels = shared.channels.iter().cloned().map(Target::Channel);
    for target in channels.chain((1..=USERS).map(Target::User)) {
        ends.push(target.insert(&[END.to_owned()]));
    }
    if !shared.is_over() {
        writer::execute(shared.servers[0].mysql, shared.key, &ends)?;
    }
    let all = || {
        let subscribers = &threads.subscribers;
        subscribers.iter().all(ScopedJoinHandle::is_finished)
            && threads.inboxes.iter().all(ScopedJoinHandle::is_finished)
    };
    // The threads say what is missing.
    _ = until("all ends have come", LAST, || Ok(all() || shared.is_over()));
    shared.give_up();
    let subscribers = join(threads.subscribers)?;
    let inboxes = join(threads.inboxes)?;
    let counts = compare(shared, &written, &subscribers, &inboxes)?;
    let sum = |count: fn(&subscriber::Seen) -> usize| subscribers.iter().map(count).sum::<usize>();
    Ok(format!(
        "{} rows were answered OK and came to everybody once and in order; of {} more without such an answer, {} are stored; \
         {} recoveries; {} gaps were told and closed, {} of them by what is kept; {} private messages came again before they were acknowledged",
        counts.answered,
        counts.unknown_stored + counts.unknown_lost,
        counts.unknown_stored,
        sum(|seen| seen.recovered),
        sum(|seen| seen.gaps + seen.losses),
        sum(|seen| seen.losses),
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
        let counts = judge(&written, &texts, shared.is_cluster());
        let counts = counts.with_context(|| target.to_owned())?;
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
