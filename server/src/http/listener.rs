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
/// Most connections that are taken at once.
const BURST: usize = 64;
/// How long we wait when the system has no file for a new connection.
const NO_FILES_WAIT: Duration = Duration::from_millis(50);

/// A bound port.
pub(crate) struct Listener {
    /// Tells when somebody waits. A connection that it takes itself is watched here until the shard watches it, which costs
    /// two system calls.
    first: TcpListener,
    /// The same socket: takes the others that wait, and does not watch them.
    others: mio::net::TcpListener,
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
    ///
    /// # Errors
    /// When the system has no file for it.
    pub(crate) fn new(
        socket: TcpListener,
        capacity: usize,
        shards: Vec<(UnboundedSender<Mail>, Load)>,
    ) -> io::Result<Self> {
        let first = socket.into_std()?;
        let others = mio::net::TcpListener::from_std(first.try_clone()?);
        Ok(Self {
            first: TcpListener::from_std(first)?,
            others,
            capacity,
            shards,
        })
    }

    /// Waits for connections and hands each to a shard.
    async fn take(&self) -> io::Result<()> {
        let (stream, peer) = self.first.accept().await?;
        self.hand(stream.into_std()?, peer);
        for _ in 1..BURST {
            match self.others.accept() {
                Ok((stream, peer)) => self.hand(stream.into(), peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hands a connection to the shard with the fewest.
    fn hand(&self, stream: std::net::TcpStream, peer: SocketAddr) {
        let open: usize = self.shards.iter().map(|(_, load)| load.get()).sum();
        if open >= self.capacity.saturating_add(TOLD) {
            return;
        }
        let (mailbox, load) = self
            .shards
            .iter()
            .min_by_key(|(_, load)| load.get())
            .expect("a node has at least one shard");
        let arrival = Arrival {
            stream,
            peer,
            full: open >= self.capacity,
            loaded: load.add(),
        };
        // A shard that has stopped takes no mail: the socket is dropped.
        _ = mailbox.send(Mail::Arrival(arrival));
    }
}

/// Takes connections until dropped.
pub(crate) async fn accept(listener: Listener) {
    loop {
        if let Err(error) = listener.take().await {
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(NO_FILES_WAIT).await;
        }
    }
}
