//! `users_data`: a text for each user, which browsers may read. INSERT replaces.

use std::collections::BTreeMap;

use cometql_engine::{StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::UserId;

use super::keyed::KeyTable;
use super::{KeyRow, Row, fields};
use crate::cometql::{Context, SqlError, SqlSession, Value, errors, lookup};

/// Longest text, in bytes: MySQL's `TEXT`.
const DATA_BYTES: usize = 65_535;

/// The table.
pub(super) struct UsersData;

impl KeyTable for UsersData {
    type Key = UserId;
    type Value = String;
    const COLUMNS: [&'static str; 2] = ["id", "data"];

    fn key(_: &Context, _: &SqlSession, row: &Row<'_>) -> Result<UserId, SqlError> {
        fields::user(row, "id")
    }

    fn named(key: &Value) -> Option<UserId> {
        fields::known_user(key)
    }

    fn given(row: &Row<'_>) -> Result<String, SqlError> {
        Self::value(row.required("data")?)
    }

    fn value(value: &Value) -> Result<String, SqlError> {
        let data = fields::text(value, "data")?;
        if data.len() > DATA_BYTES {
            return Err(errors::too_long("Data of a user"));
        }
        Ok(data.into_owned())
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
        let known = context.store.data(session.tenant, keys).await?;
        // An empty text counts as none.
        Ok(known
            .into_iter()
            .filter(|(_, data)| !data.is_empty())
            .collect())
    }

    async fn put(
        context: &Context,
        session: &SqlSession,
        rows: Vec<(UserId, String)>,
    ) -> Result<(), SqlError> {
        context.store.set_data(session.tenant, rows).await?;
        Ok(())
    }
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    let users = fields::named(&keys, fields::known_user);
    Ok(context.store.remove_data(session.tenant, users).await?)
}

/// The text of a user; an empty one counts as none.
pub(in crate::cometql) async fn read(
    context: &Context,
    session: &SqlSession,
    user: UserId,
) -> Result<Option<String>, StoreFailure> {
    let request = StoreRequest::UserData {
        tenant: session.tenant,
        user,
    };
    match lookup::ask(context, request).await? {
        StoreAnswer::UserData(data) if !data.is_empty() => Ok(Some(data)),
        _ => Ok(None),
    }
}
