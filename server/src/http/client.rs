//! Who is at the other end: the facts that `users_in_pipes` and `SHOW CONNECTIONS` show.

use std::net::IpAddr;

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
