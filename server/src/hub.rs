//! The door to the shards: any thread hands in commands and asks for live state.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cometql_engine::ids::{shard_of_channel, shard_of_user};
use cometql_engine::shard::inspect::{ChannelRow, Channels, ConnectionRow, SubscriberRow, Totals};
use cometql_engine::shard::trace::Event;
use cometql_engine::{
    Answer, Command, Disconnect, Message, MessageId, Publication, Rules, Shard, ShardId,
};
use cometql_protocol::{ChannelName, TenantId, UserId};
use tokio::sync::{mpsc, oneshot};

use crate::shard::{Batch, Mail, Outlook, Sought, Tapped, Token, tap, unavailable};

/// Cheap to clone; all clones speak to the same shards.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
    rules: ArcSwap<Rules>,
}

/// An answer that is on its way. Commands started one after the other for one channel or user are carried out in that
/// order, whether or not earlier answers were awaited.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    /// Waits for the answer. A node that is stopping answers `unavailable`.
    pub async fn answer(self) -> Answer {
        self.0.await.unwrap_or_else(|_| unavailable())
    }
}

/// What waits for the sockets of browsers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// For so many connections.
    pub connections: u64,
    /// So many bytes.
    pub bytes: u64,
}

impl Hub {
    pub(crate) fn new(mailboxes: Vec<mpsc::UnboundedSender<Mail>>, rules: Arc<Rules>) -> Self {
        let rules = ArcSwap::new(rules);
        Self(Arc::new(Inner { mailboxes, rules }))
    }

    /// Hands in a command without waiting.
    #[must_use]
    pub fn start(&self, command: Command) -> Pending {
        let (token, receiver) = Token::single();
        let shard = self.shard_of(&command);
        self.post(shard, Mail::Command(command, token));
        Pending(receiver)
    }

    /// Carries out a command.
    pub async fn submit(&self, command: Command) -> Answer {
        self.start(command).answer().await
    }

    /// Carries out many commands with one message per shard; answers come in the order of the commands.
    pub async fn submit_many(&self, commands: Vec<Command>) -> Vec<Answer> {
        let size = commands.len();
        if size == 0 {
            return Vec::new();
        }
        let (batch, answers) = Batch::new(size);
        let mut groups: Vec<Vec<(Command, Token)>> = Vec::new();
        groups.resize_with(self.0.mailboxes.len(), Vec::new);
        for (index, command) in commands.into_iter().enumerate() {
            let shard = usize::from(self.shard_of(&command).0);
            groups[shard].push((command, Token::Place(Arc::clone(&batch), index)));
        }
        drop(batch);
        for (mailbox, group) in self.0.mailboxes.iter().zip(groups) {
            if !group.is_empty() {
                // Commands that a stopped shard does not take are dropped, and answered by that.
                _ = mailbox.send(Mail::Commands(group));
            }
        }
        let answers = answers.await;
        answers.unwrap_or_else(|_| vec![unavailable(); size])
    }

    /// Subscriber counts, summed over the shards. `Named` gives one row for each name, 0 for unknown ones.
    pub async fn channels(&self, tenant: TenantId, which: Channels) -> Vec<ChannelRow> {
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
    pub async fn subscribers(&self, tenant: TenantId, which: Channels) -> Vec<SubscriberRow> {
        let parts = self.ask(move |shard| shard.subscribers(tenant, &which));
        let mut rows: Vec<_> = parts.await.into_iter().flatten().collect();
        rows.sort_by(|a, b| {
            let newest = b.since_ms.cmp(&a.since_ms);
            a.channel.cmp(&b.channel).then(newest)
        });
        rows
    }

    /// Open browser connections, of one tenant or (`None`) all.
    pub async fn connections(&self, tenant: Option<TenantId>) -> Vec<ConnectionRow> {
        let parts = self.ask(move |shard| shard.connections(tenant)).await;
        parts.into_iter().flatten().collect()
    }

    /// Which users are online: of those given, or (`None`) all.
    pub async fn users_online(&self, tenant: TenantId, users: Option<Vec<UserId>>) -> Vec<UserId> {
        let parts = self.ask(move |shard| shard.users_online(tenant, users.as_deref()));
        parts.await.into_iter().flatten().collect()
    }

    /// Totals of each shard, of one tenant or (`None`) all.
    pub async fn totals_by_shard(&self, tenant: Option<TenantId>) -> Vec<Totals> {
        self.ask(move |shard| shard.totals(tenant)).await
    }

    /// Totals over the shards, of one tenant or (`None`) all.
    pub async fn totals(&self, tenant: Option<TenantId>) -> Totals {
        let parts = self.totals_by_shard(tenant).await;
        parts
            .into_iter()
            .fold(Totals::default(), |sum, part| Totals {
                connections: sum.connections + part.connections,
                subscriptions: sum.subscriptions + part.subscriptions,
                // A channel may have subscribers on several shards; this is how many (channel, shard) pairs there are.
                channels: sum.channels + part.channels,
                users_online: sum.users_online + part.users_online,
            })
    }

    /// Where a message is that was handed to connections of its user: of each that is open.
    pub(crate) async fn outlook(&self, sought: &Sought) -> Vec<Outlook> {
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
    pub async fn outboxes_forgotten(&self, tenant: TenantId) -> u64 {
        let parts = self.ask(move |shard| shard.outboxes_forgotten(tenant));
        parts.await.into_iter().max().unwrap_or(0)
    }

    /// What happened lately to sessions of these users, or (`None`) of all, oldest first.
    pub async fn trace(&self, tenant: TenantId, users: Option<Vec<UserId>>) -> Vec<Event> {
        let parts = self.ask(move |shard| shard.trace(tenant, users.as_deref()));
        let mut events: Vec<_> = parts.await.into_iter().flatten().collect();
        // What one shard noted keeps its order.
        events.sort_by_key(|event| event.time_ms);
        events
    }

    /// Publications that their channels keep in memory.
    pub async fn find_publications(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Vec<Arc<Publication>> {
        let parts = self.ask(move |shard| shard.find_publications(tenant, id));
        parts.await.into_iter().flatten().collect()
    }

    /// Watches a channel from the side, without a subscription: whatever is published from now on.
    pub(crate) fn tap(&self, tenant: TenantId, channel: ChannelName) -> Tapped {
        let shard = shard_of_channel(tenant, channel.as_str(), self.0.mailboxes.len());
        let (tap, tapped) = tap(tenant, channel);
        self.post(shard, Mail::Tap(tap));
        tapped
    }

    /// What waits for the sockets of browsers, on each shard.
    pub async fn waiting(&self) -> Vec<Waiting> {
        let mut asked = Vec::with_capacity(self.0.mailboxes.len());
        for mailbox in &self.0.mailboxes {
            let (sender, receiver) = oneshot::channel();
            if mailbox.send(Mail::Waiting(sender)).is_ok() {
                asked.push(receiver);
            }
        }
        let mut parts = Vec::with_capacity(asked.len());
        for part in asked {
            parts.push(part.await.unwrap_or_default());
        }
        parts
    }

    /// Closes connections; returns how many were told to close.
    pub async fn disconnect(&self, which: Disconnect) -> u64 {
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
    pub fn members_removed(
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

    /// The channel rules in force, for `EXPLAIN SUBSCRIBE`.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.0.rules.load_full()
    }

    /// Puts new channel rules in force on all shards.
    pub fn set_rules(&self, rules: Arc<Rules>) {
        self.0.rules.store(Arc::clone(&rules));
        for mailbox in &self.0.mailboxes {
            // A shard that has stopped needs no rules.
            _ = mailbox.send(Mail::Rules(Arc::clone(&rules)));
        }
    }

    /// Lets every shard look at itself; the answers come in the order of the shards, without those that have stopped.
    async fn ask<T: Send + 'static>(
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

    fn post(&self, shard: ShardId, mail: Mail) {
        // What a stopped shard does not take is dropped, and whoever waits for it learns that.
        _ = self.0.mailboxes[usize::from(shard.0)].send(mail);
    }

    fn shard_of(&self, command: &Command) -> ShardId {
        let shards = self.0.mailboxes.len();
        match command {
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
            } => shard_of_channel(*tenant, channel.as_str(), shards),
            Command::Send { tenant, user, .. } | Command::ClearInbox { tenant, user } => {
                shard_of_user(*tenant, *user, shards)
            }
        }
    }
}
