//! What carries a session decides how replies and pushes look: the numbers of the encodings that publications cache.

use bytes::Bytes;
use cometql_engine::{Publication, Push, Reject};
use cometql_protocol::wire::{self, Reply};
use cometql_protocol::{CloseCode, ErrorCode};

use crate::http::sse::Stream;
use crate::websocket::frame;

/// Our protocol in WebSocket frames, head included.
const WEBSOCKET: usize = 0;
/// Our protocol as server-sent events, without their ids.
const EVENTS: usize = 1;

/// How one connection's replies and pushes are written.
#[derive(Debug)]
pub(crate) enum Codec {
    /// Our protocol over WebSocket.
    WebSocket,
    /// Our protocol over server-sent events.
    Events(Box<Stream>),
}

impl Codec {
    /// A reply.
    pub(super) fn reply(&mut self, request: u32, reply: &Reply) -> Bytes {
        let text = wire::encode_reply(request, reply);
        match self {
            Self::WebSocket => frame::text(&text),
            Self::Events(stream) => stream.reply(&text, reply),
        }
    }

    /// A refusal.
    pub(super) fn refuse(&self, request: u32, reject: &Reject, channel: Option<&str>) -> Bytes {
        self.text(&wire::encode_error(
            request,
            reject.code,
            &reject.message,
            channel,
        ))
    }

    /// A line that is no request.
    pub(super) fn bad_request(&self, error: &wire::DecodeError) -> Bytes {
        let code = ErrorCode::BadRequest;
        self.text(&wire::encode_error(error.id, code, &error.message, None))
    }

    /// A push.
    pub(super) fn push(&mut self, push: Push<'_>) -> Bytes {
        match push {
            Push::Publication(publication) => self.publication(publication),
            Push::Own(publication, request) => {
                let text = wire::encode_publication(publication.view(Some(request)));
                match self {
                    Self::WebSocket => frame::text(&text),
                    Self::Events(stream) => stream.publication(&Stream::event(&text), publication),
                }
            }
            Push::Presence(channel, joined, member) => {
                self.text(&wire::encode_presence_event(channel, joined, member))
            }
            Push::Inbox(message) => self.text(&wire::encode_inbox_message(
                message.event.as_str(),
                &message.data,
                message.data_is_json,
                message.offset,
                message.time_ms,
            )),
            Push::Unsubscribed(channel, code, message) => {
                self.text(&wire::encode_unsubscribed(channel, code, message))
            }
        }
    }

    fn publication(&mut self, publication: &Publication) -> Bytes {
        match self {
            Self::WebSocket => publication
                .frame(WEBSOCKET, |p| {
                    frame::text(&wire::encode_publication(p.view(None)))
                })
                .clone(),
            Self::Events(stream) => {
                let event = publication.frame(EVENTS, |p| {
                    Stream::event(&wire::encode_publication(p.view(None)))
                });
                stream.publication(event, publication)
            }
        }
    }

    /// The last frame of a connection; `None` where the socket is just dropped.
    pub(super) fn close(&self, code: CloseCode, reason: &str) -> Option<Bytes> {
        match self {
            Self::WebSocket => Some(frame::close(code.code(), reason)),
            Self::Events(_) => Some(Stream::close(code, reason)),
        }
    }

    /// What makes a live client answer, or a dead connection show that it is dead.
    pub(super) fn ping(&self) -> Bytes {
        match self {
            Self::WebSocket => frame::ping(),
            Self::Events(_) => Stream::comment(),
        }
    }

    /// Whether a live client must answer a ping.
    pub(super) fn answers_pings(&self) -> bool {
        match self {
            Self::WebSocket => true,
            Self::Events(_) => false,
        }
    }

    /// Whether this secret proves that a request comes from the client of this connection.
    pub(super) fn proves(&self, secret: &str) -> bool {
        match self {
            Self::WebSocket => false,
            Self::Events(stream) => stream.proves(secret),
        }
    }

    fn text(&self, text: &str) -> Bytes {
        match self {
            Self::WebSocket => frame::text(text),
            Self::Events(_) => Stream::event(text),
        }
    }
}
