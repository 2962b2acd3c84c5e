//! Questions to all members at once, or to one: with a deadline, and with a note of who did not answer. Owns how questions
//! and answers travel; what is asked and what rows mean is in `wire`, what this node answers in `answer`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use cometql_engine::ConnectionId;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::NodeId;
use super::members::Members;
pub(crate) use answer::Answering;
pub(crate) use wire::Ask;

mod answer;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

/// Large answers come in parts and may take so many times the deadline for the first one.
const PARTS: u32 = 10;

/// What came of a question to other members.
#[derive(Debug)]
pub(crate) struct Told<T> {
    /// The rows of each member that answered.
    pub(crate) by: Vec<(NodeId, Vec<T>)>,
    /// Who did not.
    pub(crate) missing: Vec<Silent>,
}

/// A member that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Silent {
    /// Its name.
    pub(crate) name: String,
    /// Why.
    pub(crate) why: Why,
}

/// Why a member did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// Nothing came in time.
    Late,
    /// It does not know the question, or what it said was not understood: it has another version.
    Unsupported,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match self.why {
            Why::Late => write!(f, "Node {name} did not answer in time: its part is missing"),
            Why::Unsupported => write!(
                f,
                "Node {name} has another version that does not answer this: its part is missing"
            ),
        }
    }
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self {
            by: Vec::new(),
            missing: Vec::new(),
        }
    }
}

/// Whose answer is awaited, and what came of it so far.
struct Awaited<T> {
    name: String,
    rows: Vec<T>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Done,
    Unsupported,
}

impl Members {
    /// Asks all other members.
    pub(crate) async fn ask<Q: Ask>(&self, question: &Q) -> Told<Q::Row> {
        let subject = self.cluster().names().subject(&format!("all.{}", Q::WHAT));
        self.ask_these(question, subject, self.others()).await
    }

    /// Asks one member.
    pub(crate) async fn ask_one<Q: Ask>(&self, node: &NodeId, question: &Q) -> Told<Q::Row> {
        let whom = self.others().into_iter().filter(|(other, _)| other == node);
        let subject = format!("node.{}.{}", node.as_str(), Q::WHAT);
        let subject = self.cluster().names().subject(&subject);
        self.ask_these(question, subject, whom.collect()).await
    }

    /// Hands requests to the member that has the connection; false when none has, or it did not answer.
    pub(crate) async fn post(
        &self,
        connection: ConnectionId,
        secret: String,
        text: String,
    ) -> bool {
        let Some(node) = self.with_number(connection.member()) else {
            return false;
        };
        let question = wire::PostAsked {
            connection: connection.number(),
            secret,
            text,
        };
        let told = self.ask_one(&node, &question).await;
        told.by.iter().any(|(_, rows)| rows.contains(&true))
    }

    async fn ask_these<Q: Ask>(
        &self,
        question: &Q,
        subject: String,
        whom: Vec<(NodeId, String)>,
    ) -> Told<Q::Row> {
        if whom.is_empty() {
            return Told::default();
        }
        let mut awaited = BTreeMap::new();
        for (node, name) in whom {
            let open = Awaited {
                name,
                rows: Vec::new(),
                state: State::Open,
            };
            awaited.insert(node, open);
        }
        if let Ok(answers) = self.send(question, subject).await {
            let patience = self.cluster().settings().ask_timeout;
            collect(answers, patience, &mut awaited).await;
        }
        let told = sorted(awaited);
        let unanswered = &self.cluster().counters().unanswered;
        unanswered.inc_by(told.missing.len() as u64);
        told
    }

    async fn send<Q: Ask>(
        &self,
        question: &Q,
        subject: String,
    ) -> Result<Subscriber, async_nats::Error> {
        let client = self.cluster().client();
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await?;
        let body = wire::question(question);
        client
            .publish_with_reply(subject, inbox, body.into())
            .await?;
        Ok(answers)
    }
}

/// Takes answers until all are there, or none came for as long as one may take.
async fn collect<T: serde::de::DeserializeOwned>(
    mut answers: Subscriber,
    patience: Duration,
    awaited: &mut BTreeMap<NodeId, Awaited<T>>,
) {
    let last = Instant::now() + patience * PARTS;
    let mut until = Instant::now() + patience;
    while awaited.values().any(|one| one.state == State::Open) {
        let Ok(Some(message)) = tokio::time::timeout_at(until, answers.next()).await else {
            return;
        };
        // Nobody listens, as NATS says: they may have gone this moment.
        if message.status.is_some() {
            return;
        }
        if take(&message, awaited) {
            until = (Instant::now() + patience).min(last);
        }
    }
}

/// Takes a part of an answer. False if it is none of those that are awaited.
fn take<T: serde::de::DeserializeOwned>(
    message: &Message,
    awaited: &mut BTreeMap<NodeId, Awaited<T>>,
) -> bool {
    let Some(head) = wire::head(&message.payload) else {
        return false;
    };
    let Some(one) = awaited.get_mut(&NodeId::told(&head.node)) else {
        return false;
    };
    match wire::rows(&message.payload) {
        Some(rows) if head.error.is_none() => {
            one.rows.extend(rows);
            if !head.more {
                one.state = State::Done;
            }
        }
        _ => one.state = State::Unsupported,
    }
    true
}

fn sorted<T>(awaited: BTreeMap<NodeId, Awaited<T>>) -> Told<T> {
    let mut told = Told::default();
    for (node, one) in awaited {
        let why = match one.state {
            State::Done => {
                told.by.push((node, one.rows));
                continue;
            }
            State::Open => Why::Late,
            State::Unsupported => Why::Unsupported,
        };
        told.missing.push(Silent {
            name: one.name,
            why,
        });
    }
    told
}
