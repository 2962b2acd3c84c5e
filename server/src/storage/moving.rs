//! What moves as a whole between a single node's store and a cluster: histories and inboxes, queue by queue, and a note of
//! how far each is in which log. It must not know where the log is.

use std::path::Path;

use cometql_engine::publication::Content;
use cometql_engine::{StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::{ChannelName, TenantId, UserId};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::values::{Failure, Outcome, channel_name, integer, number};
use super::{Store, Table, open, writer};

/// Whether a directory has a store.
#[must_use]
pub fn is_there(directory: &Path) -> bool {
    directory.join(open::FILE).is_file()
}

/// What keeps an order of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// The history of a channel.
    Channel(ChannelName),
    /// The private messages that wait for a user.
    Inbox(UserId),
}

/// A history or an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub of: Of,
    /// How many messages it has.
    pub count: u64,
    /// How long a channel keeps them, in milliseconds; `u64::MAX` = for ever.
    pub age_ms: u64,
}

/// A message of a queue.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its place there.
    pub offset: u64,
    /// What it says.
    pub content: Content,
}

/// The two kinds of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queues {
    /// Histories.
    Channels,
    /// Private messages.
    Inboxes,
}

impl Queue {
    /// The tenant, then the channel's name or the user's number, as `moved` has them.
    fn key(&self) -> (u32, &str, i64) {
        match &self.of {
            Of::Channel(channel) => (self.tenant.0, channel.as_str(), 0),
            Of::Inbox(user) => (self.tenant.0, "", integer(user.get())),
        }
    }
}

impl Store {
    /// Queues that have messages, in the order of their keys, those behind one of before.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn queues(
        &self,
        which: Queues,
        after: Option<Queue>,
        limit: u64,
    ) -> Result<Vec<Queue>, StoreFailure> {
        self.call(0, move |connection| {
            queues(connection, which, after.as_ref(), limit)
        })
        .await
    }

    /// Messages of a queue after an offset, in their order.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn queued(
        &self,
        queue: &Queue,
        after: u64,
        limit: u64,
    ) -> Result<Vec<Kept>, StoreFailure> {
        let tenant = queue.tenant;
        let request = match &queue.of {
            Of::Channel(channel) => StoreRequest::ReadHistory {
                tenant,
                channel: channel.clone(),
                after,
                limit,
                newest: false,
                log: None,
            },
            Of::Inbox(user) => StoreRequest::InboxRead {
                tenant,
                user: *user,
                after,
                limit,
            },
        };
        Ok(match self.request(request).await? {
            StoreAnswer::History(rows) => rows
                .into_iter()
                .map(|row| Kept {
                    offset: row.offset,
                    content: row.content,
                })
                .collect(),
            StoreAnswer::Inbox { messages, .. } => messages
                .into_iter()
                .map(|row| Kept {
                    offset: row.offset,
                    content: Content {
                        id: row.id,
                        event: row.event,
                        data: row.data,
                        data_is_json: row.data_is_json,
                        time_ms: row.time_ms,
                        user: None,
                        from_browser: false,
                        once: false,
                    },
                })
                .collect(),
            other => unreachable!("no answer to a read: {other:?}"),
        })
    }

    /// What the engine asks, asked by somebody else: at once, in the order of these calls.
    ///
    /// # Errors
    /// When the store can't do it.
    pub fn request(
        &self,
        request: StoreRequest,
    ) -> impl Future<Output = Result<StoreAnswer, StoreFailure>> + use<> {
        let (sender, told) = oneshot::channel();
        // Whoever asked may have gone.
        self.ask(request, |answer| _ = sender.send(answer));
        async { told.await.unwrap_or_else(|_| Err(writer::closed())) }
    }

    /// Up to which offset a queue was put into a log, which is in this life; 0 = none of it.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn moved(&self, epoch: u64, queue: Queue) -> Result<u64, StoreFailure> {
        self.call(0, move |connection| moved(connection, epoch, &queue))
            .await
    }

    /// Notes that a queue was put into a log, up to this offset.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn set_moved(
        &self,
        epoch: u64,
        queue: Queue,
        up_to: u64,
    ) -> Result<(), StoreFailure> {
        self.call(0, move |connection| {
            let (tenant, name, user) = queue.key();
            connection
                .prepare_cached("INSERT OR REPLACE INTO moved VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    epoch.cast_signed(),
                    tenant,
                    name,
                    user,
                    integer(up_to)
                ])?;
            Ok(())
        })
        .await
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn count(&self, table: Table) -> Result<u64, StoreFailure> {
        let sql = format!("SELECT count(*) FROM {}", table.name());
        self.call(0, move |connection| one(connection, &sql)).await
    }

    /// How many messages are in queues of a kind.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn count_queued(&self, which: Queues) -> Result<u64, StoreFailure> {
        let sql = match which {
            Queues::Channels => "SELECT coalesce(sum(kept), 0) FROM channels",
            Queues::Inboxes => "SELECT coalesce(sum(waiting), 0) FROM inboxes",
        };
        self.call(0, move |connection| one(connection, sql)).await
    }

    /// Lets all inboxes begin after an offset, so that none is given out that somebody was told of elsewhere.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn begin_inboxes_after(&self, offset: u64) -> Result<(), StoreFailure> {
        self.call(0, move |connection| {
            connection.execute("UPDATE node SET inboxes_from = ?1", [integer(offset)])?;
            Ok(())
        })
        .await
    }
}

fn one(connection: &Connection, sql: &str) -> Outcome<u64> {
    Ok(connection.query_row(sql, [], |row| number(row, 0))?)
}

fn moved(connection: &Connection, epoch: u64, queue: &Queue) -> Outcome<u64> {
    let (tenant, name, user) = queue.key();
    let found = connection
        .prepare_cached(
            "SELECT up_to FROM moved WHERE epoch = ?1 AND tenant = ?2 AND name = ?3 AND user_id = ?4",
        )?
        .query_row(params![epoch.cast_signed(), tenant, name, user], |row| {
            number(row, 0)
        })
        .optional()?;
    Ok(found.unwrap_or(0))
}

fn queues(
    connection: &Connection,
    which: Queues,
    after: Option<&Queue>,
    limit: u64,
) -> Outcome<Vec<Queue>> {
    let sql = match which {
        Queues::Channels => {
            "SELECT tenant, name, 0, kept, age_ms FROM channels
             WHERE kept > 0 AND (tenant, name) > (?1, ?2) AND ?3 <= 0 ORDER BY tenant, name LIMIT ?4"
        }
        Queues::Inboxes => {
            "SELECT tenant, '', user_id, waiting, NULL FROM inboxes
             WHERE waiting > 0 AND (tenant, user_id) > (?1, ?3) AND ?2 = '' ORDER BY tenant, user_id LIMIT ?4"
        }
    };
    let (tenant, name, user) = after.map_or((-1, "", -1), |queue| {
        let (tenant, name, user) = queue.key();
        (i64::from(tenant), name, user)
    });
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![tenant, name, user, integer(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        found.push(Queue {
            tenant: TenantId(row.get(0)?),
            of: match which {
                Queues::Channels => Of::Channel(channel_name(&name)?),
                Queues::Inboxes => {
                    Of::Inbox(UserId::new(number(row, 2)?).ok_or(Failure::Damaged("user id"))?)
                }
            },
            count: number(row, 3)?,
            age_ms: match row.get::<_, Option<i64>>(4)? {
                Some(age) => u64::try_from(age).unwrap_or(0),
                None => u64::MAX,
            },
        });
    }
    Ok(found)
}
