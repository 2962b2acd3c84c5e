//! Private messages: kept first, then sent to all connections of the user, until one of them acknowledges
//! (`acknowledge.rs`).

use std::sync::Arc;

use super::homes::{Device, Home, Inbox};
use super::recent::{Chosen, Place, Told, once, same};
use super::tickets::Then;
use super::trace::Happened;
use super::{Shard, UserKey, rejected};
use crate::effects::Counted;
use crate::publication::Content;
use crate::{
    Answer, ConnectionId, Draft, Effects, InboxMessage, Message, Now, Push, Reject, StoreAnswer,
    StoreFailure, StoreRequest,
};
use cometql_protocol::ErrorCode;
use cometql_protocol::planted::planted;

/// Messages that one read of the store fetches for a connection.
const PAGE: u64 = 100;

impl<T> Shard<T> {
    pub(super) fn send_command(
        &mut self,
        now: Now,
        key: UserKey,
        draft: Draft,
        token: T,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (tenant, user) = key;
        let content = draft.content(now);
        if let Some(known) = self.recent.find(Place::User(key), &content, &self.limits) {
            return effects.answer(token, known_answer(known));
        }
        let limit = self.limits.inbox_messages;
        let append = StoreRequest::InboxAppend {
            tenant,
            user,
            content: content.clone(),
            limit,
            once: once(&content, &self.limits),
        };
        if planted("engine-answers-before-the-disk") {
            let ticket = self.tickets.open(Then::Nothing);
            effects.store(ticket, append);
            let (offset, reached) = (Some(0), 0);
            return effects.answer(token, sent(Told { offset, reached }));
        }
        let ticket = self.tickets.open(Then::InboxAppended {
            key,
            content,
            token,
        });
        effects.store(ticket, append);
    }

    pub(super) fn on_inbox_appended(
        &mut self,
        key: UserKey,
        content: Content,
        token: T,
        result: Result<StoreAnswer, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        if planted("engine-sends-what-is-not-stored") && result.is_err() {
            self.send_live(key, inbox_message(u64::MAX >> 12, content.clone()), effects);
        }
        let answer = match result {
            Ok(StoreAnswer::Full) if planted("engine-drops-what-is-too-much") => {
                let (offset, reached) = (Some(0), 0);
                sent(Told { offset, reached })
            }
            Ok(StoreAnswer::InboxOffset(offset)) => {
                effects.count(Counted::InboxMessages, 1);
                let chosen = Chosen::of(&content);
                let id = content.id;
                self.note_inbox(key, None, Happened::Stored { id, offset });
                let reached = match self.cluster {
                    None => self.send_live(key, inbox_message(offset, content), effects),
                    // It comes in its order, as those that other nodes sent.
                    Some(_) => self.homes.get(key).map_or(0, Home::live),
                };
                if let Some(chosen) = chosen {
                    let offset = Some(offset);
                    let (told, budget) = (Told { offset, reached }, self.retry_budget());
                    self.recent.note(Place::User(key), &chosen, told, budget);
                }
                sent(Told {
                    offset: Some(offset),
                    reached,
                })
            }
            Ok(StoreAnswer::Known { offset, digest }) => {
                // It may have been answered while this one was on its way to the store.
                let known = self.recent.find(Place::User(key), &content, &self.limits);
                let stored = Told {
                    offset: Some(offset),
                    reached: 0,
                };
                known_answer(known.unwrap_or_else(|| same(&content, digest).map(|()| stored)))
            }
            Ok(_) => Answer::Rejected(Reject::new(
                ErrorCode::InboxFull,
                format!(
                    "{} messages wait for user {} already; none is dropped, so this one was not taken",
                    self.limits.inbox_messages, key.1
                ),
            )),
            Err(StoreFailure::NoQuorum) => {
                return self.send_unstored(key, content, token, effects);
            }
            Err(failure) => rejected(&failure),
        };
        effects.answer(token, answer);
    }

    pub(super) fn clear_inbox(
        &mut self,
        key: UserKey,
        token: T,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.note_inbox(key, None, Happened::Cleared);
        let ticket = self.tickets.open(Then::InboxCleared(token));
        let (tenant, user) = key;
        effects.store(
            ticket,
            StoreRequest::InboxRemove {
                tenant,
                user,
                up_to: u64::MAX,
            },
        );
    }

    pub(super) fn read_inbox(
        &mut self,
        key: UserKey,
        connection: ConnectionId,
        after: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (tenant, user) = key;
        let cluster = self.cluster.as_ref();
        let arrived = cluster.map_or(0, |cluster| cluster.arrived(key));
        let ticket = self.tickets.open(Then::InboxRead {
            key,
            connection,
            after,
            arrived,
        });
        effects.store(
            ticket,
            StoreRequest::InboxRead {
                tenant,
                user,
                after,
                limit: PAGE,
            },
        );
    }

    /// A page of what waited. What was sent meanwhile is in it or comes later: the store answers in order. A cluster's log
    /// does not: what arrived while it was asked (`asked`: after which offset, and what had arrived then) is asked for.
    pub(super) fn on_inbox_read(
        &mut self,
        key: UserKey,
        connection: ConnectionId,
        (after, arrived): (u64, u64),
        result: Result<(Vec<InboxMessage>, u64), StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let cluster = self.cluster.as_ref();
        let arrives = cluster.map_or(0, |cluster| cluster.arrived(key));
        let Some(device) = self.homes.device(key, connection) else {
            return;
        };
        let Ok((messages, end)) = result else {
            // What waits is still in the store: asked again at the next tick.
            device.inbox = Inbox::More(after);
            return self.homes.more.push((key, connection));
        };
        let fetched = messages.len();
        let page = page(messages, self.limits.outbox_bytes / 2);
        let last = page.last().map(|message| message.offset);
        let more = page.len() < fetched || fetched as u64 == PAGE;
        let sent = last.unwrap_or(after);
        // The end of a page that nobody acknowledges does not wait for that.
        let page = match self.cluster {
            Some(_) => self.page_as_shown(key, connection, page, effects),
            None => page,
        };
        let waits = page.last().is_some_and(|message| message.offset == sent);
        let Some(device) = self.homes.device(key, connection) else {
            return;
        };
        let end = match planted("engine-forgets-what-is-gone") {
            true => sent,
            false => sent.max(end),
        };
        let missed = arrives > end.max(arrived) && !planted("engine-forgets-arrivals");
        device.inbox = match (last, more) {
            (Some(sent), true) if waits => Inbox::More(sent),
            (Some(_), true) => Inbox::Reading,
            _ if missed => Inbox::Reading,
            // What was acknowledged may still be on its way from the log.
            _ => Inbox::Live(end),
        };
        let reads = device.inbox == Inbox::Reading;
        let read = Happened::InboxRead {
            after,
            up_to: last.unwrap_or(after),
            live: !more,
        };
        self.note_inbox(key, Some(connection), read);
        if !page.is_empty() {
            effects.send(
                connection.shard(),
                Message::Inbox {
                    connection,
                    messages: page,
                },
            );
        }
        if reads {
            self.read_inbox(key, connection, sent, effects);
        }
    }

    /// The log tells the next private message of a user, or one that came before.
    pub(super) fn on_inbox_arrived(
        &mut self,
        key: UserKey,
        message: InboxMessage,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.homes.get(key).is_none() {
            return;
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.note_arrival(key, message.offset);
        }
        let message = Arc::new(message);
        let offset = message.offset;
        match self.as_shown(key, &message, effects) {
            Some(shown) if shown.offset == offset => {
                self.send_live(key, shown, effects);
            }
            shown => self.catch_up_unstored(key, offset, shown, effects),
        }
    }

    /// The log counts from the beginning again.
    pub(super) fn read_inbox_anew(&mut self, key: UserKey, effects: &mut impl Effects<Token = T>) {
        let Some(home) = self.homes.get_mut(key) else {
            return;
        };
        if let Some(cluster) = &mut self.cluster {
            cluster.forget_arrivals(key);
        }
        let wanted = |device: &&mut Device| device.inbox != Inbox::None;
        let devices = home.devices.iter_mut().filter(wanted);
        let reading = devices.map(|device| {
            device.inbox = Inbox::Reading;
            device.connection
        });
        for connection in reading.collect::<Vec<_>>() {
            self.read_inbox(key, connection, 0, effects);
        }
    }

    /// Asks once more for pages that the store could not read.
    pub(super) fn continue_inboxes(&mut self, effects: &mut impl Effects<Token = T>) {
        for (key, connection) in std::mem::take(&mut self.homes.more) {
            let Some(device) = self.homes.device(key, connection) else {
                continue;
            };
            if let Inbox::More(sent) = device.inbox {
                device.inbox = Inbox::Reading;
                self.read_inbox(key, connection, sent, effects);
            }
        }
    }

    fn send_live(
        &mut self,
        key: UserKey,
        message: Arc<InboxMessage>,
        effects: &mut impl Effects<Token = T>,
    ) -> u64 {
        let Some(home) = self.homes.get_mut(key) else {
            return 0;
        };
        let mut reached = 0;
        for device in &mut home.devices {
            let Inbox::Live(sent) = &mut device.inbox else {
                continue;
            };
            if message.offset <= *sent && !planted("engine-repeats-private-messages") {
                continue;
            }
            *sent = message.offset;
            reached += 1;
            let connection = device.connection;
            let messages = vec![Arc::clone(&message)];
            effects.send(
                connection.shard(),
                Message::Inbox {
                    connection,
                    messages,
                },
            );
        }
        reached
    }

    /// Private messages come to the shard of their connection. One that is gone meanwhile has acknowledged nothing.
    pub(super) fn hand_over(
        &mut self,
        connection: ConnectionId,
        messages: &[Arc<InboxMessage>],
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.connections.get(connection).is_none() {
            return;
        }
        for message in messages {
            effects.push(connection, Push::Inbox(message));
        }
    }

    pub(super) fn note_inbox(
        &mut self,
        key: UserKey,
        by: Option<ConnectionId>,
        happened: Happened,
    ) {
        let (tenant, user) = key;
        let who = (Some(user), by);
        self.trace.note(&self.limits, tenant, who, None, happened);
    }
}

/// The answer to a retry.
fn known_answer(known: Result<Told, Reject>) -> Answer {
    match known {
        Ok(told) => sent(told),
        Err(reject) => Answer::Rejected(reject),
    }
}

/// It is in the inbox, or was acknowledged without having been there.
pub(super) fn sent(Told { offset, reached }: Told) -> Answer {
    Answer::Sent {
        offset: offset.unwrap_or(0),
        reached,
        lossy: offset.is_none(),
    }
}

pub(super) fn inbox_message(offset: u64, content: Content) -> Arc<InboxMessage> {
    let Content {
        id,
        event,
        data,
        data_is_json,
        time_ms,
        user: _,
        from_browser: _,
        once: _,
    } = content;
    Arc::new(InboxMessage {
        id,
        offset,
        event,
        data,
        data_is_json,
        time_ms,
        waited: false,
    })
}

/// The first messages that fit, at least one.
fn page(messages: Vec<InboxMessage>, bytes: usize) -> Vec<Arc<InboxMessage>> {
    let mut page = Vec::with_capacity(messages.len());
    let mut used = 0;
    for message in messages {
        used += message.data.len() + 256;
        if used > bytes && !page.is_empty() {
            break;
        }
        page.push(Arc::new(InboxMessage {
            waited: true,
            ..message
        }));
    }
    page
}
