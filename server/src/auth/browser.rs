//! Checks what a browser offers to prove who it is.

use std::sync::Arc;

use cometql_engine::{Credentials, Identity, Reject, StoreFailure};
use cometql_protocol::{ErrorCode, TenantId, UserId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::tokens::Tokens;
use crate::storage::Store;

/// Checks credentials of browsers. Cheap to clone.
#[derive(Clone)]
pub struct Browser {
    tokens: Tokens,
    store: Store,
}

impl Browser {
    /// A checker that knows these tokens, and the hashes and revoked tokens of this store.
    #[must_use]
    pub fn new(tokens: Tokens, store: Store) -> Self {
        Self { tokens, store }
    }

    /// Who these credentials prove. Without any it is the anonymous identity, except for a `refresh`. A token beside a
    /// user id must be that user's: so a `refresh` can't change users.
    ///
    /// # Errors
    /// `unauthorized` when they prove nothing, `unavailable` when the store can't be asked.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Identity, Reject> {
        let Credentials {
            tenant,
            connect,
            legacy,
            refresh,
        } = credentials;
        let user = connect.user.map(|number| {
            UserId::new(number).ok_or_else(|| refused("the user id must be 1 to 2^53-1"))
        });
        let user = user.transpose()?;
        match (user, connect.hash, connect.token) {
            (_, Some(_), Some(_)) => Err(refused("give a token or a hash, not both")),
            // The original has one field for both; a hash never has a dot (spec: legacy browser protocol, §6).
            (Some(user), None, Some(hash)) if legacy && !hash.contains('.') => {
                self.by_hash(tenant, user, &hash).await
            }
            (None, None, Some(_)) if legacy => Err(refused("the user id is missing")),
            (user, None, Some(token)) => self.by_token(tenant, user, token, legacy).await,
            _ if refresh => Err(refused("refresh needs a token")),
            (Some(user), Some(hash), None) => self.by_hash(tenant, user, &hash).await,
            (None, Some(_), None) => Err(refused("a hash needs the user id beside it")),
            (Some(_), None, None) => Err(refused("a user id needs a hash or token beside it")),
            (None, None, None) => Ok(Identity::default()),
        }
    }

    async fn by_hash(
        &self,
        tenant: TenantId,
        user: UserId,
        hash: &str,
    ) -> Result<Identity, Reject> {
        let stored = self.store.hash(tenant, user).await.map_err(unavailable)?;
        // An empty hash may be stored: it lets nobody in.
        let stored = stored.unwrap_or_default();
        let equal = bool::from(stored.as_bytes().ct_eq(hash.as_bytes()));
        if !equal || hash.is_empty() {
            return Err(refused("the user or the hash is wrong"));
        }
        Ok(Identity {
            user: Some(user),
            ..Identity::default()
        })
    }

    async fn by_token(
        &self,
        tenant: TenantId,
        user: Option<UserId>,
        token: String,
        legacy: bool,
    ) -> Result<Identity, Reject> {
        let verified = self
            .tokens
            .verify(tenant, &token, legacy)
            .map_err(|error| refused(&error.to_string()))?;
        if user.is_some_and(|user| user != verified.user) {
            return Err(refused("the token is another user's"));
        }
        let digest = Sha256::digest(token.as_bytes()).into();
        let revoked = self.store.is_revoked(tenant, token).await;
        if revoked.map_err(unavailable)? {
            return Err(refused("the token was revoked"));
        }
        if legacy {
            self.keep_a_hash(tenant, verified.user).await?;
        }
        Ok(Identity {
            user: Some(verified.user),
            expires: Some(verified.expires),
            token_digest: Some(digest),
            claims: Some(Arc::from(verified.claims)),
        })
    }

    /// As the original does: a user who comes with a token gets a hash if there is none, because its pages use the hash
    /// that `serverInfo` tells them as a password for calls.
    async fn keep_a_hash(&self, tenant: TenantId, user: UserId) -> Result<(), Reject> {
        let stored = self.store.hash(tenant, user).await.map_err(unavailable)?;
        if stored.is_none() {
            let fresh = Uuid::new_v4().simple().to_string();
            let rows = vec![(user, fresh)];
            let kept = self.store.set_hashes(tenant, rows).await;
            kept.map_err(unavailable)?;
        }
        Ok(())
    }
}

fn refused(message: &str) -> Reject {
    Reject::new(ErrorCode::Unauthorized, message)
}

fn unavailable(failure: StoreFailure) -> Reject {
    Reject::new(ErrorCode::Unavailable, failure.to_string())
}

#[cfg(test)]
mod tests;
