//! The doors of backends and administrators: the MySQL port and the admin port.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::StartError;
use crate::auth::{Keyring, Keys, Throttle, Tokens};
use crate::cometql::{self, Context, Processes};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::storage::Store;
use crate::{admin, mysql};

/// What the doors of backends are started with.
#[derive(Default)]
pub struct BackendSettings {
    /// Keys of tenants.
    pub keyring: Keyring,
    /// Sizes and modes of the language.
    pub language: cometql::Settings,
    /// The MySQL port; `None` = off.
    pub mysql: Option<mysql::Settings>,
    /// The admin port and its paths.
    pub admin: admin::Settings,
}

impl BackendSettings {
    /// Most connections that the doors take together.
    pub(super) fn most_connections(&self) -> usize {
        let mysql = self.mysql.as_ref();
        let mysql = mysql.map_or(0, |port| port.max_connections + port.strangers);
        let admin = self.admin.address.map_or(0, |_| self.admin.connections);
        mysql + admin
    }
}

/// The running doors.
pub(super) struct Backends {
    pub(super) mysql_address: Option<SocketAddr>,
    pub(super) admin_address: Option<SocketAddr>,
    context: Context,
    door: admin::Door,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// The parts of the node that the doors lead to.
pub(super) struct Node<'a> {
    pub(super) hub: &'a Hub,
    pub(super) store: &'a Store,
    pub(super) tokens: &'a Tokens,
    pub(super) metrics: &'a Arc<Metrics>,
}

/// Both sockets, bound before anything else starts, so that a port in use ends the start cleanly.
pub(super) struct Sockets {
    mysql: Option<TcpListener>,
    admin: Option<TcpListener>,
}

impl Sockets {
    pub(super) async fn bind(settings: &BackendSettings) -> Result<Self, StartError> {
        Ok(Self {
            mysql: bind(settings.mysql.as_ref().map(|mysql| mysql.address)).await?,
            admin: bind(settings.admin.address).await?,
        })
    }

    /// Where the MySQL port listens.
    pub(super) fn mysql_address(&self) -> Option<SocketAddr> {
        address(self.mysql.as_ref())
    }
}

impl Backends {
    pub(super) fn start(
        settings: BackendSettings,
        sockets: Sockets,
        node: Node<'_>,
        admin_on_http: &OnceLock<admin::Door>,
    ) -> Self {
        let BackendSettings {
            keyring,
            language,
            mysql,
            admin,
        } = settings;
        let Node {
            hub,
            store,
            tokens,
            metrics,
        } = node;
        let context = Context {
            hub: hub.clone(),
            store: store.clone(),
            turns: language.turns(),
            memory: language.statement_memory(),
            settings: Arc::new(ArcSwap::from_pointee(language)),
            keyring: Arc::new(keyring),
            tokens: Arc::new(tokens.clone()),
            processes: Arc::new(Processes::of_member(hub.number())),
            metrics: Arc::clone(metrics),
        };
        let throttle = Throttle::default();
        let (stop, stopping) = watch::channel(false);
        let mysql_address = sockets.mysql_address();
        let admin_address = address(sockets.admin.as_ref());
        let mut tasks = vec![tokio::spawn(fresh_keys(tokens.clone(), stopping.clone()))];
        if let (Some(settings), Some(socket)) = (mysql, sockets.mysql) {
            let (context, throttle) = (context.clone(), throttle.clone());
            let shutdown = stopped(stopping.clone());
            let serve = mysql::serve(socket, settings, context, throttle, shutdown);
            tasks.push(tokio::spawn(serve));
        }
        let on_http = admin.on_http;
        let door = admin::Door::new(admin, context.clone(), throttle, stopping.clone());
        if let Some(socket) = sockets.admin {
            let serve = admin::serve(socket, door.clone(), stopped(stopping));
            tasks.push(tokio::spawn(serve));
        }
        if on_http {
            // Set only here.
            _ = admin_on_http.set(door.clone());
        }
        Self {
            mysql_address,
            admin_address,
            context,
            door,
            stop,
            tasks,
        }
    }

    /// The open MySQL connections.
    pub(super) fn processes(&self) -> &Arc<Processes> {
        &self.context.processes
    }

    /// Puts other keys in force, and ends the sessions whose key is none any more.
    pub(super) fn set_keys(&self, keys: Keys) {
        let keyring = &self.context.keyring;
        keyring.reload(keys);
        let ended = self.context.processes.end_unless(|user, key, tenant| {
            keyring.prove(user, &key.0).is_some() && keyring.opens(&key.0, tenant)
        });
        let ended = ended + self.door.keys_changed();
        if ended > 0 {
            tracing::info!(
                ended,
                "sessions of backends ended: their keys were taken away"
            );
        }
    }

    /// Puts other ways to read literals in force.
    pub(super) fn set_escaping(&self, language: &cometql::Settings) {
        let settings = &self.context.settings;
        settings.store(Arc::new(settings.load().reading_as(language)));
    }

    /// Ends both ports; statements that run are ended first.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a port did not stop cleanly");
            }
        }
    }
}

fn address(socket: Option<&TcpListener>) -> Option<SocketAddr> {
    socket.and_then(|socket| socket.local_addr().ok())
}

async fn bind(address: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bound: io::Result<_> = TcpListener::bind(address).await;
    bound
        .map(Some)
        .map_err(|source| StartError::Listen { address, source })
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    _ = stopping.wait_for(|stop| *stop).await;
}

async fn fresh_keys(tokens: Tokens, stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = tokens.keep_fresh() => {}
        () = stopped(stopping) => {}
    }
}
