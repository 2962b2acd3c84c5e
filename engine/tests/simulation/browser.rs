//! Browsers: the real session of `protocol::client`, and tabs that follow channels and handle private messages.

use std::collections::{BTreeMap, BTreeSet};

use cometql_protocol::TenantId;
use cometql_protocol::client::{
    Credentials, Delivery, Effects, Input, Now, Session, Settings, SocketId, State, TabId,
};
use cometql_protocol::wire::{Position, json_string};

use crate::rng::Rng;

/// A browser with its session and tabs.
pub(crate) struct Browser {
    pub(crate) session: Session,
    pub(crate) tenant: TenantId,
    /// 0 = anonymous.
    pub(crate) user: u64,
    /// What presence calls it; may be empty.
    pub(crate) name: String,
    pub(crate) tabs: BTreeMap<TabId, Tab>,
    /// Index of the newest connection.
    pub(crate) wire: Option<usize>,
    pub(crate) timer: Option<u64>,
    pub(crate) online: bool,
}

/// One page.
#[derive(Default)]
pub(crate) struct Tab {
    /// Channels that it is interested in.
    pub(crate) follows: BTreeMap<&'static str, Follow>,
    /// Where it came to in channels that it left.
    pub(crate) left: BTreeMap<&'static str, Position>,
    pub(crate) handles: bool,
    /// Offsets of private messages that it was given.
    pub(crate) given: BTreeSet<u64>,
    pub(crate) calls: u32,
    /// Calls without an answer.
    pub(crate) open_calls: BTreeSet<u32>,
}

/// A tab in a channel.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    pub(crate) began: bool,
    /// It gave a position when it began.
    pub(crate) since: Option<Position>,
    pub(crate) position: Option<Position>,
    /// Payloads that it got.
    pub(crate) seen: BTreeSet<String>,
    /// The connection on which it last began or went on.
    pub(crate) wire: Option<usize>,
    /// Joins less leaves that it was told since then, by the browser's name.
    pub(crate) members: BTreeMap<String, i64>,
}

/// What a session wants of the world.
#[derive(Debug)]
pub(crate) enum Act {
    Open(SocketId),
    Close,
    Send(String),
    Timer(Option<u64>),
    Token,
    Tell(TabId, Told),
}

/// What a tab was told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Online(bool),
    Subscribed(String, Option<Position>, bool),
    Recovered(String),
    Gap(String, Option<Position>),
    Unsubscribed(String, String),
    Publication(String, Option<Position>, String),
    Message(u64, String),
    Presence(String, bool, String),
    Answer(u32),
    Other,
}

impl Browser {
    pub(crate) fn new(tenant: TenantId, user: u64, name: &str, now: u64, random: u64) -> Self {
        let settings = Settings {
            urls: 2,
            asks_for_tokens: user > 0,
            refresh_ms: 5_000,
            ..Settings::DEFAULT
        };
        let credentials = (user > 0).then(|| token(user, now, 40_000));
        Self {
            session: Session::new(settings, credentials, name, random),
            tenant,
            user,
            name: name.to_owned(),
            tabs: BTreeMap::new(),
            wire: None,
            timer: None,
            online: false,
        }
    }

    pub(crate) fn handle(&mut self, now: u64, input: Input<'_>, rng: &mut Rng) -> Vec<Act> {
        let acts = Vec::new();
        let mut effects = Collected { acts, rng };
        self.session.handle(Now(now), input, &mut effects);
        effects.acts
    }
}

/// A token that the simulated server understands: the user and its end in unix seconds.
pub(crate) fn token(user: u64, now: u64, life_ms: u64) -> Credentials {
    Credentials::Token(format!("{user}:{}", (now + life_ms) / 1000))
}

struct Collected<'a> {
    acts: Vec<Act>,
    rng: &'a mut Rng,
}

impl Effects for Collected<'_> {
    fn open_socket(&mut self, socket: SocketId, _url: usize) {
        self.acts.push(Act::Open(socket));
    }

    fn close_socket(&mut self, _socket: SocketId) {
        self.acts.push(Act::Close);
    }

    fn send(&mut self, text: &str) {
        self.acts.push(Act::Send(text.to_owned()));
    }

    fn set_timer(&mut self, at: Option<Now>) {
        self.acts.push(Act::Timer(at.map(|at| at.0)));
    }

    fn deliver(&mut self, tab: TabId, delivery: Delivery<'_>) {
        self.acts.push(Act::Tell(tab, told(delivery)));
    }

    fn ask_for_token(&mut self) {
        self.acts.push(Act::Token);
    }

    fn random(&mut self) -> u64 {
        self.rng.next()
    }

    fn json_string(&mut self, text: &str) -> String {
        json_string(text)
    }
}

fn told(delivery: Delivery<'_>) -> Told {
    match delivery {
        Delivery::State(state) => Told::Online(state == State::Online),
        Delivery::Subscribed {
            channel,
            position,
            recovered,
        } => Told::Subscribed(channel.into(), position, recovered),
        Delivery::Recovered { channel } => Told::Recovered(channel.into()),
        Delivery::Gap { channel, position } => Told::Gap(channel.into(), position),
        Delivery::Unsubscribed { channel, refusal } => {
            Told::Unsubscribed(channel.into(), refusal.code.clone())
        }
        Delivery::Publication {
            channel,
            position,
            text,
        } => Told::Publication(channel.into(), position, data(text)),
        Delivery::Message { offset, text } => Told::Message(offset, data(text)),
        Delivery::Answer { call, .. } => Told::Answer(call),
        Delivery::Presence { channel, text } => {
            let push: serde_json::Value = serde_json::from_str(text).unwrap();
            let name = push["member"]["uuid"].as_str().unwrap().to_owned();
            Told::Presence(channel.into(), push["push"] == "join", name)
        }
        Delivery::Error(_) => Told::Other,
    }
}

/// The payload of a push.
fn data(text: &str) -> String {
    let push: serde_json::Value = serde_json::from_str(text).unwrap();
    push["data"].as_str().unwrap().to_owned()
}
