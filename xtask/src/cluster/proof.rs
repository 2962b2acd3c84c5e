//! The step `cluster` of `cargo xtask ci`: a cluster of real programs behind HAProxy, of which some die, stop and come back.
//!
//! Each case begins where the one before ended.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use super::balancer::{Balancer, MISSING};
use super::follower::Follower;
use super::node::KEY;
use super::pages;
use super::ports::until;
use super::world::{Plan, World};
use crate::browser::Browser;
use crate::ci::{Ending, Tally, nothing_may_be_skipped};
use crate::clients;
use crate::load::mysql;
use crate::process::{cargo, find_program, nats_server, run as run_command, target_dir};

/// Channels whose history is in the log, and those that need no log.
const CHANNELS: &str = "[[channels]]\nprefix = \"web_kept\"\nsubscribe = \"anyone\"\npresence = \"anyone\"\nhistory = \"durable\"\n\
                        [[channels]]\nprefix = \"web_live\"\nsubscribe = \"anyone\"\nhistory = \"none\"\n";
const KEPT: &str = "web_kept";
const LIVE: &str = "web_live";
/// How long a statement may be tried again and again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long HAProxy may take to see that a node is gone or back.
const SEEN: Duration = Duration::from_secs(40);

type Case = (&'static str, What);

#[derive(Clone, Copy)]
enum What {
    Ours(fn(&mut Proof) -> anyhow::Result<()>),
    /// Pages with the npm package in this browser.
    Pages(&'static str),
}

const CASES: &[Case] = &[
    (
        "an INSERT reaches browsers on every node",
        What::Ours(everywhere),
    ),
    ("a node is killed", What::Ours(killed)),
    ("it comes back", What::Ours(back)),
    ("a node is stopped", What::Ours(stopped)),
    ("a NATS server is killed", What::Ours(nats_killed)),
    ("no node has its log", What::Ours(without_log)),
    ("Chromium: a page's node is killed", What::Pages("chromium")),
    ("Firefox: a page's node is killed", What::Pages("firefox")),
    ("the last node serves everybody", What::Ours(last)),
];

struct Proof {
    world: World,
    followers: Vec<Follower>,
    /// The number of the next publication.
    next: usize,
}

/// Runs all cases.
pub(crate) fn step(tally: &mut Tally) -> anyhow::Result<Ending> {
    if find_program("haproxy").is_none() {
        return Ok(Ending::Skipped(MISSING.into()));
    }
    if let Err(error) = nats_server() {
        return Ok(Ending::Skipped(format!("no nats-server: {error:#}")));
    }
    run_command(&mut cargo(&["build", "--package", "cometql-server"]))?;
    prove(&target_dir().join("debug/cometql"), tally)
}

/// The same with a program that is built already.
pub(crate) fn prove(binary: &Path, tally: &mut Tally) -> anyhow::Result<Ending> {
    let folder = tempfile::tempdir()?;
    let mut proof = Proof::start(binary, folder.path())?;
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let start = Instant::now();
        let ending = match proof.run(*case) {
            Ok(Ending::Skipped(why)) if nothing_may_be_skipped() => Ending::Failed(why),
            Ok(ending) => ending,
            Err(error) => Ending::Failed(format!("{error:#}")),
        };
        let seconds = start.elapsed().as_secs_f64();
        tally.count(&ending);
        match ending {
            Ending::Passed => println!("cluster: {name:45} passed {seconds:5.1} s"),
            Ending::Skipped(why) => println!("cluster: {name:45} skipped: {why}"),
            Ending::Failed(why) => {
                println!("cluster: {name:45} FAILED {seconds:5.1} s\n  {why}");
                failed.push(*name);
                break;
            }
        }
    }
    if failed.is_empty() {
        return Ok(Ending::Passed);
    }
    Ok(Ending::Failed(failed.join(", ")))
}

impl Proof {
    fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let world = World::start(&Plan {
            nodes: 3,
            nats: 3,
            binary,
            folder,
            more: CHANNELS,
            files: None,
            tls: true,
            links: false,
            front: None,
            balancer: true,
        })?;
        Ok(Self {
            world,
            followers: Vec::new(),
            next: 0,
        })
    }

    fn run(&mut self, case: What) -> anyhow::Result<Ending> {
        match case {
            What::Ours(case) => case(self)?,
            What::Pages(browser) => {
                if let Some(missing) = clients::prepare_pages(browser)? {
                    return Ok(Ending::Skipped(missing));
                }
                let front = self.balancer()?.addresses.browsers;
                let channel = format!("{KEPT}_{browser}");
                pages::run(browser, &mut self.world.nodes, front, &channel)?;
                self.send(6)?;
            }
        }
        Ok(Ending::Passed)
    }

    fn balancer(&self) -> anyhow::Result<&Balancer> {
        let balancer = self.world.balancer.as_ref();
        balancer.context("it was asked for")
    }

    fn sql(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.balancer()?.addresses.sql)
    }

    /// Sends over new connections through HAProxy, and waits until everybody has everything.
    fn send(&mut self, count: usize) -> anyhow::Result<()> {
        let sql = self.sql()?;
        let mut last = String::new();
        for _ in 0..count {
            last = format!("text {}", self.next);
            self.next += 1;
            insert(sql, &last)?;
        }
        for follower in &mut self.followers {
            follower.wait_for(&last)?;
        }
        self.check()
    }

    /// Everybody has exactly what was sent, in order.
    fn check(&self) -> anyhow::Result<()> {
        let sent: Vec<String> = (0..self.next).map(|n| format!("text {n}")).collect();
        for follower in &self.followers {
            let seen = &follower.texts;
            ensure!(*seen == sent, "{seen:?} instead of {} texts", sent.len());
        }
        Ok(())
    }

    fn until_seen(&mut self, node: usize, up: bool) -> anyhow::Result<()> {
        let name = self.world.nodes[node].name.clone();
        let balancer = self.balancer()?;
        until(&format!("{name} up: {up}"), SEEN, || {
            Ok(balancer.is_up(&name)? == up)
        })
    }
}

/// One row, again and again under the same id until it is answered OK and kept.
fn insert(sql: SocketAddr, text: &str) -> anyhow::Result<()> {
    let number = text.trim_start_matches("text ");
    let id = format!("00000000-0000-4000-8000-{number:0>12}");
    let row = format!(
        "INSERT INTO pipes_messages (id, name, event, message) VALUES ('{id}', '{KEPT}', 'e', '{text}')"
    );
    let start = Instant::now();
    loop {
        let sent =
            mysql::log_in(sql, KEY).and_then(|mut stream| mysql::send_one(&mut stream, &row));
        match sent {
            Ok(0) => return Ok(()),
            Ok(warnings) if start.elapsed() > PATIENCE => bail!("{warnings} warnings"),
            Err(error) if start.elapsed() > PATIENCE => return Err(error),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn everywhere(proof: &mut Proof) -> anyhow::Result<()> {
    for node in &proof.world.nodes {
        proof.followers.push(Follower::start(node.http, KEPT)?);
    }
    // Through HAProxy every node gets its share of the statements.
    proof.send(9)
}

/// Those who were there come back elsewhere, and have missed nothing.
fn killed(proof: &mut Proof) -> anyhow::Result<()> {
    proof.world.nodes[0].program().kill();
    proof.followers[0].move_to(proof.world.nodes[1].http);
    proof.send(6)?;
    // More than once, when a connection of the new place broke: what came was compared.
    ensure!(proof.followers[0].recovered > 0, "it did not recover");
    proof.until_seen(0, false)?;
    proof.send(6)
}

fn back(proof: &mut Proof) -> anyhow::Result<()> {
    proof.world.nodes[0].spawn()?;
    proof.world.nodes[0].wait()?;
    proof.until_seen(0, true)?;
    let before = proof.followers[0].recovered;
    proof.followers[0].move_to(proof.world.nodes[0].http);
    proof.send(9)?;
    ensure!(proof.followers[0].recovered > before, "it did not recover");
    Ok(())
}

/// As in a rolling upgrade: nobody loses anything, and it comes back.
fn stopped(proof: &mut Proof) -> anyhow::Result<()> {
    proof.world.nodes[1].program().stop()?;
    proof.followers[1].move_to(proof.world.nodes[2].http);
    proof.send(6)?;
    proof.world.nodes[1].spawn()?;
    proof.world.nodes[1].wait()?;
    proof.until_seen(1, true)?;
    proof.followers[1].move_to(proof.world.nodes[1].http);
    proof.send(6)
}

fn nats_killed(proof: &mut Proof) -> anyhow::Result<()> {
    proof.world.nats[0].program().kill();
    proof.send(6)?;
    proof.world.nats[0].spawn()?;
    proof.world.nats[0].wait()?;
    proof.send(6)
}

/// Browsers and backends are let in all the same, and what needs no log goes on at each node.
fn without_log(proof: &mut Proof) -> anyhow::Result<()> {
    for server in &mut proof.world.nats {
        server.program().kill();
    }
    for node in 0..proof.world.nodes.len() {
        proof.until_seen(node, false)?;
    }
    let front = proof.balancer()?.addresses.plain;
    let mut browsers = Vec::new();
    // A new WebSocket goes to the node with the fewest, so each gets some.
    for _ in 0..2 * proof.world.nodes.len() {
        let mut browser = Browser::open(front, Duration::from_millis(20))?;
        let reply = browser.ask(&json!({"id": 1, "subscribe": LIVE}))?;
        ensure!(reply["subscribed"].is_object(), "{reply}");
        browsers.push(browser);
    }
    let sql = proof.sql()?;
    let row =
        format!("INSERT INTO pipes_messages (name, event, message) VALUES ('{LIVE}', 'e', 'live')");
    let mut heard = vec![false; browsers.len()];
    until("a statement at each node was heard", PATIENCE, || {
        let warnings = mysql::send_one(&mut mysql::log_in(sql, KEY)?, &row)?;
        ensure!(warnings == 0, "{warnings} warnings");
        for (heard, browser) in heard.iter_mut().zip(&mut browsers) {
            while let Some(message) = browser.read()? {
                *heard |= message["data"] == "live";
            }
        }
        Ok(heard.iter().all(|heard| *heard))
    })?;
    for server in &mut proof.world.nats {
        server.spawn()?;
    }
    proof.world.wait()?;
    for node in 0..proof.world.nodes.len() {
        proof.until_seen(node, true)?;
    }
    proof.send(6)
}

fn last(proof: &mut Proof) -> anyhow::Result<()> {
    let survivor = proof.world.nodes[2].http;
    for node in 0..2 {
        proof.world.nodes[node].program().kill();
        proof.followers[node].move_to(survivor);
    }
    proof.send(6)?;
    proof.until_seen(0, false)?;
    proof.until_seen(1, false)?;
    proof.send(6)
}
