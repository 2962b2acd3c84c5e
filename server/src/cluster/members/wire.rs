//! A heartbeat as JSON. Fields that a later version adds are ignored by earlier ones, and those that it leaves out have
//! defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{About, MemberRow};
use crate::cluster::{Cluster, NodeId};

/// The version of what members tell each other.
pub(in crate::cluster) const VERSION: u8 = 1;

/// What a member tells of itself, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Beat {
    /// Of the message.
    pub(crate) v: u8,
    /// Which run of which node.
    pub(crate) node: String,
    /// The node's name.
    pub(crate) name: String,
    /// The number in the ids of its connections.
    pub(crate) number: u8,
    /// Of the program.
    pub(crate) version: String,
    /// Where browsers connect.
    pub(crate) http: String,
    /// Where MySQL clients connect.
    pub(crate) mysql: String,
    /// When it was started, unix milliseconds.
    pub(crate) started_ms: u64,
    /// It answers questions. Before, it only holds its number.
    pub(crate) ready: bool,
    /// It is being stopped.
    pub(crate) draining: bool,
    /// It is gone: its last words.
    pub(crate) gone: bool,
    /// How many times it has connected to NATS: with each, something that it said before may be lost.
    pub(crate) connected: u64,
}

/// An answer to the question who is there: as all answers between members.
#[derive(Deserialize)]
struct Answer {
    rows: Vec<Beat>,
}

impl Beat {
    /// Reads one; `None` for what is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let beat: Self = serde_json::from_slice(bytes).ok()?;
        (!beat.node.is_empty()).then_some(beat)
    }

    /// Reads those of an answer.
    pub(super) fn of_answer(bytes: &[u8]) -> Vec<Self> {
        serde_json::from_slice(bytes).map_or_else(|_| Vec::new(), |answer: Answer| answer.rows)
    }

    /// As JSON.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and booleans are JSON")
    }

    /// Whose it is.
    pub(super) fn node(&self) -> NodeId {
        NodeId::told(&self.node)
    }
}

/// What this node tells of itself, still without a number.
pub(super) fn own(cluster: &Cluster, about: About) -> Beat {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Beat {
        v: VERSION,
        node: cluster.node().as_str().to_owned(),
        name: cluster.settings().node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        http: about.http,
        mysql: about.mysql,
        started_ms: u64::try_from(now.as_millis()).unwrap_or(0),
        ..Beat::default()
    }
}

/// A beat for people.
pub(super) fn row(beat: &Beat, silent: Duration, own: bool) -> MemberRow {
    MemberRow {
        node: beat.node(),
        name: beat.name.clone(),
        number: beat.number,
        version: beat.version.clone(),
        http: beat.http.clone(),
        mysql: beat.mysql.clone(),
        started_ms: beat.started_ms,
        draining: beat.draining,
        silent,
        own,
    }
}
