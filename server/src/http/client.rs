//! Who is at the other end: the facts that `users_in_pipes` and `SHOW CONNECTIONS` show.

use std::net::{IpAddr, SocketAddr};

use crate::net::Network;
use cometql_engine::ClientInfo;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_LANGUAGE, HeaderName, ORIGIN, USER_AGENT};

/// Longest kept `User-Agent` and `Origin`, in bytes.
const TEXT_BYTES: usize = 250;
/// Longest kept `Accept-Language`, in bytes.
const LANGUAGE_BYTES: usize = 64;

/// What the headers tell.
pub(super) fn info(headers: &HeaderMap, address: IpAddr) -> ClientInfo {
    ClientInfo {
        address,
        agent: kept(headers, &USER_AGENT, TEXT_BYTES),
        origin: kept(headers, &ORIGIN, TEXT_BYTES),
        language: kept(headers, &ACCEPT_LANGUAGE, LANGUAGE_BYTES),
        uuid: Box::default(),
    }
}

/// Who spoke first: the peer, or, through proxies that we believe, the nearest address in `X-Forwarded-For` that is none
/// of them. What a stranger put in front of that counts for nothing.
pub(super) fn address(headers: &HeaderMap, peer: IpAddr, believed: &[Network]) -> IpAddr {
    let is_proxy = |address: IpAddr| believed.iter().any(|network| network.contains(address));
    let mut nearest = peer;
    let named: Vec<_> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for name in named.into_iter().rev() {
        if !is_proxy(nearest) {
            break;
        }
        let Some(address) = read_address(name.trim()) else {
            break;
        };
        nearest = address;
    }
    nearest
}

/// An address, perhaps with a port.
fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

fn kept(headers: &HeaderMap, name: &HeaderName, most: usize) -> Box<str> {
    let Some(value) = headers.get(name) else {
        return Box::default();
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    value[..value.floor_char_boundary(most)].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[track_caller]
    fn check_address(forwarded: &[&str], peer: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let believed = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let seen = address(&headers, peer.parse().unwrap(), &believed);
        assert_eq!(seen, expected.parse::<IpAddr>().unwrap(), "{forwarded:?}");
    }

    #[test]
    fn forwarded_addresses() {
        check_address(&[], "10.0.0.1", "10.0.0.1");
        check_address(&["1.2.3.4"], "10.0.0.1", "1.2.3.4");
        check_address(&["1.2.3.4"], "5.6.7.8", "5.6.7.8");
        check_address(&["9.9.9.9, 1.2.3.4, 10.0.0.2"], "10.0.0.1", "1.2.3.4");
        check_address(&["9.9.9.9", "1.2.3.4"], "10.0.0.1", "1.2.3.4");
        check_address(&["nonsense, 10.0.0.3"], "10.0.0.1", "10.0.0.3");
        check_address(&["1.2.3.4:55"], "::1", "1.2.3.4");
        check_address(&["[2001:db8::1]:55"], "::1", "2001:db8::1");
        check_address(&["[2001:db8::1]"], "::1", "2001:db8::1");
    }

    #[test]
    fn headers_are_kept_up_to_a_length() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, "a".repeat(300).parse().unwrap());
        headers.insert(ACCEPT_LANGUAGE, "de, en".parse().unwrap());
        let info = info(&headers, Ipv4Addr::LOCALHOST.into());
        assert_eq!(info.agent.len(), 250);
        assert_eq!(&*info.language, "de, en");
        assert_eq!(&*info.origin, "");
    }
}
