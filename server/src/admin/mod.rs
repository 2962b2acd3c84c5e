//! The port of administrators: `/metrics`, `/health`, `POST /sql` and the console. HTTP only, no CORS headers: pages of
//! other sites can neither read nor cause anything here. Holds no rules of CometQL: statements go to `cometql`.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cometql_engine::ShardId;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::auth::{Login, Throttle};
use crate::cometql::{Context, errors};
use crate::metrics::Now;
use crate::net::Patient;
use crate::quota::Share;

mod console;
mod guard;
mod sql;
mod tail;

use console::Sessions;

/// How long a request's head may take to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests may take to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of the admin port.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one, `None` = it has no port of its own.
    pub address: Option<SocketAddr>,
    /// Whether the browser port answers its paths too.
    pub on_http: bool,
    /// How long a log-in to the console lasts.
    pub session: Duration,
    /// Most connections of its own port at once.
    pub connections: usize,
    /// How long a request's body may take to come.
    pub body_time: Duration,
    /// How long a client may refuse to read an answer.
    pub write_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: None,
            on_http: false,
            session: Duration::from_hours(8),
            connections: 256,
            body_time: Duration::from_secs(30),
            write_time: Duration::from_mins(1),
        }
    }
}

/// Answers the paths of administrators, on whichever port they are asked for. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

/// What all requests share.
struct Shared {
    settings: Settings,
    context: Context,
    throttle: Throttle,
    sessions: Sessions,
    /// Places for tails.
    tails: Arc<Semaphore>,
    /// True once the node stops: tails end then.
    stopping: watch::Receiver<bool>,
    /// Tells tails to look whether their log-in still holds.
    keys: watch::Sender<()>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// The request came through TLS.
    pub(crate) tls: bool,
}

/// What a reply carries: a whole, or a stream of events.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
type Reply = Response<Body>;

impl Door {
    /// A door to this node, until `stopping` says true.
    #[must_use]
    pub fn new(
        settings: Settings,
        context: Context,
        throttle: Throttle,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self(Arc::new(Shared {
            sessions: Sessions::new(settings.session),
            settings,
            context,
            throttle,
            tails: Arc::new(Semaphore::new(tail::MOST)),
            stopping,
            keys: watch::Sender::default(),
        }))
    }

    /// Ends the log-ins whose key is gone; returns how many.
    pub(crate) fn keys_changed(&self) -> usize {
        let ended = self.0.sessions.end_unless(|user, key| {
            let login = self.0.context.keyring.prove(user, key);
            login.is_some()
        });
        self.0.keys.send_replace(());
        ended
    }

    /// Whether the browser port hands a path on; it has a `/health` of its own.
    pub(crate) fn has(&self, path: &str) -> bool {
        matches!(path, "/metrics" | "/sql" | "/console") || path.starts_with("/console/")
    }

    /// Answers a request of this peer.
    pub(crate) async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Reply {
        answer(&self.0, peer, request).await
    }
}

/// Serves the port until `shutdown`; requests that run are ended first.
pub async fn serve(listener: TcpListener, door: Door, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(door.0.settings.connections));
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // One too many: closing at once says so.
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    let connection = connection(stream, peer, door.clone(), stopping.clone());
                    tasks.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::error!(%error, "admin port can't accept connections");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drain = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, drain).await.is_err() {
        tasks.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    mut stopping: watch::Receiver<bool>,
) {
    let stream = Patient::new(stream, door.0.settings.write_time);
    let peer = Peer {
        address: peer.ip(),
        tls: false,
    };
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(peer, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let stopped = async move { _ = stopping.wait_for(|stop| *stop).await };
    let result = tokio::select! {
        result = &mut serving => result,
        () = stopped => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "admin connection ended");
    }
}

async fn answer(shared: &Arc<Shared>, peer: Peer, request: Request<Incoming>) -> Reply {
    if guard::is_foreign(request.headers()) {
        return refusal(
            StatusCode::FORBIDDEN,
            403,
            "requests of other sites are refused",
        );
    }
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/health") => json(StatusCode::OK, &serde_json::json!({"status": "ok"})),
        (&Method::GET, "/metrics") => metrics(shared).await,
        (&Method::POST, "/sql") => sql::answer(shared, peer.address, request).await,
        (_, path) if path == "/console" || path.starts_with("/console/") => {
            console::answer(shared, peer, request).await
        }
        (_, "/health" | "/metrics" | "/sql") => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, 405, "wrong method")
        }
        _ => refusal(
            StatusCode::NOT_FOUND,
            404,
            "here are /metrics, /health, /sql (POST) and /console",
        ),
    }
}

async fn metrics(shared: &Shared) -> Reply {
    let context = &shared.context;
    let totals = context.hub.totals_by_shard(None).await;
    let shards = (0..=u8::MAX).map(ShardId).take(totals.len());
    let text = context.metrics.render(&Now {
        totals,
        waiting: context.hub.waiting().await,
        mysql_connections: context.processes.count(),
        statement_bytes: context.memory.taken(),
        store: context.store.stats(),
        store_waits: shards.map(|shard| context.store.waited(shard)).collect(),
        members: context.hub.members(),
    });
    reply(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        text,
    )
}

/// A body as a statement of a log-in, and the memory that it takes until it is carried out.
async fn statement(
    shared: &Shared,
    login: &Login,
    body: Incoming,
) -> Result<(String, Share), Reply> {
    let most = shared.context.settings.load().insert_bytes;
    let length = body.size_hint().upper();
    let length = length.and_then(|length| usize::try_from(length).ok());
    let length = length.unwrap_or(most).min(most);
    let share = shared.context.memory.take(Some(login.tenant), length);
    let share = share.map_err(|spent| {
        let error = errors::no_memory(spent);
        refusal(StatusCode::SERVICE_UNAVAILABLE, error.code, &error.message)
    })?;
    Ok((text(shared, body, most).await?, share))
}

/// A body as text, up to a size and within a time.
async fn text(shared: &Shared, body: Incoming, most: usize) -> Result<String, Reply> {
    let body = Limited::new(body, most).collect();
    let body = tokio::time::timeout(shared.settings.body_time, body)
        .await
        .map_err(|_| {
            let message = "the body came too slowly";
            refusal(StatusCode::REQUEST_TIMEOUT, 408, message)
        })?;
    let body = body.map_err(|_| {
        let message = format!("the body is larger than {most} bytes, or broke off");
        refusal(StatusCode::PAYLOAD_TOO_LARGE, 11, &message)
    })?;
    String::from_utf8(body.to_bytes().into())
        .map_err(|_| refusal(StatusCode::BAD_REQUEST, 3, "the body is not UTF-8"))
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    reply(status, "application/json", value.to_string())
}

fn refusal(status: StatusCode, code: u16, message: &str) -> Reply {
    let error = serde_json::json!({"error": {"code": code, "message": message}});
    json(status, &error)
}

#[cfg(test)]
mod tests;
