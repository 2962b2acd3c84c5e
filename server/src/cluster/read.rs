//! Reading streams. What must be the newest is asked of the stream's leader; ranges come in batches from any server that
//! has them, and are checked against what the leader said, because such a server may lag.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::header::{NATS_SEQUENCE, NATS_SUBJECT};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind, Stream};
use async_nats::{HeaderMap, Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Cluster;
use super::message::number;
use super::names::StreamKind;
use super::streams::Unreachable;

/// Messages of one batch.
const BATCH: u64 = 512;
/// How long the next message of a batch may take.
const NEXT_TIME: Duration = Duration::from_secs(2);
/// How often a server that lags is asked again, before the leader is asked message by message.
const LAG_TRIES: u32 = 10;
/// Pause between.
const LAG_PAUSE: Duration = Duration::from_millis(20);

/// A message as a stream has it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) offset: u64,
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl From<StreamMessage> for Row {
    fn from(message: StreamMessage) -> Self {
        Self {
            offset: message.sequence,
            subject: message.subject.to_string(),
            headers: message.headers,
            body: message.payload,
        }
    }
}

/// What a batch asks for; NATS documents it as ADR-31.
#[derive(Serialize)]
struct BatchRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    multi_last: &'a [String],
    batch: u64,
}

/// Where each stream ends.
#[derive(Default)]
pub(super) struct Ends([End; 4]);

impl Ends {
    fn of(&self, kind: StreamKind) -> &End {
        &self.0[kind as usize]
    }
}

#[derive(Default)]
struct End {
    /// How many wanted to know.
    wishes: AtomicU64,
    told: Mutex<Told>,
}

/// The answer to all wishes up to a number.
struct Told {
    wish: u64,
    end: Result<u64, Unreachable>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            wish: 0,
            end: Ok(0),
        }
    }
}

/// Some messages, and whether there are more.
struct Batch {
    rows: Vec<Row>,
    pending: u64,
}

impl Cluster {
    /// A stream, without a look whether it is there.
    pub(super) async fn stream(&self, kind: StreamKind) -> Result<Stream<()>, Unreachable> {
        let name = self.names().stream(kind);
        let stream = self.log().get_stream_no_info(name).await;
        stream.map_err(Unreachable::told)
    }

    /// The last message of a subject, by the leader.
    pub(super) async fn last(
        &self,
        kind: StreamKind,
        subject: &str,
    ) -> Result<Option<Row>, Unreachable> {
        let stream = self.stream(kind).await?;
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message.into())),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(Unreachable::told(error)),
        }
    }

    /// The first message of a subject, which may have wildcards, from an offset on, by the leader.
    pub(super) async fn next(
        &self,
        kind: StreamKind,
        subject: &str,
        from: u64,
    ) -> Result<Option<Row>, Unreachable> {
        let stream = self.stream(kind).await?;
        let request = stream.raw_message_builder().sequence(from.max(1));
        found(request.next_by_subject(subject).send().await)
    }

    /// The message at an offset, by the leader.
    pub(super) async fn at(
        &self,
        kind: StreamKind,
        offset: u64,
    ) -> Result<Option<Row>, Unreachable> {
        found(self.stream(kind).await?.get_raw_message(offset).await)
    }

    /// The last offset that a stream gave out, by the leader. Asked once for all that want to know it at a time.
    pub(super) async fn end(&self, kind: StreamKind) -> Result<u64, Unreachable> {
        let end = self.0.ends.of(kind);
        let wish = end.wishes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut told = end.told.lock().await;
        if told.wish < wish {
            let wish = end.wishes.load(Ordering::SeqCst);
            let end = self.ask_end(kind).await;
            *told = Told { wish, end };
        }
        told.end.clone()
    }

    async fn ask_end(&self, kind: StreamKind) -> Result<u64, Unreachable> {
        let info = self.stream(kind).await?.get_info().await;
        Ok(info.map_err(Unreachable::told)?.state.last_sequence)
    }

    /// All messages of a subject after an offset, up to `last`, which the leader has told, oldest first.
    pub(super) async fn up_to(
        &self,
        kind: StreamKind,
        subject: &str,
        after: u64,
        last: u64,
    ) -> Result<Vec<Row>, Unreachable> {
        let mut rows: Vec<Row> = Vec::new();
        let mut tries = 0;
        let mut from = after + 1;
        while from <= last {
            let batch = self.batch(kind, subject, from, BATCH).await?;
            let nothing = batch.rows.is_empty();
            rows.extend(batch.rows);
            from = rows.last().map_or(from, |row| row.offset + 1);
            if from > last || batch.pending > 0 && !nothing {
                continue;
            }
            tries += 1;
            if tries > LAG_TRIES {
                match self.next(kind, subject, from).await? {
                    Some(row) => {
                        from = row.offset + 1;
                        rows.push(row);
                    }
                    None => break,
                }
            } else {
                tokio::time::sleep(LAG_PAUSE).await;
            }
        }
        rows.retain(|row| row.offset <= last);
        Ok(rows)
    }

    /// The first messages of a subject, which may have wildcards, from an offset on; a few that are very new may be missing.
    pub(super) async fn first(
        &self,
        kind: StreamKind,
        subject: &str,
        from: u64,
        limit: u64,
    ) -> Result<Vec<Row>, Unreachable> {
        let mut rows: Vec<Row> = Vec::new();
        let mut from = from;
        loop {
            let missing = limit - rows.len() as u64;
            let batch = self.batch(kind, subject, from, missing.min(BATCH)).await?;
            let nothing = batch.rows.is_empty();
            rows.extend(batch.rows);
            from = rows.last().map_or(from, |row| row.offset + 1);
            if nothing || batch.pending == 0 || rows.len() as u64 >= limit {
                return Ok(rows);
            }
        }
    }

    /// Messages of a subject from an offset on, and how many there are after the first.
    pub(super) async fn count_from(
        &self,
        kind: StreamKind,
        subject: &str,
        from: u64,
    ) -> Result<Option<(u64, u64)>, Unreachable> {
        let batch = self.batch(kind, subject, from, 1).await?;
        let first = batch.rows.first().map(|row| row.offset);
        Ok(first.map(|first| (first, batch.pending + 1)))
    }

    async fn batch(
        &self,
        kind: StreamKind,
        subject: &str,
        from: u64,
        batch: u64,
    ) -> Result<Batch, Unreachable> {
        let request = BatchRequest {
            seq: Some(from.max(1)),
            next_by_subj: Some(subject),
            multi_last: &[],
            batch,
        };
        self.many(kind, &request).await
    }

    /// The last messages of subjects, of those that got one from an offset on.
    pub(super) async fn lasts(
        &self,
        kind: StreamKind,
        subjects: &[String],
        from: u64,
    ) -> Result<Vec<Row>, Unreachable> {
        let request = BatchRequest {
            seq: Some(from.max(1)),
            next_by_subj: None,
            multi_last: subjects,
            batch: subjects.len() as u64,
        };
        Ok(self.many(kind, &request).await?.rows)
    }

    async fn many(
        &self,
        kind: StreamKind,
        request: &BatchRequest<'_>,
    ) -> Result<Batch, Unreachable> {
        let body = serde_json::to_vec(request).map_err(Unreachable::told)?;
        let (client, inbox) = (self.client(), self.client().new_inbox());
        let answers = client.subscribe(inbox.clone()).await;
        let mut answers = answers.map_err(Unreachable::told)?;
        let subject = format!("$JS.API.DIRECT.GET.{}", self.names().stream(kind));
        let sent = client.publish_with_reply(subject, inbox, body.into()).await;
        sent.map_err(Unreachable::told)?;
        let mut rows = Vec::new();
        loop {
            let next = tokio::time::timeout(NEXT_TIME, answers.next()).await;
            let Some(message) = next.map_err(Unreachable::told)? else {
                return Err(Unreachable("the connection is closed".into()));
            };
            match message.status {
                None => rows.extend(row(message)),
                Some(StatusCode::NOT_FOUND) => return Ok(Batch { rows, pending: 0 }),
                // The end of a batch.
                Some(status) if status.as_u16() == 204 => {
                    let headers = message.headers.unwrap_or_default();
                    let pending = number(&headers, "Nats-Num-Pending").unwrap_or(0);
                    return Ok(Batch { rows, pending });
                }
                Some(status) => {
                    let told = message.description.unwrap_or_default();
                    return Err(Unreachable(format!("{status}: {told}")));
                }
            }
        }
    }
}

/// All messages of a subject, which may have wildcards, page by page, also those that come meanwhile.
pub(super) struct Pages<'a> {
    cluster: &'a Cluster,
    kind: StreamKind,
    subject: String,
    from: u64,
}

impl<'a> Pages<'a> {
    pub(super) fn new(cluster: &'a Cluster, kind: StreamKind, subject: String) -> Self {
        Self {
            cluster,
            kind,
            subject,
            from: 1,
        }
    }

    /// How many messages there are.
    pub(super) async fn count(&self) -> Result<u64, Unreachable> {
        let count = self.cluster.count_from(self.kind, &self.subject, 1);
        Ok(count.await?.map_or(0, |(_, count)| count))
    }

    /// The next messages; none = that was all. Asks again for as long as a quorum may take.
    pub(super) async fn next(&mut self) -> Result<Vec<Row>, Unreachable> {
        let deadline = Instant::now() + self.cluster.settings().quorum_timeout;
        loop {
            match self.ask().await {
                Ok(rows) => return Ok(rows),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(LAG_PAUSE).await,
            }
        }
    }

    async fn ask(&mut self) -> Result<Vec<Row>, Unreachable> {
        let (kind, subject) = (self.kind, &self.subject);
        let mut rows = self.cluster.first(kind, subject, self.from, BATCH).await?;
        if rows.is_empty() {
            // The server that was asked may lag; the leader does not.
            rows.extend(self.cluster.next(kind, subject, self.from).await?);
        }
        if let Some(last) = rows.last() {
            self.from = last.offset + 1;
        }
        Ok(rows)
    }
}

fn found(
    told: Result<StreamMessage, async_nats::jetstream::stream::RawMessageError>,
) -> Result<Option<Row>, Unreachable> {
    match told {
        Ok(message) => Ok(Some(message.into())),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Unreachable::told(error)),
    }
}

fn row(message: Message) -> Option<Row> {
    let headers = message.headers?;
    Some(Row {
        offset: number(&headers, NATS_SEQUENCE.as_ref())?,
        subject: headers.get(NATS_SUBJECT)?.as_str().to_owned(),
        headers,
        body: message.payload,
    })
}
