//! How sections that hold keys and secrets print themselves: without them.

use std::fmt;

use super::{AdminSection, AuthSection, ClusterSection, JwtEntry, TenantSection};

impl fmt::Debug for AdminSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminSection")
            .field("listen", &self.listen)
            .field("on_http", &self.on_http)
            .field("keys", &self.keys.len())
            .field("session", &self.session)
            .finish()
    }
}

impl fmt::Debug for AuthSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthSection")
            .field("has_key", &!self.key.is_empty())
            .field("key_file", &self.key_file)
            .field("user_data", &self.user_data)
            .finish()
    }
}

impl fmt::Debug for ClusterSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSection")
            .field("nats", &self.nats.len())
            .field("name", &self.name)
            .field("has_password", &!self.password.is_empty())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TenantSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantSection")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for JwtEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtEntry")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .field("has_secret", &self.secret.is_some())
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn no_key_is_printed() {
        let text = "[admin]\nkeys = ['hush1']\n[auth]\nkey = 'hush2'\n[tenants.7]\nkeys = ['hush3']\n\
            [cluster]\nnats = ['nats://name:hush6@a']\npassword = 'hush7'\n[[jwt_keys]]\nsecret = 'hush4'\njwks_url = 'https://name:hush5@example.com/'\n";
        let printed = format!("{:?}", parse("", text).unwrap());
        assert!(!printed.contains("hush"), "{printed}");
        assert!(printed.contains("has_key: true"), "{printed}");
    }
}
