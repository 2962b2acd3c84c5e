//! Who may log in: keys of tenants for backends, credentials of browsers.

use std::net::IpAddr;
use std::time::Duration;

use cometql_protocol::TenantId;

/// Which keys open which tenants. Cheap to clone and swapped whole when the configuration is reloaded.
#[derive(Clone, Default)]
pub struct Keyring {}

/// What a user name at the MySQL port or HTTP basic auth stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `root` and `0` are tenant 0, `N` is tenant N.
    pub tenant: TenantId,
    /// True for the log-in `admin`, which sees node-wide views and has a key of its own.
    pub admin: bool,
    /// The keys of which any one proves it, in no order. Never logged.
    pub keys: Vec<String>,
}

impl Keyring {
    /// What a user name stands for; `None` for a name that is no tenant or that has no key. Callers must then behave
    /// as with a wrong key, in time too.
    #[must_use]
    pub fn login(&self, user: &str) -> Option<Login> {
        _ = user;
        None
    }

    /// Whether a key that was proved at log-in also opens this tenant (`USE db_N`).
    #[must_use]
    pub fn opens(&self, key: &str, tenant: TenantId) -> bool {
        _ = (key, tenant);
        false
    }
}

/// Slows down failed log-ins per (address, user). Never refuses a right key: callers check the key first, then wait.
#[derive(Clone, Default)]
pub struct Throttle {}

impl Throttle {
    /// Records a failed log-in; the caller sleeps for the returned time before it answers.
    #[must_use]
    pub fn failed(&self, address: IpAddr, user: &str) -> Duration {
        _ = (address, user);
        Duration::ZERO
    }

    /// Forgets the failures.
    pub fn succeeded(&self, address: IpAddr, user: &str) {
        _ = (address, user);
    }
}

/// Verifies the tokens of browsers: which keys, which algorithms. Swapped whole when the configuration is reloaded.
#[derive(Clone, Default)]
pub struct Tokens {}

impl Tokens {
    /// The user of a token that is valid now for this tenant (revocation is not looked at); `None` for all others.
    #[must_use]
    pub fn user_of(&self, tenant: TenantId, token: &str) -> Option<cometql_protocol::UserId> {
        _ = (tenant, token);
        None
    }
}
