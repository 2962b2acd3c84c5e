//! Histories and inboxes out of the log into an empty store. Offsets are new ones: nobody's old position counts there.

use std::collections::HashMap;

use cometql_engine::publication::Content;
use cometql_engine::store::{Keep, Once};
use cometql_engine::{Limits, Rules, StoreAnswer, StoreRequest};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, TenantId};
use futures_util::future::try_join_all;

use super::super::message::{self, Said};
use super::super::names::{Names, StreamKind};
use super::super::read::{Pages, Row};
use super::super::{Cluster, now_ms};
use super::{MoveError, Part, Report, Step, Tally, Told};
use crate::storage::{Queues, Store};

/// A channel that is being written.
struct Channel {
    offset: u64,
    keep: Keep,
}

/// Writes all histories. The stream has them in the order of their offsets, so each channel's come in theirs.
pub(super) async fn histories(
    cluster: &Cluster,
    store: &Store,
    rules: &Rules,
    limits: &Limits,
    report: &mut Report,
    told: Told<'_>,
) -> Result<(), MoveError> {
    let lengths: HashMap<_, _> = store
        .settings()?
        .into_iter()
        .map(|(tenant, channel, length)| ((tenant, channel), length))
        .collect();
    let mut channels: HashMap<(TenantId, ChannelName), Channel> = HashMap::new();
    let mut reading = Reading::begin(cluster, StreamKind::History, Queues::Channels, told).await?;
    let mut tally = Tally::default();
    while let Some(rows) = reading.next().await? {
        let mut writes = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(key) = Names::parse_channel(&row.subject) else {
                continue;
            };
            let Some((content, once)) = content(row, limits) else {
                continue;
            };
            if !channels.contains_key(&key) {
                let length = lengths.get(&key).copied().unwrap_or(0);
                let keep = super::keep(rules, key.0, &key.1, length);
                report.not_durable += u64::from(keep.is_none());
                writes.push(store.request(opening(&key)));
                let keep = keep.unwrap_or(Keep {
                    publications: u64::MAX,
                    age_ms: message::age(&row.headers),
                });
                channels.insert(key.clone(), Channel { offset: 0, keep });
            }
            let channel = channels.get_mut(&key).expect("it was just put there");
            channel.offset += 1;
            tally.copied += 1;
            writes.push(store.request(StoreRequest::Append {
                tenant: key.0,
                channel: key.1,
                offset: channel.offset,
                content,
                keep: channel.keep,
                once,
                log: None,
            }));
        }
        count(&mut tally, &try_join_all(writes).await?);
    }
    report.parts.push((reading.part.name(), tally));
    Ok(())
}

/// The first request about a channel.
fn opening((tenant, channel): &(TenantId, ChannelName)) -> StoreRequest {
    StoreRequest::OpenChannel {
        tenant: *tenant,
        channel: channel.clone(),
        start: Position {
            epoch: Epoch(uuid::Uuid::new_v4().as_u64_pair().1),
            offset: 0,
        },
        renewed: None,
        log: None,
    }
}

/// Writes all private messages that wait.
pub(super) async fn inboxes(
    cluster: &Cluster,
    store: &Store,
    limits: &Limits,
    report: &mut Report,
    told: Told<'_>,
) -> Result<(), MoveError> {
    // Above all offsets of the cluster, which devices may still acknowledge: a stream's are counted one by one.
    store.begin_inboxes_after(now_ms()).await?;
    let mut reading = Reading::begin(cluster, StreamKind::Inbox, Queues::Inboxes, told).await?;
    let mut tally = Tally::default();
    while let Some(rows) = reading.next().await? {
        let mut writes = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some((tenant, user)) = Names::parse_user(&row.subject) else {
                continue;
            };
            let Some((content, once)) = content(row, limits) else {
                continue;
            };
            tally.copied += 1;
            writes.push(store.request(StoreRequest::InboxAppend {
                tenant,
                user,
                content,
                limit: u64::MAX,
                once,
            }));
        }
        count(&mut tally, &try_join_all(writes).await?);
    }
    report.parts.push((reading.part.name(), tally));
    Ok(())
}

/// A message, and what makes another one with its id a retry, if that still counts.
fn content(row: &Row, limits: &Limits) -> Option<(Content, Option<Once>)> {
    let Said::Content(content) = message::read(&row.headers, &row.body)? else {
        return None;
    };
    let until_ms = content.time_ms.saturating_add(limits.retry_ms);
    let (digest, _) = message::once(&row.headers);
    let once = digest.filter(|_| until_ms > now_ms());
    Some((content, once.map(|digest| Once { digest, until_ms })))
}

/// Messages that are there twice under an id that counts still: the first one is kept.
fn count(tally: &mut Tally, answers: &[StoreAnswer]) {
    let is_known = |answer: &&StoreAnswer| matches!(answer, StoreAnswer::Known { .. });
    let known = answers.iter().filter(is_known).count() as u64;
    tally.copied -= known;
    tally.left_out += known;
}

/// A stream that is read from its beginning, and told of.
struct Reading<'a> {
    pages: Pages<'a>,
    part: Part,
    done: u64,
    of: u64,
    told: Told<'a>,
}

impl<'a> Reading<'a> {
    async fn begin(
        cluster: &'a Cluster,
        kind: StreamKind,
        which: Queues,
        told: Told<'a>,
    ) -> Result<Self, MoveError> {
        let pages = Pages::new(cluster, kind, cluster.names().all_of(kind));
        let of = pages.count().await?;
        let part = Part::Queues(which);
        told(Step { part, done: 0, of });
        Ok(Self {
            pages,
            part,
            done: 0,
            of,
            told,
        })
    }

    async fn next(&mut self) -> Result<Option<Vec<Row>>, MoveError> {
        let rows = self.pages.next().await?;
        self.done += rows.len() as u64;
        let Self { part, done, of, .. } = *self;
        (self.told)(Step { part, done, of });
        Ok((!rows.is_empty()).then_some(rows))
    }
}
