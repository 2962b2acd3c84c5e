//! What one question to the cluster's log takes: from the request to the answer. It must not know what else is asked.

use std::sync::Arc;
use std::time::Duration;

use cometql_engine::store::{Keep, LogKind};
use cometql_engine::{Limits, StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, TenantId, UserId};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::Instant;

use super::Cluster;
use super::append::{appended, delivered};
use super::arrivals::{Doors, Follower, Key};
use super::history::Place;
use super::log::{Outcome, Reply};
use super::message::Note;
use super::names::StreamKind;
use super::streams::Unreachable;

/// Pause before something is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// What an inbox keeps: who acknowledges decides.
const ALL: Keep = Keep {
    publications: u64::MAX,
    age_ms: u64::MAX,
};
/// How long a log may take to answer that is known to be out of reach.
const LOST_TIME: Duration = Duration::from_secs(1);

/// The stream of a log; `None` = it has none.
pub(super) fn kind_of(log: LogKind) -> Option<StreamKind> {
    match log {
        LogKind::Live => None,
        LogKind::Window => Some(StreamKind::Windows),
        LogKind::Durable => Some(StreamKind::History),
    }
}

/// The stream that a question is about which adds nothing.
fn kind_asked(request: &StoreRequest) -> StreamKind {
    match request {
        StoreRequest::ReadHistory { log, .. } | StoreRequest::DeleteHistory { log, .. } => {
            log.and_then(kind_of).unwrap_or(StreamKind::Windows)
        }
        _ => StreamKind::Inbox,
    }
}

pub(super) fn place(
    cluster: &Cluster,
    kind: StreamKind,
    tenant: TenantId,
    channel: &ChannelName,
) -> Place {
    let subject = cluster.names().channel(kind, tenant, channel);
    Place { kind, subject }
}

/// What one question needs.
pub(super) struct Serving {
    pub(super) cluster: Cluster,
    pub(super) limits: Arc<Limits>,
}

impl Serving {
    /// A log that is known to be out of reach is not waited for.
    fn deadline(&self, asked: Instant, kind: StreamKind) -> Instant {
        let patience = self.cluster.settings().quorum_timeout;
        match self.cluster.health().is_lost(kind) {
            true => Instant::now() + LOST_TIME.min(patience),
            false => asked + patience,
        }
    }

    /// Gives a message to the log.
    pub(super) async fn append(
        self,
        request: StoreRequest,
        asked: Instant,
        reply: Reply,
    ) -> BoxFuture<'static, Outcome> {
        let cluster = &self.cluster;
        let names = cluster.names();
        let (outgoing, answer): (_, fn(_) -> _) = match request {
            StoreRequest::Append {
                tenant,
                channel,
                content,
                keep,
                once,
                log,
                ..
            } => {
                let kind = log.and_then(kind_of).unwrap_or(StreamKind::Windows);
                let subject = names.channel(kind, tenant, &channel);
                let outgoing = cluster.outgoing(kind, subject, &content, once, keep);
                (outgoing, appended)
            }
            StoreRequest::InboxAppend {
                tenant,
                user,
                content,
                once,
                ..
            } => {
                let subject = names.inbox(tenant, user);
                let outgoing = cluster.outgoing(StreamKind::Inbox, subject, &content, once, ALL);
                (outgoing, delivered)
            }
            StoreRequest::MarkGap {
                tenant,
                channel,
                log,
            } => {
                let kind = kind_of(log).unwrap_or(StreamKind::Windows);
                let subject = names.channel(kind, tenant, &channel);
                (cluster.note(kind, subject, Note::Gap), |_| {
                    StoreAnswer::Changed(1)
                })
            }
            _ => unreachable!("these are the requests that append"),
        };
        let deadline = self.deadline(asked, outgoing.kind);
        let sent = cluster.send(&outgoing).await;
        cluster.counters().sent.inc();
        async move {
            let settled = self.cluster.settle(&outgoing, sent, deadline).await;
            if settled.is_ok() {
                self.cluster.counters().acknowledged(asked.elapsed());
            }
            Outcome::Answer(reply, settled.map(answer))
        }
        .boxed()
    }

    /// Listens to a channel and tells where it stands.
    pub(super) async fn open(
        self,
        key: Key,
        doors: Doors,
        request: StoreRequest,
        asked: Instant,
        reply: Reply,
    ) -> Outcome {
        let StoreRequest::OpenChannel {
            tenant,
            channel,
            log: Some(log),
            ..
        } = request
        else {
            return Outcome::Answer(reply, Err(StoreFailure::Failed("no log".into())));
        };
        let kind = kind_of(log);
        let deadline = self.deadline(asked, kind.unwrap_or(StreamKind::Windows));
        let place = kind.map(|kind| place(&self.cluster, kind, tenant, &channel));
        let names = self.cluster.names();
        let subject = match &place {
            Some(place) => names.live(&place.subject),
            None => names.unstored(tenant, &channel),
        };
        let opened = persist(deadline, || {
            async {
                let Some(place) = &place else {
                    return Ok((nowhere(), self.listen_live(&subject).await?));
                };
                let subscriber = self.listen(&subject).await?;
                let answer = self.cluster.open(place, &self.limits).await?;
                Ok((answer, subscriber))
            }
            .boxed()
        });
        let opened = opened.await.map(|(answer, subscriber)| {
            let delivered = match &answer {
                StoreAnswer::Opened { position, .. } => position.offset,
                _ => 0,
            };
            let follower = Follower {
                cluster: self.cluster.clone(),
                limits: Arc::clone(&self.limits),
                doors,
                key,
                place,
                subscriber,
                delivered,
            };
            (answer, follower)
        });
        Outcome::Opened(reply, opened)
    }

    /// Listens; what is published once this has returned is heard.
    async fn listen(&self, subject: &str) -> Result<async_nats::Subscriber, Unreachable> {
        let client = self.cluster.client();
        let subscriber = client.subscribe(subject.to_owned()).await;
        let subscriber = subscriber.map_err(Unreachable::told)?;
        self.settle_subscription().await?;
        Ok(subscriber)
    }

    /// A question to the server and its answer: it has taken the subscription before.
    async fn settle_subscription(&self) -> Result<(), Unreachable> {
        let client = self.cluster.client();
        let flushed = client.request("_cometql.nobody", bytes::Bytes::new()).await;
        match flushed {
            Err(error) if error.kind() == async_nats::client::RequestErrorKind::NoResponders => {}
            Err(error) => return Err(Unreachable::told(error)),
            Ok(_) => {}
        }
        Ok(())
    }

    /// The same where no log is needed. Without a connection there is nobody to hear until there is one: then it is heard.
    async fn listen_live(&self, subject: &str) -> Result<async_nats::Subscriber, Unreachable> {
        let mut connection = self.cluster.connection();
        tokio::select! {
            biased;
            () = connection.wait_for(|connection| !connection.up).map(drop) => {}
            // Dropped half way it listens no more, and nothing else has begun.
            listened = self.listen(subject) => return listened,
        }
        let client = self.cluster.client();
        let subscriber = client.subscribe(subject.to_owned()).await;
        subscriber.map_err(Unreachable::told)
    }

    pub(super) async fn follow_user(
        self,
        key: Key,
        doors: Doors,
        tenant: TenantId,
        user: UserId,
    ) -> Outcome {
        let (kind, subject) = (StreamKind::Inbox, self.cluster.names().inbox(tenant, user));
        let live = self.cluster.names().live(&subject);
        // In force when a server is there, whether the log answers or not: other nodes tell what it lacks.
        let subscriber = loop {
            match self.cluster.client().subscribe(live.clone()).await {
                Ok(subscriber) => break subscriber,
                Err(error) => tracing::warn!(%error, "an inbox can't be followed yet"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        let deadline = self.deadline(Instant::now(), kind);
        let last = persist(deadline, || {
            async {
                self.settle_subscription().await?;
                self.cluster.last(kind, &subject).await
            }
            .boxed()
        });
        // Without an answer all is new: the comparison with the log finds it, once that is back.
        let last = last.await.unwrap_or_default();
        Outcome::Followed(Some(Follower {
            delivered: last.map_or(0, |row| row.offset),
            cluster: self.cluster,
            limits: self.limits,
            doors,
            key,
            place: Some(Place { kind, subject }),
            subscriber,
        }))
    }

    pub(super) async fn other(
        self,
        request: StoreRequest,
        asked: Instant,
        reply: Reply,
    ) -> Outcome {
        let deadline = self.deadline(asked, kind_asked(&request));
        let cluster = &self.cluster;
        let answer = persist(deadline, || self.answer(&request, deadline).boxed()).await;
        if let (
            Ok(_),
            StoreRequest::InboxRemove {
                tenant,
                user,
                up_to,
            },
        ) = (&answer, &request)
        {
            cluster.tell_removed(*tenant, *user, *up_to).await;
        }
        Outcome::Answer(reply, answer)
    }

    async fn answer(
        &self,
        request: &StoreRequest,
        deadline: Instant,
    ) -> Result<StoreAnswer, Unreachable> {
        let cluster = &self.cluster;
        let place = |log: &Option<LogKind>, tenant: &TenantId, channel: &ChannelName| {
            let kind = log.and_then(kind_of).unwrap_or(StreamKind::Windows);
            place(cluster, kind, *tenant, channel)
        };
        match request {
            StoreRequest::ReadHistory {
                tenant,
                channel,
                after,
                limit,
                newest,
                log,
            } => {
                let place = place(log, tenant, channel);
                cluster
                    .history(&place, &self.limits, *after, *limit, *newest)
                    .await
            }
            StoreRequest::DeleteHistory {
                tenant,
                channel,
                id,
                log,
            } => {
                let place = place(log, tenant, channel);
                let deleted = cluster.delete(&place, *id, deadline).await?;
                Ok(StoreAnswer::Changed(deleted))
            }
            StoreRequest::InboxRead {
                tenant,
                user,
                after,
                limit,
            } => cluster.read_inbox(*tenant, *user, *after, *limit).await,
            StoreRequest::InboxRemove {
                tenant,
                user,
                up_to,
            } => cluster.remove_inbox(*tenant, *user, *up_to).await,
            StoreRequest::InboxRemoveOne {
                tenant,
                user,
                offset,
            } => cluster.remove_one(*tenant, *user, *offset).await,
            _ => Err(Unreachable("that is not the log's".into())),
        }
    }
}

/// Where a channel stands of which nothing is stored.
fn nowhere() -> StoreAnswer {
    StoreAnswer::Opened {
        position: Position {
            epoch: Epoch(0),
            offset: 0,
        },
        floor: 0,
        recent: Vec::new(),
    }
}

/// Asks again and again, until the deadline.
async fn persist<'a, T>(
    deadline: Instant,
    ask: impl Fn() -> BoxFuture<'a, Result<T, Unreachable>>,
) -> Result<T, StoreFailure> {
    loop {
        match tokio::time::timeout_at(deadline, ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => tracing::debug!(%error, "the log did not answer"),
            Err(_) => return Err(StoreFailure::NoQuorum),
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(StoreFailure::NoQuorum);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
