//! What is kept about users and tokens: hashes, data, last seen, lists of channels. It must not know of batches or
//! threads.

use cometql_protocol::{ChannelName, TenantId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::values::{Outcome, integer, number, rows};

pub(super) const PUT_HASH: &str =
    "INSERT OR REPLACE INTO users_auth (tenant, id, hash) VALUES (?1, ?2, ?3)";
pub(super) const HASH: &str = "SELECT hash FROM users_auth WHERE tenant = ?1 AND id = ?2";
pub(super) const REMOVE_HASH: &str = "DELETE FROM users_auth WHERE tenant = ?1 AND id = ?2";
pub(super) const PUT_DATA: &str =
    "INSERT OR REPLACE INTO users_data (tenant, id, data) VALUES (?1, ?2, ?3)";
pub(super) const DATA: &str = "SELECT data FROM users_data WHERE tenant = ?1 AND id = ?2";
pub(super) const REMOVE_DATA: &str = "DELETE FROM users_data WHERE tenant = ?1 AND id = ?2";
pub(super) const REVOKE: &str =
    "INSERT OR IGNORE INTO revoked_tokens (tenant, token) VALUES (?1, ?2)";
pub(super) const UNREVOKE: &str = "DELETE FROM revoked_tokens WHERE tenant = ?1 AND token = ?2";

/// Puts one row a user into `users_auth` or `users_data`.
pub(super) fn put(
    connection: &Connection,
    statement: &str,
    tenant: TenantId,
    texts: &[(UserId, String)],
) -> Outcome<u64> {
    let mut statement = connection.prepare_cached(statement)?;
    let mut changed = 0;
    for (user, text) in texts {
        changed += statement.execute(params![tenant.0, integer(user.get()), text])?;
    }
    Ok(rows(changed))
}

/// Runs a statement about `(tenant, user)` once for each user.
pub(super) fn remove(
    connection: &Connection,
    statement: &str,
    tenant: TenantId,
    users: &[UserId],
) -> Outcome<u64> {
    let mut statement = connection.prepare_cached(statement)?;
    let mut changed = 0;
    for user in users {
        changed += statement.execute(params![tenant.0, integer(user.get())])?;
    }
    Ok(rows(changed))
}

/// The text that a statement about `(tenant, user)` finds.
pub(super) fn text(
    connection: &Connection,
    statement: &str,
    tenant: TenantId,
    user: UserId,
) -> Outcome<Option<String>> {
    Ok(connection
        .prepare_cached(statement)?
        .query_row(params![tenant.0, integer(user.get())], |row| row.get(0))
        .optional()?)
}

/// The users for which such a statement finds a text, and the texts.
pub(super) fn texts(
    connection: &Connection,
    statement: &str,
    tenant: TenantId,
    users: &[UserId],
) -> Outcome<Vec<(UserId, String)>> {
    let mut found = Vec::new();
    for &user in users {
        if let Some(text) = text(connection, statement, tenant, user)? {
            found.push((user, text));
        }
    }
    Ok(found)
}

/// `None` = is online now: the time of leaving before stays. A cluster's log does not have a new time yet.
pub(super) fn set_last_seen(
    connection: &Connection,
    tenant: TenantId,
    user: UserId,
    time: Option<u64>,
) -> Outcome<u64> {
    let changed = connection
        .prepare_cached(
            "INSERT INTO users_time (tenant, id, time, online) VALUES (?1, ?2, coalesce(?3, 0), ?3 IS NULL)
             ON CONFLICT DO UPDATE SET time = coalesce(?3, time), online = ?3 IS NULL,
                 logged = iif(?3 IS NULL, logged, 0)",
        )?
        .execute(params![tenant.0, integer(user.get()), time.map(integer)])?;
    Ok(rows(changed))
}

pub(super) fn last_seen(
    connection: &Connection,
    tenant: TenantId,
    user: UserId,
) -> Outcome<Option<u64>> {
    let time = connection
        .prepare_cached("SELECT time FROM users_time WHERE tenant = ?1 AND id = ?2")?
        .query_row(params![tenant.0, integer(user.get())], |row| number(row, 0))
        .optional()?;
    Ok(time.filter(|time| *time != 0))
}

/// At start nobody is online: who was when the node ended, left when it last was known to run.
pub(super) fn all_offline(connection: &Connection, now: u64) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE users_time SET online = 0, time = max(time, (SELECT ran_until FROM node)), logged = 0 WHERE online <> 0",
        [],
    )?;
    runs(connection, now)
}

/// Notes that the node runs, in unix seconds.
pub(super) fn runs(connection: &Connection, now: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE node SET ran_until = ?1")?
        .execute([integer(now)])?;
    Ok(())
}

pub(super) fn add_members(
    connection: &Connection,
    tenant: TenantId,
    members: &[(ChannelName, UserId)],
) -> Outcome<u64> {
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO pipes_members (tenant, name, user_id) VALUES (?1, ?2, ?3)",
    )?;
    let mut added = 0;
    for (channel, user) in members {
        added += statement.execute(params![tenant.0, channel.as_str(), integer(user.get())])?;
    }
    Ok(rows(added))
}

pub(super) fn remove_members(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
    users: Option<&[UserId]>,
) -> Outcome<u64> {
    let Some(users) = users else {
        let removed = connection
            .prepare_cached("DELETE FROM pipes_members WHERE tenant = ?1 AND name = ?2")?
            .execute(params![tenant.0, channel.as_str()])?;
        return Ok(rows(removed));
    };
    let mut statement = connection.prepare_cached(
        "DELETE FROM pipes_members WHERE tenant = ?1 AND name = ?2 AND user_id = ?3",
    )?;
    let mut removed = 0;
    for user in users {
        removed += statement.execute(params![tenant.0, channel.as_str(), integer(user.get())])?;
    }
    Ok(rows(removed))
}

/// Who is on the list of a channel.
pub(super) fn members(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
) -> Outcome<Vec<UserId>> {
    let mut statement = connection
        .prepare_cached("SELECT user_id FROM pipes_members WHERE tenant = ?1 AND name = ?2")?;
    let mut found = statement.query(params![tenant.0, channel.as_str()])?;
    let mut members = Vec::new();
    while let Some(row) = found.next()? {
        members.extend(UserId::new(number(row, 0)?));
    }
    Ok(members)
}

pub(super) fn is_member(
    connection: &Connection,
    tenant: TenantId,
    channel: &ChannelName,
    user: UserId,
) -> Outcome<bool> {
    Ok(connection
        .prepare_cached(
            "SELECT 1 FROM pipes_members WHERE tenant = ?1 AND name = ?2 AND user_id = ?3",
        )?
        .exists(params![tenant.0, channel.as_str(), integer(user.get())])?)
}

/// Runs a statement about `(tenant, token)` once for each token.
pub(super) fn each_token(
    connection: &Connection,
    statement: &str,
    tenant: TenantId,
    tokens: &[String],
) -> Outcome<u64> {
    let mut statement = connection.prepare_cached(statement)?;
    let mut changed = 0;
    for token in tokens {
        changed += statement.execute(params![tenant.0, token])?;
    }
    Ok(rows(changed))
}

pub(super) fn is_revoked(connection: &Connection, tenant: TenantId, token: &str) -> Outcome<bool> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM revoked_tokens WHERE tenant = ?1 AND token = ?2")?
        .exists(params![tenant.0, token])?)
}
