//! What ends the wait of private messages: an acknowledgement, or on the original's protocol a write to the socket.

use super::homes::{Device, Inbox};
use super::tickets::Then;
use super::trace::Happened;
use super::{Shard, UserKey, unavailable};
use crate::{ConnectionId, Effects, Ending, Message, Outbox, StoreFailure, StoreRequest};
use cometql_protocol::UNSTORED_OFFSET;
use cometql_protocol::planted::planted;

impl<T> Shard<T> {
    /// The edge tells what became of something that was handed to a connection.
    pub(super) fn on_outbox(
        &mut self,
        connection: ConnectionId,
        outbox: Outbox,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (channel, happened) = match outbox {
            Outbox::Written(up_to) => return self.written(connection, up_to, effects),
            Outbox::Closed(code) => {
                return self.end_session(connection, Ending::Closed(code), effects);
            }
            Outbox::CaughtUp(since_ms) => (None, Happened::CaughtUp(since_ms)),
            Outbox::Conflated {
                channel,
                after,
                before,
            } => (Some(channel), Happened::Conflated { after, before }),
            Outbox::Dropped(channel, from, to) => (channel, Happened::Dropped(from, to)),
            Outbox::DroppedSince(since_ms) => (None, Happened::DroppedSince(since_ms)),
        };
        self.note_late(connection, channel.as_ref(), happened);
    }

    /// Private messages left by the original's protocol: tells the user's home.
    fn written(
        &mut self,
        connection: ConnectionId,
        up_to: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(session) = self.connections.get(connection) else {
            return;
        };
        let tenant = session.settings.tenant;
        if let Some(user) = session.user() {
            let written = Message::InboxWritten {
                connection,
                tenant,
                user,
                up_to,
            };
            effects.send(self.home_of((tenant, user)), written);
        }
    }

    pub(super) fn on_inbox_ack(
        &mut self,
        key: UserKey,
        connection: ConnectionId,
        request: u32,
        up_to: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        if up_to >= UNSTORED_OFFSET {
            self.on_unstored_ack(key, up_to, effects);
            let acked = Message::InboxAcked {
                connection,
                request,
            };
            return effects.send(connection.shard(), acked);
        }
        let more = u64::from(planted("engine-acknowledges-the-next-message"));
        let up_to = up_to.saturating_add(more);
        let ticket = self.tickets.open(Then::InboxAcked {
            key,
            connection,
            request,
            up_to,
        });
        let (tenant, user) = key;
        effects.store(
            ticket,
            StoreRequest::InboxRemove {
                tenant,
                user,
                up_to,
            },
        );
    }

    /// The acknowledged messages are removed: tells the session, and sends the next page if one waits.
    pub(super) fn on_inbox_acked(
        &mut self,
        key: UserKey,
        connection: ConnectionId,
        request: u32,
        up_to: u64,
        result: Result<u64, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        if let Err(failure) = result {
            let reject = unavailable(&failure);
            let refused = Message::AckRefused {
                connection,
                request,
                reject,
            };
            return effects.send(connection.shard(), refused);
        }
        self.note_inbox(key, Some(connection), Happened::Acknowledged(up_to));
        effects.send(
            connection.shard(),
            Message::InboxAcked {
                connection,
                request,
            },
        );
        self.next_page(key, connection, up_to, effects);
    }

    /// Private messages were written to the original's socket. That acknowledges them, unless a connection of ours is
    /// open: then they wait for that one, and if it takes no private messages, for the next one that does.
    pub(super) fn on_inbox_written(
        &mut self,
        key: UserKey,
        connection: ConnectionId,
        up_to: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        let devices = self.homes.get(key).map(|home| &home.devices[..]);
        let is_ours = |device: &Device| !device.acknowledges_by_write;
        let ours = devices.unwrap_or_default().iter().any(is_ours);
        let waits = ours || self.reads_elsewhere(key);
        let mut up_to = up_to;
        if !waits && self.cluster.is_some() {
            up_to = self.on_unstored_written(key, connection, up_to, effects);
        }
        let takes = !waits || planted("engine-takes-writes-for-acknowledgements");
        if takes && (1..UNSTORED_OFFSET).contains(&up_to) {
            self.note_inbox(key, None, Happened::Acknowledged(up_to));
            let (tenant, user) = key;
            let ticket = self.tickets.open(Then::Nothing);
            effects.store(
                ticket,
                StoreRequest::InboxRemove {
                    tenant,
                    user,
                    up_to,
                },
            );
        }
        self.next_page(key, connection, up_to, effects);
    }

    /// A connection has handled a page, or taken it: it gets the next one, so that one at a time waits in its outbox.
    fn next_page(
        &mut self,
        key: UserKey,
        connection: ConnectionId,
        up_to: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(device) = self.homes.device(key, connection) else {
            return;
        };
        match device.inbox {
            Inbox::More(sent) if up_to >= sent => {
                device.inbox = Inbox::Reading;
                self.read_inbox(key, connection, sent, effects);
            }
            Inbox::None | Inbox::Reading | Inbox::More(_) | Inbox::Live(_) => {}
        }
    }
}
