//! `users_data`: a text for each user, which browsers may read. INSERT replaces.

use cometql_engine::{StoreAnswer, StoreFailure, StoreRequest};
use cometql_protocol::UserId;

use super::{Change, KeyRow, Rows, fields, users_auth};
use crate::cometql::{Context, Done, SqlError, SqlSession, Value, errors, lookup};

/// Longest text, in bytes: MySQL's `TEXT`.
const DATA_BYTES: usize = 65_535;

pub(super) async fn insert(
    context: &Context,
    session: &SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let mut put = Vec::new();
    let (mut affected_rows, mut last_insert_id) = (0, 0);
    for row in rows.iter() {
        let user = fields::user(&row, "id")?;
        let new = data(row.required("data")?)?;
        last_insert_id = user.get();
        if !rows.looks_first() || !is_there(context, session, user).await? {
            affected_rows += 1;
            put.push((user, new));
        } else if let Some(value) = row.on_duplicate("data") {
            affected_rows += 2;
            put.push((user, data(value)?));
        }
    }
    context.store.set_data(session.tenant, put).await?;
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
    for (user, value) in users_auth::by_user(changes) {
        let data = data(value)?;
        if is_there(context, session, user).await? {
            put.push((user, data));
        }
    }
    let changed = put.len() as u64;
    context.store.set_data(session.tenant, put).await?;
    Ok(changed)
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    Ok(context
        .store
        .remove_data(session.tenant, users_auth::users(&keys))
        .await?)
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

async fn is_there(context: &Context, session: &SqlSession, user: UserId) -> Result<bool, SqlError> {
    Ok(read(context, session, user).await?.is_some())
}

fn data(value: &Value) -> Result<String, SqlError> {
    let data = fields::text(value, "data")?;
    if data.len() > DATA_BYTES {
        return Err(errors::too_long("Data of a user"));
    }
    Ok(data.into_owned())
}
