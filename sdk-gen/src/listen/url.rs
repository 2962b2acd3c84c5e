//! Where a node's browser port is: urls, as users write them.

use std::fmt;

use tokio_tungstenite::tungstenite::http::Uri;

use crate::CometError;

/// A node's browser port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    secure: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// As it stands in the url: `host` or `host:port`.
    authority: String,
    /// What is asked for.
    target: String,
}

impl Address {
    /// Reads `ws://…`, `wss://…`, `http://…` or `https://…`; a path leads to where a proxy has the port.
    pub(super) fn parse(url: &str, tenant: u32) -> Result<Self, CometError> {
        let wrong = |what: &str| CometError::invalid(format!("the url {url:?} {what}"));
        let uri: Uri = url.parse().map_err(|_| wrong("is none"))?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(wrong("begins with neither ws:// nor wss://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("has a user in it, who belongs into the credentials"));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query"));
        }
        let host = authority.host().trim_matches(['[', ']']);
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.to_string(),
            target: format!("{path}/connect?v=1&tenant={tenant}"),
        })
    }

    /// With TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Where to connect.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Where to connect.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Without what is asked for there: as users know it.
    pub(super) fn base(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}", self.authority)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<(&str, u16, &str)>) {
        let address = Address::parse(url, 0).ok();
        let found = address
            .as_ref()
            .map(|address| (address.host(), address.port(), &*address.target));
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn urls() {
        let plain = "/connect?v=1&tenant=0";
        check("ws://a:8087", Some(("a", 8087, plain)));
        check("ws://a:8087/", Some(("a", 8087, plain)));
        check("http://127.0.0.1", Some(("127.0.0.1", 80, plain)));
        check("wss://[::1]:9", Some(("::1", 9, plain)));
        check(
            "https://a.example/x/",
            Some(("a.example", 443, "/x/connect?v=1&tenant=0")),
        );
        for url in [
            "",
            "a:8087",
            "tcp://a",
            "ws://u:p@a",
            "ws://a/?token=x",
            "/connect",
            "ws://",
        ] {
            check(url, None);
        }
    }
}
