//! `users_auth`: the hashes that log users in. INSERT replaces and has no effect on open connections; DELETE also closes
//! those of the user.

use std::collections::BTreeMap;

use cometql_engine::Disconnect;
use cometql_protocol::UserId;

use super::keyed::KeyTable;
use super::{KeyRow, Row, fields};
use crate::cometql::{Context, SqlError, SqlSession, Value, errors};

/// Longest hash, in bytes.
const HASH_BYTES: usize = 32;

/// The table.
pub(super) struct UsersAuth;

impl KeyTable for UsersAuth {
    type Key = UserId;
    type Value = String;
    const COLUMNS: [&'static str; 2] = ["id", "hash"];

    fn key(_: &Context, _: &SqlSession, row: &Row<'_>) -> Result<UserId, SqlError> {
        fields::user(row, "id")
    }

    fn named(key: &Value) -> Option<UserId> {
        fields::known_user(key)
    }

    fn given(row: &Row<'_>) -> Result<String, SqlError> {
        Self::value(row.required("hash")?)
    }

    fn value(value: &Value) -> Result<String, SqlError> {
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

    fn cells(key: &UserId, value: &String) -> [Value; 2] {
        fields::user_cells(*key, value)
    }

    fn insert_id(key: &UserId) -> u64 {
        key.get()
    }

    async fn known(
        context: &Context,
        session: &SqlSession,
        keys: Vec<UserId>,
    ) -> Result<BTreeMap<UserId, String>, SqlError> {
        let known = context.store.hashes(session.tenant, keys).await?;
        Ok(known.into_iter().collect())
    }

    async fn put(
        context: &Context,
        session: &SqlSession,
        rows: Vec<(UserId, String)>,
    ) -> Result<(), SqlError> {
        context.store.set_hashes(session.tenant, rows).await?;
        Ok(())
    }
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    let users = fields::named(&keys, fields::known_user);
    let tenant = session.tenant;
    let removed = context.store.remove_hashes(tenant, users.clone()).await?;
    for user in users {
        context
            .hub
            .disconnect(Disconnect::User { tenant, user })
            .await;
    }
    Ok(removed)
}
