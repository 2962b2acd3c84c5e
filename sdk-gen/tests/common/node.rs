//! A whole node in this process.

#![expect(clippy::unwrap_used, reason = "these are the tests' own helpers")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cometql_protocol::TenantId;
use cometql_server::app::{App, AppSettings};
use cometql_server::auth::{Keyring, Keys};
use cometql_server::mysql::Settings;
use cometql_server::storage::Store;

/// Opens tenant 0.
pub(crate) const KEY: &str = "a key of tenant zero";
/// Opens tenant 7.
pub(crate) const OTHER: &str = "a key of tenant seven";

/// A node with two shards, a store in memory, and free ports.
pub(crate) async fn node(change: impl FnOnce(&mut AppSettings)) -> App {
    let mut settings = AppSettings::new(Store::in_memory());
    settings.shards = Some(2);
    settings.http.close_wait = Duration::from_millis(200);
    // Listeners that are told to come back do so at once.
    settings.http.restart_spread = Duration::from_millis(200);
    settings.backends.keyring = Keyring::new(Keys {
        admin: vec!["boss".to_owned()],
        default: vec![KEY.to_owned()],
        tenants: BTreeMap::from([(TenantId(7), vec![OTHER.to_owned()])]),
        tenant_limit: 10,
    });
    settings.backends.mysql = Some(Settings {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Settings::default()
    });
    change(&mut settings);
    App::start(settings).await.unwrap()
}

/// Where a node listens.
pub(crate) fn host(app: &App) -> String {
    app.mysql_address().unwrap().to_string()
}
