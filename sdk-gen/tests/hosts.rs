//! Which host a call goes to: silent, crowded and unfriendly hosts, and the connections to them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers that are no tests themselves use it, too"
)]

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::sync::Arc;

use cometql_sdk::{Client, CometError, Options, Value};
use cometql_server::app::App;
use common::node::OTHER;
use common::{connect, host, node, publication};
use proxy::{Mode, Proxy};
use tokio::task::JoinSet;

/// So many publications at once.
fn publish(client: &Arc<Client>, count: usize) -> JoinSet<Result<(), CometError>> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let client = Arc::clone(client);
        calls.spawn(async move {
            client.publish(publication("web_a", "x")).await?;
            Ok(())
        });
    }
    calls
}

/// A node with other keys.
async fn stranger() -> App {
    use cometql_server::auth::{Keyring, Keys};
    node(|settings| {
        settings.backends.keyring = Keyring::new(Keys {
            default: vec![OTHER.to_owned()],
            tenant_limit: 10,
            ..Keys::default()
        });
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_does_not_keep_those_who_wait_for_a_connection() {
    let app = node(|_| {}).await;
    let hosts = [Proxy::start(&app).await, Proxy::start(&app).await];
    let options = Options {
        call_timeout_ms: 4_000,
        connect_timeout_ms: 1_000,
        max_connections: 2,
        ..Options::default()
    };
    let names = hosts.iter().map(Proxy::host).collect();
    let client = connect(names, options).await.unwrap();
    while hosts[0].taken() < 2 {
        publish(&client, 4).join_all().await;
    }
    hosts[0].become_mode(Mode::Mute);
    for sent in publish(&client, 30).join_all().await {
        sent.unwrap();
    }
    client.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_go_elsewhere_tells_others_that_a_host_is_silent() {
    let app = node(|_| {}).await;
    let hosts = [Proxy::start(&app).await, Proxy::start(&app).await];
    let options = Options {
        call_timeout_ms: 3_000,
        connect_timeout_ms: 500,
        max_connections: 1,
        ..Options::default()
    };
    let names = hosts.iter().map(Proxy::host).collect();
    let client = connect(names, options).await.unwrap();
    // Its statement is prepared.
    client.set_user_data(2, "x".to_owned()).await.unwrap();
    hosts[0].become_mode(Mode::Mute);
    let late = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.set_user_data(1, "x".to_owned()).await }
    });
    // It has the only connection, and its answer is kept back.
    let direct = connect(vec![host(&app)], Options::default()).await.unwrap();
    while direct.user_data(1).await.unwrap().is_none() {}
    for sent in publish(&client, 5).join_all().await {
        sent.unwrap();
    }
    let late = late.await.unwrap();
    assert!(matches!(late, Err(CometError::TimedOut { .. })), "{late:?}");
    client.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_few_connections_is_not_down() {
    let crowded = node(|settings| {
        let mysql = settings.backends.mysql.as_mut().unwrap();
        mysql.tenant_connections = 2;
    })
    .await;
    let app = node(|_| {}).await;
    let other = Proxy::start(&app).await;
    let hosts = vec![host(&crowded), other.host()];
    let client = connect(hosts, Options::default()).await.unwrap();
    for sent in publish(&client, 50).join_all().await {
        sent.unwrap();
    }
    assert_eq!(other.taken(), 0);
    // To others it has none at all.
    let second = connect(vec![host(&crowded)], Options::default()).await;
    assert!(
        matches!(second, Err(CometError::Unreachable { .. })),
        "it may connect"
    );
    client.close().await;
    app.stop().await;
    crowded.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_the_log_in_is_passed_over() {
    let (stranger, app) = (stranger().await, node(|_| {}).await);
    let hosts = vec![host(&stranger), host(&app)];
    let client = connect(hosts, Options::default()).await.unwrap();
    client.ping().await.unwrap();
    client.close().await;
    // The preferred one comes back with other keys.
    let mut first = Proxy::start(&app).await;
    let hosts = vec![first.host(), host(&app)];
    let options = Options {
        back_off_max_ms: 200,
        ..Options::default()
    };
    let client = connect(hosts, options).await.unwrap();
    client.ping().await.unwrap();
    first.die().await;
    let before = first.taken();
    first.rise_before(stranger.mysql_address().unwrap()).await;
    while first.taken() < before + 3 {
        client.ping().await.unwrap();
    }
    first.die().await;
    first.rise_before(app.mysql_address().unwrap()).await;
    let before = first.taken();
    // Asked in the background, and used again.
    while first.taken() < before + 2 {
        client.ping().await.unwrap();
    }
    client.close().await;
    app.stop().await;
    stranger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_log_in_does_not_hide_what_may_have_happened() {
    let (stranger, app) = (stranger().await, node(|_| {}).await);
    let mut first = Proxy::start(&app).await;
    let hosts = vec![first.host(), host(&stranger)];
    let options = Options {
        call_timeout_ms: 2_000,
        ..Options::default()
    };
    let client = connect(hosts, options).await.unwrap();
    first.become_mode(Mode::Mute);
    let mut sent = publish(&client, 1);
    let direct = connect(vec![host(&app)], Options::default()).await.unwrap();
    let query = "SELECT * FROM users_data WHERE id = 1";
    direct.query(query.to_owned(), Vec::new()).await.unwrap();
    first.die().await;
    let told = sent.join_next().await.unwrap().unwrap();
    assert!(
        matches!(
            told,
            Err(CometError::Interrupted { .. } | CometError::TimedOut { .. })
        ),
        "{told:?}"
    );
    // Nothing was sent this time.
    let told = client.ping().await;
    assert!(
        matches!(told, Err(CometError::AccessDenied { code: 16, .. })),
        "{told:?}"
    );
    first.rise().await;
    while client.ping().await.is_err() {}
    client.close().await;
    app.stop().await;
    stranger.stop().await;
}

#[tokio::test]
async fn a_wrong_key_is_told_however_often_it_was_tried() {
    let app = node(|_| {}).await;
    let options = Options {
        connect_timeout_ms: 1_500,
        ..Options::default()
    };
    // The server lets the fifth one wait for 1.6 seconds.
    for _ in 0..5 {
        let (user, key) = ("root".to_owned(), "wrong".to_owned());
        let hosts = vec![host(&app)];
        let client = Client::connect(hosts, user, key, String::new(), options.clone()).await;
        assert!(
            matches!(client, Err(CometError::AccessDenied { code: 16, .. })),
            "{:?}",
            client.err()
        );
    }
    app.stop().await;
}

/// Waits until nobody is logged in but the observer.
async fn alone(observer: &Client) {
    loop {
        let list = observer.query("SHOW PROCESSLIST".to_owned(), Vec::new());
        if list.await.unwrap().rows.len() == 1 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_nobody_uses_are_closed() {
    let app = node(|_| {}).await;
    let options = Options {
        idle_close_ms: 50,
        ..Options::default()
    };
    let client = connect(vec![host(&app)], options).await.unwrap();
    publish(&client, 20).join_all().await;
    let observer = connect(vec![host(&app)], Options::default()).await.unwrap();
    alone(&observer).await;
    client.ping().await.unwrap();
    client.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cancelled_does_not_wait_for_the_rest_of_an_answer() {
    let app = node(|_| {}).await;
    let host = Proxy::start(&app).await;
    let observer = connect(vec![common::host(&app)], Options::default());
    let observer = observer.await.unwrap();
    let long = async |client: Arc<Client>| {
        let value = "x".repeat(1 << 20);
        let values = vec![Value::Text { value }];
        client.query("SELECT ?".to_owned(), values).await.unwrap();
    };
    for round in 1..=20 {
        host.become_mode(Mode::Pass);
        let client = connect(vec![host.host()], Options::default());
        let client = client.await.unwrap();
        // Its statement is prepared.
        long(Arc::clone(&client)).await;
        host.become_mode(Mode::Begin);
        let call = tokio::spawn(long(Arc::clone(&client)));
        for _ in 0..round * round * 20 {
            tokio::task::yield_now().await;
        }
        call.abort();
        client.close().await;
        alone(&observer).await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_call_is_that_of_all_its_statements() {
    let app = node(|_| {}).await;
    let far = Proxy::start(&app).await;
    let options = Options {
        call_timeout_ms: 1_500,
        ..Options::default()
    };
    let client = connect(vec![far.host()], options).await.unwrap();
    far.become_mode(Mode::Late);
    // Each statement takes two answers and less than the time, all of them take more.
    let several = vec![publication("web_a", "x"); 256 * 4];
    let late = client.publish_many(several).await;
    let told = match &late {
        Err(CometError::TimedOut { detail }) => detail.contains("of 1024 rows were sent"),
        _ => false,
    };
    assert!(told, "{late:?}");
    let late = client.online((1..=4_000).collect()).await;
    assert!(matches!(late, Err(CometError::TimedOut { .. })), "{late:?}");
    client.close().await;
    app.stop().await;
}
