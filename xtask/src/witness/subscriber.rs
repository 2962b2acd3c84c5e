//! A browser that is subscribed to all channels, keeps its positions, and comes back with them whenever its connection ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::Shared;
use super::ledger::END;
use crate::browser::Browser;
use crate::positions::Positions;
use crate::random::Random;

const TICK: Duration = Duration::from_millis(20);
/// One of several nodes that is silent for so long is left.
const SILENCE: Duration = Duration::from_secs(4);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(10);

/// What one subscriber saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By channel: offsets and texts as they came.
    pub(super) channels: BTreeMap<String, Vec<(u64, String)>>,
    /// How often it came back and recovered, over all channels.
    pub(super) recovered: usize,
    /// How often a node of a cluster said, or showed, that something is missing, and was asked for it.
    pub(super) gaps: usize,
    /// How often something was missing that no node has, and what is kept was asked for.
    pub(super) losses: usize,
    /// Channels of which such an answer is awaited.
    asked: BTreeSet<String>,
    positions: Positions,
}

/// Runs until the end of every channel has come.
pub(super) fn run(number: usize, shared: &Shared, mut random: Random) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut silent = None;
    while !seen.is_complete(shared) {
        ensure!(!shared.is_over(), "{}", seen.missing(shared));
        let server = shared.server_but(silent, &mut random);
        let Ok(mut browser) = Browser::open_within(server, TICK, shared.handshake()) else {
            std::thread::sleep(AGAIN);
            continue;
        };
        let visit = seen.visit(number, &mut browser, shared, &mut random);
        shared.leave(number);
        silent = visit?.then_some(server);
    }
    Ok(seen)
}

impl Seen {
    fn is_complete(&self, shared: &Shared) -> bool {
        shared.channels.iter().all(|channel| {
            let texts = self.channels.get(channel);
            let last = texts.and_then(|texts| texts.last());
            last.is_some_and(|(_, text)| text == END)
        })
    }

    fn missing(&self, shared: &Shared) -> String {
        let count = |channel| self.channels.get(channel).map_or(0, Vec::len);
        let counts: Vec<_> = shared.channels.iter().map(|c| (c, count(c))).collect();
        format!("the end of a channel did not come; came so far: {counts:?}")
    }

    /// One connection. An error is a broken promise; a connection that ends is none. True = the node was silent.
    fn visit(
        &mut self,
        number: usize,
        browser: &mut Browser,
        shared: &Shared,
        random: &mut Random,
    ) -> anyhow::Result<bool> {
        if self.greet(number, browser, shared).is_err() {
            return Ok(false);
        }
        self.asked = shared.channels.iter().cloned().collect();
        let mut heard = Instant::now();
        let leave_at = Instant::now() + random.millis(200, 3000);
        while !self.is_complete(shared) && !shared.is_over() {
            if Instant::now() > leave_at && !shared.is_quiet() {
                return Ok(false);
            }
            let Ok(message) = browser.read() else {
                return Ok(false);
            };
            if shared.is_cluster() && heard.elapsed() > SILENCE {
                return Ok(true);
            }
            let Some(message) = message else { continue };
            // What a node says without the log is no sign that it hears of the others.
            if message["offset"].is_u64() && message["push"] == "publication" {
                heard = Instant::now();
            }
            if !self.take(&message, browser, shared)? {
                return Ok(false);
            }
            if self.asked.is_empty() {
                shared.enter(number);
            }
        }
        Ok(false)
    }

    /// False = this node is of no use for now.
    fn take(
        &mut self,
        message: &Value,
        browser: &mut Browser,
        shared: &Shared,
    ) -> anyhow::Result<bool> {
        if message["push"] == "publication" {
            self.publication(message, browser, shared)
        } else if message["push"] == "gap" {
            ensure!(shared.is_cluster(), "{message}");
            let channel = message["channel"].as_str().context("a channel")?;
            // One question at a time: what is missing behind its answer shows by itself.
            Ok(self.asked.contains(channel) || self.ask_again(channel, browser))
        } else if message["subscribed"].is_object() {
            self.subscribed(&message["subscribed"], browser, shared)
        } else if message["history"].is_object() {
            Ok(self.kept(&message["history"], browser)?)
        } else if message["error"].is_object() {
            ensure!(shared.is_cluster(), "refused: {message}");
            Ok(false)
        } else {
            Ok(true)
        }
    }

    fn greet(&self, number: usize, browser: &mut Browser, shared: &Shared) -> anyhow::Result<()> {
        browser.send(&json!({"id": 1, "connect": {"uuid": Shared::uuid(number)}}))?;
        for channel in &shared.channels {
            let subscribe = self.positions.request(channel);
            browser.send(&json!({"id": 2, "subscribe": subscribe}))?;
        }
        Ok(())
    }

    fn subscribed(
        &mut self,
        reply: &Value,
        browser: &mut Browser,
        shared: &Shared,
    ) -> anyhow::Result<bool> {
        let channel = reply["channel"].as_str().context("a channel")?;
        let known = self.channels.contains_key(channel);
        if shared.is_cluster() && reply["epoch"].is_null() {
            // A node without its log. The position is still good where there is one.
            return Ok(false);
        }
        if shared.is_cluster() && known && reply["recovered"] != true {
            // Something was delivered that is not in the log. What is, is all that was answered OK without a warning.
            self.losses += 1;
            let history = self.positions.history(channel)?;
            let request = json!({"id": 3, "history": history});
            return Ok(browser.send(&request).is_ok());
        }
        self.asked.remove(channel);
        if self.positions.subscribed(reply)? {
            self.recovered += 1;
        } else {
            let first = shared.is_cluster() || reply["offset"] == 0;
            ensure!(first, "the first subscription is the first");
            self.channels.insert(channel.to_owned(), Vec::new());
        }
        Ok(true)
    }

    fn publication(
        &mut self,
        push: &Value,
        browser: &mut Browser,
        shared: &Shared,
    ) -> anyhow::Result<bool> {
        let channel = push["channel"].as_str().context("a channel")?;
        if shared.is_cluster() {
            if self.asked.contains(channel) || push["offset"].is_null() {
                // It comes again, or was delivered without the log.
                return Ok(true);
            }
            if self.positions.is_gap(push)? {
                return Ok(self.ask_again(channel, browser));
            }
        }
        let (channel, offset) = self.positions.publication(push)?;
        let text = push["data"].as_str().context("a text")?.to_owned();
        let channel = self.channels.entry(channel.to_owned()).or_default();
        channel.push((offset, text));
        Ok(true)
    }

    /// After a loss: what is kept, and from there on.
    fn kept(&mut self, reply: &Value, browser: &mut Browser) -> anyhow::Result<bool> {
        let channel = reply["channel"].as_str().context("a channel")?;
        let rows = self.positions.kept(reply)?;
        let seen = self.channels.entry(channel.to_owned()).or_default();
        seen.extend(rows);
        Ok(self.subscribe(channel, browser))
    }

    /// Subscribes again from where it stands.
    fn ask_again(&mut self, channel: &str, browser: &mut Browser) -> bool {
        self.gaps += 1;
        self.subscribe(channel, browser)
    }

    fn subscribe(&mut self, channel: &str, browser: &mut Browser) -> bool {
        self.asked.insert(channel.to_owned());
        let subscribe = self.positions.request(channel);
        browser
            .send(&json!({"id": 2, "subscribe": subscribe}))
            .is_ok()
    }
}
