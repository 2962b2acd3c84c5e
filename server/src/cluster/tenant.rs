//! All that the log keeps for a tenant, for statements that name no channel or user. Read in one go, page by page: the log has
//! no list of channels that would be cheaper than that. It must not know what a statement does with it.

use std::collections::{BTreeMap, BTreeSet};

use cometql_engine::{InboxMessage, MessageId, StoreFailure, StoredPublication};
use cometql_protocol::{ChannelName, TenantId, UserId};

use super::log::Log;
use super::message::{self, Said};
use super::names::{Names, StreamKind};
use super::read::{Pages, Row};
use super::streams::Unreachable;
use super::{history, inbox};

/// Most bytes of what is read.
const BYTES_MOST: usize = 256 << 20;

/// Why not all can be told.
#[derive(Debug)]
pub(crate) enum NotAll {
    /// There is more than that.
    TooMuch,
    /// The log does not answer.
    Failed(StoreFailure),
}

impl Log {
    /// The publications of all durable channels, if these are no more than so many.
    pub(crate) async fn publications(
        &self,
        tenant: TenantId,
        most: usize,
    ) -> Result<BTreeMap<ChannelName, Vec<StoredPublication>>, NotAll> {
        let by_subject = self.rows(StreamKind::History, tenant, most).await?;
        let told = by_subject.into_iter().filter_map(|(subject, rows)| {
            let (_, channel) = Names::parse_channel(&subject)?;
            Some((channel, history::kept(rows)))
        });
        Ok(told.collect())
    }

    /// The private messages that wait for all users, if these are no more than so many.
    pub(crate) async fn private_messages(
        &self,
        tenant: TenantId,
        most: usize,
    ) -> Result<BTreeMap<UserId, Vec<InboxMessage>>, NotAll> {
        let by_subject = self.rows(StreamKind::Inbox, tenant, most).await?;
        let told = by_subject.into_iter().filter_map(|(subject, rows)| {
            let (_, user) = Names::parse_user(&subject)?;
            Some((user, rows.into_iter().filter_map(inbox::private).collect()))
        });
        Ok(told.collect())
    }

    /// The durable channels that keep a publication with this id: its sender may have used it in several.
    pub(crate) async fn channels_of(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Result<BTreeSet<ChannelName>, StoreFailure> {
        let mut found = BTreeSet::new();
        self.each(StreamKind::History, tenant, |row| {
            let said = message::read(&row.headers, &row.body);
            if matches!(said, Some(Said::Content(content)) if content.id == id) {
                found.extend(Names::parse_channel(&row.subject).map(|(_, channel)| channel));
            }
            true
        })
        .await?;
        Ok(found)
    }

    async fn rows(
        &self,
        kind: StreamKind,
        tenant: TenantId,
        most: usize,
    ) -> Result<BTreeMap<String, Vec<Row>>, NotAll> {
        let mut by_subject: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        let (mut rows, mut bytes) = (0, 0);
        let all = self.each(kind, tenant, |row| {
            rows += 1;
            bytes += row.body.len();
            if rows > most || bytes > BYTES_MOST {
                return false;
            }
            match by_subject.get_mut(&row.subject) {
                Some(known) => known.push(row),
                None => _ = by_subject.insert(row.subject.clone(), vec![row]),
            }
            true
        });
        match all.await {
            Ok(true) => Ok(by_subject),
            Ok(false) => Err(NotAll::TooMuch),
            Err(failure) => Err(NotAll::Failed(failure)),
        }
    }

    /// Shows all messages of a tenant, in the order of the log, until one says that this is enough: false then.
    async fn each(
        &self,
        kind: StreamKind,
        tenant: TenantId,
        mut show: impl FnMut(Row) -> bool,
    ) -> Result<bool, StoreFailure> {
        let cluster = self.cluster();
        let subject = cluster.names().all_of_tenant(kind, tenant);
        let mut pages = Pages::new(cluster, kind, subject);
        let all = async {
            loop {
                let page = pages.next().await?;
                if page.is_empty() {
                    return Ok(true);
                }
                for row in page {
                    if !show(row) {
                        return Ok(false);
                    }
                }
            }
        };
        let told: Result<Result<bool, Unreachable>, _> =
            tokio::time::timeout(cluster.settings().quorum_timeout, all).await;
        match told {
            Ok(Ok(all)) => Ok(all),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the log did not answer");
                Err(StoreFailure::NoQuorum)
            }
            Err(_) => Err(StoreFailure::NoQuorum),
        }
    }
}
