//! Calls that end early: closed clients, cancelled calls, connections that the server ended, and certificates.

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::sync::Arc;

use cometql_sdk::{BlockingClient, CometError, Options, Tls, Value};
use cometql_server::net;
use common::{KEY, connect, node, publication};
use proxy::{Mode, Proxy};

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_calls_that_are_awaited() {
    let app = node(|_| {}).await;
    let host = Proxy::start(&app).await;
    let client = connect(vec![host.host()], Options::default())
        .await
        .unwrap();
    host.become_mode(Mode::Mute);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.publish(publication("web_a", "x")).await })
        })
        .collect();
    // More than there are connections, so some wait for one.
    while host.taken() < 10 {
        tokio::task::yield_now().await;
    }
    client.close().await;
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(CometError::Closed));
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_calls_that_block() {
    let app = node(|_| {}).await;
    let host = Proxy::start(&app).await;
    let name = host.host();
    let log_in = move || {
        let (user, key) = ("root".to_owned(), KEY.to_owned());
        BlockingClient::connect(vec![name], user, key, String::new(), Options::default())
    };
    let client = tokio::task::spawn_blocking(log_in).await.unwrap().unwrap();
    host.become_mode(Mode::Mute);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::task::spawn_blocking(move || client.publish(publication("web_a", "x")))
        })
        .collect();
    while host.taken() < 3 {
        tokio::task::yield_now().await;
    }
    let closing = Arc::clone(&client);
    tokio::task::spawn_blocking(move || closing.close())
        .await
        .unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(CometError::Closed));
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cancelled_leaves_no_half_answer() {
    let app = node(|_| {}).await;
    let host = Proxy::start(&app).await;
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let client = connect(vec![host.host()], options).await.unwrap();
    let number = |value| client.query("SELECT ?".to_owned(), vec![Value::Int { value }]);
    for value in 0..20 {
        host.become_mode(Mode::Mute);
        let waiting = tokio::spawn({
            let client = Arc::clone(&client);
            async move {
                client
                    .query("SELECT 'another answer'".to_owned(), Vec::new())
                    .await
            }
        });
        for _ in 0..value {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        // It was aborted.
        _ = waiting.await;
        host.become_mode(Mode::Pass);
        let answer = number(value).await.unwrap();
        assert_eq!(answer.rows, [[Value::Int { value }]]);
    }
    client.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_in_use() {
    let app = node(|_| {}).await;
    let mut host = Proxy::start(&app).await;
    let options = Options {
        max_connections: 1,
        call_timeout_ms: 300,
        ..Options::default()
    };
    let client = connect(vec![host.host()], options).await.unwrap();
    host.become_mode(Mode::Mute);
    let (first, second) = tokio::join!(client.ping(), client.ping());
    for late in [first, second] {
        assert!(matches!(late, Err(CometError::TimedOut { .. })), "{late:?}");
    }
    host.die().await;
    host.rise().await;
    client.ping().await.unwrap();
    client.close().await;
    app.stop().await;
}

#[tokio::test]
async fn a_connection_that_the_server_ended() {
    let app = node(|_| {}).await;
    let options = Options {
        max_connections: 1,
        idle_check_ms: 0,
        ..Options::default()
    };
    let client = connect(vec![common::host(&app)], options).await.unwrap();
    let killer = connect(vec![common::host(&app)], Options::default())
        .await
        .unwrap();
    let ask = |sql: &str| client.query(sql.to_owned(), Vec::new());
    let id = ask("SELECT CONNECTION_ID()").await.unwrap();
    let kill = format!("KILL {}", shown(&id.rows[0][0]));
    killer.query(kill, Vec::new()).await.unwrap();
    // It is checked before it is used, so even what may not be repeated goes well.
    let data = "INSERT INTO users_data (id, data) VALUES (1, 'x')";
    ask(data).await.unwrap();
    assert_ne!(ask("SELECT CONNECTION_ID()").await.unwrap().rows, id.rows);
    client.close().await;
    killer.close().await;
    app.stop().await;
}

fn shown(value: &Value) -> String {
    match value {
        Value::Int { value } => value.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn many_statements_and_none_is_forgotten() {
    let app = node(|_| {}).await;
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let client = connect(vec![common::host(&app)], options).await.unwrap();
    // More than a connection may keep prepared (1,024), and the first one again and again.
    for value in 0..1_100 {
        let sql = match value % 100 {
            0 => "SELECT ? AS first".to_owned(),
            _ => format!("SELECT ? AS a{value}"),
        };
        let answer = client.query(sql, vec![Value::Int { value }]).await.unwrap();
        assert_eq!(answer.rows, [[Value::Int { value }]]);
    }
    client.close().await;
    app.stop().await;
}

#[tokio::test]
async fn certificates() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(file("empty.pem"), "nothing").unwrap();
    let tls = net::Tls::load(&file("certificate.pem"), &file("key.pem"), &[]).unwrap();
    let app = node(|settings| {
        let mysql = settings.backends.mysql.as_mut().unwrap();
        mysql.tls = Some(Arc::new(tls));
        mysql.require_tls = true;
    })
    .await;
    let port = app.mysql_address().unwrap().port();
    let trust = |name: &str, server_name: Option<&str>| Tls {
        ca_file: Some(file(name).display().to_string()),
        server_name: server_name.map(str::to_owned),
    };
    let log_in = async |host: &str, tls: Option<Tls>| {
        let options = Options {
            tls,
            ..Options::default()
        };
        let client = connect(vec![format!("{host}:{port}")], options).await?;
        client.ping().await?;
        client.close().await;
        Ok::<_, CometError>(())
    };
    let trusted = || trust("certificate.pem", None);
    log_in("localhost", Some(trusted())).await.unwrap();
    let by_name = trust("certificate.pem", Some("localhost"));
    log_in("127.0.0.1", Some(by_name)).await.unwrap();
    // Another name, and a certificate that nobody has vouched for.
    for (host, tls) in [("127.0.0.1", trusted()), ("localhost", Tls::default())] {
        let Err(CometError::Unreachable { detail }) = log_in(host, Some(tls)).await else {
            panic!("{host} is trusted");
        };
        assert!(detail.contains("certificate"), "{detail}");
    }
    let refused = log_in("localhost", Some(trust("empty.pem", None))).await;
    assert!(
        matches!(refused, Err(CometError::Invalid { .. })),
        "{refused:?}"
    );
    let refused = log_in("localhost", None).await;
    assert!(
        matches!(refused, Err(CometError::AccessDenied { code: 3159, .. })),
        "{refused:?}"
    );
    app.stop().await;
}
