//! A node's place among the members of its cluster: what runs for it from the start to the goodbye.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::backends::Sockets;
use crate::cluster::gather::Answering;
use crate::cluster::members::{About, JoinError, Joined, Members};
use crate::cluster::presence::Presence;
use crate::cluster::{Cluster, cut_off};
use crate::cometql::Processes;
use crate::hub::Hub;

/// A member, and the tasks that make it one.
pub(super) struct Membership {
    members: Members,
    tasks: Vec<JoinHandle<()>>,
}

/// Finds the other members, where there is a cluster.
pub(super) async fn join(
    cluster: Option<&Cluster>,
    http: SocketAddr,
    sockets: &Sockets,
) -> Result<Option<(Members, Joined)>, JoinError> {
    Ok(match cluster {
        Some(cluster) => {
            let about = About {
                http: http.to_string(),
                mysql: sockets
                    .mysql_address()
                    .map_or_else(String::new, |address| address.to_string()),
            };
            Some(Members::join(cluster, about).await?)
        }
        None => None,
    })
}

impl Membership {
    /// Answers the other members, and tells them that this one is there.
    pub(super) async fn start(
        joined: Option<(Members, Joined)>,
        hub: &Hub,
        processes: &Arc<Processes>,
        restart_spread: Duration,
    ) -> Result<Option<Self>, JoinError> {
        let Some((members, joined)) = joined else {
            return Ok(None);
        };
        let answering = Answering {
            members: members.clone(),
            hub: hub.clone(),
            processes: Arc::clone(processes),
        };
        let questions = answering.subscribe().await?;
        let presence = Presence::new(members.clone(), hub.clone());
        let users = presence.subscribe().await?;
        let tasks = vec![
            tokio::spawn(answering.run(questions)),
            tokio::spawn(presence.run(users, joined.heard, joined.told)),
            tokio::spawn(members.clone().run(joined.beats)),
            tokio::spawn(cut_off::watch(members.clone(), hub.clone(), restart_spread)),
        ];
        members.ready().await;
        Ok(Some(Self { members, tasks }))
    }

    /// Tells the others that this node is being stopped.
    pub(super) async fn drain(&self) {
        self.members.drain().await;
    }

    /// Says goodbye.
    pub(super) async fn leave(self) {
        for task in self.tasks {
            task.abort();
            // It was told to end.
            _ = task.await;
        }
        self.members.leave().await;
    }
}
