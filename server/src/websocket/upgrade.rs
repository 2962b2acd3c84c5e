//! The opening handshake (RFC 6455 §4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{HeaderMap, Method, Version};

/// Why a request is no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// It does not ask for one.
    #[error("this address speaks WebSocket: send an upgrade request")]
    NotAnUpgrade,
    /// It asks for another version of RFC 6455.
    #[error("only Sec-WebSocket-Version 13 is spoken here")]
    Version,
    /// The key is missing or not 16 bytes in base64.
    #[error("Sec-WebSocket-Key is missing or malformed")]
    Key,
}

/// What the server answers in `Sec-WebSocket-Accept`.
///
/// # Errors
/// See [`UpgradeError`].
pub(crate) fn accept_key(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<String, UpgradeError> {
    let upgrade =
        has_token(headers, &UPGRADE, "websocket") && has_token(headers, &CONNECTION, "upgrade");
    if method != Method::GET || version != Version::HTTP_11 || !upgrade {
        return Err(UpgradeError::NotAnUpgrade);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return Err(UpgradeError::Version);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(UpgradeError::Key)?;
    let nonce = STANDARD.decode(key).map_err(|_| UpgradeError::Key)?;
    if nonce.len() != 16 {
        return Err(UpgradeError::Key);
    }
    Ok(tungstenite::handshake::derive_accept_key(key.as_bytes()))
}

/// Whether a header that is a list of words has this one.
fn has_token(headers: &HeaderMap, name: &hyper::header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `change` = a header to replace or (with an empty value) to leave out.
    #[track_caller]
    fn check(change: (&'static str, &'static str), expected: Result<&str, UpgradeError>) {
        let usual = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in usual {
            headers.insert(name, value.parse().unwrap());
        }
        headers.remove(change.0);
        if !change.1.is_empty() {
            headers.insert(change.0, change.1.parse().unwrap());
        }
        let seen = accept_key(&Method::GET, Version::HTTP_11, &headers);
        assert_eq!(
            seen.as_deref().map_err(|error| *error),
            expected,
            "{change:?}"
        );
    }

    #[test]
    fn handshakes() {
        // The example of RFC 6455 §1.3.
        check(("x", ""), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        check(
            ("connection", "upgrade"),
            Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        );
        check(("upgrade", ""), Err(UpgradeError::NotAnUpgrade));
        check(("upgrade", "h2c"), Err(UpgradeError::NotAnUpgrade));
        check(
            ("connection", "keep-alive"),
            Err(UpgradeError::NotAnUpgrade),
        );
        check(("sec-websocket-version", "8"), Err(UpgradeError::Version));
        check(("sec-websocket-version", ""), Err(UpgradeError::Version));
        check(("sec-websocket-key", ""), Err(UpgradeError::Key));
        check(("sec-websocket-key", "c2hvcnQ="), Err(UpgradeError::Key));
        check(("sec-websocket-key", "?"), Err(UpgradeError::Key));
        let none = accept_key(&Method::POST, Version::HTTP_11, &HeaderMap::new());
        assert_eq!(none, Err(UpgradeError::NotAnUpgrade));
    }
}
