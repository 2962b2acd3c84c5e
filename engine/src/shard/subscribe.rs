//! Subscribing: the session's side asks, the sequencer answers with replay and position, then publications flow.

use std::sync::Arc;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::{Member, Position, Reply, Subscribe};
use cometql_protocol::{ChannelName, ErrorCode};

use super::connections::{Session, State, Subscription};
use super::locals::Subscriber;
use super::tickets::{Replay, Then};
use super::trace::Happened;
use super::{ChannelKey, Shard, unavailable};
use crate::effects::Counted;
use crate::permission::{Action, Decision, Retention};
use crate::publication::Place;
use crate::{
    ConnectionId, Departure, Effects, Message, Now, Publication, Push, Reject, StoreFailure,
    StoreRequest, StoredPublication,
};

impl<T> Shard<T> {
    /// The session may: asks the sequencer.
    pub(super) fn subscribe(
        &mut self,
        connection: ConnectionId,
        request: u32,
        channel: ChannelName,
        subscribe: &Subscribe,
        effects: &mut impl Effects<Token = T>,
    ) -> Result<(), Reject> {
        let Some(session) = self.connections.get_mut(connection) else {
            return Ok(());
        };
        let tenant = session.settings.tenant;
        let key = (tenant, channel.clone());
        let known = self
            .locals
            .find(&key)
            .and_then(|local| session.subscription(local));
        if let Some(at) = known {
            return self.resume((connection, request), &key, at, subscribe.since, effects);
        }
        if session.subscriptions.len() >= self.limits.subscriptions {
            let message = format!(
                "a session may have {} subscriptions",
                self.limits.subscriptions
            );
            return Err(Reject::new(ErrorCode::TooManySubscriptions, message));
        }
        let join_leave = self.rules.behaviour(tenant, channel.as_str()).join_leave;
        let local = self.locals.join(key, join_leave);
        let attempt = session.attempts;
        session.attempts = session.attempts.wrapping_add(1);
        session.subscriptions.push(Subscription {
            local,
            attempt,
            state: State::Pending,
        });
        let joins = self.locals.get(local).join_leave.then(|| session.member());
        let history = self.rules.decide(
            tenant,
            session.identity(),
            channel.as_str(),
            Action::History,
        );
        let may_read_history = history != Decision::Deny;
        let to = self.sequencer_of(tenant, &channel);
        let since = subscribe.since;
        let ask = Message::Subscribe {
            connection,
            request,
            tenant,
            channel,
            attempt,
            since,
            may_read_history,
            joins,
        };
        effects.send(to, ask);
        Ok(())
    }

    /// A client that misses something asks again with its position: the subscription begins anew from there, and nobody
    /// is told that somebody left or joined.
    fn resume(
        &mut self,
        (connection, request): (ConnectionId, u32),
        key: &ChannelKey,
        at: usize,
        since: Option<Position>,
        effects: &mut impl Effects<Token = T>,
    ) -> Result<(), Reject> {
        let Some(session) = self.connections.get_mut(connection) else {
            return Ok(());
        };
        let before = session.subscriptions[at];
        if since.is_none() || before.state == State::Pending {
            let message = "this session is subscribed to that channel already";
            return Err(Reject::new(ErrorCode::AlreadySubscribed, message));
        }
        let attempt = session.attempts;
        session.attempts = session.attempts.wrapping_add(1);
        session.subscriptions[at] = Subscription {
            attempt,
            state: State::Pending,
            ..before
        };
        let (tenant, channel) = key.clone();
        let who = session.identity();
        let history = self
            .rules
            .decide(tenant, who, channel.as_str(), Action::History);
        self.locals.wait(before.local);
        self.drop_local(before);
        let to = self.sequencer_of(tenant, &channel);
        let leave = Message::Unsubscribe {
            connection,
            tenant,
            channel: channel.clone(),
            leaves: None,
            departure: Departure::ForGood,
        };
        effects.send(to, leave);
        let ask = Message::Subscribe {
            connection,
            request,
            tenant,
            channel,
            attempt,
            since,
            may_read_history: history != Decision::Deny,
            joins: None,
        };
        effects.send(to, ask);
        Ok(())
    }

    /// Ends a subscription of the session, active or still waiting. `false` = there is none.
    pub(super) fn unsubscribe(
        &mut self,
        connection: ConnectionId,
        channel: &ChannelName,
        effects: &mut impl Effects<Token = T>,
    ) -> bool {
        let Some(session) = self.connections.get_mut(connection) else {
            return false;
        };
        let key = (session.settings.tenant, channel.clone());
        let Some(local) = self.locals.find(&key) else {
            return false;
        };
        let Some(at) = session.subscription(local) else {
            return false;
        };
        let subscription = session.subscriptions.swap_remove(at);
        let member = session.member();
        let departure = Departure::ForGood;
        self.end_subscription(connection, subscription, member, departure, effects);
        true
    }

    /// Takes a subscription that is no longer in its session out of the channel, and tells the sequencer.
    pub(super) fn end_subscription(
        &mut self,
        connection: ConnectionId,
        subscription: Subscription,
        member: Member,
        departure: Departure,
        effects: &mut impl Effects<Token = T>,
    ) {
        let channel = self.locals.get(subscription.local);
        let (tenant, name) = channel.key.clone();
        let leaves = channel.join_leave.then_some(member);
        self.drop_local(subscription);
        let to = self.sequencer_of(tenant, &name);
        effects.send(
            to,
            Message::Unsubscribe {
                connection,
                tenant,
                channel: name,
                leaves,
                departure,
            },
        );
    }

    /// Gives up a subscription that the sequencer refused.
    fn end_refused(
        &mut self,
        connection: ConnectionId,
        channel: &ChannelName,
        subscription: Subscription,
        member: Member,
        effects: &mut impl Effects<Token = T>,
    ) {
        let local = self.locals.get(subscription.local);
        let (tenant, _) = local.key;
        // It joined if it was subscribed before, and asked to go on from a position: the sequencer knows.
        let leaves = local.join_leave.then_some(member);
        self.locals.give_up(subscription.local);
        let leave = Message::Unsubscribe {
            connection,
            tenant,
            channel: channel.clone(),
            leaves,
            departure: Departure::ForGood,
        };
        effects.send(self.sequencer_of(tenant, channel), leave);
    }

    fn drop_local(&mut self, subscription: Subscription) {
        let local = subscription.local;
        let State::Active(at) = subscription.state else {
            return self.locals.give_up(local);
        };
        let Some(moved) = self.locals.leave(local, at) else {
            return;
        };
        let session = self
            .connections
            .get_mut(moved)
            .expect("a subscriber's session is open");
        let index = session
            .subscription(local)
            .expect("a subscriber's session knows the channel");
        session.subscriptions[index].state = State::Active(at);
    }

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

    /// The session's shard has the sequencer's answer: from here on publications flow.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_subscribed(
        &mut self,
        now: Now,
        connection: ConnectionId,
        request: u32,
        channel: ChannelName,
        attempt: u32,
        position: Option<Position>,
        recovered: bool,
        replay: &[Arc<Publication>],
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some((session, at)) = self.waiting(connection, &channel, attempt) else {
            return;
        };
        let local = session.subscriptions[at].local;
        let subscriber = Subscriber {
            connection,
            since_ms: now.0,
        };
        let place = self.locals.activate(local, subscriber);
        let session = self.connections.get_mut(connection).expect("found above");
        session.subscriptions[at].state = State::Active(place);
        let replayed = replay.len();
        let subscribed = Happened::Subscribed {
            position,
            recovered,
            replayed: u32::try_from(replayed).unwrap_or(u32::MAX),
        };
        self.note(connection, Some(&channel), subscribed);
        effects.reply(
            connection,
            request,
            Reply::Subscribed {
                channel,
                position,
                recovered,
                replayed,
            },
        );
        for publication in replay {
            effects.push(connection, Push::Publication(publication));
        }
        effects.count(Counted::Deliveries, replayed as u64);
    }

    /// The sequencer could not do what a session asked.
    pub(super) fn on_refused(
        &mut self,
        connection: ConnectionId,
        request: u32,
        channel: &ChannelName,
        attempt: Option<u32>,
        reject: &Reject,
        effects: &mut impl Effects<Token = T>,
    ) {
        if let Some(attempt) = attempt {
            let Some((session, at)) = self.waiting(connection, channel, attempt) else {
                return;
            };
            let subscription = session.subscriptions.swap_remove(at);
            let member = session.member();
            // The sequencer counts it until it leaves.
            self.end_refused(connection, channel, subscription, member, effects);
        }
        self.refuse(connection, request, reject, Some(channel.as_str()), effects);
    }

    /// The session whose subscription with this mark waits for the sequencer, unless it was given up meanwhile.
    fn waiting(
        &mut self,
        connection: ConnectionId,
        channel: &ChannelName,
        attempt: u32,
    ) -> Option<(&mut Session, usize)> {
        let session = self.connections.get_mut(connection)?;
        let local = self
            .locals
            .find(&(session.settings.tenant, channel.clone()))?;
        let at = session.subscription(local)?;
        let subscription = session.subscriptions[at];
        let waits = subscription.attempt == attempt && subscription.state == State::Pending;
        waits.then_some((session, at))
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
