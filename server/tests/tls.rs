//! A MySQL port that takes no log-ins without TLS, and the console's cookie over TLS. Through real clients.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use std::process::Command;

use cometql_server::app::App;
use cometql_server::auth::{Keyring, Keys};
use cometql_server::mysql::Settings;
use common::backend::{KEY, packet, read_packet};
use common::certificate::{believing, in_folder};
use common::{http, node, skipped, within};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder, SslOpts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn keys() -> Keyring {
    Keyring::new(Keys {
        default: vec![KEY.to_owned()],
        tenant_limit: 10,
        ..Keys::default()
    })
}

async fn strict(folder: &std::path::Path) -> App {
    let tls = in_folder(folder, &[]);
    node(|settings| {
        settings.backends.keyring = keys();
        settings.backends.mysql = Some(Settings {
            address: ([127, 0, 0, 1], 0).into(),
            tls: Some(tls),
            require_tls: true,
            ..Settings::default()
        });
    })
    .await
}

fn options(app: &App, key: &str) -> OptsBuilder {
    let address = app.mysql_address().unwrap();
    OptsBuilder::default()
        .ip_or_hostname("localhost")
        .resolved_ips(Some(vec![address.ip()]))
        .tcp_port(address.port())
        .user(Some("root"))
        .pass(Some(key))
}

#[track_caller]
fn check<T>(result: Result<T, Error>, code: u16) {
    match result {
        Err(Error::Server(error)) => assert_eq!(error.code, code, "{error}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn who_does_not_use_tls_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let app = strict(folder.path()).await;
    check(within(Conn::new(options(&app, KEY))).await, 3159);
    // Keys can't be tried without TLS either.
    check(within(Conn::new(options(&app, "wrong"))).await, 3159);
    let certificate = folder.path().join("certificate.pem");
    let tls = SslOpts::default().with_root_certs(vec![certificate.into()]);
    let secure = |key| options(&app, key).ssl_opts(Some(tls.clone()));
    let mut backend = within(Conn::new(secure(KEY))).await.unwrap();
    let one: Option<u8> = within(backend.query_first("SELECT 1")).await.unwrap();
    assert_eq!(one, Some(1));
    check(within(Conn::new(secure("wrong"))).await, 16);
    within(backend.disconnect()).await.unwrap();
    within(app.stop()).await;
}

#[tokio::test]
async fn health_checks_need_no_tls() {
    let folder = tempfile::tempdir().unwrap();
    let app = strict(folder.path()).await;
    let mut check = TcpStream::connect(app.mysql_address().unwrap())
        .await
        .unwrap();
    read_packet(&mut check).await;
    let log_in = [
        &b"\x00\x82\0\0\0\0\0\0\x2d"[..],
        &[0; 23],
        b"haproxy_check\0\0",
    ]
    .concat();
    check.write_all(&packet(1, &log_in)).await.unwrap();
    assert_eq!(read_packet(&mut check).await.1[0], 0);
    drop(check);
    within(app.stop()).await;
}

/// The stock command line, where it is installed.
#[tokio::test]
async fn the_mariadb_command_line_shows_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let app = strict(folder.path()).await;
    let port = app.mysql_address().unwrap().port().to_string();
    let certificate = folder.path().join("certificate.pem");
    let run = |tls: Vec<String>| {
        let mut command = Command::new("mariadb");
        command
            .args([
                "--host=127.0.0.1",
                "--protocol=tcp",
                "--user=root",
                "--port",
                &port,
            ])
            .args([
                "--batch",
                "--skip-column-names",
                "--execute=SELECT 1",
                "CometQL_v1",
            ])
            .args(tls)
            .env("MYSQL_PWD", KEY);
        tokio::task::spawn_blocking(move || command.output())
    };
    let plain = within(run(vec!["--skip-ssl".to_owned()])).await.unwrap();
    if plain
        .as_ref()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        skipped(
            "the mariadb command line",
            "it is not installed (package mariadb-client)",
        );
        return within(app.stop()).await;
    }
    let said = String::from_utf8(plain.unwrap().stderr).unwrap();
    assert!(
        said.contains("ERROR 3159 (HY000)") && said.contains("requires TLS"),
        "{said}"
    );
    let secure = vec![
        "--ssl".to_owned(),
        format!("--ssl-ca={}", certificate.display()),
    ];
    let secure = within(run(secure)).await.unwrap().unwrap();
    let errors = String::from_utf8_lossy(&secure.stderr).into_owned();
    assert_eq!(secure.stdout, b"1\n", "{errors}");
    within(app.stop()).await;
}

#[tokio::test]
async fn the_cookie_of_the_console_stays_on_tls() {
    const LOG_IN: &str = r#"{"user":"root","key":"a key of tenant zero"}"#;
    let folder = tempfile::tempdir().unwrap();
    let tls = in_folder(folder.path(), &["http/1.1"]);
    let app = node(|settings| {
        settings.http.tls = Some(tls);
        settings.backends.keyring = keys();
        settings.backends.admin.address = Some(([127, 0, 0, 1], 0).into());
        settings.backends.admin.on_http = true;
    })
    .await;
    let request = format!("POST /console/login HTTP/1.1\n\n{LOG_IN}");
    let plain = http(app.admin_address().unwrap(), &request).await;
    assert!(plain.contains("; HttpOnly; SameSite=Strict\r\n"), "{plain}");
    let pem = std::fs::read(folder.path().join("certificate.pem")).unwrap();
    let stream = TcpStream::connect(app.http_address()).await.unwrap();
    let mut stream = within(believing(&pem, stream)).await.unwrap();
    let request = format!(
        "POST /console/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{LOG_IN}",
        LOG_IN.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(
        answer.contains("; HttpOnly; SameSite=Strict; Secure\r\n"),
        "{answer}"
    );
    within(app.stop()).await;
}
