//! What must last: one SQLite file in one data directory, one writer thread, group commits.

use std::path::Path;

use cometql_engine::{MessageId, StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::{ChannelName, TenantId, UserId};

/// Cheap to clone; all clones speak to the same writer thread and readers.
#[derive(Clone)]
pub struct Store {}

/// When a write counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Survives a crash of the process (the default).
    #[default]
    Process,
    /// Survives loss of power: fsync in group commits.
    Power,
}

/// Why a store can't be opened. Nothing was changed in the directory.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the data directory {0} is in use by another process")]
    Locked(String),
    /// Made by a newer version.
    #[error(
        "the data directory has format {found}, this program knows up to {known}: use a newer cometql"
    )]
    Newer {
        /// Its format version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Not a store, or damaged.
    #[error("the data directory can't be read: {0}")]
    Unreadable(String),
}

impl Store {
    /// Opens or creates the store in a directory and migrates it forward.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: &Path, durability: Durability) -> Result<Self, OpenError> {
        _ = (directory, durability);
        unimplemented!()
    }

    /// A store that is gone with the process, for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        unimplemented!()
    }

    /// A shard asks; `reply` is called once, from a thread of the store, and must not block. Requests from one thread
    /// are carried out and answered in order, reads included: a read sees all earlier writes.
    pub fn ask(
        &self,
        request: StoreRequest,
        reply: impl FnOnce(Result<StoreAnswer, StoreFailure>) + Send + 'static,
    ) {
        _ = request;
        drop(reply);
        unimplemented!()
    }

    /// All rows of `pipes_settings`, read once at start.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn settings(&self) -> Result<Vec<(TenantId, ChannelName, u64)>, StoreFailure> {
        unimplemented!()
    }

    /// Puts rows into `users_auth`, replacing.
    pub async fn set_hashes(
        &self,
        tenant: TenantId,
        rows: Vec<(UserId, String)>,
    ) -> Result<u64, StoreFailure> {
        _ = (tenant, rows);
        unimplemented!()
    }

    /// The hash of a user.
    pub async fn hash(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<String>, StoreFailure> {
        _ = (tenant, user);
        unimplemented!()
    }

    /// Removes hashes; returns how many there were.
    pub async fn remove_hashes(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> Result<u64, StoreFailure> {
        _ = (tenant, users);
        unimplemented!()
    }

    /// Puts rows into `users_data`, replacing.
    pub async fn set_data(
        &self,
        tenant: TenantId,
        rows: Vec<(UserId, String)>,
    ) -> Result<u64, StoreFailure> {
        _ = (tenant, rows);
        unimplemented!()
    }

    /// Removes rows of `users_data`.
    pub async fn remove_data(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> Result<u64, StoreFailure> {
        _ = (tenant, users);
        unimplemented!()
    }

    /// Adds users to the list of a channel (`pipes_members`).
    pub async fn add_members(
        &self,
        tenant: TenantId,
        rows: Vec<(ChannelName, UserId)>,
    ) -> Result<u64, StoreFailure> {
        _ = (tenant, rows);
        unimplemented!()
    }

    /// Takes users off the list of a channel; `None` = all of them.
    pub async fn remove_members(
        &self,
        tenant: TenantId,
        channel: ChannelName,
        users: Option<Vec<UserId>>,
    ) -> Result<u64, StoreFailure> {
        _ = (tenant, channel, users);
        unimplemented!()
    }

    /// Adds tokens to `revoked_tokens`.
    pub async fn revoke_tokens(
        &self,
        tenant: TenantId,
        tokens: Vec<String>,
    ) -> Result<u64, StoreFailure> {
        _ = (tenant, tokens);
        unimplemented!()
    }

    /// Takes tokens off `revoked_tokens`.
    pub async fn unrevoke_tokens(
        &self,
        tenant: TenantId,
        tokens: Vec<String>,
    ) -> Result<u64, StoreFailure> {
        _ = (tenant, tokens);
        unimplemented!()
    }

    /// Whether a token is revoked.
    pub async fn is_revoked(&self, tenant: TenantId, token: String) -> Result<bool, StoreFailure> {
        _ = (tenant, token);
        unimplemented!()
    }

    /// The channel of a publication on disk: `DELETE FROM pipes_messages WHERE id = …` gives only the id.
    pub async fn channel_of(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Result<Option<ChannelName>, StoreFailure> {
        _ = (tenant, id);
        unimplemented!()
    }

    /// A read-only SQLite connection to the durable tables, for SELECT; the table and column names are documented in
    /// `storage/schema.rs`. Every table has a `tenant` column: the caller must filter on it.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn reader(&self) -> Result<rusqlite::Connection, StoreFailure> {
        unimplemented!()
    }

    /// Copies the store, consistent, while it is in use.
    ///
    /// # Errors
    /// When the target exists or can't be written.
    pub fn backup(&self, target: &Path) -> Result<(), StoreFailure> {
        _ = target;
        unimplemented!()
    }
}
