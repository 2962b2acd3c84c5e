//! `GET /console/tail?channel=NAME`: what is published in a channel, as server-sent events. The key of a tenant opens all of
//! its channels, so no rule is asked. Payloads are text in JSON: it is the page that must not make markup of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cometql_engine::Publication;
use cometql_protocol::ChannelName;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Reply, Shared, console, refusal};
use crate::auth::Login;
use crate::shard::Tapped;

/// Most tails at once.
pub(super) const MOST: usize = 64;
/// How often a tail says that it is there, and looks whether its log-in still holds.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// A payload is shown up to this length.
const SHOWN_BYTES: usize = 4 << 10;

/// A tail that is being read.
struct Tail {
    shared: Arc<Shared>,
    headers: HeaderMap,
    tapped: Tapped,
    alive: Interval,
    stopping: watch::Receiver<bool>,
    keys: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

pub(super) fn answer(
    shared: &Arc<Shared>,
    login: &Login,
    headers: HeaderMap,
    query: Option<&str>,
) -> Reply {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let name = pairs.find(|(key, _)| key == "channel");
    let name = name.and_then(|(_, name)| ChannelName::parse(&name).ok());
    let Some(name) = name else {
        return refusal(StatusCode::BAD_REQUEST, 12, "give channel=NAME");
    };
    let Ok(place) = Semaphore::try_acquire_owned(Arc::clone(&shared.tails)) else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            503,
            "too many channels are watched",
        );
    };
    let mut alive = interval(ALIVE_EVERY);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let tail = Tail {
        tapped: shared.context.hub.tap(login.tenant, name),
        shared: Arc::clone(shared),
        headers,
        alive,
        stopping: shared.stopping.clone(),
        keys: shared.keys.subscribe(),
        _place: place,
    };
    let events = stream::unfold(tail, |mut tail| async move {
        let event = tail.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(event)), tail))
    });
    let mut reply = super::reply(StatusCode::OK, "text/event-stream", "");
    let accel = hyper::header::HeaderValue::from_static("no");
    reply.headers_mut().insert("x-accel-buffering", accel);
    let (head, _) = reply.into_parts();
    Response::from_parts(head, StreamBody::new(events).boxed_unsync())
}

impl Tail {
    /// The next event, or a comment; `None` when the tail ends.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stop| *stop) => None,
            _ = self.alive.tick() => still_there(&self.shared, &self.headers),
            _ = self.keys.changed() => still_there(&self.shared, &self.headers),
            publication = self.tapped.next() => {
                let publication = publication?;
                Some(event(&publication, self.tapped.take_missed()))
            }
        }
    }
}

/// A comment, if the log-in still holds.
fn still_there(shared: &Shared, headers: &HeaderMap) -> Option<Bytes> {
    console::proved(shared, headers)?;
    Some(Bytes::from_static(b":\n\n"))
}

/// JSON has no line breaks outside of its texts, so one line of data is enough.
fn event(publication: &Publication, missed: u64) -> Bytes {
    let data = &publication.data;
    let shown = &data[..data.floor_char_boundary(SHOWN_BYTES)];
    let event = json!({
        "time": publication.time_ms,
        "event": publication.event.as_str(),
        "user": publication.user.map(|user| user.get()),
        "offset": publication.place.map(|place| place.offset),
        "data": shown,
        "bytes": data.len(),
        "missed": missed,
    });
    format!("data: {event}\n\n").into()
}
