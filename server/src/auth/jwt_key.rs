//! Keys that sign the tokens of browsers: where they come from, and which algorithm each is for.

use std::collections::HashSet;
use std::fmt;

use cometql_protocol::TenantId;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation};
use serde::{Deserialize, Serialize};

/// The signatures that are accepted. Each key is for one of them, whatever a token's header says: otherwise the public
/// key of an RS256 signer could be used as the secret of an HS256 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// A secret that both sides share.
    HS256,
    /// RSA.
    RS256,
    /// Elliptic curve P-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// A configured `[[jwt_keys]]` entry.
#[derive(Clone, PartialEq, Eq)]
pub struct JwtKey {
    /// What logs call it.
    pub name: String,
    /// Tokens must name it, if it is set; a token that names another is not checked against it.
    pub id: Option<String>,
    /// The algorithm; `None` only for key sets, which say it themselves.
    pub algorithm: Option<Algorithm>,
    /// Where the key material is.
    pub source: KeySource,
    /// Whose tokens it signs; `None` = all tenants', and then the token must say whose unless it is tenant 0's.
    pub tenant: Option<TenantId>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must be or contain.
    pub audience: Option<String>,
    /// How many seconds clocks may differ, at most 60.
    pub leeway_s: u64,
}

/// Where key material is.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The secret itself (HS256).
    Secret(String),
    /// The text of a PEM file with a public key.
    Pem(String),
    /// The text of a JWKS file.
    Jwks(String),
    /// The address of a JWKS document, fetched again every so many seconds.
    JwksUrl {
        /// `https`, or `http` to this machine.
        url: String,
        /// Seconds between two fetches.
        refresh_s: u64,
    },
}

/// Why key material can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("jwt key {name}: {problem}")]
pub struct BadKey {
    /// The entry's name.
    pub name: String,
    /// What is wrong.
    pub problem: String,
}

/// A key that is ready to verify.
pub(super) struct Verifier {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl Algorithm {
    pub(super) fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl JwtKey {
    /// The keys of this entry that need no fetch; none for an address.
    pub(super) fn verifiers(&self) -> Result<Vec<Verifier>, BadKey> {
        let (algorithm, key) = match (&self.source, self.algorithm) {
            (KeySource::JwksUrl { .. }, _) => return Ok(Vec::new()),
            (KeySource::Jwks(text), _) => return self.key_set(text, true),
            (_, None) => return Err(self.bad("needs an algorithm")),
            (KeySource::Secret(secret), Some(Algorithm::HS256)) => (
                Algorithm::HS256,
                DecodingKey::from_secret(secret.as_bytes()),
            ),
            (KeySource::Secret(_), Some(_)) => {
                return Err(self.bad("a secret is for HS256; the others need a public key"));
            }
            (KeySource::Pem(pem), Some(algorithm)) => (algorithm, self.pem_key(pem, algorithm)?),
        };
        let id = self.id.clone();
        Ok(vec![Verifier { id, algorithm, key }])
    }

    /// The usable keys of a key set. A secret in a document that was fetched would be no secret.
    pub(super) fn key_set(
        &self,
        text: &str,
        secrets_allowed: bool,
    ) -> Result<Vec<Verifier>, BadKey> {
        let set: JwkSet = serde_json::from_str(text)
            .map_err(|error| self.bad(&format!("is not a JSON Web Key Set: {error}")))?;
        let verifiers: Vec<_> = set
            .keys
            .iter()
            .filter_map(|jwk| jwk_verifier(jwk, secrets_allowed))
            .filter(|key| self.algorithm.is_none_or(|pinned| pinned == key.algorithm))
            .filter(|key| self.id.is_none() || key.id == self.id)
            .collect();
        if verifiers.is_empty() {
            return Err(self.bad("the key set has no usable key (HS256, RS256, ES256 or EdDSA)"));
        }
        Ok(verifiers)
    }

    /// What a token of this entry must satisfy.
    pub(super) fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm.of_library());
        validation.leeway = self.leeway_s;
        validation.validate_nbf = true;
        let mut required = HashSet::from(["exp".to_owned()]);
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.insert("iss".to_owned());
        }
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.insert("aud".to_owned());
        }
        // Without a configured audience the library would refuse every token that has one.
        validation.validate_aud = self.audience.is_some();
        validation.required_spec_claims = required;
        validation
    }

    fn pem_key(&self, pem: &str, algorithm: Algorithm) -> Result<DecodingKey, BadKey> {
        if pem.contains("PRIVATE KEY") {
            return Err(self.bad("the file has a private key: give only the public one"));
        }
        let pem = pem.as_bytes();
        match algorithm {
            Algorithm::HS256 => return Err(self.bad("a PEM file can't be for HS256")),
            Algorithm::RS256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::ES256 => DecodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
        }
        .map_err(|error| {
            self.bad(&format!(
                "is no PEM public key for {algorithm:?} (begins with -----BEGIN PUBLIC KEY-----): {error}"
            ))
        })
    }

    fn bad(&self, problem: &str) -> BadKey {
        BadKey {
            name: self.name.clone(),
            problem: problem.to_owned(),
        }
    }
}

/// `None` for keys that encrypt, and for algorithms that we don't take: a set may well have some.
fn jwk_verifier(jwk: &Jwk, secrets_allowed: bool) -> Option<Verifier> {
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) if secrets_allowed => Algorithm::HS256,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let named = jwk.common.key_algorithm.map(|named| named.to_string());
    if named.is_some_and(|named| named != format!("{algorithm:?}")) {
        return None;
    }
    Some(Verifier {
        id: jwk.common.key_id.clone(),
        algorithm,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jwt key {}", self.name)
    }
}
