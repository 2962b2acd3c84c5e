//! Where commands, messages and the store's answers go.

use cometql_protocol::wire::Reply;
use cometql_protocol::{CloseCode, ErrorCode};

use super::connections::Session;
use super::homes::{Device, Inbox};
use super::tickets::{Newcomer, Origin};
use super::{ChannelKey, Input, Shard, history};
use crate::{Answer, Command, ConnectionId, Disconnect, Effects, Identity, Message, Now, Reject};

impl<T> Shard<T> {
    pub(super) fn on_command(
        &mut self,
        now: Now,
        command: Command,
        token: T,
        effects: &mut impl Effects<Token = T>,
    ) {
        if let Command::Publish { draft, .. } | Command::Send { draft, .. } = &command
            && draft.data.len() > self.limits.publication_bytes
        {
            let (length, limit) = (draft.data.len(), self.limits.publication_bytes);
            let message = format!("the payload is too long: {length} bytes; {limit} are allowed");
            let reject = Reject::new(ErrorCode::TooLarge, message);
            return effects.answer(token, Answer::Rejected(reject));
        }
        if let Some(key) = sequenced_by_command(&command)
            && !self.ready_to_change(now, &key, effects)
        {
            return self.defer(&key, Input::Command(command, token));
        }
        if let Err(too_fast) = self.may_command(now, &command) {
            let reject = too_fast.counted(effects);
            return effects.answer(token, Answer::Rejected(reject));
        }
        match command {
            Command::Publish {
                tenant,
                channel,
                draft,
            } => {
                let origin = Origin::Command(token);
                self.publish(&(tenant, channel), draft.content(now), origin, effects);
            }
            Command::Send {
                tenant,
                user,
                draft,
            } => {
                self.send_command(now, (tenant, user), draft, token, effects);
            }
            Command::ClearInbox { tenant, user } => {
                self.clear_inbox((tenant, user), token, effects)
            }
            Command::SetHistory {
                tenant,
                channel,
                length,
            } => {
                self.set_history((tenant, channel), Some(length), token, effects);
            }
            Command::RemoveHistory { tenant, channel } => {
                self.set_history((tenant, channel), None, token, effects);
            }
            Command::ClearHistory { tenant, channel } => {
                self.delete_history((tenant, channel), None, token, effects);
            }
            Command::DeletePublication {
                tenant,
                channel,
                id,
            } => {
                self.delete_history((tenant, channel), Some(id), token, effects);
            }
        }
    }

    pub(super) fn on_message(
        &mut self,
        now: Now,
        message: Message,
        effects: &mut impl Effects<Token = T>,
    ) {
        if let Some(key) = sequenced_by_message(&message) {
            if self.is_for_nobody(&key, &message) {
                return;
            }
            let leaves = matches!(message, Message::Unsubscribe { .. }) && self.is_closed(&key);
            let changes = matches!(
                message,
                Message::Publish { .. } | Message::PublishInternal { .. }
            );
            let ready = leaves
                || match changes {
                    true => self.ready_to_change(now, &key, effects),
                    false => self.ready(now, &key, effects),
                };
            if !ready {
                return self.defer(&key, Input::Message(message));
            }
            return self.on_sequencer_message(now, key, message, effects);
        }
        match message {
            Message::UserOnline { .. }
            | Message::UserOffline { .. }
            | Message::InboxAck { .. }
            | Message::InboxWritten { .. }
            | Message::StatusAsk { .. } => self.on_home_message(now, message, effects),
            other => self.on_local_message(now, other, effects),
        }
    }

    /// To the sequencer of a channel that is ready.
    fn on_sequencer_message(
        &mut self,
        now: Now,
        key: ChannelKey,
        message: Message,
        effects: &mut impl Effects<Token = T>,
    ) {
        match message {
            Message::Subscribe {
                connection,
                request,
                attempt,
                since,
                may_read_history,
                joins,
                ..
            } => {
                let newcomer = Newcomer {
                    connection,
                    request,
                    attempt,
                    may_read_history,
                };
                self.on_subscribe(key, newcomer, since, joins, effects);
            }
            Message::Unsubscribe {
                connection,
                leaves,
                departure,
                ..
            } => {
                self.on_unsubscribe(now, &key, connection, leaves, departure, effects);
            }
            Message::Publish {
                connection,
                request,
                content,
                subscribed,
                ..
            } => {
                let origin = Origin::Browser {
                    connection,
                    request,
                    subscribed,
                };
                self.publish(&key, content, origin, effects);
            }
            Message::PublishInternal { content, .. } => {
                self.publish(&key, content, Origin::Internal, effects);
            }
            Message::History {
                connection,
                request,
                since,
                limit,
                ..
            } => {
                self.on_history(connection, request, key, since, limit, effects);
            }
            other => unreachable!("not for a sequencer: {other:?}"),
        }
    }

    /// To the home of a user.
    fn on_home_message(
        &mut self,
        now: Now,
        message: Message,
        effects: &mut impl Effects<Token = T>,
    ) {
        match message {
            Message::UserOnline {
                connection,
                tenant,
                user,
                inbox,
                acknowledges_by_write,
            } => {
                let inbox = if inbox { Inbox::Reading } else { Inbox::None };
                let device = Device {
                    connection,
                    inbox,
                    acknowledges_by_write,
                };
                self.on_user_online(now, (tenant, user), device, effects);
            }
            Message::UserOffline {
                connection,
                tenant,
                user,
                departure,
            } => {
                self.on_user_offline(now, (tenant, user), connection, departure, effects);
            }
            Message::InboxWritten {
                connection,
                tenant,
                user,
                up_to,
            } => self.on_inbox_written((tenant, user), connection, up_to, effects),
            Message::InboxAck {
                connection,
                request,
                tenant,
                user,
                up_to,
            } => {
                self.on_inbox_ack((tenant, user), connection, request, up_to, effects);
            }
            Message::StatusAsk {
                connection,
                request,
                tenant,
                user,
            } => {
                self.on_status_ask((tenant, user), connection, request, effects);
            }
            other => unreachable!("not for a home: {other:?}"),
        }
    }

    /// To the owner of connections: what nobody of them asked.
    fn on_local_message(
        &mut self,
        now: Now,
        message: Message,
        effects: &mut impl Effects<Token = T>,
    ) {
        match message {
            Message::Deliver {
                publication,
                origin,
            } => self.deliver(&publication, origin, effects),
            Message::Gap { tenant, channel } => self.deliver_gap(&(tenant, channel), effects),
            Message::Presence {
                tenant,
                channel,
                joined,
                member,
                except,
                left_ms,
            } => {
                let key = (tenant, channel);
                self.deliver_presence(&key, joined, &member, except, left_ms, effects);
            }
            Message::PresenceAsk {
                connection,
                gather,
                tenant,
                channel,
                count_only,
            } => {
                self.on_presence_ask(connection, gather, &(tenant, channel), count_only, effects);
            }
            Message::Inbox {
                connection,
                messages,
            } => self.hand_over(connection, &messages, effects),
            Message::Disconnect(which) => self.disconnect(now, &which, effects),
            Message::MembersRemoved {
                tenant,
                channel,
                user,
            } => {
                self.on_members_removed(&(tenant, channel), user, effects);
            }
            answer => self.on_answer(now, answer, effects),
        }
    }

    /// To the owner of connections: the answer to what one of them asked.
    fn on_answer(&mut self, now: Now, message: Message, effects: &mut impl Effects<Token = T>) {
        match message {
            Message::Subscribed {
                connection,
                request,
                channel,
                attempt,
                position,
                recovered,
                replay,
            } => self.on_subscribed(
                now, connection, request, channel, attempt, position, recovered, &replay, effects,
            ),
            Message::Refused {
                connection,
                request,
                channel,
                attempt,
                reject,
            } => {
                self.on_refused(connection, request, &channel, attempt, &reject, effects);
            }
            Message::Published {
                connection,
                request,
                offset,
                reached,
            } => {
                self.reply(
                    connection,
                    request,
                    Reply::Published { offset, reached },
                    effects,
                );
            }
            Message::HistoryRead {
                connection,
                request,
                channel,
                position,
                publications,
            } => {
                let reply = history::reply(channel, position, &publications);
                self.reply(connection, request, reply, effects);
            }
            Message::PresenceTold {
                gather,
                members,
                count,
                ..
            } => {
                self.on_presence_told(gather, members, count, effects);
            }
            answer => self.on_answer_from_home(answer, effects),
        }
    }

    /// To the owner of connections: the answer of a user's home.
    fn on_answer_from_home(&mut self, message: Message, effects: &mut impl Effects<Token = T>) {
        match message {
            Message::InboxAcked {
                connection,
                request,
            } => {
                self.reply(connection, request, Reply::Acknowledged, effects);
            }
            Message::AckRefused {
                connection,
                request,
                reject,
            } => {
                self.refuse(connection, request, &reject, None, effects);
            }
            Message::StatusTold {
                connection,
                request,
                user,
                last_seen,
            } => {
                self.reply(
                    connection,
                    request,
                    Reply::UserStatus { user, last_seen },
                    effects,
                );
            }
            other => unreachable!("not for an owner of connections: {other:?}"),
        }
    }

    pub(super) fn reply(
        &mut self,
        connection: ConnectionId,
        request: u32,
        reply: Reply,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.connections.get(connection).is_some() {
            effects.reply(connection, request, reply);
        }
    }

    fn disconnect(&mut self, now: Now, which: &Disconnect, effects: &mut impl Effects<Token = T>) {
        self.checks.revoke(which);
        let code = match which {
            Disconnect::User { .. } | Disconnect::Token { .. } => CloseCode::Revoked,
            Disconnect::Connection { .. } => CloseCode::Killed,
        };
        let meant = self
            .connections
            .iter()
            .filter(|session| session.is_meant(which));
        let meant: Vec<_> = meant.map(|session| session.id).collect();
        for connection in meant {
            self.close(connection, code, effects);
        }
        // Whose return was awaited has no connection that could be closed.
        if let Disconnect::User { tenant, user } = which {
            self.await_no_more(now, (*tenant, *user), effects);
        }
    }

    /// Closes sessions whose token has ended.
    pub(super) fn close_expired(&mut self, now: Now, effects: &mut impl Effects<Token = T>) {
        while let Some((expires, connection)) = self.connections.expiries.first().copied() {
            if expires > now.seconds() {
                return;
            }
            self.close(connection, CloseCode::TokenExpired, effects);
        }
    }

    /// A status that no subscriber can see and no position can miss needs no channel.
    fn is_for_nobody(&self, key: &ChannelKey, message: &Message) -> bool {
        use crate::permission::Retention;
        matches!(message, Message::PublishInternal { .. })
            && self.cluster.is_none()
            && self.sequencer.get(key).is_none()
            && !matches!(self.retention(key), Retention::Durable { .. })
    }
}

impl Session {
    /// Whether this is one of the sessions to close.
    pub(super) fn is_meant(&self, which: &Disconnect) -> bool {
        self.would_be_meant(which, self.identity())
    }

    /// Whether it would be one of them, if this were its identity.
    pub(super) fn would_be_meant(&self, which: &Disconnect, identity: &Identity) -> bool {
        let own = self.settings.tenant;
        match which {
            Disconnect::User { tenant, user } => own == *tenant && identity.user == Some(*user),
            Disconnect::Token { tenant, digest } => {
                own == *tenant && identity.token_digest.as_ref() == Some(digest)
            }
            Disconnect::Connection { tenant, connection } => {
                tenant.is_none_or(|tenant| own == tenant) && self.id == *connection
            }
        }
    }
}

fn sequenced_by_command(command: &Command) -> Option<ChannelKey> {
    match command {
        Command::Publish {
            tenant, channel, ..
        }
        | Command::ClearHistory { tenant, channel }
        | Command::DeletePublication {
            tenant, channel, ..
        } => Some((*tenant, channel.clone())),
        Command::Send { .. }
        | Command::ClearInbox { .. }
        | Command::SetHistory { .. }
        | Command::RemoveHistory { .. } => None,
    }
}

fn sequenced_by_message(message: &Message) -> Option<ChannelKey> {
    match message {
        Message::Subscribe {
            tenant, channel, ..
        }
        | Message::Unsubscribe {
            tenant, channel, ..
        }
        | Message::Publish {
            tenant, channel, ..
        }
        | Message::PublishInternal {
            tenant, channel, ..
        }
        | Message::History {
            tenant, channel, ..
        } => Some((*tenant, channel.clone())),
        _ => None,
    }
}
