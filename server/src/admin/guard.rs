//! Keeps out pages of other sites and those who don't have a key.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};

use super::Shared;
use crate::auth::Login;
use crate::metrics::Door;

/// Whether another site's page sent this. Browsers set both headers and pages can't forge them; programs send neither.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    // All of them: what a proxy in between added must not hide what the browser said.
    let all = |name: &str| {
        let values = headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap_or("?"))
    };
    let host = all(HOST.as_str()).next().unwrap_or_default();
    let is_own = |origin: &str| {
        let own = origin.split_once("://").map(|(_, rest)| rest);
        own.is_some_and(|own| own.eq_ignore_ascii_case(host))
    };
    let foreign_site = all("sec-fetch-site").any(|site| !matches!(site, "same-origin" | "none"));
    foreign_site || !all(ORIGIN.as_str()).all(is_own)
}

/// User name and key of HTTP basic authentication.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, key) = decoded.split_once(':')?;
    Some((user.to_owned(), key.to_owned()))
}

/// The log-in that these prove. A wrong key is answered late, a right one never is.
pub(super) async fn log_in(shared: &Shared, peer: IpAddr, user: &str, key: &str) -> Option<Login> {
    let login = shared.context.keyring.prove(user, key);
    let metrics = &shared.context.metrics;
    metrics.log_in(Door::Admin, login.is_some());
    if login.is_some() {
        shared.throttle.succeeded(peer, user);
    } else {
        tracing::warn!(user, %peer, "log-in failed");
        let wait = shared.throttle.failed(peer, user);
        metrics.log_in_waits(wait);
        tokio::time::sleep(wait).await;
    }
    login
}
