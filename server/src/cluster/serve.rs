//! What one question to the cluster's log takes: from the request to the answer. It must not know what else is asked.

use std::sync::Arc;
use std::time::Duration;

use cometql_engine::store::LogKind;
use cometql_engine::{Limits, Publication, StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{ChannelName, TenantId, UserId};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::Cluster;
use super::append::{appended, delivered};
use super::arrivals::{Doors, Follower, Key};
use super::history::Place;
use super::log::{Outcome, Reply};
use super::message::{self, Note};
use super::names::StreamKind;
use super::streams::Unreachable;

/// Pause before something is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// The stream of a log; `None` = it has none.
pub(super) fn kind_of(log: LogKind) -> Option<StreamKind> {
    match log {
        LogKind::Live => None,
        LogKind::Window => Some(StreamKind::Windows),
        LogKind::Durable => Some(StreamKind::History),
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
    fn deadline(&self, asked: Instant) -> Instant {
        asked + self.cluster.settings().quorum_timeout
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
                let outgoing = cluster.outgoing(kind, subject, &content, once, keep.age_ms);
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
                let outgoing =
                    cluster.outgoing(StreamKind::Inbox, subject, &content, once, u64::MAX);
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
        let deadline = self.deadline(asked);
        let sent = cluster.send(&outgoing).await;
        cluster.counters().sent.inc();
        async move {
            let settled = self.cluster.settle(&outgoing, sent, deadline).await;
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
        let deadline = self.deadline(asked);
        let place = kind_of(log).map(|kind| place(&self.cluster, kind, tenant, &channel));
        let names = self.cluster.names();
        let subject = match &place {
            Some(place) => names.live(&place.subject),
            None => names.unstored(tenant, &channel),
        };
        let opened = persist(deadline, || {
            async {
                let subscriber = self.listen(&subject).await?;
                let answer = match &place {
                    Some(place) => self.cluster.open(place, &self.limits).await?,
                    None => StoreAnswer::Opened {
                        position: Position {
                            epoch: Epoch(0),
                            offset: 0,
                        },
                        floor: 0,
                        recent: Vec::new(),
                    },
                };
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
        // A question to the server and its answer: it has taken the subscription.
        let flushed = client.request("_cometql.nobody", bytes::Bytes::new()).await;
        match flushed {
            Err(error) if error.kind() == async_nats::client::RequestErrorKind::NoResponders => {}
            Err(error) => return Err(Unreachable::told(error)),
            Ok(_) => {}
        }
        Ok(subscriber)
    }

    pub(super) async fn follow_user(
        self,
        key: Key,
        doors: Doors,
        tenant: TenantId,
        user: UserId,
    ) -> Outcome {
        let subject = self.cluster.names().inbox(tenant, user);
        let live = self.cluster.names().live(&subject);
        let followed = persist(self.deadline(Instant::now()), || {
            async {
                let subscriber = self.listen(&live).await?;
                let last = self.cluster.last(StreamKind::Inbox, &subject).await?;
                Ok((subscriber, last.map_or(0, |row| row.offset)))
            }
            .boxed()
        });
        let Ok((subscriber, delivered)) = followed.await else {
            // The comparison with the log will not know of it: the user asks again with its next connection.
            tracing::warn!("an inbox can't be followed: NATS does not answer");
            return Outcome::Followed(None);
        };
        let kind = StreamKind::Inbox;
        Outcome::Followed(Some(Follower {
            cluster: self.cluster,
            limits: self.limits,
            doors,
            key,
            place: Some(Place { kind, subject }),
            subscriber,
            delivered,
        }))
    }

    pub(super) async fn other(
        self,
        request: StoreRequest,
        asked: Instant,
        reply: Reply,
    ) -> Outcome {
        let deadline = self.deadline(asked);
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
            _ => Err(Unreachable("that is not the log's".into())),
        }
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

impl Cluster {
    pub(super) async fn publish_all(
        self,
        mut unstored: UnboundedReceiver<(Arc<Publication>, bool)>,
    ) {
        while let Some((publication, lossy)) = unstored.recv().await {
            self.publish_unstored(&publication, lossy).await;
        }
    }

    async fn publish_unstored(&self, publication: &Publication, lossy: bool) {
        let names = self.names();
        let (tenant, channel) = (publication.tenant, &publication.channel);
        let subjects = if lossy {
            // Who follows the channel listens to one of them.
            [StreamKind::Windows, StreamKind::History]
                .map(|kind| names.live(&names.channel(kind, tenant, channel)))
                .to_vec()
        } else {
            vec![names.unstored(tenant, channel)]
        };
        let (headers, body) = message::unstored(publication, self.node().as_str(), lossy);
        for subject in subjects {
            self.counters().sent.inc();
            let sent = self
                .client()
                .publish_with_headers(subject, headers.clone(), body.clone());
            if let Err(error) = sent.await {
                tracing::debug!(%error, "a publication was not told to other nodes");
            }
        }
    }
}
