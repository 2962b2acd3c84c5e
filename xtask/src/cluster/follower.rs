//! A browser that follows one channel on whatever node it is told, keeps its position, and comes back with it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::positions::Positions;

const TICK: Duration = Duration::from_millis(20);
/// How long something may take that happens at once on an idle machine; a leader's election takes 7 s of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One browser.
pub(super) struct Follower {
    server: SocketAddr,
    channel: &'static str,
    browser: Option<Browser>,
    positions: Positions,
    /// What came, each once and in order.
    pub(super) texts: Vec<String>,
    /// How often it came back and nothing was missing.
    pub(super) recovered: usize,
}

impl Follower {
    /// Subscribes, and waits until that is in force.
    pub(super) fn start(server: SocketAddr, channel: &'static str) -> anyhow::Result<Self> {
        let mut follower = Self {
            server,
            channel,
            browser: None,
            positions: Positions::default(),
            texts: Vec::new(),
            recovered: 0,
        };
        let start = Instant::now();
        while follower.positions.is_empty() {
            ensure!(start.elapsed() < PATIENCE, "{server}: not subscribed");
            follower.read()?;
        }
        Ok(follower)
    }

    /// From now on it connects there.
    pub(super) fn move_to(&mut self, server: SocketAddr) {
        self.server = server;
        self.browser = None;
    }

    /// Reads until this text has come.
    pub(super) fn wait_for(&mut self, text: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.texts.iter().any(|other| other == text) {
            if start.elapsed() > PATIENCE {
                bail!(
                    "{}: {text} did not come, only {:?}",
                    self.server,
                    self.texts
                );
            }
            self.read()?;
        }
        Ok(())
    }

    /// Takes one message, or makes a new connection when the old one has ended.
    fn read(&mut self) -> anyhow::Result<()> {
        let Some(browser) = &mut self.browser else {
            self.browser = self.connect().ok();
            if self.browser.is_none() {
                std::thread::sleep(TICK);
            }
            return Ok(());
        };
        match browser.read() {
            Ok(Some(message)) => self.take(&message).context("a broken promise"),
            Ok(None) => Ok(()),
            Err(_) => {
                self.browser = None;
                Ok(())
            }
        }
    }

    fn connect(&self) -> anyhow::Result<Browser> {
        let mut browser = Browser::open(self.server, TICK)?;
        let uuid = format!("at-{}", self.server.port());
        browser.send(&json!({"id": 1, "connect": {"uuid": uuid}}))?;
        let subscribe = self.positions.request(self.channel);
        browser.send(&json!({"id": 2, "subscribe": subscribe}))?;
        Ok(browser)
    }

    fn take(&mut self, message: &Value) -> anyhow::Result<()> {
        if message["push"] == "publication" {
            self.positions.publication(message)?;
            let text = message["data"].as_str().context("a text")?;
            self.texts.push(text.to_owned());
        } else if message["subscribed"].is_object() {
            let recovered = self.positions.subscribed(&message["subscribed"])?;
            self.recovered += usize::from(recovered);
        } else if message["push"] == "gap" || message["error"].is_object() {
            // To be tried again.
            self.browser = None;
        }
        Ok(())
    }
}
