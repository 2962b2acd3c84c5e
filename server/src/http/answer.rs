//! Answers of the browser port: bodies, statuses and small helpers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::LocalBoxStream;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::admin;

/// An answer.
pub(super) type Answer = Response<Content>;

/// The body of an answer.
pub(super) enum Content {
    /// There as a whole.
    Whole(Full<Bytes>),
    /// Made while it is sent.
    Stream(LocalBoxStream<'static, io::Result<Bytes>>),
    /// From the door of administrators.
    Admin(admin::Body),
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(full) => Pin::new(full)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Admin(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Stream(stream) => stream
                .as_mut()
                .poll_next(cx)
                .map(|next| next.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(full) => full.is_end_stream(),
            Self::Admin(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            Self::Admin(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer without content.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Content::Whole(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// A sentence for people.
pub(super) fn text(status: StatusCode, text: &str) -> Answer {
    whole(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// JSON.
pub(super) fn json(status: StatusCode, json: impl Into<Bytes>) -> Answer {
    whole(status, "application/json", json)
}

/// A body that is made while it is sent.
pub(super) fn stream(
    kind: HeaderValue,
    stream: LocalBoxStream<'static, io::Result<Bytes>>,
) -> Answer {
    let mut answer = Response::new(Content::Stream(stream));
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn whole(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = empty(status);
    *answer.body_mut() = Content::Whole(Full::new(bytes.into()));
    set(&mut answer, CONTENT_TYPE, kind);
    answer
}

/// Sets a header.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}
