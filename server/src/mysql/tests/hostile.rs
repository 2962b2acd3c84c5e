//! Packets that no client should send, before and after the log-in.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Client, OK, error_code, framed, port};

#[tokio::test]
async fn garbage_before_the_log_in_ends_the_connection() {
    let port = port(|_| {}).await;
    let cases: [(&[u8], u16); 6] = [
        (b"", 1043),
        (b"\x00", 1043),
        (b"\x00\x02\x00", 1043),
        (&[0xff; 40], 1043),
        (b"\x00\x02\x00\x00\x00\x00\x00\x00\x21", 1043),
        (b"GET / HTTP/1.1\r\n\r\n", 16),
    ];
    for (packet, code) in cases {
        let (mut client, _) = Client::greeted(&port).await;
        client.send(packet).await;
        assert_eq!(error_code(&client.read().await), code, "{packet:x?}");
        client.ended().await;
    }
}

#[tokio::test]
async fn packets_before_the_log_in_are_small() {
    let port = port(|_| {}).await;
    let (mut client, _) = Client::greeted(&port).await;
    let head = [0xff, 0xff, 0xff, 1];
    client.stream.write_all(&head).await.unwrap();
    client.sequence = 2;
    assert_eq!(error_code(&client.read().await), 11);
    client.ended().await;
}

#[tokio::test]
async fn packets_out_of_order_end_the_connection() {
    let port = port(|_| {}).await;
    let (mut client, _) = Client::greeted(&port).await;
    client.stream.write_all(&framed(5, b"x")).await.unwrap();
    assert_eq!(error_code(&client.read().await), 1156);
    client.ended().await;
    let mut client = Client::root(&port).await;
    client.stream.write_all(&framed(3, b"\x0e")).await.unwrap();
    client.sequence = 0;
    assert_eq!(error_code(&client.read().await), 1156);
    client.ended().await;
}

#[tokio::test]
async fn who_takes_too_long_to_log_in_is_disconnected() {
    let port = port(|settings| settings.log_in_time = Duration::from_millis(20)).await;
    let (mut client, _) = Client::greeted(&port).await;
    client.stream.write_all(&[9, 0]).await.unwrap();
    client.ended().await;
    assert_eq!(port.context.processes.list(None), []);
}

#[tokio::test]
async fn who_is_idle_for_too_long_is_disconnected() {
    let port = port(|settings| settings.wait_time = Duration::from_millis(20)).await;
    let mut client = Client::root(&port).await;
    client.ended().await;
}

#[tokio::test]
async fn who_pauses_within_a_packet_is_disconnected() {
    let port = port(|settings| settings.read_time = Duration::from_millis(20)).await;
    for beginning in [&b"\x10"[..], b"\x10\0\0\0\x03SEL", b"\xff\xff\xff\0\x03"] {
        let mut client = Client::root(&port).await;
        client.stream.write_all(beginning).await.unwrap();
        client.sequence = 0;
        let answer = client.read().await;
        assert_eq!(error_code(&answer), 1159, "{beginning:x?}");
        client.ended().await;
    }
}

#[tokio::test]
async fn a_session_says_how_long_it_may_be_idle() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    assert_eq!(client.ask(b"\x03SET wait_timeout = 1").await, OK);
    client.ended().await;
}

#[tokio::test]
async fn a_statement_that_is_too_long_is_refused_and_nothing_else() {
    let port = port(|settings| settings.packet_bytes = 1000).await;
    let mut client = Client::root(&port).await;
    for length in [1001, 5000, 200_000] {
        let statement = [&b"\x03"[..], &vec![b'x'; length]].concat();
        assert_eq!(error_code(&client.ask(&statement).await), 11);
        assert_eq!(client.ask(b"\x0e").await, OK);
    }
}

#[tokio::test]
async fn a_statement_of_several_packets_is_skipped_to_its_end() {
    const FULL: usize = 0xff_ffff;
    let port = port(|_| {}).await;
    let client = Client::root(&port).await;
    let (mut reader, mut writer) = match client.stream {
        crate::net::Stream::Plain(stream) => stream.into_split(),
        crate::net::Stream::Tls(_) => unreachable!("the test does not use TLS"),
    };
    let sending = tokio::spawn(async move {
        let full = vec![b'x'; FULL];
        for sequence in 0..2 {
            writer.write_all(&framed(sequence, &full)).await.unwrap();
        }
        writer.write_all(&framed(2, b"end")).await.unwrap();
        writer.write_all(&framed(0, b"\x0e")).await.unwrap();
        writer
    });
    let mut answer = vec![0; 4];
    reader.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[3], 3, "the answer counts on from the last packet");
    answer.resize(usize::from(answer[0]), 0);
    reader.read_exact(&mut answer).await.unwrap();
    assert_eq!(error_code(&answer), 11);
    let mut pong = vec![0; 4 + OK.len()];
    reader.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, framed(1, OK));
    sending.await.unwrap();
}

#[tokio::test]
async fn a_packet_of_exactly_16_mib_less_one_and_its_empty_end_are_one() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    let mut name = vec![b'x'; 0xff_ffff];
    name[0] = 0x02;
    client.command(&name).await;
    client.send(b"").await;
    assert_eq!(error_code(&client.read().await), 15);
    assert_eq!(client.ask(b"\x0e").await, OK);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused_and_the_connection_lives() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    assert_eq!(error_code(&client.ask(b"\x03SELECT '\xff'").await), 12);
    assert_eq!(error_code(&client.ask(b"\x16SELECT '\xff'").await), 12);
    assert_eq!(client.ask(b"\x0e").await, OK);
}
