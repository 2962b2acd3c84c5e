//! The browser port's sockets: one for each shard, between which the system spreads connections. A shard that has many more
//! than another hands on what it takes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::{Arrival, Front, serve};
use crate::shard::{Core, Load, Mail};

/// Connections that the system keeps for each shard while it is busy.
const BACKLOG: u32 = 4096;
/// So many connections over the capacity are told that there is no room; further ones are closed at once, so that they
/// don't take the files of backends.
const TOLD: usize = 128;
/// How many connections a shard may have more than another one: these, and an eighth of what the other one has.
const UNEVEN: usize = 16;
/// How long we wait when the system has no file for a new connection.
const NO_FILES_WAIT: Duration = Duration::from_millis(50);

/// A bound port, with a socket for each shard.
pub(crate) struct Port {
    /// Where it is.
    pub(crate) address: SocketAddr,
    sockets: Vec<std::net::TcpListener>,
}

impl Port {
    /// Binds a port.
    ///
    /// # Errors
    /// When it is in use or not ours.
    pub(crate) fn bind(mut address: SocketAddr, shards: usize) -> io::Result<Self> {
        if address.port() != 0 {
            // Sockets that share a port with each other would also share it with another program's.
            listen(address, false)?;
        }
        let mut sockets = Vec::with_capacity(shards);
        for _ in 0..shards {
            let socket = listen(address, true)?;
            address = socket.local_addr()?;
            sockets.push(socket.into_std()?);
        }
        Ok(Self { address, sockets })
    }

    /// Lets the shards take connections, `capacity` in all, until `open` is dropped.
    pub(crate) fn open(
        self,
        capacity: usize,
        shards: &[(UnboundedSender<Mail>, Load)],
        open: &watch::Receiver<()>,
    ) {
        for (own, socket) in self.sockets.into_iter().enumerate() {
            let places = Places {
                shards: shards.to_vec(),
                own,
                capacity,
            };
            let listener = Listener {
                socket,
                places,
                open: open.clone(),
            };
            // A shard that has stopped takes no mail: the socket is closed.
            _ = shards[own].0.send(Mail::Listen(listener));
        }
    }
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(address)?;
    // What is accepted inherits it. Frames are whole when they are written: waiting for more would only delay them.
    socket.set_nodelay(true)?;
    socket.listen(BACKLOG)
}

/// One shard's socket.
pub(crate) struct Listener {
    socket: std::net::TcpListener,
    places: Places,
    /// Closed when no connections are to be taken any more.
    open: watch::Receiver<()>,
}

/// Where connections go to.
struct Places {
    /// All shards and how loaded they are.
    shards: Vec<(UnboundedSender<Mail>, Load)>,
    /// Which of them takes the connections.
    own: usize,
    /// Most connections of all shards.
    capacity: usize,
}

/// Takes connections on a shard until the node stops.
pub(crate) async fn accept(listener: Listener, core: Core, front: Arc<Front>) {
    let Listener {
        socket,
        places,
        mut open,
    } = listener;
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "a shard can't take connections");
            return;
        }
    };
    tokio::select! {
        _ = open.changed() => {}
        () = places.take(&socket, &core, &front) => {}
    }
}

impl Places {
    async fn take(&self, socket: &TcpListener, core: &Core, front: &Arc<Front>) {
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => self.place(stream, peer, core, front),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(NO_FILES_WAIT).await;
                }
            }
        }
    }

    /// Serves a connection here, or hands it to the shard with the fewest.
    fn place(&self, stream: TcpStream, peer: SocketAddr, core: &Core, front: &Arc<Front>) {
        let loads = self.shards.iter().map(|(_, load)| load.get());
        let open: usize = loads.clone().sum();
        if open >= self.capacity.saturating_add(TOLD) {
            return;
        }
        let arrival = |load: &Load| Arrival {
            peer,
            full: open >= self.capacity,
            loaded: load.add(),
        };
        let (_, own) = &self.shards[self.own];
        let least = loads.min().unwrap_or_default();
        if own.get() < least + UNEVEN + least / 8 {
            let arrival = arrival(own);
            tokio::task::spawn_local(serve(core.clone(), Arc::clone(front), stream, arrival));
            return;
        }
        let fewest = self.shards.iter().min_by_key(|(_, load)| load.get());
        let (mailbox, load) = fewest.expect("a node has at least one shard");
        if let Ok(stream) = stream.into_std() {
            // A shard that has stopped takes no mail: the socket is dropped.
            _ = mailbox.send(Mail::Arrival(stream, arrival(load)));
        }
    }
}
