//! The stream of rows: what is asked of it and put into it. It must not know the store.

use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID, NATS_MESSAGE_TTL};
use async_nats::jetstream::consumer::push;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, message::PublishMessage};
use async_nats::{HeaderMap, Subject};
use tokio::time::Instant;
use uuid::Uuid;

use super::record;
use crate::cluster::names::StreamKind;
use crate::cluster::streams;
use crate::cluster::{Cluster, Connection};
use crate::metrics::OfCluster;
use crate::storage::Change;

/// How long one request or acknowledgement may take, before it is asked for again.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Pause before something is tried again that was refused at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the server says that nothing happens; three times without it, the consumer is made anew.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The stream, as one member sees it.
pub(super) struct Log {
    cluster: Cluster,
    jetstream: jetstream::Context,
    stream: String,
    /// What stands before the names of rows.
    prefix: String,
}

/// NATS could not be asked; the text is for logs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreachable(String);

impl Unreachable {
    pub(super) fn no_quorum() -> Self {
        Self("no acknowledgement".to_owned())
    }

    pub(super) fn told(failure: &cometql_engine::StoreFailure) -> Self {
        Self(failure.to_string())
    }
}

fn unreachable(error: impl std::fmt::Display) -> Unreachable {
    Unreachable(error.to_string())
}

/// What became of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// The log has it at this place.
    Stored(u64),
    /// The row's last place was another one.
    Conflict,
    /// The log does not answer.
    NoQuorum,
    /// A row larger than NATS takes.
    TooLarge,
}

/// The last message of a row.
pub(super) struct Last {
    pub(super) place: u64,
    /// The row is there; else it was removed.
    pub(super) is_there: bool,
}

/// A change, ready to be put.
pub(super) struct Message {
    subject: Subject,
    /// Tells this attempt of a change from all others.
    pub(super) id: String,
    headers: HeaderMap,
    body: bytes::Bytes,
}

impl Log {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let mut jetstream = cluster.log().clone();
        jetstream.set_timeout(ANSWER_TIME);
        Self {
            jetstream,
            stream: cluster.names().stream(StreamKind::State),
            prefix: cluster.names().subject("s."),
            cluster: cluster.clone(),
        }
    }

    /// After so long without an acknowledgement the log's quorum counts as lost.
    pub(super) fn patience(&self) -> Duration {
        self.cluster.settings().quorum_timeout
    }

    pub(super) fn counters(&self) -> &OfCluster {
        self.cluster.counters()
    }

    pub(super) fn connection(&self) -> tokio::sync::watch::Receiver<Connection> {
        self.cluster.connection()
    }

    /// Whose name a row has, from its subject; `None` = it is no row.
    pub(super) fn name<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.prefix)
    }

    async fn handle(&self) -> Result<Stream<()>, Unreachable> {
        self.jetstream
            .get_stream_no_info(&self.stream)
            .await
            .map_err(unreachable)
    }

    /// The stream's last place, from its leader.
    pub(super) async fn end(&self) -> Result<u64, Unreachable> {
        let info = self.handle().await?.get_info().await.map_err(unreachable)?;
        Ok(info.state.last_sequence)
    }

    /// Whether it has any row, beside the mark at this place.
    pub(super) async fn has_rows(&self, mark: Option<u64>) -> Result<bool, Unreachable> {
        let Some(first) = self.next(1).await? else {
            return Ok(false);
        };
        if Some(first) != mark {
            return Ok(true);
        }
        Ok(self.next(first + 1).await?.is_some())
    }

    /// The first message at or behind a place.
    async fn next(&self, place: u64) -> Result<Option<u64>, Unreachable> {
        let all = format!("{}>", self.prefix);
        let found = self.handle().await?;
        let next = found.raw_message_builder().sequence(place);
        match next.next_by_subject(all).send().await {
            Ok(message) => Ok(Some(message.sequence)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(unreachable(error)),
        }
    }

    /// Which life of the stream this is.
    pub(super) async fn epoch(&self) -> Result<u64, Unreachable> {
        let epoch = streams::epoch(&self.cluster, StreamKind::State).await;
        epoch.map_err(unreachable)
    }

    /// The last message of a row, from the stream's leader.
    pub(super) async fn last(&self, name: &str) -> Result<Option<Last>, Unreachable> {
        let last = self.message(name).await?;
        Ok(last.map(|(place, headers, _)| Last {
            place,
            is_there: headers.get(NATS_MESSAGE_TTL).is_none(),
        }))
    }

    /// The last message of a subject, from the stream's leader: its place, headers and body.
    pub(super) async fn message(
        &self,
        name: &str,
    ) -> Result<Option<(u64, HeaderMap, bytes::Bytes)>, Unreachable> {
        let subject = format!("{}{name}", self.prefix);
        let found = self.handle().await?;
        match found.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Ok(Some((message.sequence, message.headers, message.payload))),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(unreachable(error)),
        }
    }

    /// Prepares a change.
    pub(super) fn prepare(&self, change: &Change) -> Message {
        let mut message = self.bare(&record::name(change), record::encode(change));
        if record::is_gone(change) {
            let seconds = super::TOMBSTONE.as_secs();
            message
                .headers
                .insert(NATS_MESSAGE_TTL, format!("{seconds}s"));
        }
        message
    }

    /// Prepares a message that is no row.
    pub(super) fn bare(&self, name: &str, body: Vec<u8>) -> Message {
        let id = Uuid::new_v4().simple().to_string();
        let mut headers = HeaderMap::new();
        headers.insert(record::VERSION.0, record::VERSION.1);
        headers.insert(NATS_MESSAGE_ID, id.as_str());
        Message {
            subject: format!("{}{name}", self.prefix).into(),
            id,
            headers,
            body: body.into(),
        }
    }

    /// Puts a message into the stream; `expected` = only if the row's last place is this one (0 = none). Tries again until
    /// it knows, or until the deadline.
    pub(super) async fn put(
        &self,
        message: Message,
        expected: Option<u64>,
        deadline: Option<Instant>,
    ) -> Put {
        let Message {
            subject,
            mut headers,
            body,
            ..
        } = message;
        if let Some(expected) = expected {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        }
        let message = PublishMessage::build().headers(headers).payload(body);
        loop {
            let error = match self.once(subject.clone(), message.clone()).await {
                Ok(place) => return Put::Stored(place),
                Err(error) => error,
            };
            match error.kind() {
                PublishErrorKind::WrongLastSequence => return Put::Conflict,
                PublishErrorKind::MaxPayloadExceeded => return Put::TooLarge,
                _ if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    tracing::debug!(%error, "a row was not acknowledged");
                    self.counters().set_lost(StreamKind::State, true);
                    return Put::NoQuorum;
                }
                PublishErrorKind::TimedOut => {}
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn once(&self, subject: Subject, message: PublishMessage) -> Result<u64, PublishError> {
        let answer = self.jetstream.send_publish(subject, message).await?;
        Ok(answer.await?.sequence)
    }

    /// All messages from a place on, in their order, until the connection or a server fails: to be made anew then. And how
    /// many there are by now.
    pub(super) async fn messages(&self, first: u64) -> Result<(push::Messages, u64), Unreachable> {
        let config = push::Config {
            deliver_subject: self.cluster.client().new_inbox(),
            deliver_policy: match first {
                0 | 1 => DeliverPolicy::All,
                first => DeliverPolicy::ByStartSequence {
                    start_sequence: first,
                },
            },
            ack_policy: AckPolicy::None,
            filter_subject: format!("{}>", self.prefix),
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: HEARTBEAT * 20,
            num_replicas: 1,
            memory_storage: true,
            max_deliver: 1,
            ..push::Config::default()
        };
        let consumer = self.handle().await?.create_consumer(config).await;
        let consumer = consumer.map_err(unreachable)?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.map_err(unreachable)?;
        Ok((messages, pending))
    }
}
