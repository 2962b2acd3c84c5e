//! The handshakes that turn a request into a session: `GET /connect` and the original's `GET /ws/…`.

use bytes::Bytes;
use cometql_engine::{ClientInfo, Now, SessionSettings};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use hyper::{Request, StatusCode};
use tokio::io::AsyncWriteExt as _;

use super::answer::{self, Answer};
use super::refusal::Refusal;
use super::{Visit, client, query};
use crate::legacy::{Adapter, url};
use crate::net::Stream;
use crate::quota::Share;
use crate::shard::Loaded;
use crate::shard::codec::Codec;
use crate::shard::link::Wire;
use crate::websocket::{self, Accepts, OnClose, Opened, accept_key, frame};

/// What a connection becomes after its handshake.
pub(super) enum Upgrade {
    /// A session.
    Session(Box<Session>),
    /// The original's way to refuse: a message, then TCP is dropped.
    Refused(Bytes),
}

/// A session to open.
pub(super) struct Session {
    settings: SessionSettings,
    info: ClientInfo,
    codec: Codec,
    /// Its place among the tenant's.
    share: Option<Box<Share>>,
    on_close: OnClose,
}

impl Upgrade {
    /// Opens the session and serves it in a task of its own: the caller's memory is as large as its largest part, which
    /// was HTTP. `early` came behind the handshake.
    pub(super) fn start(self, visit: &Visit, stream: Stream, early: Bytes, loaded: Loaded) {
        let session = match self {
            Self::Session(session) => session,
            Self::Refused(frame) => {
                tokio::task::spawn_local(refuse_by_frame(stream, frame));
                return;
            }
        };
        let Session {
            settings,
            info,
            codec,
            share,
            on_close,
        } = *session;
        let loaded = loaded.with(share);
        let open = |wire| {
            let id = visit.core.open(settings, info, codec, wire);
            tracing::debug!(tenant = %settings.tenant, connection = %id, "session opened");
            id
        };
        let opened = |wire, id| Opened {
            core: visit.core.clone(),
            id,
            wire,
            accepts: Accepts {
                bytes: visit.front.message_bytes,
                binary: settings.legacy,
            },
            on_close,
            loaded: Some(loaded),
        };
        match stream {
            Stream::Plain(stream) => {
                let wire = Wire::tcp(stream);
                let id = open(wire.clone());
                tokio::task::spawn_local(websocket::run_tcp(opened(wire, id), early));
            }
            Stream::Tls(stream) => {
                let wire = Wire::task(visit.kill.clone());
                let id = open(wire.clone());
                tokio::task::spawn_local(websocket::run_tls(opened(wire, id), early, stream));
            }
        }
    }
}

async fn refuse_by_frame(mut stream: Stream, frame: Bytes) {
    // The client learns nothing if it is gone already.
    _ = stream.write_all(&frame).await;
    _ = stream.shutdown().await;
}

/// Answers `GET /connect`.
pub(super) fn answer(visit: &Visit, request: &Request<Incoming>) -> Result<Answer, Refusal> {
    let (upgrade, accept) = session(visit, request)?;
    visit.upgrade.replace(Some(upgrade));
    Ok(switch(&accept))
}

/// The session that `GET /connect` asks for, and the key that accepts it.
pub(super) fn session<T>(
    visit: &Visit,
    request: &Request<T>,
) -> Result<(Upgrade, String), Refusal> {
    visit.may_open(request.headers())?;
    let accept = accept_key(request.method(), request.version(), request.headers())?;
    let query = query::parse(
        request.uri().query().unwrap_or_default(),
        visit.front.settings.largest_tenant,
    )?;
    let session = Session {
        share: visit.place(query.tenant)?,
        settings: SessionSettings {
            tenant: query.tenant,
            kind: "websocket",
            legacy: false,
        },
        info: client::info(request.headers(), visit.address(request.headers())),
        codec: Codec::WebSocket,
        on_close: OnClose::Answer,
    };
    Ok((Upgrade::Session(Box::new(session)), accept))
}

/// Answers `GET /ws/…`.
pub(super) fn answer_legacy(
    visit: &Visit,
    request: &Request<Incoming>,
    now: Now,
) -> Result<Answer, Refusal> {
    visit.may_open(request.headers())?;
    let accept = accept_key(request.method(), request.version(), request.headers())?;
    let target = request.uri().path_and_query();
    let target = target.map_or("", |target| target.as_str());
    let upgrade = match url::parse(target, visit.front.settings.largest_tenant) {
        Err(error) => Upgrade::Refused(frame::text(&error.frame(now))),
        Ok(url) => {
            let share = visit.place(url.tenant)?;
            let mut info = client::info(request.headers(), visit.address(request.headers()));
            info.uuid.clone_from(&url.uuid);
            let settings = SessionSettings {
                tenant: url.tenant,
                kind: "legacy",
                legacy: true,
            };
            let adapter = Adapter::new(url);
            Upgrade::Session(Box::new(Session {
                settings,
                info,
                share,
                on_close: OnClose::Drop(adapter.linger()),
                codec: Codec::Legacy(Box::new(adapter)),
            }))
        }
    };
    visit.upgrade.replace(Some(upgrade));
    let mut answer = switch(&accept);
    if request.headers().contains_key(SEC_WEBSOCKET_PROTOCOL) {
        answer::set(&mut answer, SEC_WEBSOCKET_PROTOCOL, "chat");
    }
    Ok(answer)
}

/// 101.
fn switch(accept: &str) -> Answer {
    let mut answer = answer::empty(StatusCode::SWITCHING_PROTOCOLS);
    answer::set(&mut answer, UPGRADE, "websocket");
    answer::set(&mut answer, CONNECTION, "Upgrade");
    let accept = HeaderValue::from_str(accept).expect("base64 is fit for a header");
    answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    answer
}
