//! A MySQL client that is only fast: log in, send text statements, as many ahead as one likes, count OK packets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sha1::{Digest as _, Sha1};

/// `PROTOCOL_41 | CONNECT_WITH_DB | SECURE_CONNECTION | PLUGIN_AUTH | LONG_PASSWORD | TRANSACTIONS`.
const CAPABILITIES: u32 = 0x0000_0200 | 0x8 | 0x8000 | 0x0008_0000 | 0x1 | 0x2000;
const NATIVE: &[u8] = b"mysql_native_password\0";

/// A greeting or an answer that takes longer never comes: a server that is killed while it takes a connection may leave
/// one that nobody has the other end of.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Logs in as `root` with `mysql_native_password`.
pub(crate) fn log_in(server: SocketAddr, key: &str) -> anyhow::Result<TcpStream> {
    log_in_within(server, key, PATIENCE)
}

/// The same with a patience of one's own, for the log-in and what comes after it.
pub(crate) fn log_in_within(
    server: SocketAddr,
    key: &str,
    patience: Duration,
) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    let (number, greeting) = read_packet(&mut stream)?;
    let scramble = greeting_scramble(&greeting).context("the greeting is no MySQL greeting")?;
    let mut answer = Vec::new();
    answer.extend(CAPABILITIES.to_le_bytes());
    answer.extend((1_u32 << 24).to_le_bytes());
    answer.push(45);
    answer.extend([0; 23]);
    answer.extend(b"root\0");
    answer.push(20);
    answer.extend(native_password(key, &scramble));
    answer.extend(b"CometQL_v1\0");
    answer.extend(NATIVE);
    stream.write_all(&packet(number + 1, &answer))?;
    let (number, mut reply) = read_packet(&mut stream)?;
    if reply.first() == Some(&0xfe) {
        let again = reply[1..]
            .strip_prefix(NATIVE)
            .context("the server asks for another way to log in")?;
        let again = native_password(key, again.strip_suffix(&[0]).unwrap_or(again));
        stream.write_all(&packet(number + 1, &again))?;
        reply = read_packet(&mut stream)?.1;
    }
    check_ok(&reply)?;
    Ok(stream)
}

/// A statement as a packet.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(sql.len() + 1);
    payload.push(3);
    payload.extend(sql.as_bytes());
    packet(0, &payload)
}

/// An error packet becomes an error.
pub(crate) fn check_ok(payload: &[u8]) -> anyhow::Result<()> {
    match payload.first() {
        Some(0) => Ok(()),
        Some(0xff) => bail!(
            "the server refused: {}",
            String::from_utf8_lossy(payload.get(3..).unwrap_or_default())
        ),
        other => bail!("the server answered with a packet of kind {other:?}"),
    }
}

/// Takes whole packets off the front and checks that each is OK; returns how many.
pub(crate) fn take_answers(held: &mut Vec<u8>) -> anyhow::Result<usize> {
    let mut answers = 0;
    for answer in packets(held) {
        check_ok(&answer)?;
        answers += 1;
    }
    Ok(answers)
}

/// Takes whole packets off the front.
pub(crate) fn packets(held: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut at = 0;
    while let Some(header) = held.get(at..at + 4) {
        let length =
            usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        let Some(payload) = held.get(at + 4..at + 4 + length) else {
            break;
        };
        packets.push(payload.to_vec());
        at += 4 + length;
    }
    held.drain(..at);
    packets
}

/// Sends one statement and returns the number of warnings with which it was answered OK.
pub(crate) fn send_one(stream: &mut TcpStream, statement: &str) -> anyhow::Result<u16> {
    stream.write_all(&query(statement))?;
    let (_, reply) = read_packet(stream)?;
    check_ok(&reply)?;
    warnings(&reply).context("an OK packet without a number of warnings")
}

/// What an OK packet says: behind two numbers and the status.
pub(crate) fn warnings(ok: &[u8]) -> Option<u16> {
    let mut at = 1;
    for _ in 0..2 {
        at += match ok.get(at)? {
            0xfc => 3,
            0xfd => 4,
            0xfe => 9,
            _ => 1,
        };
    }
    let count = ok.get(at + 2..at + 4)?;
    Some(u16::from_le_bytes([count[0], count[1]]))
}

/// Sends `statements` so that at most `ahead` are unanswered.
pub(crate) fn insert_all(
    stream: &mut TcpStream,
    statements: &[String],
    ahead: usize,
) -> anyhow::Result<()> {
    let mut held = Vec::new();
    let mut scratch = vec![0; 65536];
    for batch in statements.chunks(ahead) {
        let packets: Vec<u8> = batch.iter().flat_map(|sql| query(sql)).collect();
        stream.write_all(&packets)?;
        let mut waiting = batch.len();
        while waiting > 0 {
            let length = stream.read(&mut scratch)?;
            ensure!(length > 0, "the server closed the MySQL connection");
            held.extend(&scratch[..length]);
            waiting -= take_answers(&mut held)?;
        }
    }
    Ok(())
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("statements here are short");
    let mut packet = length.to_le_bytes().to_vec();
    packet[3] = number;
    packet.extend(payload);
    packet
}

fn read_packet(stream: &mut TcpStream) -> anyhow::Result<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let number = header[3];
    header[3] = 0;
    let mut payload = vec![0; usize::try_from(u32::from_le_bytes(header))?];
    stream.read_exact(&mut payload)?;
    if payload.first() == Some(&0xff) {
        check_ok(&payload)?;
    }
    Ok((number, payload))
}

/// The 20 bytes from the two places of a protocol 10 greeting.
fn greeting_scramble(greeting: &[u8]) -> Option<Vec<u8>> {
    let version = greeting.iter().position(|byte| *byte == 0)?;
    let first = greeting.get(version + 5..version + 13)?;
    let second = greeting.get(version + 32..version + 44)?;
    Some([first, second].concat())
}

fn native_password(key: &str, scramble: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(key.as_bytes());
    let twice = Sha1::digest(once);
    let salted = Sha1::new()
        .chain_update(scramble)
        .chain_update(twice)
        .finalize();
    once.iter().zip(salted).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_errors_told() {
        let ok = packet(1, &[0, 0, 0, 2, 0, 0, 0]);
        let mut held = [ok.clone(), ok.clone(), ok[..5].to_vec()].concat();
        assert_eq!(take_answers(&mut held).unwrap(), 2);
        assert_eq!(held.len(), 5);
        let mut refused = packet(1, b"\xff\x03\x00#HY000no");
        assert!(
            take_answers(&mut refused)
                .unwrap_err()
                .to_string()
                .contains("no")
        );
    }

    #[test]
    fn warnings_are_behind_the_numbers() {
        assert_eq!(warnings(&[0, 0, 0, 2, 0, 3, 1]), Some(259));
        let long = [0, 0xfc, 1, 2, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0, 1, 0];
        assert_eq!(warnings(&long), Some(1));
        assert_eq!(warnings(&[0, 0, 0]), None);
    }

    #[test]
    fn the_scramble_is_what_mysql_documents() {
        // SHA1(key) XOR SHA1(scramble + SHA1(SHA1(key))), computed independently with Python's hashlib.
        let answer = native_password("secret", b"01234567890123456789");
        let hex: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "7abe1a8776b59e931059451f81e596a60dbbf7a8");
    }
}
