//! What fate does: to the network, to the disk, to the node; and what administrators change.

use std::sync::Arc;

use cometql_engine::{Disconnect, Input, Message};
use cometql_protocol::{ChannelName, UserId, client};

use super::{Changes, USERS, rules};
use crate::disk::Health;
use crate::promises::MEMBERS;
use crate::world::World;

impl World {
    pub(super) fn break_network(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        let Some(wire) = self.browsers[browser]
            .wire
            .filter(|wire| self.wires[*wire].heard)
        else {
            return;
        };
        match self.rng.below(9) {
            0..3 => {
                self.note(format!("browser {browser}: connection cut"));
                self.cut(wire);
            }
            3 => {
                self.note(format!("browser {browser}: connection dies in silence"));
                self.lose(wire);
            }
            4..6 => {
                self.note(format!("browser {browser}: something is lost on the way"));
                self.wires[wire].swallows += 1 + self.rng.below(2);
            }
            _ => {
                self.note(format!("browser {browser}: reads nothing for a while"));
                let until = self.now + self.rng.below(5_000);
                self.wires[wire].stalled_until = until;
            }
        }
    }

    pub(super) fn change_disk(&mut self) {
        self.disk.health = match self.rng.below(8) {
            0..2 => Health::Failing,
            2 => Health::Full,
            3 => Health::Slow(600),
            _ => Health::Good,
        };
        self.note(format!("disk: {:?}", self.disk.health));
    }

    pub(super) fn change_rules(&mut self) {
        let Changes {
            denies,
            all,
            durable,
        } = self.changes;
        let changes = match self.rng.below(4) {
            0 => Changes {
                all: !all,
                ..self.changes
            },
            1 => Changes {
                durable: !durable,
                ..self.changes
            },
            _ => Changes {
                denies: !denies,
                ..self.changes
            },
        };
        self.set_rules(changes);
    }

    pub(crate) fn set_rules(&mut self, changes: Changes) {
        self.note(format!("{changes:?}"));
        if changes.denies != self.changes.denies {
            self.promises.denied_since = changes.denies.then_some(self.now);
        }
        self.changes = changes;
        self.rules = Arc::new(rules(changes));
        let rules = Arc::clone(&self.rules);
        self.every_shard(|| Input::Rules(Arc::clone(&rules)));
        // What the same moment still brings may be from before.
        self.run(1);
    }

    /// `pipes_members` lists a user, or no longer.
    pub(super) fn change_members(&mut self) {
        let (tenant, number) = (self.any_tenant(), 1 + self.rng.below(USERS));
        let user = UserId::new(number).unwrap();
        let key = (tenant.0, number);
        if self.disk.members.insert((tenant, user)) {
            self.note(format!("user {user} of {tenant} is a member"));
            self.promises.removed_since.remove(&key);
            return;
        }
        self.note(format!("user {user} of {tenant} is no member any more"));
        self.disk.members.remove(&(tenant, user));
        self.promises.removed_since.insert(key, self.now);
        // What the store said before comes before that, as there is one mailbox.
        self.hear_store();
        for shard in 0..self.shards {
            let removed = Message::MembersRemoved {
                tenant,
                channel: ChannelName::parse(MEMBERS).unwrap(),
                user: Some(user),
            };
            self.mail(shard, removed);
        }
        self.run(10);
    }

    /// Ends one session for good.
    pub(super) fn kill_session(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        let wire = self.browsers[browser].wire;
        let Some(connection) = wire.and_then(|wire| self.wires[wire].connection) else {
            return;
        };
        self.note(format!("browser {browser} is killed"));
        let tenant = Some(self.browsers[browser].tenant);
        let which = Disconnect::Connection { tenant, connection };
        self.mail(
            usize::from(connection.shard().0),
            Message::Disconnect(which),
        );
    }

    pub(super) fn revoke(&mut self) {
        if self.rng.once_in(2) {
            return self.kill_session();
        }
        let (tenant, user) = (self.any_tenant(), 1 + self.rng.below(USERS));
        self.note(format!("revoke user {user} of {tenant}"));
        self.promises.presence.revokes(self.now, tenant, user);
        let user = UserId::new(user).unwrap();
        let which = Disconnect::User { tenant, user };
        for shard in 0..self.shards {
            self.mail(shard, Message::Disconnect(which.clone()));
        }
    }

    pub(super) fn kill_or_start(&mut self) {
        if self.node.is_some() {
            self.crash();
        } else {
            self.start();
        }
    }

    /// What the browser itself tells a session; and sessions that were stopped are opened again, a node that is down
    /// started.
    pub(super) fn hint(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        match self.rng.below(4) {
            0 => self.session(browser, client::Input::Online),
            1 => self.session(browser, client::Input::Offline),
            _ => self.session(browser, client::Input::Open),
        }
        if self.node.is_none() {
            self.start();
        }
    }
}
