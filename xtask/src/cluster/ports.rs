//! Addresses for the programs of a cluster, and whether what should listen there does. Starts nothing.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// From where HAProxy speaks to nodes, which expect the PROXY protocol from there and from nowhere else.
pub(crate) const BALANCER: &str = "127.0.0.2";
/// How often something is looked at again.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a healthy program takes to answer, at the very most.
const ANSWER: Duration = Duration::from_secs(2);
/// No look takes longer than this where programs run: one was asked, and did not answer.
const LOOK: Duration = Duration::from_secs(5);
/// Ports that the system gives to no client: while a server is dead, a client that tries to connect to a port of the system's
/// own range may be given this very port, and is then connected to itself.
const QUIET: std::ops::Range<u16> = 20_000..30_000;

/// So many free ports of the loopback interface, all different.
pub(crate) fn quiet_ports(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let mut held = Vec::new();
    // Two who look at the same time shall not look at the same place, though their numbers are neighbours.
    let start = u16::try_from(std::process::id().wrapping_mul(101) % 10_000)?;
    for step in 0..QUIET.end - QUIET.start {
        if held.len() == count {
            break;
        }
        let port = QUIET.start + (start + step) % (QUIET.end - QUIET.start);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push(listener);
        }
    }
    ensure!(
        held.len() == count,
        "no {count} ports of {QUIET:?} are free"
    );
    let addresses = held.iter().map(TcpListener::local_addr);
    Ok(addresses.collect::<Result<_, _>>()?)
}

/// The status of an answer to a GET; none when there is no answer.
pub(crate) fn status(server: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: cluster\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

/// Waits until something is so. A time in which the whole machine stood still does not count.
pub(crate) fn until(
    what: &str,
    most: Duration,
    mut done: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut waited = Duration::ZERO;
    let mut looked = Instant::now();
    while !done().with_context(|| what.to_owned())? {
        let now = Instant::now();
        waited += (now - looked).min(LOOK);
        looked = now;
        if waited > most {
            bail!("not within {most:?}: {what}");
        }
        std::thread::sleep(AGAIN);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_what_does_not_listen_has_no_status() {
        let ports = quiet_ports(3).unwrap();
        assert_ne!(ports[0], ports[1]);
        assert_ne!(ports[1], ports[2]);
        assert_eq!(status(ports[0], "/"), None);
    }

    #[test]
    fn a_status_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.1 503 No\r\n\r\n").unwrap();
        });
        assert_eq!(status(address, "/health?ready"), Some(503));
        server.join().unwrap();
    }
}
