//! The users whose home is this shard: on which connections they are, wherever those live.

use std::collections::{HashMap, VecDeque};

use cometql_protocol::UserId;
use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::tickets::Then;
use super::{Shard, UserKey};
use crate::{ConnectionId, Departure, Effects, Message, Now, StoreRequest, UserThere};

/// All users of this home that are online.
#[derive(Default)]
pub(super) struct Homes {
    users: HashMap<UserKey, Home, FixedState>,
    /// Inboxes that the store could not read: asked again at the next tick.
    pub(super) more: Vec<(UserKey, ConnectionId)>,
    /// Users of whom a device may return, and until when that is awaited, soonest first.
    awaited: VecDeque<(u64, UserKey)>,
}

/// One user that is online, or whose return is awaited: then it counts as online, but has no devices.
#[derive(Default)]
pub(super) struct Home {
    pub(super) devices: SmallVec<[Device; 1]>,
    /// When the last device went, unix milliseconds.
    left_ms: u64,
    /// Until when the return of a device is awaited, unix milliseconds.
    awaited_ms: u64,
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
    /// All that waited up to this offset was sent (0 = nothing did): newer messages go out at once.
    Live(u64),
}

impl Inbox {
    /// The last message of the log that was sent.
    pub(super) fn sent(self) -> u64 {
        match self {
            Self::None | Self::Reading => 0,
            Self::More(sent) | Self::Live(sent) => sent,
        }
    }
}

impl Homes {
    pub(super) fn get(&self, key: UserKey) -> Option<&Home> {
        self.users.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: UserKey) -> Option<&mut Home> {
        self.users.get_mut(&key)
    }

    pub(super) fn device(&mut self, key: UserKey, connection: ConnectionId) -> Option<&mut Device> {
        let home = self.users.get_mut(&key)?;
        home.devices
            .iter_mut()
            .find(|device| device.connection == connection)
    }

    /// Those that are online, and whether one of their connections acknowledges private messages by itself.
    pub(super) fn reading(&self) -> impl Iterator<Item = (&UserKey, bool)> {
        self.users.iter().map(|(key, home)| (key, home.reads()))
    }

    /// Those that are online, and whether they have a connection.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&UserKey, bool)> {
        let with_devices = |(key, home): (_, &Home)| (key, !home.devices.is_empty());
        self.users.iter().map(with_devices)
    }
}

impl Home {
    pub(super) fn reads(&self) -> bool {
        self.devices
            .iter()
            .any(|device| !device.acknowledges_by_write)
    }

    /// Connections that get new messages at once.
    pub(super) fn live(&self) -> u64 {
        let live = |device: &&Device| matches!(device.inbox, Inbox::Live(_));
        self.devices.iter().filter(live).count() as u64
    }

    pub(super) fn wants_messages(&self) -> bool {
        self.devices
            .iter()
            .any(|device| device.inbox != Inbox::None)
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
        let is_new = !self.homes.users.contains_key(&key);
        let home = self.homes.users.entry(key).or_default();
        let (wanted, read) = (home.wants_messages(), home.reads());
        home.devices.push(device);
        // Which device it is can't be told: it counts as the awaited one.
        home.awaited_ms = 0;
        let (wants, reads) = (home.wants_messages(), home.reads());
        if is_new || read != reads {
            self.announce_user(key, UserThere::Online { reads }, effects);
        }
        if is_new && !self.is_elsewhere(key) {
            self.tell_online(now, key, effects);
        }
        if wants && !wanted && self.cluster.is_some() {
            effects.follow_user(key.0, key.1, true);
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
        departure: Departure,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(home) = self.homes.users.get_mut(&key) else {
            return;
        };
        let (wanted, read) = (home.wants_messages(), home.reads());
        home.devices
            .retain(|device| device.connection != connection);
        home.left_ms = now.0;
        let (wants, reads) = (home.wants_messages(), home.reads());
        let awaited = &mut self.homes.awaited;
        if departure == Departure::MayReturn && awaited.len() < self.limits.awaited {
            home.awaited_ms = now.0 + self.limits.grace_ms;
            awaited.push_back((home.awaited_ms, key));
        }
        if let Some(cluster) = &mut self.cluster
            && wanted
            && !wants
        {
            cluster.forget_arrivals(key);
            effects.follow_user(key.0, key.1, false);
        }
        if read != reads {
            self.announce_user(key, UserThere::Online { reads }, effects);
        }
        self.give_up(now, key, effects);
    }

    /// Users whose return was awaited long enough are offline.
    pub(super) fn give_users_up(&mut self, now: Now, effects: &mut impl Effects<Token = T>) {
        let awaited = |homes: &Homes| homes.awaited.front().is_some_and(|(at, _)| *at <= now.0);
        while awaited(&self.homes) {
            if let Some((_, key)) = self.homes.awaited.pop_front() {
                self.give_up(now, key, effects);
            }
        }
    }

    /// A user is offline at once who has no connection.
    pub(super) fn await_no_more(
        &mut self,
        now: Now,
        key: UserKey,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.leave_at_once(key, effects);
        if let Some(home) = self.homes.users.get_mut(&key) {
            home.awaited_ms = 0;
            self.give_up(now, key, effects);
        }
    }

    /// The user is offline, unless it has a connection or is awaited.
    fn give_up(&mut self, now: Now, key: UserKey, effects: &mut impl Effects<Token = T>) {
        let Some(home) = self.homes.users.get(&key) else {
            return;
        };
        if !home.devices.is_empty() || home.awaited_ms > now.0 {
            return;
        }
        let left = Now(home.left_ms);
        self.homes.users.remove(&key);
        let told = !self.is_elsewhere(key);
        if told {
            self.tell_offline(now, key, left, effects);
        }
        self.announce_user(key, UserThere::Offline { told }, effects);
    }

    /// The user is online from now on, wherever.
    pub(super) fn tell_online(
        &mut self,
        now: Now,
        key: UserKey,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.store_last_seen(key, None, effects);
        self.publish_status(now, key.0, &status_channel(key.1), "online", effects);
    }

    /// The user is nowhere, since a moment.
    pub(super) fn tell_offline(
        &mut self,
        now: Now,
        key: UserKey,
        left: Now,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.store_last_seen(key, Some(left.seconds()), effects);
        self.publish_status(now, key.0, &status_channel(key.1), "offline", effects);
    }

    fn store_last_seen(
        &mut self,
        (tenant, user): UserKey,
        time: Option<u64>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let ticket = self.tickets.open(Then::Nothing);
        effects.store(ticket, StoreRequest::SetLastSeen { tenant, user, time });
    }

    pub(super) fn on_status_ask(
        &mut self,
        key: UserKey,
        connection: ConnectionId,
        request: u32,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (tenant, user) = key;
        if self.homes.get(key).is_some() || self.is_elsewhere(key) {
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
