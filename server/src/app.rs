//! Where everything is wired. No other module starts another one.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cometql_engine::ids::MAX_SHARDS;
use cometql_engine::{Limits, Rules, StoreFailure};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::Door;
use crate::auth::{Browser, Keys, Tokens};
use crate::cluster::{self, Cluster, Readiness};
use crate::cometql;
use crate::http::{Front, HttpSettings, Port};
use crate::hub::Hub;
use crate::metrics::{Metrics, SAMPLE_EVERY};
use crate::quota::Quota;
use crate::shard::{Backlog, Shards, Shared};
use crate::storage::Store;

mod backends;
mod member;
mod membership;
mod tables;
#[cfg(test)]
mod tests;

pub use backends::BackendSettings;
use backends::{Backends, Sockets};
use member::Way;
use membership::Membership;

/// Bytes of a message from a browser beside its payload: names, keys, escapes.
const MESSAGE_OVERHEAD: usize = 16 << 10;
/// Files that are not connections: the store, listeners, event queues, logs, clients that are told that there is no room.
const OTHER_FILES: usize = 256;

/// How often old rows are removed.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// How often it is noted that the node runs: so exact is when a user left who was online when it crashed.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// All that a node is started with.
pub struct AppSettings {
    /// What lasts.
    pub store: Store,
    /// How many shards; `None` = one for each core.
    pub shards: Option<usize>,
    /// Sizes and counts.
    pub limits: Limits,
    /// Channel rules.
    pub rules: Arc<Rules>,
    /// Who may log in with a token.
    pub tokens: Tokens,
    /// The browser port.
    pub http: HttpSettings,
    /// The ports of backends and administrators.
    pub backends: BackendSettings,
    /// Of which cluster it is a member; `None` = it is on its own.
    pub cluster: Option<cluster::Settings>,
}

impl AppSettings {
    /// The defaults, on a free port, with a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let http = HttpSettings {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..HttpSettings::default()
        };
        Self {
            store,
            shards: None,
            limits: Limits::default(),
            rules: Arc::new(Rules::default()),
            tokens: Tokens::default(),
            http,
            backends: BackendSettings::default(),
            cluster: None,
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is in use, not ours, or no address of this machine.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The store was opened, and failed then.
    #[error(
        "{0}: look at the disk of the data directory; if the store is damaged, restore the last backup (store_failed)"
    )]
    Store(#[from] StoreFailure),
    /// The node can't be a member of its cluster.
    #[error("{0}")]
    Cluster(#[from] cluster::ConnectError),
    /// The cluster's streams can't be had.
    #[error("{0}")]
    Streams(#[from] cluster::streams::StreamError),
    /// The node can't hear the other members.
    #[error("{0}")]
    Members(#[from] cluster::members::JoinError),
    /// The tables can't be those of the cluster.
    #[error("{0}")]
    Tables(#[from] cluster::state::JoinError),
    /// The system gave no threads.
    #[error("can't start the shards: {0}")]
    Shards(io::Error),
}

/// A running node. It must be stopped by [`App::stop`]: dropped, its threads go on.
pub struct App {
    hub: Hub,
    store: Store,
    metrics: Arc<Metrics>,
    shards: Shards,
    http_address: SocketAddr,
    capacity: usize,
    /// Dropped, the browser port is closed.
    open: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
    backends: Backends,
    cluster: Option<Cluster>,
    membership: Option<Membership>,
    /// What serves a member's shards.
    way: Vec<JoinHandle<()>>,
    restart_spread: Duration,
}

impl App {
    /// Starts a node. Its listeners run on the caller's runtime, its shards on threads of their own.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(settings: AppSettings) -> Result<Self, StartError> {
        let AppSettings {
            store,
            shards,
            limits,
            rules,
            tokens,
            http,
            mut backends,
            cluster,
        } = settings;
        let sockets = Sockets::bind(&backends).await?;
        let admin_on_http = Arc::default();
        let count = shards.unwrap_or_else(cores).clamp(1, MAX_SHARDS);
        let port = bind(http.address, count)?;
        let (http_address, capacity) = (port.address, capacity(http.capacity, &backends));
        let (spread, inbox_ms) = (http.restart_spread, limits.inbox_ms);
        store.review(Arc::clone(&rules)).await?;
        let cluster = member::join(cluster, &limits, backends.language.insert_bytes).await?;
        let tables = tables::join(cluster.as_ref(), &store, &limits).await?;
        let readiness = readiness(cluster.as_ref(), &mut backends);
        let joined = membership::join(cluster.as_ref(), http_address, &sockets).await?;
        let members = joined.as_ref().map(|(members, _)| members.clone());
        let (metrics, limits) = (Arc::new(Metrics::of_node(count)), Arc::new(limits));
        let way = Way::new(cluster.as_ref(), &limits, &metrics);
        let shared = Shared {
            backlog: Backlog::new(limits.outbox_bytes_per_node),
            store: store.clone(),
            histories: store.settings()?.into(),
            metrics: Arc::clone(&metrics),
            browser: Browser::new(tokens.clone(), store.clone()),
            ping_every: http.ping_every,
            close_wait: http.close_wait,
            front: front(http, &limits, &admin_on_http, readiness),
            limits,
            rates: Arc::default(),
            members,
            way: way.as_ref().map(Way::of_shards),
        };
        let (shards, mut way) = member::start(count, &shared, &rules, way)?;
        let hub = hub(&shards, rules, &shared);
        way.extend(tables::serve(tables, &hub));
        let backends = Backends::start(
            backends,
            sockets,
            backends::Node {
                hub: &hub,
                store: &store,
                tokens: &tokens,
                metrics: &metrics,
            },
            &admin_on_http,
        );
        let membership = Membership::start(joined, &hub, backends.processes(), spread).await?;
        Ok(Self {
            tasks: upkeep(&store, inbox_ms, &metrics),
            hub,
            store,
            metrics,
            open: open(port, capacity, &shards),
            shards,
            http_address,
            capacity,
            backends,
            cluster,
            membership,
            way,
            restart_spread: spread,
        })
    }

    /// The door to the shards.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What lasts.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The way to other nodes, for a member of a cluster.
    #[must_use]
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Where browsers connect.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where MySQL clients connect.
    #[must_use]
    pub fn mysql_address(&self) -> Option<SocketAddr> {
        self.backends.mysql_address
    }

    /// Where administrators connect.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.backends.admin_address
    }

    /// Puts other keys of tenants in force. Sessions of backends that were opened with a key that is gone end.
    pub fn set_keys(&self, keys: Keys) {
        self.backends.set_keys(keys);
    }

    /// Puts the escaping modes of these settings in force, and nothing else of them.
    pub fn set_escaping(&self, language: &cometql::Settings) {
        self.backends.set_escaping(language);
    }

    /// How many connections fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Stops: no new connections, clients are told to come back spread over the configured time, threads end.
    pub async fn stop(self) {
        let Self {
            shards,
            store,
            open,
            tasks,
            backends,
            membership,
            way,
            restart_spread,
            ..
        } = self;
        if let Some(membership) = &membership {
            membership.drain().await;
        }
        // Clients that come now are refused at once.
        drop(open);
        end(tasks).await;
        backends.stop().await;
        let stopped = tokio::task::spawn_blocking(move || shards.stop(restart_spread));
        if stopped.await.is_err() {
            tracing::error!("the shards did not stop cleanly");
        }
        end(way).await;
        if let Some(membership) = membership {
            membership.leave().await;
        }
        // Who is not back after the restart left now. A store that fails said so in the log.
        _ = store.runs(now_ms()).await;
        store.shutdown().await;
    }
}

async fn end(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.abort();
        _ = task.await;
    }
}

/// What both ports tell balancers.
fn readiness(cluster: Option<&Cluster>, backends: &mut BackendSettings) -> Readiness {
    let readiness = Readiness::of(cluster);
    if let Some(mysql) = &mut backends.mysql {
        mysql.readiness = readiness.clone();
    }
    readiness
}

fn bind(address: SocketAddr, shards: usize) -> Result<Port, StartError> {
    let listen = |source| StartError::Listen { address, source };
    Port::bind(address, shards).map_err(listen)
}

fn hub(shards: &Shards, rules: Arc<Rules>, shared: &Shared) -> Hub {
    let log = shared.way.as_ref().map(|(log, _)| log.clone());
    let mailboxes = shards.mailboxes().to_vec();
    Hub::new(mailboxes, rules, shared.members.clone(), log)
}

/// Takes connections of browsers, until what is returned is dropped.
fn open(port: Port, capacity: usize, shards: &Shards) -> watch::Sender<()> {
    let (open, watched) = watch::channel(());
    let (address, doors) = (port.address, shards.doors());
    port.open(capacity, &doors, &watched);
    tracing::info!(%address, capacity, shards = doors.len(), "browser port open");
    open
}

fn front(
    settings: HttpSettings,
    limits: &Limits,
    admin: &Arc<OnceLock<Door>>,
    readiness: Readiness,
) -> Arc<Front> {
    let most = settings.tenant_capacity;
    Arc::new(Front {
        places: most.map(|most| Quota::new(usize::MAX, most)),
        settings,
        message_bytes: limits.browser_publication_bytes + MESSAGE_OVERHEAD,
        readiness,
        admin: Arc::clone(admin),
    })
}

/// What is done now and then for as long as the node runs.
fn upkeep(store: &Store, inbox_ms: u64, metrics: &Arc<Metrics>) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(purge(store.clone(), inbox_ms)),
        tokio::spawn(note_running(store.clone())),
        tokio::spawn(sample(Arc::clone(metrics))),
    ]
}

/// Removes what nobody may read any more, every minute.
async fn purge(store: Store, inbox_ms: u64) {
    let mut minutes = tokio::time::interval(PURGE_EVERY);
    loop {
        minutes.tick().await;
        if let Err(error) = store.purge(now_ms(), inbox_ms).await {
            tracing::warn!(%error, "old rows could not be removed");
        }
    }
}

/// Notes that the node runs.
async fn note_running(store: Store) {
    let mut ticks = tokio::time::interval(NOTE_EVERY);
    loop {
        ticks.tick().await;
        // A store that fails says so in the log, and the next note replaces this one.
        _ = store.runs(now_ms()).await;
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Keeps the counters from which `SHOW GLOBAL STATUS` tells rates.
async fn sample(metrics: Arc<Metrics>) {
    let mut seconds = tokio::time::interval(SAMPLE_EVERY);
    loop {
        seconds.tick().await;
        metrics.sample();
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Connections that the open-files limit leaves, after raising the soft limit to the hard one. Backends keep their places
/// however many browsers come, unless that would take more than half of a small limit.
fn capacity(configured: Option<usize>, backends: &BackendSettings) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the open-files limit could not be raised");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let reserved = OTHER_FILES + backends.most_connections();
    configured.unwrap_or_else(|| (files - reserved.min(files / 2)).max(1))
}
