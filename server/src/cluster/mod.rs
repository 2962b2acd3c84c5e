//! A node as a member of a cluster, on NATS with JetStream: `docs-site/contributing/cluster.md` is its design.
//!
//! Owns the connection, the names of subjects and streams, and what travels over them. It must not decide anything about
//! channels or users: that is the engine's. A node without `[cluster]` uses nothing of this.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream;
use tokio::sync::watch;

use crate::metrics::OfCluster;

mod append;
mod arrivals;
mod connect;
pub(crate) mod cut_off;
pub(crate) mod gather;
mod history;
mod inbox;
mod lanes;
mod log;
pub mod members;
mod message;
pub mod moving;
mod names;
#[cfg(test)]
mod nats_server;
pub(crate) mod presence;
mod read;
mod ready;
mod reconcile;
mod serve;
pub mod state;
pub mod streams;
mod sweep;
mod tenant;
#[cfg(test)]
mod tests;
mod unstored;

use append::Health;
pub use connect::ConnectError;
pub(crate) use log::{Log, Unstarted};
pub use names::{Names, StreamKind};
pub use ready::Readiness;
pub(crate) use tenant::NotAll;

/// How a node is a member.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where NATS is: `nats://` or `tls://` URLs of some of its servers, which tell of the others.
    pub servers: Vec<String>,
    /// The cluster's name: so several can share one NATS.
    pub name: String,
    /// The node's name, for people.
    pub node: String,
    /// How it proves that it may.
    pub access: Access,
    /// Certificates.
    pub tls: TlsFiles,
    /// How many NATS servers keep each message.
    pub replicas: usize,
    /// After so long without an acknowledgement the log's quorum counts as lost.
    pub quorum_timeout: Duration,
    /// What becomes of publications then.
    pub on_quorum_loss: OnQuorumLoss,
    /// A member that was silent for so long is dead.
    pub lease: Duration,
    /// How long other members may take to answer.
    pub ask_timeout: Duration,
    /// Cut off for so long, a node sends its browsers to the others; zero = never.
    pub drain_after: Duration,
}

/// How a node proves to NATS that it may connect.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Not at all, or by what stands in the URLs.
    #[default]
    Open,
    /// By user and password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// By a file with a token and a key, as `nsc` makes them.
    Credentials(PathBuf),
}

/// Certificates of the connection to NATS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Who signed the servers' certificates, where the system does not know; given, TLS is required.
    pub ca: Option<PathBuf>,
    /// The node's own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// What becomes of publications in channels with history while the log's quorum is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnQuorumLoss {
    /// Delivered live, not kept; the answer says so, subscribers are told that there is a gap.
    #[default]
    Live,
    /// Refused: to be tried again.
    Refuse,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            name: "cometql".into(),
            node: "n1".into(),
            access: Access::default(),
            tls: TlsFiles::default(),
            replicas: 3,
            quorum_timeout: Duration::from_secs(10),
            on_quorum_loss: OnQuorumLoss::default(),
            lease: Duration::from_secs(5),
            ask_timeout: Duration::from_secs(1),
            drain_after: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URLs may have passwords in them.
        f.debug_struct("Settings")
            .field("servers", &self.servers.len())
            .field("name", &self.name)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// A member's way to the others and to the log. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    settings: Settings,
    names: Names,
    node: NodeId,
    client: async_nats::Client,
    log: jetstream::Context,
    state: watch::Receiver<Connection>,
    health: Arc<Health>,
    epochs: Epochs,
    ends: read::Ends,
    counters: OfCluster,
}

/// Which life of each stream this is, as last seen.
#[derive(Debug, Default)]
struct Epochs([AtomicU64; 4]);

impl Epochs {
    fn get(&self, kind: StreamKind) -> u64 {
        self.0[kind as usize].load(Ordering::Relaxed)
    }

    /// Notes it; true when it was another one before.
    fn replace(&self, kind: StreamKind, epoch: u64) -> bool {
        let before = self.0[kind as usize].swap(epoch, Ordering::Relaxed);
        before != 0 && before != epoch
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// One run of a node: its name and what tells this run from others, as one token of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Another run of a node with this name.
    fn new(name: &str) -> Self {
        let run = uuid::Uuid::new_v4().simple().to_string();
        Self(format!("{}-{}", names::token(name), &run[..8]).into())
    }

    /// One that was told by another member.
    #[must_use]
    pub fn told(text: &str) -> Self {
        Self(text.into())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the engine knows it, the same on every node.
    #[must_use]
    pub fn number(&self) -> cometql_engine::NodeId {
        cometql_engine::NodeId(message::fnv(&self.0))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The connection to NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connection {
    /// How many times it was made: what was subscribed is so again, what came in between is lost.
    pub times: u64,
    /// Whether it is there.
    pub up: bool,
}

impl Cluster {
    /// What the node was told about the cluster.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// How subjects and streams are called.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// This run of this node.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.node
    }

    /// The connection. What it publishes does not come back to its own subscriptions.
    #[must_use]
    pub fn client(&self) -> &async_nats::Client {
        &self.0.client
    }

    /// JetStream on it.
    #[must_use]
    pub fn log(&self) -> &jetstream::Context {
        &self.0.log
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> &OfCluster {
        &self.0.counters
    }

    /// The largest message that NATS takes, headers included.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.client().server_info().max_payload
    }

    fn health(&self) -> &Health {
        &self.0.health
    }

    fn epochs(&self) -> &Epochs {
        &self.0.epochs
    }

    /// Follows the connection; every change of `times` is a reason to look what was missed.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.0.state.clone()
    }
}
