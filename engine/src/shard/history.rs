//! Kept publications: from the window where it reaches, from the store otherwise.

use std::sync::Arc;

use cometql_protocol::ChannelName;
use cometql_protocol::wire::{Kept, Position, Reply};

use super::replay::chain;
use super::sequencer::{Sequence, Sequencer};
use super::tickets::{Then, name};
use super::{ChannelKey, Shard, unavailable};
use crate::permission::Retention;
use crate::{
    ConnectionId, Effects, Message, Publication, StoreFailure, StoreRequest, StoredPublication,
};

impl<T> Sequencer<T> {
    /// The newest `limit` after an offset, if the window holds them all.
    fn newest_after(
        &self,
        key: &ChannelKey,
        offset: u64,
        limit: usize,
    ) -> Option<Vec<Arc<Publication>>> {
        let mut publications = self.windows.after(key, offset);
        let complete = publications.len() >= limit || offset >= self.floor(key);
        let sequence = self.get(key);
        let is_durable = |one: &Sequence<T>| matches!(one.retention, Retention::Durable { .. });
        let kept_elsewhere = sequence.is_some_and(|one| one.follows() || is_durable(one));
        if !complete && kept_elsewhere {
            return None;
        }
        let surplus = publications.len().saturating_sub(limit);
        Some(publications.split_off(surplus))
    }
}

impl<T> Shard<T> {
    /// The sequencer is asked for kept publications. The channel is ready.
    pub(super) fn on_history(
        &mut self,
        connection: ConnectionId,
        request: u32,
        key: ChannelKey,
        since: Option<Position>,
        limit: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.sequencer.windows.used(&key);
        let sequence = self.sequencer.ready(&key);
        let position = sequence.position();
        let same_life = since.filter(|since| since.epoch == sequence.epoch);
        let after = same_life.map_or(0, |since| since.offset);
        // The window may hold more than a durable channel is to keep.
        let limit = match sequence.retention {
            Retention::Durable { publications, .. } => limit.min(publications),
            Retention::Window | Retention::Ephemeral => limit,
        };
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let Some(publications) = self.sequencer.newest_after(&key, after, wanted) else {
            let (tenant, channel) = key.clone();
            let log = self.sequencer.ready(&key).log.as_ref();
            let log = log.and_then(|log| log.kind);
            let ticket = self.tickets.open(Then::History {
                connection,
                request,
                key,
                after,
                asked: position,
            });
            let ask = StoreRequest::ReadHistory {
                tenant,
                channel,
                after,
                limit,
                newest: true,
                log,
            };
            return effects.store(ticket, ask);
        };
        let channel = name(&key);
        let answer = Message::HistoryRead {
            connection,
            request,
            channel,
            position,
            publications,
        };
        effects.send(connection.shard(), answer);
    }

    /// The store has told what is kept.
    pub(super) fn on_history_rows(
        &mut self,
        (connection, request): (ConnectionId, u32),
        key: &ChannelKey,
        after: u64,
        asked: Option<Position>,
        result: Result<Vec<StoredPublication>, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let channel = name(key);
        let position = self.sequencer.get(key).and_then(Sequence::position);
        let answer = match (result, position) {
            (Ok(rows), Some(position)) => {
                let since = Position {
                    offset: after,
                    ..position
                };
                let publications = chain(key, since, rows);
                // What was published since then may not be among them: who goes on from here must not miss it.
                let asked = asked.filter(|asked| asked.epoch == position.epoch);
                let places = publications.iter().filter_map(|one| one.place);
                let last = places.map(|place| place.offset).max().unwrap_or(0);
                let offset = asked.map_or(after, |asked| asked.offset).max(last);
                let position = Some(Position { offset, ..position });
                Message::HistoryRead {
                    connection,
                    request,
                    channel,
                    position,
                    publications,
                }
            }
            (Ok(_), None) => {
                let publications = Vec::new();
                Message::HistoryRead {
                    connection,
                    request,
                    channel,
                    position,
                    publications,
                }
            }
            (Err(failure), _) => {
                let reject = unavailable(&failure);
                Message::Refused {
                    connection,
                    request,
                    channel,
                    attempt: None,
                    reject,
                }
            }
        };
        effects.send(connection.shard(), answer);
    }
}

/// The reply to a `history` request.
pub(super) fn reply(
    channel: ChannelName,
    position: Option<Position>,
    publications: &[Arc<Publication>],
) -> Reply {
    let publications = publications
        .iter()
        .map(|publication| kept(publication))
        .collect();
    Reply::History {
        channel,
        position,
        publications,
    }
}

fn kept(publication: &Publication) -> Kept {
    Kept {
        event: publication.event.as_str().to_owned(),
        data: Arc::clone(&publication.data),
        data_is_json: publication.data_is_json,
        offsets: publication
            .place
            .map(|place| (place.offset, place.previous)),
        time_ms: publication.time_ms,
        user: publication.user,
    }
}
