//! Several nodes over one log: time, what happens when, and what shards cause.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use cometql_engine::ids::{shard_of_channel, shard_of_user};
use cometql_engine::{
    Answer, ClusterSettings, Command, ConnectionId, Ending, Identity, Input, Limits, LogEvent,
    LogKind, NodeId, QuorumLoss, Reject, Rules, StoreAnswer, StoreFailure, StoreRequest,
};
use cometql_protocol::client::{self, TabId, TabInput};
use cometql_protocol::{ErrorCode, TenantId, UserId};

use super::log::{ChannelKey, Log, UserKey};
use super::net::Wire;
use super::partition::Reach;
use super::promises::Promises;
use crate::browser::Browser;
use crate::disk::Disk;
use crate::node::{Node, Out};
use crate::rng::Rng;

pub(super) const NODES: usize = 3;

/// What happens at a moment. What concerns a node names its life.
#[derive(Debug)]
pub(super) enum Event {
    Mail(usize, u32, usize),
    /// The log or the tables carry out a request.
    Asked(usize, u32, usize, u64, StoreRequest),
    /// A shard learns the answer; whether it opens a channel.
    Told(
        usize,
        u32,
        usize,
        u64,
        Result<StoreAnswer, StoreFailure>,
        Option<ChannelKey>,
    ),
    /// The edge hears that the log has something new for a channel it follows.
    News(usize, u32, ChannelKey),
    InboxNews(usize, u32, UserKey),
    /// The edge compares all that it follows with the log.
    Reconcile(usize, u32),
    /// A node hears the next thing from another one.
    Hears(usize, u32, usize),
    /// Another node asks who is in a channel of this one.
    Snapshot(usize, u32, usize, ChannelKey),
    /// The lease of a node's life ends.
    LeaseEnds(NodeId),
    /// A node has been out of reach for a lease, if it still is: how often it was.
    SilenceEnds(usize, u32, u32),
    Tick(usize, u32),
    Login(usize, u32, ConnectionId, u32, Result<Identity, Reject>),
    Gone(usize, u32, ConnectionId, Ending),
    Arrives(usize),
    Up(usize),
    Down(usize),
    Timer(usize, u64),
    Token(usize),
    Handled(usize, TabId, u64, String),
    /// A backend that has no answer tries again, anywhere.
    Again(Command, Sent),
}

/// A node's place; its lives come and go.
pub(super) struct Slot {
    pub(super) life: u32,
    pub(super) id: NodeId,
    pub(super) node: Option<Node>,
    pub(super) edge: Edge,
    pub(super) connections: HashMap<ConnectionId, usize>,
    pub(super) reach: Reach,
}

/// What the edge of one life knows.
#[derive(Default)]
pub(super) struct Edge {
    pub(super) follows: BTreeMap<ChannelKey, Follows>,
    /// Followed users, and up to where their messages were told.
    pub(super) users: BTreeMap<UserKey, u64>,
    /// From each other node, what is on its way.
    pub(super) lanes: Vec<VecDeque<LogEvent>>,
    /// Channels of which the engine wants to know who is there on other nodes.
    pub(super) watched: BTreeSet<ChannelKey>,
    /// When the last request about something is carried out and answered: they stay in order.
    pub(super) due: BTreeMap<String, (u64, u64)>,
}

pub(super) struct Follows {
    pub(super) kind: LogKind,
    /// What came until here was told.
    pub(super) told: u64,
    /// Something before what comes next was trimmed unread.
    pub(super) hole: bool,
    /// The engine has the answer to its opening.
    pub(super) open: bool,
}

/// What a command was about.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    Publication(TenantId, &'static str, String),
    Private(TenantId, u64, String),
    Other,
}

/// The whole simulation.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    pub(super) slots: Vec<Slot>,
    pub(super) log: Log,
    pub(super) browsers: Vec<Browser>,
    pub(super) wires: Vec<Wire>,
    /// Commands without an answer: at which node, and what.
    pub(super) commands: BTreeMap<u64, (usize, Sent)>,
    pub(super) command: u64,
    pub(super) promises: Promises,
    /// Private messages that each connection of a browser was told.
    pub(super) private: BTreeSet<(usize, String)>,
    /// The last place that was handed to each connection of a node's life, by channel, since it subscribed.
    pushed: HashMap<(usize, u32, ConnectionId, String), (u64, u64)>,
    pub(super) limits: Limits,
    rules: Arc<Rules>,
    pub(super) healed: bool,
    /// Nodes are cut off now and then.
    pub(super) cuts: bool,
    trace: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, limits: Limits, rules: Rules) -> Self {
        let slot = || Slot {
            life: 0,
            id: NodeId(0),
            node: None,
            edge: Edge::default(),
            connections: HashMap::new(),
            reach: Reach::default(),
        };
        let mut world = Self {
            rng: Rng::new(seed ^ 0xc105),
            now: 1_790_000_000_000,
            queue: BTreeMap::new(),
            events: 0,
            slots: (0..NODES).map(|_| slot()).collect(),
            log: Log::new(limits.clone()),
            browsers: Vec::new(),
            wires: Vec::new(),
            commands: BTreeMap::new(),
            command: 0,
            promises: Promises::default(),
            private: BTreeSet::new(),
            pushed: HashMap::new(),
            limits,
            rules: Arc::new(rules),
            healed: false,
            cuts: false,
            trace: Vec::new(),
        };
        for node in 0..NODES {
            world.start(node);
        }
        world
    }

    pub(super) fn trace(&self) -> &[String] {
        &self.trace[self.trace.len().saturating_sub(80)..]
    }

    pub(super) fn note(&mut self, what: String) {
        let at = self.now - 1_790_000_000_000;
        let what: String = what.chars().take(220).collect();
        self.trace.push(format!("{at:>7} {what}"));
    }

    pub(super) fn at(&mut self, delay: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + delay, self.events), event);
    }

    pub(super) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(next) = self.queue.first_entry().filter(|next| next.key().0 <= end) {
            self.now = next.key().0;
            let event = next.remove();
            self.happen(event);
        }
        self.now = end;
    }

    pub(super) fn lives(&self, node: usize, life: u32) -> bool {
        self.slots[node].life == life && self.slots[node].node.is_some()
    }

    pub(super) fn alive(&self) -> Vec<usize> {
        let lives = |node: &usize| self.slots[*node].node.is_some();
        (0..NODES).filter(lives).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Mail(node, life, _)
            | Event::Asked(node, life, ..)
            | Event::Told(node, life, ..)
            | Event::News(node, life, _)
            | Event::InboxNews(node, life, _)
            | Event::Reconcile(node, life)
            | Event::Hears(node, life, _)
            | Event::Snapshot(node, life, ..)
            | Event::SilenceEnds(node, life, _)
            | Event::Tick(node, life)
            | Event::Login(node, life, ..)
            | Event::Gone(node, life, ..)
                if !self.lives(node, life) => {}
            Event::Mail(node, _, shard) => {
                let mail = &mut self.slots[node].node.as_mut().unwrap().mail[shard];
                if let Some(message) = mail.pop_front() {
                    self.input(node, shard, Input::Message(message));
                }
            }
            Event::Tick(node, life) => {
                for shard in 0..self.shards(node) {
                    self.input(node, shard, Input::Tick);
                }
                self.at(250, Event::Tick(node, life));
            }
            Event::Login(node, _, connection, request, result) => {
                let input = Input::Authenticated {
                    connection,
                    request,
                    result,
                };
                self.input(node, usize::from(connection.shard().0), input);
            }
            Event::Gone(node, _, connection, ending) => {
                let input = Input::Closed(connection, ending);
                self.input(node, usize::from(connection.shard().0), input);
            }
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
                self.promises.handled(&payload);
                self.tab(browser, tab, TabInput::Handled { offset });
            }
            Event::Again(command, sent) => {
                if let Some(node) = self.any_node() {
                    self.command(node, command, sent);
                }
            }
            other => self.happen_at_the_edge(other),
        }
    }

    pub(super) fn shards(&self, node: usize) -> usize {
        self.slots[node]
            .node
            .as_ref()
            .map_or(0, |node| node.shards.len())
    }

    /// A life of a node begins.
    pub(super) fn start(&mut self, node: usize) {
        let count = 1 + self.rng.index(2);
        let mut shards = Node::start(count, &self.limits, &self.rules, &Disk::new());
        let life = self.slots[node].life + 1;
        let id = NodeId(self.rng.next());
        for shard in &mut shards.shards {
            shard.join_cluster(ClusterSettings {
                node: id,
                on_quorum_loss: QuorumLoss::Live,
            });
            for ((tenant, channel), length) in &self.log.settings {
                shard.restore_setting(*tenant, channel.clone(), *length);
            }
        }
        self.note(format!("node {node} starts, life {life}"));
        self.meets_who_is_back();
        let lanes = (0..NODES).map(|_| VecDeque::new()).collect();
        self.slots[node] = Slot {
            life,
            id,
            node: Some(shards),
            edge: Edge {
                lanes,
                ..Edge::default()
            },
            connections: HashMap::new(),
            reach: Reach::begin(self.log.window.epoch.0),
        };
        self.at(250, Event::Tick(node, life));
        self.at(3_000, Event::Reconcile(node, life));
        for other in self.alive().into_iter().filter(|other| *other != node) {
            self.meet(node, other);
            self.meet(other, node);
        }
    }

    /// `kill -9`. What it sent to others may be lost, what it asked of the log may be carried out.
    pub(super) fn kill(&mut self, node: usize) {
        self.note(format!("node {node} is killed"));
        self.slots[node].node = None;
        self.promises.dies(node, self.now);
        let id = self.slots[node].id;
        self.at(5_000, Event::LeaseEnds(id));
        for (number, (at, _)) in self.commands.clone() {
            if at == node {
                self.commands.remove(&number);
            }
        }
        let life = self.slots[node].life;
        for wire in 0..self.wires.len() {
            if self.wires[wire].at == Some((node, life)) {
                self.break_wire(wire);
            }
        }
    }

    pub(super) fn command(&mut self, node: usize, command: Command, sent: Sent) {
        let shards = self.shards(node);
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
            } => shard_of_channel(*tenant, channel.as_str(), shards),
            Command::Send { tenant, user, .. } | Command::ClearInbox { tenant, user } => {
                shard_of_user(*tenant, *user, shards)
            }
        };
        self.command += 1;
        self.commands.insert(self.command, (node, sent));
        let token = self.command;
        self.input(node, usize::from(shard.0), Input::Command(command, token));
    }

    pub(super) fn input(&mut self, node: usize, shard: usize, input: Input<u64>) {
        let Some(shards) = &mut self.slots[node].node else {
            return;
        };
        for out in shards.handle(self.now, shard, input, &mut self.rng) {
            self.carry_out(node, shard, out);
        }
    }

    fn carry_out(&mut self, node: usize, shard: usize, out: Out) {
        let life = self.slots[node].life;
        match out {
            Out::Mail(to, message) => self.mail(node, usize::from(to.0), message),
            Out::Publication(connection, publication, own, _) => {
                if let Some(place) = publication.place {
                    let at = (place.epoch.0, place.offset);
                    let who = (node, life, connection, publication.channel.to_string());
                    let last = self.pushed.insert(who, at);
                    let rises = last.is_none_or(|last| last.0 != at.0 || last.1 < at.1);
                    assert!(rises, "{} is told again: {last:?}", publication.data);
                }
                let text = cometql_protocol::wire::encode_publication(publication.view(own));
                self.send_down(node, connection, text);
            }
            Out::Text(connection, frame) => self.send_down(node, connection, frame.text),
            Out::Close(connection, code) => self.close(node, connection, code),
            Out::Login(connection, request, credentials) => {
                let result = self.check(credentials.connect.token.as_deref());
                let delay = self.rng.below(30);
                self.at(delay, Event::Login(node, life, connection, request, result));
            }
            Out::Store(ticket, request) => self.ask(node, shard, ticket, request),
            Out::Answer(token, answer) => self.answer(node, token, &answer),
            Out::Cluster(what) => self.tell_cluster(node, shard, what),
            Out::Subscribed(connection, channel) => {
                self.pushed.remove(&(node, life, connection, channel));
            }
            Out::Refused(..) | Out::Presence(..) | Out::Published(_) => {}
        }
    }

    pub(super) fn mail(&mut self, node: usize, to: usize, message: cometql_engine::Message) {
        let delay = self.rng.below(4);
        let life = self.slots[node].life;
        if let Some(shards) = &mut self.slots[node].node {
            shards.mail[to].push_back(message);
            self.at(delay, Event::Mail(node, life, to));
        }
    }

    fn answer(&mut self, node: usize, token: u64, answer: &Answer) {
        let (_, sent) = self
            .commands
            .remove(&token)
            .expect("asked once, answered once");
        match (sent, answer) {
            (
                Sent::Publication(tenant, channel, payload),
                Answer::Published { offset, lossy, .. },
            ) => {
                self.note(format!(
                    "node {node} answers {payload}: {offset:?}, lossy {lossy}"
                ));
                if offset.is_some() {
                    self.promises.answered((tenant.0, channel), &payload);
                }
            }
            (Sent::Private(tenant, user, payload), Answer::Sent { offset, lossy, .. }) => {
                self.note(format!(
                    "node {node} answers {payload}: {offset}, lossy {lossy}"
                ));
                let key = (tenant, UserId::new(user).unwrap());
                assert!(
                    !lossy
                        || self.promises.is_handled(&payload)
                        || self.log.has_message(key, &payload),
                    "{payload} was answered as acknowledged, and nobody has handled it"
                );
                self.promises.private(tenant.0, user, &payload);
            }
            (Sent::Other, Answer::Done { .. }) | (_, Answer::Rejected(_)) => {}
            (sent, answer) => panic!("{sent:?} was answered by {answer:?}"),
        }
    }

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

    /// Users of a tenant that are connected to a node that lives.
    pub(super) fn users(&self) -> BTreeSet<(u32, u64)> {
        let online = self
            .browsers
            .iter()
            .filter(|one| one.online && one.user > 0);
        online.map(|one| (one.tenant.0, one.user)).collect()
    }
}
