//! Real NATS servers, and nodes that are members of a cluster on them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cometql_engine::Rules;
use cometql_engine::permission::{Pattern, Retention, Rule, UserDataRule};
use cometql_server::app::AppSettings;
use cometql_server::cluster::{Access, Settings};

use super::backend::World;
use super::{PATIENCE, skipped};

#[path = "../../src/cluster/nats_server.rs"]
pub(crate) mod nats_server;
use nats_server::{NatsServers, PASSWORD, USER};

/// Settings with which a slow machine does not count for a dead node, nor an election for a lost quorum. Who tests what happens
/// then has others.
pub(crate) fn patient() -> Settings {
    Settings {
        quorum_timeout: PATIENCE / 2,
        lease: PATIENCE,
        ask_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

/// NATS, and nodes that use it.
pub(crate) struct Cluster {
    pub(crate) servers: NatsServers,
    pub(crate) folder: tempfile::TempDir,
}

impl Cluster {
    /// With so many NATS servers; `None` = they can't be had here, which was told.
    pub(crate) fn start(servers: usize, what: &str) -> Option<Self> {
        Self::start_with(servers, what, |_| nats_server::password())
    }

    /// The same; `access` says, given their folder, who may connect.
    pub(crate) fn start_with(
        servers: usize,
        what: &str,
        access: impl FnOnce(&Path) -> String,
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        match NatsServers::start_with(servers, folder.path(), &access) {
            Ok(servers) => Some(Self { servers, folder }),
            Err(why) => {
                skipped(what, &why);
                None
            }
        }
    }

    /// Another node. Channels `web_now…` are ephemeral, `web_kept…` durable.
    pub(crate) async fn node(&self, name: &str) -> World {
        self.node_with(name, |_| {}).await
    }

    /// Another node, changed.
    pub(crate) async fn node_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut AppSettings),
    ) -> World {
        World::start(|settings| {
            self.member(name, settings);
            change(settings);
        })
        .await
    }

    /// Makes a node a member.
    pub(crate) fn member(&self, name: &str, settings: &mut AppSettings) {
        let mut servers = self.servers.urls();
        // Each node begins with another server.
        let first = name.bytes().map(usize::from).sum::<usize>() % servers.len();
        servers.rotate_left(first);
        settings.cluster = Some(Settings {
            servers,
            node: name.into(),
            access: Access::Password {
                user: USER.into(),
                password: PASSWORD.into(),
            },
            replicas: self.servers.count(),
            ..patient()
        });
        settings.rules = rules();
    }
}

/// Channels `web_now…` are ephemeral, `web_kept…` durable.
pub(crate) fn rules() -> Arc<Rules> {
    let rule = |prefix: &str, retention| Rule {
        retention: Some(retention),
        ..Rule::new("test", Pattern::Prefix(prefix.into()))
    };
    let kept = Retention::Durable {
        publications: 1_000,
        age_ms: u64::MAX,
    };
    let rules = vec![
        rule("web_now", Retention::Ephemeral),
        rule("web_kept", kept),
    ];
    Arc::new(Rules::new(rules, UserDataRule::Anyone))
}
