//! A logged-in user's only device: it takes private messages, acknowledges now and then, and comes back when its
//! connection ends.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::Shared;
use super::ledger::END;
use crate::browser::Browser;
use crate::random::Random;

const TICK: Duration = Duration::from_millis(20);
/// One of several nodes that is silent for so long is left.
const SILENCE: Duration = Duration::from_secs(4);
/// From here on offsets are those of messages that no log has.
const UNSTORED: u64 = 1 << 52;
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(10);

/// What one user saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Offsets and texts, each once, as they first came.
    pub(super) messages: Vec<(u64, String)>,
    /// Messages that came again because their acknowledgement had not been answered.
    pub(super) again: usize,
    /// The server answered the acknowledgement of all messages up to this one.
    acknowledged: u64,
}

/// Runs until the end has come and is acknowledged.
pub(super) fn run(user: u64, shared: &Shared, mut random: Random) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut silent = None;
    while !seen.is_complete() {
        let count = seen.messages.len();
        ensure!(!shared.is_over(), "the end did not come after {count}");
        let server = shared.server_but(silent, &mut random);
        let Ok(mut browser) = Browser::open_within(server, TICK, shared.handshake()) else {
            std::thread::sleep(AGAIN);
            continue;
        };
        let was_silent = seen.visit(user, &mut browser, shared, &mut random)?;
        silent = was_silent.then_some(server);
    }
    Ok(seen)
}

impl Seen {
    fn is_complete(&self) -> bool {
        let last = self.messages.last();
        last.is_some_and(|(offset, text)| text == END && *offset <= self.acknowledged)
    }

    /// One connection. An error is a broken promise; a connection that ends is none. True = the node was silent.
    fn visit(
        &mut self,
        user: u64,
        browser: &mut Browser,
        shared: &Shared,
        random: &mut Random,
    ) -> anyhow::Result<bool> {
        let hash = Shared::hash(user);
        let connect = json!({"id": 1, "connect": {"user": user, "hash": hash, "inbox": true}});
        if browser.send(&connect).is_err() {
            return Ok(false);
        }
        let mut asked = None;
        let mut heard = Instant::now();
        let leave_at = Instant::now() + random.millis(200, 3000);
        while !self.is_complete() && !shared.is_over() {
            if Instant::now() > leave_at && !shared.is_quiet() {
                return Ok(false);
            }
            let Ok(message) = browser.read() else {
                return Ok(false);
            };
            // What a node says without the log is no sign that it hears of the others.
            let is_unstored = |message: &Value| message["offset"].as_u64() >= Some(UNSTORED);
            if message
                .as_ref()
                .is_some_and(|message| !is_unstored(message))
            {
                heard = Instant::now();
            } else if shared.is_cluster() && heard.elapsed() > SILENCE {
                return Ok(true);
            }
            match message {
                Some(message) if message["offset"].as_u64() >= Some(UNSTORED) => {
                    // Nothing is promised of it, but its sender waits for this.
                    let ack = json!({"id": 3, "ack": {"offset": message["offset"]}});
                    if browser.send(&ack).is_err() {
                        return Ok(false);
                    }
                }
                Some(message) if message["push"] == "message" => {
                    self.message(&message)?;
                }
                Some(message) if message["acknowledged"].is_object() && message["id"] == 2 => {
                    self.acknowledged = asked.take().context("an answer to nothing")?;
                }
                Some(message) if message["error"].is_object() => {
                    ensure!(shared.is_cluster(), "refused: {message}");
                    return Ok(false);
                }
                _ => {}
            }
            let last = self.messages.last().map_or(0, |(offset, _)| *offset);
            if asked.is_none() && last > self.acknowledged && random.once_in(3) {
                asked = Some(last);
                if browser
                    .send(&json!({"id": 2, "ack": {"offset": last}}))
                    .is_err()
                {
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    fn message(&mut self, push: &Value) -> anyhow::Result<()> {
        let offset = push["offset"].as_u64().context("an offset")?;
        let text = push["data"].as_str().context("a text")?.to_owned();
        let acknowledged = self.acknowledged;
        ensure!(
            offset > acknowledged,
            "{push} came after {acknowledged} was acknowledged"
        );
        let last = self.messages.last().map_or(0, |(offset, _)| *offset);
        if offset > last {
            self.messages.push((offset, text));
            return Ok(());
        }
        let known = self.messages.contains(&(offset, text));
        ensure!(known, "{push} came after {last} and is not what it was");
        self.again += 1;
        Ok(())
    }
}
