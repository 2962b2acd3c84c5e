//! The "real user key" that `serverInfo` tells an authorised page: the user's row of `users_auth`.

use cometql_engine::StoreFailure;
use cometql_protocol::{TenantId, UserId};
use uuid::Uuid;

use crate::storage::Store;

/// Longest hash, in bytes.
const HASH_MAX: usize = 32;

/// The stored hash of a user who has just proved who it is. Where there is none (the user came with a JWT), a fresh one
/// is stored, as in the original: its video calls use it as the SIP password.
///
/// The edge asks after a successful authentication on this endpoint and hands the result to
/// [`Adapter::authenticated`](super::Adapter::authenticated). Two first log-ins of one user at the same moment may be
/// told different hashes; the later one counts.
///
/// # Errors
/// When the store can't read or write.
pub async fn stored_hash(
    store: &Store,
    tenant: TenantId,
    user: UserId,
) -> Result<String, StoreFailure> {
    if let Some(hash) = store.hash(tenant, user).await? {
        return Ok(hash);
    }
    let hash = fresh(Uuid::new_v4());
    store.set_hashes(tenant, vec![(user, hash.clone())]).await?;
    Ok(hash)
}

/// The original's form: a UUID with `0` for `-`, cut to 32 characters.
fn fresh(uuid: Uuid) -> String {
    let mut hash = uuid.hyphenated().to_string().replace('-', "0");
    hash.truncate(HASH_MAX);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_hashes_have_the_original_form() {
        let uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        assert_eq!(fresh(uuid), "1234567809abc0def001234056789abc");
    }
}
