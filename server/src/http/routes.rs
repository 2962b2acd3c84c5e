//! Which path answers what.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use cometql_engine::Now;
use cometql_protocol::TenantId;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::answer::{self, Answer};
use super::refusal::Refusal;
use super::{Origins, Visit, client, connect, events, files};
use crate::admin;
use crate::legacy::url;
use crate::metrics::Full;
use crate::quota::Share;

/// What pages of other origins may send.
const HEADERS: &str = "authorization, content-type, last-event-id";
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

impl Visit {
    /// Who speaks.
    pub(super) fn address(&self, headers: &HeaderMap) -> IpAddr {
        client::address(headers, self.peer, &self.front.settings.forwarded_from)
    }

    /// A place among the tenant's sessions, if these are counted.
    pub(super) fn place(&self, tenant: TenantId) -> Result<Option<Box<Share>>, Refusal> {
        let Some(places) = &self.front.places else {
            return Ok(None);
        };
        let share = places.take(Some(tenant), 1);
        let share = share.map_err(|_| Refusal::Full(Full::Tenant))?;
        Ok(Some(Box::new(share)))
    }

    /// Whether this client can have a session at all.
    pub(super) fn may_open(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let origin = headers
            .get(ORIGIN)
            .map(|origin| origin.to_str().unwrap_or("null"));
        if !self.front.settings.origins.allow(origin) {
            return Err(Refusal::Origin);
        }
        if self.full {
            return Err(Refusal::Full(Full::Node));
        }
        Ok(())
    }
}

/// Answers a request.
pub(super) async fn answer(visit: &Visit, request: Request<Incoming>) -> Answer {
    if let Some(door) = visit.front.admin.get()
        && door.has(request.uri().path())
    {
        // No sharing with other origins: what administrators ask is nobody else's.
        let believed = &visit.front.settings.forwarded_from;
        let peer = client::address(request.headers(), visit.peer, believed);
        let tls = visit.front.settings.tls.is_some();
        let peer = admin::Peer { address: peer, tls };
        let answered = door.answer(peer, request).await;
        return answered.map(answer::Content::Admin);
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let mut answer = route(visit, request).await;
    if let Some(origin) = origin {
        share(&visit.front.settings.origins, origin, &mut answer);
    }
    answer
}

/// Lets the page read the answer, if it is of an allowed origin.
fn share(origins: &Origins, origin: HeaderValue, answer: &mut Answer) {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    if *origins == Origins::Any {
        answer::set(answer, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        return;
    }
    answer::set(answer, VARY, "Origin");
    if origin.to_str().is_ok_and(|text| origins.allow(Some(text))) {
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

async fn route(visit: &Visit, request: Request<Incoming>) -> Answer {
    let settings = &visit.front.settings;
    let path = request.uri().path();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    match (request.method(), path) {
        (&Method::OPTIONS, _) => preflight(),
        (&Method::GET, "/connect") => granted(visit, connect::answer(visit, &request)),
        (&Method::GET, path) if settings.legacy && url::is_legacy(path) => {
            granted(visit, connect::answer_legacy(visit, &request, now()))
        }
        (&Method::GET, "/sse") => granted(visit, events::open(visit, &request)),
        (&Method::POST, path) if path.starts_with("/session/") => {
            events::requests(visit, request).await
        }
        (_, "/health") if get => health(visit, request.uri().query()),
        (_, "/info" | "/comet-server/info") if get => info(visit),
        (_, "/connect" | "/sse" | "/health" | "/info") => not_allowed("GET"),
        (_, path) if path.starts_with("/session/") => not_allowed("POST"),
        (_, path) => match &settings.files {
            Some(root) if get => files::answer(root, path, request.headers()).await,
            Some(_) => not_allowed("GET, HEAD"),
            None => answer::text(StatusCode::NOT_FOUND, "not found"),
        },
    }
}

/// The answer to a request for a session.
fn granted(visit: &Visit, answer: Result<Answer, Refusal>) -> Answer {
    answer.unwrap_or_else(|refusal| refusal.answer(&visit.core))
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    answer::set(&mut answer, ALLOW, allowed);
    answer
}

/// What a browser asks before it lets a page send something unusual.
fn preflight() -> Answer {
    let mut answer = answer::empty(StatusCode::NO_CONTENT);
    answer::set(&mut answer, ALLOW, METHODS);
    answer::set(&mut answer, ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer::set(&mut answer, ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    answer::set(&mut answer, ACCESS_CONTROL_MAX_AGE, "86400");
    answer
}

/// `GET /health`: whoever can read this is served by a live node; `?ready` makes the status say whether a
/// balancer should send it new sessions.
fn health(visit: &Visit, query: Option<&str>) -> Answer {
    let ready = !visit.full && visit.front.readiness.has_log();
    let status = if !ready && query == Some("ready") {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    answer::json(status, format!("{{\"live\":true,\"ready\":{ready}}}\n"))
}

/// `GET /info`, as the original: the node's name in exactly ten characters.
fn info(visit: &Visit) -> Answer {
    let node = &visit.front.settings.node;
    let name = node.chars().filter(char::is_ascii_graphic);
    let name: String = name.filter(|c| !matches!(c, '"' | '\\')).take(10).collect();
    answer::json(
        StatusCode::OK,
        format!(r#"{{"status":"ok","node":"{name:_<10}"}}"#),
    )
}

fn now() -> Now {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = elapsed.unwrap_or_default().as_millis();
    Now(u64::try_from(millis).unwrap_or(u64::MAX))
}
