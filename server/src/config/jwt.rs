//! `[[jwt_keys]]`: keys that sign the tokens of browsers.

use std::path::Path;

use cometql_protocol::TenantId;
use serde::{Deserialize, Serialize};

use super::units::Span;
use crate::auth::{Algorithm, JwtKey, KeySource};

/// Most that clocks may differ.
const LEEWAY_MAX: Span = Span::seconds(60);
/// How often a key set at an address is fetched unless the entry says otherwise.
const REFRESH: Span = Span::seconds(300);

/// One entry: exactly one of `secret`, `secret_file`, `public_key_file`, `jwks_file` and `jwks_url`.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtEntry {
    /// The key id (`kid`) that tokens must have.
    pub id: Option<String>,
    /// The one algorithm that the key is for.
    pub algorithm: Option<Algorithm>,
    /// The secret itself (HS256).
    pub secret: Option<String>,
    /// A file with the secret (HS256).
    pub secret_file: Option<String>,
    /// A PEM file with a public key.
    pub public_key_file: Option<String>,
    /// A file with a JSON Web Key Set.
    pub jwks_file: Option<String>,
    /// The address of a JSON Web Key Set.
    pub jwks_url: Option<String>,
    /// How often it is fetched.
    pub refresh: Option<Span>,
    /// Whose tokens it signs.
    pub tenant: Option<u32>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must be or contain.
    pub audience: Option<String>,
    /// How much clocks may differ.
    pub leeway: Option<Span>,
}

impl JwtEntry {
    /// The key, with its files read. `number` counts entries from 1.
    ///
    /// # Errors
    /// What is wrong with the entry or a file.
    pub fn key(&self, number: usize) -> Result<JwtKey, String> {
        let leeway = self.leeway.unwrap_or(Span(0));
        if leeway > LEEWAY_MAX {
            return Err(format!("leeway is at most {LEEWAY_MAX}"));
        }
        let source = self.source()?;
        let secret = matches!(source, KeySource::Secret(_));
        Ok(JwtKey {
            name: format!("jwt_keys[{number}]"),
            id: self.id.clone(),
            algorithm: self.algorithm.or(secret.then_some(Algorithm::HS256)),
            source,
            tenant: self.tenant.map(TenantId),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            leeway_s: leeway.0 / 1000,
        })
    }

    fn source(&self) -> Result<KeySource, String> {
        let mut sources = Vec::new();
        if let Some(secret) = &self.secret {
            sources.push(KeySource::Secret(secret.clone()));
        }
        if let Some(file) = &self.secret_file {
            let secret = read(file)?.trim_end_matches(['\r', '\n']).to_owned();
            sources.push(KeySource::Secret(secret));
        }
        if let Some(file) = &self.public_key_file {
            sources.push(KeySource::Pem(read(file)?));
        }
        if let Some(file) = &self.jwks_file {
            sources.push(KeySource::Jwks(read(file)?));
        }
        if let Some(url) = &self.jwks_url {
            let refresh_s = self.refresh.unwrap_or(REFRESH).0 / 1000;
            let url = url.clone();
            sources.push(KeySource::JwksUrl { url, refresh_s });
        }
        match (sources.pop(), sources.is_empty()) {
            (Some(KeySource::Secret(secret)), true) if secret.is_empty() => {
                Err("the secret is empty".into())
            }
            (Some(source), true) => Ok(source),
            _ => Err(
                "needs exactly one of secret, secret_file, public_key_file, jwks_file and jwks_url"
                    .into(),
            ),
        }
    }
}

/// Reads a file that the configuration names.
pub(super) fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(Path::new(file)).map_err(|error| format!("can't read {file}: {error}"))
}
