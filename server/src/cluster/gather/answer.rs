//! What this node answers other members. Each question has a task of its own; what is asked of the shards, they answer as
//! to anybody on this node.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use cometql_engine::shard::inspect::Channels;
use cometql_engine::{ConnectionId, MessageId};
use cometql_protocol::TenantId;
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::wire::{self, Ask};
use crate::cluster::members::{JoinError, Members};
use crate::cluster::presence::{UsersAsked, UsersTold};
use crate::cometql::Processes;
use crate::hub::Hub;

/// Questions that are answered at once.
const AT_ONCE: usize = 64;
/// Bytes of rows in one part of an answer, where NATS takes so many.
const PART_BYTES: usize = 256 << 10;

/// What answers: the parts of this node that others may ask about. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Answering {
    pub(crate) members: Members,
    pub(crate) hub: Hub,
    pub(crate) processes: Arc<Processes>,
}

/// The rows of an answer as JSON; `None` to what is not known or not understood.
type Rows = Option<Vec<String>>;

impl Answering {
    /// Listens to questions to all members, and to this one.
    pub(crate) async fn subscribe(&self) -> Result<Vec<Subscriber>, JoinError> {
        let cluster = self.members.cluster();
        let own = format!("node.{}.*", cluster.node().as_str());
        let mut subscribed = Vec::new();
        for subject in ["all.*", &own] {
            let subject = cluster.names().subject(subject);
            let subscriber = cluster.client().subscribe(subject).await;
            subscribed.push(subscriber.map_err(|error| JoinError::Nats(error.into()))?);
        }
        let flushed = cluster.client().flush().await;
        flushed.map_err(|error| JoinError::Nats(error.into()))?;
        Ok(subscribed)
    }

    /// Answers until it is dropped.
    pub(crate) async fn run(self, questions: Vec<Subscriber>) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut questions = futures_util::stream::select_all(questions);
        let mut tasks = tokio::task::JoinSet::new();
        while let Some(question) = questions.next().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            while tasks.try_join_next().is_some() {}
            let answering = self.clone();
            tasks.spawn(async move {
                answering.answer(question).await;
                drop(place);
            });
        }
    }

    async fn answer(&self, question: Message) {
        let Some(reply) = question.reply else {
            return;
        };
        let what = question.subject.as_str().rsplit('.').next();
        let rows = match what {
            Some(what) => self.rows(what, &question.payload).await,
            None => None,
        };
        let cluster = self.members.cluster();
        let node = cluster.node().as_str();
        let parts = match rows {
            Some(rows) => parts(node, rows, cluster.client().server_info().max_payload),
            None => vec![wire::unsupported(node)],
        };
        for part in parts {
            // Who asked goes on without it.
            _ = cluster.client().publish(reply.clone(), part.into()).await;
        }
    }

    async fn rows(&self, what: &str, body: &[u8]) -> Rows {
        let hub = &self.hub;
        match what {
            wire::BeatAsked::WHAT => told(Some(self.members.own_beat())),
            wire::ChannelsAsked::WHAT => {
                let asked: wire::ChannelsAsked = read(body)?;
                let which = wire::channels(asked.names);
                let rows = hub.channels_here(TenantId(asked.tenant), which).await;
                told(rows.into_iter().map(wire::ChannelTold::from))
            }
            wire::SubscribersAsked::WHAT => {
                let asked: wire::SubscribersAsked = read(body)?;
                let which = wire::channels(asked.names);
                let rows = hub.subscribers_here(TenantId(asked.tenant), which).await;
                told(rows.into_iter().map(wire::SubscriberTold::from))
            }
            wire::ConnectionsAsked::WHAT => {
                let asked: wire::ConnectionsAsked = read(body)?;
                let rows = hub.connections_here(asked.tenant.map(TenantId)).await;
                told(rows.into_iter().map(wire::ConnectionTold::from))
            }
            wire::OnlineAsked::WHAT => {
                let asked: wire::OnlineAsked = read(body)?;
                let users = asked.users.map(wire::users);
                let rows = hub.users_online_here(TenantId(asked.tenant), users).await;
                told(rows.into_iter().map(|user| user.get()))
            }
            wire::TotalsAsked::WHAT => {
                let asked: wire::TotalsAsked = read(body)?;
                let totals = hub.totals_here(asked.tenant.map(TenantId)).await;
                told(Some(wire::TotalsTold::from(totals)))
            }
            wire::ProcessesAsked::WHAT => {
                let asked: wire::ProcessesAsked = read(body)?;
                let rows = self.processes.list(asked.tenant.map(TenantId));
                told(rows.into_iter().map(wire::ProcessTold::from))
            }
            UsersAsked::WHAT => {
                let shards = hub.users_by_shard().await.into_iter();
                told(
                    shards.flat_map(|(shard, number, users)| {
                        UsersTold::parts(shard.0, number, &users)
                    }),
                )
            }
            wire::PresenceAsked::WHAT => {
                let asked: wire::PresenceAsked = read(body)?;
                let members =
                    hub.present_here(TenantId(asked.tenant), wire::channel(&asked.channel)?);
                told(members.await.into_iter().map(wire::MemberTold::from))
            }
            wire::PresenceCountAsked::WHAT => {
                let asked: wire::PresenceCountAsked = read(body)?;
                let which = Channels::Named(vec![wire::channel(&asked.channel)?]);
                let rows = hub.channels_here(TenantId(asked.tenant), which).await;
                told(rows.into_iter().map(|row| row.subscribers))
            }
            _ => self.story(what, body).await,
        }
    }

    /// What became of messages.
    async fn story(&self, what: &str, body: &[u8]) -> Rows {
        let hub = &self.hub;
        match what {
            wire::TraceAsked::WHAT => {
                let asked: wire::TraceAsked = read(body)?;
                let users = asked.users.map(wire::users);
                let rows = hub.trace_here(TenantId(asked.tenant), users).await;
                told(rows.into_iter().map(wire::EventTold::from))
            }
            wire::PublicationsAsked::WHAT => {
                let asked: wire::PublicationsAsked = read(body)?;
                let id = MessageId(u128::from_str_radix(&asked.id, 16).ok()?);
                let rows = hub.find_publications_here(TenantId(asked.tenant), id).await;
                told(rows.into_iter().map(wire::FoundTold::from))
            }
            wire::OutlookAsked::WHAT => {
                let sought = read::<wire::OutlookAsked>(body)?.sought()?;
                let rows = hub.outlook_here(&sought).await;
                told(rows.into_iter().map(wire::OutlookTold::from))
            }
            wire::ForgottenAsked::WHAT => {
                let asked: wire::ForgottenAsked = read(body)?;
                told(Some(hub.forgotten_here(TenantId(asked.tenant)).await))
            }
            _ => self.change(what, body).await,
        }
    }

    /// What another member's statement or browser wants to be done here.
    async fn change(&self, what: &str, body: &[u8]) -> Rows {
        match what {
            wire::DisconnectAsked::WHAT => {
                let which = read::<wire::DisconnectAsked>(body)?.which()?;
                told(Some(self.hub.disconnect_here(which).await))
            }
            wire::MembersRemovedAsked::WHAT => {
                let asked: wire::MembersRemovedAsked = read(body)?;
                let (tenant, channel) = (TenantId(asked.tenant), wire::channel(&asked.channel)?);
                let users = asked.users.map(wire::users);
                self.hub.members_removed_here(tenant, &channel, users);
                told(Some(true))
            }
            wire::PostAsked::WHAT => {
                let asked: wire::PostAsked = read(body)?;
                let connection = ConnectionId::from_number(asked.connection)?;
                let known = self.hub.post_here(connection, asked.secret, asked.text);
                told(Some(known.await))
            }
            wire::KillAsked::WHAT => {
                let asked: wire::KillAsked = read(body)?;
                told(Some(
                    self.processes.kill(asked.id, asked.tenant.map(TenantId)),
                ))
            }
            _ => None,
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn told<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Rows {
    Some(rows.into_iter().map(|row| wire::json(&row)).collect())
}

/// Rows in messages that NATS takes; one at least.
fn parts(node: &str, rows: Vec<String>, max_payload: usize) -> Vec<String> {
    let most = PART_BYTES.min(max_payload / 2);
    let mut parts = Vec::new();
    let mut some: Vec<String> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        if bytes + row.len() > most && !some.is_empty() {
            parts.push(wire::part(node, &some, true));
            some.clear();
            bytes = 0;
        }
        bytes += row.len() + 1;
        some.push(row);
    }
    parts.push(wire::part(node, &some, false));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[usize], max_payload: usize, parts_expected: usize) {
        let rows: Vec<_> = rows.iter().map(|bytes| "7".repeat(*bytes)).collect();
        let count = rows.len();
        let parts = parts("n", rows, max_payload);
        assert_eq!(parts.len(), parts_expected);
        let mut told: Vec<Value> = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let head = wire::head(part.as_bytes()).unwrap();
            assert_eq!(head.more, at + 1 < parts.len());
            told.extend(wire::rows::<Value>(part.as_bytes()).unwrap());
        }
        assert_eq!(told.len(), count);
    }

    use serde_json::Value;

    #[test]
    fn large_answers_come_in_parts() {
        check(&[], 1_000, 1);
        check(&[1, 1], 1_000, 1);
        check(&[300, 300, 1], 1_000, 2);
        check(&[300, 300, 300], 1_000, 3);
    }
}
