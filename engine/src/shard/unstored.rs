//! Private messages while the cluster's log can't take them: handed to whoever is there, on whatever node, and answered OK
//! once one of them has acknowledged. Which ids were shown lately is known for a while, so that a retry, or a log that has
//! the message after all, shows it to nobody a second time. It must not know how messages get into the log.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cometql_protocol::UNSTORED_OFFSET;
use cometql_protocol::planted::planted;
use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::homes::Inbox;
use super::inbox::inbox_message;
use super::recent::{Chosen, Place, Told};
use super::tickets::Then;
use super::{Shard, UserKey, rejected};
use crate::effects::Counted;
use crate::publication::Content;
use crate::{
    Answer, ConnectionId, Effects, InboxMessage, Message, MessageId, Now, StoreFailure,
    StoreRequest,
};

/// Somebody must have acknowledged after so many milliseconds, or the sender is refused. Longer than a bad mobile network takes.
const WAIT_MS: u64 = 5_000;
/// So many ids are known at most.
const MOST: usize = 8_192;

/// Messages by user and offset (see [`offset_of`]).
type Key = (UserKey, u64);

/// What was shown lately.
pub(super) struct Unstored<T> {
    messages: HashMap<Key, Shown<T>, FixedState>,
    /// When each was first heard of, the oldest first.
    order: VecDeque<(u64, Key)>,
    /// Until when senders wait, soonest first.
    waits: VecDeque<(u64, Key)>,
    /// What is to be removed from the log and could not be.
    removals: Vec<Key>,
    /// Counts what was handed to connections.
    pushes: u64,
}

/// One message.
struct Shown<T> {
    id: MessageId,
    /// Somebody has acknowledged it.
    taken: bool,
    /// Its place in the log, if that has it.
    stored: Option<u64>,
    /// To whom it was handed without the log.
    pushed: SmallVec<[Pushed; 1]>,
    /// Who is to be answered, and what is to be known of its retries then.
    senders: Vec<(u64, T, Option<Chosen>)>,
}

struct Pushed {
    connection: ConnectionId,
    /// How many were handed to connections before.
    number: u64,
    /// The last one of the log that this connection had by then.
    after: u64,
}

impl<T> Default for Unstored<T> {
    fn default() -> Self {
        Self {
            messages: HashMap::default(),
            order: VecDeque::new(),
            waits: VecDeque::new(),
            removals: Vec::new(),
            pushes: 0,
        }
    }
}

impl<T> Unstored<T> {
    fn note(&mut self, now: Now, key: Key, id: MessageId) -> &mut Shown<T> {
        self.messages.entry(key).or_insert_with(|| {
            self.order.push_back((now.0, key));
            Shown {
                id,
                taken: false,
                stored: None,
                pushed: SmallVec::new(),
                senders: Vec::new(),
            }
        })
    }

    fn find(&mut self, user: UserKey, id: MessageId) -> Option<&mut Shown<T>> {
        let shown = self.messages.get_mut(&(user, offset_of(id)));
        shown.filter(|shown| shown.id == id)
    }

    /// The next one that is known for too long, or one too many.
    fn outdated(&mut self, before_ms: u64) -> Option<Shown<T>> {
        let (at_ms, _) = self.order.front()?;
        if *at_ms >= before_ms && self.order.len() <= MOST {
            return None;
        }
        let (_, key) = self.order.pop_front()?;
        self.messages.remove(&key)
    }

    /// Those that a connection has written to its socket when it has written this one.
    fn written(&self, user: UserKey, by: ConnectionId, up_to: u64) -> Vec<u64> {
        let to = |shown: &Shown<T>| {
            let mut pushed = shown.pushed.iter();
            let found = pushed.find(|pushed| pushed.connection == by);
            found.map(|pushed| (pushed.number, pushed.after))
        };
        let last = self.messages.get(&(user, up_to)).and_then(to);
        let is_written = |(number, after)| match last {
            Some((last, _)) => number <= last,
            None => after < up_to,
        };
        let of_user = self.messages.iter().filter(|((of, _), _)| *of == user);
        let written = of_user.filter(|(_, shown)| to(shown).is_some_and(is_written));
        written.map(|((_, offset), _)| *offset).collect()
    }
}

/// What stands for the offset of a message that has none in the log: the same on every node, so that a client knows one that it
/// has. Larger than those of logs, and small enough for JSON.
fn offset_of(id: MessageId) -> u64 {
    let bits = UNSTORED_OFFSET - 1;
    let folded = (id.0 ^ id.0 >> 64) & u128::from(bits);
    UNSTORED_OFFSET | u64::try_from(folded).expect("52 bits")
}

impl<T> Shard<T> {
    /// The log could not take a private message: whoever is there gets it all the same.
    pub(super) fn send_unstored(
        &mut self,
        user: UserKey,
        content: Content,
        token: T,
        effects: &mut impl Effects<Token = T>,
    ) {
        let refused = rejected(&StoreFailure::NoQuorum);
        let somewhere = self.is_elsewhere(user);
        let here = self
            .homes
            .get(user)
            .is_some_and(|home| home.wants_messages());
        if !here && !somewhere {
            return effects.answer(token, refused);
        }
        let known = self.recent.find(Place::User(user), &content, &self.limits);
        if let Some(Err(reject)) = known {
            return effects.answer(token, Answer::Rejected(reject));
        }
        let (now, id) = (self.trace.now, content.id);
        let key = (user, offset_of(id));
        let shown = self.unstored.note(now, key, id);
        if shown.id != id {
            return effects.answer(token, refused);
        }
        let until = now.0 + WAIT_MS;
        shown.senders.push((until, token, Chosen::of(&content)));
        let known = shown.taken || shown.stored.is_some();
        self.unstored.waits.push_back((until, key));
        if known {
            return self.answer_senders(key, effects);
        }
        let reached = self.show(user, &content, effects);
        if somewhere {
            effects.send_unstored(user.0, user.1, &content);
        }
        if reached > 0 && planted("engine-takes-sent-for-acknowledged") {
            self.answer_senders(key, effects);
        }
    }

    /// Another node sends what the log could not take.
    pub(super) fn on_unstored(
        &mut self,
        user: UserKey,
        content: &Content,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.homes.get(user).is_none() {
            return;
        }
        match self.unstored.find(user, content.id) {
            Some(shown) if shown.taken => effects.tell_taken(user.0, user.1, content.id),
            // It came by the log: that tells its sender, who asks once more.
            Some(shown) if shown.stored.is_some() => {}
            Some(_) | None => {
                self.show(user, content, effects);
            }
        }
    }

    /// Hands a message to all connections that don't have it.
    fn show(
        &mut self,
        user: UserKey,
        content: &Content,
        effects: &mut impl Effects<Token = T>,
    ) -> usize {
        let id = content.id;
        let offset = offset_of(id);
        let message = inbox_message(offset, content.clone());
        self.unstored.note(self.trace.now, (user, offset), id);
        let Some(home) = self.homes.get(user) else {
            return 0;
        };
        let wants = home.devices.iter().filter(|one| one.inbox != Inbox::None);
        let devices: SmallVec<[_; 4]> = wants
            .map(|device| (device.connection, device.inbox.sent()))
            .collect();
        for (connection, after) in &devices {
            self.push_unstored(user, *connection, *after, &message, effects);
        }
        devices.len()
    }

    fn push_unstored(
        &mut self,
        user: UserKey,
        connection: ConnectionId,
        after: u64,
        message: &Arc<InboxMessage>,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.note_pushed(user, connection, after, message.id) {
            let messages = vec![Arc::clone(message)];
            effects.send(
                connection.shard(),
                Message::Inbox {
                    connection,
                    messages,
                },
            );
        }
    }

    /// A connection gets a message; false when it has it.
    fn note_pushed(
        &mut self,
        user: UserKey,
        connection: ConnectionId,
        after: u64,
        id: MessageId,
    ) -> bool {
        let number = self.unstored.pushes;
        let Some(shown) = self.unstored.find(user, id) else {
            return false;
        };
        if shown.pushed.iter().any(|to| to.connection == connection) {
            return false;
        }
        shown.pushed.push(Pushed {
            connection,
            number,
            after,
        });
        self.unstored.pushes += 1;
        true
    }

    /// A connection acknowledges a message that came without the log.
    pub(super) fn on_unstored_ack(
        &mut self,
        user: UserKey,
        offset: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(shown) = self.unstored.messages.get_mut(&(user, offset)) else {
            return;
        };
        if !shown.taken {
            effects.tell_taken(user.0, user.1, shown.id);
            self.taken((user, offset), effects);
        }
    }

    /// A connection that acknowledges by that has written what it was given up to this message. Returns how far that goes in
    /// the log.
    pub(super) fn on_unstored_written(
        &mut self,
        user: UserKey,
        by: ConnectionId,
        up_to: u64,
        effects: &mut impl Effects<Token = T>,
    ) -> u64 {
        for offset in self.unstored.written(user, by, up_to) {
            self.on_unstored_ack(user, offset, effects);
        }
        if up_to < UNSTORED_OFFSET {
            return up_to;
        }
        let shown = self.unstored.messages.get(&(user, up_to));
        let mut pushed = shown.iter().flat_map(|shown| &shown.pushed);
        pushed
            .find(|pushed| pushed.connection == by)
            .map_or(0, |pushed| pushed.after)
    }

    /// Somebody on another node has acknowledged a message.
    pub(super) fn on_taken(
        &mut self,
        user: UserKey,
        id: MessageId,
        effects: &mut impl Effects<Token = T>,
    ) {
        let key = (user, offset_of(id));
        self.unstored.note(self.trace.now, key, id);
        self.taken(key, effects);
    }

    fn taken(&mut self, key: Key, effects: &mut impl Effects<Token = T>) {
        if let Some(shown) = self.unstored.messages.get_mut(&key) {
            shown.taken = true;
            self.remove_taken(key, effects);
            self.answer_senders(key, effects);
        }
    }

    fn answer_senders(&mut self, key: Key, effects: &mut impl Effects<Token = T>) {
        let Some(shown) = self.unstored.messages.get_mut(&key) else {
            return;
        };
        let (offset, reached) = (shown.stored, shown.pushed.len() as u64);
        for (_, token, chosen) in std::mem::take(&mut shown.senders) {
            effects.count(Counted::InboxMessages, 1);
            let told = Told { offset, reached };
            if let Some(chosen) = chosen {
                let budget = self.retry_budget();
                self.recent.note(Place::User(key.0), &chosen, told, budget);
            }
            effects.answer(token, super::inbox::sent(told));
        }
    }

    /// The log has a message for a user: `None` when nobody is to see it (again), else as it is to be handed to those who
    /// don't have it.
    pub(super) fn as_shown(
        &mut self,
        user: UserKey,
        message: &Arc<InboxMessage>,
        effects: &mut impl Effects<Token = T>,
    ) -> Option<Arc<InboxMessage>> {
        let key = (user, offset_of(message.id));
        let shown = self.unstored.note(self.trace.now, key, message.id);
        if shown.id != message.id || planted("engine-shows-what-was-shown") {
            return Some(Arc::clone(message));
        }
        shown.stored = Some(message.offset);
        let (taken, was_shown) = (shown.taken, !shown.pushed.is_empty());
        self.answer_senders(key, effects);
        if taken {
            self.remove_taken(key, effects);
            return None;
        }
        if !was_shown {
            return Some(Arc::clone(message));
        }
        // Under the offset that those who have it know.
        let mut copy = InboxMessage::clone(message);
        copy.offset = key.1;
        Some(Arc::new(copy))
    }

    /// The log has told a message that was shown before. Whoever is up to date with the log has it too, or gets it now.
    pub(super) fn catch_up_unstored(
        &mut self,
        user: UserKey,
        offset: u64,
        shown: Option<Arc<InboxMessage>>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(home) = self.homes.get_mut(user) else {
            return;
        };
        let mut lack = SmallVec::<[_; 4]>::new();
        for device in &mut home.devices {
            if let Inbox::Live(sent) = &mut device.inbox
                && *sent < offset
            {
                *sent = offset;
                lack.push(device.connection);
            }
        }
        for connection in lack {
            if let Some(message) = &shown {
                self.push_unstored(user, connection, offset, message, effects);
            }
        }
    }

    /// What of a page from the log a connection is to get.
    pub(super) fn page_as_shown(
        &mut self,
        user: UserKey,
        connection: ConnectionId,
        page: Vec<Arc<InboxMessage>>,
        effects: &mut impl Effects<Token = T>,
    ) -> Vec<Arc<InboxMessage>> {
        let mut lacks = Vec::with_capacity(page.len());
        for message in page {
            let after = message.offset;
            let Some(shown) = self.as_shown(user, &message, effects) else {
                continue;
            };
            if shown.offset == after || self.note_pushed(user, connection, after, shown.id) {
                lacks.push(shown);
            }
        }
        lacks
    }

    /// What was acknowledged need not wait in the log.
    fn remove_taken(&mut self, key: Key, effects: &mut impl Effects<Token = T>) {
        let shown = self.unstored.messages.get(&key);
        let Some(offset) = shown
            .filter(|shown| shown.taken)
            .and_then(|shown| shown.stored)
        else {
            return;
        };
        let ticket = self.tickets.open(Then::UnstoredRemoved(key));
        let (tenant, user) = key.0;
        effects.store(
            ticket,
            StoreRequest::InboxRemoveOne {
                tenant,
                user,
                offset,
            },
        );
    }

    pub(super) fn on_unstored_removed(&mut self, key: Key, result: Result<u64, StoreFailure>) {
        if result.is_err() {
            self.unstored.removals.push(key);
        }
    }

    /// Whoever waited long enough is refused; what is long ago is forgotten.
    pub(super) fn forget_unstored(&mut self, now: Now, effects: &mut impl Effects<Token = T>) {
        for key in std::mem::take(&mut self.unstored.removals) {
            self.remove_taken(key, effects);
        }
        while let Some((until, key)) = self.unstored.waits.front().copied() {
            if until > now.0 {
                break;
            }
            self.unstored.waits.pop_front();
            let Some(shown) = self.unstored.messages.get_mut(&key) else {
                continue;
            };
            let (late, waiting) = std::mem::take(&mut shown.senders)
                .into_iter()
                .partition(|(until, ..)| *until <= now.0);
            shown.senders = waiting;
            refuse(late, effects);
        }
        let before_ms = now.0.saturating_sub(self.limits.retry_ms);
        while let Some(shown) = self.unstored.outdated(before_ms) {
            refuse(shown.senders, effects);
        }
    }
}

fn refuse<T>(senders: Vec<(u64, T, Option<Chosen>)>, effects: &mut impl Effects<Token = T>) {
    for (_, token, _) in senders {
        effects.answer(token, rejected(&StoreFailure::NoQuorum));
    }
}
