//! A browser that is subscribed to all channels, keeps its positions, and comes back with them whenever its connection ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::Shared;
use super::ledger::END;
use crate::browser::Browser;
use crate::positions::Positions;
use crate::random::Random;

const TICK: Duration = Duration::from_millis(20);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(10);

/// What one subscriber saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By channel: offsets and texts as they came.
    pub(super) channels: BTreeMap<String, Vec<(u64, String)>>,
    /// How often it came back and recovered, over all channels.
    pub(super) recovered: usize,
    positions: Positions,
}

/// Runs until the end of every channel has come.
pub(super) fn run(number: usize, shared: &Shared, mut random: Random) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    while !seen.is_complete(shared) {
        ensure!(!shared.is_over(), "{}", seen.missing(shared));
        let Ok(mut browser) = Browser::open(shared.http, TICK) else {
            std::thread::sleep(AGAIN);
            continue;
        };
        let visit = seen.visit(number, &mut browser, shared, &mut random);
        shared.leave(number);
        visit?;
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

    /// One connection. An error is a broken promise; a connection that ends is none.
    fn visit(
        &mut self,
        number: usize,
        browser: &mut Browser,
        shared: &Shared,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        if self.greet(number, browser, shared).is_err() {
            return Ok(());
        }
        let mut subscribed = 0;
        let leave_at = Instant::now() + random.millis(200, 3000);
        while !self.is_complete(shared) && !shared.is_over() {
            if Instant::now() > leave_at && !shared.is_quiet() {
                return Ok(());
            }
            let Ok(message) = browser.read() else {
                return Ok(());
            };
            let Some(message) = message else { continue };
            if message["push"] == "publication" {
                self.publication(&message)?;
            } else if message["subscribed"].is_object() {
                self.subscribed(&message["subscribed"])?;
                subscribed += 1;
                if subscribed == shared.channels.len() {
                    shared.enter(number);
                }
            } else if message["error"].is_object() {
                bail!("refused: {message}");
            }
        }
        Ok(())
    }

    fn greet(&self, number: usize, browser: &mut Browser, shared: &Shared) -> anyhow::Result<()> {
        browser.send(&json!({"id": 1, "connect": {"uuid": Shared::uuid(number)}}))?;
        for channel in &shared.channels {
            let subscribe = self.positions.request(channel);
            browser.send(&json!({"id": 2, "subscribe": subscribe}))?;
        }
        Ok(())
    }

    fn subscribed(&mut self, reply: &Value) -> anyhow::Result<()> {
        if self.positions.subscribed(reply)? {
            self.recovered += 1;
        } else {
            ensure!(reply["offset"] == 0, "the first subscription is the first");
        }
        Ok(())
    }

    fn publication(&mut self, push: &Value) -> anyhow::Result<()> {
        let (channel, offset) = self.positions.publication(push)?;
        let text = push["data"].as_str().context("a text")?.to_owned();
        let channel = self.channels.entry(channel.to_owned()).or_default();
        channel.push((offset, text));
        Ok(())
    }
}
