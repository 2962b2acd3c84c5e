//! What carries a session decides how replies and pushes look: the numbers of the encodings that publications cache.

use bytes::Bytes;
use cometql_engine::{Now, Publication, Push, Reject};
use cometql_protocol::wire::{self, Reply};
use cometql_protocol::{CloseCode, ErrorCode};

use crate::http::sse::Stream;
use crate::legacy::{self, Adapter};
use crate::metrics::Carrier;
use crate::websocket::frame;

/// Our protocol in WebSocket frames, head included.
const WEBSOCKET: usize = 0;
/// Our protocol as server-sent events, without their ids.
const EVENTS: usize = 1;
/// The original's protocol in WebSocket frames, for its newer clients.
const LEGACY: usize = 2;
/// The same for clients before version 4.
const LEGACY_OLD: usize = 3;

/// How one connection's replies and pushes are written.
#[derive(Debug)]
pub(crate) enum Codec {
    /// Our protocol over WebSocket.
    WebSocket,
    /// Our protocol over server-sent events.
    Events(Box<Stream>),
    /// The original's protocol.
    Legacy(Box<Adapter>),
}

/// What becomes of a reply or push.
#[derive(Debug)]
pub(super) enum Coded {
    /// It is sent.
    Frame(Bytes),
    /// This protocol has no word for it.
    Nothing,
    /// What the adapter of the original's protocol wants.
    Legacy(Vec<legacy::Output>),
}

impl Codec {
    /// What carries the session, for the counters.
    pub(super) fn carrier(&self) -> Carrier {
        match self {
            Self::WebSocket => Carrier::WebSocket,
            Self::Events(_) => Carrier::Events,
            Self::Legacy(_) => Carrier::Legacy,
        }
    }

    /// A reply.
    pub(super) fn reply(&mut self, now: Now, request: u32, reply: &Reply) -> Coded {
        match self {
            Self::WebSocket => Coded::Frame(frame::text(&wire::encode_reply(request, reply))),
            Self::Events(stream) => {
                Coded::Frame(stream.reply(&wire::encode_reply(request, reply), reply))
            }
            Self::Legacy(adapter) => Coded::Legacy(adapter.on_reply(now, request, reply)),
        }
    }

    /// A refusal.
    pub(super) fn refuse(
        &mut self,
        now: Now,
        request: u32,
        reject: &Reject,
        channel: Option<&str>,
    ) -> Coded {
        if let Self::Legacy(adapter) = self {
            return Coded::Legacy(adapter.on_refused(now, request, reject, channel));
        }
        self.text(&wire::encode_refusal(
            request,
            reject.code,
            &reject.message,
            reject.retry_ms,
            channel,
        ))
    }

    /// A line that is no request.
    pub(super) fn bad_request(&self, error: &wire::DecodeError) -> Coded {
        let code = ErrorCode::BadRequest;
        self.text(&wire::encode_error(error.id, code, &error.message, None))
    }

    /// A push.
    pub(super) fn push(&mut self, now: Now, push: Push<'_>) -> Coded {
        match (self, push) {
            (codec, Push::Publication(publication)) => Coded::Frame(codec.publication(publication)),
            (Self::Legacy(adapter), push) => match adapter.on_push(now, &push) {
                Some(text) => Coded::Frame(frame::text(&text)),
                None => Coded::Nothing,
            },
            (codec, Push::Own(publication, request)) => {
                let text = wire::encode_publication(publication.view(Some(request)));
                match codec {
                    Self::Events(stream) => {
                        Coded::Frame(stream.publication(&Stream::event(&text), publication))
                    }
                    _ => codec.text(&text),
                }
            }
            (codec, Push::Presence(channel, joined, member)) => {
                codec.text(&wire::encode_presence_event(channel, joined, member))
            }
            (codec, Push::Inbox(message)) => codec.text(&wire::encode_inbox_message(
                message.event.as_str(),
                &message.data,
                message.data_is_json,
                message.offset,
                message.time_ms,
            )),
            (codec, Push::Gap(channel)) => codec.text(&wire::encode_gap(channel)),
            (codec, Push::Unsubscribed(channel, code, message)) => {
                codec.text(&wire::encode_unsubscribed(channel, code, message))
            }
        }
    }

    /// A publication that stands for older ones: the offset before it is another one than for everybody else.
    pub(super) fn conflated(&mut self, publication: &Publication, previous: u64) -> Bytes {
        let place = publication.place.filter(|own| own.previous != previous);
        let (Some(place), Self::WebSocket | Self::Events(_)) = (place, &*self) else {
            return self.publication(publication);
        };
        let mut view = publication.view(None);
        view.offsets = Some((place.offset, previous));
        let text = wire::encode_publication(view);
        match self {
            Self::Events(stream) => stream.publication(&Stream::event(&text), publication),
            Self::WebSocket | Self::Legacy(_) => frame::text(&text),
        }
    }

    /// A publication, whose bytes all connections with the same encoding share.
    fn publication(&mut self, publication: &Publication) -> Bytes {
        let json = |p: &Publication| wire::encode_publication(p.view(None));
        let old = |p: &Publication, old| frame::text(&legacy::encode_publication(p, old));
        match self {
            Self::WebSocket => publication
                .frame(WEBSOCKET, |p| frame::text(&json(p)))
                .clone(),
            Self::Events(stream) => {
                let event = publication.frame(EVENTS, |p| Stream::event(&json(p)));
                stream.publication(event, publication)
            }
            Self::Legacy(adapter) if adapter.is_old() => {
                publication.frame(LEGACY_OLD, |p| old(p, true)).clone()
            }
            Self::Legacy(_) => publication.frame(LEGACY, |p| old(p, false)).clone(),
        }
    }

    /// The last frame of a connection; `None` where the socket is just dropped: the original's clients never come back
    /// after a clean close.
    pub(super) fn close(&self, code: CloseCode, reason: &str) -> Option<Bytes> {
        match self {
            Self::WebSocket => Some(frame::close(code.code(), reason)),
            Self::Events(_) => Some(Stream::close(code, reason)),
            Self::Legacy(_) => None,
        }
    }

    /// The text that a frame carries; `None` where messages don't tell their offsets, so that reading them is of no use.
    /// Of a payload that has several lines an event stream's lines are left as they are.
    pub(super) fn text_of<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::WebSocket => Some(frame::text_of(frame)),
            Self::Events(_) => Some(Stream::text_of(frame)),
            Self::Legacy(_) => None,
        }
    }

    /// What makes a live client answer, or a dead connection show that it is dead.
    pub(super) fn ping(&self) -> Bytes {
        match self {
            Self::WebSocket | Self::Legacy(_) => frame::ping(),
            Self::Events(_) => Stream::comment(),
        }
    }

    /// Whether a live client must answer a ping.
    pub(super) fn answers_pings(&self) -> bool {
        !matches!(self, Self::Events(_))
    }

    /// Whether this secret proves that a request comes from the client of this connection.
    pub(super) fn proves(&self, secret: &str) -> bool {
        match self {
            Self::Events(stream) => stream.proves(secret),
            Self::WebSocket | Self::Legacy(_) => false,
        }
    }

    /// The adapter of the original's protocol.
    pub(super) fn adapter(&mut self) -> Option<&mut Adapter> {
        match self {
            Self::Legacy(adapter) => Some(adapter),
            Self::WebSocket | Self::Events(_) => None,
        }
    }

    fn text(&self, text: &str) -> Coded {
        Coded::Frame(match self {
            Self::WebSocket | Self::Legacy(_) => frame::text(text),
            Self::Events(_) => Stream::event(text),
        })
    }
}
