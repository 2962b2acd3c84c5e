//! Removes what durable channels keep no longer, where nobody publishes any more: publications that are too old are not read,
//! but stay in NATS until something happens to their channel. One member does it, once in a while and slowly.
//!
//! How long a channel keeps is said by its last publication, as for who reads: a lifetime for each message, which NATS could
//! end by itself, would be wrong as soon as the channel's changes, and would end the last one, too, which tells that nothing
//! after it is missing.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_MESSAGE_ID, NATS_MESSAGE_TTL};
use async_nats::jetstream::message::PublishMessage;
use futures_util::TryStreamExt as _;

use super::history::Place;
use super::message;
use super::names::StreamKind;
use super::streams::Unreachable;
use super::{Cluster, now_ms};

/// How often all channels are looked at.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// Channels of one question; NATS answers for 1024 at most.
const AT_ONCE: usize = 500;
/// Pause between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Sweeps for as long as the node runs.
pub(super) async fn run(cluster: Cluster) {
    loop {
        tokio::time::sleep(until_next(now_ms())).await;
        if let Err(error) = cluster.sweep_in_turn(now_ms()).await {
            tracing::debug!(%error, "what is too old stays in the log until the next time");
        }
    }
}

/// All members wake at the same times of day.
fn until_next(now_ms: u64) -> Duration {
    let every = every_ms();
    Duration::from_millis(every - now_ms % every)
}

fn every_ms() -> u64 {
    u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX)
}

impl Cluster {
    /// Sweeps, if no other member does it this time.
    async fn sweep_in_turn(&self, now_ms: u64) -> Result<(), Unreachable> {
        // Some clocks are a little early.
        let turn = (now_ms + every_ms() / 2) / every_ms();
        if self.takes_turn(turn).await? {
            let channels = self.sweep(PAUSE).await?;
            tracing::debug!(channels, "channels without publications were trimmed");
        }
        Ok(())
    }

    /// The stream takes a message with one id once.
    pub(super) async fn takes_turn(&self, turn: u64) -> Result<bool, Unreachable> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_TTL, "1s");
        headers.insert(NATS_MESSAGE_ID, format!("sweep.{turn}"));
        let message = PublishMessage::build().headers(headers);
        let subject = self.names().probe(StreamKind::History);
        let sent = self.log().send_publish(subject, message).await;
        let ack = sent.map_err(Unreachable::told)?.await;
        Ok(!ack.map_err(Unreachable::told)?.duplicate)
    }

    /// Removes what is too old, in all durable channels; returns in how many there may have been something.
    pub(super) async fn sweep(&self, pause: Duration) -> Result<usize, Unreachable> {
        let kind = StreamKind::History;
        let all = self.names().all_of(kind);
        let stream = self.stream(kind).await?;
        let mut subjects = stream
            .info_with_subjects(all)
            .await
            .map_err(Unreachable::told)?;
        let mut some = Vec::with_capacity(AT_ONCE);
        let mut swept = 0;
        while let Some((subject, count)) = subjects.try_next().await.map_err(Unreachable::told)? {
            // The last one stays in any case.
            if count > 1 {
                some.push(subject);
            }
            if some.len() == AT_ONCE {
                swept += self.sweep_these(&some).await?;
                some.clear();
                tokio::time::sleep(pause).await;
            }
        }
        if !some.is_empty() {
            swept += self.sweep_these(&some).await?;
        }
        Ok(swept)
    }

    async fn sweep_these(&self, subjects: &[String]) -> Result<usize, Unreachable> {
        let kind = StreamKind::History;
        let mut swept = 0;
        for last in self.lasts(kind, subjects, 0).await? {
            let age_ms = message::age(&last.headers);
            if age_ms == u64::MAX {
                continue;
            }
            let subject = last.subject;
            let place = Place { kind, subject };
            while self.trim_old(&place, age_ms).await? {}
            swept += 1;
        }
        Ok(swept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_wake_at_the_same_times() {
        let every = every_ms();
        for now in [0, 1, every - 1, every, 7 * every + 5] {
            let next = now + u64::try_from(until_next(now).as_millis()).unwrap();
            assert!(next > now && next.is_multiple_of(every), "{now}");
        }
    }
}
