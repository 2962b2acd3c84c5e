//! Everything outside of the state machines: time, the network between browsers and node, the disk, and what is done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cometql_engine::ids::{shard_of_channel, shard_of_user};
use cometql_engine::{
    Answer, Command, ConnectionId, Ending, Identity, Input, Limits, Message, Reject, Rules,
};
use cometql_protocol::client::{self, TabId, TabInput};
use cometql_protocol::wire::Position;
use cometql_protocol::{ErrorCode, TenantId, UserId};

use crate::browser::Browser;
use crate::disk::Disk;
use crate::network::Wire;
use crate::node::{Node, Out};
use crate::promises::{KEPT, Promises};
use crate::rng::Rng;

mod pages;
mod sockets;

/// How many operations and what else a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) operations: usize,
}

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
    /// Commands without an answer: what they publish or send.
    pub(crate) commands: BTreeMap<u64, Sent>,
    pub(crate) command: u64,
    pub(crate) promises: Promises,
    /// Nothing goes wrong by chance any more.
    pub(crate) healed: bool,
    trace: Vec<String>,
}

/// What a command was about.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    Publication(TenantId, &'static str, String),
    Private(TenantId, u64, String),
    Other,
}

impl World {
    pub(crate) fn new(plan: Plan, limits: Limits, rules: Rules) -> Self {
        let mut rng = Rng::new(plan.seed);
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
            commands: BTreeMap::new(),
            command: 0,
            promises: Promises::default(),
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
                let input = Input::Authenticated {
                    connection,
                    request,
                    result,
                };
                self.input(usize::from(connection.shard().0), input);
            }
            Event::Gone(life, connection, ending) if life == self.life => {
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
                    self.promises.handled(&payload);
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
        self.promises.check_disk(&self.disk);
        self.connections.clear();
        self.commands.clear();
        for wire in 0..self.wires.len() {
            if self.wires[wire].life == self.life {
                self.cut(wire);
            }
        }
    }

    pub(crate) fn every_shard(&mut self, input: impl Fn() -> Input<u64>) {
        for shard in 0..self.shards {
            self.input(shard, input());
        }
    }

    pub(crate) fn command(&mut self, command: Command, sent: Sent) {
        let shard = match &command {
            Command::Publish {
                tenant, channel, ..
            }
            | Command::SetHistory {
                tenant, channel, ..
            }
            | Command::RemoveHistory { tenant, channel }
            | Command::ClearHistory { tenant, channel }
            | Command::DeletePublication {
                tenant, channel, ..
            } => shard_of_channel(*tenant, channel.as_str(), self.shards),
            Command::Send { tenant, user, .. } | Command::ClearInbox { tenant, user } => {
                shard_of_user(*tenant, *user, self.shards)
            }
        };
        self.command += 1;
        self.commands.insert(self.command, sent);
        let token = self.command;
        self.input(usize::from(shard.0), Input::Command(command, token));
    }

    fn input(&mut self, shard: usize, input: Input<u64>) {
        let Some(node) = &mut self.node else {
            return;
        };
        for out in node.handle(self.now, shard, input, &mut self.rng) {
            self.carry_out(shard, out);
        }
    }

    fn carry_out(&mut self, shard: usize, out: Out) {
        match out {
            Out::Mail(to, message) => {
                let to = usize::from(to.0);
                self.mail(to, message);
            }
            Out::Text(connection, text, replays) => self.send_down(connection, &text, replays),
            Out::Close(connection, code) => self.close(connection, code),
            Out::Login(connection, request, credentials) => {
                let result = self.check(credentials.connect.token.as_deref());
                let delay = self.rng.below(30);
                self.at(delay, Event::Login(self.life, connection, request, result));
            }
            Out::Store(ticket, request) => {
                self.disk.queue.push_back((shard, ticket, request));
                if self.disk.queue.len() == 1 {
                    let delay = self.disk_delay();
                    self.at(delay, Event::Disk(self.life));
                }
            }
            Out::Answer(token, answer) => self.answer(token, &answer),
            Out::Published(tenant, channel, place, data) => {
                if let Some(place) = place {
                    let at = Position {
                        epoch: place.epoch,
                        offset: place.offset,
                    };
                    self.note(format!("placed {data} at {}", at.offset));
                    self.promises.placed(tenant, channel.as_str(), at, &data);
                }
            }
        }
    }

    pub(crate) fn mail(&mut self, to: usize, message: Message) {
        let delay = self.rng.below(4);
        if let Some(node) = &mut self.node {
            node.mail[to].push_back(message);
            self.at(delay, Event::Mail(self.life, to));
        }
    }

    fn answer(&mut self, token: u64, answer: &Answer) {
        let sent = self
            .commands
            .remove(&token)
            .expect("asked once, answered once");
        match (sent, answer) {
            (Sent::Publication(tenant, channel, payload), Answer::Published { .. }) => {
                if channel == KEPT {
                    self.promises.answered(tenant, channel, &payload);
                }
            }
            (Sent::Private(tenant, user, payload), Answer::Sent { offset, .. }) => {
                self.note(format!("answered {payload} at {offset}"));
                self.promises
                    .message_answered(tenant, user, *offset, &payload);
            }
            (Sent::Other, Answer::Done { .. }) | (_, Answer::Rejected(_)) => {}
            (sent, answer) => panic!("{sent:?} was answered by {answer:?}"),
        }
    }

    /// What the edge of the server would make of a token.
    fn check(&self, token: Option<&str>) -> Result<Identity, Reject> {
        let parsed = token.and_then(|token| token.split_once(':'));
        let (user, expires) = parsed.expect("every token is one of ours");
        let expires: u64 = expires.parse().unwrap();
        if expires * 1000 <= self.now {
            return Err(Reject::new(ErrorCode::Unauthorized, "the token has ended"));
        }
        Ok(Identity {
            user: UserId::new(user.parse().unwrap()),
            expires: Some(expires),
            ..Identity::default()
        })
    }

    fn disk_delay(&mut self) -> u64 {
        match self.disk.health {
            crate::disk::Health::Slow(most) => self.rng.below(most),
            _ => self.rng.below(6),
        }
    }

    fn step_disk(&mut self) {
        self.check_removal();
        let Some((shard, ticket, result)) = self.disk.step() else {
            return;
        };
        if let Some(node) = &mut self.node {
            node.stored[shard].push_back((ticket, result));
        }
        let delay = self.rng.below(5);
        self.at(delay, Event::Stored(self.life, shard));
        if !self.disk.queue.is_empty() {
            let delay = self.disk_delay();
            self.at(delay, Event::Disk(self.life));
        }
    }

    /// Private messages that are about to be removed were handled by somebody.
    fn check_removal(&mut self) {
        use cometql_engine::StoreRequest;
        if let Some((
            _,
            _,
            StoreRequest::InboxRemove {
                tenant,
                user,
                up_to,
            },
        )) = self.disk.queue.front()
        {
            let rows = self.disk.inboxes.get(&(*tenant, *user));
            let removed = rows.into_iter().flat_map(|(_, rows)| rows.range(..=*up_to));
            let removed: Vec<_> = removed
                .map(|(_, content)| content.data.to_string())
                .collect();
            self.promises.removed(&removed);
        }
    }
}
