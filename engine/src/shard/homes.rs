//! The users whose home is this shard: on which connections they are, wherever those live.

use std::collections::HashMap;

use cometql_protocol::UserId;
use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::tickets::Then;
use super::{Shard, UserKey};
use crate::{ConnectionId, Effects, Message, Now, StoreRequest};

/// All users of this home that are online.
#[derive(Default)]
pub(super) struct Homes {
    users: HashMap<UserKey, Home, FixedState>,
    /// Inboxes of which a page more is due at the next tick.
    pub(super) more: Vec<(UserKey, ConnectionId)>,
}

/// One user that is online.
#[derive(Default)]
pub(super) struct Home {
    pub(super) devices: SmallVec<[Device; 1]>,
}

/// One connection of a user.
pub(super) struct Device {
    pub(super) connection: ConnectionId,
    pub(super) inbox: Inbox,
    /// Writing to the socket counts as acknowledgement.
    pub(super) acknowledges_by_write: bool,
}

/// How far a connection's inbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbox {
    /// Private messages are not wanted.
    None,
    /// The store was asked for what waits.
    Reading,
    /// More waits in the store after this offset, which was sent.
    More(u64),
    /// All that waited was sent: new messages go out at once.
    Live,
}

impl Homes {
    pub(super) fn get(&self, key: UserKey) -> Option<&Home> {
        self.users.get(&key)
    }

    pub(super) fn device(&mut self, key: UserKey, connection: ConnectionId) -> Option<&mut Device> {
        let home = self.users.get_mut(&key)?;
        home.devices
            .iter_mut()
            .find(|device| device.connection == connection)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &UserKey> {
        self.users.keys()
    }
}

impl<T> Shard<T> {
    pub(super) fn on_user_online(
        &mut self,
        now: Now,
        key: UserKey,
        device: Device,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (connection, inbox) = (device.connection, device.inbox);
        let home = self.homes.users.entry(key).or_default();
        home.devices.push(device);
        if home.devices.len() == 1 {
            self.publish_status(now, key.0, &status_channel(key.1), "online", effects);
        }
        if inbox == Inbox::Reading {
            self.read_inbox(key, connection, 0, effects);
        }
    }

    pub(super) fn on_user_offline(
        &mut self,
        now: Now,
        key: UserKey,
        connection: ConnectionId,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(home) = self.homes.users.get_mut(&key) else {
            return;
        };
        home.devices
            .retain(|device| device.connection != connection);
        if !home.devices.is_empty() {
            return;
        }
        self.homes.users.remove(&key);
        let (tenant, user) = key;
        let ticket = self.tickets.open(Then::Nothing);
        let time = Some(now.seconds());
        effects.store(ticket, StoreRequest::SetLastSeen { tenant, user, time });
        self.publish_status(now, tenant, &status_channel(user), "offline", effects);
    }

    pub(super) fn on_status_ask(
        &mut self,
        key: UserKey,
        connection: ConnectionId,
        request: u32,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (tenant, user) = key;
        if self.homes.get(key).is_some() {
            let told = Message::StatusTold {
                connection,
                request,
                user,
                last_seen: None,
            };
            return effects.send(connection.shard(), told);
        }
        let ticket = self.tickets.open(Then::LastSeen {
            connection,
            request,
            user,
        });
        effects.store(ticket, StoreRequest::LastSeen { tenant, user });
    }
}

/// Where others learn that a user comes and goes.
fn status_channel(user: UserId) -> String {
    format!("user_status_{user}")
}
