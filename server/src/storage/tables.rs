//! The tables that backends fill and the engine only reads: one method for each change, which a member of a cluster makes by
//! the log (`join.rs`). It must not contain SQL.

use cometql_engine::{MessageId, StoreFailure};
use cometql_protocol::{ChannelName, TenantId, UserId};

use super::replica::Row;
use super::{Store, history, inbox, users};

impl Store {
    /// Puts rows into `users_auth`, replacing; returns how many.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn set_hashes(
        &self,
        tenant: TenantId,
        rows: Vec<(UserId, String)>,
    ) -> Result<u64, StoreFailure> {
        if self.is_member() {
            let row = |(user, hash)| Row::Hash {
                user,
                hash: Some(hash),
            };
            return self.change(tenant, rows, row).await;
        }
        self.call(bytes(&rows), move |c| {
            users::put(c, users::PUT_HASH, tenant, &rows)
        })
        .await
    }

    /// The hash of a user.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn hash(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<String>, StoreFailure> {
        self.call(0, move |c| users::text(c, users::HASH, tenant, user))
            .await
    }

    /// The hashes of those users that have one.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn hashes(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> Result<Vec<(UserId, String)>, StoreFailure> {
        self.call(0, move |c| users::texts(c, users::HASH, tenant, &users))
            .await
    }

    /// Removes hashes; returns how many there were.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn remove_hashes(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> Result<u64, StoreFailure> {
        if self.is_member() {
            let row = |user| Row::Hash { user, hash: None };
            return self.change(tenant, users, row).await;
        }
        self.call(0, move |c| {
            users::remove(c, users::REMOVE_HASH, tenant, &users)
        })
        .await
    }

    /// Puts rows into `users_data`, replacing; returns how many.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn set_data(
        &self,
        tenant: TenantId,
        rows: Vec<(UserId, String)>,
    ) -> Result<u64, StoreFailure> {
        if self.is_member() {
            let row = |(user, data)| Row::Data {
                user,
                data: Some(data),
            };
            return self.change(tenant, rows, row).await;
        }
        self.call(bytes(&rows), move |c| {
            users::put(c, users::PUT_DATA, tenant, &rows)
        })
        .await
    }

    /// The texts of those users that have a row in `users_data`.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn data(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> Result<Vec<(UserId, String)>, StoreFailure> {
        self.call(0, move |c| users::texts(c, users::DATA, tenant, &users))
            .await
    }

    /// Removes rows of `users_data`; returns how many there were.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn remove_data(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> Result<u64, StoreFailure> {
        if self.is_member() {
            let row = |user| Row::Data { user, data: None };
            return self.change(tenant, users, row).await;
        }
        self.call(0, move |c| {
            users::remove(c, users::REMOVE_DATA, tenant, &users)
        })
        .await
    }

    /// The offset and time (unix milliseconds) of a private message that waits.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn find_message(
        &self,
        tenant: TenantId,
        user: UserId,
        id: MessageId,
    ) -> Result<Option<(u64, u64)>, StoreFailure> {
        self.call(0, move |c| inbox::find(c, tenant, user, id))
            .await
    }

    /// The channel, offset and time (unix milliseconds) of each publication on disk that has this id.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn find_publications(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Result<Vec<(ChannelName, u64, u64)>, StoreFailure> {
        self.call(0, move |c| history::find(c, tenant, id)).await
    }

    /// Adds users to the list of a channel (`pipes_members`); returns how many were not on it.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn add_members(
        &self,
        tenant: TenantId,
        rows: Vec<(ChannelName, UserId)>,
    ) -> Result<u64, StoreFailure> {
        if self.is_member() {
            let row = |(channel, user)| Row::Member {
                channel,
                user,
                listed: true,
            };
            return self.change(tenant, rows, row).await;
        }
        self.call(0, move |c| users::add_members(c, tenant, &rows))
            .await
    }

    /// Takes users off the list of a channel; `None` = all of them. Returns how many were on it.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn remove_members(
        &self,
        tenant: TenantId,
        channel: ChannelName,
        users: Option<Vec<UserId>>,
    ) -> Result<u64, StoreFailure> {
        if self.is_member() {
            let users = match users {
                Some(users) => users,
                None => self.members(tenant, channel.clone()).await?,
            };
            let gone = |user| Row::Member {
                channel: channel.clone(),
                user,
                listed: false,
            };
            return self.change(tenant, users, gone).await;
        }
        self.call(0, move |c| {
            users::remove_members(c, tenant, &channel, users.as_deref())
        })
        .await
    }

    /// Adds tokens to `revoked_tokens`; returns how many were not there.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn revoke_tokens(
        &self,
        tenant: TenantId,
        tokens: Vec<String>,
    ) -> Result<u64, StoreFailure> {
        if self.is_member() {
            let row = |token| Row::Token {
                token,
                revoked: true,
            };
            return self.change(tenant, tokens, row).await;
        }
        self.call(0, move |c| {
            users::each_token(c, users::REVOKE, tenant, &tokens)
        })
        .await
    }

    /// Takes tokens off `revoked_tokens`; returns how many were there.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn unrevoke_tokens(
        &self,
        tenant: TenantId,
        tokens: Vec<String>,
    ) -> Result<u64, StoreFailure> {
        if self.is_member() {
            let row = |token| Row::Token {
                token,
                revoked: false,
            };
            return self.change(tenant, tokens, row).await;
        }
        self.call(0, move |c| {
            users::each_token(c, users::UNREVOKE, tenant, &tokens)
        })
        .await
    }

    /// Whether a token is revoked.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn is_revoked(&self, tenant: TenantId, token: String) -> Result<bool, StoreFailure> {
        self.call(0, move |c| users::is_revoked(c, tenant, &token))
            .await
    }

    /// Puts rows into `pipes_settings`, or removes them (`None`), on a member of a cluster, whose shards hear of it from
    /// the log. Returns how many rows changed.
    ///
    /// # Errors
    /// When the log can't take it, or the store is no member.
    pub async fn set_lengths(
        &self,
        tenant: TenantId,
        rows: Vec<(ChannelName, Option<u64>)>,
    ) -> Result<u64, StoreFailure> {
        let row = |(channel, length)| Row::Length { channel, length };
        self.change(tenant, rows, row).await
    }

    /// How many publications those channels keep that `pipes_settings` has.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn lengths(
        &self,
        tenant: TenantId,
        channels: Vec<ChannelName>,
    ) -> Result<Vec<(ChannelName, u64)>, StoreFailure> {
        self.call(0, move |c| history::lengths(c, tenant, &channels))
            .await
    }

    /// The channels that keep a publication with this id on disk: `DELETE FROM pipes_messages WHERE id = …` gives only
    /// the id.
    ///
    /// # Errors
    /// When the store can't do it.
    pub async fn channels_of(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Result<Vec<ChannelName>, StoreFailure> {
        self.call(0, move |c| history::channels_of(c, tenant, id))
            .await
    }

    async fn members(
        &self,
        tenant: TenantId,
        channel: ChannelName,
    ) -> Result<Vec<UserId>, StoreFailure> {
        self.call(0, move |c| users::members(c, tenant, &channel))
            .await
    }
}

fn bytes(rows: &[(UserId, String)]) -> usize {
    rows.iter().map(|(_, text)| text.len()).sum()
}
