//! The session's side of subscribing: it asks the sequencer (`replay.rs`), hears its answer, and then publications flow.

use std::sync::Arc;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::{Member, Position, Reply, Subscribe};
use cometql_protocol::{ChannelName, ErrorCode};

use super::connections::{Session, State, Subscription};
use super::locals::Subscriber;
use super::trace::Happened;
use super::{ChannelKey, Shard};
use crate::effects::Counted;
use crate::permission::{Action, Decision};
use crate::{ConnectionId, Departure, Effects, Message, Now, Publication, Push, Reject};

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
        let most = match planted("engine-forgets-the-subscription-limit") {
            true => usize::MAX,
            false => self.limits.subscriptions,
        };
        if session.subscriptions.len() >= most {
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
        let tells = local.join_leave && !planted("engine-forgets-who-was-refused");
        let leaves = tells.then_some(member);
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
        let last = position.map_or(0, |position| position.offset);
        let reach = replay.first().map_or(0, |first| last + 1 - first.offset());
        let subscribed = Happened::Subscribed {
            position,
            recovered,
            replayed: u16::try_from(replayed).unwrap_or(u16::MAX),
            reach: u32::try_from(reach).unwrap_or(u32::MAX),
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
