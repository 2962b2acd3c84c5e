//! What the log has of one channel: opened, read, deleted, trimmed. And the rule by which a range counts as whole.

use cometql_engine::publication::Content;
use cometql_engine::store::Keep;
use cometql_engine::{Limits, MessageId, StoreAnswer, StoredPublication};
use cometql_protocol::wire::{Epoch, Position};
use tokio::time::Instant;

use super::message::{self, Note, Said};
use super::names::StreamKind;
use super::read::Row;
use super::streams::Unreachable;
use super::{Cluster, now_ms};

/// Oldest messages that are looked at when a channel is trimmed by age.
const TRIM_AT_ONCE: u64 = 256;

/// So many notes behind a channel's last publication, or among those that it keeps, are nothing unusual.
const NOTES: u64 = 32;

/// A channel's place in the log.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) kind: StreamKind,
    pub(super) subject: String,
}

/// Messages after an offset.
struct Range {
    rows: Vec<Row>,
    /// Nothing that was there after it is missing.
    whole: bool,
}

impl Cluster {
    /// Where a channel stands. Its events from then on must be listened to already.
    pub(super) async fn open(
        &self,
        place: &Place,
        limits: &Limits,
    ) -> Result<StoreAnswer, Unreachable> {
        let epoch = Epoch(self.epochs().get(place.kind));
        // In this order: what the subject has no message of by now has an offset after the end.
        let end = self.end(place.kind).await?;
        let mut last = self.last(place.kind, &place.subject).await?;
        if last.is_none() && place.kind == StreamKind::History {
            last = self.begin(place).await?;
        }
        let offset = last.map_or(end, |row| row.offset);
        let range = self.recent(place, offset, limits).await?;
        let oldest = now_ms().saturating_sub(limits.window_ms);
        let (floor, recent) = window(range, oldest);
        let position = Position { epoch, offset };
        Ok(StoreAnswer::Opened {
            position,
            floor: floor.min(offset),
            recent,
        })
    }

    /// The first message of a durable channel: all that is after it is whole as long as it, or a later one that replaces it,
    /// is there.
    async fn begin(&self, place: &Place) -> Result<Option<Row>, Unreachable> {
        let note = self.note(place.kind, place.subject.clone(), Note::Open);
        let deadline = Instant::now() + self.settings().quorum_timeout;
        let sent = self.send(&note).await;
        let settled = self.settle(&note, sent, deadline).await;
        settled.map_err(Unreachable::told)?;
        self.last(place.kind, &place.subject).await
    }

    /// What the recovery window may hold, with a row before it where there is one.
    async fn recent(
        &self,
        place: &Place,
        last: u64,
        limits: &Limits,
    ) -> Result<(u64, Vec<Row>), Unreachable> {
        let most = limits.window_publications as u64;
        let after = match place.kind {
            StreamKind::Windows => 0,
            _ => self.before_newest(place, 0, most, last).await?,
        };
        let rows = self.up_to(place.kind, &place.subject, after, last).await?;
        let first = rows.first().map_or(last, |row| row.offset);
        let floor = match place.kind {
            StreamKind::Windows if (rows.len() as u64) < most => {
                self.aged_out(place.kind).await?.min(first)
            }
            _ => first,
        };
        Ok((floor, rows))
    }

    /// An offset after which nothing was removed for its age: all before the first message may have been.
    async fn aged_out(&self, kind: StreamKind) -> Result<u64, Unreachable> {
        let end = self.end(kind).await?;
        let first = self.next(kind, &self.names().all_of(kind), 0).await?;
        Ok(first.map_or(end, |row| row.offset - 1))
    }

    /// An offset after which there are `count` messages of the subject or a few more, but not before `after`.
    async fn before_newest(
        &self,
        place: &Place,
        after: u64,
        count: u64,
        last: u64,
    ) -> Result<u64, Unreachable> {
        let all = self
            .count_from(place.kind, &place.subject, after + 1)
            .await?;
        if all.is_none_or(|(_, all)| all <= count.saturating_mul(2)) {
            return Ok(after);
        }
        let (mut low, mut high) = (after, last);
        // `low` has at least so many after it, `high` has fewer.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let found = self.count_from(place.kind, &place.subject, middle + 1);
            match found.await? {
                Some((_, found)) if found >= count => {
                    low = middle;
                    if found <= count.saturating_mul(2) {
                        break;
                    }
                }
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// Publications of a channel.
    pub(super) async fn history(
        &self,
        place: &Place,
        limits: &Limits,
        after: u64,
        limit: u64,
        newest: bool,
    ) -> Result<StoreAnswer, Unreachable> {
        let (mut publications, whole) = match self.kept(place, after).await? {
            Some(kept) => (kept, false),
            None => {
                let Range { rows, whole } = self.range(place, limits, after, limit, newest).await?;
                let oldest = oldest(&rows);
                (publications(rows, after, oldest), whole)
            }
        };
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let all = publications.len() <= most;
        if newest {
            let surplus = publications.len().saturating_sub(most);
            publications.drain(..surplus);
        } else {
            publications.truncate(most);
        }
        Ok(StoreAnswer::HistoryPart {
            rows: publications,
            whole: whole && all,
        })
    }

    /// All that a durable channel keeps, when it has more than that and is asked for all: it is trimmed now and then only.
    async fn kept(
        &self,
        place: &Place,
        after: u64,
    ) -> Result<Option<Vec<StoredPublication>>, Unreachable> {
        if after > 0 || place.kind != StreamKind::History {
            return Ok(None);
        }
        let Some(last) = self.last(place.kind, &place.subject).await? else {
            return Ok(None);
        };
        let keep = self.keeps(place, &last).await?;
        let all = self.count_from(place.kind, &place.subject, 0).await?;
        if all.is_none_or(|(_, all)| all <= keep) {
            return Ok(None);
        }
        let wanted = keep.saturating_add(NOTES);
        let from = self.before_newest(place, 0, wanted, last.offset).await?;
        let rows = self
            .up_to(place.kind, &place.subject, from, last.offset)
            .await?;
        let oldest = oldest(&rows);
        let mut kept = publications(rows, 0, oldest);
        let surplus = (kept.len() as u64).saturating_sub(keep);
        kept.drain(..usize::try_from(surplus).unwrap_or(0));
        Ok(Some(kept))
    }

    /// How many publications a channel keeps: its last one says so, and notes behind it don't.
    async fn keeps(&self, place: &Place, last: &Row) -> Result<u64, Unreachable> {
        if is_publication(&last) {
            return Ok(message::keep(&last.headers));
        }
        let from = self.before_newest(place, 0, NOTES, last.offset).await?;
        let rows = self
            .up_to(place.kind, &place.subject, from, last.offset)
            .await?;
        let found = rows.iter().rfind(is_publication);
        Ok(found.map_or(u64::MAX, |row| message::keep(&row.headers)))
    }

    async fn range(
        &self,
        place: &Place,
        limits: &Limits,
        after: u64,
        limit: u64,
        newest: bool,
    ) -> Result<Range, Unreachable> {
        let Some(last) = self.last(place.kind, &place.subject).await? else {
            let whole = self.is_whole(place, limits, after, 0).await?;
            let rows = Vec::new();
            return Ok(Range { rows, whole });
        };
        // Notes among them are not publications: a few more.
        let wanted = limit.saturating_add(8);
        let mut rows = if newest {
            let from = self
                .before_newest(place, after, wanted, last.offset)
                .await?;
            self.up_to(place.kind, &place.subject, from, last.offset)
                .await?
        } else {
            self.first(place.kind, &place.subject, after + 1, wanted)
                .await?
        };
        let reaches = rows.last().is_none_or(|row| row.offset >= last.offset);
        if rows.is_empty() && last.offset > after {
            rows = self
                .up_to(place.kind, &place.subject, after, last.offset)
                .await?;
        }
        let kept = self
            .is_whole(place, limits, after, rows.len() as u64)
            .await?;
        let untouched = rows.iter().all(|row| !breaks(row));
        Ok(Range {
            rows,
            whole: reaches && kept && untouched,
        })
    }

    /// Whether all messages of a subject after an offset are there, given how many are. The oldest ones go first, so that is
    /// so while one from before, or the one at the offset, is. For a window that has room left, it is so too if not even
    /// the first message after the offset, of whatever channel, was too old. When unsure: no.
    pub(super) async fn is_whole(
        &self,
        place: &Place,
        limits: &Limits,
        after: u64,
        count: u64,
    ) -> Result<bool, Unreachable> {
        let first = self.next(place.kind, &place.subject, 0).await?;
        if first.is_some_and(|row| row.offset <= after) {
            return Ok(true);
        }
        if place.kind != StreamKind::Windows || count >= limits.window_publications as u64 {
            return Ok(false);
        }
        Ok(self.aged_out(place.kind).await? <= after)
    }

    /// Deletes all publications, or one; returns how many there were.
    pub(super) async fn delete(
        &self,
        place: &Place,
        id: Option<MessageId>,
        deadline: Instant,
    ) -> Result<u64, Unreachable> {
        let last = self.last(place.kind, &place.subject).await?;
        let Some(last) = last else {
            return Ok(0);
        };
        let rows = self
            .up_to(place.kind, &place.subject, 0, last.offset)
            .await?;
        let oldest = oldest(&rows);
        let is_meant = |row: &StoredPublication| id.is_none_or(|id| row.content.id == id);
        let all = publications(rows, 0, oldest);
        let found: Vec<u64> = all
            .iter()
            .filter(|row| is_meant(row))
            .map(|row| row.offset)
            .collect();
        if found.is_empty() {
            return Ok(0);
        }
        let note = id.map_or(Note::Clear, Note::Delete);
        let note = self.note(place.kind, place.subject.clone(), note);
        let sent = self.send(&note).await;
        let settled = self.settle(&note, sent, deadline).await;
        settled.map_err(Unreachable::told)?;
        if id.is_some() {
            let stream = self.stream(place.kind).await?;
            for offset in &found {
                stream
                    .delete_message(*offset)
                    .await
                    .map_err(Unreachable::told)?;
            }
        }
        Ok(found.len() as u64)
    }

    /// Removes what a durable channel does not keep, but for the newest of that: the range after it stays whole.
    pub(super) async fn trim(&self, place: &Place, keep: Keep) -> Result<(), Unreachable> {
        let stream = self.stream(place.kind).await?;
        if keep.publications != u64::MAX {
            let purge = stream.purge().filter(&place.subject);
            let purged = purge.keep(keep.publications.saturating_add(1)).await;
            purged.map_err(Unreachable::told)?;
        }
        if keep.age_ms != u64::MAX {
            self.trim_old(place, keep.age_ms).await?;
        }
        Ok(())
    }

    /// Removes the oldest of what is too old, but for the newest of that; true when there may be more.
    pub(super) async fn trim_old(&self, place: &Place, age_ms: u64) -> Result<bool, Unreachable> {
        let oldest = now_ms().saturating_sub(age_ms);
        let rows = self
            .first(place.kind, &place.subject, 0, TRIM_AT_ONCE)
            .await?;
        let is_old = |row: &&Row| message::time(&row.headers).is_none_or(|time| time < oldest);
        let old = rows.iter().take_while(is_old);
        let (count, last) = old.fold((0, None), |(count, _), row| (count + 1, Some(row.offset)));
        let Some(last) = last.filter(|_| count > 1) else {
            return Ok(false);
        };
        let stream = self.stream(place.kind).await?;
        let purge = stream.purge().filter(&place.subject).sequence(last);
        purge.await.map_err(Unreachable::told)?;
        Ok(count == TRIM_AT_ONCE)
    }
}

/// From when on publications count: the last one says how long its channel keeps them.
fn oldest(rows: &[Row]) -> u64 {
    let age = rows
        .iter()
        .rfind(is_publication)
        .map_or(u64::MAX, |row| message::age(&row.headers));
    now_ms().saturating_sub(age)
}

/// Whether a message is no note.
fn is_publication(row: &&Row) -> bool {
    message::time(&row.headers).is_some()
}

/// Whether a message is a note that positions before it are not whole.
fn breaks(row: &Row) -> bool {
    matches!(
        message::read(&row.headers, &row.body),
        Some(Said::Note(Note::Gap | Note::Clear | Note::Delete(_)))
    )
}

/// What a durable channel keeps of all that is there of it.
pub(super) fn kept(rows: Vec<Row>) -> Vec<StoredPublication> {
    let oldest = oldest(&rows);
    let last = rows.iter().rfind(is_publication);
    let keep = last.map_or(u64::MAX, |row| message::keep(&row.headers));
    let mut kept = publications(rows, 0, oldest);
    let surplus = (kept.len() as u64).saturating_sub(keep);
    kept.drain(..usize::try_from(surplus).unwrap_or(0));
    kept
}

fn publications(rows: Vec<Row>, after: u64, oldest: u64) -> Vec<StoredPublication> {
    let mut previous = after;
    let content = |row: &Row| match message::read(&row.headers, &row.body)? {
        Said::Content(content) => Some(content),
        Said::Note(_) => None,
    };
    let mut told = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(content) = content(&row).filter(|content: &Content| content.time_ms >= oldest)
        else {
            continue;
        };
        let offset = row.offset;
        told.push(StoredPublication {
            offset,
            previous,
            content,
        });
        previous = offset;
    }
    told
}

/// What of a range is not too old for a window, and the offset after which it has all.
fn window((floor, rows): (u64, Vec<Row>), oldest: u64) -> (u64, Vec<StoredPublication>) {
    let is_out =
        |row: &Row| breaks(row) || message::time(&row.headers).is_some_and(|time| time < oldest);
    let start = rows.iter().rposition(is_out);
    let floor = start.map_or(floor, |at| rows[at].offset);
    let kept = rows.into_iter().skip(start.map_or(0, |at| at + 1));
    (floor, publications(kept.collect(), floor, 0))
}
