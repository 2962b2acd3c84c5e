//! What the store promises, in the simplest way.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cometql_protocol::{UserId, wire};

use super::super::{ChannelKey, UserKey};
use crate::publication::Content;
use crate::store::Once;
use crate::{InboxMessage, MessageId, StoreAnswer, StoreRequest, StoredPublication};

/// The offset before it, and the content.
type Row = (u64, Content);
type Rows = BTreeMap<u64, Row>;

/// All that is stored.
#[derive(Default)]
pub(super) struct ModelStore {
    channels: HashMap<ChannelKey, (wire::Position, Rows)>,
    pub(super) settings: HashMap<ChannelKey, u64>,
    inboxes: HashMap<UserKey, (u64, BTreeMap<u64, Content>)>,
    /// Ids that senders chose: where they are, what they were, until when.
    sent: HashMap<(String, MessageId), (u64, Once)>,
    seen: HashMap<UserKey, u64>,
    pub(super) data: HashMap<UserKey, String>,
    pub(super) members: Vec<(ChannelKey, UserId)>,
}

impl ModelStore {
    /// The epoch of a channel that has a record.
    pub(super) fn epoch(&self, key: &ChannelKey) -> wire::Epoch {
        self.channels[key].0.epoch
    }

    pub(super) fn answer(&mut self, request: StoreRequest) -> StoreAnswer {
        use StoreRequest as R;
        match request {
            R::OpenChannel {
                tenant,
                channel,
                start,
                renewed,
                log: _,
            } => {
                let entry = self.channels.entry((tenant, channel));
                let (position, _) = entry
                    .and_modify(|(position, _)| {
                        position.epoch = renewed.unwrap_or(position.epoch);
                        position.offset = position.offset.max(start.offset);
                    })
                    .or_insert((start, Rows::new()));
                StoreAnswer::Channel {
                    position: *position,
                }
            }
            R::Append {
                tenant,
                channel,
                offset,
                content,
                keep,
                once,
                log: _,
            } => {
                let place = format!("{tenant:?} {channel}");
                if let Some(known) = self.note(place, offset, &content, once) {
                    return known;
                }
                let (position, rows) = self
                    .channels
                    .get_mut(&(tenant, channel))
                    .expect("opened before");
                assert!(offset > position.offset, "offsets rise");
                let previous = std::mem::replace(&mut position.offset, offset);
                rows.insert(offset, (previous, content));
                while rows.len() as u64 > keep.publications {
                    rows.pop_first();
                }
                StoreAnswer::Changed(1)
            }
            R::ReadHistory {
                tenant,
                channel,
                after,
                limit,
                newest,
                log: _,
            } => self.read(&(tenant, channel), after, limit, newest),
            other => self.answer_change(other),
        }
    }

    fn read(&self, key: &ChannelKey, after: u64, limit: u64, newest: bool) -> StoreAnswer {
        let stored = |(offset, (previous, content)): (&u64, &Row)| StoredPublication {
            offset: *offset,
            previous: *previous,
            content: content.clone(),
        };
        let rows = self.channels.get(key).map(|(_, rows)| rows);
        let rows = rows.map(|rows| rows.range(after + 1..).map(stored).collect());
        let mut rows: Vec<_> = rows.unwrap_or_default();
        let limit = usize::try_from(limit).unwrap();
        if newest {
            rows = rows.split_off(rows.len().saturating_sub(limit));
        }
        rows.truncate(limit);
        StoreAnswer::History(rows)
    }

    /// Notes an id that a sender chose, or tells of the message that has it.
    fn note(
        &mut self,
        place: String,
        offset: u64,
        content: &Content,
        once: Option<Once>,
    ) -> Option<StoreAnswer> {
        let once = once?;
        let key = (place, content.id);
        match self.sent.get(&key) {
            Some((offset, known)) if known.until_ms > content.time_ms => Some(StoreAnswer::Known {
                offset: *offset,
                digest: known.digest,
            }),
            _ => {
                self.sent.insert(key, (offset, once));
                None
            }
        }
    }

    fn answer_change(&mut self, request: StoreRequest) -> StoreAnswer {
        use StoreRequest as R;
        match request {
            R::SetHistory {
                tenant,
                channel,
                length,
            } => {
                let key = (tenant, channel);
                let channel = self.channels.get_mut(&key);
                match length {
                    Some(length) => drop(self.settings.insert(key, length)),
                    None => {
                        self.settings.remove(&key);
                        if let Some((position, rows)) = channel {
                            position.epoch.0 = position.epoch.0.wrapping_add(1 << 32);
                            rows.clear();
                        }
                    }
                }
                StoreAnswer::Changed(1)
            }
            R::DeleteHistory {
                tenant,
                channel,
                id,
                log: _,
            } => {
                let Some((_, rows)) = self.channels.get_mut(&(tenant, channel)) else {
                    return StoreAnswer::Changed(0);
                };
                let before = rows.len();
                rows.retain(|_, (_, content)| id.is_some_and(|id| content.id != id));
                StoreAnswer::Changed((before - rows.len()) as u64)
            }
            other => self.answer_for_user(other),
        }
    }

    fn answer_for_user(&mut self, request: StoreRequest) -> StoreAnswer {
        use StoreRequest as R;
        match request {
            R::InboxAppend {
                tenant,
                user,
                content,
                limit,
                once,
            } => {
                let place = format!("{tenant:?} {user:?}");
                let (last, rows) = self.inboxes.entry((tenant, user)).or_default();
                let (next, full) = (*last + 1, rows.len() as u64 >= limit);
                let known = self.sent.get(&(place.clone(), content.id));
                let known = known.is_some_and(|(_, known)| known.until_ms > content.time_ms);
                if full && !known {
                    return StoreAnswer::Full;
                }
                if let Some(known) = self.note(place, next, &content, once) {
                    return known;
                }
                let (last, rows) = self.inboxes.entry((tenant, user)).or_default();
                *last = next;
                rows.insert(next, content);
                StoreAnswer::InboxOffset(next)
            }
            R::InboxRead {
                tenant,
                user,
                after,
                limit,
            } => {
                let (_, rows) = self.inboxes.entry((tenant, user)).or_default();
                let limit = usize::try_from(limit).unwrap();
                let rows = rows.range(after + 1..).take(limit);
                let message = |(offset, content): (&u64, &_)| inbox_message(*offset, content);
                StoreAnswer::Inbox {
                    messages: rows.map(message).collect(),
                    end: 0,
                }
            }
            R::InboxRemove {
                tenant,
                user,
                up_to,
            } => {
                let (_, rows) = self.inboxes.entry((tenant, user)).or_default();
                let before = rows.len();
                rows.retain(|offset, _| *offset > up_to);
                StoreAnswer::Changed((before - rows.len()) as u64)
            }
            R::InboxRemoveOne { .. } => unreachable!("asked of a log only"),
            R::SetLastSeen { tenant, user, time } => {
                if let Some(time) = time {
                    self.seen.insert((tenant, user), time);
                }
                StoreAnswer::Changed(1)
            }
            R::LastSeen { tenant, user } => {
                StoreAnswer::LastSeen(self.seen.get(&(tenant, user)).copied())
            }
            R::UserData { tenant, user } => {
                StoreAnswer::UserData(self.data.get(&(tenant, user)).cloned().unwrap_or_default())
            }
            R::IsMember {
                tenant,
                channel,
                user,
            } => StoreAnswer::Member(self.members.contains(&((tenant, channel), user))),
            other => unreachable!("answered above: {other:?}"),
        }
    }
}

fn inbox_message(offset: u64, content: &Content) -> InboxMessage {
    InboxMessage {
        id: content.id,
        offset,
        event: content.event.clone(),
        data: Arc::clone(&content.data),
        data_is_json: content.data_is_json,
        time_ms: content.time_ms,
        waited: true,
    }
}
