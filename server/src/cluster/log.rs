//! Serves what shards ask of the cluster's log: channels and inboxes. Answers come in order for each channel and user.
//!
//! One task takes the questions and gives out the answers; what they need of NATS runs beside each other.

use std::collections::HashMap;
use std::sync::Arc;

use cometql_engine::publication::Content;
use cometql_engine::store::{Keep, LogKind};
use cometql_engine::{Limits, MessageId, Publication, StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::{ChannelName, TenantId, UserId};
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Cluster;
use super::arrivals::{Doors, Follower, Handle, Key};
use super::history::Place;
use super::lanes::Lanes;
use super::names::StreamKind;
use super::serve::{Serving, kind_of, place};
use super::unstored::Unstored;
use crate::shard::Mail;

/// A durable channel is trimmed after so many publications of this node.
const TRIM_EVERY: u64 = 64;

/// Told once what came of a request; must not block.
pub(crate) type Reply = Box<dyn FnOnce(Result<StoreAnswer, StoreFailure>) + Send>;

/// The way to the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Log {
    jobs: UnboundedSender<Job>,
    unstored: UnboundedSender<Unstored>,
    cluster: Cluster,
}

/// The log before there are shards to tell.
pub(crate) struct Unstarted {
    jobs: UnboundedReceiver<Job>,
    unstored: UnboundedReceiver<Unstored>,
    cluster: Cluster,
    limits: Arc<Limits>,
}

/// What the task is asked.
pub(super) enum Job {
    Ask(StoreRequest, Instant, Reply),
    FollowUser(TenantId, UserId, bool),
    Unfollow(TenantId, ChannelName, LogKind),
    /// Look what was missed: all that is followed, with what was handed over of it.
    Look(UnboundedSender<Vec<(StreamKind, String, u64, Key)>>),
    /// There is something up to this offset.
    Want(Key, u64),
    /// A stream began a new life.
    Reset(StreamKind),
}

/// What came of a job.
pub(super) enum Outcome {
    Answer(Reply, Result<StoreAnswer, StoreFailure>),
    Opened(Reply, Result<(StoreAnswer, Follower), StoreFailure>),
    Followed(Option<Follower>),
    Unfollowed(Option<LogKind>),
}

impl Log {
    /// For a member with its streams.
    pub(crate) fn new(cluster: Cluster, limits: Arc<Limits>) -> (Self, Unstarted) {
        let (sender, jobs) = mpsc::unbounded_channel();
        let (publish, unstored) = mpsc::unbounded_channel();
        let log = Self {
            jobs: sender,
            unstored: publish,
            cluster: cluster.clone(),
        };
        let unstarted = Unstarted {
            jobs,
            unstored,
            cluster,
            limits,
        };
        (log, unstarted)
    }

    /// Whether a request is the log's; all others are the store's.
    pub(crate) fn takes(request: &StoreRequest) -> bool {
        match request {
            StoreRequest::OpenChannel { log, .. }
            | StoreRequest::Append { log, .. }
            | StoreRequest::ReadHistory { log, .. }
            | StoreRequest::DeleteHistory { log, .. } => log.is_some(),
            StoreRequest::MarkGap { .. }
            | StoreRequest::InboxAppend { .. }
            | StoreRequest::InboxRead { .. }
            | StoreRequest::InboxRemove { .. }
            | StoreRequest::InboxRemoveOne { .. } => true,
            StoreRequest::SetHistory { .. }
            | StoreRequest::SetLastSeen { .. }
            | StoreRequest::LastSeen { .. }
            | StoreRequest::UserData { .. }
            | StoreRequest::IsMember { .. } => false,
        }
    }

    /// Asks the log.
    pub(crate) fn ask(&self, request: StoreRequest, reply: Reply) {
        let job = Job::Ask(request, Instant::now(), reply);
        if let Err(mpsc::error::SendError(Job::Ask(_, _, reply))) = self.jobs.send(job) {
            reply(Err(StoreFailure::Failed("the node stops".into())));
        }
    }

    /// Private messages of a user are wanted, or no longer.
    pub(crate) fn follow_user(&self, tenant: TenantId, user: UserId, wanted: bool) {
        self.tell(Job::FollowUser(tenant, user, wanted));
    }

    /// Nobody here uses the channel any more.
    pub(crate) fn unfollow(&self, tenant: TenantId, channel: ChannelName, log: LogKind) {
        self.tell(Job::Unfollow(tenant, channel, log));
    }

    /// For what is asked out of any channel's or user's turn.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn tell(&self, job: Job) {
        // The task ends with the node.
        _ = self.jobs.send(job);
    }

    /// Tells the other nodes what no log has, in the order of these calls.
    pub(crate) fn broadcast(&self, publication: &Arc<Publication>, lossy: bool) {
        self.cluster.counters().lossy.inc_by(u64::from(lossy));
        // The task ends with the node.
        _ = self
            .unstored
            .send(Unstored::Publication(Arc::clone(publication), lossy));
    }

    /// Tells other nodes a private message that the log could not take.
    pub(crate) fn send_unstored(&self, tenant: TenantId, user: UserId, content: Content) {
        _ = self.unstored.send(Unstored::Private(tenant, user, content));
    }

    /// Tells other nodes that somebody has acknowledged one.
    pub(crate) fn tell_taken(&self, tenant: TenantId, user: UserId, id: MessageId) {
        _ = self.unstored.send(Unstored::Taken(tenant, user, id));
    }
}

impl Unstarted {
    /// Starts to serve; ends with the last handle, or when aborted.
    pub(crate) fn start(self, log: &Log, doors: &[UnboundedSender<Mail>]) -> Vec<JoinHandle<()>> {
        let Self {
            jobs,
            unstored,
            cluster,
            limits,
        } = self;
        let doors = Doors::new(doors);
        let service = Service {
            cluster: cluster.clone(),
            limits: Arc::clone(&limits),
            doors: doors.clone(),
            lanes: Lanes::new(|job| !is_append(job)),
            flying: FuturesUnordered::new(),
            followed: HashMap::new(),
            untrimmed: HashMap::new(),
        };
        vec![
            tokio::spawn(service.run(jobs)),
            tokio::spawn(cluster.clone().tell_unstored(unstored)),
            tokio::spawn(cluster.clone().hear_taken(doors)),
            tokio::spawn(super::sweep::run(cluster.clone())),
            tokio::spawn(super::reconcile::run(cluster, limits, log.clone())),
        ]
    }
}

fn is_append(job: &Job) -> bool {
    matches!(
        job,
        Job::Ask(
            StoreRequest::Append { .. }
                | StoreRequest::InboxAppend { .. }
                | StoreRequest::MarkGap { .. },
            ..
        )
    )
}

struct Service {
    cluster: Cluster,
    limits: Arc<Limits>,
    doors: Doors,
    lanes: Lanes<Key, Job, Outcome>,
    flying: FuturesUnordered<BoxFuture<'static, (Key, u64, Outcome)>>,
    followed: HashMap<Key, Handle>,
    /// Publications of this node since their channel was trimmed.
    untrimmed: HashMap<Key, u64>,
}

impl Service {
    async fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        loop {
            // Both are cancel-safe.
            tokio::select! {
                biased;
                Some((key, turn, outcome)) = self.flying.next(), if !self.flying.is_empty() => {
                    for outcome in self.lanes.done(&key, turn, outcome) {
                        self.give_out(&key, outcome);
                    }
                    while let Some((turn, job)) = self.lanes.next(&key) {
                        self.begin(key.clone(), turn, job).await;
                    }
                }
                job = jobs.recv() => match job {
                    Some(job) => self.take(job).await,
                    None => return,
                }
            }
        }
    }

    async fn take(&mut self, job: Job) {
        let key = match &job {
            Job::Ask(request, ..) => key_of(request),
            Job::FollowUser(tenant, user, _) => Some(Key::User(*tenant, *user)),
            Job::Unfollow(tenant, channel, _) => Some(Key::Channel(*tenant, channel.clone())),
            Job::Look(_) | Job::Want(..) | Job::Reset(_) => None,
        };
        match (key, job) {
            (Some(key), job) => {
                if let Some((turn, job)) = self.lanes.come(&key, job) {
                    self.begin(key, turn, job).await;
                }
            }
            (None, Job::Look(told)) => {
                // Who asked may have gone.
                _ = told.send(self.look());
            }
            (None, Job::Want(key, offset)) => {
                if let Some(handle) = self.followed.get(&key) {
                    handle.want(offset);
                }
            }
            (None, Job::Reset(kind)) => self.reset(kind).await,
            (None, Job::Ask(_, _, reply)) => {
                reply(Err(StoreFailure::Failed("that is not the log's".into())));
            }
            (None, Job::FollowUser(..) | Job::Unfollow(..)) => {}
        }
    }

    fn look(&self) -> Vec<(StreamKind, String, u64, Key)> {
        let stored = self.followed.iter().filter_map(|(key, handle)| {
            let place = handle.place.as_ref()?;
            Some((
                place.kind,
                place.subject.clone(),
                handle.delivered(),
                key.clone(),
            ))
        });
        stored.collect()
    }

    /// Channels are opened again by those who use them; inboxes are followed anew, and then read.
    async fn reset(&mut self, kind: StreamKind) {
        let concerned = |handle: &Handle| {
            let place = handle.place.as_ref();
            place.is_some_and(|place| place.kind == kind)
        };
        let gone = self.followed.extract_if(|_, handle| concerned(handle));
        for key in gone.map(|(key, _)| key).collect::<Vec<_>>() {
            if let Key::User(tenant, user) = key {
                Box::pin(self.take(Job::FollowUser(tenant, user, true))).await;
            }
            super::arrivals::reset(&self.doors, &key);
        }
    }

    /// Begins what a job asks. Appends are sent before this returns, so that they are in the log in order.
    async fn begin(&mut self, key: Key, turn: u64, job: Job) {
        let serving = Serving {
            cluster: self.cluster.clone(),
            limits: Arc::clone(&self.limits),
        };
        let outcome = match job {
            Job::Ask(request, asked, reply) if is_append_request(&request) => {
                self.count(&key, &request);
                serving.append(request, asked, reply).await
            }
            Job::Ask(request @ StoreRequest::OpenChannel { .. }, asked, reply) => serving
                .open(key.clone(), self.doors.clone(), request, asked, reply)
                .boxed(),
            Job::Ask(request, asked, reply) => serving.other(request, asked, reply).boxed(),
            Job::FollowUser(tenant, user, true) => serving
                .follow_user(key.clone(), self.doors.clone(), tenant, user)
                .boxed(),
            Job::FollowUser(_, _, false) => std::future::ready(Outcome::Unfollowed(None)).boxed(),
            Job::Unfollow(_, _, log) => std::future::ready(Outcome::Unfollowed(Some(log))).boxed(),
            Job::Look(_) | Job::Want(..) | Job::Reset(_) => {
                unreachable!("these are of no channel or user")
            }
        };
        self.flying
            .push(outcome.map(move |outcome| (key, turn, outcome)).boxed());
        self.note_waiting();
    }

    fn give_out(&mut self, key: &Key, outcome: Outcome) {
        match outcome {
            Outcome::Answer(reply, result) => reply(result),
            Outcome::Opened(reply, Ok((answer, follower))) => {
                // Nothing of an earlier following may come after the answer, and nothing of this one before it.
                self.followed.remove(key);
                reply(Ok(answer));
                self.followed.insert(key.clone(), follower.start());
            }
            Outcome::Opened(reply, Err(failure)) => reply(Err(failure)),
            Outcome::Followed(follower) => {
                self.followed.remove(key);
                if let Some(follower) = follower {
                    self.followed.insert(key.clone(), follower.start());
                }
            }
            Outcome::Unfollowed(log) => {
                let is = |handle: &Handle| {
                    log.is_none_or(|log| {
                        kind_of(log) == handle.place.as_ref().map(|place| place.kind)
                    })
                };
                if self.followed.get(key).is_some_and(is) {
                    self.followed.remove(key);
                    self.untrimmed.remove(key);
                }
            }
        }
        let followed = i64::try_from(self.followed.len()).unwrap_or(i64::MAX);
        self.cluster.counters().followed.set(followed);
        self.note_waiting();
    }

    fn note_waiting(&self) {
        let waiting = i64::try_from(self.flying.len()).unwrap_or(i64::MAX);
        self.cluster.counters().waiting.set(waiting);
    }

    /// Counts publications of durable channels, and trims a channel now and then.
    fn count(&mut self, key: &Key, request: &StoreRequest) {
        let StoreRequest::Append {
            tenant,
            channel,
            keep,
            log: Some(LogKind::Durable),
            ..
        } = request
        else {
            return;
        };
        let count = self.untrimmed.entry(key.clone()).or_insert(TRIM_EVERY - 1);
        *count += 1;
        if *count >= TRIM_EVERY {
            *count = 0;
            let place = place(&self.cluster, StreamKind::History, *tenant, channel);
            tokio::spawn(trim(self.cluster.clone(), place, *keep));
        }
    }
}

async fn trim(cluster: Cluster, place: Place, keep: Keep) {
    if let Err(error) = cluster.trim(&place, keep).await {
        tracing::debug!(%error, "a channel was not trimmed; it is tried again later");
    }
}

fn is_append_request(request: &StoreRequest) -> bool {
    matches!(
        request,
        StoreRequest::Append { .. }
            | StoreRequest::InboxAppend { .. }
            | StoreRequest::MarkGap { .. }
    )
}

fn key_of(request: &StoreRequest) -> Option<Key> {
    Some(match request {
        StoreRequest::OpenChannel {
            tenant, channel, ..
        }
        | StoreRequest::Append {
            tenant, channel, ..
        }
        | StoreRequest::ReadHistory {
            tenant, channel, ..
        }
        | StoreRequest::DeleteHistory {
            tenant, channel, ..
        }
        | StoreRequest::MarkGap {
            tenant, channel, ..
        } => Key::Channel(*tenant, channel.clone()),
        StoreRequest::InboxAppend { tenant, user, .. }
        | StoreRequest::InboxRead { tenant, user, .. }
        | StoreRequest::InboxRemove { tenant, user, .. }
        | StoreRequest::InboxRemoveOne { tenant, user, .. } => Key::User(*tenant, *user),
        StoreRequest::SetHistory { .. }
        | StoreRequest::SetLastSeen { .. }
        | StoreRequest::LastSeen { .. }
        | StoreRequest::UserData { .. }
        | StoreRequest::IsMember { .. } => return None,
    })
}
