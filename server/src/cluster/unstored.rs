//! What no log has, on its way to other nodes: publications, private messages that the log could not take, and that somebody
//! has acknowledged one of these. Core NATS: told once, to whoever listens.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use cometql_engine::publication::Content;
use cometql_engine::{LogEvent, MessageId, Publication};
use cometql_protocol::{TenantId, UserId};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::arrivals::{Doors, Key};
use super::message::{self, Note, Said};
use super::names::StreamKind;
use super::{Cluster, Names};

/// It waits so long for a connection that is made again. Later it is of no use to other nodes.
const LATE: Duration = Duration::from_secs(2);

/// What is to be told.
pub(super) enum Unstored {
    /// In a channel; `true` when its log should have it.
    Publication(Arc<Publication>, bool),
    /// To a user.
    Private(TenantId, UserId, Content),
    /// It was acknowledged.
    Taken(TenantId, UserId, MessageId),
}

impl Cluster {
    /// Tells in the order of what comes, for as long as the node runs.
    pub(super) async fn tell_unstored(self, mut told: UnboundedReceiver<Unstored>) {
        let mut connection = self.connection();
        let mut alone_since = None;
        while let Some(told) = told.recv().await {
            if connection.borrow().up {
                alone_since = None;
            } else {
                let since = *alone_since.get_or_insert_with(Instant::now);
                let back = connection.wait_for(|connection| connection.up);
                if tokio::time::timeout_at(since + LATE, back).await.is_err() {
                    tracing::debug!("other nodes were not told what no log has: no connection");
                    continue;
                }
            }
            let names = self.names();
            match told {
                Unstored::Publication(publication, lossy) => {
                    self.publish_unstored(&publication, lossy).await;
                }
                Unstored::Private(tenant, user, content) => {
                    let (headers, body) = message::private(&content, self.node().as_str());
                    let subject = names.live(&names.inbox(tenant, user));
                    self.tell(subject, headers, body).await;
                }
                Unstored::Taken(tenant, user, id) => {
                    let headers = message::note(Note::Taken(id), self.node().as_str());
                    let subject = names.taken(tenant, user);
                    self.tell(subject, headers, Bytes::new()).await;
                }
            }
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
            self.tell(subject, headers.clone(), body.clone()).await;
        }
    }

    async fn tell(&self, subject: String, headers: HeaderMap, body: Bytes) {
        self.counters().sent.inc();
        let sent = self.client().publish_with_headers(subject, headers, body);
        if let Err(error) = sent.await {
            tracing::debug!(%error, "other nodes were not told what no log has");
        }
    }

    /// Tells the shards what was acknowledged on other nodes: whoever sent it may be here.
    pub(super) async fn hear_taken(self, doors: Doors) {
        let all = self.names().subject("taken.>");
        let Ok(mut taken) = self.client().subscribe(all).await else {
            // Only a client that was closed refuses: the node stops.
            return;
        };
        while let Some(told) = taken.next().await {
            let user = Names::parse_user(&told.subject);
            let said = message::read(&told.headers.unwrap_or_default(), &told.payload);
            if let (Some((tenant, user)), Some(Said::Note(Note::Taken(id)))) = (user, said) {
                let event = LogEvent::Taken { tenant, user, id };
                doors.tell(&Key::User(tenant, user), event);
            }
        }
    }
}
