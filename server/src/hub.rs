//! The door to the shards: any thread hands in commands and asks for live state.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cometql_engine::ids::{shard_of_channel, shard_of_user};
use cometql_engine::shard::inspect::{SubscriberRow, Totals};
use cometql_engine::{Answer, Command, LogEvent, Rules, ShardId};
use cometql_protocol::{ChannelName, TenantId};
use tokio::sync::{mpsc, oneshot};

use crate::cluster::Log;
pub use crate::cluster::members::MemberRow;
use crate::cluster::members::Members;
use crate::shard::{Batch, Mail, Tapped, Token, tap, unavailable};

mod everywhere;
mod here;

use everywhere::Unheard;
pub use everywhere::{Found, Traced};

/// Cheap to clone; all clones speak to the same shards.
#[derive(Clone)]
pub struct Hub(Arc<Inner>, Option<Unheard>);

struct Inner {
    mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
    rules: ArcSwap<Rules>,
    /// The other nodes.
    members: Option<Members>,
    /// Where they keep publications and private messages.
    log: Option<Log>,
}

/// An answer that is on its way. Commands started one after the other for one channel or user are carried out in that
/// order, whether or not earlier answers were awaited.
#[derive(Debug)]
pub struct Pending {
    receiver: oneshot::Receiver<Answer>,
    /// Came while nobody asked for more than that it comes.
    answer: Option<Answer>,
}

impl Pending {
    /// Waits until the answer is here. Cancel-safe.
    pub async fn arrival(&mut self) {
        if self.answer.is_none() {
            let answer = (&mut self.receiver).await;
            self.answer = Some(answer.unwrap_or_else(|_| unavailable()));
        }
    }

    /// Whether the answer is here.
    pub fn has_arrived(&mut self) -> bool {
        if self.answer.is_none() {
            self.answer = match self.receiver.try_recv() {
                Ok(answer) => Some(answer),
                Err(oneshot::error::TryRecvError::Closed) => Some(unavailable()),
                Err(oneshot::error::TryRecvError::Empty) => None,
            };
        }
        self.answer.is_some()
    }

    /// Waits for the answer. A node that is stopping answers `unavailable`.
    pub async fn answer(self) -> Answer {
        match self.answer {
            Some(answer) => answer,
            None => self.receiver.await.unwrap_or_else(|_| unavailable()),
        }
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
    /// The door to these shards, and to those of the other members.
    pub(crate) fn new(
        mailboxes: Vec<mpsc::UnboundedSender<Mail>>,
        rules: Arc<Rules>,
        members: Option<Members>,
        log: Option<Log>,
    ) -> Self {
        let inner = Inner {
            mailboxes,
            rules: ArcSwap::new(rules),
            members,
            log,
        };
        Self(Arc::new(inner), None)
    }

    /// What keeps publications and private messages in a cluster; without one it is the store.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.0.log.as_ref()
    }

    /// Hands in a command without waiting.
    #[must_use]
    pub fn start(&self, command: Command) -> Pending {
        let (token, receiver) = Token::single();
        let shard = self.shard_of(&command);
        self.post(shard, Mail::Command(command, token));
        Pending {
            receiver,
            answer: None,
        }
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

    /// Lets a channel's shard hear of the cluster.
    pub(crate) fn tell_of_channel(&self, tenant: TenantId, channel: &ChannelName, event: LogEvent) {
        let shard = shard_of_channel(tenant, channel.as_str(), self.0.mailboxes.len());
        self.post(shard, Mail::Log(Box::new(event)));
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

    /// Closes all browsers' connections: they are told to come back at a random moment within `spread`.
    pub(crate) fn drain(&self, spread: Duration) {
        for mailbox in &self.0.mailboxes {
            // A shard that has stopped has no connections.
            _ = mailbox.send(Mail::drain(spread));
        }
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

/// By channel, and within one the newest first.
fn newest_first(a: &SubscriberRow, b: &SubscriberRow) -> Ordering {
    let newest = b.since_ms.cmp(&a.since_ms);
    a.channel.cmp(&b.channel).then(newest)
}

fn sum(sum: Totals, part: Totals) -> Totals {
    Totals {
        connections: sum.connections + part.connections,
        subscriptions: sum.subscriptions + part.subscriptions,
        // A channel may have subscribers on several shards; this is how many (channel, shard) pairs there are.
        channels: sum.channels + part.channels,
        users_online: sum.users_online + part.users_online,
        users_first: sum.users_first + part.users_first,
    }
}
