//! Accepts MySQL connections, counts them, and ends them when the server stops.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::strangers::Strangers;
use super::{Settings, connection};
use crate::auth::Throttle;
use crate::cometql::Context;
use crate::quota::Quota;

/// How long we wait after a failed accept: it fails while the process has no free file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What all connections of the port share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) context: Context,
    pub(super) throttle: Throttle,
    pub(super) started: Instant,
    /// Places of those who have not logged in.
    pub(super) strangers: Arc<Strangers>,
    /// Places of those who have.
    pub(super) places: Arc<Quota>,
    /// True once the server stops.
    pub(super) stopping: watch::Receiver<bool>,
}

/// Serves the port until `shutdown`, then lets each connection end its statement, and closes it.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    context: Context,
    throttle: Throttle,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared {
        strangers: Strangers::new(settings.strangers),
        places: Quota::new(settings.max_connections, settings.tenant_connections),
        settings,
        context,
        throttle,
        started: Instant::now(),
        stopping,
    });
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = tasks.join_next() => {
                report(ended);
                continue;
            }
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => start(&mut tasks, stream, peer, &shared),
            Err(error) => {
                error!(%error, "MySQL port can't accept connections");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drain = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    };
    if timeout(shared.settings.stop_time, drain).await.is_err() {
        info!("MySQL connections are cut off");
        tasks.shutdown().await;
    }
}

fn start(tasks: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    // Answers are small and complete: waiting for more to send would only delay them.
    _ = stream.set_nodelay(true);
    let place = shared.strangers.enter(peer.ip());
    let shared = Arc::clone(shared);
    tasks.spawn(async move { connection::run(stream, peer, &shared, place).await });
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "MySQL connection ended by a bug");
    }
}
