//! The path of the original's endpoint: `/ws/sesion=K&myid=U&devid=D&v=M.N&uuid=X&api=js` (sic).
//!
//! Fields count by their place, not by their label, as in the original; missing values arrive as the literal texts
//! `undefined` (client 4.08) or `null` (3.25).

use std::fmt;

use cometql_engine::Now;
use cometql_protocol::{TenantId, UserId};

use super::encode::{self, Data};

/// Longest session key, in bytes: a hash of at most 32, or a JWT.
pub const KEY_MAX: usize = 600;
/// Longest browser id, in bytes.
pub const UUID_MAX: usize = 32;
/// The original's default `dev_index_size`: larger tenant numbers count as tenant 0.
pub const LARGEST_TENANT: u32 = 100_000;

const PREFIXES: [&str; 4] = ["/ws/", "//ws/", "/comet-server/ws/", "//comet-server/ws/"];

/// What the URL of a connection says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyUrl {
    /// Whose page.
    pub tenant: TenantId,
    /// Who the page says its user is; `None` = anonymous.
    pub user: Option<UserId>,
    /// What proves it.
    pub key: Key,
    /// The client's version, major and minor.
    pub version: (u32, u32),
    /// The browser's own id, may be empty.
    pub uuid: Box<str>,
    /// True for the original's JavaScript client (`api=js`).
    pub is_js: bool,
}

/// A hash of `users_auth` or a JWT. Its `Debug` form tells nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Key(Box<str>);

impl Key {
    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True for what can be a JWT: three parts, of which the first begins a JSON object.
    #[must_use]
    pub fn looks_like_token(&self) -> bool {
        self.0.starts_with("eyJ") && self.0.bytes().filter(|byte| *byte == b'.').count() == 2
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why a URL was refused. The texts are the original's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No `=`, or a key that is too long.
    #[error("Error code 401(Invalid request, session ID not found)")]
    NoSession,
    /// No second field.
    #[error("Error code 401(Invalid request, the user ID can not be found)")]
    NoUser,
    /// No third field.
    #[error("Error code 406(Invalid request, no public key found [1])")]
    NoTenant,
    /// No fourth field, or not `digits.digits`.
    #[error("Error code 418(Invalid request Not assigned client api version)\n")]
    NoVersion,
}

impl UrlError {
    /// The original's number for it.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::NoSession | Self::NoUser => 401,
            Self::NoTenant => 406,
            Self::NoVersion => 418,
        }
    }

    /// The one text frame that the client gets, after the upgrade and before TCP is dropped. The version is not known
    /// then, so it is in the newer format, as in the original.
    #[must_use]
    pub fn frame(self, now: Now) -> String {
        let data = serde_json::json!({
            "error": self.to_string(),
            "error_code": self.code(),
            "info": "Closed due to error. See last message.",
        });
        encode::system(Data::Json(data.to_string()), "error", now).encode(false)
    }
}

/// Whether a request target belongs to this endpoint.
#[must_use]
pub fn is_legacy(target: &str) -> bool {
    rest_of(target).is_some()
}

/// Reads a request target (path and query, as sent). `largest_tenant` is [`LARGEST_TENANT`] unless configured.
///
/// # Errors
/// When a field that the original needs is missing.
pub fn parse(target: &str, largest_tenant: u32) -> Result<LegacyUrl, UrlError> {
    let (_, rest) = rest_of(target)
        .unwrap_or(target)
        .split_once('=')
        .ok_or(UrlError::NoSession)?;
    let mut fields = rest.split('&');
    let key = fields.next().unwrap_or_default();
    if key.len() > KEY_MAX {
        return Err(UrlError::NoSession);
    }
    let user = value(fields.next().ok_or(UrlError::NoUser)?);
    let tenant = value(fields.next().ok_or(UrlError::NoTenant)?);
    let version = version(value(fields.next().ok_or(UrlError::NoVersion)?))?;
    let uuid = value(fields.next().unwrap_or_default());
    Ok(LegacyUrl {
        tenant: tenant_id(tenant, largest_tenant),
        user: user.parse().ok().and_then(UserId::new),
        key: Key(present(key).into()),
        version,
        uuid: present(cut(uuid, UUID_MAX)).into(),
        is_js: fields.any(|field| field == "api=js"),
    })
}

fn rest_of(target: &str) -> Option<&str> {
    PREFIXES
        .iter()
        .find_map(|prefix| target.strip_prefix(prefix))
}

/// What follows the label of a field.
fn value(field: &str) -> &str {
    field.split_once('=').map_or(field, |(_, value)| value)
}

/// Empty for the texts that JavaScript writes in place of a missing value.
fn present(text: &str) -> &str {
    if matches!(text, "undefined" | "null") {
        ""
    } else {
        text
    }
}

fn tenant_id(text: &str, largest: u32) -> TenantId {
    TenantId(
        text.parse()
            .ok()
            .filter(|number| *number <= largest)
            .unwrap_or(0),
    )
}

fn version(text: &str) -> Result<(u32, u32), UrlError> {
    let (major, minor) = text.split_once('.').ok_or(UrlError::NoVersion)?;
    match (digits(major), digits(minor)) {
        (Some(major), Some(minor)) => Ok((major, minor)),
        _ => Err(UrlError::NoVersion),
    }
}

/// Digits only: `parse` alone would take a sign too.
fn digits(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests;
