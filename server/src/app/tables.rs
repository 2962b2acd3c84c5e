//! The tables of a member, which follow the cluster's: from before the shards start until nobody waits for them.

use cometql_engine::Limits;
use tokio::task::JoinHandle;

use super::StartError;
use crate::cluster::Cluster;
use crate::cluster::state::{Acting, Joined, State};
use crate::hub::Hub;
use crate::storage::Store;

/// Makes the tables those of the cluster, where there is one.
pub(super) async fn join(
    cluster: Option<&Cluster>,
    store: &Store,
    limits: &Limits,
) -> Result<Option<Joined>, StartError> {
    Ok(match cluster {
        Some(cluster) => Some(State::join(cluster, store, limits.history_publications).await?),
        None => None,
    })
}

/// The shards run: what follows the log from now on. To be ended as late as the shards' way to it, because statements and
/// shards wait for changes that they made.
pub(super) fn serve(joined: Option<Joined>, hub: &Hub) -> Vec<JoinHandle<()>> {
    let acting = || Acting::new(hub.clone());
    joined.map_or_else(Vec::new, |joined| joined.serve(acting()))
}
