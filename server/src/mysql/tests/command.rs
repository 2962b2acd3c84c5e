//! Commands that are no statements, and how a connection ends.

use mysql_common::packets::AuthPlugin;

use super::client::{Client, OK, ROOT, error_code, framed, port, port_and_shard, proof};
use crate::shard::Mail;
use cometql_engine::{Answer, Command};
use cometql_protocol::TenantId;
use tokio::io::AsyncWriteExt;

const NATIVE: AuthPlugin<'_> = AuthPlugin::MysqlNativePassword;
const SHA2: AuthPlugin<'_> = AuthPlugin::CachingSha2Password;

#[tokio::test]
async fn commands_are_answered_as_documented() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    assert_eq!(client.ask(b"\x0e").await, OK);
    assert_eq!(client.ask(b"\x1f").await, OK);
    assert_eq!(client.ask(b"\x1b\x00\x00").await, b"\xfe\x00\x00\x02\x00");
    assert_eq!(client.ask(b"\x1b\x01\x00").await, b"\xfe\x00\x00\x02\x00");
    assert_eq!(error_code(&client.ask(b"\x1b\x02\x00").await), 1047);
    assert!(client.ask(b"\x09").await.starts_with(b"Uptime: "));
    assert_eq!(
        client.ask(b"\x04no such table;\0").await,
        b"\xfe\x00\x00\x02\x00"
    );
    for unknown in [
        &b""[..],
        b"\x00",
        b"\x05x",
        b"\x07\x01",
        b"\x12",
        b"\x1c",
        b"\x77",
        b"\xff",
    ] {
        assert_eq!(error_code(&client.ask(unknown).await), 1047);
    }
    client.command(b"\x01").await;
    client.ended().await;
}

#[tokio::test]
async fn a_database_is_chosen_and_a_wrong_one_changes_nothing() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    assert_eq!(client.ask(b"\x02db_5").await, OK);
    assert_eq!(error_code(&client.ask(b"\x02nope").await), 15);
    assert_eq!(error_code(&client.ask(b"\x02db_7").await), 16);
    assert_eq!(error_code(&client.ask(b"\x02\xff\xfe").await), 12);
    let rows = port.context.processes.list(Some(TenantId(5)));
    assert_eq!(
        (rows[0].database.as_str(), rows[0].user.as_str()),
        ("db_5", "root")
    );
    assert_eq!(client.ask(b"\x02CometQL_v1").await, OK);
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    let mut commands = Vec::new();
    for _ in 0..15 {
        commands.extend(framed(0, b"\x0e"));
        commands.extend(framed(0, b"\x77"));
    }
    // In pieces that end within heads and within packets.
    for piece in commands.chunks(7) {
        client.stream.write_all(piece).await.unwrap();
    }
    for _ in 0..15 {
        client.sequence = 1;
        assert_eq!(client.read().await, OK);
        client.sequence = 1;
        assert_eq!(error_code(&client.read().await), 1047);
    }
}

#[tokio::test]
async fn a_publication_waits_for_no_answer_to_another_one() {
    let (port, mut shard) = port_and_shard().await;
    let mut client = Client::root(&port).await;
    let insert =
        b"\x03INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', 'e', '1')";
    let mut tokens = Vec::new();
    for _ in 0..3 {
        // Each is sent when the one before it was handed in, not yet answered.
        client.command(insert).await;
        let Some(Mail::Command(Command::Publish { .. }, token)) = shard.recv().await else {
            panic!("a publication");
        };
        tokens.push(token);
    }
    client.command(b"\x0e").await;
    // They are answered in their order, whichever answer is there first.
    for (reached, token) in [0, 1, 2].into_iter().zip(tokens).rev() {
        token.answer(Answer::Published {
            offset: None,
            reached,
            lossy: false,
        });
    }
    for reached in 0..3 {
        client.sequence = 1;
        let told = client.read().await;
        let info = format!("Reached: {reached}");
        assert!(told.ends_with(info.as_bytes()), "{told:x?}");
    }
    client.sequence = 1;
    assert_eq!(client.read().await, OK);
}

#[tokio::test]
async fn who_stops_writing_is_still_answered() {
    let (port, mut shard) = port_and_shard().await;
    let mut client = Client::root(&port).await;
    let insert =
        b"\x03INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', 'e', '1')";
    client.command(insert).await;
    client.stream.shutdown().await.unwrap();
    let Some(Mail::Command(_, token)) = shard.recv().await else {
        panic!("a publication");
    };
    token.answer(Answer::Published {
        offset: None,
        reached: 1,
        lossy: false,
    });
    assert!(client.read().await.ends_with(b"Reached: 1"));
    client.ended().await;
}

async fn change_user(client: &mut Client, plugin: &AuthPlugin<'_>, proof: &[u8], user: &str) {
    let mut packet = vec![0x11];
    packet.extend(user.as_bytes());
    packet.extend([0, u8::try_from(proof.len()).unwrap()]);
    packet.extend(proof);
    packet.extend(b"CometQL_v1\0\x2d\0");
    packet.extend(plugin.as_bytes());
    packet.push(0);
    client.command(&packet).await;
}

#[tokio::test]
async fn another_user_must_prove_the_key_too() {
    let port = port(|_| {}).await;
    for plugin in [NATIVE, SHA2] {
        let mut client = Client::root(&port).await;
        let early = proof(&plugin, "seven", &client.scramble);
        for first in [&early[..], b"", b"nonsense"] {
            change_user(&mut client, &plugin, first, "7").await;
            assert_eq!(client.answer_switch("seven").await, OK);
            assert_eq!(client.ask(b"\x0e").await, OK);
        }
        assert_eq!(port.context.processes.list(Some(TenantId(7))).len(), 1);
        change_user(&mut client, &plugin, b"", "0").await;
        assert_eq!(error_code(&client.answer_switch("seven").await), 16);
        client.ended().await;
    }
}

#[tokio::test]
async fn another_user_without_a_plugin_name_is_read() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    let first = proof(&NATIVE, "seven", &client.scramble);
    let packet = [&b"\x117\0\x14"[..], &first, b"\0"].concat();
    assert_eq!(client.ask(&packet).await, OK);
    for cut in [b"\x11".as_slice(), b"\x117", b"\x117\0\x14abc"] {
        let mut client = Client::root(&port).await;
        assert_eq!(error_code(&client.ask(cut).await), 1043);
        client.ended().await;
    }
}

#[tokio::test]
async fn a_killed_connection_is_told_and_ends() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    let id = port.context.processes.list(None)[0].id;
    assert!(port.context.processes.kill(id, Some(TenantId(0))));
    client.sequence = 0;
    assert_eq!(error_code(&client.read().await), 1927);
    client.ended().await;
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    let stopping = tokio::spawn(port.stop());
    client.sequence = 0;
    assert_eq!(error_code(&client.read().await), 1053);
    client.ended().await;
    drop(client);
    stopping.await.unwrap();
}

#[tokio::test]
async fn statements_that_were_never_prepared_are_refused() {
    let port = port(|_| {}).await;
    let mut client = Client::root(&port).await;
    assert_eq!(
        error_code(&client.ask(b"\x17\x05\0\0\0\0\x01\0\0\0").await),
        1243
    );
    assert_eq!(error_code(&client.ask(b"\x17\x05\0").await), 1210);
    assert_eq!(error_code(&client.ask(b"\x1a\x05\0\0\0").await), 1243);
    client.command(b"\x19\x05\0\0\0").await;
    client.command(b"\x19").await;
    client.command(b"\x18\x05\0\0\0\0\0data").await;
    client.command(b"\x18").await;
    assert_eq!(client.ask(b"\x0e").await, OK);
}

#[tokio::test]
async fn too_many_connections_are_refused() {
    let port = port(|settings| settings.max_connections = 1).await;
    let client = Client::root(&port).await;
    let (mut refused, answer) = Client::log_in(&port, &ROOT).await;
    assert_eq!(error_code(&answer), 1040);
    assert_eq!(&answer[3..], b"#08004Too many connections");
    refused.ended().await;
    drop(client);
}
