//! The tables that all members of a cluster have alike: changes as the log's records make them, how far this store has
//! followed the log, and what it has that the log has not. It must not know where the log is.
//!
//! Each row knows the place in the log that it came from (`logged`, 0 = the log does not have it yet).

mod rows;

use cometql_engine::StoreFailure;
use cometql_protocol::{ChannelName, TenantId, UserId};
use rusqlite::{Connection, params};

use super::values::{Outcome, integer, number};
use super::{Store, told};

/// A row of one of the tables: its key, and its value or that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// `users_auth`.
    Hash {
        /// Whose.
        user: UserId,
        /// `None` = removed.
        hash: Option<String>,
    },
    /// `users_data`.
    Data {
        /// Whose.
        user: UserId,
        /// `None` = removed.
        data: Option<String>,
    },
    /// `users_time`.
    LastSeen {
        /// Whose.
        user: UserId,
        /// Unix seconds.
        time: u64,
    },
    /// `pipes_settings`.
    Length {
        /// Of this channel.
        channel: ChannelName,
        /// `None` = removed.
        length: Option<u64>,
    },
    /// `pipes_members`.
    Member {
        /// Of this channel.
        channel: ChannelName,
        /// Who.
        user: UserId,
        /// False = removed.
        listed: bool,
    },
    /// `revoked_tokens`.
    Token {
        /// The token.
        token: String,
        /// False = removed.
        revoked: bool,
    },
}

impl Row {
    /// Of which table it is.
    #[must_use]
    pub fn table(&self) -> Table {
        match self {
            Self::Hash { .. } => Table::Auth,
            Self::Data { .. } => Table::Data,
            Self::LastSeen { .. } => Table::Time,
            Self::Length { .. } => Table::Settings,
            Self::Member { .. } => Table::Members,
            Self::Token { .. } => Table::Tokens,
        }
    }
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose row.
    pub tenant: TenantId,
    /// What it becomes.
    pub row: Row,
}

/// The tables, in the order in which a store is read for a log that has nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `pipes_settings`.
    Settings,
    /// `pipes_members`.
    Members,
    /// `revoked_tokens`.
    Tokens,
    /// `users_auth`.
    Auth,
    /// `users_data`.
    Data,
    /// `users_time`.
    Time,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Settings,
        Self::Members,
        Self::Tokens,
        Self::Auth,
        Self::Data,
        Self::Time,
    ];

    /// As `CometQL` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "pipes_settings",
            Self::Members => "pipes_members",
            Self::Tokens => "revoked_tokens",
            Self::Auth => "users_auth",
            Self::Data => "users_data",
            Self::Time => "users_time",
        }
    }
}

/// How far a store has come in joining a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has what the log has, up to `applied`.
    Following,
    /// It reads the log from its beginning; rows from before are still there.
    Loading,
    /// It puts its own rows into a log that had none.
    Founding,
}

/// Which log a store follows, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The life of the log; 0 = the store was never a member of a cluster.
    pub epoch: u64,
    /// The place up to which the log was carried out.
    pub applied: u64,
    /// How far it has come in joining.
    pub stage: Stage,
    /// When it last had all of the log, unix milliseconds.
    pub current_ms: u64,
}

impl Membership {
    fn read(connection: &Connection) -> Outcome<Self> {
        let found = connection.query_row(
            "SELECT epoch, applied, stage, current_ms FROM replica",
            [],
            |row| {
                Ok(Self {
                    epoch: row.get::<_, i64>(0)?.cast_unsigned(),
                    applied: number(row, 1)?,
                    stage: match row.get(2)? {
                        1_u8 => Stage::Loading,
                        2 => Stage::Founding,
                        _ => Stage::Following,
                    },
                    current_ms: number(row, 3)?,
                })
            },
        );
        Ok(found?)
    }

    fn write(&self, connection: &Connection) -> Outcome<()> {
        let stage: u8 = match self.stage {
            Stage::Following => 0,
            Stage::Loading => 1,
            Stage::Founding => 2,
        };
        connection
            .prepare_cached(
                "UPDATE replica SET epoch = ?1, applied = ?2, stage = ?3, current_ms = ?4",
            )?
            .execute(params![
                self.epoch.cast_signed(),
                integer(self.applied),
                stage,
                integer(self.current_ms)
            ])?;
        Ok(())
    }
}

impl Store {
    /// Which log the store follows.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn membership(&self) -> Result<Membership, StoreFailure> {
        Membership::read(&self.reader()?).map_err(|failure| told(&failure))
    }

    /// Notes which log the store follows, and how far. With `anew`, no row counts as logged from then on: the log is
    /// another one.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn set_membership(&self, now: Membership, anew: bool) -> Result<(), StoreFailure> {
        self.call(0, move |connection| {
            if anew {
                rows::unlog(connection)?;
            }
            now.write(connection)
        })
        .await
    }

    /// Carries out what the log says, in its order, and notes how far it was followed, both or neither. Returns of each
    /// change how many rows it changed, 0 or 1.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn apply(
        &self,
        changes: Vec<(u64, Change)>,
        now: Membership,
    ) -> Result<Vec<u64>, StoreFailure> {
        self.call(0, move |connection| {
            now.write(connection)?;
            let apply = |(place, change): &(u64, Change)| rows::apply(connection, *place, change);
            changes.iter().map(apply).collect()
        })
        .await
    }

    /// Removes the rows that the log did not have, after it was read from its beginning. Returns what is gone. When users
    /// were last seen stays: nobody removes that.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn sweep(&self) -> Result<Vec<Change>, StoreFailure> {
        self.call(0, rows::sweep).await
    }

    /// Rows of a table that the log does not have, in the order of their keys, those behind a row of before.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn unlogged(
        &self,
        table: Table,
        after: Option<Change>,
        limit: u64,
    ) -> Result<Vec<Change>, StoreFailure> {
        self.call(0, move |connection| {
            rows::logged_up_to(connection, table, 0, after.as_ref(), limit)
        })
        .await
    }

    /// Rows of a table, whether a log has them or not, in the order of their keys, those behind a row of before.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn rows(
        &self,
        table: Table,
        after: Option<Change>,
        limit: u64,
    ) -> Result<Vec<Change>, StoreFailure> {
        self.call(0, move |connection| {
            rows::logged_up_to(connection, table, u64::MAX, after.as_ref(), limit)
        })
        .await
    }

    /// Of each row, the place in the log that it came from; `None` = there is no such row.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn places(&self, changes: Vec<Change>) -> Result<Vec<Option<u64>>, StoreFailure> {
        self.call(0, move |connection| {
            let place = |change| rows::place(connection, change);
            changes.iter().map(place).collect()
        })
        .await
    }

    /// Whether the tables have any row. When users were last seen does not count.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn has_rows(&self) -> Result<bool, StoreFailure> {
        rows::any(&self.reader()?).map_err(|failure| told(&failure))
    }
}
