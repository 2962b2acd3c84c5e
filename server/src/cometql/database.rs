//! Which database a backend chose: `USE`, the log-in and `COM_INIT_DB` share these rules.

use std::fmt;

use cometql_protocol::TenantId;

use super::{Context, SqlError, SqlSession};

pub use super::catalog::DATABASE;

/// Most characters of a wrong name that its error repeats.
const SHOWN: usize = 64;

/// The key that proved a log-in. Kept to see which other tenants it opens; never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LogInKey(pub String);

impl fmt::Debug for LogInKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a key)")
    }
}

/// Chooses a database: `CometQL_v1`, none (the empty name), or `db_N`, which switches to tenant N.
///
/// # Errors
/// 15 for an unknown name; 16 if the log-in's key does not open the tenant.
pub fn choose_database(
    context: &Context,
    session: &mut SqlSession,
    name: &str,
) -> Result<(), SqlError> {
    if let Some(tenant) = name.strip_prefix("db_") {
        let tenant = tenant.parse().map(TenantId);
        let opened = tenant
            .as_ref()
            .is_ok_and(|&tenant| context.keyring.opens(&session.key.0, tenant));
        let Some(tenant) = tenant.ok().filter(|_| opened) else {
            let message = format!(
                "Authentication failure: the key of this log-in does not open `{}`",
                shown(name)
            );
            return Err(SqlError::new(16, message));
        };
        session.tenant = tenant;
    } else if !name.is_empty()
        && !name.eq_ignore_ascii_case(DATABASE)
        && !name.eq_ignore_ascii_case("information_schema")
    {
        let message = format!(
            "Select database failure: there is no database `{}`, use {DATABASE}",
            shown(name)
        );
        return Err(SqlError::new(15, message));
    }
    name.clone_into(&mut session.database);
    Ok(())
}

fn shown(name: &str) -> &str {
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => &name[..end],
        None => name,
    }
}
