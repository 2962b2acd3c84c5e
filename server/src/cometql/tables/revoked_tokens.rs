//! `revoked_tokens`: INSERT refuses a token from now on and ends what it opened.

use cometql_engine::Disconnect;
use sha2::{Digest, Sha256};

use super::{KeyRow, Rows, fields};
use crate::cometql::{Context, Done, SqlError, SqlSession, errors};

/// Longest token, in bytes.
const TOKEN_BYTES: usize = 600;

pub(super) async fn insert(
    context: &Context,
    session: &SqlSession,
    rows: &Rows<'_>,
) -> Result<Done, SqlError> {
    let tenant = session.tenant;
    let mut tokens = Vec::new();
    for row in rows.iter() {
        let token = fields::text(row.required("token")?, "token")?;
        if token.len() > TOKEN_BYTES {
            return Err(errors::too_long("Token"));
        }
        tokens.push(token.into_owned());
    }
    context.store.revoke_tokens(tenant, tokens.clone()).await?;
    for token in &tokens {
        let digest = Sha256::digest(token).into();
        context
            .hub
            .disconnect(Disconnect::Token { tenant, digest })
            .await;
        // As in the original: a valid token's user loses its hash and all connections.
        if let Some(user) = context.tokens.user_of(tenant, token) {
            let _turn = context.turns.change(tenant, "users_auth", false).await;
            context.store.remove_hashes(tenant, vec![user]).await?;
            context
                .hub
                .disconnect(Disconnect::User { tenant, user })
                .await;
        }
    }
    Ok(Done {
        affected_rows: tokens.len() as u64,
        last_insert_id: 1,
        info: String::new(),
    })
}

pub(super) async fn delete(
    context: &Context,
    session: &SqlSession,
    keys: Vec<KeyRow>,
) -> Result<u64, SqlError> {
    let named = keys.iter().filter_map(|row| row.first()?.as_ref());
    let tokens: Result<Vec<_>, SqlError> = named
        .map(|v| Ok(fields::text(v, "token")?.into_owned()))
        .collect();
    Ok(context
        .store
        .unrevoke_tokens(session.tenant, tokens?)
        .await?)
}
