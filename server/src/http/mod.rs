//! The browser port: HTTP up to the point where a request becomes a session, and everything that is none.
//!
//! Owns sockets until then. Knows no channel and no rule.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::admin;
use crate::cluster::Readiness;
use crate::net::{Patient, Rewound, Stream, proxy};
use crate::quota::Quota;
use crate::shard::{Core, Loaded};

mod answer;
mod client;
mod connect;
mod events;
mod files;
mod first;
mod listener;
mod origins;
mod query;
mod refusal;
mod routes;
mod settings;
pub(crate) mod sse;

use first::{First, first};
pub(crate) use listener::{Listener, Port, accept};
pub use origins::Origins;
pub use settings::HttpSettings;

/// What is known of a new socket.
pub(crate) struct Arrival {
    /// Its peer.
    pub(crate) peer: SocketAddr,
    /// The node has as many connections as it may: no session for this one.
    pub(crate) full: bool,
    /// Its place in the shard's load.
    pub(crate) loaded: Loaded,
}

/// What answers requests: settings that all shards share.
pub(crate) struct Front {
    /// As configured.
    pub(crate) settings: HttpSettings,
    /// Longest message from a browser, in bytes.
    pub(crate) message_bytes: usize,
    /// The paths of administrators, where the configuration puts them on this port too. Set once all ports run.
    pub(crate) admin: Arc<OnceLock<admin::Door>>,
    /// Whether new sessions are better made elsewhere.
    pub(crate) readiness: Readiness,
    /// Places of sessions, where each tenant has only so many.
    pub(crate) places: Option<Arc<Quota>>,
}

/// One client's HTTP conversation.
struct Visit {
    core: Core,
    front: Arc<Front>,
    /// The peer, or whom a trusted proxy named in front of the conversation.
    peer: IpAddr,
    full: bool,
    /// What the connection becomes once the answer has been written.
    upgrade: RefCell<Option<connect::Upgrade>>,
    /// Ends the conversation at once.
    kill: Rc<Notify>,
}

/// Serves one socket: HTTP first, then perhaps a session.
pub(crate) async fn serve(core: Core, front: Arc<Front>, stream: TcpStream, arrival: Arrival) {
    let Arrival { peer, full, loaded } = arrival;
    let limit = front.settings.head_timeout;
    let kill = Rc::new(Notify::new());
    let mut visit = Visit {
        core,
        front,
        peer: peer.ip(),
        full,
        upgrade: RefCell::new(None),
        kill,
    };
    let begun = match tokio::time::timeout(limit, begin(&mut visit, stream, peer)).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => {
            tracing::debug!(%error, %peer, "a connection did not begin");
            return;
        }
        Err(_) => return,
    };
    let (stream, early) = match begun {
        (stream, First::Session(upgrade, early)) => {
            upgrade.start(&visit, stream, early, loaded);
            return;
        }
        (stream, First::Other(early)) => (stream, early),
    };
    let visit = Rc::new(visit);
    let stream = Rewound::new(early, stream);
    // In a box, so that a session that comes without does not pay for its size.
    let conversation = Box::pin(async {
        tokio::select! {
            end = converse(stream, &visit) => end,
            () = visit.kill.notified() => None,
        }
    });
    if let Some((stream, early, upgrade)) = conversation.await {
        upgrade.start(&visit, stream, early, loaded);
    }
}

/// What comes before HTTP: who speaks, and TLS; and then the first bytes.
async fn begin(
    visit: &mut Visit,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> io::Result<(Stream, First)> {
    let settings = &visit.front.settings;
    let client = proxy::client_address(&mut stream, peer, &settings.proxy_protocol_from).await?;
    visit.peer = client.ip();
    let Some(tls) = &settings.tls else {
        let first = first(visit, &mut stream).await?;
        return Ok((Stream::Plain(stream), first));
    };
    let stream = Box::pin(tls.acceptor().accept(stream)).await?;
    Ok((Stream::Tls(Box::new(stream)), First::Other(Bytes::new())))
}

/// Answers requests until the client goes, or until one becomes a session.
async fn converse(
    stream: Rewound<Stream>,
    visit: &Rc<Visit>,
) -> Option<(Stream, Bytes, connect::Upgrade)> {
    let settings = &visit.front.settings;
    let service = service_fn(|request| {
        let visit = Rc::clone(visit);
        async move { Ok::<_, Infallible>(routes::answer(&visit, request).await) }
    });
    let stream = Patient::new(stream, settings.write_timeout);
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_header_size(settings.head_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown();
    match conversation.await {
        Ok(parts) => {
            let mut stream = parts.io.into_inner();
            let Some(upgrade) = visit.upgrade.take() else {
                // Through TLS the client wants to hear that this was all.
                _ = stream.shutdown().await;
                return None;
            };
            Some((stream.into_inner().into_inner(), parts.read_buf, upgrade))
        }
        Err(error) => {
            tracing::debug!(%error, "an HTTP conversation ended");
            None
        }
    }
}
