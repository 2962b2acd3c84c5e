//! The load: browsers that come, go and come back, and the backend that writes to them.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::server::{KEY, Server};
use crate::browser::Browser;
use crate::load::mysql;
use crate::positions::Positions;
use crate::random::Random;

const CHANNELS: u64 = 20;
/// Of each browser.
const SUBSCRIPTIONS: u64 = 2;
/// The first browsers are logged in, one for each user.
const USERS: usize = 20;
/// Private messages a second.
const MESSAGES: u32 = 5;
/// One in so many publications is long.
const LONG: u64 = 50;
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) connections: usize,
    pub(super) churn: u32,
    pub(super) publications: u32,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) published: u64,
    pub(super) delivered: u64,
    pub(super) messages: u64,
    pub(super) visits: u64,
    pub(super) recovered: u64,
}

/// One browser, also while it has no connection.
struct Tab {
    user: Option<usize>,
    channels: Vec<String>,
    positions: Positions,
}

/// All of them, and the backend.
pub(super) struct Crowd {
    server: SocketAddr,
    rates: Rates,
    random: Random,
    backend: TcpStream,
    tabs: VecDeque<(Tab, Browser)>,
    /// What should have been done by now, and what was: visits, publications, messages.
    done: [u64; 3],
    pub(super) counts: Counts,
}

impl Crowd {
    /// Everybody comes.
    pub(super) fn new(server: &Server, rates: Rates, random: Random) -> anyhow::Result<Self> {
        let mut crowd = Self {
            server: server.http,
            rates,
            random,
            backend: mysql::log_in(server.mysql, KEY)?,
            tabs: VecDeque::new(),
            done: [0; 3],
            counts: Counts::default(),
        };
        let hash = |user| format!("INSERT INTO users_auth (id,hash) VALUES ({user},'h{user}')");
        let users: Vec<String> = (1..=USERS).map(hash).collect();
        mysql::insert_all(&mut crowd.backend, &users, 1)?;
        for number in 1..=rates.connections {
            let user = (number <= USERS).then_some(number);
            let tab = crowd.new_tab(user);
            crowd.come(tab)?;
        }
        Ok(crowd)
    }

    /// Browsers that are there.
    pub(super) fn len(&self) -> usize {
        self.tabs.len()
    }

    /// Does all that is due by now, and reads what came.
    pub(super) fn tick(&mut self, since: Duration) -> anyhow::Result<()> {
        let rates = [self.rates.churn, self.rates.publications, MESSAGES];
        let due = |rate: u32| since.as_secs() * u64::from(rate) + part(since, rate);
        let [visits, publications, messages] = [0, 1, 2].map(|at| due(rates[at]) - self.done[at]);
        self.done = rates.map(due);
        for _ in 0..visits {
            self.replace()?;
        }
        self.write(publications, messages)?;
        self.read()
    }

    fn new_tab(&mut self, user: Option<usize>) -> Tab {
        let channel = |n: u64| {
            let kind = if n.is_multiple_of(2) { "durable" } else { "" };
            format!("web_soak{kind}{n}")
        };
        let first = self.random.below(CHANNELS);
        let numbers = (0..SUBSCRIPTIONS).map(|n| (first + n) % CHANNELS);
        Tab {
            user,
            channels: numbers.map(channel).collect(),
            positions: Positions::default(),
        }
    }

    fn come(&mut self, tab: Tab) -> anyhow::Result<()> {
        let mut browser = Browser::open(self.server, HANDSHAKE)?;
        if let Some(user) = tab.user {
            let connect = json!({"user": user, "hash": format!("h{user}"), "inbox": true});
            browser.send(&json!({"id": 1, "connect": connect}))?;
        }
        for channel in &tab.channels {
            let subscribe = tab.positions.request(channel);
            browser.send(&json!({"id": 2, "subscribe": subscribe}))?;
        }
        let channel = &tab.channels[0];
        browser.send(&json!({"id": 3, "history": {"channel": channel, "limit": 5}}))?;
        browser.send(&json!({"id": 4, "presence_count": {"channel": channel}}))?;
        self.counts.visits += 1;
        self.tabs.push_back((tab, browser.without_waiting()?));
        Ok(())
    }

    /// The browser that has been there longest leaves, with or without a word. It comes back, or another one does.
    fn replace(&mut self) -> anyhow::Result<()> {
        let (mut tab, mut browser) = self.tabs.pop_front().context("somebody is there")?;
        // What is on its way already counts as seen, or the next visit gets it.
        read(&mut tab, &mut browser, &mut self.counts)?;
        if self.random.once_in(2) {
            browser.close();
        }
        if self.random.once_in(2) {
            tab = self.new_tab(tab.user);
        }
        self.come(tab)
    }

    fn write(&mut self, publications: u64, messages: u64) -> anyhow::Result<()> {
        let mut statements = Vec::new();
        for _ in 0..publications {
            let n = self.random.below(CHANNELS);
            let kind = if n.is_multiple_of(2) { "durable" } else { "" };
            let size = if self.random.once_in(LONG) {
                20_000
            } else {
                128
            };
            let text = "x".repeat(size);
            statements.push(format!(
                "INSERT INTO pipes_messages (name,event,message) VALUES ('web_soak{kind}{n}','e','{text}')"
            ));
        }
        for _ in 0..messages {
            let user = 1 + self.random.below(USERS as u64);
            statements.push(format!(
                "INSERT INTO users_messages (id,event,message) VALUES ({user},'e','private')"
            ));
        }
        self.counts.published += publications;
        mysql::insert_all(&mut self.backend, &statements, 16)
    }

    fn read(&mut self) -> anyhow::Result<()> {
        for (tab, browser) in &mut self.tabs {
            read(tab, browser, &mut self.counts)?;
        }
        Ok(())
    }
}

/// What is due of `rate` a second in the part of a second that has begun.
fn part(since: Duration, rate: u32) -> u64 {
    u64::from(since.subsec_millis()) * u64::from(rate) / 1000
}

fn read(tab: &mut Tab, browser: &mut Browser, counts: &mut Counts) -> anyhow::Result<()> {
    while let Some(message) = browser.read()? {
        match message["push"].as_str() {
            Some("publication") => {
                tab.positions.publication(&message)?;
                counts.delivered += 1;
            }
            Some("message") => {
                let ack = json!({"id": 5, "ack": {"offset": message["offset"]}});
                browser.send(&ack)?;
                counts.messages += 1;
            }
            Some(_) => bail!("unexpected: {message}"),
            None => counts.recovered += u64::from(reply(tab, &message)?),
        }
    }
    Ok(())
}

/// Whether a position was recovered.
fn reply(tab: &mut Tab, message: &Value) -> anyhow::Result<bool> {
    ensure!(message["error"].is_null(), "refused: {message}");
    if message["subscribed"].is_null() {
        return Ok(false);
    }
    tab.positions.subscribed(&message["subscribed"])
}
