//! Accepts MySQL connections, counts them, and ends them when the server stops.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::gate::Gate;
use super::packets::{self, mysql_error};
use super::{Settings, connection};
use crate::auth::Throttle;
use crate::cometql::Context;
use crate::net::Stream;

/// How long we wait after a failed accept: it fails while the process has no free file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What all connections of the port share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) context: Context,
    pub(super) throttle: Throttle,
    pub(super) started: Instant,
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
    let free = Arc::new(Semaphore::new(settings.max_connections));
    let shared = Arc::new(Shared {
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
            Ok((stream, peer)) => {
                start(&mut tasks, stream, peer, &shared, &free);
            }
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

fn start(
    tasks: &mut JoinSet<()>,
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    free: &Arc<Semaphore>,
) {
    // Answers are small and complete: waiting for more to send would only delay them.
    _ = stream.set_nodelay(true);
    let shared = shared.clone();
    match free.clone().try_acquire_owned() {
        Ok(place) => {
            tasks.spawn(async move {
                connection::run(stream, peer, &shared).await;
                drop(place);
            });
        }
        Err(_) => {
            shared.context.metrics.mysql_refused();
            tasks.spawn(refuse(stream, shared));
        }
    }
}

async fn refuse(stream: TcpStream, shared: Arc<Shared>) {
    let refusal = mysql_error(1040, "08004", "Too many connections");
    let mut gate = Gate::new(Stream::Plain(stream), shared.settings.write_time);
    gate.send(&packets::error(&refusal, false));
    gate.close().await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "MySQL connection ended by a bug");
    }
}
