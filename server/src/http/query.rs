//! The query of `/connect` and `/sse`: protocol version, tenant, channels.

use cometql_protocol::{TenantId, wire};

/// What the query says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Query {
    /// Whose session.
    pub(super) tenant: TenantId,
    /// Channels to subscribe to at once, in their order.
    pub(super) channels: Vec<String>,
    /// Whether private messages are wanted.
    pub(super) inbox: bool,
}

/// Why a query was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    /// The version is missing or unknown.
    #[error("this server speaks version {known} of the protocol: connect with ?v={known}", known = wire::VERSION)]
    Version,
    /// The tenant is no number, or there is none of it.
    #[error("there is no such tenant: it must be a number up to {0}")]
    Tenant(u32),
    /// A secret in a place that gets logged by every proxy.
    #[error(
        "tokens do not belong into URLs: send a connect request, or the header Authorization: Bearer …"
    )]
    Token,
}

/// Reads a query. Unknown names are left to later versions.
pub(super) fn parse(query: &str, largest_tenant: u32) -> Result<Query, QueryError> {
    let mut parsed = Query::default();
    let mut version = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "v" => version = value.parse::<u32>().ok(),
            "tenant" => {
                let tenant = value.parse().ok().filter(|n| *n <= largest_tenant);
                parsed.tenant = TenantId(tenant.ok_or(QueryError::Tenant(largest_tenant))?);
            }
            "channels" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                parsed.channels.extend(names.map(str::to_owned));
            }
            "inbox" => parsed.inbox = value == "1" || value == "true",
            "token" | "access_token" | "hash" => return Err(QueryError::Token),
            _ => {}
        }
    }
    if version != Some(wire::VERSION) {
        return Err(QueryError::Version);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<(u32, &[&str]), QueryError>) {
        let seen = parse(query, 99);
        let seen = seen.map(|query| (query.tenant.0, query.channels));
        let expected = expected.map(|(tenant, channels)| {
            let channels: Vec<_> = channels.iter().map(ToString::to_string).collect();
            (tenant, channels)
        });
        assert_eq!(seen, expected, "{query:?}");
    }

    #[test]
    fn queries() {
        check("v=1", Ok((0, &[])));
        check("v=1&tenant=7", Ok((7, &[])));
        check(
            "channels=web_a,news%3Asport&v=1",
            Ok((0, &["web_a", "news:sport"])),
        );
        check("v=1&channels=a&channels=,b,", Ok((0, &["a", "b"])));
        check("v=1&other=x", Ok((0, &[])));
        check("", Err(QueryError::Version));
        check("v=2", Err(QueryError::Version));
        check("v=one", Err(QueryError::Version));
        check("v=1&tenant=-1", Err(QueryError::Tenant(99)));
        check("v=1&tenant=99", Ok((99, &[])));
        check("v=1&tenant=100", Err(QueryError::Tenant(99)));
        check("v=1&token=x", Err(QueryError::Token));
    }
}
