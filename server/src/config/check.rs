//! What a configuration gets wrong although every value is of the right kind, and what is allowed but unwise.

use std::net::SocketAddr;

use super::Config;
use crate::net::Network;

/// Shortest key that may be guessed at over a network.
const PUBLIC_KEY_LENGTH: usize = 16;
/// Shortest secret that an offline guess at a token's signature does not find.
const SECRET_LENGTH: usize = 32;

impl Config {
    /// Everything that is wrong, one sentence each; files that the configuration names are read.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        wrong.extend(self.check_keys());
        for (at, entry) in self.jwt_keys.iter().enumerate() {
            let number = at + 1;
            let result = entry.key(number);
            wrong.extend(result.err().map(|why| format!("jwt_keys[{number}]: {why}")));
        }
        for (at, entry) in self.channels.iter().enumerate() {
            let number = at + 1;
            let result = entry.rule(number);
            wrong.extend(result.err().map(|why| format!("channels[{number}]: {why}")));
        }
        for (section, certificate, key) in [
            ("http", &self.http.tls_certificate, &self.http.tls_key),
            ("mysql", &self.mysql.tls_certificate, &self.mysql.tls_key),
        ] {
            if certificate.is_empty() != key.is_empty() {
                wrong.push(format!(
                    "{section}: tls_certificate and tls_key come together"
                ));
            }
        }
        for (name, networks) in [
            ("http.trusted_proxies", &self.http.trusted_proxies),
            ("http.proxy_protocol", &self.http.proxy_protocol),
            ("mysql.proxy_protocol", &self.mysql.proxy_protocol),
        ] {
            let bad = networks.iter().filter_map(|n| n.parse::<Network>().err());
            wrong.extend(bad.map(|error| format!("{name}: {error}")));
        }
        if self.mysql.require_tls && self.mysql.tls_certificate.is_empty() {
            wrong.push("mysql.require_tls needs mysql.tls_certificate and mysql.tls_key".into());
        }
        if self.mysql.strangers == 0 {
            wrong.push("mysql.strangers = 0 would let nobody log in".into());
        }
        wrong.extend(self.cluster.check());
        if self.limits.statement_memory.0 / 2 < self.limits.insert.0 {
            wrong.push("limits.statement_memory must be at least twice limits.insert".into());
        }
        wrong
    }

    /// What is allowed but unwise, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let Ok(keys) = self.configured_keys() else {
            return warnings;
        };
        // The tenant's number has a digit at least; a key that we make is long enough.
        let short = |keys: &Vec<String>| keys.iter().any(|key| key.len() + 1 < SECRET_LENGTH);
        if self.legacy.derived_secret && (short(&keys.default) || keys.tenants.values().any(short))
        {
            warnings.push(format!(
                "a tenant's key is shorter than {SECRET_LENGTH} characters and also signs tokens of the original's \
                 protocol: whoever has a token can guess it offline. Use a longer key, or legacy.derived_secret = false"
            ));
        }
        let mysql = self.public_addresses().find(|(name, _)| *name == "mysql");
        if let Some((_, address)) = mysql
            && !self.mysql.require_tls
        {
            warnings.push(format!(
                "mysql.listen = {address} is reachable from other machines without TLS: statements can be read on the \
                 way. Set mysql.require_tls = true, unless that network is yours alone"
            ));
        }
        warnings.extend(self.cluster.warnings());
        for (at, entry) in self.jwt_keys.iter().enumerate() {
            if let Some(secret) = &entry.secret
                && secret.len() < SECRET_LENGTH
            {
                let number = at + 1;
                warnings.push(format!(
                    "jwt_keys[{number}]: the secret is shorter than {SECRET_LENGTH} characters"
                ));
            }
        }
        warnings
    }

    fn check_keys(&self) -> Vec<String> {
        let keys = match self.configured_keys() {
            Ok(keys) => keys,
            Err(problem) => return vec![problem],
        };
        let short = |keys: &Vec<String>| keys.iter().any(|key| key.len() < PUBLIC_KEY_LENGTH);
        let any_short =
            short(&keys.default) || short(&keys.admin) || keys.tenants.values().any(short);
        if !any_short {
            return Vec::new();
        }
        self.public_addresses()
            .map(|(section, address)| {
                format!(
                    "{section}.listen = {address} is reachable from other machines, and a key has fewer than \
                     {PUBLIC_KEY_LENGTH} characters: use a longer key, or listen on 127.0.0.1"
                )
            })
            .collect()
    }

    fn public_addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        [
            ("http", self.http.listen),
            ("mysql", self.mysql.listen),
            ("admin", self.admin.listen),
        ]
        .into_iter()
        .filter_map(|(section, listen)| Some((section, listen?)))
        .filter(|(_, listen)| !listen.ip().to_canonical().is_loopback())
    }
}
