//! What a member of a cluster is wired with, beside what every node is.

use std::sync::Arc;

use cometql_engine::{ClusterSettings, Limits, QuorumLoss, Rules};
use tokio::task::JoinHandle;

use super::StartError;
use crate::cluster::{self, Cluster, Log, OnQuorumLoss, Unstarted};
use crate::metrics::Metrics;
use crate::shard::{Shards, Shared};

/// What headers may take beside a payload, bytes.
const HEADERS: usize = 4 << 10;

/// Becomes a member, where that is asked for.
pub(super) async fn join(
    settings: Option<cluster::Settings>,
    limits: &Limits,
    insert_bytes: usize,
) -> Result<Option<Cluster>, StartError> {
    let Some(settings) = settings else {
        return Ok(None);
    };
    let cluster = Cluster::connect(settings).await?;
    warn_of_payload(cluster.max_payload(), insert_bytes);
    cluster::streams::prepare(&cluster, limits).await?;
    Ok(Some(cluster))
}

/// What one INSERT may bring has to fit into a message.
fn warn_of_payload(max_payload: usize, insert_bytes: usize) {
    if max_payload < insert_bytes.saturating_add(HEADERS) {
        tracing::warn!(
            max_payload,
            insert = insert_bytes,
            "NATS takes smaller messages (max_payload in its configuration) than an INSERT may bring (limits.insert): \
             larger ones are refused; raise max_payload, or lower limits.insert on all nodes"
        );
    }
}

/// The shards' way to the cluster's log, before there are shards.
pub(super) struct Way {
    log: Log,
    unstarted: Unstarted,
    settings: ClusterSettings,
}

impl Way {
    pub(super) fn new(
        cluster: Option<&Cluster>,
        limits: &Arc<Limits>,
        metrics: &Metrics,
    ) -> Option<Self> {
        let cluster = cluster?;
        metrics.join_cluster(cluster.counters());
        let (log, unstarted) = Log::new(cluster.clone(), Arc::clone(limits));
        let settings = ClusterSettings {
            node: cluster.node().number(),
            on_quorum_loss: match cluster.settings().on_quorum_loss {
                OnQuorumLoss::Live => QuorumLoss::Live,
                OnQuorumLoss::Refuse => QuorumLoss::Refuse,
            },
        };
        Some(Self {
            log,
            unstarted,
            settings,
        })
    }

    /// What the shards need of it.
    pub(super) fn of_shards(&self) -> (Log, ClusterSettings) {
        (self.log.clone(), self.settings)
    }
}

/// Starts the shards, and what serves them: to be ended after them.
pub(super) fn start(
    count: usize,
    shared: &Shared,
    rules: &Arc<Rules>,
    way: Option<Way>,
) -> Result<(Shards, Vec<JoinHandle<()>>), StartError> {
    let shards = Shards::start(count, shared, rules).map_err(StartError::Shards)?;
    let served = way.map(|way| way.unstarted.start(&way.log, shards.mailboxes()));
    Ok((shards, served.unwrap_or_default()))
}
