//! Giving messages to the log, until it has them or its quorum counts as lost. A message that is sent again has the same id,
//! so the log has it once; whether it was there before is told by which attempt stored it.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use cometql_engine::publication::Content;
use cometql_engine::store::{Keep, Once};
use cometql_engine::{MessageId, StoreAnswer, StoreFailure};
use tokio::time::{Instant, timeout_at};

use super::Cluster;
use super::message::{self, Note};
use super::names::StreamKind;

/// Pause before a message is sent again that was refused at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Which logs are out of reach, by kind.
#[derive(Debug, Default)]
pub(super) struct Health([AtomicBool; 4]);

impl Health {
    /// Whether a log is out of reach.
    pub(super) fn is_lost(&self, kind: StreamKind) -> bool {
        self.0[kind as usize].load(Ordering::Relaxed)
    }

    /// Whether none is.
    pub(super) fn is_well(&self) -> bool {
        self.0.iter().all(|lost| !lost.load(Ordering::Relaxed))
    }

    /// Notes it; true when that is news.
    pub(super) fn set_lost(&self, kind: StreamKind, lost: bool) -> bool {
        self.0[kind as usize].swap(lost, Ordering::Relaxed) != lost
    }
}

/// A message for the log.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) kind: StreamKind,
    pub(super) subject: String,
    pub(super) message: PublishMessage,
    /// For an id that the sender chose: the digest, and which attempt this is.
    pub(super) once: Option<(u64, u64)>,
}

/// What became of it.
pub(super) enum Fate {
    /// It is there, since now.
    Stored(u64),
    /// It was there before.
    Known { offset: u64, digest: u64 },
    /// Too many of its subject are there.
    Full,
}

pub(super) type Sent = Result<PublishAckFuture, PublishError>;

impl Cluster {
    /// A publication or private message for the log; `keep`: what its channel keeps.
    pub(super) fn outgoing(
        &self,
        kind: StreamKind,
        subject: String,
        content: &Content,
        once: Option<Once>,
        keep: Keep,
    ) -> Outgoing {
        let mut headers = message::headers(content, self.node().as_str());
        message::put_id(&mut headers, &subject, content.id);
        let attempt = uuid::Uuid::new_v4().as_u64_pair().1;
        if let Some(once) = once {
            message::put_once(&mut headers, once, attempt);
        }
        message::put_keep(&mut headers, keep);
        let body = Bytes::copy_from_slice(content.data.as_bytes());
        Outgoing {
            kind,
            subject,
            message: PublishMessage::build().headers(headers).payload(body),
            once: once.map(|once| (once.digest, attempt)),
        }
    }

    /// A note for the log of a channel.
    pub(super) fn note(&self, kind: StreamKind, subject: String, note: Note) -> Outgoing {
        let mut headers: HeaderMap = message::note(note, self.node().as_str());
        let id = MessageId(uuid::Uuid::new_v4().as_u128());
        message::put_id(&mut headers, &subject, id);
        Outgoing {
            kind,
            subject,
            message: PublishMessage::build().headers(headers),
            once: None,
        }
    }

    /// Sends it for the first time. Messages are in the log in the order of these calls, unless one has to be sent again.
    pub(super) async fn send(&self, outgoing: &Outgoing) -> Sent {
        if !self.0.state.borrow().up || self.health().is_lost(outgoing.kind) {
            return Err(PublishError::new(PublishErrorKind::BrokenPipe));
        }
        let (subject, message) = (outgoing.subject.clone(), outgoing.message.clone());
        self.log().send_publish(subject, message).await
    }

    /// Waits until the log has it.
    pub(super) async fn settle(
        &self,
        outgoing: &Outgoing,
        sent: Sent,
        deadline: Instant,
    ) -> Result<Fate, StoreFailure> {
        let kind = outgoing.kind;
        let mut sent = sent;
        let mut again = false;
        loop {
            let error = match acknowledged(sent, deadline).await {
                Ok(ack) => {
                    self.found(kind);
                    return self.fate(outgoing, &ack, again).await;
                }
                Err(error) => error,
            };
            match judge(&error) {
                Verdict::Full => return Ok(Fate::Full),
                Verdict::Refused(why) => return Err(StoreFailure::Failed(why)),
                Verdict::Again => {}
            }
            if self.health().is_lost(kind) {
                return Err(StoreFailure::NoQuorum);
            }
            if Instant::now() + PAUSE >= deadline {
                tracing::debug!(%error, "no acknowledgement");
                self.lose(kind);
                return Err(StoreFailure::NoQuorum);
            }
            tokio::time::sleep(PAUSE).await;
            again |= error.kind() != PublishErrorKind::BrokenPipe;
            sent = self.send(outgoing).await;
        }
    }

    /// The log has it. Was it this attempt, or one before with the same id?
    async fn fate(
        &self,
        outgoing: &Outgoing,
        ack: &PublishAck,
        again: bool,
    ) -> Result<Fate, StoreFailure> {
        let offset = ack.sequence;
        let Some((digest, attempt)) = outgoing.once.filter(|_| ack.duplicate) else {
            return Ok(Fate::Stored(offset));
        };
        // What it was is known only as long as it is kept. Gone, it counts as the same.
        let stored = self.at(outgoing.kind, offset).await;
        let stored = stored.map_err(|_| StoreFailure::NoQuorum)?;
        let (known, by) = stored.map_or((None, None), |row| message::once(&row.headers));
        Ok(if again && by == Some(attempt) {
            Fate::Stored(offset)
        } else {
            let digest = known.unwrap_or(digest);
            Fate::Known { offset, digest }
        })
    }

    /// The log answers.
    pub(super) fn found(&self, kind: StreamKind) {
        if self.health().set_lost(kind, false) {
            self.counters().set_lost(kind, false);
            tracing::info!(
                stream = self.names().stream(kind),
                "the log takes messages again"
            );
        }
    }

    /// The log does not answer.
    pub(super) fn lose(&self, kind: StreamKind) {
        if self.health().set_lost(kind, true) {
            self.counters().quorum_lost.inc();
            self.counters().set_lost(kind, true);
            let stream = self.names().stream(kind);
            tracing::warn!(stream, "the log's quorum is lost: it acknowledges nothing");
        }
    }
}

async fn acknowledged(sent: Sent, deadline: Instant) -> Result<PublishAck, PublishError> {
    let acknowledged = timeout_at(deadline, sent?).await;
    acknowledged.unwrap_or_else(|_| Err(PublishError::new(PublishErrorKind::TimedOut)))
}

enum Verdict {
    /// To be sent again.
    Again,
    Full,
    Refused(String),
}

fn judge(error: &PublishError) -> Verdict {
    if error.kind() == PublishErrorKind::MaxPayloadExceeded {
        return Verdict::Refused("the message is larger than max_payload of NATS".into());
    }
    let told = error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    let Some(told) = told else {
        return Verdict::Again;
    };
    let text = told.to_string();
    match told.error_code() {
        ErrorCode::STREAM_STORE_FAILED if text.contains("per subject") => Verdict::Full,
        ErrorCode::STREAM_STORE_FAILED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
        | ErrorCode::STREAM_WRONG_LAST_SEQUENCE => {
            Verdict::Refused(format!("NATS refuses the message: {text}"))
        }
        _ => Verdict::Again,
    }
}

/// As an answer to a publication.
pub(super) fn appended(fate: Fate) -> StoreAnswer {
    match fate {
        Fate::Stored(offset) => StoreAnswer::Appended { offset },
        Fate::Known { offset, digest } => StoreAnswer::Known { offset, digest },
        Fate::Full => StoreAnswer::Full,
    }
}

/// As an answer to a private message.
pub(super) fn delivered(fate: Fate) -> StoreAnswer {
    match fate {
        Fate::Stored(offset) => StoreAnswer::InboxOffset(offset),
        other => appended(other),
    }
}
