//! All that a shard causes: the engine's `Effects` over sockets, mailboxes, the store and log-in checks. What is
//! different for sockets that take nothing is in `stall`.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use cometql_engine::effects::{Counted, PresenceAsk};
use cometql_engine::publication::Content;
use cometql_engine::{
    Announce, Answer, ConnectionId, Credentials, Effects, Limits, LogKind, Message, MessageId, Now,
    Outbox, Publication, Push, Reject, ShardId, StoreRequest,
};
use cometql_protocol::wire::{Reply, Request};
use cometql_protocol::{ChannelName, CloseCode, TenantId, UserId};
use foldhash::fast::FixedState;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::buffers::Buffers;
use super::codec::Coded;
use super::link::{Flushed, Link};
use super::stalled::Stalled;
use super::taps::Taps;
use super::{Mail, Shared, Token};
use crate::cluster::Log;
use crate::cluster::members::Members;
use crate::cluster::presence::Voice;
use crate::hub::Waiting;
use crate::legacy;
use crate::metrics::{Dropped, Metrics};
use crate::storage::Store;
use crate::websocket::frame;

mod receipts;
mod stall;

/// Connections that are written to before the shard looks at its mailbox again. What came meanwhile joins what still
/// waits, so that under load one write takes several publications; the time of so many writes is what it may wait.
const SLICE: usize = 64;

/// A log-in check that the shard starts once the engine has returned.
pub(super) struct Check {
    pub(super) connection: ConnectionId,
    pub(super) request: u32,
    pub(super) credentials: Credentials,
}

/// The connections of a shard and its ways to everything else.
pub(super) struct Outbound {
    pub(super) id: ShardId,
    pub(super) limits: Arc<Limits>,
    pub(super) store: Store,
    log: Option<Log>,
    pub(super) metrics: Arc<Metrics>,
    /// The other nodes of the cluster.
    members: Option<Members>,
    /// The mailboxes of all shards of the node, in order.
    pub(super) shards: Vec<UnboundedSender<Mail>>,
    /// By the slots of their ids.
    pub(super) links: Vec<Option<Link>>,
    pub(super) buffers: Buffers,
    /// Links with something to flush, in the order in which it came.
    pub(super) dirty: VecDeque<ConnectionId>,
    /// Tasks that write have got something to do since this was last looked at.
    pub(super) handed: bool,
    /// Links whose sockets filled up: each needs a task that waits.
    pub(super) stuck: Vec<ConnectionId>,
    /// What waits for them.
    stalled: Stalled,
    /// What outboxes have to tell the engine.
    pub(super) told: VecDeque<(ConnectionId, Outbox)>,
    /// Private messages, by their offsets, from the first to the last, whose writing to a socket acknowledges them.
    receipts: HashMap<ConnectionId, (u64, u64), FixedState>,
    /// What the shard sent to itself.
    pub(super) local: VecDeque<Message>,
    /// What adapters want to ask the engine.
    pub(super) requests: VecDeque<(ConnectionId, Request)>,
    /// What it sent to each other shard since the last flush.
    pub(super) sent: Vec<Vec<Message>>,
    pub(super) checks: Vec<Check>,
    /// Closed connections and when their time is up, in order.
    pub(super) closing: VecDeque<(u64, ConnectionId)>,
    /// How long a closed connection may take to read what waits for it and to close its side.
    close_ms: u64,
    /// Who watches channels of this shard.
    pub(super) taps: Taps,
    /// Connections closed so far.
    pub(super) closed: u64,
    /// The input in hand makes the engine replay what a client asked for.
    pub(super) replaying: bool,
    /// The time of the input in hand, unix milliseconds.
    pub(super) now: u64,
}

impl Outbound {
    pub(super) fn new(id: ShardId, shared: &Shared, shards: Vec<UnboundedSender<Mail>>) -> Self {
        Self {
            id,
            limits: Arc::clone(&shared.limits),
            store: shared.store.of_shard(id),
            log: shared.way.as_ref().map(|(log, _)| log.clone()),
            metrics: Arc::clone(&shared.metrics),
            members: shared.members.clone(),
            sent: shards.iter().map(|_| Vec::new()).collect(),
            shards,
            links: Vec::new(),
            buffers: Buffers::default(),
            dirty: VecDeque::new(),
            handed: false,
            stuck: Vec::new(),
            stalled: Stalled::new(id, Arc::clone(&shared.backlog)),
            told: VecDeque::new(),
            receipts: HashMap::default(),
            local: VecDeque::new(),
            requests: VecDeque::new(),
            checks: Vec::new(),
            closing: VecDeque::new(),
            taps: Taps::default(),
            closed: 0,
            close_ms: u64::try_from(shared.close_wait.as_millis()).unwrap_or(u64::MAX >> 1),
            replaying: false,
            now: 0,
        }
    }

    /// Puts a link at its slot.
    pub(super) fn insert(&mut self, link: Link) {
        let slot = link.id.slot();
        self.metrics.opened(self.id, link.codec.carrier());
        if self.links.len() <= slot {
            self.links.resize_with(slot + 1, || None);
        }
        self.links[slot] = Some(link);
    }

    /// Forgets a link.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        if let Some(link) = self.link(id) {
            let (carrier, left) = (link.codec.carrier(), !link.closing);
            let (frames, bytes) = link.waits();
            let held = self.stalled.release(id);
            let (frames, bytes) = (frames + held.len(), bytes + held.bytes());
            self.metrics.dropped(self.id, Dropped::Gone, frames, bytes);
            self.metrics.gone(self.id, carrier, left);
            self.stalled.end(id);
            self.receipts.remove(&id);
            self.links[id.slot()] = None;
        }
    }

    /// What waits for the sockets.
    pub(super) fn waiting(&self) -> Waiting {
        let bytes = |link: &Link| link.waiting() + self.stalled.conflated_bytes(link.id);
        let waiting = self.links.iter().flatten().map(bytes);
        waiting
            .filter(|bytes| *bytes > 0)
            .fold(Waiting::default(), |sum, bytes| Waiting {
                connections: sum.connections + 1,
                bytes: sum.bytes + bytes as u64,
            })
    }

    /// The ids of all connections that are not being closed.
    pub(super) fn open_links(&self) -> Vec<ConnectionId> {
        let open = self.links.iter().flatten().filter(|link| !link.closing);
        open.map(|link| link.id).collect()
    }

    /// Pings every `of`-th connection, from `first`. One that said nothing since its last ping is closed.
    pub(super) fn ping(&mut self, first: usize, of: usize) {
        for slot in (first..self.links.len()).step_by(of) {
            let Some(link) = self.links[slot].as_mut().filter(|link| !link.closing) else {
                continue;
            };
            let id = link.id;
            let heard = link.wire.take_heard();
            if link.pinged && !heard && link.codec.answers_pings() {
                self.finish(id, CloseCode::NoPong, CloseCode::NoPong.as_str());
            } else {
                link.pinged = true;
                self.write(id, |link, _| Coded::Frame(link.codec.ping()));
            }
        }
    }

    /// Ends closed connections whose clients did not close their side in time.
    pub(super) fn end_overdue(&mut self) {
        while let Some((due, id)) = self.closing.front().copied() {
            if due > self.now {
                return;
            }
            self.closing.pop_front();
            if let Some(link) = self.link(id) {
                link.wire.kill();
            }
        }
    }

    pub(super) fn link(&mut self, id: ConnectionId) -> Option<&mut Link> {
        link_at(&mut self.links, id)
    }

    /// Does what `encode` makes of something for a connection.
    pub(super) fn write(&mut self, to: ConnectionId, encode: impl FnOnce(&mut Link, Now) -> Coded) {
        let now = Now(self.now);
        let Some(link) = open_link(&mut self.links, to) else {
            return;
        };
        match encode(link, now) {
            Coded::Frame(frame) => self.queue(to, frame),
            Coded::Nothing => {}
            Coded::Legacy(outputs) => self.carry_out(to, outputs),
        }
    }

    /// Does what the adapter of a connection wants.
    pub(super) fn carry_out(&mut self, to: ConnectionId, outputs: Vec<legacy::Output>) {
        for output in outputs {
            match output {
                legacy::Output::Send(text) => self.queue(to, frame::text(&text)),
                legacy::Output::Request(request) => self.requests.push_back((to, request)),
                legacy::Output::Drop => {
                    self.finish(to, CloseCode::Normal, CloseCode::Normal.as_str());
                }
            }
        }
    }

    /// Puts a frame into the outbox of a connection; full, the connection is closed.
    fn queue(&mut self, to: ConnectionId, frame: Bytes) {
        let limit = self.limits.outbox_bytes;
        let Some(link) = open_link(&mut self.links, to) else {
            return;
        };
        if self.replaying {
            link.grant(frame.len());
        }
        if link.is_full(limit) && !link.blocked && link.flush(&mut self.buffers) == Flushed::Blocked
        {
            stall(link, self.now, &mut self.stuck, &mut self.stalled);
        }
        if link.is_full(limit) {
            return self.close_slow(to, Some(frame));
        }
        link.queue(frame, &mut self.buffers);
        mark(&mut self.dirty, link);
        if link.blocked && self.stalled.set(to, link.waiting()) {
            self.keep_budget();
        }
    }

    /// Ends a connection with a code. What waits is sent first, except for a slow consumer.
    pub(super) fn finish(&mut self, connection: ConnectionId, code: CloseCode, reason: &str) {
        if code == CloseCode::SlowConsumer {
            self.drop_conflated(connection);
        } else {
            self.settle(connection);
        }
        let Some(link) = open_link(&mut self.links, connection) else {
            return;
        };
        self.closed += 1;
        self.metrics.closed(code);
        self.told.push_back((connection, Outbox::Closed(code)));
        link.closing = true;
        link.closed = Some(code);
        self.closing
            .push_back((self.now + self.close_ms, connection));
        if code == CloseCode::SlowConsumer {
            let (frames, bytes) = link.discard();
            self.metrics
                .dropped(self.id, Dropped::SlowConsumer, frames, bytes);
            self.stalled.set(connection, link.waiting());
        }
        match link.codec.close(code, reason) {
            Some(frame) => {
                link.queue(frame, &mut self.buffers);
                mark(&mut self.dirty, link);
            }
            None => {
                let wire = Rc::clone(&link.wire);
                self.flush_one(connection);
                wire.end();
            }
        }
        tracing::debug!(%connection, code = code.code(), "connection closed by the server");
    }

    /// Posts what was sent to other shards, and writes what waits for the next [`SLICE`] connections. True when more wait.
    pub(super) fn flush(&mut self) -> bool {
        for (messages, mailbox) in self.sent.iter_mut().zip(&self.shards) {
            if !messages.is_empty() {
                // A shard that has stopped takes no mail; its connections are gone too.
                _ = mailbox.send(Mail::Messages(std::mem::take(messages)));
            }
        }
        for _ in 0..SLICE {
            let Some(id) = self.dirty.pop_front() else {
                return false;
            };
            self.flush_one(id);
        }
        !self.dirty.is_empty()
    }

    /// Writes what waits for one connection.
    pub(super) fn flush_one(&mut self, id: ConnectionId) {
        let Some(link) = link_at(&mut self.links, id) else {
            return;
        };
        link.dirty = false;
        if link.blocked {
            return;
        }
        match link.flush(&mut self.buffers) {
            Flushed::Blocked => stall(link, self.now, &mut self.stuck, &mut self.stalled),
            Flushed::Broken => link.wire.end(),
            Flushed::All if link.stuck_ms > 0 || link.receipt => self.tell_written(id),
            Flushed::All => {}
            Flushed::Handed => self.handed = true,
        }
    }
}

fn link_at(links: &mut [Option<Link>], id: ConnectionId) -> Option<&mut Link> {
    let link = links.get_mut(id.slot())?.as_mut();
    link.filter(|link| link.id == id)
}

fn open_link(links: &mut [Option<Link>], id: ConnectionId) -> Option<&mut Link> {
    link_at(links, id).filter(|link| !link.closing)
}

/// The socket takes no more for now.
fn stall(link: &mut Link, now_ms: u64, stuck: &mut Vec<ConnectionId>, stalled: &mut Stalled) {
    link.block(now_ms);
    stuck.push(link.id);
    stalled.set(link.id, link.waiting());
}

fn mark(dirty: &mut VecDeque<ConnectionId>, link: &mut Link) {
    if !std::mem::replace(&mut link.dirty, true) {
        dirty.push_back(link.id);
    }
}

impl Effects for Outbound {
    type Token = Token;

    fn send(&mut self, to: ShardId, message: Message) {
        if to == self.id {
            self.local.push_back(message);
        } else {
            self.sent[usize::from(to.0)].push(message);
        }
    }

    fn push(&mut self, to: ConnectionId, push: Push<'_>) {
        match push {
            Push::Publication(publication) => {
                if let Some(conflate) = publication.conflate
                    && self.conflates(to, publication, conflate)
                {
                    return;
                }
            }
            Push::Own(..) | Push::Gap(_) | Push::Unsubscribed(..) => self.settle(to),
            Push::Inbox(message) => self.expect_receipt(to, message.offset),
            Push::Presence(..) => {}
        }
        self.write(to, |link, now| link.codec.push(now, push));
    }

    fn reply(&mut self, to: ConnectionId, request: u32, reply: Reply) {
        self.settle(to);
        self.write(to, |link, now| link.codec.reply(now, request, &reply));
    }

    fn refuse(&mut self, to: ConnectionId, request: u32, reject: &Reject, channel: Option<&str>) {
        self.settle(to);
        self.write(to, |link, now| {
            link.codec.refuse(now, request, reject, channel)
        });
    }

    fn close(&mut self, connection: ConnectionId, code: CloseCode) {
        self.finish(connection, code, code.as_str());
    }

    fn authenticate(&mut self, connection: ConnectionId, request: u32, credentials: Credentials) {
        self.checks.push(Check {
            connection,
            request,
            credentials,
        });
    }

    fn store(&mut self, ticket: u64, request: StoreRequest) {
        let mailbox = self.shards[usize::from(self.id.0)].clone();
        let reply = move |result| {
            // Only a shard that has stopped takes no mail.
            _ = mailbox.send(Mail::Stored { ticket, result });
        };
        match &self.log {
            Some(log) if Log::takes(&request) => log.ask(request, Box::new(reply)),
            Some(_) | None => self.store.ask(request, reply),
        }
    }

    fn unfollow(&mut self, tenant: TenantId, channel: &ChannelName, log: LogKind) {
        if let Some(way) = &self.log {
            way.unfollow(tenant, channel.clone(), log);
        }
        if let Some(members) = &self.members {
            members.say(Voice::Unfollow(tenant, channel.clone()));
        }
    }

    fn follow_user(&mut self, tenant: TenantId, user: UserId, wanted: bool) {
        if let Some(log) = &self.log {
            log.follow_user(tenant, user, wanted);
        }
    }

    fn broadcast(&mut self, publication: &Arc<Publication>, lossy: bool) {
        if let Some(log) = &self.log {
            log.broadcast(publication, lossy);
        }
    }

    fn send_unstored(&mut self, tenant: TenantId, user: UserId, content: &Content) {
        if let Some(log) = &self.log {
            log.send_unstored(tenant, user, content.clone());
        }
    }

    fn tell_taken(&mut self, tenant: TenantId, user: UserId, id: MessageId) {
        if let Some(log) = &self.log {
            log.tell_taken(tenant, user, id);
        }
    }

    fn announce(&mut self, announce: Announce) {
        if let Some(members) = &self.members {
            members.announce(self.id, announce);
        }
    }

    fn ask_presence(&mut self, ask: PresenceAsk) {
        if let Some(members) = &self.members {
            members.say(Voice::Ask(ask));
        }
    }

    fn answer(&mut self, token: Token, answer: Answer) {
        token.answer(answer);
    }

    fn published(&mut self, publication: &Arc<Publication>) {
        self.taps.tell(publication);
    }

    fn count(&mut self, event: Counted, times: u64) {
        self.metrics.count(self.id, event, times);
    }

    fn random(&mut self) -> u64 {
        // The low half of a version 4 UUID has 62 random bits, its high half 60: joined they leave no fixed bit.
        let (high, low) = Uuid::new_v4().as_u64_pair();
        high ^ low.rotate_left(32)
    }
}
