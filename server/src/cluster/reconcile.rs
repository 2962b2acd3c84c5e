//! Compares what this node has handed over with the log: every few seconds, after each new connection to NATS and after each
//! change of a stream's leader, because only leaders tell what they store, as best they can. It only finds what was missed;
//! who follows a channel fetches it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_TTL;
use async_nats::jetstream::message::PublishMessage;
use cometql_engine::Limits;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::arrivals::Key;
use super::log::{Job, Log};
use super::names::StreamKind;
use super::streams::{self, Unreachable};
use super::{Cluster, now_ms};

/// How often all is compared.
const EVERY: Duration = Duration::from_secs(3);
/// What was not handed over after so long is missed, and not only on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(250);
/// Subjects of one question: NATS answers for 1024 at most.
const AT_ONCE: usize = 1_000;
/// Streams with something that is followed.
const KINDS: [StreamKind; 3] = [StreamKind::Windows, StreamKind::History, StreamKind::Inbox];

/// Compares for as long as the node runs.
pub(super) async fn run(cluster: Cluster, limits: Arc<Limits>, log: Log) {
    let mut reconciler = Reconciler {
        seen: HashMap::new(),
        silent: HashMap::new(),
        cluster,
        limits,
        log,
    };
    let mut connection = reconciler.cluster.connection();
    let leaders = reconciler.cluster.client();
    let leaders = leaders
        .subscribe("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.>")
        .await;
    let mut leaders = leaders.ok();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let elected = async {
            match &mut leaders {
                Some(leaders) => leaders.next().await.is_some(),
                None => std::future::pending().await,
            }
        };
        // All are cancel-safe.
        tokio::select! {
            _ = ticks.tick() => {}
            changed = connection.changed() => if changed.is_err() { return },
            more = elected => if !more { leaders = None },
        }
        let up = connection.borrow_and_update().up;
        reconciler.cluster.counters().connected.set(i64::from(up));
        if up {
            reconciler.round().await;
        }
    }
}

struct Reconciler {
    cluster: Cluster,
    limits: Arc<Limits>,
    log: Log,
    /// The ends of streams at the last two rounds that went through.
    seen: HashMap<StreamKind, [u64; 2]>,
    /// Streams whose leader does not answer, and since when.
    silent: HashMap<StreamKind, Instant>,
}

impl Reconciler {
    async fn round(&mut self) {
        let began = Instant::now();
        let mut all = true;
        // None waits for another one: without a quorum each takes its time.
        let asked = StreamKind::ALL.map(|kind| self.epoch(kind));
        let epochs = futures_util::future::join_all(asked).await;
        for (kind, epoch) in StreamKind::ALL.into_iter().zip(epochs) {
            self.note_answer(kind, epoch.is_ok());
            if !KINDS.contains(&kind) {
                continue;
            }
            let compared = match epoch {
                Ok(epoch) => self.compare(kind, epoch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = compared {
                tracing::debug!(%error, "a log could not be compared");
                all = false;
            }
        }
        if all {
            let seconds = i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX);
            self.cluster.counters().reconciled.set(seconds);
        }
        tracing::trace!(took = ?began.elapsed(), all, "compared with the log");
    }

    /// Which life of a stream this is, by its leader. And whether it takes messages again, if it did not.
    async fn epoch(&self, kind: StreamKind) -> Result<u64, Unreachable> {
        let mut epoch = streams::epoch(&self.cluster, kind).await;
        if epoch.is_err() && KINDS.contains(&kind) {
            // A stream that is only out of reach stays as it is, and this fails too.
            _ = streams::remake(&self.cluster, &self.limits, kind).await;
            epoch = streams::epoch(&self.cluster, kind).await;
        }
        if self.cluster.health().is_lost(kind) {
            self.probe(kind).await;
        }
        epoch
    }

    /// Without a leader for longer than an election takes, the quorum is lost, also when nobody writes.
    fn note_answer(&mut self, kind: StreamKind, answered: bool) {
        if answered {
            self.silent.remove(&kind);
            return;
        }
        let since = *self.silent.entry(kind).or_insert_with(Instant::now);
        if since.elapsed() > self.cluster.settings().quorum_timeout {
            self.cluster.lose(kind);
        }
    }

    async fn compare(&mut self, kind: StreamKind, epoch: u64) -> Result<(), Unreachable> {
        if self.cluster.epochs().replace(kind, epoch) {
            tracing::warn!(
                stream = self.cluster.names().stream(kind),
                "a stream has lost what it had; its channels begin anew"
            );
            self.seen.remove(&kind);
            self.log.tell(Job::Reset(kind));
        }
        let end = self.cluster.end(kind).await?;
        let [before, last] = self.seen.get(&kind).copied().unwrap_or_default();
        if before == end && last == end {
            return Ok(());
        }
        let followed = self.followed(kind).await;
        let subjects: Vec<String> = followed.keys().cloned().collect();
        let mut behind = Vec::new();
        for subjects in subjects.chunks(AT_ONCE) {
            for row in self.cluster.lasts(kind, subjects, before + 1).await? {
                if let Some((delivered, key)) = followed.get(&row.subject)
                    && *delivered < row.offset
                {
                    behind.push((key.clone(), row.offset));
                }
            }
        }
        if !behind.is_empty() {
            tokio::time::sleep(ON_ITS_WAY).await;
            // Who has it by now does nothing.
            for (key, offset) in behind {
                self.log.tell(Job::Want(key, offset));
            }
        }
        self.seen.insert(kind, [last, end]);
        Ok(())
    }

    /// Whatever is followed of a stream, by subject.
    async fn followed(&self, kind: StreamKind) -> HashMap<String, (u64, Key)> {
        let (told, mut all) = mpsc::unbounded_channel();
        self.log.tell(Job::Look(told));
        let all = all.recv().await.unwrap_or_default();
        let of_kind = all.into_iter().filter(|(is, ..)| *is == kind);
        of_kind
            .map(|(_, subject, delivered, key)| (subject, (delivered, key)))
            .collect()
    }

    /// Whether a log whose quorum was lost takes messages again.
    async fn probe(&self, kind: StreamKind) {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_TTL, "1s");
        let message = PublishMessage::build().headers(headers);
        let subject = self.cluster.names().probe(kind);
        let Ok(sent) = self.cluster.log().send_publish(subject, message).await else {
            return;
        };
        if sent.await.is_ok() {
            self.cluster.found(kind);
        }
    }
}
