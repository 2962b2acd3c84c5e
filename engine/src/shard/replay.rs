//! The sequencer's side of subscribing: where the channel is, what a subscriber missed, and who leaves.

use std::sync::Arc;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::{Member, Position};

use super::tickets::{Replay, Then};
use super::{ChannelKey, Shard, unavailable};
use crate::effects::Counted;
use crate::permission::Retention;
use crate::publication::Place;
use crate::{
    ConnectionId, Departure, Effects, Message, Now, Publication, StoreFailure, StoreRequest,
    StoredPublication,
};

impl<T> Shard<T> {
    /// The sequencer of the channel lets a session in. The channel is ready.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_subscribe(
        &mut self,
        key: ChannelKey,
        connection: ConnectionId,
        request: u32,
        attempt: u32,
        since: Option<Position>,
        may_read_history: bool,
        joins: Option<Member>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let limits = Arc::clone(&self.limits);
        self.sequencer.windows.used(&key);
        let floor = self.sequencer.floor(&key);
        let sequence = self.sequencer.ready(&key);
        let (position, delivered) = (sequence.position(), sequence.delivered);
        let durable = matches!(sequence.retention, Retention::Durable { .. });
        sequence.join(connection.shard());
        if let Some(member) = joins {
            self.leaves
                .join(&sequence.interested, &key, member, connection, effects);
        }
        let replay = |publications| (true, publications);
        let (recovered, publications) = match since {
            None => (false, Vec::new()),
            Some(_) if position.is_none() && planted("engine-recovers-the-ephemeral") => {
                (true, Vec::new())
            }
            Some(since) if position.is_none_or(|now| !reaches(now, since)) => (false, Vec::new()),
            Some(since) if since.offset >= floor || planted("engine-hides-what-it-forgot") => {
                let missed = self.sequencer.windows.after(&key, since.offset);
                let places = missed.iter().filter_map(|publication| publication.place);
                let links = places.map(|place| (place.previous, place.offset));
                is_whole(since.offset, links, delivered)
                    .then(|| bounded(missed, limits.outbox_bytes))
                    .flatten()
                    .map_or((false, Vec::new()), replay)
            }
            Some(since) => {
                let missed = delivered - since.offset;
                if durable && may_read_history && missed <= limits.history_page {
                    let replay = Replay {
                        connection,
                        request,
                        key,
                        attempt,
                        since,
                    };
                    return self.read_replay(replay, limits.history_page, effects);
                }
                (false, Vec::new())
            }
        };
        if since.is_some() {
            count_recovery(recovered, effects);
        }
        let channel = key.1;
        let replay = publications;
        let answer = Message::Subscribed {
            connection,
            request,
            channel,
            attempt,
            position,
            recovered,
            replay,
        };
        effects.send(connection.shard(), answer);
    }

    fn read_replay(&mut self, replay: Replay, limit: u64, effects: &mut impl Effects<Token = T>) {
        let (tenant, channel) = replay.key.clone();
        let after = replay.since.offset;
        let ticket = self.tickets.open(Then::Replay(replay));
        let request = StoreRequest::ReadHistory {
            tenant,
            channel,
            after,
            limit,
            newest: false,
            log: None,
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
            connection,
            request,
            key,
            attempt,
            since,
        } = replay;
        let Some(sequence) = self.sequencer.get(&key) else {
            // The channel was forgotten, as nobody is subscribed any more: who asked has left, too.
            return;
        };
        let rows = match result {
            Ok(rows) => rows,
            Err(_) if planted("engine-takes-a-failing-disk-for-a-loss") => Vec::new(),
            // What was missed is there, only not now: who asked shall ask again.
            Err(failure) => {
                let refused = Message::Refused {
                    connection,
                    request,
                    channel: key.1,
                    attempt: Some(attempt),
                    reject: unavailable(&failure),
                };
                return effects.send(connection.shard(), refused);
            }
        };
        // The store answers in order: what is delivered by now is all that it had when it was asked.
        let links = rows.iter().map(|row| (row.previous, row.offset));
        let whole = is_whole(since.offset, links, sequence.delivered);
        let publications = chain(&key, since, rows);
        let publications = whole
            .then(|| bounded(publications, self.limits.outbox_bytes))
            .flatten();
        let recovered = publications.is_some();
        count_recovery(recovered, effects);
        let answer = Message::Subscribed {
            connection,
            request,
            channel: key.1,
            attempt,
            position: sequence.position(),
            recovered,
            replay: publications.unwrap_or_default(),
        };
        effects.send(connection.shard(), answer);
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
            let grace = match departure {
                Departure::ForGood => None,
                Departure::MayReturn => Some(&*self.limits),
            };
            let told = &sequence.interested;
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
fn bounded(publications: Vec<Arc<Publication>>, bytes: usize) -> Option<Vec<Arc<Publication>>> {
    let total: usize = publications
        .iter()
        .map(|publication| publication.data.len() + 256)
        .sum();
    (total <= bytes || publications.len() <= 1).then_some(publications)
}

/// Whether publications, each given as the offset before it and its own, lead from one offset to another with none missing:
/// trimmed, deleted or never kept.
fn is_whole(since: u64, links: impl Iterator<Item = (u64, u64)>, until: u64) -> bool {
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
