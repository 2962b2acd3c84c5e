//! The channels that a shard puts in order: offsets, recent history, and which shards have subscribers.

use std::collections::{HashMap, VecDeque};

use cometql_protocol::planted::planted;
use cometql_protocol::wire::{Epoch, Position};
use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::followed::{Followed, Mend};
use super::tickets::Then;
use super::window::Windows;
use super::{ChannelKey, Input, Shard, unavailable};
use crate::permission::{Conflate, Retention};
use crate::{
    Answer, ConnectionId, Effects, Message, Now, Reject, ShardId, StoreFailure, StoreRequest,
};

/// All channels that this shard sequences and that are in use.
pub(super) struct Sequencer<T> {
    channels: HashMap<ChannelKey, Sequence<T>, FixedState>,
    /// `pipes_settings`: publications that a channel keeps on disk.
    pub(super) settings: HashMap<ChannelKey, u64, FixedState>,
    pub(super) windows: Windows,
    /// When to look whether a channel is still in use, soonest first.
    look: VecDeque<(u64, ChannelKey)>,
    /// In a cluster: channels that are in trouble with the log.
    pub(super) mend: Mend,
}

/// One channel in order.
pub(super) struct Sequence<T> {
    pub(super) retention: Retention,
    pub(super) conflate: Option<Conflate>,
    pub(super) state: State<T>,
    pub(super) epoch: Epoch,
    /// The last offset given out.
    pub(super) offset: u64,
    /// The last offset delivered; behind `offset` while the store writes.
    pub(super) delivered: u64,
    /// Appends that the store has not answered.
    pub(super) appending: u32,
    /// Subscriptions per shard, those that wait for their answer included.
    pub(super) interested: SmallVec<[(ShardId, u32); 2]>,
    /// Subscriptions that were refused and have not left yet, of which others were not told that they joined.
    refused: Vec<ConnectionId>,
    used_ms: u64,
    /// It has been in use without the store since the store was asked last, or is about to be.
    unsaved: bool,
    /// What it has more when a cluster's log orders it, and not this node.
    pub(super) log: Option<Box<Followed>>,
}

pub(super) enum State<T> {
    Ready,
    /// The store was asked; these inputs wait for it.
    Opening(Vec<Input<T>>),
    /// The store failed, or was not asked yet: the next input asks.
    Closed,
}

impl<T> Default for Sequencer<T> {
    fn default() -> Self {
        Self {
            channels: HashMap::default(),
            settings: HashMap::default(),
            windows: Windows::default(),
            look: VecDeque::new(),
            mend: Mend::default(),
        }
    }
}

impl<T> Sequencer<T> {
    pub(super) fn get(&self, key: &ChannelKey) -> Option<&Sequence<T>> {
        self.channels.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &ChannelKey) -> Option<&mut Sequence<T>> {
        self.channels.get_mut(key)
    }

    /// The channel that `Shard::ready` said is ready.
    pub(super) fn ready(&mut self, key: &ChannelKey) -> &mut Sequence<T> {
        self.channels
            .get_mut(key)
            .expect("a channel that is ready exists until a tick forgets it")
    }

    pub(super) fn keys(&self) -> Vec<ChannelKey> {
        self.channels.keys().cloned().collect()
    }

    /// The window holds every delivered publication with a larger offset.
    pub(super) fn floor(&self, key: &ChannelKey) -> u64 {
        let floor = |sequence: &Sequence<T>| match &sequence.log {
            None => sequence.delivered,
            Some(log) => log.floor,
        };
        let empty = || self.channels.get(key).map_or(0, floor);
        self.windows.floor(key).unwrap_or_else(empty)
    }
}

impl<T> Sequence<T> {
    /// Where the channel is, as subscribers know it.
    pub(super) fn position(&self) -> Option<Position> {
        match self.retention {
            Retention::Ephemeral => None,
            _ if self.log.as_ref().is_some_and(|log| log.adrift) => None,
            Retention::Window | Retention::Durable { .. } => Some(Position {
                epoch: self.epoch,
                offset: self.delivered,
            }),
        }
    }

    pub(super) fn join(&mut self, shard: ShardId) {
        match self
            .interested
            .iter_mut()
            .find(|(interested, _)| *interested == shard)
        {
            Some((_, count)) => *count += 1,
            None => self.interested.push((shard, 1)),
        }
    }

    pub(super) fn leave(&mut self, shard: ShardId) {
        let Some(at) = self
            .interested
            .iter()
            .position(|(interested, _)| *interested == shard)
        else {
            return;
        };
        self.interested[at].1 -= 1;
        if self.interested[at].1 == 0 {
            self.interested.swap_remove(at);
        }
    }

    /// Whether the connection's subscription was refused. It has left now: its next one is another.
    pub(super) fn forget_refused(&mut self, connection: ConnectionId) -> bool {
        let at = self
            .refused
            .iter()
            .position(|refused| *refused == connection);
        at.map(|at| self.refused.swap_remove(at)).is_some()
    }

    fn is_durable(&self) -> bool {
        matches!(self.retention, Retention::Durable { .. })
    }

    /// What was published without offsets is in no history: no position from before it may count as complete.
    fn skip_unknown(&mut self) {
        self.offset += 1;
        self.delivered = self.offset;
    }

    fn is_idle(&self) -> bool {
        let settled = self.log.as_ref().is_none_or(|log| log.is_settled());
        let in_use = matches!(self.state, State::Opening(_)) || self.appending > 0 || !settled;
        self.interested.is_empty() && !in_use
    }

    /// Subscribers may be let in.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// The log tells what is published.
    pub(super) fn follows(&self) -> bool {
        let log = self.log.as_ref();
        let told = log.is_some_and(|log| log.kind.is_some() && !log.adrift);
        told && self.is_open() && self.retention != Retention::Ephemeral
    }

    /// What it has more as a channel of a cluster.
    pub(super) fn log_mut(&mut self) -> &mut Followed {
        self.log
            .as_mut()
            .expect("all channels of a cluster's node have it")
    }
}

impl<T> Shard<T> {
    /// Whether the channel can take inputs now. Makes it if it is new; a durable one asks the store first, and then
    /// the caller defers its input.
    pub(super) fn ready(
        &mut self,
        now: Now,
        key: &ChannelKey,
        effects: &mut impl Effects<Token = T>,
    ) -> bool {
        if let Some(sequence) = self.sequencer.channels.get_mut(key) {
            sequence.used_ms = now.0;
            match sequence.state {
                State::Ready => return true,
                State::Opening(_) => return false,
                // It stopped being durable since: nothing in the store concerns it.
                State::Closed if self.cluster.is_none() && !sequence.is_durable() => {
                    sequence.state = State::Ready;
                    return true;
                }
                State::Closed => {}
            }
        } else {
            self.create(now, key, effects);
            if self.cluster.is_none() && !self.is_durable(key) {
                return true;
            }
        }
        match self.cluster {
            None => self.open_durable(key, effects),
            Some(_) => self.follow(key, effects),
        }
        false
    }

    /// Whether something can be published to the channel, or deleted from it. By a log that needs no opening, but who
    /// subscribes and then publishes is to hear of it.
    pub(super) fn ready_to_change(
        &mut self,
        now: Now,
        key: &ChannelKey,
        effects: &mut impl Effects<Token = T>,
    ) -> bool {
        if self.cluster.is_none() {
            return self.ready(now, key, effects);
        }
        let Some(sequence) = self.sequencer.get_mut(key) else {
            self.create(now, key, effects);
            return true;
        };
        sequence.used_ms = now.0;
        !matches!(sequence.state, State::Opening(_))
    }

    /// Keeps an input for when the store has opened the channel.
    pub(super) fn defer(&mut self, key: &ChannelKey, input: Input<T>) {
        match &mut self.sequencer.ready(key).state {
            State::Opening(waiting) => waiting.push(input),
            State::Ready | State::Closed => {
                unreachable!("only a channel that is being opened defers")
            }
        }
    }

    pub(super) fn on_opened(
        &mut self,
        now: Now,
        key: &ChannelKey,
        result: Result<Position, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(sequence) = self.sequencer.get_mut(key) else {
            return;
        };
        let failure = result.as_ref().err().cloned();
        let failure = failure.filter(|_| sequence.is_durable());
        let next = if failure.is_none() {
            State::Ready
        } else {
            State::Closed
        };
        let State::Opening(waiting) = std::mem::replace(&mut sequence.state, next) else {
            return;
        };
        let goes_on = match result {
            Ok(position) if sequence.is_durable() => sequence.stand_at(position),
            Err(_) if sequence.is_durable() => true,
            // The store has given up the epoch: it is this life's alone from now on.
            Ok(position) if position.epoch != sequence.epoch => true,
            // It has not, and after the next start it might go on in it from where it stands.
            Ok(_) | Err(_) if planted("engine-keeps-the-epoch") => true,
            Ok(_) | Err(_) => {
                sequence.epoch = Epoch(effects.random());
                false
            }
        };
        if !goes_on {
            self.sequencer.windows.clear(key);
        }
        for input in waiting {
            match &failure {
                None => self.handle(now, input, effects),
                Some(failure) => self.refuse_input(now, key, input, &unavailable(failure), effects),
            }
        }
    }

    /// Applies settings and rules as they are now to a channel that is in use.
    pub(super) fn review(&mut self, key: &ChannelKey, effects: &mut impl Effects<Token = T>) {
        let retention = self.retention(key);
        let conflate = self.rules.behaviour(key.0, key.1.as_str()).conflate;
        let Some(sequence) = self.sequencer.get_mut(key) else {
            return;
        };
        let ended = sequence.conflate.map(|_| Conflate::Ended);
        sequence.conflate = conflate.or(ended);
        let (was_durable, was) = (sequence.is_durable(), sequence.retention);
        sequence.retention = retention;
        if self.cluster.is_some() {
            return self.review_log(key, effects);
        }
        if was == Retention::Ephemeral && retention != Retention::Ephemeral {
            sequence.skip_unknown();
            self.sequencer.windows.clear(key);
        }
        // The store answers in order. So a channel that stops being durable waits for it too, or what is published now
        // would overtake what the store still writes or reads.
        let sequence = self.sequencer.ready(key);
        if sequence.is_durable() != was_durable {
            sequence.unsaved = true;
            self.open_durable(key, effects);
        }
    }

    pub(super) fn forget_old_publications(&mut self, now: Now) {
        let horizon = now.0.saturating_sub(self.limits.window_ms);
        self.sequencer.windows.forget(horizon);
    }

    /// A channel that nobody used for the window's time is forgotten: nobody can hold a position in it that the window
    /// could still serve.
    pub(super) fn forget_idle_channels(&mut self, now: Now, effects: &mut impl Effects<Token = T>) {
        while self
            .sequencer
            .look
            .front()
            .is_some_and(|(at, _)| *at <= now.0)
        {
            let Some((_, key)) = self.sequencer.look.pop_front() else {
                return;
            };
            let Some(sequence) = self.sequencer.channels.get(&key) else {
                continue;
            };
            let unused = sequence.used_ms + self.limits.window_ms <= now.0;
            if unused && sequence.is_idle() && self.sequencer.windows.is_empty(&key) {
                let kind = sequence.log.as_ref().and_then(|log| log.kind);
                self.unfollow(&key, kind, effects);
                self.sequencer.channels.remove(&key);
            } else {
                self.sequencer
                    .look
                    .push_back((now.0 + self.limits.window_ms, key));
            }
        }
    }

    /// A channel that could not be opened: leaving it needs no store.
    pub(super) fn is_closed(&self, key: &ChannelKey) -> bool {
        let sequence = self.sequencer.get(key);
        sequence.is_some_and(|sequence| matches!(sequence.state, State::Closed))
    }

    fn create(&mut self, now: Now, key: &ChannelKey, effects: &mut impl Effects<Token = T>) {
        let sequence = Sequence {
            retention: self.retention(key),
            conflate: self.rules.behaviour(key.0, key.1.as_str()).conflate,
            state: match self.cluster {
                None => State::Ready,
                Some(_) => State::Closed,
            },
            epoch: Epoch(effects.random()),
            offset: 0,
            delivered: 0,
            appending: 0,
            interested: SmallVec::new(),
            refused: Vec::new(),
            used_ms: now.0,
            unsaved: false,
            log: self.cluster.as_ref().map(|_| Box::default()),
        };
        self.sequencer.channels.insert(key.clone(), sequence);
        self.sequencer
            .look
            .push_back((now.0 + self.limits.window_ms, key.clone()));
    }

    fn open_durable(&mut self, key: &ChannelKey, effects: &mut impl Effects<Token = T>) {
        let sequence = self.sequencer.ready(key);
        if matches!(sequence.state, State::Opening(_)) {
            return;
        }
        sequence.state = State::Opening(Vec::new());
        let (tenant, channel) = key.clone();
        let start = Position {
            epoch: sequence.epoch,
            offset: match planted("engine-opens-at-the-beginning") {
                true => 0,
                false => sequence.offset,
            },
        };
        let renews = sequence.unsaved && !planted("engine-keeps-the-epoch");
        let renewed = renews.then(|| Epoch(effects.random()));
        let ticket = self.tickets.open(Then::Opened(key.clone()));
        effects.store(
            ticket,
            StoreRequest::OpenChannel {
                tenant,
                channel,
                start,
                renewed,
                log: None,
            },
        );
    }

    fn is_durable(&self, key: &ChannelKey) -> bool {
        self.sequencer.get(key).is_some_and(Sequence::is_durable)
    }

    /// What the channel keeps: `pipes_settings` first, then the rules.
    pub(super) fn retention(&self, key: &ChannelKey) -> Retention {
        let by_rule = self.rules.behaviour(key.0, key.1.as_str()).retention;
        let length = self.sequencer.settings.get(key).copied().unwrap_or(0);
        by_rule.with_length(length)
    }

    /// Answers an input that waited for a channel that can't be opened.
    pub(super) fn refuse_input(
        &mut self,
        now: Now,
        key: &ChannelKey,
        input: Input<T>,
        reject: &Reject,
        effects: &mut impl Effects<Token = T>,
    ) {
        let reject = reject.clone();
        match input {
            Input::Command(_, token) => effects.answer(token, Answer::Rejected(reject)),
            Input::Message(Message::Subscribe {
                connection,
                request,
                channel,
                attempt,
                joins,
                ..
            }) => {
                // It counts until its session leaves, as every subscription: the refusal may cross an unsubscribe.
                let sequence = self.sequencer.ready(key);
                sequence.join(connection.shard());
                if joins.is_some() {
                    sequence.refused.push(connection);
                }
                let attempt = Some(attempt);
                let refused = Message::Refused {
                    connection,
                    request,
                    channel,
                    attempt,
                    reject,
                };
                effects.send(connection.shard(), refused);
            }
            Input::Message(Message::Unsubscribe {
                connection,
                leaves,
                departure,
                ..
            }) => self.on_unsubscribe(now, key, connection, leaves, departure, effects),
            Input::Message(
                Message::Publish {
                    connection,
                    request,
                    channel,
                    ..
                }
                | Message::History {
                    connection,
                    request,
                    channel,
                    ..
                },
            ) => {
                let refused = Message::Refused {
                    connection,
                    request,
                    channel,
                    attempt: None,
                    reject,
                };
                effects.send(connection.shard(), refused);
            }
            // What the engine itself publishes is lost.
            Input::Message(Message::PublishInternal { .. }) => {}
            other => self.handle(now, other, effects),
        }
    }
}

impl<T> Sequence<T> {
    /// Goes on where the store says: it knows all offsets of this life, and of those before in the same epoch. Whether that
    /// is where the channel was.
    fn stand_at(&mut self, position: Position) -> bool {
        self.unsaved = false;
        let goes_on = self.epoch == position.epoch && self.offset == position.offset;
        if !goes_on {
            self.epoch = position.epoch;
            self.offset = position.offset;
            self.delivered = position.offset;
        }
        goes_on
    }
}
