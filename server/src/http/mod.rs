//! The browser port: HTTP up to the point where a request becomes a session, and everything that is none.
//!
//! Owns sockets until then. Knows no channel and no rule.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::shard::link::Wire;
use crate::shard::{Core, Loaded};
use crate::websocket::{self, Opened};

mod answer;
mod client;
mod connect;
mod listener;
mod origins;
mod query;
mod routes;
mod settings;
pub(crate) mod sse;

pub(crate) use connect::Upgrade;
pub(crate) use listener::{Listener, accept};
pub use origins::Origins;
pub use settings::HttpSettings;

/// A socket on its way to the shard that will own it.
pub(crate) struct Arrival {
    /// The socket.
    pub(crate) stream: std::net::TcpStream,
    /// Its peer.
    pub(crate) peer: IpAddr,
    /// The node has as many connections as it may: no session for this one.
    pub(crate) full: bool,
    /// Its place in the shard's load.
    pub(crate) loaded: Loaded,
}

/// What answers requests: settings that all shards share.
#[derive(Debug)]
pub(crate) struct Front {
    /// As configured.
    pub(crate) settings: HttpSettings,
    /// Longest message from a browser, in bytes.
    pub(crate) message_bytes: usize,
}

/// One client's HTTP conversation.
pub(crate) struct Visit {
    pub(crate) core: Core,
    pub(crate) front: Arc<Front>,
    /// The peer, or whom a trusted proxy named in front of the conversation.
    pub(crate) peer: IpAddr,
    pub(crate) full: bool,
    /// What the connection becomes once the answer has been written.
    pub(crate) upgrade: RefCell<Option<Upgrade>>,
}

/// Serves one socket: HTTP first, then perhaps a session.
pub(crate) async fn serve(core: Core, front: Arc<Front>, arrival: Arrival) {
    let stream = arrival.stream;
    // Frames are whole when they are written: waiting for more would only delay them.
    let ready = stream
        .set_nonblocking(true)
        .and_then(|()| stream.set_nodelay(true));
    let Ok(stream) = ready.and_then(|()| TcpStream::from_std(stream)) else {
        return;
    };
    let visit = Visit {
        core,
        front,
        peer: arrival.peer,
        full: arrival.full,
        upgrade: RefCell::new(None),
    };
    let visit = Rc::new(visit);
    if let Some((stream, early, upgrade)) = converse(stream, &visit).await {
        let wire = Wire::tcp(stream);
        let id = upgrade.open(&visit.core, Rc::clone(&wire));
        let opened = Opened {
            core: visit.core.clone(),
            id,
            wire,
            limit: visit.front.message_bytes,
            loaded: arrival.loaded,
        };
        // A task of its own: this one's memory is as large as its largest part, which was HTTP.
        tokio::task::spawn_local(websocket::run_tcp(opened, early));
    }
}

/// Answers requests until the client goes, or until one becomes a session.
async fn converse<S>(stream: S, visit: &Rc<Visit>) -> Option<(S, Bytes, Upgrade)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let settings = &visit.front.settings;
    let service = service_fn(|request| {
        let visit = Rc::clone(visit);
        async move { Ok::<_, Infallible>(routes::answer(&visit, request).await) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_header_size(settings.head_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown();
    match conversation.await {
        Ok(parts) => {
            let upgrade = visit.upgrade.take()?;
            Some((parts.io.into_inner(), parts.read_buf, upgrade))
        }
        Err(error) => {
            tracing::debug!(%error, "HTTP conversation ended");
            None
        }
    }
}
