//! Private messages that wait for their users. It must not know of batches or threads.

use std::collections::HashMap;

use cometql_engine::publication::{Content, InboxMessage};
use cometql_engine::store::Once;
use cometql_engine::{MessageId, StoreAnswer};
use cometql_protocol::{TenantId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::sent::{self, Place};
use super::values::{Outcome, content, integer, message_id_text, number, rows};

/// Most private messages that one purge removes, so that it does not hold up everybody.
const PURGE_AT_ONCE: u64 = 10_000;

/// The offset and time of a message that waits.
pub(super) fn find(
    connection: &Connection,
    tenant: TenantId,
    user: UserId,
    id: MessageId,
) -> Outcome<Option<(u64, u64)>> {
    let found = connection
        .prepare_cached(
            "SELECT offset, time_ms FROM users_messages WHERE tenant = ?1 AND user_id = ?2 AND id = ?3",
        )?
        .query_row(
            params![tenant.0, integer(user.get()), message_id_text(id)],
            |row| Ok((number(row, 0)?, number(row, 1)?)),
        )
        .optional()?;
    Ok(found)
}

/// The new message's offset, unless it is a retry, or `limit` messages wait already.
pub(super) fn append(
    connection: &Connection,
    tenant: TenantId,
    user: UserId,
    content: &Content,
    limit: u64,
    once: Option<Once>,
) -> Outcome<StoreAnswer> {
    let place = Place::Inbox(tenant, user);
    let user = integer(user.get());
    let inbox = connection
        .prepare_cached(
            "SELECT last_offset, waiting FROM inboxes WHERE tenant = ?1 AND user_id = ?2",
        )?
        .query_row(params![tenant.0, user], |row| {
            Ok((number(row, 0)?, number(row, 1)?))
        })
        .optional()?;
    let (last, waiting) = match inbox {
        Some(known) => known,
        None => (first_place(connection)?, 0),
    };
    let offset = last + 1;
    let full = waiting >= limit;
    let known = match once {
        Some(_) if full => sent::find(connection, place, content)?,
        Some(once) => sent::note(connection, place, content, offset, once)?,
        None => None,
    };
    if let Some(known) = known {
        return Ok(known);
    }
    if full {
        return Ok(StoreAnswer::Full);
    }
    connection
        .prepare_cached("INSERT INTO users_messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            tenant.0,
            user,
            integer(offset),
            message_id_text(content.id),
            integer(content.time_ms),
            content.event.as_str(),
            &*content.data,
            content.data_is_json,
        ])?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO inboxes VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            tenant.0,
            user,
            integer(offset),
            integer(waiting + 1)
        ])?;
    Ok(StoreAnswer::InboxOffset(offset))
}

/// The offset that inboxes without a record begin after.
fn first_place(connection: &Connection) -> Outcome<u64> {
    Ok(connection
        .prepare_cached("SELECT inboxes_from FROM node")?
        .query_row([], |row| number(row, 0))?)
}

pub(super) fn read(
    connection: &Connection,
    tenant: TenantId,
    user: UserId,
    after: u64,
    limit: u64,
) -> Outcome<Vec<InboxMessage>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, time_ms, event, message, json, NULL, offset FROM users_messages
         WHERE tenant = ?1 AND user_id = ?2 AND offset > ?3 ORDER BY offset LIMIT ?4",
    )?;
    let mut found = statement.query(params![
        tenant.0,
        integer(user.get()),
        integer(after),
        integer(limit)
    ])?;
    let mut messages = Vec::new();
    while let Some(row) = found.next()? {
        let content = content(row)?;
        messages.push(InboxMessage {
            id: content.id,
            offset: number(row, 6)?,
            event: content.event,
            data: content.data,
            data_is_json: content.data_is_json,
            time_ms: content.time_ms,
            waited: true,
        });
    }
    Ok(messages)
}

pub(super) fn remove(
    connection: &Connection,
    tenant: TenantId,
    user: UserId,
    from: u64,
    up_to: u64,
) -> Outcome<u64> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM users_messages WHERE tenant = ?1 AND user_id = ?2 AND offset BETWEEN ?3 AND ?4",
        )?
        .execute(params![
            tenant.0,
            integer(user.get()),
            integer(from),
            integer(up_to)
        ])?;
    forget(connection, tenant.0, integer(user.get()), rows(removed))?;
    Ok(rows(removed))
}

/// Counts messages that were removed.
fn forget(connection: &Connection, tenant: u32, user: i64, removed: u64) -> Outcome<()> {
    if removed > 0 {
        connection
            .prepare_cached(
                "UPDATE inboxes SET waiting = max(waiting - ?3, 0) WHERE tenant = ?1 AND user_id = ?2",
            )?
            .execute(params![tenant, user, integer(removed)])?;
    }
    Ok(())
}

/// Removes messages that were sent before a moment.
pub(super) fn purge(connection: &Connection, oldest_ms: u64) -> Outcome<u64> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM users_messages WHERE (tenant, user_id, offset) IN
           (SELECT tenant, user_id, offset FROM users_messages WHERE time_ms < ?1 LIMIT ?2)
         RETURNING tenant, user_id",
    )?;
    let mut found = statement.query(params![integer(oldest_ms), integer(PURGE_AT_ONCE)])?;
    let mut removed: HashMap<(u32, i64), u64> = HashMap::new();
    while let Some(row) = found.next()? {
        *removed.entry((row.get(0)?, row.get(1)?)).or_default() += 1;
    }
    for (&(tenant, user), &count) in &removed {
        forget(connection, tenant, user, count)?;
    }
    Ok(removed.values().sum())
}
