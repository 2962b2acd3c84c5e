//! The PROXY protocol, versions 1 and 2: who really speaks, said by a proxy that we trust.
//!
//! Reads exactly the header and not a byte more, so that whatever reads the stream next starts at its own first byte.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Network;

/// The shortest header of either version: `PROXY UNKNOWN\r\n`.
const SHORTEST: usize = 15;
/// The longest header of version 1, in bytes (PROXY protocol specification, 2.1).
const LONGEST_V1: usize = 107;
/// The fixed part of version 2, which ends with the length of the rest.
const FIXED_V2: usize = 16;
/// Most bytes of a version 2 header that we read: addresses and a certificate's common name fit many times.
const LONGEST_V2: usize = 4096;

/// Who speaks on a new connection: the peer itself, or whom it names if it is one of the proxies. These must send the
/// header, since guessing would let anybody behind them forge one.
///
/// # Errors
/// If a proxy sends something else.
pub async fn client_address(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    proxies: &[Network],
) -> io::Result<SocketAddr> {
    if !proxies.iter().any(|network| network.contains(peer.ip())) {
        return Ok(peer);
    }
    let header = read_header(stream).await?;
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let (header, _) = ProxyHeader::parse(&header, config).map_err(invalid)?;
    Ok(header.proxied_address().map_or(peer, |named| named.source))
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\r\n") {
            if header.len() == LONGEST_V1 {
                return Err(invalid("the header is too long"));
            }
            header.push(stream.read_u8().await?);
        }
    } else if header.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        header.push(stream.read_u8().await?);
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if rest > LONGEST_V2 {
            return Err(invalid("the header is too long"));
        }
        header.resize(FIXED_V2 + rest, 0);
        stream.read_exact(&mut header[FIXED_V2..]).await?;
    } else {
        return Err(invalid("a PROXY protocol header was expected"));
    }
    Ok(header)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1:99";

    async fn read(mut input: &[u8]) -> (io::Result<SocketAddr>, Vec<u8>) {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let address = client_address(&mut input, PEER.parse().unwrap(), &proxies).await;
        (address, input.to_vec())
    }

    #[track_caller]
    fn check((address, rest): (io::Result<SocketAddr>, Vec<u8>), expected: &str) {
        assert_eq!(address.unwrap(), expected.parse().unwrap());
        assert_eq!(rest, b"next", "what follows the header stays");
    }

    #[tokio::test]
    async fn version_1_names_the_client() {
        check(
            read(b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 3307\r\nnext").await,
            "192.0.2.1:5000",
        );
        check(
            read(b"PROXY TCP6 2001:db8::1 ::1 5000 3307\r\nnext").await,
            "[2001:db8::1]:5000",
        );
        check(read(b"PROXY UNKNOWN\r\nnext").await, PEER);
    }

    #[tokio::test]
    async fn version_2_names_the_client() {
        let signature = b"\r\n\r\n\0\r\nQUIT\n";
        let v4 = b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x13\x88\x0c\xeb";
        let input = [&signature[..], v4, b"next"].concat();
        check(read(&input).await, "192.0.2.1:5000");
        let local = [&signature[..], b"\x20\x00\x00\x00next"].concat();
        check(read(&local).await, PEER);
    }

    #[tokio::test]
    async fn anything_else_from_a_proxy_is_refused() {
        assert!(read(b"GET / HTTP/1.1\r\n\r\n").await.0.is_err());
        assert!(read(b"PROXY TCP4 x y 1 2\r\nnext").await.0.is_err());
        assert!(
            read(&[&b"PROXY "[..], &[b'x'; 200]].concat())
                .await
                .0
                .is_err()
        );
        assert!(read(b"PROXY TCP4 192.").await.0.is_err());
    }

    #[tokio::test]
    async fn others_are_not_asked() {
        let mut input = &b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 3307\r\n"[..];
        let peer = "192.0.2.9:1".parse().unwrap();
        let address = client_address(&mut input, peer, &[]).await.unwrap();
        assert_eq!(address, peer);
    }
}
