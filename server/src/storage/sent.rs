//! Ids that senders chose, of messages that were stored lately: a retry is known also when its message is gone, and after a
//! crash. It must not know of batches or threads.

use cometql_engine::MessageId;
use cometql_engine::StoreAnswer;
use cometql_engine::publication::Content;
use cometql_engine::store::Once;
use cometql_protocol::{ChannelName, TenantId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::values::{Outcome, integer, number, rows};

/// Most ids that one purge removes, so that it does not hold up everybody.
pub(super) const PURGE_AT_ONCE: u64 = 10_000;

/// An id counts within one channel or inbox.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Channel(TenantId, &'a ChannelName),
    Inbox(TenantId, UserId),
}

impl Place<'_> {
    fn key(&self) -> (u32, &str, i64) {
        match self {
            Self::Channel(tenant, name) => (tenant.0, name.as_str(), 0),
            Self::Inbox(tenant, user) => (tenant.0, "", integer(user.get())),
        }
    }
}

/// Notes the id of content that is about to be stored; or tells of what was stored under it before, and changes nothing.
pub(super) fn note(
    connection: &Connection,
    place: Place<'_>,
    content: &Content,
    offset: u64,
    once: Once,
) -> Outcome<Option<StoreAnswer>> {
    let (tenant, name, user) = place.key();
    let noted = connection
        .prepare_cached(
            "INSERT INTO sent VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE
             SET offset = excluded.offset, digest = excluded.digest, until_ms = excluded.until_ms
             WHERE until_ms <= ?8",
        )?
        .execute(params![
            tenant,
            name,
            user,
            bytes(content.id),
            integer(offset),
            once.digest.cast_signed(),
            integer(once.until_ms),
            integer(content.time_ms),
        ])?;
    if noted > 0 {
        return Ok(None);
    }
    find(connection, place, content)
}

/// What was stored lately under the id of this content.
pub(super) fn find(
    connection: &Connection,
    place: Place<'_>,
    content: &Content,
) -> Outcome<Option<StoreAnswer>> {
    let (tenant, name, user) = place.key();
    let known = connection
        .prepare_cached(
            "SELECT offset, digest FROM sent
             WHERE tenant = ?1 AND name = ?2 AND user_id = ?3 AND id = ?4 AND until_ms > ?5",
        )?
        .query_row(
            params![
                tenant,
                name,
                user,
                bytes(content.id),
                integer(content.time_ms)
            ],
            |row| {
                Ok(StoreAnswer::Known {
                    offset: number(row, 0)?,
                    digest: row.get::<_, i64>(1)?.cast_unsigned(),
                })
            },
        )
        .optional()?;
    Ok(known)
}

/// Forgets ids whose time is over.
pub(super) fn purge(connection: &Connection, now_ms: u64) -> Outcome<u64> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM sent WHERE (tenant, name, user_id, id) IN
               (SELECT tenant, name, user_id, id FROM sent WHERE until_ms <= ?1 LIMIT ?2)",
        )?
        .execute(params![integer(now_ms), integer(PURGE_AT_ONCE)])?;
    Ok(rows(removed))
}

fn bytes(id: MessageId) -> [u8; 16] {
    id.0.to_be_bytes()
}
