//! What the node causes, and the disk: mail, answers, what is stored.

use cometql_engine::ids::{shard_of_channel, shard_of_user};
use cometql_engine::{
    Answer, Command, ConnectionId, Ending, Identity, Input, Message, Reject, StoreRequest,
};
use cometql_protocol::{ErrorCode, UserId};

use super::originals::NAME;
use super::{Event, Sent, World};
use crate::disk::Health;
use crate::node::{Node, Out};
use crate::promises::{MEMBERS, Publishes, TRACKED};

impl World {
    pub(crate) fn every_shard(&mut self, input: impl Fn() -> Input<u64>) {
        for shard in 0..self.shards {
            self.input(shard, input());
        }
    }

    pub(crate) fn command(&mut self, command: Command, sent: Sent) {
        let shard = match &command {
            Command::Publish {
                tenant, channel, ..
            }
            | Command::SetHistory {
                tenant, channel, ..
            }
            | Command::RemoveHistory { tenant, channel }
            | Command::ClearHistory { tenant, channel }
            | Command::DeletePublication {
                tenant, channel, ..
            } => shard_of_channel(*tenant, channel.as_str(), self.shards),
            Command::Send { tenant, user, .. } | Command::ClearInbox { tenant, user } => {
                shard_of_user(*tenant, *user, self.shards)
            }
        };
        self.command += 1;
        self.commands.insert(self.command, sent);
        let token = self.command;
        self.input(usize::from(shard.0), Input::Command(command, token));
    }

    pub(super) fn input(&mut self, shard: usize, input: Input<u64>) {
        let Some(node) = &mut self.node else {
            return;
        };
        for out in node.handle(self.now, shard, input, &mut self.rng) {
            self.carry_out(shard, out);
        }
    }

    fn carry_out(&mut self, shard: usize, out: Out) {
        match out {
            Out::Mail(to, message) => {
                self.look_at_mail(&message);
                self.mail(usize::from(to.0), message);
            }
            Out::Publication(connection, publication, own, replays) => {
                self.send_publication(connection, &publication, own, replays);
            }
            Out::Text(connection, frame) => {
                self.original_hears(connection, &frame.text);
                if frame.settles {
                    self.settle(connection);
                }
                self.send_down(connection, &frame.text, frame.replays);
            }
            Out::Refused(connection, reject, channel) => {
                self.refused(connection, &reject, channel.as_deref());
            }
            Out::Subscribed(connection, channel) if channel == TRACKED => self.sees(connection),
            Out::Presence(connection, channel, joined, name) if channel == TRACKED => {
                let presence = &mut self.promises.presence;
                presence.is_told(connection, joined, name);
            }
            Out::Subscribed(..) | Out::Presence(..) => {}
            Out::Close(connection, code) => {
                self.ends(connection, Ending::Closed(code));
                self.close(connection, code);
            }
            Out::Login(connection, request, credentials) => {
                let result = self.check(credentials.connect.token.as_deref());
                let delay = self.rng.below(30);
                self.checks += 1;
                self.at(delay, Event::Login(self.life, connection, request, result));
            }
            Out::Store(ticket, request) => {
                self.disk.queue.push_back((shard, ticket, request));
                if self.disk.queue.len() == 1 {
                    let delay = self.disk_delay();
                    self.at(delay, Event::Disk(self.life));
                }
            }
            Out::Cluster(what) => panic!("a node of its own wants {what:?}"),
            Out::Answer(token, answer) => self.answer(token, &answer),
            Out::Published(publication) => {
                if publication.channel.as_str().starts_with("user_status_") {
                    return;
                }
                let (data, offset) = (&publication.data, publication.offset());
                self.note(format!("published {data} at {offset}"));
                self.promises.messages.published(self.life, &publication);
            }
        }
    }

    /// From now on a session is told who joins and leaves.
    fn sees(&mut self, connection: ConnectionId) {
        if let Some(tenant) = self.original_of(connection).map(|original| original.tenant) {
            // It does not say what it knows.
            return self.promises.presence.changes(self.now, tenant, NAME);
        }
        let browser = &self.browsers[self.owners[&connection]];
        let (tenant, name) = (browser.tenant, browser.name.clone());
        let rows = self.shown(tenant);
        let others = rows
            .iter()
            .filter(|row| row.channel.as_str() == TRACKED && row.connection != connection);
        let others = others.map(|row| row.uuid.to_string()).collect();
        let presence = &mut self.promises.presence;
        presence.sees(self.now, connection, others);
        presence.changes(self.now, tenant, &name);
    }

    /// What a shard tells another one is no secret to a model.
    fn look_at_mail(&mut self, message: &Message) {
        let (now, grace_ms) = (self.now, self.limits.grace_ms);
        let promises = &mut self.promises;
        match message {
            Message::Publish {
                connection,
                tenant,
                channel,
                ..
            } => {
                let publishes = Publishes {
                    connection: *connection,
                    tenant: *tenant,
                    user: self.browsers[self.owners[connection]].user,
                    channel: channel.as_str(),
                };
                promises.rates.granted(now, &self.limits, &publishes);
            }
            Message::Presence {
                joined: false,
                except,
                channel,
                ..
            } => {
                let channel = channel.as_str();
                let except = except.expect("all are on this node");
                promises
                    .presence
                    .leave_is_told(now, grace_ms, except, channel);
            }
            Message::PublishInternal {
                tenant,
                channel,
                content,
            } if &*content.data == "offline" => {
                let user = channel.as_str().strip_prefix("user_status_");
                let user = user.unwrap().parse().unwrap();
                promises
                    .presence
                    .offline_is_told(now, grace_ms, *tenant, user);
            }
            _ => {}
        }
    }

    /// A session was refused something.
    fn refused(&mut self, connection: ConnectionId, reject: &Reject, channel: Option<&str>) {
        let Some(browser) = self.owners.get(&connection).copied() else {
            return;
        };
        let channel = channel.unwrap_or(MEMBERS);
        let refused = &self.browsers[browser];
        if reject.code == ErrorCode::RateLimited {
            let publishes = Publishes {
                connection,
                tenant: refused.tenant,
                user: refused.user,
                channel,
            };
            let rates = &mut self.promises.rates;
            return rates.refused(self.now, &self.limits, &publishes, &reject.message);
        }
        // It may have been a subscription, which is asked for again after a while.
        self.promises.presence.leaves(connection, channel);
        if let Some(wire) = self.connections.get(&connection) {
            self.promises.excused.insert((*wire, channel.to_owned()));
        }
        for tab in self.browsers[browser].tabs.values_mut() {
            if let Some(follow) = tab.follows.get_mut(channel) {
                follow.wire = None;
            }
        }
    }

    pub(crate) fn mail(&mut self, to: usize, message: Message) {
        let delay = self.rng.below(4);
        if let Some(node) = &mut self.node {
            node.mail[to].push_back(message);
            self.at(delay, Event::Mail(self.life, to));
        }
    }

    fn answer(&mut self, token: u64, answer: &Answer) {
        let sent = self
            .commands
            .remove(&token)
            .expect("asked once, answered once");
        let messages = &mut self.promises.messages;
        match (sent, answer) {
            (Sent::Publication(tenant, channel, payload), Answer::Published { offset, .. }) => {
                messages.answered((tenant, channel), &payload, *offset, &self.disk);
            }
            (Sent::Private(tenant, user, payload), Answer::Sent { offset, .. }) => {
                messages.private(tenant, user, &payload, &self.disk);
                self.note(format!("answered {payload} at {offset}"));
            }
            (Sent::Clear(..) | Sent::Other, Answer::Done { .. }) => {}
            (sent, Answer::Rejected(reject)) => self.command_refused(&sent, reject),
            (sent, answer) => panic!("{sent:?} was answered by {answer:?}"),
        }
    }

    fn command_refused(&mut self, sent: &Sent, reject: &Reject) {
        if reject.code == ErrorCode::RateLimited {
            let (tenant, channel) = match sent {
                Sent::Publication(tenant, channel, _) => (*tenant, Some(*channel)),
                Sent::Private(tenant, ..) => (*tenant, None),
                Sent::Clear(..) | Sent::Other => panic!("{sent:?} has no limit: {reject}"),
            };
            let (limits, why) = (&self.limits, &reject.message);
            let rates = &self.promises.rates;
            rates.backend_refused(self.now, limits, tenant, channel, why);
        }
        self.note(format!("{sent:?} is refused: {}", reject.code.as_str()));
    }

    /// What the edge of the server would make of a token.
    fn check(&self, token: Option<&str>) -> Result<Identity, Reject> {
        let parsed = token.and_then(|token| token.split_once(':'));
        let (user, expires) = parsed.expect("every token is one of ours");
        let expires: u64 = expires.parse().unwrap();
        if expires * 1000 <= self.now {
            return Err(Reject::new(ErrorCode::Unauthorized, "the token has ended"));
        }
        Ok(Identity {
            user: UserId::new(user.parse().unwrap()),
            expires: Some(expires),
            ..Identity::default()
        })
    }

    fn disk_delay(&mut self) -> u64 {
        match self.disk.health {
            Health::Slow(most) => self.rng.below(most),
            _ => self.rng.below(6),
        }
    }

    pub(super) fn step_disk(&mut self) {
        self.check_removal();
        let Some((shard, ticket, result)) = self.disk.step() else {
            return;
        };
        if let Some(node) = &mut self.node {
            node.stored[shard].push_back((ticket, result));
        }
        let delay = self.rng.below(5);
        self.at(delay, Event::Stored(self.life, shard));
        if !self.disk.queue.is_empty() {
            let delay = self.disk_delay();
            self.at(delay, Event::Disk(self.life));
        }
    }

    /// All that the store has said by now arrives.
    pub(crate) fn hear_store(&mut self) {
        for shard in 0..self.shards {
            let stored = |node: &mut Node| node.stored[shard].pop_front();
            while let Some((ticket, result)) = self.node.as_mut().and_then(stored) {
                self.input(shard, Input::Stored { ticket, result });
            }
        }
    }

    /// Private messages that are about to be removed were handled by somebody, unless a backend throws them away.
    fn check_removal(&mut self) {
        let Some((_, _, request)) = self.disk.queue.front() else {
            return;
        };
        let StoreRequest::InboxRemove {
            tenant,
            user,
            up_to,
        } = request
        else {
            return;
        };
        let rows = self.disk.inboxes.get(&(*tenant, *user));
        let removed = rows.into_iter().flat_map(|(_, rows)| rows.range(..=*up_to));
        let removed: Vec<_> = removed
            .map(|(_, content)| content.data.to_string())
            .collect();
        let cleared = |sent: &Sent| matches!(sent, Sent::Clear(of, who) if of == tenant && *who == user.get());
        let cleared = *up_to == u64::MAX && self.commands.values().any(cleared);
        let works = !matches!(self.disk.health, Health::Full | Health::Failing);
        if !cleared {
            self.promises.messages.removed(&removed);
        } else if works {
            for payload in removed {
                self.promises.messages.handled(&payload);
            }
        }
    }
}
