//! Who is a member: every node beats on core NATS, and one that was silent for its lease is dead. Owns the table of
//! members and this node's own place in it. It must not know what a death means: who listens to [`Event`]s does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Message, Subscriber};
use cometql_engine::ids::MAX_SHARDS;
use cometql_engine::{Announce, ShardId};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior};

use super::presence::Voice;
use super::{Cluster, NodeId};
use table::{Change, Table};
pub(crate) use wire::Beat;
pub(in crate::cluster) use wire::VERSION;

mod table;
#[cfg(test)]
mod tests;
mod wire;

/// Numbers of members: part of the ids of their connections, so that those name one connection of the whole cluster.
pub const NUMBERS: u8 = 127;

/// How often a member beats.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Beats within a lease, where it is short.
const BEATS_IN_LEASE: u32 = 4;
/// Who joins waits so long for another answer of members: how many there are is not known yet.
const ANSWERS_WAIT: Duration = Duration::from_millis(250);
/// How long others may object to the number that a joining node took.
const CLAIM_WAIT: Duration = Duration::from_millis(250);

/// How long NATS may take to hear that a node goes.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a node could not become a member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// NATS did not take a subscription or a message.
    #[error("the other members of the cluster can't be heard: {0}")]
    Nats(#[from] async_nats::Error),
    /// More nodes than numbers.
    #[error("the cluster has {NUMBERS} members already: it can't have more")]
    Full,
}

/// What a node tells of itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Where browsers connect.
    pub http: String,
    /// Where MySQL clients connect.
    pub mysql: String,
}

/// A member as others are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// Which run of which node.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// The number in the ids of its connections.
    pub number: u8,
    /// Its version.
    pub version: String,
    /// Where browsers connect.
    pub http: String,
    /// Where MySQL clients connect.
    pub mysql: String,
    /// When it was started, unix milliseconds.
    pub started_ms: u64,
    /// It is being stopped.
    pub draining: bool,
    /// How long ago it was heard.
    pub silent: Duration,
    /// It is the node that tells this.
    pub own: bool,
}

/// What happened to another member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is there from now on.
    Up(NodeId),
    /// It is no member any more.
    Gone(NodeId),
    /// Its messages may have been missed: it had lost NATS.
    Again(NodeId),
    /// Messages of all may have been missed: this node had lost NATS.
    Resync,
}

/// The members of a cluster, as this one sees them. Cheap to clone.
#[derive(Clone)]
pub struct Members(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    own: Beat,
    ready: AtomicBool,
    draining: AtomicBool,
    table: Mutex<Table>,
    events: UnboundedSender<Event>,
    voices: UnboundedSender<Voice>,
    /// How many announcements of users each shard has made.
    announced: Vec<AtomicU64>,
}

impl Members {
    /// Finds out who is there and takes a number that nobody has. The node counts as a member from [`Members::ready`] on.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub(crate) async fn join(cluster: &Cluster, about: About) -> Result<(Self, Joined), JoinError> {
        let mut beats = cluster
            .client()
            .subscribe(subject(cluster))
            .await
            .map_err(nats)?;
        let mut own = wire::own(cluster, about);
        let mut others = ask_who_is_there(cluster).await?;
        loop {
            own.number = free_number(&others).ok_or(JoinError::Full)?;
            publish(cluster, &own).await?;
            if !contested(&own, &mut others, &mut beats).await {
                break;
            }
        }
        let mut table = Table::new(own.node.clone(), cluster.settings().lease);
        let now = Instant::now();
        for other in others.into_iter().filter(|other| other.ready) {
            table.hear(now, other);
        }
        let (events, told) = unbounded_channel();
        let (voices, heard) = unbounded_channel();
        let members = Self(Arc::new(Inner {
            cluster: cluster.clone(),
            own,
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            table: Mutex::new(table),
            events,
            voices,
            announced: (0..MAX_SHARDS).map(|_| AtomicU64::new(0)).collect(),
        }));
        for node in members.others() {
            members.tell(Event::Up(node.0));
        }
        let joined = Joined { beats, told, heard };
        Ok((members, joined))
    }

    /// The cluster.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.0.cluster
    }

    /// This member's number.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.0.own.number
    }

    /// All members, this one included, by name.
    #[must_use]
    pub fn rows(&self) -> Vec<MemberRow> {
        let now = Instant::now();
        let mut rows: Vec<_> = self.table().members(now).collect();
        rows.push(wire::row(&self.own_beat(), Duration::ZERO, true));
        rows.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
        rows
    }

    /// The other members and their names.
    #[must_use]
    pub fn others(&self) -> Vec<(NodeId, String)> {
        let now = Instant::now();
        let table = self.table();
        table.members(now).map(|row| (row.node, row.name)).collect()
    }

    /// Whether another member is there.
    #[must_use]
    pub fn alone(&self) -> bool {
        self.table().is_empty()
    }

    /// The name of a node, if it is a member.
    #[must_use]
    pub fn name_of(&self, node: &NodeId) -> Option<String> {
        self.rows()
            .into_iter()
            .find(|row| row.node == *node)
            .map(|row| row.name)
    }

    /// The member with this number.
    #[must_use]
    pub fn with_number(&self, number: u8) -> Option<NodeId> {
        let row = self.rows().into_iter().find(|row| row.number == number);
        row.map(|row| row.node)
    }

    /// What the node tells of itself now.
    pub(crate) fn own_beat(&self) -> Beat {
        Beat {
            ready: self.0.ready.load(Ordering::Relaxed),
            draining: self.0.draining.load(Ordering::Relaxed),
            connected: self.0.cluster.connection().borrow().times,
            ..self.0.own.clone()
        }
    }

    /// A shard announces something to the others.
    pub(crate) fn announce(&self, shard: ShardId, announce: Announce) {
        let number = match announce {
            Announce::User { .. } => {
                let announced = &self.0.announced[usize::from(shard.0)];
                announced.fetch_add(1, Ordering::Relaxed) + 1
            }
            Announce::Joined { .. } | Announce::Left { .. } | Announce::Watch { .. } => 0,
        };
        self.say(Voice::Announce(shard, number, announce));
    }

    /// How many announcements of users a shard has made. To be asked on its own thread, together with what it knows.
    pub(crate) fn announced(&self, shard: ShardId) -> u64 {
        self.0.announced[usize::from(shard.0)].load(Ordering::Relaxed)
    }

    /// A shard says something else.
    pub(crate) fn say(&self, voice: Voice) {
        // Nobody listens any more when the node stops.
        _ = self.0.voices.send(voice);
    }

    /// The node answers from now on: the others take it in.
    pub(crate) async fn ready(&self) {
        self.0.ready.store(true, Ordering::Relaxed);
        self.beat().await;
    }

    /// The node is being stopped.
    pub(crate) async fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
        self.beat().await;
    }

    /// The node says goodbye.
    pub(crate) async fn leave(&self) {
        let goodbye = Beat {
            gone: true,
            ..self.own_beat()
        };
        let said = async {
            _ = publish(&self.0.cluster, &goodbye).await;
            _ = self.0.cluster.client().flush().await;
        };
        // Without NATS the others notice by the lease.
        _ = tokio::time::timeout(GOODBYE, said).await;
    }

    /// Beats and listens until it is dropped.
    pub(crate) async fn run(self, mut beats: Subscriber) {
        let lease = self.0.cluster.settings().lease;
        let every = BEAT_EVERY.min(lease / BEATS_IN_LEASE);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = self.0.cluster.connection();
        let mut last = Instant::now();
        loop {
            // Each branch may be dropped half way: the streams lose nothing, ticks come again.
            tokio::select! {
                biased;
                Some(message) = beats.next() => self.hear(&message),
                Ok(()) = connection.changed() => {
                    let up = connection.borrow_and_update().up;
                    if up {
                        self.beat().await;
                        self.tell(Event::Resync);
                    }
                }
                _ = ticks.tick() => {
                    let now = Instant::now();
                    if now - last > lease / 2 {
                        // This node stood still: what the others said meanwhile may still be on its way.
                        self.table().renew(now);
                    }
                    last = now;
                    self.beat().await;
                    self.expire(now);
                }
            }
        }
    }

    fn hear(&self, message: &Message) {
        let Some(beat) = Beat::read(&message.payload) else {
            tracing::warn!("a member's heartbeat was not understood");
            return;
        };
        if beat.node == self.0.own.node || !beat.ready {
            return;
        }
        if beat.number == self.0.own.number {
            tracing::warn!(
                member = beat.name,
                number = beat.number,
                "another member has the same number: KILL may end a connection of either"
            );
        }
        let changes = self.table().hear(Instant::now(), beat);
        self.told(changes);
    }

    fn expire(&self, now: Instant) {
        let changes = self.table().expire(now);
        for change in changes {
            self.told(Some(change));
        }
    }

    fn told(&self, change: Option<Change>) {
        match change {
            Some(Change::Joined(beat)) => {
                tracing::info!(node = %beat.node(), version = beat.version, "a member joined");
                self.tell(Event::Up(beat.node()));
            }
            Some(Change::Again(node)) => self.tell(Event::Again(node)),
            Some(Change::Left(node)) => {
                tracing::info!(node = %node, "a member left");
                self.tell(Event::Gone(node));
            }
            Some(Change::Lost(node)) => {
                tracing::warn!(node = %node, "a member is silent and counts as dead");
                self.tell(Event::Gone(node));
            }
            None => {}
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more when the node stops.
        _ = self.0.events.send(event);
    }

    async fn beat(&self) {
        // Without NATS nobody hears it, which is what a lease is for.
        _ = publish(&self.0.cluster, &self.own_beat()).await;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node that joined listens to.
pub(crate) struct Joined {
    /// The heartbeats.
    pub(crate) beats: Subscriber,
    /// What happens to other members.
    pub(crate) told: UnboundedReceiver<Event>,
    /// What the shards have to say.
    pub(crate) heard: UnboundedReceiver<Voice>,
}

fn subject(cluster: &Cluster) -> String {
    cluster.names().subject("beat")
}

async fn publish(cluster: &Cluster, beat: &Beat) -> Result<(), JoinError> {
    let client = cluster.client();
    let sent = client.publish(subject(cluster), beat.text().into()).await;
    sent.map_err(nats)
}

fn nats(error: impl Into<async_nats::Error>) -> JoinError {
    JoinError::Nats(error.into())
}

/// Asks all, rather than to wait for beats.
async fn ask_who_is_there(cluster: &Cluster) -> Result<Vec<Beat>, JoinError> {
    let client = cluster.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(nats)?;
    let question = cluster.names().subject("all.beat");
    let asked = client.publish_with_reply(question, inbox, "{\"v\":1}".into());
    asked.await.map_err(nats)?;
    client.flush().await.map_err(nats)?;
    let mut others = Vec::new();
    while let Ok(Some(answer)) = tokio::time::timeout(ANSWERS_WAIT, answers.next()).await {
        if answer.status.is_some() {
            // Nobody is there who could answer.
            break;
        }
        others.extend(Beat::of_answer(&answer.payload));
    }
    Ok(others)
}

fn free_number(others: &[Beat]) -> Option<u8> {
    let taken: BTreeSet<u8> = others.iter().map(|other| other.number).collect();
    let free: Vec<u8> = (1..=NUMBERS)
        .filter(|number| !taken.contains(number))
        .collect();
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    let at = random.checked_rem(free.len() as u64)?;
    free.get(usize::try_from(at).ok()?).copied()
}

/// Whether another one has the number, or takes it at this moment and its id is the smaller one.
async fn contested(own: &Beat, others: &mut Vec<Beat>, beats: &mut Subscriber) -> bool {
    let until = Instant::now() + CLAIM_WAIT;
    while let Ok(Some(message)) = tokio::time::timeout_at(until, beats.next()).await {
        let Some(beat) = Beat::read(&message.payload).filter(|beat| beat.node != own.node) else {
            continue;
        };
        others.retain(|other| other.node != beat.node);
        if !beat.gone {
            others.push(beat);
        }
    }
    let same = |other: &&Beat| other.number == own.number;
    let mut same = others.iter().filter(same);
    same.any(|other| other.ready || other.node < own.node)
}
