//! Channels that a cluster's log puts in order: as what this node follows them, and what is known to be missing in them.
//! What goes wrong with the log is mended here, too. It must not know how publications come and go.

use std::collections::BTreeSet;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::{Epoch, Position};

use super::members::Members;
use super::sequencer::State;
use super::tickets::Then;
use super::{ChannelKey, Shard, unavailable};
use crate::permission::Retention;
use crate::publication::Place;
use crate::{
    ConnectionId, Effects, LogKind, Message, MessageId, Now, Publication, QuorumLoss, StoreFailure,
    StoreRequest, StoredPublication,
};

/// After so many milliseconds a log that was out of reach is asked again.
const AGAIN_MS: u64 = 5_000;

/// A node that heard of what no log has waits so long, in milliseconds, for the one that published it to say so in the log.
pub(super) const OTHERS_MARK_MS: u64 = 15_000;

/// What a channel has more when a log orders it.
#[derive(Default)]
pub(super) struct Followed {
    /// As what the edge follows it; `None` = not.
    pub(super) kind: Option<LogKind>,
    /// Nothing of the channel lies between the last publication that was delivered and here.
    pub(super) known: u64,
    /// While the window is empty: positions from here on miss nothing.
    pub(super) floor: u64,
    /// Positions before it are not complete: something was delivered that the log lacks.
    pub(super) barrier: u64,
    /// It could not be opened: what other nodes tell is delivered, but nobody has a position.
    pub(super) adrift: bool,
    /// The answer that is awaited is of a life of the log that is over.
    outdated: bool,
    /// When the log is to be told that it lacks something, unix milliseconds.
    mark_ms: Option<u64>,
    /// The log was asked to note that.
    marking: bool,
    /// What browsers of this node published and what has not come back from the log.
    pub(super) own: Vec<Own>,
    /// Who is there on other nodes.
    pub(super) members: Members,
}

/// A publication of a browser on its way through the log.
pub(super) struct Own {
    pub(super) id: MessageId,
    pub(super) connection: ConnectionId,
    pub(super) request: u32,
    /// Once the log has answered.
    pub(super) offset: Option<u64>,
}

/// The log's answer to the opening of a channel.
pub(super) struct Opening {
    pub(super) position: Position,
    pub(super) floor: u64,
    pub(super) recent: Vec<StoredPublication>,
}

/// Channels to look after at a moment, soonest first.
#[derive(Default)]
pub(super) struct Mend(BTreeSet<(u64, ChannelKey)>);

impl LogKind {
    /// The log of a channel that keeps so much.
    pub(super) fn of(retention: Retention) -> Self {
        match retention {
            Retention::Ephemeral => Self::Live,
            Retention::Window => Self::Window,
            Retention::Durable { .. } => Self::Durable,
        }
    }
}

impl Mend {
    fn put(&mut self, at_ms: u64, key: &ChannelKey) {
        self.0.insert((at_ms, key.clone()));
    }

    fn due(&mut self, now: Now) -> Option<ChannelKey> {
        self.0.first().filter(|(at, _)| *at <= now.0)?;
        self.0.pop_first().map(|(_, key)| key)
    }
}

impl Followed {
    /// Nothing is to be told to the log.
    pub(super) fn is_settled(&self) -> bool {
        self.mark_ms.is_none()
    }

    /// Where the log says that the channel stands. Something that the log does not know yet counts as missing.
    fn stand_at(&mut self, opening: &Opening, same_life: bool) {
        let offset = opening.position.offset;
        self.known = offset;
        self.floor = match opening.recent.is_empty() {
            true => opening.floor.min(offset),
            false => offset,
        };
        self.barrier = if same_life { self.barrier } else { 0 };
        if self.mark_ms.is_some() {
            self.barrier = offset + 1;
        }
        self.adrift = false;
        self.own.clear();
    }
}

impl<T> Shard<T> {
    /// Asks the log to open a channel, which takes inputs once it has answered.
    pub(super) fn follow(&mut self, key: &ChannelKey, effects: &mut impl Effects<Token = T>) {
        let sequence = self.sequencer.ready(key);
        if !matches!(sequence.state, State::Opening(_)) {
            sequence.state = State::Opening(Vec::new());
        }
        let kind = LogKind::of(sequence.retention);
        let log = sequence.log_mut();
        log.kind = Some(kind);
        log.outdated = false;
        let start = Position {
            epoch: sequence.epoch,
            offset: 0,
        };
        let (tenant, channel) = key.clone();
        let ticket = self.tickets.open(Then::Opened(key.clone()));
        effects.store(
            ticket,
            StoreRequest::OpenChannel {
                tenant,
                channel,
                start,
                renewed: None,
                log: Some(kind),
            },
        );
    }

    /// The log has opened a channel. Who was subscribed before comes back with its position: the log may be another one,
    /// and what it had meanwhile was told to nobody.
    pub(super) fn on_followed(
        &mut self,
        now: Now,
        key: &ChannelKey,
        opening: Opening,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(sequence) = self.sequencer.get_mut(key) else {
            return;
        };
        let kind = LogKind::of(sequence.retention);
        let log = sequence.log_mut();
        let before = log.kind.replace(kind);
        if before != Some(kind) || log.outdated {
            // It changed meanwhile, and what waits goes on waiting.
            self.unfollow(key, before.filter(|before| *before != kind), effects);
            return self.follow(key, effects);
        }
        let State::Opening(waiting) = std::mem::replace(&mut sequence.state, State::Ready) else {
            return;
        };
        let same_life = sequence.epoch == opening.position.epoch;
        sequence.log_mut().stand_at(&opening, same_life);
        sequence.epoch = opening.position.epoch;
        sequence.offset = opening.position.offset;
        sequence.delivered = opening.position.offset;
        self.sequencer.windows.clear(key);
        if kind != LogKind::Live {
            self.fill_window(key, opening);
        }
        self.tell_gap(key, effects);
        self.watch_members(key, effects);
        for input in waiting {
            self.handle(now, input, effects);
        }
    }

    /// The log could not open a channel.
    pub(super) fn on_not_followed(
        &mut self,
        now: Now,
        key: &ChannelKey,
        failure: &StoreFailure,
        effects: &mut impl Effects<Token = T>,
    ) {
        let live = *failure == StoreFailure::NoQuorum && self.goes_on_live();
        let Some(sequence) = self.sequencer.get_mut(key) else {
            return;
        };
        let next = if live { State::Ready } else { State::Closed };
        let State::Opening(waiting) = std::mem::replace(&mut sequence.state, next) else {
            return;
        };
        let log = sequence.log_mut();
        log.adrift = live;
        self.sequencer.windows.clear(key);
        self.sequencer.mend.put(now.0 + AGAIN_MS, key);
        if live {
            self.watch_members(key, effects);
        } else {
            let kind = self.sequencer.ready(key).log_mut().kind.take();
            self.unfollow(key, kind, effects);
        }
        for input in waiting {
            if live {
                self.handle(now, input, effects);
            } else {
                self.refuse_input(now, key, input, &unavailable(failure), effects);
            }
        }
    }

    /// What the node followed is another log from now on, or is not to be relied on.
    pub(super) fn follow_anew(&mut self, key: &ChannelKey, effects: &mut impl Effects<Token = T>) {
        let Some(sequence) = self.sequencer.get_mut(key) else {
            return;
        };
        if !matches!(sequence.state, State::Ready) {
            sequence.log_mut().outdated = true;
            return;
        }
        let kind = LogKind::of(sequence.retention);
        let unused = sequence.interested.is_empty();
        let log = sequence.log_mut();
        let before = match unused || log.kind != Some(kind) {
            true => log.kind.take(),
            false => None,
        };
        if unused {
            sequence.state = State::Closed;
        }
        self.sequencer.windows.clear(key);
        self.unfollow(key, before, effects);
        if !unused {
            self.follow(key, effects);
        }
    }

    /// Settings or rules have changed.
    pub(super) fn review_log(&mut self, key: &ChannelKey, effects: &mut impl Effects<Token = T>) {
        let Some(sequence) = self.sequencer.get(key) else {
            return;
        };
        let kind = LogKind::of(sequence.retention);
        let followed = sequence.log.as_ref().and_then(|log| log.kind);
        if followed.is_some_and(|followed| followed != kind) {
            self.follow_anew(key, effects);
        }
    }

    pub(super) fn unfollow(
        &mut self,
        key: &ChannelKey,
        kind: Option<LogKind>,
        effects: &mut impl Effects<Token = T>,
    ) {
        if let Some(kind) = kind {
            effects.unfollow(key.0, &key.1, kind);
        }
    }

    /// Whether publications are delivered without a log while its quorum is lost.
    pub(super) fn goes_on_live(&self) -> bool {
        let settings = self.cluster.as_ref().map(|cluster| cluster.settings);
        settings.is_some_and(|settings| settings.on_quorum_loss == QuorumLoss::Live)
    }

    /// Something was delivered that the log lacks: the log is told so once it is back.
    pub(super) fn note_lossy(&mut self, now: Now, key: &ChannelKey, delay_ms: u64) {
        let Some(sequence) = self.sequencer.get_mut(key) else {
            return;
        };
        let until = sequence.delivered + 1;
        let log = sequence.log_mut();
        log.barrier = log.barrier.max(until);
        if !planted("engine-marks-no-gap") {
            let due = now.0 + delay_ms;
            log.mark_ms = Some(log.mark_ms.map_or(due, |before| before.min(due)));
            self.sequencer.mend.put(due, key);
        }
    }

    /// The log knows by now that it lacks something.
    pub(super) fn on_gap(
        &mut self,
        key: &ChannelKey,
        offset: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(sequence) = self.sequencer.get_mut(key).filter(|one| one.follows()) else {
            return;
        };
        if offset <= sequence.delivered {
            return;
        }
        sequence.delivered = offset;
        let log = sequence.log_mut();
        log.known = offset;
        log.floor = offset;
        log.barrier = offset;
        log.mark_ms = None;
        self.sequencer.windows.clear(key);
        self.tell_gap(key, effects);
    }

    /// The log has noted that it lacks something, or could not.
    pub(super) fn on_gap_marked(
        &mut self,
        now: Now,
        key: &ChannelKey,
        result: Result<u64, StoreFailure>,
    ) {
        let Some(sequence) = self.sequencer.get_mut(key) else {
            return;
        };
        let log = sequence.log_mut();
        log.marking = false;
        log.mark_ms = result.is_err().then_some(now.0 + AGAIN_MS);
        if log.mark_ms.is_some() {
            self.sequencer.mend.put(now.0 + AGAIN_MS, key);
        }
    }

    /// Asks once more what the log could not do.
    pub(super) fn mend(&mut self, now: Now, effects: &mut impl Effects<Token = T>) {
        while let Some(key) = self.sequencer.mend.due(now) {
            let Some(sequence) = self.sequencer.get_mut(&key) else {
                continue;
            };
            let kind = LogKind::of(sequence.retention);
            let in_use = !sequence.interested.is_empty();
            let closed = matches!(sequence.state, State::Closed);
            let log = sequence.log_mut();
            let marks = log.mark_ms.is_some_and(|at| at <= now.0) && !log.marking;
            let adrift = log.adrift;
            if marks && kind != LogKind::Live {
                log.marking = true;
                self.mark_gap(&key, kind, effects);
            } else if marks {
                log.mark_ms = None;
            }
            if adrift {
                self.follow_anew(&key, effects);
            } else if closed && in_use {
                self.follow(&key, effects);
            }
        }
    }

    fn mark_gap(&mut self, key: &ChannelKey, log: LogKind, effects: &mut impl Effects<Token = T>) {
        let (tenant, channel) = key.clone();
        let ticket = self.tickets.open(Then::GapMarked(key.clone()));
        let request = StoreRequest::MarkGap {
            tenant,
            channel,
            log,
        };
        effects.store(ticket, request);
    }

    fn fill_window(&mut self, key: &ChannelKey, opening: Opening) {
        let epoch: Epoch = opening.position.epoch;
        let conflate = self.sequencer.ready(key).conflate;
        let (most, budget) = (self.limits.window_publications, self.window_budget());
        let mut previous = opening.floor;
        for row in opening.recent {
            let offset = row.offset;
            let place = Place {
                epoch,
                offset,
                previous,
            };
            previous = offset;
            let (tenant, channel) = key.clone();
            let mut publication = Publication::new(tenant, channel, row.content, Some(place));
            publication.conflate = conflate;
            let publication = std::sync::Arc::new(publication);
            self.sequencer.windows.keep(key, &publication, most, budget);
        }
    }

    /// Subscribers come back with their positions.
    fn tell_gap(&self, key: &ChannelKey, effects: &mut impl Effects<Token = T>) {
        let Some(sequence) = self.sequencer.get(key) else {
            return;
        };
        for (shard, _) in &sequence.interested {
            let (tenant, channel) = key.clone();
            effects.send(*shard, Message::Gap { tenant, channel });
        }
    }
}
