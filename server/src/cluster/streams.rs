//! The streams of a cluster: made where they are missing, changed where limits are others now. And which life of a stream
//! this is: its first message is an epoch that never expires, so a stream that lost everything has another one.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, Republish, StorageType,
};
use cometql_engine::Limits;
use tokio::time::Instant;

use super::Cluster;
use super::connect::START_TIME;
use super::names::StreamKind;

/// Pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(250);
/// JetStream's least for the time in which it knows ids.
const DUPLICATES_LEAST: Duration = Duration::from_secs(1);

/// Why there are no streams.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// JetStream has too few servers.
    #[error(
        "cluster.replicas = {replicas}, but NATS can't keep {stream} on so many servers: {reason}. Start more NATS servers \
         with JetStream, or set cluster.replicas = 1"
    )]
    Replicas {
        /// How many were asked for.
        replicas: usize,
        /// For which stream.
        stream: String,
        /// What NATS says.
        reason: String,
    },
    /// JetStream refuses, or does not answer.
    #[error(
        "NATS has no stream {stream} and made none within {} s: {reason}. Is JetStream on, and do most of its servers run?",
        START_TIME.as_secs()
    )]
    Refused {
        /// Which stream.
        stream: String,
        /// What NATS says.
        reason: String,
    },
}

/// NATS could not be asked; the text is for logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreachable(pub(crate) String);

impl Unreachable {
    pub(super) fn told(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Makes all streams that are missing, and their epochs; waits while NATS has no leader yet.
///
/// # Errors
/// See [`StreamError`].
pub async fn prepare(cluster: &Cluster, limits: &Limits) -> Result<(), StreamError> {
    let deadline = Instant::now() + START_TIME;
    for kind in StreamKind::ALL {
        loop {
            let made = match make(cluster, limits, kind).await {
                Ok(()) => epoch(cluster, kind).await.map(|epoch| {
                    cluster.epochs().replace(kind, epoch);
                }),
                Err(Refusal::Final(error)) => return Err(error),
                Err(Refusal::Try(error)) => Err(error),
            };
            let Err(Unreachable(reason)) = made else {
                break;
            };
            if Instant::now() > deadline {
                let stream = cluster.names().stream(kind);
                return Err(StreamError::Refused { stream, reason });
            }
            tracing::debug!(reason, "a stream is not there yet");
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Whether there is a stream.
pub(super) async fn is_there(cluster: &Cluster, kind: StreamKind) -> Result<bool, Unreachable> {
    match cluster.log().get_stream(cluster.names().stream(kind)).await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(Unreachable::told(error)),
    }
}

/// Makes a stream that is gone: one in memory goes with a single server.
pub(super) async fn remake(
    cluster: &Cluster,
    limits: &Limits,
    kind: StreamKind,
) -> Result<(), Unreachable> {
    match make(cluster, limits, kind).await {
        Ok(()) => Ok(()),
        Err(Refusal::Final(error)) => Err(Unreachable::told(error)),
        Err(Refusal::Try(error)) => Err(error),
    }
}

/// Which life of a stream this is, by its leader; a new one begins where there is none.
pub(crate) async fn epoch(cluster: &Cluster, kind: StreamKind) -> Result<u64, Unreachable> {
    loop {
        if let Some(epoch) = read_epoch(cluster, kind).await? {
            return Ok(epoch);
        }
        begin_epoch(cluster, kind).await?;
    }
}

async fn read_epoch(cluster: &Cluster, kind: StreamKind) -> Result<Option<u64>, Unreachable> {
    let subject = cluster.names().epoch(kind);
    let stream = cluster.stream(kind).await?;
    match stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => {
            let text = std::str::from_utf8(&message.payload).map_err(Unreachable::told)?;
            text.parse().map(Some).map_err(Unreachable::told)
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Unreachable::told(error)),
    }
}

/// Of all that try at once, one begins it.
async fn begin_epoch(cluster: &Cluster, kind: StreamKind) -> Result<(), Unreachable> {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_TTL, "never");
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
    let epoch = uuid::Uuid::new_v4().as_u64_pair().1;
    let message = PublishMessage::build()
        .headers(headers)
        .payload(epoch.to_string().into());
    let subject = cluster.names().epoch(kind);
    let sent = cluster.log().send_publish(subject, message).await;
    match sent.map_err(Unreachable::told)?.await {
        Ok(_) => {
            tracing::info!(
                stream = cluster.names().stream(kind),
                "a stream began a new epoch"
            );
            Ok(())
        }
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(()),
        Err(error) => Err(Unreachable::told(error)),
    }
}

enum Refusal {
    Final(StreamError),
    Try(Unreachable),
}

fn again(error: impl std::fmt::Display) -> Refusal {
    Refusal::Try(Unreachable::told(error))
}

/// Makes a stream, or brings it up to date.
async fn make(cluster: &Cluster, limits: &Limits, kind: StreamKind) -> Result<(), Refusal> {
    let wanted = config(cluster, limits, kind);
    let name = wanted.name.clone();
    let replicas = wanted.num_replicas;
    match cluster.log().get_stream(&name).await {
        Ok(found) => {
            let is = &found.cached_info().config;
            let changed = changed(is, wanted);
            if changed == *is {
                return Ok(());
            }
            tracing::info!(stream = name, "a stream gets other limits");
            let updated = cluster.log().update_stream(changed).await;
            updated.map(|_| ()).map_err(again)
        }
        Err(error) if is_missing(&error) => {
            let made = cluster.log().create_stream(wanted).await;
            made.map(|_| ()).map_err(|error| match error.kind() {
                CreateStreamErrorKind::JetStream(told) if is_too_few(told.error_code()) => {
                    Refusal::Final(StreamError::Replicas {
                        replicas,
                        stream: name,
                        reason: told.to_string(),
                    })
                }
                _ => again(error),
            })
        }
        Err(error) => Err(again(error)),
    }
}

fn is_missing(error: &async_nats::jetstream::context::GetStreamError) -> bool {
    match error.kind() {
        GetStreamErrorKind::JetStream(told) => told.error_code() == ErrorCode::STREAM_NOT_FOUND,
        _ => false,
    }
}

/// A single server says so for good. Servers of a cluster that don't know each other yet say something else, for a while.
fn is_too_few(code: ErrorCode) -> bool {
    code == ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED
}

/// What a stream is now, with what we want of it. What we don't set stays as its owner has made it.
fn changed(is: &Config, wanted: Config) -> Config {
    Config {
        subjects: wanted.subjects,
        max_messages_per_subject: wanted.max_messages_per_subject,
        max_age: wanted.max_age,
        duplicate_window: wanted.duplicate_window,
        num_replicas: wanted.num_replicas,
        republish: wanted.republish,
        allow_direct: wanted.allow_direct,
        allow_rollup: wanted.allow_rollup,
        allow_message_ttl: wanted.allow_message_ttl,
        ..is.clone()
    }
}

fn config(cluster: &Cluster, limits: &Limits, kind: StreamKind) -> Config {
    let names = cluster.names();
    let ms = Duration::from_millis;
    let known = ms(limits.retry_ms).max(DUPLICATES_LEAST);
    let common = Config {
        name: names.stream(kind),
        subjects: vec![names.all_of(kind), names.epoch(kind), names.probe(kind)],
        num_replicas: cluster.settings().replicas,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        duplicate_window: known,
        allow_direct: true,
        allow_rollup: true,
        allow_message_ttl: true,
        republish: Some(Republish {
            source: names.all_of(kind),
            destination: names.live(&names.all_of(kind)),
            headers_only: false,
        }),
        ..Config::default()
    };
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    match kind {
        StreamKind::Windows => Config {
            storage: StorageType::Memory,
            max_messages_per_subject: count(limits.window_publications.max(1) as u64),
            max_age: ms(limits.window_ms).max(known),
            ..common
        },
        StreamKind::History => Config {
            // One more: what stays of what was trimmed, see `trim.rs`.
            max_messages_per_subject: count(limits.history_publications.saturating_add(1)),
            ..common
        },
        StreamKind::Inbox => Config {
            max_messages_per_subject: count(limits.inbox_messages.max(1)),
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            max_age: ms(limits.inbox_ms).max(known),
            ..common
        },
        StreamKind::State => Config {
            max_messages_per_subject: 1,
            republish: None,
            ..common
        },
    }
}
