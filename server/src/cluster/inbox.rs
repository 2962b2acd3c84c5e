//! Inboxes in the log: what waits for a user is what is there, and what was acknowledged is purged.

use cometql_engine::{InboxMessage, StoreAnswer};
use cometql_protocol::{TenantId, UserId};

use super::Cluster;
use super::message::{self, Note, Said};
use super::names::StreamKind;
use super::read::Row;
use super::streams::Unreachable;

impl Cluster {
    /// What waits for a user after an offset, oldest first.
    pub(super) async fn read_inbox(
        &self,
        tenant: TenantId,
        user: UserId,
        after: u64,
        limit: u64,
    ) -> Result<StoreAnswer, Unreachable> {
        let (kind, subject) = (StreamKind::Inbox, self.names().inbox(tenant, user));
        // In this order: what has an offset up to the end is in what is read then, or gone.
        let end = self.end(kind).await?;
        let rows = self.waiting(kind, &subject, after, limit).await?;
        Ok(StoreAnswer::Inbox {
            messages: rows.into_iter().filter_map(private).collect(),
            end,
        })
    }

    async fn waiting(
        &self,
        kind: StreamKind,
        subject: &str,
        after: u64,
        limit: u64,
    ) -> Result<Vec<Row>, Unreachable> {
        let Some(last) = self.last(kind, subject).await? else {
            return Ok(Vec::new());
        };
        let Some(first) = self.next(kind, subject, after + 1).await? else {
            return Ok(Vec::new());
        };
        if first.offset >= last.offset {
            return Ok(vec![first]);
        }
        let mut rows = self.first(kind, subject, first.offset, limit).await?;
        let reaches = rows.last().is_some_and(|row| row.offset >= last.offset);
        if !reaches && (rows.len() as u64) < limit {
            let before = first.offset - 1;
            rows = self.up_to(kind, subject, before, last.offset).await?;
        }
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    /// Removes what was acknowledged, up to and including an offset.
    pub(super) async fn remove_inbox(
        &self,
        tenant: TenantId,
        user: UserId,
        up_to: u64,
    ) -> Result<StoreAnswer, Unreachable> {
        let subject = self.names().inbox(tenant, user);
        let stream = self.stream(StreamKind::Inbox).await?;
        let purge = stream.purge().filter(subject);
        let purged = match up_to {
            u64::MAX => purge.await,
            up_to => purge.sequence(up_to + 1).await,
        };
        let purged = purged.map_err(Unreachable::told)?.purged;
        Ok(StoreAnswer::Changed(purged))
    }

    /// Removes one message.
    pub(super) async fn remove_one(
        &self,
        tenant: TenantId,
        user: UserId,
        offset: u64,
    ) -> Result<StoreAnswer, Unreachable> {
        let (kind, subject) = (StreamKind::Inbox, self.names().inbox(tenant, user));
        let there = self.next(kind, &subject, offset).await?;
        if there.is_none_or(|row| row.offset != offset) {
            return Ok(StoreAnswer::Changed(0));
        }
        let stream = self.stream(kind).await?;
        let deleted = stream.delete_message(offset).await;
        deleted.map_err(Unreachable::told)?;
        Ok(StoreAnswer::Changed(1))
    }

    /// Tells nodes where the user is, too, that messages are gone.
    pub(super) async fn tell_removed(&self, tenant: TenantId, user: UserId, up_to: u64) {
        let names = self.names();
        let subject = names.live(&names.inbox(tenant, user));
        let headers = message::note(Note::Removed(up_to), self.node().as_str());
        let told = self
            .client()
            .publish_with_headers(subject, headers, bytes::Bytes::new());
        if let Err(error) = told.await {
            tracing::debug!(%error, "other nodes don't know that messages were acknowledged");
        }
    }
}

pub(super) fn private(row: Row) -> Option<InboxMessage> {
    match message::read(&row.headers, &row.body)? {
        Said::Content(content) => Some(message::inbox_message(row.offset, content, true)),
        Said::Note(_) => None,
    }
}
