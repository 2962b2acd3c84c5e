//! Everything outside of the state machines: time, the network between browsers and node, the disk, and what is done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cometql_engine::{ConnectionId, Ending, Identity, Input, Limits, MessageId, Reject, Rules};
use cometql_protocol::TenantId;
use cometql_protocol::client::{self, TabId, TabInput};

use crate::browser::Browser;
use crate::disk::Disk;
use crate::network::Wire;
use crate::node::Node;
use crate::operations::Changes;
use crate::promises::{Member, Promises};
use crate::rng::Rng;

mod effects;
mod originals;
mod pages;
mod rest;
mod sockets;

use originals::Original;

/// What happens at a moment.
#[derive(Debug)]
enum Event {
    /// A shard takes the next message from its mailbox.
    Mail(u32, usize),
    /// The disk carries out the next request.
    Disk(u32),
    /// A shard learns what the disk answered.
    Stored(u32, usize),
    /// Credentials are checked.
    Login(u32, ConnectionId, u32, Result<Identity, Reject>),
    /// A socket reaches the node, or does not.
    Arrives(usize),
    /// Bytes arrive at the node.
    Up(usize),
    /// Bytes arrive at the browser.
    Down(usize),
    /// The node notices that a socket is gone.
    Gone(u32, ConnectionId, Ending),
    /// A browser's timer.
    Timer(usize, u64),
    /// A browser's application gets a token, or none.
    Token(usize),
    /// A tab has handled a private message.
    Handled(usize, TabId, u64, String),
    /// The node's clock.
    Tick(u32),
}

/// The whole simulation.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    pub(crate) node: Option<Node>,
    pub(crate) life: u32,
    pub(crate) shards: usize,
    pub(crate) limits: Limits,
    pub(crate) rules: Arc<Rules>,
    pub(crate) disk: Disk,
    pub(crate) browsers: Vec<Browser>,
    pub(crate) wires: Vec<Wire>,
    connections: HashMap<ConnectionId, usize>,
    /// The browsers of all connections of this life of the node.
    owners: HashMap<ConnectionId, usize>,
    /// Commands without an answer: what they publish or send.
    pub(crate) commands: BTreeMap<u64, Sent>,
    pub(crate) command: u64,
    pub(crate) promises: Promises,
    /// What backends may send again, oldest first.
    pub(crate) chosen: Vec<Chosen>,
    /// Publications that backends may delete: tenant, channel, id.
    pub(crate) deletable: Vec<(TenantId, &'static str, MessageId)>,
    pub(crate) changes: Changes,
    /// Credentials that are being checked.
    checks: usize,
    /// Connections that were closed because too much waited on the node.
    pub(crate) relieved: usize,
    /// Pages of the original's clients.
    originals: Vec<Original>,
    /// Nothing goes wrong by chance any more.
    pub(crate) healed: bool,
    trace: Vec<String>,
}

/// What a command was about.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    Publication(TenantId, &'static str, String),
    Private(TenantId, u64, String),
    Clear(TenantId, u64),
    Other,
}

/// What a backend sent under an id that it chose, and may send again.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) id: MessageId,
    pub(crate) sent: Sent,
}

impl World {
    pub(crate) fn new(seed: u64, limits: Limits, rules: Rules) -> Self {
        let mut rng = Rng::new(seed);
        // Now and then windows share so little memory that the least used lose theirs.
        let window_bytes = match rng.below(4) {
            0 => 24 << 10,
            _ => limits.window_bytes,
        };
        let limits = Limits {
            window_bytes,
            ..limits
        };
        let promises = Promises::new(limits.clone());
        let shards = 1 + rng.index(4);
        let mut world = Self {
            rng,
            now: 1_790_000_000_000,
            queue: BTreeMap::new(),
            events: 0,
            node: None,
            life: 0,
            shards,
            limits,
            rules: Arc::new(rules),
            disk: Disk::new(),
            browsers: Vec::new(),
            wires: Vec::new(),
            connections: HashMap::new(),
            owners: HashMap::new(),
            commands: BTreeMap::new(),
            command: 0,
            promises,
            chosen: Vec::new(),
            deletable: Vec::new(),
            changes: Changes::default(),
            checks: 0,
            relieved: 0,
            originals: Vec::new(),
            healed: false,
            trace: Vec::new(),
        };
        world.start();
        world
    }

    /// What happened last, oldest first.
    pub(crate) fn trace(&self) -> &[String] {
        let from = self.trace.len().saturating_sub(60);
        &self.trace[from..]
    }

    pub(crate) fn note(&mut self, what: String) {
        let at = self.now - 1_790_000_000_000;
        if self.trace.len() > 4_000 {
            self.trace.drain(..2_000);
        }
        let what: String = what.chars().take(200).collect();
        self.trace.push(format!("{at:>7} {what}"));
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + delay, self.events), event);
    }

    /// Lets time pass, with all that happens meanwhile.
    pub(crate) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(next) = self.queue.first_entry().filter(|next| next.key().0 <= end) {
            self.now = next.key().0;
            let event = next.remove();
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Mail(life, shard) if life == self.life => {
                let mail = self
                    .node
                    .as_mut()
                    .and_then(|node| node.mail[shard].pop_front());
                if let Some(message) = mail {
                    self.input(shard, Input::Message(message));
                }
            }
            Event::Disk(life) if life == self.life => self.step_disk(),
            Event::Stored(life, shard) if life == self.life => {
                let node = self.node.as_mut();
                let stored = node.and_then(|node| node.stored[shard].pop_front());
                if let Some((ticket, result)) = stored {
                    self.input(shard, Input::Stored { ticket, result });
                }
            }
            Event::Login(life, connection, request, result) if life == self.life => {
                self.checks = self.checks.saturating_sub(1);
                if result.is_ok() && self.node.is_some() {
                    self.promises.presence.logs_in(self.now, connection);
                }
                let input = Input::Authenticated {
                    connection,
                    request,
                    result,
                };
                self.input(usize::from(connection.shard().0), input);
            }
            Event::Gone(life, connection, ending) if life == self.life => {
                self.ends(connection, ending);
                self.input(
                    usize::from(connection.shard().0),
                    Input::Closed(connection, ending),
                );
            }
            Event::Tick(life) if life == self.life => {
                self.every_shard(|| Input::Tick);
                self.at(250, Event::Tick(life));
            }
            Event::Mail(..)
            | Event::Disk(_)
            | Event::Stored(..)
            | Event::Login(..)
            | Event::Gone(..)
            | Event::Tick(_) => {}
            Event::Arrives(wire) => self.arrives(wire),
            Event::Up(wire) => self.up(wire),
            Event::Down(wire) => self.down(wire),
            Event::Timer(browser, at) => {
                if self.browsers[browser].timer == Some(at) {
                    self.browsers[browser].timer = None;
                    self.session(browser, client::Input::Time);
                }
            }
            Event::Token(browser) => self.give_token(browser),
            Event::Handled(browser, tab, offset, payload) => {
                if self.browsers[browser].tabs.contains_key(&tab) {
                    self.promises.messages.handled(&payload);
                    self.tab(browser, tab, TabInput::Handled { offset });
                }
            }
        }
    }

    /// A node starts over the disk as it is.
    pub(crate) fn start(&mut self) {
        self.life += 1;
        self.note(format!("node starts, life {}", self.life));
        let node = Node::start(self.shards, &self.limits, &self.rules, &self.disk);
        self.node = Some(node);
        self.at(250, Event::Tick(self.life));
    }

    /// `kill -9`: all memory is gone, and of what was on its way to the disk a part.
    pub(crate) fn crash(&mut self) {
        self.note("node is killed".into());
        self.node = None;
        self.disk.crash(&mut self.rng);
        self.promises.messages.check_disk(&self.disk);
        self.promises.messages.forget();
        self.promises.presence.forget();
        self.promises.rates.forget();
        self.checks = 0;
        self.owners.clear();
        self.originals.clear();
        self.connections.clear();
        self.commands.clear();
        for wire in 0..self.wires.len() {
            if self.wires[wire].life == self.life {
                // The next life of the node counts its connections from the first again.
                self.wires[wire].connection = None;
                self.cut(wire);
            }
        }
    }

    /// A connection of the node is over.
    fn ends(&mut self, connection: ConnectionId, ending: Ending) {
        if let Some(browser) = self.owners.get(&connection) {
            let browser = &self.browsers[*browser];
            let who = Member {
                tenant: browser.tenant,
                user: browser.user,
                name: browser.name.clone(),
            };
            self.promises
                .presence
                .ends(self.now, connection, ending, who);
        }
    }
}
