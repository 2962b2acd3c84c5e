//! Which pages may use the browser port: the `Origin` header that browsers send and pages can't forge.

/// Allowed origins. The default allows all, as the original did: nothing here depends on cookies, so a foreign page can
/// do no more than any program could.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origins {
    /// All.
    #[default]
    Any,
    /// These, like `https://example.com`; `*.` in front of the host stands for its subdomains.
    Listed(Vec<String>),
}

impl Origins {
    /// Reads a configured list; `*` in it allows all.
    #[must_use]
    pub fn from_list(list: Vec<String>) -> Self {
        if list.iter().any(|origin| origin == "*") {
            Self::Any
        } else {
            Self::Listed(list)
        }
    }

    /// Whether a request with this `Origin` may have a session. Requests without one are no browser's.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>) -> bool {
        match (self, origin) {
            (Self::Any, _) | (_, None) => true,
            (Self::Listed(list), Some(origin)) => list.iter().any(|entry| matches(entry, origin)),
        }
    }
}

fn matches(entry: &str, origin: &str) -> bool {
    let entry = entry.trim_end_matches('/');
    match entry.split_once("*.") {
        None => entry.eq_ignore_ascii_case(origin),
        Some((scheme, host)) => {
            let (entry_scheme, tail) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
            let origin = origin.to_ascii_lowercase();
            origin
                .strip_prefix(&entry_scheme)
                .and_then(|rest| rest.strip_suffix(&tail))
                .is_some_and(|sub| sub.len() > 1 && sub.ends_with('.') && !sub.contains('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &[&str], origin: Option<&str>, expected: bool) {
        let origins = Origins::from_list(list.iter().map(ToString::to_string).collect());
        assert_eq!(origins.allow(origin), expected, "{list:?} {origin:?}");
    }

    #[test]
    fn origins() {
        check(&["*"], Some("https://any.example"), true);
        check(&[], Some("https://any.example"), false);
        check(&[], None, true);
        check(&["https://a.example"], Some("https://a.example"), true);
        check(&["https://a.example/"], Some("https://A.example"), true);
        check(&["https://a.example"], Some("http://a.example"), false);
        check(
            &["https://a.example"],
            Some("https://a.example.evil"),
            false,
        );
        check(&["https://a.example"], Some("null"), false);
        check(&["https://*.a.example"], Some("https://b.a.example"), true);
        check(
            &["https://*.a.example"],
            Some("https://c.b.a.example"),
            true,
        );
        check(&["https://*.a.example"], Some("https://a.example"), false);
        check(
            &["https://*.a.example"],
            Some("https://evila.example"),
            false,
        );
        check(
            &["https://*.a.example"],
            Some("https://x/.a.example"),
            false,
        );
    }
}
