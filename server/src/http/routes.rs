//! Which path answers what.

use hyper::body::Incoming;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, ORIGIN, RETRY_AFTER, VARY};
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::answer::{self, Answer};
use super::{Origins, Visit, connect};

/// Answers a request.
pub(super) async fn answer(visit: &Visit, request: Request<Incoming>) -> Answer {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut answer = route(visit, request).await;
    let origins = &visit.front.settings.origins;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS
        && let Some(origin) = origin
        && origin
            .to_str()
            .is_ok_and(|origin| origins.allow(Some(origin)))
    {
        if *origins == Origins::Any {
            answer::set(&mut answer, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        } else {
            answer::set(&mut answer, VARY, "Origin");
            answer
                .headers_mut()
                .insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
    answer
}

async fn route(visit: &Visit, request: Request<Incoming>) -> Answer {
    let path = request.uri().path();
    match (request.method(), path) {
        (_, "/connect") => {
            may_open(visit, request.headers()).unwrap_or_else(|| connect::answer(visit, &request))
        }
        (&Method::GET, "/health") => health(visit),
        (&Method::GET, "/info" | "/comet-server/info") => info(visit),
        _ => answer::text(StatusCode::NOT_FOUND, "not found"),
    }
}

/// The refusal of a new session, if this client can't have one.
fn may_open(visit: &Visit, headers: &HeaderMap) -> Option<Answer> {
    let origin = headers
        .get(ORIGIN)
        .map(|origin| origin.to_str().unwrap_or("null"));
    if !visit.front.settings.origins.allow(origin) {
        let answer = answer::text(StatusCode::FORBIDDEN, "this origin is not allowed");
        return Some(answer);
    }
    visit.full.then(|| {
        let sentence = "this node has as many connections as it may: try again later";
        let mut answer = answer::text(StatusCode::SERVICE_UNAVAILABLE, sentence);
        answer::set(&mut answer, RETRY_AFTER, "5");
        answer::set(&mut answer, CONNECTION, "close");
        answer
    })
}

/// `GET /health`: whoever can read this is served by a live node; ready says whether new sessions are taken.
fn health(visit: &Visit) -> Answer {
    let ready = !visit.full;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    answer::json(status, format!("{{\"live\":true,\"ready\":{ready}}}\n"))
}

/// `GET /info`, as the original: the node's name in exactly ten characters.
fn info(visit: &Visit) -> Answer {
    let node = &visit.front.settings.node;
    let name = node.chars().filter(char::is_ascii_graphic).take(10);
    let name: String = name.filter(|c| !matches!(c, '"' | '\\')).collect();
    answer::json(
        StatusCode::OK,
        format!(r#"{{"status":"ok","node":"{name:_<10}"}}"#),
    )
}
