//! One life of a node: its shards and their mailboxes. What they cause is a list that the world carries out.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cometql_engine::effects::{Counted, PresenceAsk};
use cometql_engine::publication::Content;
use cometql_engine::{
    Announce, Answer, ClientInfo, ConnectionId, Credentials, Effects, Input, Limits, LogKind,
    Message, MessageId, Now, Publication, Push, Rates, Reject, Rules, SessionSettings, Shard,
    ShardId, StoreAnswer, StoreFailure, StoreRequest,
};
use cometql_protocol::wire::{self, Reply};
use cometql_protocol::{ChannelName, CloseCode, TenantId, UserId};

use crate::disk::Disk;
use crate::rng::Rng;

pub(crate) type Stored = (u64, Result<StoreAnswer, StoreFailure>);

/// Shards, their mailboxes, and answers of the store on their way.
pub(crate) struct Node {
    pub(crate) shards: Vec<Shard<u64>>,
    pub(crate) mail: Vec<VecDeque<Message>>,
    pub(crate) stored: Vec<VecDeque<Stored>>,
}

/// What a shard caused.
#[derive(Debug)]
pub(crate) enum Out {
    Mail(ShardId, Message),
    /// A publication, the request that it answers if it is the session's own, and whether it is part of a replay.
    Publication(ConnectionId, Arc<Publication>, Option<u32>, bool),
    /// Another frame.
    Text(ConnectionId, Frame),
    Refused(ConnectionId, Reject, Option<String>),
    /// A session is in a channel from now on.
    Subscribed(ConnectionId, String),
    /// A session is told that somebody (by the browser's name) has joined or left a channel.
    Presence(ConnectionId, String, bool, String),
    Close(ConnectionId, CloseCode),
    Login(ConnectionId, u32, Credentials),
    Store(u64, StoreRequest),
    Answer(u64, Answer),
    Published(Arc<Publication>),
    /// To the rest of a cluster.
    Cluster(ToCluster),
}

/// What a shard wants of the cluster's edge, or of other nodes.
#[derive(Debug)]
pub(crate) enum ToCluster {
    Unfollow(TenantId, ChannelName, LogKind),
    FollowUser(TenantId, UserId, bool),
    Broadcast(Arc<Publication>, bool),
    SendUnstored(TenantId, UserId, Content),
    TellTaken(TenantId, UserId, MessageId),
    Announce(Announce),
    AskPresence(PresenceAsk),
}

/// A frame that is no publication.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) text: String,
    /// It is part of a replay.
    pub(crate) replays: bool,
    /// It has to come after all that waits for its connection.
    pub(crate) settles: bool,
}

impl Node {
    pub(crate) fn start(count: usize, limits: &Limits, rules: &Arc<Rules>, disk: &Disk) -> Self {
        let limits = Arc::new(limits.clone());
        let rates = Arc::<Rates>::default();
        let shard = |index: usize| {
            let id = ShardId(u8::try_from(index).unwrap());
            let mut shard = Shard::new(id, count, Arc::clone(&limits), Arc::clone(rules));
            shard.share_rates(Arc::clone(&rates));
            for ((tenant, channel), length) in &disk.settings {
                shard.restore_setting(*tenant, channel.clone(), *length);
            }
            shard
        };
        Self {
            shards: (0..count).map(shard).collect(),
            mail: vec![VecDeque::new(); count],
            stored: (0..count).map(|_| VecDeque::new()).collect(),
        }
    }

    pub(crate) fn open(&mut self, now: u64, shard: usize, tenant: TenantId) -> ConnectionId {
        let settings = SessionSettings {
            tenant,
            kind: "websocket",
            legacy: false,
        };
        self.open_as(now, shard, settings)
    }

    /// A connection of the original's protocol.
    pub(crate) fn open_original(
        &mut self,
        now: u64,
        shard: usize,
        tenant: TenantId,
    ) -> ConnectionId {
        let settings = SessionSettings {
            tenant,
            kind: "legacy",
            legacy: true,
        };
        self.open_as(now, shard, settings)
    }

    fn open_as(&mut self, now: u64, shard: usize, settings: SessionSettings) -> ConnectionId {
        let info = ClientInfo {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            agent: "".into(),
            origin: "".into(),
            language: "".into(),
            uuid: "".into(),
        };
        self.shards[shard].open(Now(now), settings, info)
    }

    pub(crate) fn handle(
        &mut self,
        now: u64,
        shard: usize,
        input: Input<u64>,
        rng: &mut Rng,
    ) -> Vec<Out> {
        let replays = matches!(
            &input,
            Input::Message(Message::Subscribed { .. } | Message::Inbox { .. })
        );
        let mut effects = Collected {
            replays,
            out: Vec::new(),
            rng,
        };
        self.shards[shard].handle(Now(now), input, &mut effects);
        effects.out
    }
}

struct Collected<'a> {
    replays: bool,
    out: Vec<Out>,
    rng: &'a mut Rng,
}

impl Collected<'_> {
    fn cluster(&mut self, what: ToCluster) {
        self.out.push(Out::Cluster(what));
    }

    fn text(&mut self, to: ConnectionId, text: String, settles: bool) {
        let replays = self.replays;
        let frame = Frame {
            text,
            replays,
            settles,
        };
        self.out.push(Out::Text(to, frame));
    }
}

impl Effects for Collected<'_> {
    type Token = u64;

    fn send(&mut self, to: ShardId, message: Message) {
        self.out.push(Out::Mail(to, message));
    }

    fn push(&mut self, to: ConnectionId, push: Push<'_>) {
        let (publication, own) = match push {
            Push::Publication(publication) => (publication, None),
            Push::Own(publication, request) => (publication, Some(request)),
            Push::Presence(channel, joined, member) => {
                let text = wire::encode_presence_event(channel, joined, member);
                let name = member.uuid.clone();
                let told = Out::Presence(to, channel.to_string(), joined, name);
                self.out.push(told);
                return self.text(to, text, false);
            }
            Push::Inbox(message) => {
                let text = wire::encode_inbox_message(
                    message.event.as_str(),
                    &message.data,
                    message.data_is_json,
                    message.offset,
                    message.time_ms,
                );
                return self.text(to, text, false);
            }
            Push::Gap(channel) => return self.text(to, wire::encode_gap(channel), true),
            Push::Unsubscribed(channel, code, message) => {
                let text = wire::encode_unsubscribed(channel, code, message);
                return self.text(to, text, true);
            }
        };
        let publication = Arc::clone(publication);
        self.out
            .push(Out::Publication(to, publication, own, self.replays));
    }

    fn reply(&mut self, to: ConnectionId, request: u32, reply: Reply) {
        if let Reply::Subscribed {
            channel,
            position,
            recovered,
            replayed,
        } = &reply
        {
            assert!(
                position.is_some() || !recovered,
                "{channel}: recovered without a history"
            );
            assert!(
                *recovered || *replayed == 0,
                "{channel}: a replay of nothing"
            );
            self.out.push(Out::Subscribed(to, channel.to_string()));
        }
        let text = wire::encode_reply(request, &reply);
        self.text(to, text, true);
    }

    fn refuse(&mut self, to: ConnectionId, request: u32, reject: &Reject, channel: Option<&str>) {
        let (code, retry) = (reject.code, reject.retry_ms);
        let text = wire::encode_refusal(request, code, &reject.message, retry, channel);
        let channel = channel.map(str::to_owned);
        self.out.push(Out::Refused(to, reject.clone(), channel));
        self.text(to, text, true);
    }

    fn close(&mut self, connection: ConnectionId, code: CloseCode) {
        self.out.push(Out::Close(connection, code));
    }

    fn authenticate(&mut self, connection: ConnectionId, request: u32, credentials: Credentials) {
        self.out.push(Out::Login(connection, request, credentials));
    }

    fn store(&mut self, ticket: u64, request: StoreRequest) {
        self.out.push(Out::Store(ticket, request));
    }

    fn answer(&mut self, token: u64, answer: Answer) {
        self.out.push(Out::Answer(token, answer));
    }

    fn published(&mut self, publication: &Arc<Publication>) {
        self.out.push(Out::Published(Arc::clone(publication)));
    }

    fn unfollow(&mut self, tenant: TenantId, channel: &ChannelName, log: LogKind) {
        self.cluster(ToCluster::Unfollow(tenant, channel.clone(), log));
    }

    fn follow_user(&mut self, tenant: TenantId, user: UserId, wanted: bool) {
        self.cluster(ToCluster::FollowUser(tenant, user, wanted));
    }

    fn broadcast(&mut self, publication: &Arc<Publication>, lossy: bool) {
        self.cluster(ToCluster::Broadcast(Arc::clone(publication), lossy));
    }

    fn send_unstored(&mut self, tenant: TenantId, user: UserId, content: &Content) {
        self.cluster(ToCluster::SendUnstored(tenant, user, content.clone()));
    }

    fn tell_taken(&mut self, tenant: TenantId, user: UserId, id: MessageId) {
        self.cluster(ToCluster::TellTaken(tenant, user, id));
    }

    fn announce(&mut self, announce: Announce) {
        self.cluster(ToCluster::Announce(announce));
    }

    fn ask_presence(&mut self, ask: PresenceAsk) {
        self.cluster(ToCluster::AskPresence(ask));
    }

    fn count(&mut self, _event: Counted, _times: u64) {}

    fn random(&mut self) -> u64 {
        self.rng.next()
    }
}
