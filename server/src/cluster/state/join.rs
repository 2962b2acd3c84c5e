//! How a store comes to follow a log: a member goes on, a new one reads all, and the first one with rows founds the log with
//! them. A mark in the log says who founds it, and when that is done. It must not apply rows.
//!
//! | the store | the log | what happens |
//! |---|---|---|
//! | follows this log | has the place where it is | goes on from there |
//! | was never a member, has no rows | whatever | reads all |
//! | was never a member, has rows | has none | founds it |
//! | was never a member, has rows | has some | refused: whose rows are right? |
//! | followed another log | has no rows | founds it: NATS lost what it had |
//! | followed another log | has rows | reads all; then what it lacks is removed |

use std::time::Duration;

use cometql_engine::StoreFailure;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::State;
use super::act::Acting;
use super::follow::Broken;
use super::log::{Put, Unreachable};
use crate::storage::{Membership, Queues, Stage, Table};

/// The name of the mark among the rows.
pub(super) const MARK: &str = "import";
/// How long a start waits for the log's quorum.
const START_TIME: Duration = Duration::from_secs(60);
/// Rows read, and rows on their way at once, while a log is founded.
const PAGE: u64 = 2_000;
const AT_ONCE: usize = 500;
/// Pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// Why the tables can't follow the log.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Two truths.
    #[error(
        "the data directory has rows of a node that was no member of a cluster (users_auth, users_data, pipes_settings, \
         pipes_members or revoked_tokens), and this cluster has rows already. To bring its data into the cluster, run `cometql \
         import` with it; then, or to use only the cluster's, start with an empty data directory (move this one away) \
         (cluster_other_rows)"
    )]
    OtherRows,
    /// NATS is there, and its log is not.
    #[error(
        "the cluster's log of tables does not answer ({0}): at least two of three NATS servers must run with JetStream \
         (cluster_no_log)"
    )]
    NoLog(String),
    /// The store can't do its part.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// A bug.
    #[error("the store is a member already")]
    Twice,
}

impl JoinError {
    /// The codes that stand at the end of the texts.
    pub const CODES: &[&str] = &["cluster_other_rows", "cluster_no_log"];
}

#[derive(Serialize, Deserialize)]
struct Mark {
    /// All rows of who founds the log are in it.
    done: bool,
}

/// The body of the mark.
pub(super) fn mark(done: bool) -> Vec<u8> {
    serde_json::to_vec(&Mark { done }).expect("a flag is JSON")
}

impl State {
    /// Decides what the store does with the log, and reads it to its end. A member that can't reach it goes on with what it
    /// has.
    pub(super) async fn enter(&self) -> Result<(), JoinError> {
        let began = Instant::now();
        loop {
            let error = match self.try_to_enter().await {
                Ok(()) => return Ok(()),
                Err(Broken::Store(error)) => return Err(*error),
                Err(error) => error,
            };
            let membership = self.membership();
            let is_member = membership.epoch != 0 && membership.stage == Stage::Following;
            if is_member && began.elapsed() > self.0.log.patience() {
                tracing::warn!(%error, "the tables are as this node left them, until the cluster's log answers");
                return Ok(());
            }
            if began.elapsed() > START_TIME {
                return Err(JoinError::NoLog(error.to_string()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_to_enter(&self) -> Result<(), Broken> {
        let epoch = self.0.log.epoch().await?;
        if epoch != self.membership().epoch {
            self.enter_anew(epoch).await?;
        }
        if self.membership().stage == Stage::Founding {
            self.found().await?;
        }
        self.pass(None).await
    }

    /// The log is not the one that the store followed, if any.
    pub(super) async fn enter_anew(&self, epoch: u64) -> Result<(), Broken> {
        let log = &self.0.log;
        let mark = log.message(MARK).await?;
        let was_member = self.membership().epoch != 0;
        let has_rows = self.0.store.has_rows().map_err(JoinError::from)?;
        let is_empty = !log
            .has_rows(mark.as_ref().map(|(place, ..)| *place))
            .await?;
        if has_rows && !was_member && !is_empty {
            return Err(JoinError::OtherRows.into());
        }
        let mut founds = is_empty && (has_rows || mark.is_none());
        if founds {
            let place = mark.map_or(0, |(place, ..)| place);
            founds = self.mark(false, place).await?;
            if !founds && has_rows && !was_member {
                return Err(JoinError::OtherRows.into());
            }
        }
        let now = Membership {
            epoch,
            applied: 0,
            stage: if founds {
                Stage::Founding
            } else {
                Stage::Loading
            },
            current_ms: 0,
        };
        self.set_membership(now, true).await?;
        Ok(())
    }

    /// Writes the mark where nobody else has since; false = somebody has.
    async fn mark(&self, done: bool, expected: u64) -> Result<bool, Unreachable> {
        let log = &self.0.log;
        let deadline = Instant::now() + log.patience();
        match log
            .put(log.bare(MARK, mark(done)), Some(expected), Some(deadline))
            .await
        {
            Put::Stored(_) => Ok(true),
            Put::Conflict => Ok(false),
            Put::NoQuorum | Put::TooLarge => Err(Unreachable::no_quorum()),
        }
    }

    /// Puts the store's rows into the log. What somebody has written there meanwhile is newer.
    async fn found(&self) -> Result<(), Broken> {
        let mut rows = 0;
        for table in Table::ALL {
            rows += self.found_table(table).await?;
        }
        let mark = self.0.log.message(MARK).await?;
        let place = mark.map_or(0, |(place, ..)| place);
        if !self.mark(true, place).await? {
            return Err(Unreachable::no_quorum().into());
        }
        if rows > 0 {
            tracing::info!(rows, "the rows of this node's tables are the cluster's now");
        }
        let store = &self.0.store;
        for which in [Queues::Channels, Queues::Inboxes] {
            let messages = store.count_queued(which).await.map_err(JoinError::from)?;
            if messages > 0 {
                tracing::warn!(
                    messages,
                    ?which,
                    "messages of this data directory are not in the cluster: stop the node and run `cometql import` with it"
                );
            }
        }
        let now = Membership {
            stage: Stage::Following,
            ..self.membership()
        };
        self.set_membership(now, false).await?;
        Ok(())
    }

    async fn found_table(&self, table: Table) -> Result<u64, Broken> {
        let log = &self.0.log;
        let (mut after, mut rows) = (None, 0);
        loop {
            let page = self.0.store.unlogged(table, after.take(), PAGE).await;
            let page = page.map_err(JoinError::from)?;
            let Some(last) = page.last().cloned() else {
                return Ok(rows);
            };
            let deadline = Instant::now() + log.patience();
            let put = |change| async move {
                log.put(log.prepare(&change), Some(0), Some(deadline)).await
            };
            let puts = futures_util::stream::iter(page.into_iter().map(put));
            let mut puts = std::pin::pin!(puts.buffered(AT_ONCE));
            while let Some(put) = puts.next().await {
                match put {
                    Put::Stored(_) => rows += 1,
                    Put::Conflict => {}
                    Put::TooLarge => {
                        tracing::warn!("a row is larger than NATS takes, and stays out")
                    }
                    Put::NoQuorum => return Err(Unreachable::no_quorum().into()),
                }
            }
            after = Some(last);
        }
    }

    /// After the log was read to its end: what it does not have is removed, unless somebody is still filling it. True once
    /// that is done.
    pub(super) async fn finish(&self, acting: Option<&Acting>) -> Result<bool, Broken> {
        let membership = self.membership();
        match membership.stage {
            Stage::Following => return Ok(true),
            Stage::Founding => {
                self.found().await?;
                return Ok(true);
            }
            Stage::Loading => {}
        }
        let mark = self.0.log.message(MARK).await?;
        let mark = mark.and_then(|(_, _, body)| serde_json::from_slice(&body).ok());
        if !mark.is_some_and(|mark: Mark| mark.done) {
            // Its end will come by the log.
            return Ok(false);
        }
        let gone = self.0.store.sweep().await.map_err(JoinError::from)?;
        if !gone.is_empty() {
            let rows = gone.len();
            tracing::warn!(rows, "rows that the cluster does not have were removed");
        }
        if let Some(acting) = acting {
            acting.act(gone).await;
        }
        let now = Membership {
            stage: Stage::Following,
            ..membership
        };
        self.set_membership(now, false).await?;
        Ok(true)
    }
}
