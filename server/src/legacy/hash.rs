//! The "real user key" that `serverInfo` tells an authorised page: the user's row of `users_auth`.

use cometql_engine::StoreFailure;
use cometql_protocol::{TenantId, UserId};

use crate::storage::Store;

/// The stored hash of a user who has just proved who it is; the check of a token has made one if there was none. It goes
/// to [`Adapter::authenticated`](super::Adapter::authenticated).
///
/// # Errors
/// When the store can't be read.
pub async fn stored_hash(
    store: &Store,
    tenant: TenantId,
    user: UserId,
) -> Result<String, StoreFailure> {
    let hash = store.hash(tenant, user).await?;
    // Removed in the meantime: the connection is about to be closed for it.
    Ok(hash.unwrap_or_default())
}
