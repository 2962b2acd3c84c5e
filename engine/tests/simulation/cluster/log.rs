//! The log of an invented cluster: streams of records in one order each, trimmed, with ids that are known again. It says
//! nothing while its quorum is lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cometql_engine::publication::Content;
use cometql_engine::store::{Keep, Once};
use cometql_engine::{InboxMessage, Limits, LogKind, MessageId, StoreAnswer, StoredPublication};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, TenantId, UserId};

pub(super) type ChannelKey = (TenantId, ChannelName);
pub(super) type UserKey = (TenantId, UserId);

/// What the log has at an offset of a channel.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Publication(Content),
    Clear,
    Delete(MessageId),
    Gap,
}

/// One life of one stream.
pub(super) struct Stream {
    pub(super) epoch: Epoch,
    last: u64,
    subjects: BTreeMap<ChannelKey, Subject>,
}

#[derive(Default)]
struct Subject {
    records: BTreeMap<u64, Record>,
    /// Nothing up to here is there any more.
    trimmed: u64,
    ids: HashMap<MessageId, (u64, u64)>,
}

#[derive(Default)]
struct Inbox {
    rows: BTreeMap<u64, Content>,
    /// Those that are gone, too.
    told: BTreeMap<u64, Content>,
    ids: HashMap<MessageId, (u64, u64)>,
}

/// All streams.
pub(super) struct Log {
    pub(super) quorum: bool,
    pub(super) window: Stream,
    pub(super) durable: Stream,
    last_message: u64,
    inboxes: BTreeMap<UserKey, Inbox>,
    pub(super) settings: BTreeMap<ChannelKey, u64>,
    limits: Limits,
}

impl Stream {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            epoch: Epoch(epoch),
            last: 0,
            subjects: BTreeMap::new(),
        }
    }

    fn add(&mut self, key: &ChannelKey, record: Record) -> u64 {
        self.last += 1;
        let subject = self.subjects.entry(key.clone()).or_default();
        subject.records.insert(self.last, record);
        self.last
    }

    /// Records of a channel after an offset; whether some before them may be gone.
    pub(super) fn after(&self, key: &ChannelKey, offset: u64) -> (Vec<(u64, Record)>, bool) {
        let Some(subject) = self.subjects.get(key) else {
            return (Vec::new(), false);
        };
        let records = subject.records.range(offset + 1..);
        let records = records.map(|(at, record)| (*at, record.clone()));
        (records.collect(), subject.trimmed > offset)
    }
}

impl Subject {
    fn keep(&mut self, keep: Keep, now: u64) {
        let too_old = |record: &Record| match record {
            Record::Publication(content) => content.time_ms.saturating_add(keep.age_ms) < now,
            Record::Clear | Record::Delete(_) | Record::Gap => false,
        };
        let publication = |record: &Record| matches!(record, Record::Publication(_));
        let count = self.records.values().filter(|one| publication(one)).count();
        let mut surplus = (count as u64).saturating_sub(keep.publications);
        let mut trimmed = self.trimmed;
        self.records.retain(|offset, record| {
            let goes = publication(record) && (surplus > 0 || too_old(record));
            if goes {
                surplus = surplus.saturating_sub(1);
                trimmed = *offset;
            }
            !goes
        });
        self.trimmed = trimmed;
    }

    fn remove(&mut self, id: Option<MessageId>) {
        let meant = |content: &Content| id.is_none_or(|id| content.id == id);
        let mut trimmed = self.trimmed;
        self.records.retain(|offset, record| {
            let goes = matches!(record, Record::Publication(content) if meant(content));
            trimmed = if goes { *offset } else { trimmed };
            !goes
        });
        self.trimmed = trimmed.max(self.trimmed);
    }

    /// Positions before it miss something, whatever is still there.
    fn floor(&self) -> u64 {
        let control = |record: &Record| !matches!(record, Record::Publication(_));
        let last = self.records.iter().filter(|(_, record)| control(record));
        let last = last.map(|(offset, _)| *offset).max().unwrap_or(0);
        self.trimmed.max(last)
    }

    fn publications(&self, after: u64) -> Vec<StoredPublication> {
        let rows = self.records.range(after + 1..);
        let row = |(offset, record): (&u64, &Record)| match record {
            Record::Publication(content) => Some(StoredPublication {
                offset: *offset,
                previous: 0,
                content: Content {
                    once: false,
                    ..content.clone()
                },
            }),
            Record::Clear | Record::Delete(_) | Record::Gap => None,
        };
        rows.filter_map(row).collect()
    }
}

impl Log {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            quorum: true,
            window: Stream::new(101),
            durable: Stream::new(201),
            last_message: 0,
            inboxes: BTreeMap::new(),
            settings: BTreeMap::new(),
            limits,
        }
    }

    pub(super) fn stream(&mut self, kind: LogKind) -> &mut Stream {
        match kind {
            LogKind::Durable => &mut self.durable,
            LogKind::Window | LogKind::Live => &mut self.window,
        }
    }

    fn window(&self) -> Keep {
        Keep {
            publications: self.limits.window_publications as u64,
            age_ms: self.limits.window_ms,
        }
    }

    pub(super) fn open(
        &mut self,
        kind: LogKind,
        key: &ChannelKey,
        now: u64,
        at_the_end: bool,
    ) -> StoreAnswer {
        let window = self.window();
        let stream = self.stream(kind);
        let (epoch, end) = (stream.epoch, stream.last);
        let subject = stream.subjects.entry(key.clone()).or_default();
        if kind == LogKind::Window {
            subject.keep(window, now);
        }
        let last = subject.records.last_key_value().map(|(offset, _)| *offset);
        let offset = last.filter(|_| !at_the_end).unwrap_or(end);
        let mut floor = subject.floor();
        let mut recent = subject.publications(floor);
        let most = self.limits.window_publications;
        if recent.len() > most {
            let from = recent.len() - most;
            floor = recent[from - 1].offset;
            recent.drain(..from);
        }
        StoreAnswer::Opened {
            position: Position { epoch, offset },
            floor,
            recent,
        }
    }

    pub(super) fn append(
        &mut self,
        kind: LogKind,
        key: &ChannelKey,
        content: &Content,
        keep: Keep,
        once: Option<Once>,
    ) -> StoreAnswer {
        let stream = self.stream(kind);
        let known = stream.subjects.get(key);
        let known = known.and_then(|subject| subject.ids.get(&content.id));
        if let Some((offset, digest)) = known.copied() {
            return StoreAnswer::Known { offset, digest };
        }
        let offset = stream.add(key, Record::Publication(content.clone()));
        let subject = stream.subjects.get_mut(key).unwrap();
        let digest = once.map_or(0, |once| once.digest);
        subject.ids.insert(content.id, (offset, digest));
        subject.keep(keep, content.time_ms);
        StoreAnswer::Appended { offset }
    }

    pub(super) fn read(
        &mut self,
        kind: LogKind,
        key: &ChannelKey,
        (after, limit, newest): (u64, u64, bool),
        now: u64,
    ) -> StoreAnswer {
        let window = self.window();
        let subject = self.stream(kind).subjects.entry(key.clone()).or_default();
        if kind == LogKind::Window {
            subject.keep(window, now);
        }
        let limit = usize::try_from(limit).unwrap();
        let mut rows = subject.publications(after);
        let whole = subject.floor() <= after && (newest || rows.len() <= limit);
        if newest {
            rows = rows.split_off(rows.len().saturating_sub(limit));
        }
        rows.truncate(limit);
        StoreAnswer::HistoryPart { rows, whole }
    }

    /// Deletes, or notes a gap; returns where that stands.
    pub(super) fn note(&mut self, kind: LogKind, key: &ChannelKey, record: Record) -> u64 {
        let stream = self.stream(kind);
        let subject = stream.subjects.entry(key.clone()).or_default();
        match record {
            Record::Clear => subject.remove(None),
            Record::Delete(id) => subject.remove(Some(id)),
            Record::Gap | Record::Publication(_) => {}
        }
        stream.add(key, record)
    }

    pub(super) fn add_message(
        &mut self,
        key: UserKey,
        content: &Content,
        limit: u64,
        once: Option<Once>,
    ) -> StoreAnswer {
        let inbox = self.inboxes.entry(key).or_default();
        if let Some((offset, digest)) = inbox.ids.get(&content.id).copied() {
            return StoreAnswer::Known { offset, digest };
        }
        if inbox.rows.len() as u64 >= limit {
            return StoreAnswer::Full;
        }
        self.last_message += 1;
        let digest = once.map_or(0, |once| once.digest);
        inbox.ids.insert(content.id, (self.last_message, digest));
        inbox.rows.insert(self.last_message, content.clone());
        inbox.told.insert(self.last_message, content.clone());
        StoreAnswer::InboxOffset(self.last_message)
    }

    /// Messages that wait for a user after an offset; `told` = also those that are gone, as they were broadcast.
    pub(super) fn messages(&self, key: UserKey, after: u64, told: bool) -> Vec<InboxMessage> {
        let inbox = self.inboxes.get(&key);
        let rows = inbox.map(|inbox| if told { &inbox.told } else { &inbox.rows });
        let rows = rows.map(|rows| rows.range(after + 1..));
        let message = |(offset, content): (&u64, &Content)| InboxMessage {
            id: content.id,
            offset: *offset,
            event: content.event.clone(),
            data: Arc::clone(&content.data),
            data_is_json: content.data_is_json,
            time_ms: content.time_ms,
            waited: false,
        };
        rows.into_iter().flatten().map(message).collect()
    }

    /// Takes messages out; returns their payloads.
    pub(super) fn remove_messages(&mut self, key: UserKey, up_to: u64) -> Vec<String> {
        let inbox = self.inboxes.entry(key).or_default();
        let left = up_to.checked_add(1).map(|from| inbox.rows.split_off(&from));
        let gone = std::mem::replace(&mut inbox.rows, left.unwrap_or_default());
        gone.values()
            .map(|content| content.data.to_string())
            .collect()
    }

    /// Takes one message out; returns its payload.
    pub(super) fn remove_message(&mut self, key: UserKey, offset: u64) -> Vec<String> {
        let inbox = self.inboxes.entry(key).or_default();
        let gone = inbox.rows.remove(&offset).into_iter();
        gone.map(|content| content.data.to_string()).collect()
    }

    /// Whether a message waits for a user.
    pub(super) fn has_message(&self, key: UserKey, payload: &str) -> bool {
        let inbox = self.inboxes.get(&key).into_iter();
        let mut rows = inbox.flat_map(|inbox| inbox.rows.values());
        rows.any(|content| &*content.data == payload)
    }

    /// Where messages of a user end.
    pub(super) fn last_message(&self) -> u64 {
        self.last_message
    }

    pub(super) fn inboxes(&self) -> impl Iterator<Item = (&UserKey, usize)> {
        self.inboxes
            .iter()
            .map(|(key, inbox)| (key, inbox.rows.len()))
    }
}
