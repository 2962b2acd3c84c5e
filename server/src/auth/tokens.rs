//! Verifies the tokens (JWT) of browsers. Whether one was revoked is the store's knowledge, not ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use cometql_protocol::{TenantId, UserId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Header};
use serde_json::{Map, Value};

use super::jwks::Source;
use super::jwt_key::{Algorithm, BadKey, JwtKey, KeySource, Verifier};
use super::keyring::Keyring;

/// Longest token, in bytes. Ten times what identity providers make.
const TOKEN_BYTES: usize = 16 << 10;

/// What is configured about tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenSettings {
    /// In the order of the configuration.
    pub keys: Vec<JwtKey>,
    /// Whether the original's endpoint accepts tokens signed with the SQL key followed by the tenant's number.
    pub derived_secret: bool,
}

/// Verifies the tokens of browsers: which keys, which algorithms. Cheap to clone; all clones see a reload.
#[derive(Clone, Default)]
pub struct Tokens {
    pub(super) inner: Arc<Inner>,
}

#[derive(Default)]
pub(super) struct Inner {
    sources: ArcSwap<Vec<Arc<Source>>>,
    derived_secret: AtomicBool,
    keyring: Keyring,
    /// Tells the fetcher of key sets to look again.
    pub(super) wake: tokio::sync::Notify,
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub user: UserId,
    /// Unix seconds after which it is refused: `exp` plus the key's leeway.
    pub expires: u64,
    /// Its claims, sorted by name: texts as they are, numbers and the like as JSON. A list gives one entry for each of
    /// its elements, so that a rule may ask for one of several roles.
    pub claims: Vec<(String, String)>,
}

/// Why a token is refused, the least telling first: of several keys that refuse it, the largest is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT, or one with an algorithm or extension that is not accepted.
    #[error("the token is not a JWT signed with HS256, RS256, ES256 or EdDSA")]
    Malformed,
    /// No key has its algorithm and key id.
    #[error("no key is configured for the token's algorithm and key id")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// A claim is missing or has the wrong type.
    #[error(
        "the token lacks a claim that is needed: exp, and iss and aud where they are configured"
    )]
    MissingClaim,
    /// `iss` is not the configured one.
    #[error("the token was issued by somebody else (iss)")]
    WrongIssuer,
    /// `aud` does not have the configured one.
    #[error("the token is for somebody else (aud)")]
    WrongAudience,
    /// `nbf` is in the future.
    #[error("the token is not valid yet (nbf)")]
    NotYetValid,
    /// `exp` has passed.
    #[error("the token has expired (exp)")]
    Expired,
    /// It is another tenant's.
    #[error("the token is for another tenant")]
    WrongTenant,
    /// Neither `sub` nor `user_id` is a user id.
    #[error("the token names no user: sub must be digits, or user_id a whole number, 1 to 2^53-1")]
    NoUser,
}

impl Tokens {
    /// A verifier with these keys; the keyring gives the SQL keys of which the original derived its secrets.
    ///
    /// # Errors
    /// When a key can't be used, by its name.
    pub fn new(settings: &TokenSettings, keyring: Keyring) -> Result<Self, BadKey> {
        let tokens = Self {
            inner: Arc::new(Inner {
                keyring,
                ..Inner::default()
            }),
        };
        tokens.reload(settings)?;
        Ok(tokens)
    }

    /// Puts other keys in force; key sets already fetched are kept. On an error nothing changes.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn reload(&self, settings: &TokenSettings) -> Result<(), BadKey> {
        let old = self.inner.sources.load();
        let sources = settings
            .keys
            .iter()
            .map(|key| match old.iter().find(|source| source.key == *key) {
                Some(source) if matches!(key.source, KeySource::JwksUrl { .. }) => {
                    Ok(Arc::clone(source))
                }
                _ => Source::new(key.clone()).map(Arc::new),
            })
            .collect::<Result<_, _>>()?;
        self.inner.sources.store(Arc::new(sources));
        self.inner
            .derived_secret
            .store(settings.derived_secret, Ordering::Relaxed);
        self.inner.wake.notify_one();
        Ok(())
    }

    /// The user of a token that is valid now for this tenant (revocation is not looked at); `None` for all others.
    #[must_use]
    pub fn user_of(&self, tenant: TenantId, token: &str) -> Option<UserId> {
        self.verify(tenant, token, true)
            .ok()
            .map(|verified| verified.user)
    }

    /// Verifies a token for a connection of this tenant; `legacy` on the original's endpoint.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(
        &self,
        tenant: TenantId,
        token: &str,
        legacy: bool,
    ) -> Result<Verified, TokenError> {
        let header = header(token)?;
        let mut worst = TokenError::UnknownKey;
        for source in self.inner.sources.load().iter() {
            for verifier in source.verifiers().iter().filter(|key| key.fits(&header)) {
                let result = check_signature(&source.key, verifier, token)
                    .and_then(|claims| accept(&source.key, &claims, tenant));
                match result {
                    Ok(verified) => return Ok(verified),
                    Err(error) => worst = worst.max(error),
                }
            }
        }
        if legacy && self.inner.derived_secret.load(Ordering::Relaxed) {
            match self.verify_derived(tenant, token, &header) {
                Ok(verified) => return Ok(verified),
                Err(error) => worst = worst.max(error),
            }
        }
        if worst == TokenError::UnknownKey && self.want_key_sets() {
            self.inner.wake.notify_one();
        }
        Err(worst)
    }

    pub(super) fn sources(&self) -> Arc<Vec<Arc<Source>>> {
        self.inner.sources.load_full()
    }

    /// The original: HS256 with the SQL key followed by the tenant's number, and an integer `user_id`.
    fn verify_derived(
        &self,
        tenant: TenantId,
        token: &str,
        header: &Header,
    ) -> Result<Verified, TokenError> {
        let mut worst = TokenError::UnknownKey;
        for key in self.inner.keyring.of(tenant) {
            let verifier = Verifier {
                id: None,
                algorithm: Algorithm::HS256,
                key: DecodingKey::from_secret(format!("{key}{tenant}").as_bytes()),
            };
            if !verifier.fits(header) {
                continue;
            }
            let rule = derived_key(tenant);
            let result = check_signature(&rule, &verifier, token).and_then(|claims| {
                whole_number(claims.get("user_id")).ok_or(TokenError::NoUser)?;
                accept(&rule, &claims, tenant)
            });
            match result {
                Ok(verified) => return Ok(verified),
                Err(error) => worst = worst.max(error),
            }
        }
        Err(worst)
    }

    /// Marks the key sets that were fetched: the token's key may be newer than they are.
    fn want_key_sets(&self) -> bool {
        let sources = self.inner.sources.load();
        sources
            .iter()
            .fold(false, |any, source| source.want() | any)
    }
}

impl Verifier {
    /// A key without an id is for tokens with any.
    fn fits(&self, header: &Header) -> bool {
        self.algorithm.of_library() == header.alg && (self.id.is_none() || self.id == header.kid)
    }
}

fn header(token: &str) -> Result<Header, TokenError> {
    if token.len() > TOKEN_BYTES {
        return Err(TokenError::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    // RFC 7515 §4.1.11: extensions marked critical must be understood, and we understand none.
    match header.crit {
        None => Ok(header),
        Some(_) => Err(TokenError::Malformed),
    }
}

fn check_signature(
    key: &JwtKey,
    verifier: &Verifier,
    token: &str,
) -> Result<Map<String, Value>, TokenError> {
    jsonwebtoken::decode(token, &verifier.key, &key.validation(verifier.algorithm))
        .map(|data| data.claims)
        .map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            ErrorKind::ImmatureSignature => TokenError::NotYetValid,
            ErrorKind::InvalidIssuer => TokenError::WrongIssuer,
            ErrorKind::InvalidAudience => TokenError::WrongAudience,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
                TokenError::MissingClaim
            }
            ErrorKind::InvalidSignature => TokenError::BadSignature,
            _ => TokenError::Malformed,
        })
}

/// Whose a token with a right signature is.
fn accept(
    key: &JwtKey,
    claims: &Map<String, Value>,
    tenant: TenantId,
) -> Result<Verified, TokenError> {
    let named = tenant_claim(claims)?;
    let home = key.tenant.or(named).unwrap_or_default();
    if home != tenant || named.is_some_and(|named| named != tenant) {
        return Err(TokenError::WrongTenant);
    }
    let user = user_claim(claims)?;
    let exp = seconds(claims.get("exp")).ok_or(TokenError::MissingClaim)?;
    Ok(Verified {
        user,
        expires: exp.saturating_add(key.leeway_s),
        claims: texts(claims),
    })
}

fn tenant_claim(claims: &Map<String, Value>) -> Result<Option<TenantId>, TokenError> {
    let mut found = None;
    for name in ["tenant", "dev_id"] {
        let Some(value) = claims.get(name) else {
            continue;
        };
        let number = whole_number(Some(value)).or_else(|| digits(value));
        let tenant = number
            .and_then(|number| u32::try_from(number).ok())
            .map(TenantId)
            .ok_or(TokenError::WrongTenant)?;
        if found.is_some_and(|other| other != tenant) {
            return Err(TokenError::WrongTenant);
        }
        found = Some(tenant);
    }
    Ok(found)
}

/// `sub` as digits, or the original's integer `user_id`. Two that differ would let two parts of a system disagree.
fn user_claim(claims: &Map<String, Value>) -> Result<UserId, TokenError> {
    let subject = claims.get("sub").and_then(digits);
    let user = whole_number(claims.get("user_id"));
    let number = match (subject, user) {
        (Some(subject), Some(user)) if subject != user => None,
        (subject, user) => subject.or(user),
    };
    number.and_then(UserId::new).ok_or(TokenError::NoUser)
}

fn whole_number(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_u64)
}

/// The canonical form only, so that one user has one name.
fn digits(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// RFC 7519 allows a fraction in times.
fn seconds(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| {
        let whole = value.as_f64()?.trunc();
        format!("{whole:.0}").parse().ok()
    })
}

fn texts(claims: &Map<String, Value>) -> Vec<(String, String)> {
    let mut texts = Vec::with_capacity(claims.len());
    for (name, value) in claims {
        match value {
            Value::Array(elements) => {
                texts.extend(elements.iter().map(|element| (name.clone(), text(element))));
            }
            value => texts.push((name.clone(), text(value))),
        }
    }
    texts.sort();
    texts
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn derived_key(tenant: TenantId) -> JwtKey {
    JwtKey {
        name: "derived secret".to_owned(),
        id: None,
        algorithm: Some(Algorithm::HS256),
        source: KeySource::Secret(String::new()),
        tenant: Some(tenant),
        issuer: None,
        audience: None,
        leeway_s: 0,
    }
}

#[cfg(test)]
mod tests;
