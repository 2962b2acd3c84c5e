//! Greeting, authentication, TLS, PROXY protocol, health checks.

use std::fs;
use std::sync::Arc;

use mysql_common::constants::CapabilityFlags;
use mysql_common::packets::AuthPlugin;
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::{Client, OK, ROOT, Who, error_code, framed, port, proof, response};
use crate::cluster::Readiness;
use crate::mysql::SERVER_VERSION;
use crate::net::Tls;

const NATIVE: AuthPlugin<'_> = AuthPlugin::MysqlNativePassword;
const SHA2: AuthPlugin<'_> = AuthPlugin::CachingSha2Password;

#[tokio::test]
async fn the_greeting_says_what_we_can() {
    let port = port(|_| {}).await;
    let (_first, greeting) = Client::greeted(&port).await;
    let (second, _) = Client::greeted(&port).await;
    assert_eq!(greeting.server_version_str(), SERVER_VERSION);
    assert_eq!(greeting.server_version_parsed(), Some((8, 0, 40)));
    assert_eq!(greeting.capabilities().bits(), 0x013f_a20f);
    assert_eq!(greeting.default_collation(), 45);
    assert_eq!(greeting.status_flags().bits(), 2);
    assert_eq!(greeting.auth_plugin(), Some(NATIVE));
    let scramble = &greeting.nonce()[..20];
    assert!(scramble.iter().all(|byte| (1..128).contains(byte)));
    assert_ne!(scramble, second.scramble);
}

/// `Err` is the code of the error.
async fn check(who: Who<'_>, expected: Result<(), u16>) {
    let port = port(|_| {}).await;
    let (mut client, answer) = Client::log_in(&port, &who).await;
    let found = if answer == OK {
        Ok(())
    } else {
        Err(error_code(&answer))
    };
    let Who { user, plugin, .. } = who;
    assert_eq!(found, expected, "{user} with {plugin:?}");
    match expected {
        Ok(()) => assert_eq!(client.ask(&[0x0e]).await, OK),
        Err(_) => client.ended().await,
    }
}

#[tokio::test]
async fn both_plugins_prove_any_key_of_the_tenant() {
    for plugin in [NATIVE, SHA2] {
        for key in ["everyone", "other"] {
            let plugin = plugin.clone();
            check(
                Who {
                    key,
                    plugin,
                    ..ROOT
                },
                Ok(()),
            )
            .await;
        }
    }
    check(Who { user: "0", ..ROOT }, Ok(())).await;
    check(Who { user: "99", ..ROOT }, Ok(())).await;
    check(
        Who {
            user: "7",
            key: "seven",
            ..ROOT
        },
        Ok(()),
    )
    .await;
    check(
        Who {
            user: "admin",
            key: "boss",
            ..ROOT
        },
        Ok(()),
    )
    .await;
}

#[tokio::test]
async fn clients_are_asked_for_the_plugin_that_they_have() {
    let other = AuthPlugin::Other(b"auth_gssapi_client"[..].into());
    check(
        Who {
            plugin: other,
            ..ROOT
        },
        Ok(()),
    )
    .await;
    check(
        Who {
            plugin: SHA2,
            waits: true,
            ..ROOT
        },
        Ok(()),
    )
    .await;
    check(
        Who {
            plugin: SHA2,
            waits: true,
            key: "wrong",
            ..ROOT
        },
        Err(16),
    )
    .await;
}

#[tokio::test]
async fn nobody_else_gets_in() {
    for plugin in [NATIVE, SHA2] {
        let who = |user, key| Who {
            user,
            key,
            plugin: plugin.clone(),
            ..ROOT
        };
        check(who("root", "wrong"), Err(16)).await;
        check(who("root", ""), Err(16)).await;
        check(who("7", "everyone"), Err(16)).await;
        check(who("100", "everyone"), Err(16)).await;
        check(who("nobody", "everyone"), Err(16)).await;
        check(who("", ""), Err(16)).await;
        check(who("haproxy_check", "wrong"), Err(16)).await;
    }
}

#[tokio::test]
async fn the_database_is_chosen_with_the_log_in() {
    check(
        Who {
            database: "",
            ..ROOT
        },
        Ok(()),
    )
    .await;
    check(
        Who {
            database: "cometql_V1",
            ..ROOT
        },
        Ok(()),
    )
    .await;
    check(
        Who {
            database: "db_5",
            ..ROOT
        },
        Ok(()),
    )
    .await;
    check(
        Who {
            database: "db_7",
            ..ROOT
        },
        Err(16),
    )
    .await;
    check(
        Who {
            database: "db_x",
            ..ROOT
        },
        Err(16),
    )
    .await;
    check(
        Who {
            database: "mysql",
            ..ROOT
        },
        Err(15),
    )
    .await;
}

#[tokio::test]
async fn health_checks_may_ping_and_nothing_else() {
    let port = port(|_| {}).await;
    let who = Who {
        user: "haproxy_check_7",
        key: "",
        database: "",
        ..ROOT
    };
    let (mut client, answer) = Client::log_in(&port, &who).await;
    assert_eq!(answer, OK);
    assert_eq!(client.ask(b"\x0e").await, OK);
    assert_eq!(error_code(&client.ask(b"\x03SELECT 1").await), 403);
    assert_eq!(error_code(&client.ask(b"\x16SELECT 1").await), 403);
    assert_eq!(error_code(&client.ask(b"\x02CometQL_v1").await), 403);
    client.command(b"\x01").await;
    client.ended().await;
}

#[tokio::test]
async fn health_checks_are_told_that_the_log_is_out_of_reach() {
    let port = port(|settings| settings.readiness = Readiness::lost()).await;
    let check = async |user, expected: Option<u16>| {
        let key = if user == "root" { ROOT.key } else { "" };
        let who = Who { user, key, ..ROOT };
        let (_client, answer) = Client::log_in(&port, &who).await;
        let code = (answer != OK).then(|| error_code(&answer));
        assert_eq!(code, expected, "{user}");
    };
    check("haproxy_check", Some(503)).await;
    check("haproxy_check_live", None).await;
    check("root", None).await;
}

#[tokio::test]
async fn a_health_check_may_leave_in_the_segment_of_its_log_in() {
    let port = port(|_| {}).await;
    let new = {
        let mut packet = 0x8200_u32.to_le_bytes().to_vec();
        packet.extend([1, 0, 0, 0, 33]);
        packet.extend([0; 23]);
        packet.extend(b"haproxy_check\0\0");
        packet
    };
    let old = b"\x00\x80\x01\x00\x00haproxy_check\0".to_vec();
    for log_in in [new, old] {
        let (mut client, _) = Client::greeted(&port).await;
        let both = [framed(1, &log_in), framed(0, b"\x01")].concat();
        client.stream.write_all(&both).await.unwrap();
        client.sequence = 2;
        assert_eq!(client.read().await, OK);
        client.ended().await;
    }
}

#[tokio::test]
async fn clients_from_before_4_1_are_refused_in_their_own_form() {
    let port = port(|_| {}).await;
    let (mut client, _) = Client::greeted(&port).await;
    client.send(b"\x00\x80\x01\x00\x00root\0oldproof\0").await;
    let answer = client.read().await;
    assert_eq!(error_code(&answer), 16);
    assert!(answer[3..].starts_with(b"Authentication failure"));
    client.ended().await;
}

#[tokio::test]
async fn a_proxy_names_the_client() {
    let port = port(|settings| settings.proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream
        .write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 3307\r\n")
        .await
        .unwrap();
    let (mut client, _) = Client::greeted_on(stream).await;
    assert_eq!(client.prove(&ROOT).await, OK);
    let rows = port.context.processes.list(None);
    assert_eq!(rows[0].host, "192.0.2.1:5000".parse().unwrap());
    let mut liar = TcpStream::connect(port.address).await.unwrap();
    liar.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(liar.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn tls_is_offered_with_certificates_and_used_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificates, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    fs::write(&certificates, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = Arc::new(Tls::load(&certificates, &key, &[]).unwrap());
    let port = port(|settings| settings.tls = Some(tls)).await;
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    let mut greeting = vec![0; 4];
    stream.read_exact(&mut greeting).await.unwrap();
    greeting.resize(usize::from(greeting[0]), 0);
    stream.read_exact(&mut greeting).await.unwrap();
    let packet = response(&ROOT, Vec::new(), CapabilityFlags::CLIENT_SSL);
    stream.write_all(&framed(1, &packet[..32])).await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let nul = greeting.iter().position(|&byte| byte == 0).unwrap();
    let mut scramble = greeting[nul + 5..nul + 13].to_vec();
    let second = nul + 5 + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10;
    scramble.extend(&greeting[second..second + 12]);
    let proof = proof(&NATIVE, ROOT.key, &scramble);
    let packet = response(&ROOT, proof, CapabilityFlags::CLIENT_SSL);
    stream.write_all(&framed(2, &packet)).await.unwrap();
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..], framed(3, OK));
}

#[tokio::test]
async fn tls_without_certificates_is_a_bad_handshake() {
    let port = port(|_| {}).await;
    let (mut client, _) = Client::greeted(&port).await;
    let packet = response(&ROOT, Vec::new(), CapabilityFlags::CLIENT_SSL);
    client.send(&packet[..32]).await;
    assert_eq!(error_code(&client.read().await), 1043);
    client.ended().await;
}
