//! One shard as its own thread's tasks see it: the engine's state machine beside the connections. Borrowed for one call
//! at a time, never across an await.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use cometql_engine::{
    ClientInfo, ConnectionId, Disconnect, Ending, Identity, Input, Limits, Message, Now, Reject,
    Rules, SessionSettings, Shard, ShardId,
};
use cometql_protocol::{CloseCode, ErrorCode, wire};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};

use super::clock::Clock;
use super::codec::{Codec, Coded};
use super::link::{Link, Wire};
use super::outbound::{Check, Outbound};
use super::taps::Tap;
use super::unwritten::{Outlook, Sought};
use super::{Mail, Shared, Token};
use crate::auth::Browser;
use crate::cluster::members::Members;
use crate::hub::Waiting;
use crate::legacy::{self, Adapter};
use crate::metrics::{Door, Full, Metrics};
use crate::storage::Store;

/// Ticks between two pings of a connection, as one in so many connections is pinged at each tick.
pub(super) const TICK_MS: u64 = 250;

/// A shard on its own thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Core(Rc<Inner>);

struct Inner {
    id: ShardId,
    state: RefCell<State>,
    flush: Notify,
    browser: Browser,
    store: Store,
    metrics: Arc<Metrics>,
    members: Option<Members>,
}

struct State {
    shard: Shard<Token>,
    out: Outbound,
    clock: Clock,
    /// Counts ticks, to spread pings.
    ticks: usize,
    /// Ticks between two pings of one connection.
    ping_ticks: usize,
}

/// A panic while the engine's state was being changed may leave it half changed: crash rather than corrupt.
struct NoHalves;

impl Drop for NoHalves {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a shard panicked; the node ends, clients reconnect and recover");
            std::process::abort();
        }
    }
}

impl Core {
    pub(super) fn new(
        id: ShardId,
        shared: &Shared,
        rules: Arc<Rules>,
        shards: Vec<UnboundedSender<Mail>>,
    ) -> Self {
        let limits: &Arc<Limits> = &shared.limits;
        let mut shard = Shard::new(id, shards.len(), Arc::clone(limits), rules);
        shard.share_rates(Arc::clone(&shared.rates));
        if let Some(members) = &shared.members {
            shard.number_connections(members.number());
        }
        for (tenant, channel, length) in shared.histories.iter().cloned() {
            shard.restore_setting(tenant, channel, length);
        }
        if let Some((_, settings)) = &shared.way {
            shard.join_cluster(*settings);
        }
        let out = Outbound::new(id, shared, shards);
        let ping_ticks = shared.ping_every.as_millis() / u128::from(TICK_MS);
        let state = State {
            shard,
            out,
            clock: Clock::default(),
            ticks: 0,
            ping_ticks: usize::try_from(ping_ticks).unwrap_or(usize::MAX).max(1),
        };
        Self(Rc::new(Inner {
            id,
            state: RefCell::new(state),
            flush: Notify::new(),
            browser: shared.browser.clone(),
            store: shared.store.of_shard(id),
            metrics: Arc::clone(&shared.metrics),
            members: shared.members.clone(),
        }))
    }

    /// Lets one thing happen, with all that follows from it inside of the shard.
    pub(crate) fn input(&self, input: Input<Token>) {
        self.change(|state| state.handle(input));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let guard = NoHalves;
        let mut state = self.0.state.borrow_mut();
        let result = change(&mut state);
        if !state.out.told.is_empty() {
            state.hear_outboxes();
        }
        let checks = std::mem::take(&mut state.out.checks);
        drop(state);
        drop(guard);
        for check in checks {
            self.check(check);
        }
        self.0.flush.notify_one();
        result
    }

    /// Counts that bytes came from a browser.
    pub(crate) fn count_read(&self) {
        self.0.metrics.read(self.0.id);
    }

    /// Looks at the shard.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Shard<Token>) -> T) -> T {
        look(&self.0.state.borrow().shard)
    }

    /// Resolves when there is something to flush.
    pub(super) async fn flush_wanted(&self) {
        self.0.flush.notified().await;
    }

    /// Writes what waits for some connections. True when others still wait.
    pub(super) fn flush(&self) -> bool {
        let mut state = self.0.state.borrow_mut();
        let unflushed = state.out.flush();
        let stuck = std::mem::take(&mut state.out.stuck);
        drop(state);
        for id in stuck {
            tokio::task::spawn_local(self.clone().unblock(id));
        }
        self.hear_outboxes();
        unflushed
    }

    /// Whether tasks that write have got something to do since the last call.
    pub(super) fn take_handed(&self) -> bool {
        std::mem::take(&mut self.0.state.borrow_mut().out.handed)
    }

    /// Lets the engine hear what outboxes have to tell, which is seldom.
    fn hear_outboxes(&self) {
        if !self.0.state.borrow().out.told.is_empty() {
            self.change(|_| ());
        }
    }

    /// Waits until a socket that was full takes bytes again, and writes what waits, until nothing does.
    async fn unblock(self, id: ConnectionId) {
        let Some(wire) = self.wire(id) else {
            return;
        };
        let Some(stream) = wire.stream() else {
            return;
        };
        // On an error the reader learns it too, and ends the connection.
        while stream.writable().await.is_ok() {
            let mut state = self.0.state.borrow_mut();
            if state.out.link(id).is_none() {
                return;
            }
            state.out.resume(id);
            // This task goes on waiting: no other one is needed.
            state.out.stuck.retain(|stuck| *stuck != id);
            let done = state.out.link(id).is_none_or(|link| !link.blocked);
            drop(state);
            self.hear_outboxes();
            if done {
                return;
            }
        }
    }

    fn wire(&self, id: ConnectionId) -> Option<Rc<Wire>> {
        let mut state = self.0.state.borrow_mut();
        state.out.link(id).map(|link| Rc::clone(&link.wire))
    }

    /// Opens a session.
    pub(crate) fn open(
        &self,
        settings: SessionSettings,
        info: ClientInfo,
        codec: Codec,
        wire: Rc<Wire>,
    ) -> ConnectionId {
        self.change(|state| {
            let now = state.clock.now();
            state.out.now = now.0;
            let id = state.shard.open(now, settings, info);
            state.out.insert(Link::new(id, codec, wire));
            let adapter = state.out.link(id).and_then(|link| link.codec.adapter());
            if let Some(outputs) = adapter.map(Adapter::on_open) {
                state.out.carry_out(id, outputs);
                state.follow(now);
            }
            id
        })
    }

    /// The connection is gone: to be called once, when its reading half ends. What the server closed it with counts more
    /// than how its client left.
    pub(crate) fn gone(&self, id: ConnectionId, ending: Ending) {
        self.change(|state| {
            let closed = state.out.link(id).and_then(|link| link.ending());
            let ending = closed.unwrap_or(ending);
            state.out.tell_dropped(id, true, None);
            state.hear_outboxes();
            state.handle(Input::Closed(id, ending));
            state.out.remove(id);
        });
    }

    /// A text message came. Returns how many of its lines were no requests.
    pub(crate) fn text(&self, id: ConnectionId, text: &str) -> usize {
        self.change(|state| {
            let now = state.clock.now();
            let adapter = state.out.link(id).and_then(|link| link.codec.adapter());
            if let Some(outputs) = adapter.map(|adapter| adapter.feed(now, text)) {
                state.out.now = now.0;
                state.out.carry_out(id, outputs);
                state.follow(now);
                return 0;
            }
            let mut bad = 0;
            for request in wire::decode_requests(text) {
                match request {
                    Ok(request) => state.handle(Input::Request(id, request)),
                    Err(error) => {
                        bad += 1;
                        state
                            .out
                            .write(id, |link, _| link.codec.bad_request(&error));
                    }
                }
            }
            bad
        })
    }

    /// Sends a frame as it is.
    pub(crate) fn send(&self, id: ConnectionId, frame: Bytes) {
        self.change(|state| state.out.write(id, |_, _| Coded::Frame(frame)));
    }

    /// Counts a session that was one too many.
    pub(crate) fn refused(&self, why: Full) {
        self.0.metrics.browser_refused(why);
    }

    /// Ends a connection with a close code.
    pub(crate) fn close(&self, id: ConnectionId, code: CloseCode) {
        self.change(|state| state.out.finish(id, code, code.as_str()));
    }

    /// The client closed: sends the last frame, if it can be sent now.
    pub(crate) fn answer_close(&self, id: ConnectionId, frame: Bytes) {
        self.change(|state| {
            state.out.write(id, |_, _| Coded::Frame(frame));
            state.out.flush_one(id);
        });
    }

    /// For a task that writes: all that waits, and whether that is the end. Until it takes again, or says that it has
    /// written, its client counts as one that does not read.
    pub(crate) fn take(&self, id: ConnectionId) -> Option<(Vec<u8>, bool)> {
        self.0.state.borrow_mut().out.take(id)
    }

    /// For a task that writes: all that it took is written.
    pub(crate) fn written(&self, id: ConnectionId) {
        self.0.state.borrow_mut().out.written(id);
        self.0.flush.notify_one();
    }

    /// Where a message is that may have been handed to connections of a user.
    pub(super) fn outlook(&self, sought: &Sought) -> Vec<Outlook> {
        let mut state = self.0.state.borrow_mut();
        let open = state.shard.connections_of(sought.tenant, sought.user);
        let open = open.into_iter();
        let outlook = |id| state.out.outlook(id, sought);
        let told = open.filter_map(outlook).collect();
        self.0.flush.notify_one();
        told
    }

    /// Whether a connection is open and its codec's secret is this one.
    pub(crate) fn has_stream(&self, id: ConnectionId, secret: &str) -> bool {
        let mut state = self.0.state.borrow_mut();
        let link = state.out.link(id);
        link.is_some_and(|link| !link.closing && link.codec.proves(secret))
    }

    /// Closes connections; returns how many.
    pub(super) fn disconnect(&self, which: Disconnect) -> u64 {
        self.change(|state| {
            let before = state.out.closed;
            state.handle(Input::Message(Message::Disconnect(which)));
            state.out.closed - before
        })
    }

    /// Tells all clients to come back at a random moment within `spread_ms`.
    pub(super) fn drain(&self, spread_ms: u64) {
        self.change(|state| {
            state.out.now = state.clock.now().0;
            for id in state.out.open_links() {
                let wait = if spread_ms == 0 {
                    0
                } else {
                    cometql_engine::Effects::random(&mut state.out) % spread_ms
                };
                let reason = format!("restart retry_after_ms={wait}");
                state.out.finish(id, CloseCode::Restart, &reason);
            }
        });
    }

    /// Somebody watches a channel.
    pub(super) fn tap(&self, tap: Tap) {
        self.0.state.borrow_mut().out.taps.add(tap);
    }

    /// Closes clients that do not read, until the node's budget is kept.
    pub(super) fn relieve(&self) {
        self.change(|state| state.out.relieve());
    }

    /// What waits for the sockets.
    pub(super) fn waiting(&self) -> Waiting {
        self.0.state.borrow().out.waiting()
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        let state = self.0.state.borrow();
        state.out.links.iter().flatten().count()
    }

    /// Time passed.
    pub(super) fn tick(&self) {
        self.change(|state| {
            state.handle(Input::Tick);
            state.ticks = (state.ticks + 1) % state.ping_ticks;
            state.out.ping(state.ticks, state.ping_ticks);
            state.out.end_overdue();
        });
    }

    /// Checks credentials, while other things happen.
    fn check(&self, check: Check) {
        let core = self.clone();
        tokio::task::spawn_local(async move {
            let Check {
                connection,
                request,
                credentials,
            } = check;
            let (tenant, legacy) = (credentials.tenant, credentials.legacy);
            let mut result = core.0.browser.authenticate(credentials).await;
            let metrics = &core.0.metrics;
            metrics.log_in(Door::Browser, result.is_ok());
            if legacy
                && let Ok(Identity {
                    user: Some(user), ..
                }) = &result
            {
                match legacy::stored_hash(&core.0.store, tenant, *user).await {
                    Ok(hash) => core.tell_hash(connection, &hash),
                    Err(error) => {
                        result = Err(Reject::new(ErrorCode::Unavailable, error.to_string()));
                    }
                }
            }
            core.input(Input::Authenticated {
                connection,
                request,
                result,
            });
        });
    }

    fn tell_hash(&self, id: ConnectionId, hash: &str) {
        let mut state = self.0.state.borrow_mut();
        let adapter = state.out.link(id).and_then(|link| link.codec.adapter());
        if let Some(adapter) = adapter {
            adapter.authenticated(hash);
        }
    }

    /// Hands requests to the shard that has the connection, in a cluster on whatever node; resolves to whether it has.
    pub(crate) fn forward(
        &self,
        connection: ConnectionId,
        secret: String,
        text: String,
    ) -> oneshot::Receiver<bool> {
        let (known, answer) = oneshot::channel();
        if let Some(members) = &self.0.members
            && members.number() != connection.member()
        {
            let members = members.clone();
            tokio::task::spawn_local(async move {
                // Who asked may have gone.
                _ = known.send(members.post(connection, secret, text).await);
            });
            return answer;
        }
        let state = self.0.state.borrow();
        if let Some(mailbox) = state.out.shards.get(usize::from(connection.shard().0)) {
            // A shard that has stopped drops the mail, and the receiver learns that.
            _ = mailbox.send(Mail::Requests {
                connection,
                secret,
                text,
                known,
            });
        }
        answer
    }
}

impl State {
    fn handle(&mut self, input: Input<Token>) {
        let now = self.clock.now();
        self.out.now = now.0;
        self.one(now, input);
        self.follow(now);
    }

    /// What outboxes tell, what the engine sent to itself, and what adapters made of its replies.
    fn follow(&mut self, now: Now) {
        loop {
            if let Some((id, told)) = self.out.told.pop_front() {
                self.one(now, Input::Outbox(id, told));
            } else if let Some(message) = self.out.local.pop_front() {
                self.one(now, Input::Message(message));
            } else if let Some((id, request)) = self.out.requests.pop_front() {
                self.one(now, Input::Request(id, request));
            } else {
                return;
            }
        }
    }

    /// The engine hears what outboxes have to tell.
    fn hear_outboxes(&mut self) {
        let now = self.clock.now();
        self.out.now = now.0;
        self.follow(now);
    }

    fn one(&mut self, now: Now, input: Input<Token>) {
        let replay = |message: &Message| {
            matches!(message, Message::Subscribed { .. } | Message::Inbox { .. })
        };
        self.out.replaying = matches!(&input, Input::Message(message) if replay(message));
        self.shard.handle(now, input, &mut self.out);
    }
}
