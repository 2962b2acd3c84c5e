//! The runtime of the engine's shards: one thread each, a mailbox, and the connections that live there.
//!
//! Owns threads, mailboxes and outboxes. Decides nothing about channels: that is the engine's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cometql_engine::{
    ClusterSettings, Command, ConnectionId, Disconnect, Limits, LogEvent, Message, Rates, Rules,
    Shard, ShardId, StoreAnswer, StoreFailure,
};
use cometql_protocol::{ChannelName, TenantId};
use tokio::sync::{mpsc, oneshot};

use crate::auth::Browser;
use crate::cluster::Log;
use crate::cluster::members::Members;
use crate::http::{Arrival, Front, Listener};
use crate::hub::Waiting;
use crate::metrics::Metrics;
use crate::quota::Share;
use crate::storage::Store;

mod buffers;
mod clock;
pub(crate) mod codec;
mod core;
pub(crate) mod link;
mod outbound;
mod run;
mod stalled;
mod taps;
mod token;
mod unwritten;

pub(crate) use self::core::Core;
pub(crate) use stalled::Backlog;
use taps::Tap;
pub(crate) use taps::{Tapped, tap};
pub(crate) use token::{Batch, Token, unavailable};
pub(crate) use unwritten::{InOutbox, Outlook, Sought};

/// What all shards of a node share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Sizes and counts.
    pub(crate) limits: Arc<Limits>,
    /// What lasts.
    pub(crate) store: Store,
    /// The rows of `pipes_settings` at start: channels that keep so many publications on disk.
    pub(crate) histories: Arc<[(TenantId, ChannelName, u64)]>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Who may log in.
    pub(crate) browser: Browser,
    /// How often the server pings a connection.
    pub(crate) ping_every: Duration,
    /// How long a closed client may take to close too.
    pub(crate) close_wait: Duration,
    /// What answers HTTP requests.
    pub(crate) front: Arc<Front>,
    /// What waits for clients that do not read.
    pub(crate) backlog: Arc<Backlog>,
    /// How fast users, channels and tenants went.
    pub(crate) rates: Arc<Rates>,
    /// The other nodes of the cluster.
    pub(crate) members: Option<Members>,
    /// A member's way to its cluster.
    pub(crate) way: Option<(Log, ClusterSettings)>,
}

/// Looks at a shard, on its thread.
pub(crate) type Query = Box<dyn FnOnce(&Shard<Token>) + Send>;

/// What comes to a shard from other threads.
pub(crate) enum Mail {
    /// From another shard.
    Messages(Vec<Message>),
    /// A backend changes something.
    Command(Command, Token),
    /// A backend changes many things.
    Commands(Vec<(Command, Token)>),
    /// The store has answered.
    Stored {
        ticket: u64,
        result: Result<StoreAnswer, StoreFailure>,
    },
    /// Something happened in the cluster.
    Log(Box<LogEvent>),
    /// New channel rules.
    Rules(Arc<Rules>),
    /// Somebody wants to look.
    Query(Query),
    /// Somebody watches a channel that this shard sequences.
    Tap(Tap),
    /// How much waits for the sockets?
    Waiting(oneshot::Sender<Waiting>),
    /// What became of a message for the connections of a user?
    Outlook(Sought, oneshot::Sender<Vec<Outlook>>),
    /// Too much waits on the node, and most of it on this shard.
    Relieve,
    /// Close connections and say how many.
    Disconnect(Disconnect, oneshot::Sender<u64>),
    /// A new socket, non-blocking.
    Arrival(std::net::TcpStream, Arrival),
    /// Take connections from here.
    Listen(Listener),
    /// Requests for a session whose pushes leave as server-sent events; `false` when there is none such.
    Requests {
        connection: ConnectionId,
        secret: String,
        text: String,
        known: oneshot::Sender<bool>,
    },
    /// Close all connections: clients are told to come back at a random moment within so many milliseconds.
    Drain { spread_ms: u64 },
    /// Stop once all connections are gone.
    Stop,
}

impl Mail {
    /// [`Mail::Drain`], over so long.
    pub(crate) fn drain(spread: Duration) -> Self {
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        Self::Drain { spread_ms }
    }
}

/// The shards of a node.
pub(crate) struct Shards {
    mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
    loads: Vec<Load>,
    threads: Vec<JoinHandle<()>>,
}

/// How many sockets a shard has.
#[derive(Clone, Default)]
pub(crate) struct Load(Arc<AtomicUsize>);

/// One socket in a shard's load, until dropped.
pub(crate) struct Loaded {
    load: Load,
    /// Of its tenant's places, where there is a limit.
    _share: Option<Box<Share>>,
}

impl Loaded {
    /// Keeps a tenant's place as long as the socket.
    pub(crate) fn with(mut self, share: Option<Box<Share>>) -> Self {
        self._share = share;
        self
    }
}

impl Load {
    /// How many.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more.
    pub(crate) fn add(&self) -> Loaded {
        self.0.fetch_add(1, Ordering::Relaxed);
        Loaded {
            load: self.clone(),
            _share: None,
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.load.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shards {
    /// Starts `count` threads: 1 to [`MAX_SHARDS`](cometql_engine::ids::MAX_SHARDS).
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub(crate) fn start(
        count: usize,
        shared: &Shared,
        rules: &Arc<Rules>,
    ) -> std::io::Result<Self> {
        let (mailboxes, mails): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let mut threads = Vec::with_capacity(count);
        for (index, mails) in mails.into_iter().enumerate() {
            let id = ShardId(u8::try_from(index).expect("at most 256 shards"));
            let (shared, rules) = (shared.clone(), Arc::clone(rules));
            let all = mailboxes.clone();
            let runtime = run::runtime()?;
            let thread = std::thread::Builder::new().name(format!("shard-{index}"));
            threads.push(thread.spawn(move || run::run(&runtime, id, &shared, rules, all, mails))?);
        }
        let loads = vec![(); count]
            .into_iter()
            .map(|()| Load::default())
            .collect();
        Ok(Self {
            mailboxes,
            loads,
            threads,
        })
    }

    /// The mailboxes, in the order of the shards.
    pub(crate) fn mailboxes(&self) -> &[mpsc::UnboundedSender<Mail>] {
        &self.mailboxes
    }

    /// Where new sockets go to, with the loads, in the order of the shards.
    pub(crate) fn doors(&self) -> Vec<(mpsc::UnboundedSender<Mail>, Load)> {
        let doors = self.mailboxes.iter().cloned();
        doors.zip(self.loads.iter().cloned()).collect()
    }

    /// Tells clients to come back and ends the threads; blocks until they have ended.
    pub(crate) fn stop(self, spread: Duration) {
        for mailbox in &self.mailboxes {
            // A thread that has ended already takes no mail.
            _ = mailbox.send(Mail::drain(spread));
            _ = mailbox.send(Mail::Stop);
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a shard's thread panicked");
            }
        }
    }
}
