//! Sessions without WebSocket: `GET /sse` carries replies and pushes, `POST /session/<id>` takes requests.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use cometql_engine::{ConnectionId, Ending, Input, SessionSettings};
use cometql_protocol::wire::{Connect, Request as Asked, RequestBody, Subscribe};
use futures_util::StreamExt as _;
use futures_util::stream::{self, LocalBoxStream};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode};
use uuid::Uuid;

use super::answer::{self, Answer};
use super::query::{self, Query};
use super::refusal::Refusal;
use super::sse::{Stream, decode_positions};
use super::{Visit, client};
use crate::quota::Share;
use crate::shard::Core;
use crate::shard::codec::Codec;
use crate::shard::link::Wire;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx keeps answers back to fill its buffers, unless told not to.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// So many bytes over the limit are read and thrown away: a client that is still sending would not see the answer.
const DISCARDED: usize = 1 << 20;
/// What begins every stream: how long an `EventSource` waits before it comes back, in milliseconds.
const RETRY: &str = "retry: 1000\n";

/// Answers `GET /sse`.
pub(super) fn open(visit: &Visit, request: &Request<Incoming>) -> Result<Answer, Refusal> {
    let headers = request.headers();
    visit.may_open(headers)?;
    let query = query::parse(
        request.uri().query().unwrap_or_default(),
        visit.front.settings.largest_tenant,
    )?;
    let token = bearer(headers)?;
    let share = visit.place(query.tenant)?;
    let session = Session::open(visit, headers, &query, share);
    session.ask(&query, token, headers);
    let kind = HeaderValue::from_static("text/event-stream");
    let mut answer = answer::stream(kind, session.body());
    answer::set(&mut answer, CACHE_CONTROL, "no-store");
    answer::set(&mut answer, ACCEL_BUFFERING, "no");
    Ok(answer)
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = token.ok_or(Refusal::Authorization)?;
    Ok(Some(token.to_owned()))
}

/// A session whose pushes leave as a response body. Dropped, it is closed.
struct Session {
    core: Core,
    id: ConnectionId,
    wire: Rc<Wire>,
    /// What the client must know to send requests.
    name: String,
    /// Its place among the tenant's.
    _share: Option<Box<Share>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // A stream has no way to say goodbye.
        self.core.gone(self.id, Ending::Broke);
    }
}

impl Session {
    fn open(visit: &Visit, headers: &HeaderMap, query: &Query, share: Option<Box<Share>>) -> Self {
        let last = headers
            .get(LAST_EVENT_ID)
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        let positions = decode_positions(last).chain(std::iter::repeat(None));
        let positions = query.channels.iter().cloned().zip(positions).collect();
        let secret = Uuid::new_v4().simple().to_string() + &Uuid::new_v4().simple().to_string();
        let wire = Wire::task(Rc::clone(&visit.kill));
        let settings = SessionSettings {
            tenant: query.tenant,
            kind: "sse",
            legacy: false,
        };
        let codec = Codec::Events(Box::new(Stream::new(secret.clone(), positions)));
        let info = client::info(headers, visit.address(headers));
        let id = visit.core.open(settings, info, codec, Rc::clone(&wire));
        Self {
            core: visit.core.clone(),
            id,
            wire,
            name: format!("{id}.{secret}"),
            _share: share,
        }
    }

    /// Asks for what the URL and the headers say, as requests with the id 0.
    fn ask(&self, query: &Query, token: Option<String>, headers: &HeaderMap) {
        let ask = |body| {
            self.core
                .input(Input::Request(self.id, Asked { id: 0, body }))
        };
        if token.is_some() || query.inbox {
            let connect = Connect {
                token,
                inbox: query.inbox,
                ..Connect::default()
            };
            ask(RequestBody::Connect(connect));
        }
        let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
        let mut positions = decode_positions(last.unwrap_or_default());
        for channel in &query.channels {
            ask(RequestBody::Subscribe(Subscribe {
                channel: channel.clone(),
                since: positions.next().flatten(),
            }));
        }
    }

    fn body(self) -> LocalBoxStream<'static, io::Result<Bytes>> {
        let first = format!(
            "{RETRY}event: session\ndata: {{\"session\":\"{}\"}}\n\n",
            self.name
        );
        let first = stream::once(async move { Ok(Bytes::from(first)) });
        let rest = stream::unfold(Some(self), |session| async move {
            let session = session?;
            // Who asks for more has passed on what it had.
            session.core.written(session.id);
            loop {
                let (bytes, closing) = session.core.take(session.id)?;
                if !bytes.is_empty() {
                    if closing {
                        session.core.written(session.id);
                    }
                    return Some((Ok(bytes.into()), (!closing).then_some(session)));
                }
                if closing || !session.wire.woken().await {
                    return None;
                }
            }
        });
        first.chain(rest).boxed_local()
    }
}

/// Answers `POST /session/<id>`.
pub(super) async fn requests(visit: &Visit, request: Request<Incoming>) -> Answer {
    let name = request.uri().path().strip_prefix("/session/");
    let named = name.and_then(|name| name.split_once('.'));
    let named = named.and_then(|(id, secret)| {
        let id = ConnectionId::from_number(id.parse().ok()?)?;
        Some((id, secret.to_owned()))
    });
    let Some((id, secret)) = named else {
        return unknown();
    };
    let limit = visit.front.settings.body_timeout;
    let body = tokio::time::timeout(limit, body(request, visit.front.message_bytes)).await;
    let text = match body {
        Ok(Ok(text)) => text,
        Ok(Err(status)) => return answer::text(status, "the body was refused"),
        Err(_) => return answer::text(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
    };
    match visit.core.forward(id, secret, text).await {
        Ok(true) => answer::empty(StatusCode::ACCEPTED),
        Ok(false) | Err(_) => unknown(),
    }
}

fn unknown() -> Answer {
    let sentence = "there is no such session: its stream has ended, or the id is wrong";
    answer::text(StatusCode::NOT_FOUND, sentence)
}

async fn body(request: Request<Incoming>, limit: usize) -> Result<String, StatusCode> {
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        read += data.len();
        if read <= limit {
            bytes.extend_from_slice(data);
        } else if read > limit + DISCARDED {
            break;
        }
    }
    if read > limit {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    String::from_utf8(bytes).map_err(|_| StatusCode::BAD_REQUEST)
}
