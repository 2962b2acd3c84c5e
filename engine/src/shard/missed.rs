//! What a subscriber missed of a channel that a cluster's log orders: told from the window where it reaches, from the log
//! otherwise. A client may know more than this node, when it comes from another one: then the node catches up first.

use std::sync::Arc;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::Position;

use super::replay::{bounded, chain, is_whole};
use super::tickets::{Newcomer, Replay, Then};
use super::{ChannelKey, Shard, unavailable};
use crate::{
    Effects, LogKind, Message, Publication, StoreAnswer, StoreFailure, StoreRequest,
    StoredPublication,
};

/// What is to be done for a subscriber with a position.
pub(super) enum Missed {
    /// It missed this, or nothing can be recovered.
    Known(Option<Vec<Arc<Publication>>>),
    /// The log has to be asked what it missed.
    Read,
    /// The log has to be asked what this node missed.
    CatchUp,
}

impl<T> Shard<T> {
    /// What a subscriber missed, as far as this node knows. The channel is followed.
    pub(super) fn missed_in_log(
        &self,
        key: &ChannelKey,
        since: Position,
        may_read_history: bool,
    ) -> Missed {
        const LOST: Missed = Missed::Known(None);
        let floor = self.sequencer.floor(key);
        let Some(sequence) = self.sequencer.get(key).filter(|one| one.follows()) else {
            return LOST;
        };
        let Some(log) = &sequence.log else {
            return LOST;
        };
        let same = since.epoch == sequence.epoch || planted("engine-mixes-lives");
        if !same || since.offset < log.barrier {
            return LOST;
        }
        if since.offset > log.known {
            return Missed::CatchUp;
        }
        if since.offset >= sequence.delivered {
            return Missed::Known(Some(Vec::new()));
        }
        let window = self.sequencer.windows.after(key, since.offset);
        if planted("engine-trusts-every-position") {
            return Missed::Known(Some(window));
        }
        if since.offset >= floor && is_whole(since.offset, links(&window), sequence.delivered) {
            return Missed::Known(bounded(window, self.limits.outbox_bytes));
        }
        let durable = LogKind::of(sequence.retention) == LogKind::Durable;
        match durable && !may_read_history {
            true => LOST,
            false => Missed::Read,
        }
    }

    /// The log has told what a subscriber missed. What was delivered while it was asked is in the window; what it has and
    /// this node does not will come.
    pub(super) fn on_replay_part(
        &mut self,
        replay: Replay,
        result: Result<(Vec<StoredPublication>, bool), StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Replay {
            newcomer,
            key,
            since,
            delivered: asked,
        } = replay;
        let Some(sequence) = self.sequencer.get(&key) else {
            return;
        };
        let failure = match result {
            Ok((rows, whole)) if sequence.follows() => {
                let goes_on = sequence.epoch == since.epoch
                    && sequence
                        .log
                        .as_ref()
                        .is_some_and(|log| since.offset >= log.barrier);
                let publications = (whole && goes_on)
                    .then(|| self.join(&key, since, asked, rows))
                    .flatten();
                let publications =
                    publications.and_then(|all| bounded(all, self.limits.outbox_bytes));
                return self.let_in(newcomer, &key, Some(since), publications, effects);
            }
            // It is being opened anew.
            Ok(_) => StoreFailure::NoQuorum,
            Err(failure) => failure,
        };
        self.refuse_newcomer(newcomer, key, &failure, effects);
    }

    /// What the log told, up to what this node has delivered, and what it delivered meanwhile; `None` when something is
    /// missing between the two. `asked` is what it had delivered when the log was asked.
    fn join(
        &self,
        key: &ChannelKey,
        since: Position,
        asked: u64,
        mut rows: Vec<StoredPublication>,
    ) -> Option<Vec<Arc<Publication>>> {
        let delivered = self.sequencer.get(key)?.delivered;
        rows.retain(|row| row.offset <= delivered);
        let read = rows.last().map_or(since.offset, |row| row.offset);
        let covered = read.max(asked);
        let mut publications = chain(key, since, rows);
        if covered < delivered {
            let window = self.sequencer.windows.after(key, covered);
            let reaches = self.sequencer.floor(key) <= covered;
            if !reaches || !is_whole(covered, links(&window), delivered) {
                return None;
            }
            publications.extend(window);
        }
        Some(publications)
    }

    /// Asks the log for what this node has not delivered yet, for the sake of a subscriber who has.
    pub(super) fn catch_up(
        &mut self,
        newcomer: Newcomer,
        key: ChannelKey,
        since: Position,
        effects: &mut impl Effects<Token = T>,
    ) {
        let sequence = self.sequencer.ready(&key);
        let (after, kind) = (sequence.delivered, LogKind::of(sequence.retention));
        let limit = self.limits.history_page;
        let (tenant, channel) = key.clone();
        let then = Then::CaughtUp(Replay {
            newcomer,
            key,
            since,
            delivered: after,
        });
        let request = StoreRequest::ReadHistory {
            tenant,
            channel,
            after,
            limit,
            newest: false,
            log: Some(kind),
        };
        effects.store(self.tickets.open(then), request);
    }

    /// The log has told what this node lacked: it is delivered, and then the subscriber is let in.
    pub(super) fn on_caught_up(
        &mut self,
        replay: Replay,
        result: Result<(Vec<StoredPublication>, bool), StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Replay {
            newcomer,
            key,
            since,
            delivered,
        } = replay;
        let follows = self.sequencer.get(&key).is_some_and(|one| {
            one.follows() && one.epoch == since.epoch && one.delivered >= delivered
        });
        let (rows, whole) = match result {
            Ok(told) if follows => told,
            Ok(_) => {
                return self.refuse_newcomer(newcomer, key, &StoreFailure::NoQuorum, effects);
            }
            Err(failure) => return self.refuse_newcomer(newcomer, key, &failure, effects),
        };
        if whole {
            for row in rows {
                self.on_published(&key, row.offset, true, row.content, effects);
            }
        }
        let log = self.sequencer.ready(&key).log_mut();
        if whole {
            log.known = log.known.max(since.offset);
        }
        let missed = match since.offset > log.known {
            true => Missed::Known(None),
            false => self.missed_in_log(&key, since, newcomer.may_read_history),
        };
        self.answer_missed(newcomer, key, since, missed, effects);
    }

    /// Lets a subscriber in, or asks the log first.
    pub(super) fn answer_missed(
        &mut self,
        newcomer: Newcomer,
        key: ChannelKey,
        since: Position,
        missed: Missed,
        effects: &mut impl Effects<Token = T>,
    ) {
        match missed {
            Missed::Known(publications) => {
                self.let_in(newcomer, &key, Some(since), publications, effects);
            }
            Missed::Read => self.read_replay(newcomer, key, since, effects),
            Missed::CatchUp => self.catch_up(newcomer, key, since, effects),
        }
    }

    /// What was missed is there, only not now: who asked shall ask again.
    pub(super) fn refuse_newcomer(
        &self,
        newcomer: Newcomer,
        key: ChannelKey,
        failure: &StoreFailure,
        effects: &mut impl Effects<Token = T>,
    ) {
        let connection = newcomer.connection;
        let refused = Message::Refused {
            connection,
            request: newcomer.request,
            channel: key.1,
            attempt: Some(newcomer.attempt),
            reject: unavailable(failure),
        };
        effects.send(connection.shard(), refused);
    }
}

/// The answer to `ReadHistory` of a log.
pub(super) fn part(
    result: Result<StoreAnswer, StoreFailure>,
) -> Result<(Vec<StoredPublication>, bool), StoreFailure> {
    result.map(|answer| match answer {
        StoreAnswer::HistoryPart { rows, whole } => (rows, whole),
        other => unreachable!("a log answers ReadHistory by a part of it, not by {other:?}"),
    })
}

/// Each publication as the offset before it and its own.
pub(super) fn links(publications: &[Arc<Publication>]) -> impl Iterator<Item = (u64, u64)> {
    let places = publications
        .iter()
        .filter_map(|publication| publication.place);
    places.map(|place| (place.previous, place.offset))
}
