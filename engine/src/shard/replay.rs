//! The sequencer's side of subscribing: where the channel is, what a subscriber missed, and who leaves.

use std::sync::Arc;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::{Member, Position};

use super::missed::{Missed, links};
use super::sequencer::Sequence;
use super::tickets::{Newcomer, Replay, Then, name};
use super::{ChannelKey, Shard};
use crate::effects::Counted;
use crate::permission::Retention;
use crate::publication::Place;
use crate::{
    ConnectionId, Departure, Effects, Message, Now, Publication, StoreFailure, StoreRequest,
    StoredPublication,
};

impl<T> Shard<T> {
    /// The sequencer of the channel lets a session in. The channel is ready.
    pub(super) fn on_subscribe(
        &mut self,
        key: ChannelKey,
        newcomer: Newcomer,
        since: Option<Position>,
        joins: Option<Member>,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.sequencer.windows.used(&key);
        let connection = newcomer.connection;
        let sequence = self.sequencer.ready(&key);
        sequence.join(connection.shard());
        if let Some(member) = joins {
            self.announce_join(&key, &member, effects);
            let told = &self.sequencer.ready(&key).interested;
            self.leaves
                .join(told, &key, member, Some(connection), effects);
        }
        let Some(since) = since else {
            return self.let_in(newcomer, &key, None, None, effects);
        };
        let missed = match self.cluster {
            None => self.missed(&key, since, newcomer.may_read_history),
            Some(_) => self.missed_in_log(&key, since, newcomer.may_read_history),
        };
        self.answer_missed(newcomer, key, since, missed, effects);
    }

    /// What a subscriber missed of a channel that this node orders.
    fn missed(&self, key: &ChannelKey, since: Position, may_read_history: bool) -> Missed {
        let floor = self.sequencer.floor(key);
        let Some(sequence) = self.sequencer.get(key) else {
            return Missed::Known(None);
        };
        let Some(position) = sequence.position() else {
            return Missed::Known(planted("engine-recovers-the-ephemeral").then(Vec::new));
        };
        if !reaches(position, since) {
            return Missed::Known(None);
        }
        if since.offset >= floor || planted("engine-hides-what-it-forgot") {
            let window = self.sequencer.windows.after(key, since.offset);
            let whole = is_whole(since.offset, links(&window), sequence.delivered);
            let window = whole.then(|| bounded(window, self.limits.outbox_bytes));
            return Missed::Known(window.flatten());
        }
        let durable = matches!(sequence.retention, Retention::Durable { .. });
        let missed = sequence.delivered - since.offset;
        match durable && may_read_history && missed <= self.limits.history_page {
            true => Missed::Read,
            false => Missed::Known(None),
        }
    }

    /// Answers a subscriber: with what it missed since a position, or `None` when that can't be told.
    pub(super) fn let_in(
        &self,
        newcomer: Newcomer,
        key: &ChannelKey,
        since: Option<Position>,
        missed: Option<Vec<Arc<Publication>>>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let recovered = missed.is_some();
        if since.is_some() {
            count_recovery(recovered, effects);
        }
        let mut position = self.sequencer.get(key).and_then(Sequence::position);
        if let (Some(position), Some(since), Some(_)) = (&mut position, since, &self.cluster)
            && position.epoch == since.epoch
        {
            // It may come from a node that heard more of the log: what it had is not told again.
            position.offset = position.offset.max(since.offset);
        }
        let connection = newcomer.connection;
        let answer = Message::Subscribed {
            connection,
            request: newcomer.request,
            channel: name(key),
            attempt: newcomer.attempt,
            position,
            recovered,
            replay: missed.unwrap_or_default(),
        };
        effects.send(connection.shard(), answer);
    }

    pub(super) fn read_replay(
        &mut self,
        newcomer: Newcomer,
        key: ChannelKey,
        since: Position,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (tenant, channel) = key.clone();
        let sequence = self.sequencer.ready(&key);
        let log = sequence.log.as_ref().and_then(|log| log.kind);
        let delivered = sequence.delivered;
        let ticket = self.tickets.open(Then::Replay(Replay {
            newcomer,
            key,
            since,
            delivered,
        }));
        let request = StoreRequest::ReadHistory {
            tenant,
            channel,
            after: since.offset,
            limit: self.limits.history_page,
            newest: false,
            log,
        };
        effects.store(ticket, request);
    }

    /// The store has told what a subscription missed. All that was appended before the question is in it, all that
    /// comes later follows through the same mailbox.
    pub(super) fn on_replay(
        &mut self,
        replay: Replay,
        result: Result<Vec<StoredPublication>, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Replay {
            newcomer,
            key,
            since,
            ..
        } = replay;
        let Some(sequence) = self.sequencer.get(&key) else {
            // The channel was forgotten, as nobody is subscribed any more: who asked has left, too.
            return;
        };
        let rows = match result {
            Ok(rows) => rows,
            Err(_) if planted("engine-takes-a-failing-disk-for-a-loss") => Vec::new(),
            Err(failure) => return self.refuse_newcomer(newcomer, key, &failure, effects),
        };
        // The store answers in order: what is delivered by now is all that it had when it was asked.
        let links = rows.iter().map(|row| (row.previous, row.offset));
        let whole = is_whole(since.offset, links, sequence.delivered);
        let publications = chain(&key, since, rows);
        let publications = whole
            .then(|| bounded(publications, self.limits.outbox_bytes))
            .flatten();
        self.let_in(newcomer, &key, Some(since), publications, effects);
    }

    pub(super) fn on_unsubscribe(
        &mut self,
        now: Now,
        key: &ChannelKey,
        connection: ConnectionId,
        leaves: Option<Member>,
        departure: Departure,
        effects: &mut impl Effects<Token = T>,
    ) {
        let sequence = self.sequencer.ready(key);
        sequence.leave(connection.shard());
        // Who was refused has not joined.
        let joined = !sequence.forget_refused(connection);
        if let Some(member) = leaves.filter(|_| joined) {
            self.announce_leave(key, &member, departure, effects);
            let grace = match departure {
                Departure::ForGood => None,
                Departure::MayReturn => Some(&*self.limits),
            };
            let told = &self.sequencer.ready(key).interested;
            let connection = Some(connection);
            self.leaves
                .leave(now, told, key, member, connection, grace, effects);
        }
    }
}

/// Whether a position is of this life of the history, and not ahead of it.
fn reaches(now: Position, since: Position) -> bool {
    let same = now.epoch == since.epoch || planted("engine-mixes-lives");
    same && since.offset <= now.offset
}

/// All or nothing: a replay that would not fit into the outbox is none.
pub(super) fn bounded(
    publications: Vec<Arc<Publication>>,
    bytes: usize,
) -> Option<Vec<Arc<Publication>>> {
    let total: usize = publications
        .iter()
        .map(|publication| publication.data.len() + 256)
        .sum();
    (total <= bytes || publications.len() <= 1).then_some(publications)
}

/// Whether publications, each given as the offset before it and its own, lead from one offset to another with none missing:
/// trimmed, deleted or never kept.
pub(super) fn is_whole(since: u64, links: impl Iterator<Item = (u64, u64)>, until: u64) -> bool {
    let mut last = since;
    for (previous, offset) in links {
        if previous > last && !planted("engine-hides-what-it-forgot") {
            return false;
        }
        last = offset;
    }
    last == until || planted("engine-hides-what-it-forgot")
}

/// Publications from stored rows, each knowing the one before it.
pub(super) fn chain(
    key: &ChannelKey,
    since: Position,
    rows: Vec<StoredPublication>,
) -> Vec<Arc<Publication>> {
    let mut previous = since.offset;
    let place = |row: StoredPublication| {
        let place = Place {
            epoch: since.epoch,
            offset: row.offset,
            previous,
        };
        previous = row.offset;
        let (tenant, channel) = key.clone();
        Arc::new(Publication::new(tenant, channel, row.content, Some(place)))
    };
    rows.into_iter().map(place).collect()
}

fn count_recovery<T>(recovered: bool, effects: &mut impl Effects<Token = T>) {
    effects.count(
        if recovered {
            Counted::Recovered
        } else {
            Counted::NotRecovered
        },
        1,
    );
}
