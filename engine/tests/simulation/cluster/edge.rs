//! The edges of the nodes: requests to the log and its answers, and news in order. What an edge has to do, this one does.

use cometql_engine::ids::{shard_of_channel, shard_of_user};
use cometql_engine::{Input, LogEvent, LogKind, StoreAnswer, StoreFailure, StoreRequest};

use super::log::{ChannelKey, Record, UserKey};
use super::world::{Event, Follows, World};

impl World {
    /// Requests about one thing are carried out and answered in order.
    pub(super) fn ask(&mut self, node: usize, shard: usize, ticket: u64, request: StoreRequest) {
        let life = self.slots[node].life;
        let delay = self.rng.below(40);
        let due = self.slots[node]
            .edge
            .due
            .entry(subject(&request))
            .or_default();
        due.0 = due.0.max(self.now + delay);
        let wait = due.0 - self.now;
        self.at(wait, Event::Asked(node, life, shard, ticket, request));
    }

    pub(super) fn happen_at_the_edge(&mut self, event: Event) {
        match event {
            Event::Asked(node, _, shard, ticket, request) => {
                self.asked(node, shard, ticket, &request);
            }
            Event::Told(node, life, shard, ticket, result, opens) => {
                self.input(node, shard, Input::Stored { ticket, result });
                if let Some(key) = opens {
                    if let Some(follows) = self.slots[node].edge.follows.get_mut(&key) {
                        follows.open = true;
                    }
                    self.at(0, Event::News(node, life, key));
                }
            }
            Event::News(node, _, key) => self.news(node, &key),
            Event::InboxNews(node, _, key) => self.inbox_news(node, key, true),
            Event::Reconcile(node, life) => {
                let edge = &self.slots[node].edge;
                let (channels, users): (Vec<_>, Vec<_>) = (
                    edge.follows.keys().cloned().collect(),
                    edge.users.keys().copied().collect(),
                );
                for key in channels {
                    self.news(node, &key);
                }
                for key in users {
                    self.inbox_news(node, key, false);
                }
                self.at(3_000, Event::Reconcile(node, life));
            }
            Event::Hears(node, _, from) => {
                if let Some(event) = self.slots[node].edge.lanes[from].pop_front() {
                    self.hears(node, event);
                }
            }
            Event::Snapshot(node, _, asker, key) => self.snapshot(node, asker, key),
            Event::LeaseEnds(id) => {
                for node in self.alive() {
                    self.is_gone(node, id);
                }
            }
            Event::SilenceEnds(node, _, times) => self.silence_ends(node, times),
            other => unreachable!("not at the edge: {other:?}"),
        }
    }

    fn asked(&mut self, node: usize, shard: usize, ticket: u64, request: &StoreRequest) {
        let life = self.slots[node].life;
        let in_log = !matches!(
            request,
            StoreRequest::SetHistory { .. }
                | StoreRequest::SetLastSeen { .. }
                | StoreRequest::LastSeen { .. }
                | StoreRequest::UserData { .. }
                | StoreRequest::IsMember { .. }
        );
        let append = matches!(
            request,
            StoreRequest::Append { .. } | StoreRequest::InboxAppend { .. }
        );
        let result = if self.is_cut(node) && matches!(request, StoreRequest::SetHistory { .. }) {
            Err(StoreFailure::NoQuorum)
        } else if in_log && (!self.log.quorum || self.is_cut(node)) {
            // An append may be in the log all the same, if it was lost while it was asked.
            if append && self.rng.once_in(6) {
                self.may_come_again(request);
                self.of_log(node, request);
            }
            Err(StoreFailure::NoQuorum)
        } else if in_log {
            Ok(self.of_log(node, request))
        } else {
            Ok(self.of_tables(node, request))
        };
        let opens = match request {
            StoreRequest::OpenChannel {
                tenant, channel, ..
            } => Some((*tenant, channel.clone())).filter(|_| result.is_ok()),
            _ => None,
        };
        let delay = self.rng.below(40);
        let due = self.slots[node]
            .edge
            .due
            .entry(subject(request))
            .or_default();
        due.1 = due.1.max(self.now + delay);
        let wait = due.1 - self.now;
        self.at(wait, Event::Told(node, life, shard, ticket, result, opens));
    }

    fn may_come_again(&mut self, request: &StoreRequest) {
        if let StoreRequest::Append { content, .. } = request {
            self.promises.may_come_again(&content.data);
        }
    }

    fn of_log(&mut self, node: usize, request: &StoreRequest) -> StoreAnswer {
        use StoreRequest as R;
        match request {
            R::OpenChannel {
                tenant,
                channel,
                log,
                ..
            } => self.opens(node, (*tenant, channel.clone()), log.unwrap()),
            R::Append {
                tenant,
                channel,
                content,
                keep,
                once,
                log,
                ..
            } => {
                let (key, kind) = ((*tenant, channel.clone()), log.unwrap());
                let answer = self.log.append(kind, &key, content, *keep, *once);
                if let StoreAnswer::Appended { offset } = answer {
                    let epoch = self.log.stream(kind).epoch.0;
                    let place = (tenant.0, channel.as_str());
                    self.status(&key, &content.data);
                    self.note(format!("the log takes {} at {offset}", content.data));
                    self.promises.takes(epoch, place, offset, &content.data);
                    self.spread_news(&key);
                }
                answer
            }
            R::ReadHistory {
                tenant,
                channel,
                after,
                limit,
                newest,
                log,
            } => {
                let key = (*tenant, channel.clone());
                self.log
                    .read(log.unwrap(), &key, (*after, *limit, *newest), self.now)
            }
            R::DeleteHistory {
                tenant,
                channel,
                id,
                log,
            } => {
                let record = id.map_or(Record::Clear, Record::Delete);
                self.note_in_log((*tenant, channel.clone()), log.unwrap(), record)
            }
            R::MarkGap {
                tenant,
                channel,
                log,
            } => self.note_in_log((*tenant, channel.clone()), *log, Record::Gap),
            other => self.of_inbox(other),
        }
    }

    fn opens(&mut self, node: usize, key: ChannelKey, kind: LogKind) -> StoreAnswer {
        let at_the_end = self.rng.once_in(3);
        let answer = self.log.open(kind, &key, self.now, at_the_end);
        let StoreAnswer::Opened { position, .. } = &answer else {
            unreachable!("that is how it opens");
        };
        let follows = Follows {
            kind,
            told: position.offset,
            hole: false,
            open: false,
        };
        self.slots[node].edge.follows.insert(key, follows);
        answer
    }

    fn note_in_log(&mut self, key: ChannelKey, kind: LogKind, record: Record) -> StoreAnswer {
        let gap = matches!(record, Record::Gap);
        let offset = self.log.note(kind, &key, record);
        if gap {
            let epoch = self.log.stream(kind).epoch.0;
            self.note(format!("the log notes a gap of {} at {offset}", key.1));
            self.promises
                .notes_gap(epoch, (key.0.0, key.1.as_str()), offset);
        }
        self.spread_news(&key);
        StoreAnswer::Changed(1)
    }

    fn of_inbox(&mut self, request: &StoreRequest) -> StoreAnswer {
        use StoreRequest as R;
        match request {
            R::InboxAppend {
                tenant,
                user,
                content,
                limit,
                once,
            } => {
                let key = (*tenant, *user);
                let answer = self.log.add_message(key, content, *limit, *once);
                for node in self.alive() {
                    // Now and then nobody says so, and the next look at the log finds it.
                    if self.healed || !self.rng.once_in(5) {
                        let (delay, life) = (self.rng.below(60), self.slots[node].life);
                        self.at(delay, Event::InboxNews(node, life, key));
                    }
                }
                answer
            }
            R::InboxRead {
                tenant,
                user,
                after,
                limit,
            } => {
                let mut rows = self.log.messages((*tenant, *user), *after, false);
                rows.truncate(usize::try_from(*limit).unwrap());
                StoreAnswer::Inbox {
                    messages: rows,
                    end: self.log.last_message(),
                }
            }
            R::InboxRemove {
                tenant,
                user,
                up_to,
            } => {
                let gone = self.log.remove_messages((*tenant, *user), *up_to);
                self.promises.removed(&gone, self.now);
                StoreAnswer::Changed(gone.len() as u64)
            }
            R::InboxRemoveOne {
                tenant,
                user,
                offset,
            } => {
                let gone = self.log.remove_message((*tenant, *user), *offset);
                self.promises.removed(&gone, self.now);
                StoreAnswer::Changed(gone.len() as u64)
            }
            other => unreachable!("not asked of a log: {other:?}"),
        }
    }

    fn of_tables(&mut self, node: usize, request: &StoreRequest) -> StoreAnswer {
        match request {
            StoreRequest::SetHistory {
                tenant,
                channel,
                length,
            } => {
                let key = (*tenant, channel.clone());
                match length {
                    Some(length) => drop(self.log.settings.insert(key, *length)),
                    None => drop(self.log.settings.remove(&key)),
                }
                for other in self.alive() {
                    if self.is_cut(other) {
                        continue;
                    }
                    let event = LogEvent::Setting {
                        tenant: *tenant,
                        channel: channel.clone(),
                        length: *length,
                    };
                    self.send(other, other, event);
                }
                self.hear_own(node);
                StoreAnswer::Changed(1)
            }
            StoreRequest::LastSeen { .. } => StoreAnswer::LastSeen(None),
            _ => StoreAnswer::Changed(1),
        }
    }

    /// A node has followed the tables up to its own change before that is answered.
    fn hear_own(&mut self, node: usize) {
        while let Some(event) = self.slots[node].edge.lanes[node].pop_front() {
            self.hears(node, event);
        }
    }

    /// Those who follow a channel hear that there is something, mostly.
    fn spread_news(&mut self, key: &ChannelKey) {
        for node in self.alive() {
            let follows = self.slots[node].edge.follows.contains_key(key);
            if follows && (self.healed || !self.rng.once_in(6)) {
                let (delay, life) = (self.rng.below(80), self.slots[node].life);
                self.at(delay, Event::News(node, life, key.clone()));
            }
        }
    }

    /// Tells a node what the log has that it was not told, in order.
    fn news(&mut self, node: usize, key: &ChannelKey) {
        let Some(follows) = self.slots[node].edge.follows.get(key) else {
            return;
        };
        let (kind, told, hole) = (follows.kind, follows.told, follows.hole);
        if !follows.open || kind == LogKind::Live || !self.log.quorum || self.is_cut(node) {
            return;
        }
        // Now and then the last one comes once more.
        let again = match self.rng.once_in(6) {
            true => self.rng.below(3),
            false => 0,
        };
        let stream = self.log.stream(kind);
        let (_, trimmed) = stream.after(key, told);
        let mut hole = hole || trimmed;
        let (records, _) = stream.after(key, told.saturating_sub(again));
        for (offset, record) in records {
            let publication = matches!(record, Record::Publication(_));
            let complete = !publication || offset <= told || !std::mem::take(&mut hole);
            let (tenant, channel) = key.clone();
            let event = match record {
                Record::Publication(content) => LogEvent::Publication {
                    tenant,
                    channel,
                    offset,
                    complete,
                    content,
                },
                Record::Clear | Record::Delete(_) => LogEvent::Removed {
                    tenant,
                    channel,
                    id: match record {
                        Record::Delete(id) => Some(id),
                        _ => None,
                    },
                    offset,
                },
                Record::Gap => LogEvent::Gap {
                    tenant,
                    channel,
                    offset,
                },
            };
            self.hears(node, event);
            if let Some(follows) = self.slots[node].edge.follows.get_mut(key) {
                follows.told = follows.told.max(offset);
                follows.hole = hole;
            }
        }
    }

    /// `broadcast`: as it was told, perhaps late; else as the log has it.
    fn inbox_news(&mut self, node: usize, key: UserKey, broadcast: bool) {
        if self.is_cut(node) {
            return;
        }
        let Some(told) = self.slots[node].edge.users.get(&key).copied() else {
            return;
        };
        let from = told.saturating_sub(self.rng.below(2));
        for message in self.log.messages(key, from, broadcast) {
            let offset = message.offset;
            let (tenant, user) = key;
            self.hears(
                node,
                LogEvent::Inbox {
                    tenant,
                    user,
                    message,
                },
            );
            if let Some(told) = self.slots[node].edge.users.get_mut(&key) {
                *told = offset.max(*told);
            }
        }
    }

    /// A node hears of something: which shard does.
    fn hears(&mut self, node: usize, event: LogEvent) {
        let shards = self.shards(node);
        if shards == 0 {
            return;
        }
        let shard = match &event {
            LogEvent::Publication {
                tenant, channel, ..
            }
            | LogEvent::Live {
                tenant, channel, ..
            }
            | LogEvent::Gap {
                tenant, channel, ..
            }
            | LogEvent::Removed {
                tenant, channel, ..
            }
            | LogEvent::Reset { tenant, channel }
            | LogEvent::Setting {
                tenant, channel, ..
            }
            | LogEvent::Joined {
                tenant, channel, ..
            }
            | LogEvent::Left {
                tenant, channel, ..
            }
            | LogEvent::Present {
                tenant, channel, ..
            } => shard_of_channel(*tenant, channel.as_str(), shards),
            LogEvent::Inbox { tenant, user, .. }
            | LogEvent::InboxReset { tenant, user }
            | LogEvent::InboxRemoved { tenant, user, .. }
            | LogEvent::Unstored { tenant, user, .. }
            | LogEvent::Taken { tenant, user, .. }
            | LogEvent::User { tenant, user, .. } => shard_of_user(*tenant, *user, shards),
            LogEvent::Users {
                node: of, users, ..
            } => {
                for shard in 0..shards {
                    let home = |(tenant, user, _): &&(_, _, _)| {
                        usize::from(shard_of_user(*tenant, *user, shards).0) == shard
                    };
                    let users = users.iter().filter(home).copied().collect();
                    let event = LogEvent::Users { node: *of, users };
                    self.input(node, shard, Input::Log(event));
                }
                return;
            }
            LogEvent::NodeUp(_) | LogEvent::NodeGone(_) => return self.every_shard(node, &event),
        };
        self.input(node, usize::from(shard.0), Input::Log(event));
    }

    pub(super) fn every_shard(&mut self, node: usize, event: &LogEvent) {
        for shard in 0..self.shards(node) {
            self.input(node, shard, Input::Log(event.clone()));
        }
    }
}

/// What requests have to stay in order about.
fn subject(request: &StoreRequest) -> String {
    use StoreRequest as R;
    match request {
        R::OpenChannel {
            tenant, channel, ..
        }
        | R::Append {
            tenant, channel, ..
        }
        | R::ReadHistory {
            tenant, channel, ..
        }
        | R::SetHistory {
            tenant, channel, ..
        }
        | R::DeleteHistory {
            tenant, channel, ..
        }
        | R::MarkGap {
            tenant, channel, ..
        }
        | R::IsMember {
            tenant, channel, ..
        } => format!("{tenant} {channel}"),
        R::InboxAppend { tenant, user, .. }
        | R::InboxRead { tenant, user, .. }
        | R::InboxRemove { tenant, user, .. }
        | R::InboxRemoveOne { tenant, user, .. }
        | R::SetLastSeen { tenant, user, .. }
        | R::LastSeen { tenant, user }
        | R::UserData { tenant, user } => format!("{tenant} user {user}"),
    }
}
