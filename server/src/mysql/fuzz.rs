//! What clients may send as packets: the log-in, the values of prepared statements, framing.

use mysql_common::constants::CapabilityFlags;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::gate::{Gate, GateError};
use super::handshake;
use super::prepared::Prepared;
use crate::cometql;
use crate::fuzz::check;
use crate::net::Stream;

const TOKENS: &[&str] = &[
    "mysql_native_password\0",
    "caching_sha2_password\0",
    "root\0",
    "\0\0\0\0",
];

#[test]
fn fuzz_mysql_log_in() {
    check(
        include_str!("../../fuzz/mysql_log_in.txt"),
        TOKENS,
        |bytes| {
            for tls in [false, true] {
                _ = handshake::hello(bytes, tls);
            }
            _ = handshake::change_user(bytes, CapabilityFlags::all());
        },
    );
}

/// A first byte says how many values the statement has.
#[test]
fn fuzz_mysql_values() {
    check(
        include_str!("../../fuzz/mysql_values.txt"),
        TOKENS,
        |bytes| {
            let Some((&count, packet)) = bytes.split_first() else {
                return;
            };
            let values = vec!["?"; usize::from(count % 64) + 1].join(",");
            let sql = format!("SELECT {values}");
            let statement = cometql::parse(&sql, &cometql::Settings::default());
            let mut prepared = Prepared::new(8, 1 << 20);
            prepared
                .add(statement.unwrap().remove(0), sql.len())
                .unwrap();
            for part in packet.split(|byte| *byte == b'|') {
                prepared.send_long_data(part);
                _ = prepared.execute(part);
                _ = prepared.reset(part);
            }
            // Types stay from one EXECUTE to the next.
            _ = prepared.execute(packet);
            prepared.close(packet);
        },
    );
}

#[test]
fn fuzz_mysql_packets() {
    const LIMIT: usize = 100;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    check(
        include_str!("../../fuzz/mysql_packets.txt"),
        TOKENS,
        |bytes| {
            runtime.block_on(async {
                let mut client = TcpStream::connect(address).await.unwrap();
                let (server, _) = listener.accept().await.unwrap();
                let mut gate = Gate::new(Stream::Plain(server), &super::Settings::default());
                let write = async {
                    // It may close before it has read all.
                    _ = client.write_all(bytes).await;
                    _ = client.shutdown().await;
                };
                // The gate goes with it, so that a client that still writes is not waited for.
                let read = async move {
                    loop {
                        _ = gate.has_next();
                        match gate.read_command(LIMIT).await {
                            Ok(packet) => assert!(packet.len() <= LIMIT),
                            Err(GateError::TooLarge) if gate.skip().await.is_ok() => {}
                            Err(_) => return,
                        }
                    }
                };
                tokio::join!(write, read);
            });
        },
    );
}
