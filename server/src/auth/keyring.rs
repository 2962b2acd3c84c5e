//! Which keys open which tenants.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cometql_protocol::TenantId;
use subtle::ConstantTimeEq;

/// The keys as configured.
#[derive(Clone, Default)]
pub struct Keys {
    /// Any one of them proves the log-in `admin`; none = there is no such log-in.
    pub admin: Vec<String>,
    /// Any one of them opens every tenant that has no keys of its own.
    pub default: Vec<String>,
    /// The keys of single tenants.
    pub tenants: BTreeMap<TenantId, Vec<String>>,
    /// Tenants are numbered below this.
    pub tenant_limit: u32,
}

/// Which keys open which tenants. Cheap to clone; all clones see a reload.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Arc<ArcSwap<Keys>>,
}

/// What a user name at the MySQL port or HTTP basic auth stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// `root` and `0` are tenant 0, `N` is tenant N.
    pub tenant: TenantId,
    /// True for the log-in `admin`, which sees node-wide views and has a key of its own.
    pub admin: bool,
    /// The keys of which any one proves it, in no order. Never logged.
    pub keys: Vec<String>,
}

impl Keyring {
    /// A keyring of these keys.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self {
            keys: Arc::new(ArcSwap::from_pointee(keys)),
        }
    }

    /// Puts other keys in force. Who keeps sessions ends those whose key is gone.
    pub fn reload(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// What a user name stands for; `None` for a name that is no tenant or that has no key. Callers must then behave
    /// as with a wrong key, in time too.
    #[must_use]
    pub fn login(&self, user: &str) -> Option<Login> {
        let keys = self.keys.load();
        let (tenant, admin, keys) = match user {
            "admin" => (TenantId(0), true, keys.admin.clone()),
            "root" => (TenantId(0), false, keys.of(TenantId(0)).to_vec()),
            number => {
                let tenant = tenant_number(number)?;
                (tenant, false, keys.of(tenant).to_vec())
            }
        };
        (!keys.is_empty()).then_some(Login {
            tenant,
            admin,
            keys,
        })
    }

    /// Whether a key that was proved at log-in also opens this tenant (`USE db_N`). The `admin` key opens all.
    #[must_use]
    pub fn opens(&self, key: &str, tenant: TenantId) -> bool {
        let keys = self.keys.load();
        keys.exists(tenant) && (is_one_of(key, keys.of(tenant)) | is_one_of(key, &keys.admin))
    }

    /// Whether a key opens every tenant, so that what the whole node does is no secret to who has it.
    #[must_use]
    pub fn opens_all(&self, key: &str) -> bool {
        let keys = self.keys.load();
        let mut own = keys.tenants.values();
        is_one_of(key, &keys.admin)
            | (is_one_of(key, &keys.default) && own.all(|own| is_one_of(key, own)))
    }

    /// The log-in that user name and key prove, for HTTP basic auth and the console. Takes as long for an unknown name.
    #[must_use]
    pub fn prove(&self, user: &str, key: &str) -> Option<Login> {
        let login = self.login(user);
        let nobody = [String::new()];
        let keys = login.as_ref().map_or(&nobody[..], |login| &login.keys);
        let right = is_one_of(key, keys);
        login.filter(|_| right)
    }

    /// The keys of a tenant, of which the original derived its token secrets.
    pub(super) fn of(&self, tenant: TenantId) -> Vec<String> {
        self.keys.load().of(tenant).to_vec()
    }
}

impl Keys {
    fn exists(&self, tenant: TenantId) -> bool {
        tenant.0 < self.tenant_limit
    }

    fn of(&self, tenant: TenantId) -> &[String] {
        if !self.exists(tenant) {
            return &[];
        }
        self.tenants.get(&tenant).unwrap_or(&self.default)
    }
}

/// Only the canonical form: `007` and `+7` are no tenants, so that throttling and logs see one name for each.
fn tenant_number(text: &str) -> Option<TenantId> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(TenantId(number))
}

/// Looks at all keys, in constant time for keys of one length.
fn is_one_of(key: &str, keys: &[String]) -> bool {
    keys.iter().fold(false, |found, other| {
        found | bool::from(key.as_bytes().ct_eq(other.as_bytes()))
    })
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "log-in of tenant {}{}",
            self.tenant,
            if self.admin { " as admin" } else { "" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(Keys {
            admin: vec!["boss".into()],
            default: vec!["everyone".into()],
            tenants: BTreeMap::from([(TenantId(7), vec!["old".into(), "new".into()])]),
            tenant_limit: 100,
        })
    }

    #[track_caller]
    fn check(user: &str, key: &str, expected: Option<(u32, bool)>) {
        let proved = keyring().prove(user, key);
        assert_eq!(
            proved.map(|login| (login.tenant.0, login.admin)),
            expected,
            "{user} {key}"
        );
    }

    #[test]
    fn user_names_and_keys() {
        check("root", "everyone", Some((0, false)));
        check("0", "everyone", Some((0, false)));
        check("5", "everyone", Some((5, false)));
        check("7", "old", Some((7, false)));
        check("7", "new", Some((7, false)));
        check("7", "everyone", None);
        check("admin", "boss", Some((0, true)));
        check("admin", "everyone", None);
        check("root", "boss", None);
        check("root", "", None);
        check("nobody", "", None);
        check("07", "old", None);
        check("+7", "old", None);
        check("100", "everyone", None);
        check("", "everyone", None);
    }

    #[test]
    fn a_key_opens_other_tenants_only_where_it_is_theirs_too() {
        let keyring = keyring();
        assert!(keyring.opens("everyone", TenantId(5)));
        assert!(!keyring.opens("everyone", TenantId(7)));
        assert!(keyring.opens("new", TenantId(7)));
        assert!(!keyring.opens("new", TenantId(0)));
        assert!(keyring.opens("boss", TenantId(7)));
        assert!(!keyring.opens("boss", TenantId(100)));
        assert!(keyring.opens_all("boss"));
        assert!(!keyring.opens_all("everyone") && !keyring.opens_all("new"));
        let default = vec!["everyone".into()];
        let single = Keyring::new(Keys {
            default,
            ..Keys::default()
        });
        assert!(single.opens_all("everyone") && !single.opens_all("other"));
    }

    #[test]
    fn clones_see_a_reload_and_nothing_prints_a_key() {
        let keyring = keyring();
        let clone = keyring.clone();
        keyring.reload(Keys {
            default: vec!["next".into()],
            tenant_limit: 1,
            ..Keys::default()
        });
        assert!(clone.prove("root", "everyone").is_none());
        assert!(clone.prove("admin", "boss").is_none());
        let login = clone.prove("root", "next").unwrap();
        assert_eq!(format!("{login:?}"), "log-in of tenant 0");
    }
}
