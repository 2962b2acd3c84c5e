//! The store that outlives a node: slow, failing, full, and after a crash without what it had not carried out.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use cometql_engine::publication::Content;
use cometql_engine::store::Once;
use cometql_engine::{
    InboxMessage, MessageId, StoreAnswer, StoreFailure, StoreRequest, StoredPublication,
};
use cometql_protocol::{ChannelName, TenantId, UserId, wire};

use crate::rng::Rng;

type ChannelKey = (TenantId, ChannelName);
type UserKey = (TenantId, UserId);
/// The offset before it, and the content.
type Row = (u64, Content);
type Rows = BTreeMap<u64, Row>;

/// How the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// Takes so many milliseconds for each request.
    Slow(u64),
    /// Reads, but writes fail.
    Full,
    /// Nothing works.
    Failing,
}

/// All that is stored, and what waits to be carried out in order.
pub(crate) struct Disk {
    pub(crate) health: Health,
    pub(crate) queue: VecDeque<(usize, u64, StoreRequest)>,
    channels: HashMap<ChannelKey, (wire::Position, Rows)>,
    pub(crate) settings: HashMap<ChannelKey, u64>,
    pub(crate) inboxes: BTreeMap<UserKey, (u64, BTreeMap<u64, Content>)>,
    seen: HashMap<UserKey, u64>,
    /// Ids that senders chose: where they are, what they were, until when.
    sent: HashMap<(String, MessageId), (u64, Once)>,
    /// Who may subscribe to channels that only members may.
    pub(crate) members: BTreeSet<(TenantId, UserId)>,
    /// Payloads that were ever stored. Each is stored once, or something was done twice.
    ever: BTreeSet<String>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self {
            health: Health::Good,
            queue: VecDeque::new(),
            channels: HashMap::new(),
            settings: HashMap::new(),
            inboxes: BTreeMap::new(),
            seen: HashMap::new(),
            sent: HashMap::new(),
            members: BTreeSet::new(),
            ever: BTreeSet::new(),
        }
    }

    /// Whether this text was ever stored.
    pub(crate) fn has_had(&self, data: &str) -> bool {
        self.ever.contains(data)
    }

    fn stores(&mut self, content: &Content) {
        let is_new = self.ever.insert(content.data.to_string());
        assert!(is_new, "{} is stored twice", content.data);
    }

    /// Whether this text is kept in the channel.
    pub(crate) fn keeps(&self, tenant: TenantId, channel: &str, data: &str) -> bool {
        let key = (tenant, ChannelName::parse(channel).unwrap());
        let rows = self.channels.get(&key).map(|(_, rows)| rows);
        rows.is_some_and(|rows| rows.values().any(|(_, content)| &*content.data == data))
    }

    /// Carries out the next request: for which shard, its ticket and the answer.
    pub(crate) fn step(&mut self) -> Option<(usize, u64, Result<StoreAnswer, StoreFailure>)> {
        let (shard, ticket, request) = self.queue.pop_front()?;
        let reads = matches!(
            request,
            StoreRequest::ReadHistory { .. }
                | StoreRequest::InboxRead { .. }
                | StoreRequest::LastSeen { .. }
                | StoreRequest::UserData { .. }
                | StoreRequest::IsMember { .. }
        );
        let fails = self.health == Health::Failing || (!reads && self.health == Health::Full);
        if fails {
            return Some((shard, ticket, Err(StoreFailure::Failed("disk full".into()))));
        }
        Some((shard, ticket, Ok(self.answer(request))))
    }

    /// The node dies: of what waits, a random part from the front was carried out unanswered, the rest is lost.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let done = rng.index(self.queue.len() + 1);
        for (_, _, request) in self.queue.drain(..).take(done).collect::<Vec<_>>() {
            // An acknowledgement is not carried out here: who checks it wants to see it first.
            let removes = matches!(request, StoreRequest::InboxRemove { .. });
            if !removes && self.health != Health::Failing && self.health != Health::Full {
                self.answer(request);
            }
        }
    }

    fn answer(&mut self, request: StoreRequest) -> StoreAnswer {
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
                let known = entry.and_modify(|(position, _)| {
                    position.epoch = renewed.unwrap_or(position.epoch);
                    position.offset = position.offset.max(start.offset);
                });
                let position = known.or_insert((start, Rows::new())).0;
                StoreAnswer::Channel { position }
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
                let place = format!("{tenant} {channel}");
                if let Some(known) = self.note(place, offset, &content, once) {
                    return known;
                }
                if !channel.as_str().starts_with("user_status_") {
                    self.stores(&content);
                }
                let channel = self.channels.get_mut(&(tenant, channel));
                let (position, rows) = channel.expect("opened before");
                assert!(offset > position.offset, "offsets in the store rise");
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
            } => {
                let limit = usize::try_from(limit).unwrap();
                let rows = self.channels.get(&(tenant, channel));
                let rows = rows.iter().flat_map(|(_, rows)| rows.range(after + 1..));
                let mut rows: Vec<_> = rows.map(stored).collect();
                if newest {
                    rows = rows.split_off(rows.len().saturating_sub(limit));
                }
                rows.truncate(limit);
                StoreAnswer::History(rows)
            }
            other => self.answer_about_settings(other),
        }
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
        let known = self.sent.get(&key);
        if let Some((offset, known)) = known.filter(|(_, known)| known.until_ms > content.time_ms) {
            return Some(StoreAnswer::Known {
                offset: *offset,
                digest: known.digest,
            });
        }
        self.sent.insert(key, (offset, once));
        None
    }

    fn answer_about_settings(&mut self, request: StoreRequest) -> StoreAnswer {
        use StoreRequest as R;
        match request {
            R::SetHistory {
                tenant,
                channel,
                length,
            } => {
                let key = (tenant, channel);
                // It may be in use without the store from now on.
                if length.unwrap_or(0) == 0
                    && let Some((position, _)) = self.channels.get_mut(&key)
                {
                    position.epoch.0 = position.epoch.0.wrapping_add(1 << 32);
                }
                match length {
                    Some(length) => drop(self.settings.insert(key, length)),
                    None => {
                        self.settings.remove(&key);
                        if let Some((_, rows)) = self.channels.get_mut(&key) {
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
                if let Some((_, rows)) = self.channels.get_mut(&(tenant, channel)) {
                    rows.retain(|_, (_, content)| id.is_some_and(|id| content.id != id));
                }
                StoreAnswer::Changed(1)
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
            } => self.add_to_inbox((tenant, user), content, limit, once),
            R::InboxRead {
                tenant,
                user,
                after,
                limit,
            } => {
                let limit = usize::try_from(limit).unwrap();
                let (_, rows) = self.inboxes.entry((tenant, user)).or_default();
                let rows = rows.range(after + 1..).take(limit);
                StoreAnswer::Inbox {
                    messages: rows.map(inbox_message).collect(),
                    end: 0,
                }
            }
            R::InboxRemove {
                tenant,
                user,
                up_to,
            } => {
                let (_, rows) = self.inboxes.entry((tenant, user)).or_default();
                rows.retain(|offset, _| *offset > up_to);
                StoreAnswer::Changed(1)
            }
            R::InboxRemoveOne { .. } => unreachable!("a node of its own keeps what it sends"),
            R::SetLastSeen { tenant, user, time } => {
                self.seen.insert((tenant, user), time.unwrap_or(0));
                StoreAnswer::Changed(1)
            }
            R::LastSeen { tenant, user } => {
                StoreAnswer::LastSeen(self.seen.get(&(tenant, user)).copied())
            }
            R::UserData { .. } => StoreAnswer::UserData(String::new()),
            R::IsMember { tenant, user, .. } => {
                StoreAnswer::Member(self.members.contains(&(tenant, user)))
            }
            other => unreachable!("not asked in a simulation: {other:?}"),
        }
    }

    fn add_to_inbox(
        &mut self,
        key: UserKey,
        content: Content,
        limit: u64,
        once: Option<Once>,
    ) -> StoreAnswer {
        let place = format!("{} user {}", key.0, key.1);
        let (last, rows) = self.inboxes.entry(key).or_default();
        let (next, full) = (*last + 1, rows.len() as u64 >= limit);
        let known = self.sent.get(&(place.clone(), content.id));
        if full && known.is_none_or(|(_, known)| known.until_ms <= content.time_ms) {
            return StoreAnswer::Full;
        }
        if let Some(known) = self.note(place, next, &content, once) {
            return known;
        }
        self.stores(&content);
        let (last, rows) = self.inboxes.entry(key).or_default();
        *last = next;
        rows.insert(next, content);
        StoreAnswer::InboxOffset(next)
    }
}

fn inbox_message((offset, content): (&u64, &Content)) -> InboxMessage {
    InboxMessage {
        id: content.id,
        offset: *offset,
        event: content.event.clone(),
        data: Arc::clone(&content.data),
        data_is_json: content.data_is_json,
        time_ms: content.time_ms,
        waited: true,
    }
}

fn stored((offset, (previous, content)): (&u64, &Row)) -> StoredPublication {
    StoredPublication {
        offset: *offset,
        previous: *previous,
        content: content.clone(),
    }
}
