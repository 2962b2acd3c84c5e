//! What browsers ask, in the order in which each asks it.

use std::collections::VecDeque;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::{History, Publish, Reply, Request, RequestBody, is_json_container};
use cometql_protocol::{ChannelName, ErrorCode, EventName, UserId};

use super::connections::Session;
use super::publish::random_id;
use super::tickets::Then;
use super::trace::Happened;
use super::{ChannelKey, Shard};
use crate::effects::Counted;
use crate::permission::{Action, Decision};
use crate::publication::Content;
use crate::{ConnectionId, Effects, Message, Now, Reject, StoreAnswer, StoreFailure, StoreRequest};

/// Whether the channel's list of members was asked already, and granted the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    Unasked,
    Granted,
}

/// What may stand between a request and its being done.
enum Halt {
    Refused(Reject),
    /// `pipes_members` must be asked for this channel.
    AskMembers(ChannelName),
}

impl From<Reject> for Halt {
    fn from(reject: Reject) -> Self {
        Self::Refused(reject)
    }
}

impl<T> Shard<T> {
    pub(super) fn on_request(
        &mut self,
        now: Now,
        connection: ConnectionId,
        request: Request,
        effects: &mut impl Effects<Token = T>,
    ) {
        let limit = self.limits.pending_requests;
        if let Err(too_fast) = self.may_ask(now, connection, cost(&request.body)) {
            let reject = too_fast.counted(effects);
            let channel = channel_of(&request.body);
            let which = (request.id, kind_of(&request.body));
            return self.refuse_request(connection, which, &reject, channel, effects);
        }
        let Some(session) = self.connections.get_mut(connection) else {
            return;
        };
        match &mut session.parked {
            None => self.carry_out(now, connection, request, Membership::Unasked, effects),
            Some(parked) if parked.len() < limit => parked.push_back(request),
            Some(_) => {
                let message = format!("{limit} requests of this session wait already");
                let reject = Reject::new(ErrorCode::RateLimited, message);
                self.refuse(connection, request.id, &reject, None, effects);
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        connection: ConnectionId,
        request: u32,
        reject: &Reject,
        channel: Option<&str>,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.refuse_request(connection, (request, ""), reject, channel, effects);
    }

    /// The request as its id and its kind.
    fn refuse_request(
        &mut self,
        connection: ConnectionId,
        (id, kind): (u32, &'static str),
        reject: &Reject,
        channel: Option<&str>,
        effects: &mut impl Effects<Token = T>,
    ) {
        effects.count(Counted::Refusals, 1);
        if self.connections.get(connection).is_some() {
            effects.refuse(connection, id, reject, channel);
            let name = channel.and_then(|name| ChannelName::parse(name).ok());
            let code = reject.code;
            let refused = Happened::Refused {
                request: kind,
                code,
            };
            self.note(connection, name.as_ref(), refused);
        }
    }

    /// The store has told whether the user of a parked session is a member: only then its request goes on.
    pub(super) fn on_member(
        &mut self,
        now: Now,
        connection: ConnectionId,
        request: Request,
        result: Result<StoreAnswer, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let id = request.id;
        match result {
            Ok(StoreAnswer::Member(true)) => {
                self.carry_out(now, connection, request, Membership::Granted, effects);
            }
            Ok(_) => {
                let message = "only users that pipes_members lists for the channel may";
                let reject = Reject::new(ErrorCode::PermissionDenied, message);
                self.refuse(connection, id, &reject, None, effects);
            }
            Err(failure) => {
                self.refuse(connection, id, &super::unavailable(&failure), None, effects)
            }
        }
        self.unpark(now, connection, effects);
    }

    /// Carries out what waited, until something parks the session again.
    pub(super) fn unpark(
        &mut self,
        now: Now,
        connection: ConnectionId,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(session) = self.connections.get_mut(connection) else {
            return;
        };
        let Some(mut waiting) = session.parked.take() else {
            return;
        };
        if planted("engine-forgets-what-waited") {
            waiting.clear();
        }
        while let Some(request) = waiting.pop_front() {
            self.carry_out(now, connection, request, Membership::Unasked, effects);
            let Some(session) = self.connections.get_mut(connection) else {
                return;
            };
            if let Some(parked) = &mut session.parked {
                parked.append(&mut waiting);
                return;
            }
        }
    }

    fn carry_out(
        &mut self,
        now: Now,
        connection: ConnectionId,
        request: Request,
        membership: Membership,
        effects: &mut impl Effects<Token = T>,
    ) {
        match self.attempt(now, connection, &request, membership, effects) {
            Ok(()) => {}
            Err(Halt::Refused(reject)) => {
                let channel = channel_of(&request.body);
                let which = (request.id, kind_of(&request.body));
                self.refuse_request(connection, which, &reject, channel, effects);
            }
            Err(Halt::AskMembers(channel)) => {
                self.ask_members(connection, request, channel, effects)
            }
        }
    }

    fn ask_members(
        &mut self,
        connection: ConnectionId,
        request: Request,
        channel: ChannelName,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(session) = self.connections.get_mut(connection) else {
            return;
        };
        let tenant = session.settings.tenant;
        let user = session.user().expect("only logged-in users may be members");
        session.parked = Some(VecDeque::new());
        let ticket = self.tickets.open(Then::Member {
            connection,
            request,
        });
        effects.store(
            ticket,
            StoreRequest::IsMember {
                tenant,
                channel,
                user,
            },
        );
    }

    fn attempt(
        &mut self,
        now: Now,
        connection: ConnectionId,
        request: &Request,
        membership: Membership,
        effects: &mut impl Effects<Token = T>,
    ) -> Result<(), Halt> {
        let id = request.id;
        let Some(session) = self.connections.get(connection) else {
            return Ok(());
        };
        let tenant = session.settings.tenant;
        match &request.body {
            RequestBody::Connect(connect) => self.connect(connection, id, connect, effects)?,
            RequestBody::Refresh { token } => self.refresh(connection, id, token, effects)?,
            RequestBody::Subscribe(subscribe) => {
                let key =
                    self.granted(session, &subscribe.channel, Action::Subscribe, membership)?;
                self.subscribe(connection, id, key.1, subscribe, effects)?;
            }
            RequestBody::Unsubscribe { channel } => {
                let channel = parse(channel)?;
                let ends = !planted("engine-keeps-subscriptions");
                if ends && !self.unsubscribe(connection, &channel, effects) {
                    let message = "this session is not subscribed to that channel";
                    return Err(Reject::new(ErrorCode::NotSubscribed, message).into());
                }
                self.note(connection, Some(&channel), Happened::Unsubscribed);
                effects.reply(connection, id, Reply::Unsubscribed { channel });
            }
            RequestBody::Publish(publish) => {
                self.publish_request(now, connection, id, publish, membership, effects)?;
            }
            RequestBody::Presence { channel } => {
                let key = self.granted(session, channel, Action::Presence, membership)?;
                self.ask_presence(connection, id, &key, false, effects);
            }
            RequestBody::PresenceCount { channel } => {
                let key = self.granted(session, channel, Action::PresenceCount, membership)?;
                self.ask_presence(connection, id, &key, true, effects);
            }
            RequestBody::History(history) => {
                let key = self.granted(session, &history.channel, Action::History, membership)?;
                self.ask_history(connection, id, key, history, effects);
            }
            RequestBody::Ack { offset } => {
                let user = session.user().ok_or_else(login_required)?;
                let up_to = *offset;
                let ack = Message::InboxAck {
                    connection,
                    request: id,
                    tenant,
                    user,
                    up_to,
                };
                effects.send(self.home_of((tenant, user)), ack);
            }
            RequestBody::UserData { user } => self.user_data(connection, id, *user, effects)?,
            RequestBody::UserStatus { user } => {
                let user = user_id(*user)?;
                let ask = Message::StatusAsk {
                    connection,
                    request: id,
                    tenant,
                    user,
                };
                effects.send(self.home_of((tenant, user)), ask);
            }
            RequestBody::Ping => effects.reply(connection, id, Reply::Pong),
        }
        Ok(())
    }

    fn publish_request(
        &mut self,
        now: Now,
        connection: ConnectionId,
        request: u32,
        publish: &Publish,
        membership: Membership,
        effects: &mut impl Effects<Token = T>,
    ) -> Result<(), Halt> {
        let (name, hidden) = match publish.channel.strip_prefix('@') {
            Some(name) => (name, true),
            None => (publish.channel.as_str(), false),
        };
        let event = EventName::parse(&publish.event)
            .map_err(|error| Reject::new(ErrorCode::BadName, format!("the event name {error}")))?;
        let Some(session) = self.connections.get(connection) else {
            return Ok(());
        };
        let (tenant, channel) = self.granted(session, name, Action::Publish, membership)?;
        let behaviour = self.rules.behaviour(tenant, name);
        let limit = behaviour
            .publication_bytes
            .unwrap_or(self.limits.browser_publication_bytes);
        if publish.data.len() > limit {
            let message = format!(
                "the payload has {} bytes; {limit} are allowed",
                publish.data.len()
            );
            return Err(Reject::new(ErrorCode::TooLarge, message).into());
        }
        let subscribed = self.is_active(session, &(tenant, channel.clone()));
        let user = session.user().filter(|_| !hidden);
        if let Err(too_fast) = self.may_publish(now, connection, name, &behaviour) {
            return Err(too_fast.counted(effects).into());
        }
        let content = Content {
            id: publish
                .id
                .map_or_else(|| random_id(effects), crate::MessageId),
            event,
            data: publish.data.as_str().into(),
            data_is_json: is_json_container(&publish.data),
            time_ms: now.0,
            user,
            from_browser: true,
            once: publish.id.is_some(),
        };
        let to = self.sequencer_of(tenant, &channel);
        effects.send(
            to,
            Message::Publish {
                connection,
                request,
                tenant,
                channel,
                content,
                subscribed,
            },
        );
        Ok(())
    }

    fn user_data(
        &mut self,
        connection: ConnectionId,
        request: u32,
        user: u64,
        effects: &mut impl Effects<Token = T>,
    ) -> Result<(), Reject> {
        let user = user_id(user)?;
        let Some(session) = self.connections.get(connection) else {
            return Ok(());
        };
        if !self.rules.may_read_user_data(session.identity(), user) {
            let message = "the rule user_data does not let this session read that user's data";
            return Err(Reject::new(ErrorCode::PermissionDenied, message));
        }
        let tenant = session.settings.tenant;
        let ticket = self.tickets.open(Then::UserData {
            connection,
            request,
            user,
        });
        effects.store(ticket, StoreRequest::UserData { tenant, user });
        Ok(())
    }

    fn ask_history(
        &self,
        connection: ConnectionId,
        request: u32,
        (tenant, channel): ChannelKey,
        history: &History,
        effects: &mut impl Effects<Token = T>,
    ) {
        let page = self.limits.history_page;
        let limit = history
            .limit
            .map_or(page, |limit| u64::from(limit).min(page));
        let to = self.sequencer_of(tenant, &channel);
        let since = history.since;
        effects.send(
            to,
            Message::History {
                connection,
                request,
                tenant,
                channel,
                since,
                limit,
            },
        );
    }

    fn is_active(&self, session: &Session, key: &ChannelKey) -> bool {
        let at = self
            .locals
            .find(key)
            .and_then(|local| session.subscription(local));
        at.is_some_and(|at| session.subscriptions[at].state != super::connections::State::Pending)
    }

    /// The channel, if the session may do that to it.
    fn granted(
        &self,
        session: &Session,
        channel: &str,
        action: Action,
        membership: Membership,
    ) -> Result<ChannelKey, Halt> {
        let tenant = session.settings.tenant;
        let name = parse(channel)?;
        if !self.rules.allows_name(tenant, &name) {
            let message = "the channel name has one of . : / and no configured rule matches it";
            return Err(Reject::new(ErrorCode::BadName, message).into());
        }
        match self
            .rules
            .decide(tenant, session.identity(), channel, action)
        {
            Decision::Allow => Ok((tenant, name)),
            Decision::AskMembers if membership == Membership::Granted => Ok((tenant, name)),
            Decision::AskMembers => Err(Halt::AskMembers(name)),
            Decision::Deny => Err(self
                .rules
                .refusal(tenant, session.identity(), channel, action)
                .into()),
        }
    }
}

fn parse(channel: &str) -> Result<ChannelName, Reject> {
    ChannelName::parse(channel)
        .map_err(|error| Reject::new(ErrorCode::BadName, format!("the channel name {error}")))
}

fn user_id(number: u64) -> Result<UserId, Reject> {
    UserId::new(number)
        .ok_or_else(|| Reject::new(ErrorCode::BadRequest, "a user id is 1 to 2^53 - 1"))
}

fn login_required() -> Reject {
    Reject::new(
        ErrorCode::LoginRequired,
        "only logged-in users have an inbox",
    )
}

/// What a request costs the node, in subscriptions: nobody may keep it busy with a frame full of the dearest ones.
fn cost(body: &RequestBody) -> u32 {
    match body {
        // Publications have a rate of their own, and an answer to a ping costs less than reading it.
        RequestBody::Publish(_) | RequestBody::Ping => 0,
        RequestBody::Subscribe(_)
        | RequestBody::Unsubscribe { .. }
        | RequestBody::PresenceCount { .. }
        | RequestBody::Ack { .. }
        | RequestBody::UserData { .. }
        | RequestBody::UserStatus { .. } => 1,
        // A check of credentials, which may be a guess; a page from the store; a list from all shards.
        RequestBody::Connect(_) | RequestBody::Refresh { .. } | RequestBody::History(_) => 5,
        RequestBody::Presence { .. } => 10,
    }
}

fn kind_of(body: &RequestBody) -> &'static str {
    match body {
        RequestBody::Connect(_) => "connect",
        RequestBody::Refresh { .. } => "refresh",
        RequestBody::Subscribe(_) => "subscribe",
        RequestBody::Unsubscribe { .. } => "unsubscribe",
        RequestBody::Publish(_) => "publish",
        RequestBody::Presence { .. } => "presence",
        RequestBody::PresenceCount { .. } => "presence_count",
        RequestBody::History(_) => "history",
        RequestBody::Ack { .. } => "ack",
        RequestBody::UserData { .. } => "user_data",
        RequestBody::UserStatus { .. } => "user_status",
        RequestBody::Ping => "ping",
    }
}

fn channel_of(body: &RequestBody) -> Option<&str> {
    match body {
        RequestBody::Subscribe(subscribe) => Some(&subscribe.channel),
        RequestBody::Publish(publish) => Some(&publish.channel),
        RequestBody::History(history) => Some(&history.channel),
        RequestBody::Unsubscribe { channel }
        | RequestBody::Presence { channel }
        | RequestBody::PresenceCount { channel } => Some(channel),
        RequestBody::Connect(_)
        | RequestBody::Refresh { .. }
        | RequestBody::Ack { .. }
        | RequestBody::UserData { .. }
        | RequestBody::UserStatus { .. }
        | RequestBody::Ping => None,
    }
}
