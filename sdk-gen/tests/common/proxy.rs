//! A host that can be told to misbehave: it stands before a node and passes on what comes, or not.

#![expect(clippy::unwrap_used, reason = "these are the tests' own helpers")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cometql_server::app::App;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What it does with what comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes it on.
    Pass,
    /// Passes on what clients say, and keeps the answers.
    Mute,
    /// Passes on a first piece of what the node says on each connection, and keeps the rest.
    Begin,
    /// Passes on what the node says a good while later, as if it were far away.
    Late,
}

/// How much later.
pub(crate) const LATE: Duration = Duration::from_millis(300);

/// A host in front of a node.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    node: SocketAddr,
    mode: watch::Sender<Mode>,
    taken: Arc<AtomicUsize>,
    /// `None` = it is dead.
    accepts: Option<JoinHandle<()>>,
}

impl Proxy {
    /// In front of this node, at a free port.
    pub(crate) async fn start(app: &App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = Self {
            address: listener.local_addr().unwrap(),
            node: app.mysql_address().unwrap(),
            mode: watch::Sender::new(Mode::Pass),
            taken: Arc::default(),
            accepts: None,
        };
        proxy.serve(listener);
        proxy
    }

    /// How clients call it.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// How many connections it has taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// From now on.
    pub(crate) fn become_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends at once, with all connections.
    pub(crate) async fn die(&mut self) {
        if let Some(accepts) = self.accepts.take() {
            accepts.abort();
            // It was aborted.
            _ = accepts.await;
        }
    }

    /// Lives again, where it was.
    pub(crate) async fn rise(&mut self) {
        self.rise_before(self.node).await;
    }

    /// The same, in front of the node that listens there.
    pub(crate) async fn rise_before(&mut self, node: SocketAddr) {
        self.node = node;
        self.become_mode(Mode::Pass);
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        let (node, mode, taken) = (self.node, self.mode.subscribe(), Arc::clone(&self.taken));
        self.accepts = Some(tokio::spawn(async move {
            let mut copies = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                taken.fetch_add(1, Ordering::SeqCst);
                let (from_client, to_client) = client.into_split();
                let (from_node, to_node) = TcpStream::connect(node).await.unwrap().into_split();
                copies.spawn(copy(from_client, to_node, None));
                copies.spawn(copy(from_node, to_client, Some(mode.clone())));
            }
        }));
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: Option<watch::Receiver<Mode>>,
) {
    let (mut buffer, mut begun) = (vec![0; 16 << 10], false);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Some(mut mode) = mode.clone() {
            let now = *mode.borrow();
            let begins = now == Mode::Begin && !begun;
            begun |= begins;
            if now == Mode::Late {
                tokio::time::sleep(LATE).await;
            }
            let goes_on = |mode: &Mode| begins || matches!(mode, Mode::Pass | Mode::Late);
            // What was kept comes later, if ever.
            if mode.wait_for(goes_on).await.is_err() {
                return;
            }
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
