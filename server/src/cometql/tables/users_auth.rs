//! `users_auth`: the hashes that log users in. INSERT replaces and has no effect on open connections; DELETE also closes
//! those of the user.

use std::collections::BTreeMap;

use cometql_engine::Disconnect;
use cometql_protocol::UserId;

use super::{Change, KeyRow, Rows, fields};
use crate::cometql::{Context, Done, SqlError, SqlSession, Value, errors};

/// Longest hash, in bytes.
const HASH_BYTES: usize = 32;

pub(super) async fn insert(
    context: &Context,
    session: &SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let mut put = Vec::new();
    let (mut affected_rows, mut last_insert_id) = (0, 0);
    for row in rows.iter() {
        let user = fields::user(&row, "id")?;
        let new = hash(row.required("hash")?)?;
        last_insert_id = user.get();
        if !rows.looks_first() || context.store.hash(session.tenant, user).await?.is_none() {
            affected_rows += 1;
            put.push((user, new));
        } else if let Some(value) = row.on_duplicate("hash") {
            affected_rows += 2;
            put.push((user, hash(value)?));
        }
    }
    context.store.set_hashes(session.tenant, put).await?;
    Ok(Done {
        affected_rows,
        last_insert_id,
        info: String::new(),
    })
}

pub(super) async fn update(
    context: &Context,
    session: &SqlSession,
    changes: &[Change<'_>],
) -> Result<u64, SqlError> {
    let mut put = Vec::new();
    for (user, value) in by_user(changes) {
        let hash = hash(value)?;
        if context.store.hash(session.tenant, user).await?.is_some() {
            put.push((user, hash));
        }
    }
    let changed = put.len() as u64;
    context.store.set_hashes(session.tenant, put).await?;
    Ok(changed)
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    let users = users(&keys);
    let removed = context
        .store
        .remove_hashes(session.tenant, users.clone())
        .await?;
    for user in users {
        let tenant = session.tenant;
        context
            .hub
            .disconnect(Disconnect::User { tenant, user })
            .await;
    }
    Ok(removed)
}

/// The users that conditions name, each once.
pub(super) fn users(keys: &[KeyRow]) -> Vec<UserId> {
    let named = keys.iter().filter_map(|row| row.first()?.as_ref());
    let mut users: Vec<UserId> = named.filter_map(fields::known_user).collect();
    users.sort_unstable();
    users.dedup();
    users
}

/// The new values of users, each user once.
pub(super) fn by_user<'a>(changes: &'a [Change<'_>]) -> BTreeMap<UserId, &'a Value> {
    let change = |(key, value): &'a Change<'_>| Some((fields::known_user(key)?, &**value));
    changes.iter().filter_map(change).collect()
}

fn hash(value: &Value) -> Result<String, SqlError> {
    let hash = fields::text(value, "hash")?;
    if hash.len() > HASH_BYTES {
        return Err(errors::too_long("Hash string"));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'+' | b'/' | b'_');
    if !hash.bytes().all(allowed) {
        return Err(errors::invalid(
            "Contains an invalid characters in the string hash",
        ));
    }
    Ok(hash.into_owned())
}
