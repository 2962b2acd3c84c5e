//! A node without threads: all queues are here, and run dry at each step.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cometql_protocol::wire::{self, Connect, Reply, decode_requests};
use cometql_protocol::{ChannelName, CloseCode, EventName, TenantId, UserId};

use super::super::*;
use super::store::ModelStore;
use crate::effects::{Counted, Push};
use crate::{Credentials, Disconnect, Draft, MessageId, Publication, StoreRequest};

pub(super) const TENANT: TenantId = TenantId(1);

/// Three shards, their mailboxes, a store and browsers that remember what they were told.
pub(super) struct Node {
    shards: Vec<Shard<u64>>,
    pub(super) now: Now,
    pub(super) world: World,
    commands: u64,
}

/// Everything outside of the shards.
#[derive(Default)]
pub(super) struct World {
    mail: VecDeque<(ShardId, Message)>,
    asked: VecDeque<(ShardId, u64, StoreRequest)>,
    logins: VecDeque<(ConnectionId, u32, Credentials)>,
    told: HashMap<ConnectionId, Vec<String>>,
    /// Connections that acknowledge private messages by being written to.
    originals: HashSet<ConnectionId>,
    /// Private messages that wait for the sockets of those.
    unwritten: VecDeque<(ConnectionId, u64)>,
    /// While true those sockets take nothing.
    pub(super) sockets_are_full: bool,
    pub(super) closed: Vec<(ConnectionId, CloseCode)>,
    answers: HashMap<u64, Answer>,
    pub(super) store: ModelStore,
    /// While true the store keeps its answers to itself.
    pub(super) store_sleeps: bool,
    /// While true the store fails.
    pub(super) store_fails: bool,
    /// What was published, in order.
    pub(super) log: Vec<Logged>,
    random: u64,
    counted: HashMap<Counted, u64>,
}

/// A publication that had its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) channel: String,
    /// As on the wire; empty and 0 on channels without history.
    pub(super) position: (String, u64),
    pub(super) data: String,
}

struct Fx<'a> {
    shard: ShardId,
    world: &'a mut World,
}

impl Effects for Fx<'_> {
    type Token = u64;

    fn send(&mut self, to: ShardId, message: Message) {
        self.world.mail.push_back((to, message));
    }

    fn push(&mut self, to: ConnectionId, push: Push<'_>) {
        if let Push::Inbox(message) = push
            && self.world.originals.contains(&to)
        {
            self.world.unwritten.push_back((to, message.offset));
        }
        let text = match push {
            Push::Publication(publication) => wire::encode_publication(publication.view(None)),
            Push::Own(publication, request) => {
                wire::encode_publication(publication.view(Some(request)))
            }
            Push::Presence(channel, joined, member) => {
                wire::encode_presence_event(channel, joined, member)
            }
            Push::Inbox(message) => wire::encode_inbox_message(
                message.event.as_str(),
                &message.data,
                message.data_is_json,
                message.offset,
                message.time_ms,
            ),
            Push::Gap(channel) => wire::encode_gap(channel),
            Push::Unsubscribed(channel, code, message) => {
                wire::encode_unsubscribed(channel, code, message)
            }
        };
        self.tell(to, text);
    }

    fn reply(&mut self, to: ConnectionId, request: u32, reply: Reply) {
        let text = wire::encode_reply(request, &reply);
        self.tell(to, text);
    }

    fn refuse(&mut self, to: ConnectionId, request: u32, reject: &Reject, channel: Option<&str>) {
        let text = wire::encode_refusal(
            request,
            reject.code,
            &reject.message,
            reject.retry_ms,
            channel,
        );
        self.tell(to, text);
    }

    fn close(&mut self, connection: ConnectionId, code: CloseCode) {
        self.world.closed.push((connection, code));
    }

    fn authenticate(&mut self, connection: ConnectionId, request: u32, credentials: Credentials) {
        self.world
            .logins
            .push_back((connection, request, credentials));
    }

    fn store(&mut self, ticket: u64, request: StoreRequest) {
        self.world.asked.push_back((self.shard, ticket, request));
    }

    fn answer(&mut self, token: u64, answer: Answer) {
        self.world.answers.insert(token, answer);
    }

    fn published(&mut self, publication: &Arc<Publication>) {
        let place = publication.place;
        let position = place.map(|place| (place.epoch.to_string(), place.offset));
        self.world.log.push(Logged {
            channel: publication.channel.to_string(),
            position: position.unwrap_or_default(),
            data: publication.data.to_string(),
        });
    }

    fn count(&mut self, event: Counted, times: u64) {
        *self.world.counted.entry(event).or_default() += times;
    }

    fn random(&mut self) -> u64 {
        self.world.random += 1;
        self.world.random
    }
}

impl Fx<'_> {
    fn tell(&mut self, to: ConnectionId, text: String) {
        assert_eq!(
            to.shard(),
            self.shard,
            "a shard speaks to its own connections only: {text}"
        );
        self.world.told.entry(to).or_default().push(text);
    }
}

impl Node {
    pub(super) fn new() -> Self {
        Self::with(Limits::default(), Rules::default())
    }

    pub(super) fn with(limits: Limits, rules: Rules) -> Self {
        let (limits, rules) = (Arc::new(limits), Arc::new(rules));
        let rates = Arc::default();
        let shard = |id| {
            let mut shard = Shard::new(ShardId(id), 3, Arc::clone(&limits), Arc::clone(&rules));
            shard.share_rates(Arc::clone(&rates));
            shard
        };
        Self {
            shards: (0..3).map(shard).collect(),
            now: Now(1_000_000),
            world: World::default(),
            commands: 0,
        }
    }

    /// The same store under new shards, as after a crash of the process.
    pub(super) fn restarted(self) -> Self {
        self.restarted_with(Limits::default(), Rules::default())
    }

    pub(super) fn restarted_with(self, limits: Limits, rules: Rules) -> Self {
        let mut node = Self::with(limits, rules);
        node.now = self.now;
        node.world.random = self.world.random;
        node.world.store = self.world.store;
        node.world.log = self.world.log;
        for ((tenant, channel), length) in node.world.store.settings.clone() {
            for shard in &mut node.shards {
                shard.restore_setting(tenant, channel.clone(), length);
            }
        }
        node
    }

    pub(super) fn open_on(&mut self, shard: u8, legacy: bool) -> ConnectionId {
        let settings = SessionSettings {
            tenant: TENANT,
            kind: "websocket",
            legacy,
        };
        let info = ClientInfo {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            agent: "".into(),
            origin: "".into(),
            language: "".into(),
            uuid: "".into(),
        };
        let connection = self.shards[usize::from(shard)].open(self.now, settings, info);
        if legacy {
            self.world.originals.insert(connection);
        }
        connection
    }

    pub(super) fn open(&mut self, shard: u8) -> ConnectionId {
        self.open_on(shard, false)
    }

    /// A connection that proved to be this user and wants private messages.
    pub(super) fn user(&mut self, shard: u8, user: u64) -> ConnectionId {
        let connection = self.open(shard);
        self.ask(
            connection,
            &format!(r#"{{"id":1,"connect":{{"user":{user},"hash":"h","inbox":true}}}}"#),
        );
        self.told(connection);
        connection
    }

    /// Sends a frame and lets everything happen; returns what the connection was told.
    pub(super) fn ask(&mut self, connection: ConnectionId, frame: &str) -> Vec<String> {
        for request in decode_requests(frame) {
            self.put(
                connection.shard(),
                Input::Request(connection, request.unwrap()),
            );
        }
        self.run();
        self.told(connection)
    }

    /// How often something happened.
    pub(super) fn counted(&self, event: Counted) -> u64 {
        self.world.counted.get(&event).copied().unwrap_or(0)
    }

    pub(super) fn told(&mut self, connection: ConnectionId) -> Vec<String> {
        self.world.told.remove(&connection).unwrap_or_default()
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.put(
            connection.shard(),
            Input::Closed(connection, Ending::Left(None)),
        );
        self.run();
    }

    /// Its socket is gone without a word.
    pub(super) fn vanish(&mut self, connection: ConnectionId) {
        self.put(connection.shard(), Input::Closed(connection, Ending::Broke));
        self.run();
    }

    /// Tells all shards to close connections; the sockets stay.
    pub(super) fn tell_disconnect(&mut self, which: &Disconnect) {
        for shard in 0..3 {
            let message = Message::Disconnect(which.clone());
            self.put(ShardId(shard), Input::Message(message));
        }
        self.run();
    }

    pub(super) fn disconnect(&mut self, which: &Disconnect) {
        self.tell_disconnect(which);
        for (connection, _) in self.world.closed.clone() {
            self.close(connection);
        }
    }

    pub(super) fn remove_members(&mut self, name: &str, user: Option<u64>) {
        for shard in 0..3 {
            let user = user.and_then(UserId::new);
            let channel = channel(name);
            let removed = Message::MembersRemoved {
                tenant: TENANT,
                channel,
                user,
            };
            self.put(ShardId(shard), Input::Message(removed));
        }
        self.run();
    }

    pub(super) fn rules(&mut self, rules: Rules) {
        let rules = Arc::new(rules);
        for shard in 0..3 {
            self.put(ShardId(shard), Input::Rules(Arc::clone(&rules)));
        }
        self.run();
    }

    /// A client with this position is told that it can't be helped, or gets what it missed; whether the latter.
    #[track_caller]
    pub(super) fn recovers(&mut self, name: &str, since: &str, missed: &[&str]) -> bool {
        let connection = self.open(0);
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{name}",{since}}}}}"#);
        let told = self.ask(connection, &subscribe);
        self.close(connection);
        let recovered = told[0].contains(r#""recovered":true"#);
        let expected = if recovered { missed } else { &[] };
        assert_eq!(data(&told), expected, "{told:?}");
        recovered
    }

    /// Hands in a command; returns its number.
    pub(super) fn start(&mut self, command: Command) -> u64 {
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
            } => shard_of_channel(*tenant, channel.as_str(), 3),
            Command::Send { tenant, user, .. } | Command::ClearInbox { tenant, user } => {
                shard_of_user(*tenant, *user, 3)
            }
        };
        self.commands += 1;
        self.put(shard, Input::Command(command, self.commands));
        self.commands
    }

    pub(super) fn answer(&mut self, number: u64) -> Option<Answer> {
        self.world.answers.remove(&number)
    }

    pub(super) fn command(&mut self, command: Command) -> Answer {
        let number = self.start(command);
        self.run();
        self.answer(number).expect("every command is answered")
    }

    pub(super) fn publish(&mut self, channel: &str, data: &str) -> Answer {
        self.command(publish(channel, data))
    }

    pub(super) fn send(&mut self, user: u64, data: &str) -> Answer {
        self.command(Command::Send {
            tenant: TENANT,
            user: UserId::new(user).unwrap(),
            draft: draft(data),
        })
    }

    pub(super) fn later(&mut self, milliseconds: u64) {
        self.now.0 += milliseconds;
        for shard in 0..3 {
            self.put(ShardId(shard), Input::Tick);
        }
        self.run();
    }

    pub(super) fn shards(&self) -> &[Shard<u64>] {
        &self.shards
    }

    /// Lets one thing happen of all that could happen next: mailboxes and the store keep their order, nothing else does.
    /// False when nothing is left.
    pub(super) fn step(&mut self, pick: usize) -> bool {
        for turn in 0..7 {
            let source = (pick + turn) % 7;
            let shard = ShardId(u8::try_from(source % 3).unwrap());
            let done = match source {
                0..3 => self.step_mail(shard),
                3..6 => !self.world.store_sleeps && self.step_store(shard),
                _ => self.step_login() || self.step_socket(),
            };
            if done {
                return true;
            }
        }
        false
    }

    fn step_mail(&mut self, shard: ShardId) -> bool {
        let first = self.world.mail.iter().position(|(to, _)| *to == shard);
        let next = first.and_then(|at| self.world.mail.remove(at));
        let Some((_, message)) = next else {
            return false;
        };
        self.put(shard, Input::Message(message));
        true
    }

    fn step_socket(&mut self) -> bool {
        if self.world.sockets_are_full {
            return false;
        }
        let Some((connection, up_to)) = self.world.unwritten.pop_front() else {
            return false;
        };
        let written = Outbox::Written(up_to);
        self.put(connection.shard(), Input::Outbox(connection, written));
        true
    }

    fn step_login(&mut self) -> bool {
        let Some((connection, request, credentials)) = self.world.logins.pop_front() else {
            return false;
        };
        let result = login(&credentials);
        let input = Input::Authenticated {
            connection,
            request,
            result,
        };
        self.put(connection.shard(), input);
        true
    }

    /// The store carries out the first request that waits, and the node never learns it.
    pub(super) fn store_unheard(&mut self) {
        let Some((.., request)) = self.world.asked.pop_front() else {
            return;
        };
        let appended = match &request {
            StoreRequest::Append {
                tenant,
                channel,
                offset,
                content,
                ..
            } => Some((
                (*tenant, channel.clone()),
                *offset,
                content.data.to_string(),
            )),
            _ => None,
        };
        self.world.store.answer(request);
        let Some((key, offset, data)) = appended else {
            return;
        };
        let epoch = self.world.store.epoch(&key).to_string();
        self.world.log.push(Logged {
            channel: key.1.to_string(),
            position: (epoch, offset),
            data,
        });
    }

    fn step_store(&mut self, shard: ShardId) -> bool {
        let asked = &mut self.world.asked;
        let first = asked.iter().position(|(by, ..)| *by == shard);
        let Some((_, ticket, request)) = first.and_then(|at| asked.remove(at)) else {
            return false;
        };
        let result = if self.world.store_fails {
            Err(StoreFailure::Failed("disk full".into()))
        } else {
            Ok(self.world.store.answer(request))
        };
        self.put(shard, Input::Stored { ticket, result });
        true
    }

    pub(super) fn put(&mut self, shard: ShardId, input: Input<u64>) {
        let effects = &mut Fx {
            shard,
            world: &mut self.world,
        };
        self.shards[usize::from(shard.0)].handle(self.now, input, effects);
    }

    pub(super) fn run(&mut self) {
        loop {
            let sleeps = self.world.store_sleeps;
            if let Some((shard, message)) = self.world.mail.pop_front() {
                self.put(shard, Input::Message(message));
            } else if self.step_login() || self.step_socket() {
                // One at a time, as what it causes goes first.
            } else if let Some(shard) = self.world.asked.front().map(|(by, ..)| *by)
                && !sleeps
            {
                self.step_store(shard);
            } else {
                return;
            }
        }
    }
}

pub(super) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(super) fn draft(data: &str) -> Draft {
    Draft {
        id: MessageId(7),
        once: false,
        event: EventName::default(),
        data: data.into(),
        data_is_json: wire::is_json_container(data),
    }
}

pub(super) fn publish(name: &str, data: &str) -> Command {
    Command::Publish {
        tenant: TENANT,
        channel: channel(name),
        draft: draft(data),
    }
}

/// The payloads of the publications among what a connection was told.
pub(super) fn data(told: &[String]) -> Vec<String> {
    let payload = |text: &String| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value
            .get("push")
            .and_then(|_| value.get("data"))
            .map(|data| data.as_str().unwrap().to_owned())
    };
    told.iter().filter_map(payload).collect()
}

/// The position in a `subscribed` reply, as the fields of the next request.
pub(super) fn position(told: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(told).unwrap();
    let subscribed = &value["subscribed"];
    format!(
        r#""epoch":{},"offset":{}"#,
        subscribed["epoch"], subscribed["offset"]
    )
}

fn login(credentials: &Credentials) -> Result<Identity, Reject> {
    let Connect {
        user, hash, token, ..
    } = &credentials.connect;
    let refreshed = token.as_ref().and_then(|token| token.parse().ok());
    if hash.as_deref() == Some("wrong") {
        return Err(Reject::new(
            cometql_protocol::ErrorCode::Unauthorized,
            "wrong hash",
        ));
    }
    let expires = token.as_ref().map(|_| 2_000);
    let length = |token: &String| u8::try_from(token.len()).unwrap();
    Ok(Identity {
        user: user.or(refreshed).and_then(UserId::new),
        expires,
        token_digest: token.as_ref().map(|token| [length(token); 32]),
        ..Identity::default()
    })
}
