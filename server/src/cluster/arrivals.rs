//! What comes from the log and from other nodes, for one channel or inbox: put in order, what is missing fetched, handed to
//! the shard that it concerns. One task for each that is followed. It must not know why it is followed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::header::{NATS_LAST_SEQUENCE, NATS_SEQUENCE};
use async_nats::{Message, Subscriber};
use cometql_engine::ids::{shard_of_channel, shard_of_user};
use cometql_engine::{Limits, LogEvent};
use cometql_protocol::{ChannelName, TenantId, UserId};
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::history::Place;
use super::message::{self, Note, Said, number};
use super::read::Row;
use super::streams::Unreachable;
use super::{Cluster, now_ms};
use crate::shard::Mail;

/// How long what is missing may take to be fetched, before it is told that something is missing.
const FETCH_TIME: Duration = Duration::from_secs(5);
/// Pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Channel(TenantId, ChannelName),
    User(TenantId, UserId),
}

/// The shards' mailboxes.
#[derive(Clone)]
pub(super) struct Doors(Arc<[UnboundedSender<Mail>]>);

impl Doors {
    pub(super) fn new(doors: &[UnboundedSender<Mail>]) -> Self {
        Self(doors.into())
    }

    /// Tells the shard that it concerns.
    pub(super) fn tell(&self, key: &Key, event: LogEvent) {
        let shard = match key {
            Key::Channel(tenant, channel) => {
                shard_of_channel(*tenant, channel.as_str(), self.0.len())
            }
            Key::User(tenant, user) => shard_of_user(*tenant, *user, self.0.len()),
        };
        // A shard that has stopped takes no mail.
        _ = self.0[usize::from(shard.0)].send(Mail::Log(Box::new(event)));
    }
}

/// What others may know and want of a follower.
pub(super) struct Handle {
    /// `None` = nothing is stored of it.
    pub(super) place: Option<Place>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// All up to here was handed over.
    delivered: AtomicU64,
    /// It is known that there is something up to here.
    wanted: AtomicU64,
    wake: Notify,
    /// False once nobody wants to hear more.
    open: Mutex<bool>,
}

impl Handle {
    /// All up to here was handed over.
    pub(super) fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Acquire)
    }

    /// The log has something up to here.
    pub(super) fn want(&self, offset: u64) {
        self.shared.want(offset);
    }
}

impl Shared {
    fn want(&self, offset: u64) {
        self.wanted.fetch_max(offset, Ordering::AcqRel);
        self.wake.notify_one();
    }
}

impl Drop for Handle {
    /// Nothing is handed over any more once this has returned.
    fn drop(&mut self) {
        *self
            .shared
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = false;
        self.task.abort();
    }
}

/// A channel or inbox that is listened to.
pub(super) struct Follower {
    pub(super) cluster: Cluster,
    pub(super) limits: Arc<Limits>,
    pub(super) doors: Doors,
    pub(super) key: Key,
    pub(super) place: Option<Place>,
    pub(super) subscriber: Subscriber,
    /// What comes after it is new.
    pub(super) delivered: u64,
}

impl Follower {
    /// From now on what comes is handed over.
    pub(super) fn start(self) -> Handle {
        let shared = Arc::new(Shared {
            delivered: AtomicU64::new(self.delivered),
            wanted: AtomicU64::new(0),
            wake: Notify::new(),
            open: Mutex::new(true),
        });
        let place = self.place.clone();
        let times = self.cluster.0.state.borrow().times;
        let live = Live {
            shared: Arc::clone(&shared),
            times,
            follower: self,
        };
        Handle {
            place,
            shared,
            task: tokio::spawn(live.run()),
        }
    }
}

struct Live {
    follower: Follower,
    shared: Arc<Shared>,
    /// Which connection to NATS this is: what came between two was not heard.
    times: u64,
}

impl Live {
    async fn run(mut self) {
        loop {
            // Both are cancel-safe: what is not taken stays.
            tokio::select! {
                biased;
                () = self.shared.wake.notified() => self.catch_up().await,
                message = self.follower.subscriber.next() => match message {
                    Some(message) => self.arrived(message).await,
                    None => return,
                }
            }
        }
    }

    async fn arrived(&mut self, message: Message) {
        let headers = message.headers.unwrap_or_default();
        let Some(offset) = number(&headers, NATS_SEQUENCE.as_ref()) else {
            self.follower.cluster.counters().received.inc();
            return self.unstored(&headers, &message.payload);
        };
        if offset <= self.follower.delivered {
            return;
        }
        let before = number(&headers, NATS_LAST_SEQUENCE.as_ref()).unwrap_or(0);
        let times = self.follower.cluster.0.state.borrow().times;
        let missed = before > self.follower.delivered || times != self.times;
        if missed {
            let fetched = self.fetch(offset - 1).await;
            if !fetched && matches!(self.follower.key, Key::User(..)) {
                // Its acknowledgement would be one of all that is missing: they come together.
                self.shared.want(offset);
                return;
            }
            self.times = times;
            if !fetched {
                return self.hand_over(offset, &headers, &message.payload, false);
            }
        }
        self.hand_over(offset, &headers, &message.payload, true);
    }

    /// The log has something that did not come.
    async fn catch_up(&mut self) {
        let wanted = self.shared.wanted.load(Ordering::Acquire);
        if wanted > self.follower.delivered && !self.fetch(wanted).await {
            // It is asked for again with the next comparison.
            tracing::debug!("what was missed could not be fetched yet");
        }
    }

    /// Hands over all up to an offset. False when it could not be had in time.
    async fn fetch(&mut self, last: u64) -> bool {
        let Some(place) = self.follower.place.clone() else {
            return true;
        };
        self.follower.cluster.counters().catch_ups.inc();
        let deadline = Instant::now() + FETCH_TIME;
        loop {
            match self.fetch_once(&place, last).await {
                Ok(()) => return true,
                Err(error) if Instant::now() > deadline => {
                    tracing::warn!(%error, "what was missed can't be fetched from the log");
                    return false;
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn fetch_once(&mut self, place: &Place, last: u64) -> Result<(), Unreachable> {
        let Follower {
            cluster, limits, ..
        } = &self.follower;
        let after = self.follower.delivered;
        let rows = cluster
            .up_to(place.kind, &place.subject, after, last)
            .await?;
        let whole = match self.follower.key {
            // Private messages that are gone were acknowledged.
            Key::User(..) => true,
            Key::Channel(..) => {
                let count = rows.len() as u64;
                cluster.is_whole(place, limits, after, count).await?
            }
        };
        let mut complete = whole;
        for row in rows {
            let Row {
                offset,
                headers,
                body,
                ..
            } = row;
            self.hand_over(offset, &headers, &body, complete);
            complete = true;
        }
        if !whole && self.follower.delivered == after {
            // All of it is gone already.
            self.tell(|tenant, channel| LogEvent::Gap {
                tenant,
                channel,
                offset: last,
            });
            self.follower.delivered = last;
            self.shared.delivered.store(last, Ordering::Release);
        }
        Ok(())
    }

    /// A stored message, in order.
    fn hand_over(
        &mut self,
        offset: u64,
        headers: &async_nats::HeaderMap,
        body: &bytes::Bytes,
        complete: bool,
    ) {
        self.follower.delivered = offset;
        let said = message::read(headers, body);
        match (&self.follower.key, said) {
            (Key::User(tenant, user), Some(Said::Content(content))) => {
                let (tenant, user) = (*tenant, *user);
                let message = message::inbox_message(offset, content, false);
                self.send(LogEvent::Inbox {
                    tenant,
                    user,
                    message,
                });
            }
            (Key::User(..), _) => {}
            (Key::Channel(..), Some(Said::Content(content))) => {
                self.tell(|tenant, channel| LogEvent::Publication {
                    tenant,
                    channel,
                    offset,
                    complete,
                    content,
                });
            }
            (Key::Channel(..), Some(Said::Note(Note::Clear))) => self.removed(None, offset),
            (Key::Channel(..), Some(Said::Note(Note::Delete(id)))) => {
                self.removed(Some(id), offset);
            }
            (Key::Channel(..), Some(Said::Note(Note::Open))) => {}
            // What we can't read is something that subscribers miss.
            (
                Key::Channel(..),
                Some(Said::Note(Note::Gap | Note::Removed(_) | Note::Taken(_))) | None,
            ) => {
                self.tell(|tenant, channel| LogEvent::Gap {
                    tenant,
                    channel,
                    offset,
                });
            }
        }
        let counters = self.follower.cluster.counters();
        counters.received.inc();
        if let Some(time_ms) = message::time(headers) {
            let late = now_ms().saturating_sub(time_ms);
            counters.arrived(Duration::from_millis(late));
        }
        self.shared.delivered.store(offset, Ordering::Release);
    }

    fn removed(&self, id: Option<cometql_engine::MessageId>, offset: u64) {
        self.tell(|tenant, channel| LogEvent::Removed {
            tenant,
            channel,
            id,
            offset,
        });
    }

    /// What no log has.
    fn unstored(&self, headers: &async_nats::HeaderMap, body: &bytes::Bytes) {
        let said = message::read(headers, body);
        match (&self.follower.key, said) {
            (Key::Channel(..), Some(Said::Content(content))) => {
                let lossy = message::is_lossy(headers);
                self.tell(|tenant, channel| LogEvent::Live {
                    tenant,
                    channel,
                    content,
                    lossy,
                });
            }
            (Key::User(tenant, user), Some(Said::Content(content))) => {
                self.send(LogEvent::Unstored {
                    tenant: *tenant,
                    user: *user,
                    content,
                });
            }
            (Key::User(tenant, user), Some(Said::Note(Note::Removed(up_to)))) => {
                self.send(LogEvent::InboxRemoved {
                    tenant: *tenant,
                    user: *user,
                    up_to,
                });
            }
            (Key::Channel(..) | Key::User(..), _) => {}
        }
    }

    /// Of a channel.
    fn tell(&self, event: impl FnOnce(TenantId, ChannelName) -> LogEvent) {
        if let Key::Channel(tenant, channel) = &self.follower.key {
            self.send(event(*tenant, channel.clone()));
        }
    }

    fn send(&self, event: LogEvent) {
        let open = self
            .shared
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *open {
            self.follower.doors.tell(&self.follower.key, event);
        }
    }
}

/// The log of a channel or user began a new life.
pub(super) fn reset(doors: &Doors, key: &Key) {
    let event = match key.clone() {
        Key::Channel(tenant, channel) => LogEvent::Reset { tenant, channel },
        Key::User(tenant, user) => LogEvent::InboxReset { tenant, user },
    };
    doors.tell(key, event);
}
