//! The browser port's socket: takes connections and hands each to the shard with the fewest.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;

use super::Arrival;
use crate::shard::{Load, Mail};

/// Connections that the system keeps for us while we are busy.
const BACKLOG: u32 = 4096;
/// So many connections over the capacity are told that there is no room; further ones are closed at once, so that they
/// don't take the files of backends.
const TOLD: usize = 128;
/// How long we wait when the system has no file for a new connection.
const NO_FILES_WAIT: Duration = Duration::from_millis(50);

/// A bound port.
pub(crate) struct Listener {
    socket: TcpListener,
    /// Most connections.
    pub(crate) capacity: usize,
    /// The shards and how loaded they are.
    pub(crate) shards: Vec<(UnboundedSender<Mail>, Load)>,
}

impl Listener {
    /// Binds a port.
    ///
    /// # Errors
    /// When it is in use or not ours.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() {
            tokio::net::TcpSocket::new_v4()?
        } else {
            tokio::net::TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // What is accepted inherits it. Frames are whole when they are written: waiting for more would only delay them.
        socket.set_nodelay(true)?;
        socket.listen(BACKLOG)
    }

    /// A listener on a bound socket.
    pub(crate) fn new(
        socket: TcpListener,
        capacity: usize,
        shards: Vec<(UnboundedSender<Mail>, Load)>,
    ) -> Self {
        Self {
            socket,
            capacity,
            shards,
        }
    }
}

/// Takes connections until dropped.
pub(crate) async fn accept(listener: Listener) {
    loop {
        let (stream, peer) = match listener.socket.accept().await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(NO_FILES_WAIT).await;
                continue;
            }
        };
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        let open: usize = listener.shards.iter().map(|(_, load)| load.get()).sum();
        if open >= listener.capacity.saturating_add(TOLD) {
            continue;
        }
        let (mailbox, load) = listener
            .shards
            .iter()
            .min_by_key(|(_, load)| load.get())
            .expect("a node has at least one shard");
        let arrival = Arrival {
            stream,
            peer,
            full: open >= listener.capacity,
            loaded: load.add(),
        };
        // A shard that has stopped takes no mail: the socket is dropped.
        _ = mailbox.send(Mail::Arrival(arrival));
    }
}
