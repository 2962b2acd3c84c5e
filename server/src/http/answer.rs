//! Answers of the browser port: bodies, statuses and the headers that all of them carry.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// A body, whatever makes it.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer.
pub(super) type Answer = Response<Body>;

/// A body that is there as a whole.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An answer without content.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(full(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// A sentence for people.
pub(super) fn text(status: StatusCode, text: &str) -> Answer {
    content(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// JSON.
pub(super) fn json(status: StatusCode, json: impl Into<Bytes>) -> Answer {
    content(status, "application/json", json)
}

fn content(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = empty(status);
    *answer.body_mut() = full(bytes);
    set(&mut answer, CONTENT_TYPE, kind);
    answer
}

/// Sets a header.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}
