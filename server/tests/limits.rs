//! What many connections may take together: memory and places. Through real clients, beside others that are served as ever.

mod common;

use std::net::SocketAddr;

use cometql_server::app::AppSettings;
use common::backend::{KEY, OTHER, World, connect, packet, raw, read_packet, try_connect};
use common::{Client, Events, http, within};
use mysql_async::prelude::Queryable;
use mysql_async::{ChangeUserOpts, Conn, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MIB: usize = 1 << 20;

/// Memory for statements of 4 MiB, so 2 MiB for each tenant.
fn little_memory(settings: &mut AppSettings) {
    settings.backends.language.memory_bytes = 4 * MIB;
}

/// An INSERT of so many bytes, and some.
fn insert(bytes: usize) -> String {
    let message = "x".repeat(bytes);
    format!("INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', '', '{message}')")
}

async fn send(backend: &mut Conn, sql: String) -> Result<(), Error> {
    within(backend.query_drop(sql)).await
}

/// The code that a statement was refused with.
#[track_caller]
fn code<T>(result: Result<T, Error>) -> u16 {
    match result {
        Err(Error::Server(error)) => error.code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

/// What a large statement that has begun to come has taken is nobody else's, until it has come or its client has gone.
#[tokio::test]
async fn large_statements_share_one_memory() {
    let mut world = World::start(little_memory).await;
    let mut other = connect(&world.app, "7", OTHER).await;
    let mut slow = raw(world.app.mysql_address().unwrap(), KEY).await;
    // In one write: when the ping is answered, the beginning of the statement has been seen.
    let mut beginning = packet(0, b"\x0e");
    let statement = insert(MIB + MIB / 2);
    let whole = packet(0, format!("\x03{statement}").as_bytes());
    beginning.extend_from_slice(&whole[..20]);
    slow.write_all(&beginning).await.unwrap();
    read_packet(&mut slow).await;

    let large = || insert(MIB - 1_000);
    assert_eq!(code(send(&mut world.backend, large()).await), 503);
    world
        .run("INSERT INTO users_data (id, data) VALUES (5, 'small ones pass')")
        .await;
    world
        .check(
            "SELECT data FROM users_data WHERE id = 5",
            "small ones pass",
        )
        .await;
    send(&mut other, large()).await.unwrap();

    // The rest: it was let in, and is refused for its own length only.
    slow.write_all(&whole[20..]).await.unwrap();
    let (sequence, answer) = read_packet(&mut slow).await;
    assert_eq!((sequence, &answer[..3]), (1, &b"\xff\x0b\x00"[..]));
    send(&mut world.backend, large()).await.unwrap();
    within(other.disconnect()).await.unwrap();
    world.stop().await;
}

/// As many at once as there is memory for; the others are told, and none is lost or half done.
#[tokio::test]
async fn more_large_statements_than_there_is_memory_for() {
    let mut world = World::start(little_memory).await;
    world
        .run("INSERT INTO pipes_settings (name, length) VALUES ('web_a', 99)")
        .await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let mut backend = connect(&world.app, "root", KEY).await;
        tasks.spawn(async move {
            let mut sent = 0;
            for _ in 0..4 {
                match send(&mut backend, insert(MIB - 1_000)).await {
                    Ok(()) => sent += 1,
                    refused => assert_eq!(code(refused), 503),
                }
            }
            within(backend.disconnect()).await.unwrap();
            sent
        });
    }
    let sent: usize = tasks.join_all().await.into_iter().sum();
    assert!(sent > 0);
    let count = "SELECT COUNT(*) FROM pipes_messages WHERE name = 'web_a'";
    world.check(count, &sent.to_string()).await;
    world.stop().await;
}

#[tokio::test]
async fn prepared_statements_and_values_sent_ahead_take_of_it_too() {
    let mut world = World::start(little_memory).await;
    let large = insert(MIB - 10_000);
    let first = within(world.backend.prep(&*large)).await.unwrap();
    let second = large.replace("web_a", "web_b");
    let refused = within(world.backend.prep(&*second)).await;
    assert_eq!(
        code(refused),
        503,
        "one more is being received while it is kept"
    );
    within(world.backend.exec_drop(&first, ())).await.unwrap();
    within(world.backend.close(first)).await.unwrap();
    within(world.backend.prep(&*second)).await.unwrap();
    // A reset forgets all of them.
    within(world.backend.reset()).await.unwrap();
    send(&mut world.backend, insert(MIB - 1_000)).await.unwrap();
    world.stop().await;
}

/// Whoever comes while strangers hold their places gets in; of those it is the oldest that goes.
#[tokio::test]
async fn strangers_keep_no_backend_out() {
    let mut world = World::start(|settings| {
        settings.backends.mysql.as_mut().unwrap().strangers = 3;
    })
    .await;
    let address = world.app.mysql_address().unwrap();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let mut stranger = TcpStream::connect(address).await.unwrap();
        read_packet(&mut stranger).await;
        strangers.push(stranger);
    }
    for at in 0..3 {
        let mut newcomer = connect(&world.app, "root", KEY).await;
        let mut rest = Vec::new();
        within(strangers[at].read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "closed without a word");
        let mut stranger = TcpStream::connect(address).await.unwrap();
        read_packet(&mut stranger).await;
        strangers.push(stranger);
        within(newcomer.ping()).await.unwrap();
        within(newcomer.disconnect()).await.unwrap();
    }
    world.check("SELECT 1", "1").await;
    world.stop().await;
}

/// A place is the one of the log-in's tenant; who changes the user gives it up.
#[tokio::test]
async fn a_tenant_has_only_so_many_connections() {
    let world = World::start(|settings| {
        let mysql = settings.backends.mysql.as_mut().unwrap();
        (mysql.max_connections, mysql.tenant_connections) = (4, 2);
        settings.backends.admin.address = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    })
    .await;
    let mut second = connect(&world.app, "root", KEY).await;
    assert_eq!(code(try_connect(&world.app, "root", KEY).await), 1203);
    let other = connect(&world.app, "7", OTHER).await;
    let seven = ChangeUserOpts::default()
        .with_user(Some("7".to_owned()))
        .with_pass(Some(OTHER.to_owned()));
    within(second.change_user(seven)).await.unwrap();
    let third = connect(&world.app, "root", KEY).await;
    assert_eq!(code(try_connect(&world.app, "admin", "boss").await), 1040);
    let metrics = http(world.app.admin_address().unwrap(), "GET /metrics HTTP/1.1").await;
    for (reason, count) in [("tenant", 1), ("connections", 1), ("strangers", 0)] {
        let line = format!("\ncometql_mysql_refused_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    for backend in [second, other, third] {
        within(backend.disconnect()).await.unwrap();
    }
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_has_only_so_many_browsers() {
    let world = World::start(|settings| {
        settings.http.tenant_capacity = Some(3);
        settings.backends.admin.address = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    })
    .await;
    let address = world.app.http_address();
    let _first = Client::at(address, "/connect?v=1").await;
    let legacy = "/ws/sesion=&myid=0&devid=0&v=4.09&uuid=abc&api=js";
    let _second = Client::at(address, legacy).await;
    let mut third = Events::open(&world.app, "/sse?v=1", "").await;
    third.session().await;
    let upgrade = "\nupgrade: websocket\nconnection: upgrade\nsec-websocket-version: 13\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    for request in [
        "GET /sse?v=1 HTTP/1.1".to_owned(),
        format!("GET /connect?v=1 HTTP/1.1{upgrade}"),
        format!("GET {legacy} HTTP/1.1{upgrade}"),
    ] {
        let refused = http(address, &request).await;
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        assert!(refused.contains("retry-after: 5"), "{refused}");
        assert!(refused.contains("this tenant has"), "{refused}");
    }
    let mut other = Client::at(address, "/connect?v=1&tenant=7").await;
    assert_eq!(other.ask(r#"{"id":1,"ping":{}}"#).await["id"], 1);
    let metrics = http(world.app.admin_address().unwrap(), "GET /metrics HTTP/1.1").await;
    let line = "\ncometql_browser_refused_total{reason=\"tenant\"} 3\n";
    assert!(metrics.contains(line), "{metrics}");
    world.stop().await;
}
