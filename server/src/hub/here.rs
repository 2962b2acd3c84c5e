//! What the shards of this node tell of themselves, and what all of them are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use cometql_engine::ids::{shard_of_channel, shard_of_user};
use cometql_engine::shard::inspect::{ChannelRow, Channels, ConnectionRow, SubscriberRow, Totals};
use cometql_engine::shard::trace::Event;
use cometql_engine::{ConnectionId, Disconnect, LogEvent, Message, MessageId, Shard, ShardId};
use cometql_protocol::wire::Member;
use cometql_protocol::{ChannelName, TenantId, UserId};
use tokio::sync::oneshot;

use super::{Found, Hub};
use crate::shard::{Mail, Outlook, Sought, Token};

/// A user of this node, and whether one of its connections reads private messages.
type HereUser = (TenantId, UserId, bool);

impl Hub {
    /// Subscriber counts, summed over the shards. `Named` gives one row for each name, 0 for unknown ones.
    pub(crate) async fn channels_here(&self, tenant: TenantId, which: Channels) -> Vec<ChannelRow> {
        let parts = self.ask({
            let which = which.clone();
            move |shard| shard.channels(tenant, &which)
        });
        let mut sums: BTreeMap<ChannelName, u64> = BTreeMap::new();
        for row in parts.await.into_iter().flatten() {
            *sums.entry(row.channel).or_default() += row.subscribers;
        }
        let row = |(channel, subscribers)| ChannelRow {
            channel,
            subscribers,
        };
        match which {
            Channels::All => sums.into_iter().map(row).collect(),
            Channels::Named(names) => {
                let count = |name: &ChannelName| sums.get(name).copied().unwrap_or(0);
                let counted = names.into_iter().map(|name| (name.clone(), count(&name)));
                counted.map(row).collect()
            }
        }
    }

    /// Subscribed connections, newest first within a channel.
    pub(crate) async fn subscribers_here(
        &self,
        tenant: TenantId,
        which: Channels,
    ) -> Vec<SubscriberRow> {
        let parts = self.ask(move |shard| shard.subscribers(tenant, &which));
        let mut rows: Vec<_> = parts.await.into_iter().flatten().collect();
        rows.sort_by(super::newest_first);
        rows
    }

    /// Open browser connections, of one tenant or (`None`) all.
    pub(crate) async fn connections_here(&self, tenant: Option<TenantId>) -> Vec<ConnectionRow> {
        let parts = self.ask(move |shard| shard.connections(tenant)).await;
        parts.into_iter().flatten().collect()
    }

    /// Which users are online: of those given, or (`None`) all.
    pub(crate) async fn users_online_here(
        &self,
        tenant: TenantId,
        users: Option<Vec<UserId>>,
    ) -> Vec<UserId> {
        let parts = self.ask(move |shard| shard.users_online(tenant, users.as_deref()));
        parts.await.into_iter().flatten().collect()
    }

    /// Totals of each shard, of one tenant or (`None`) all.
    pub async fn totals_by_shard(&self, tenant: Option<TenantId>) -> Vec<Totals> {
        self.ask(move |shard| shard.totals(tenant)).await
    }

    /// Totals over the shards, of one tenant or (`None`) all.
    pub(crate) async fn totals_here(&self, tenant: Option<TenantId>) -> Totals {
        let parts = self.totals_by_shard(tenant).await;
        parts.into_iter().fold(Totals::default(), super::sum)
    }

    /// Where a message is that was handed to connections of its user: of each that is open.
    pub(crate) async fn outlook_here(&self, sought: &Sought) -> Vec<Outlook> {
        let mut asked = Vec::with_capacity(self.0.mailboxes.len());
        for mailbox in &self.0.mailboxes {
            let (sender, receiver) = oneshot::channel();
            let mail = Mail::Outlook(sought.clone(), sender);
            if mailbox.send(mail).is_ok() {
                asked.push(receiver);
            }
        }
        let mut told = Vec::new();
        for part in asked {
            told.extend(part.await.unwrap_or_default());
        }
        told
    }

    /// Until when (unix milliseconds) a shard has forgotten something that outboxes told; 0 = none has.
    pub(crate) async fn forgotten_here(&self, tenant: TenantId) -> u64 {
        let parts = self.ask(move |shard| shard.outboxes_forgotten(tenant));
        parts.await.into_iter().max().unwrap_or(0)
    }

    /// What happened lately to sessions of these users, or (`None`) of all, oldest first.
    pub(crate) async fn trace_here(
        &self,
        tenant: TenantId,
        users: Option<Vec<UserId>>,
    ) -> Vec<Event> {
        let parts = self.ask(move |shard| shard.trace(tenant, users.as_deref()));
        let mut events: Vec<_> = parts.await.into_iter().flatten().collect();
        // What one shard noted keeps its order.
        events.sort_by_key(|event| event.time_ms);
        events
    }

    /// Publications that their channels keep in memory.
    pub(crate) async fn find_publications_here(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Vec<Found> {
        let parts = self.ask(move |shard| shard.find_publications(tenant, id));
        let found = parts.await.into_iter().flatten();
        found.filter_map(|kept| Found::of(&kept)).collect()
    }

    /// The users of each shard, and how many announcements of users it has made.
    pub(crate) async fn users_by_shard(&self) -> Vec<(ShardId, u64, Vec<HereUser>)> {
        let Some(members) = self.0.members.clone() else {
            return Vec::new();
        };
        self.ask(move |shard| {
            let (id, users) = (shard.id(), shard.users_here());
            (id, members.announced(id), users)
        })
        .await
    }

    /// Who is in a channel, each as often as it is subscribed.
    pub(crate) async fn present_here(&self, tenant: TenantId, channel: ChannelName) -> Vec<Member> {
        let which = Channels::Named(vec![channel]);
        let rows = self.subscribers_here(tenant, which).await.into_iter();
        rows.map(|row| Member {
            user: row.user,
            uuid: row.uuid.into(),
        })
        .collect()
    }

    /// The answer of other nodes to a browser that asks who is in a channel.
    pub(crate) fn tell_presence(
        &self,
        connection: ConnectionId,
        gather: u64,
        members: Vec<Member>,
        count: u64,
    ) {
        let told = Message::PresenceTold {
            connection,
            gather,
            members,
            count,
        };
        self.post(connection.shard(), Mail::Messages(vec![told]));
    }

    /// Another node tells who is where: to the shards that have to know.
    pub(crate) fn tell(&self, event: LogEvent) {
        let shards = self.0.mailboxes.len();
        let post = |shard, event| self.post(shard, Mail::Log(Box::new(event)));
        match event {
            LogEvent::User { tenant, user, .. } => {
                post(shard_of_user(tenant, user, shards), event);
            }
            LogEvent::Users { node, users } => {
                let mut homes = vec![Vec::new(); shards];
                for user in users {
                    let home = shard_of_user(user.0, user.1, shards);
                    homes[usize::from(home.0)].push(user);
                }
                for (shard, users) in (0..=u8::MAX).map(ShardId).zip(homes) {
                    post(shard, LogEvent::Users { node, users });
                }
            }
            LogEvent::Joined {
                tenant,
                ref channel,
                ..
            }
            | LogEvent::Left {
                tenant,
                ref channel,
                ..
            }
            | LogEvent::Present {
                tenant,
                ref channel,
                ..
            } => post(shard_of_channel(tenant, channel.as_str(), shards), event),
            other => {
                for shard in (0..=u8::MAX).map(ShardId).take(shards) {
                    post(shard, other.clone());
                }
            }
        }
    }

    /// Requests for a session whose pushes leave as server-sent events; false when there is none such.
    pub(crate) async fn post_here(
        &self,
        connection: ConnectionId,
        secret: String,
        text: String,
    ) -> bool {
        let Some(mailbox) = self.0.mailboxes.get(usize::from(connection.shard().0)) else {
            return false;
        };
        let (known, answer) = oneshot::channel();
        let mail = Mail::Requests {
            connection,
            secret,
            text,
            known,
        };
        mailbox.send(mail).is_ok() && answer.await.unwrap_or(false)
    }

    /// Closes connections; returns how many were told to close.
    pub(crate) async fn disconnect_here(&self, which: Disconnect) -> u64 {
        let mut told = Vec::new();
        for mailbox in &self.0.mailboxes {
            let (sender, receiver) = oneshot::channel();
            if mailbox
                .send(Mail::Disconnect(which.clone(), sender))
                .is_ok()
            {
                told.push(receiver);
            }
        }
        let mut sum = 0;
        for part in told {
            sum += part.await.unwrap_or(0);
        }
        sum
    }

    /// Ends the subscriptions that needed rows of `pipes_members` which are gone; `None` = all rows of the channel.
    pub(crate) fn members_removed_here(
        &self,
        tenant: TenantId,
        channel: &ChannelName,
        users: Option<Vec<UserId>>,
    ) {
        let users = match users {
            Some(users) => users.into_iter().map(Some).collect(),
            None => vec![None],
        };
        let message = |user| Message::MembersRemoved {
            tenant,
            channel: channel.clone(),
            user,
        };
        let messages: Vec<_> = users.into_iter().map(message).collect();
        for mailbox in &self.0.mailboxes {
            // A shard that has stopped has no subscriptions.
            _ = mailbox.send(Mail::Messages(messages.clone()));
        }
    }

    /// Lets every shard look at itself; the answers come in the order of the shards, without those that have stopped.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        look: impl Fn(&Shard<Token>) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        let look = Arc::new(look);
        let mut asked = Vec::with_capacity(self.0.mailboxes.len());
        for mailbox in &self.0.mailboxes {
            let (sender, receiver) = oneshot::channel();
            let look = Arc::clone(&look);
            // Who asked may have gone.
            let query = Box::new(move |shard: &Shard<Token>| _ = sender.send(look(shard)));
            if mailbox.send(Mail::Query(query)).is_ok() {
                asked.push(receiver);
            }
        }
        let mut parts = Vec::with_capacity(asked.len());
        for receiver in asked {
            parts.extend(receiver.await);
        }
        parts
    }
}
