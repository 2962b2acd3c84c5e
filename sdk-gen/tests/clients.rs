//! Both kinds of client against a real server.

mod common;

use cometql_sdk::{
    BlockingClient, ChannelSince, Client, CometError, Credentials, Listening, Options, Value,
};
use common::{KEY, connect, host, node, publication};

#[tokio::test]
async fn what_a_client_says_first() {
    let app = node(|_| {}).await;
    let client = connect(vec![host(&app)], Options::default()).await.unwrap();
    client.ping().await.unwrap();
    let sent = client.publish(publication("web_a", "žluť \0")).await;
    let sent = sent.unwrap();
    assert_eq!((sent.reached, sent.stored), (0, true));
    let channels = vec!["web_a".to_owned(), "web_b".to_owned()];
    let subscribers = client.subscribers(channels).await.unwrap();
    let counts: Vec<_> = subscribers.iter().map(|s| (&*s.channel, s.count)).collect();
    assert_eq!(counts, [("web_a", 0), ("web_b", 0)]);
    assert_eq!(client.subscribers(Vec::new()).await.unwrap(), []);
    let values = vec![
        Value::Int { value: -7 },
        Value::Int { value: i64::MAX },
        Value::Float { value: 0.5 },
        Value::Text {
            value: "'".to_owned(),
        },
        Value::Null,
    ];
    let answer = client.query("SELECT ? a, ?, ?, ?, ?".to_owned(), values.clone());
    let answer = answer.await.unwrap();
    assert_eq!(answer.columns[0], "a");
    assert_eq!(answer.rows, [values]);
    client.close().await;
    client.close().await;
    assert_eq!(client.ping().await, Err(CometError::Closed));
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_is_closed_where_nothing_can_be_awaited() {
    let app = node(|_| {}).await;
    let client = connect(vec![host(&app)], Options::default()).await.unwrap();
    // As other languages do it: in a thread that knows no runtime.
    std::thread::scope(|scope| scope.spawn(|| client.close_now()).join()).unwrap();
    assert_eq!(client.ping().await, Err(CometError::Closed));
    app.stop().await;
}

#[tokio::test]
async fn calls_that_block() {
    let app = node(|_| {}).await;
    let hosts = vec![host(&app)];
    let calls = tokio::task::spawn_blocking(move || {
        let (user, key) = ("root".to_owned(), KEY.to_owned());
        let client = BlockingClient::connect(hosts, user, key, String::new(), Options::default());
        let client = client.unwrap();
        client.ping().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        client.publish(publication("web_a", "{}")).unwrap();
                    }
                });
            }
        });
        client.close();
        assert_eq!(client.ping(), Err(CometError::Closed));
    });
    calls.await.unwrap();
    app.stop().await;
}

#[tokio::test]
async fn who_may_not_log_in() {
    let app = node(|_| {}).await;
    let log_in = async |host: String, key: &str, database: &str| {
        let (user, key, database) = ("root".to_owned(), key.to_owned(), database.to_owned());
        let client = Client::connect(vec![host], user, key, database, Options::default());
        client.await.map(|_| ()).unwrap_err()
    };
    let denied = log_in(host(&app), "no", "").await;
    assert!(
        matches!(denied, CometError::AccessDenied { code: 16, .. }),
        "{denied}"
    );
    let refused = log_in(host(&app), KEY, "no").await;
    assert!(
        matches!(refused, CometError::Refused { code: 15, .. }),
        "{refused}"
    );
    let unreachable = log_in("127.0.0.1:1".to_owned(), KEY, "").await;
    assert!(
        matches!(unreachable, CometError::Unreachable { .. }),
        "{unreachable}"
    );
    let invalid = log_in("a b".to_owned(), KEY, "").await;
    assert!(matches!(invalid, CometError::Invalid { .. }), "{invalid}");
    app.stop().await;
}

#[tokio::test]
async fn who_is_there() {
    let app = node(|_| {}).await;
    let client = connect(vec![host(&app)], Options::default()).await.unwrap();
    client.authorize(5, "hash5".to_owned()).await.unwrap();
    let listening = Listening {
        urls: vec![format!("ws://{}", app.http_address())],
        credentials: Some(Credentials::Hash {
            user: 5,
            hash: "hash5".to_owned(),
        }),
        name: "a worker".to_owned(),
        inbox: true,
        ..Listening::default()
    };
    let channels = vec![ChannelSince {
        channel: "web_a".to_owned(),
        since: None,
    }];
    let subscription = client.subscribe(channels, listening).await.unwrap();
    let present = client.presence("web_a".to_owned()).await.unwrap();
    let [present] = &present[..] else {
        panic!("{present:?}");
    };
    assert_eq!(
        (present.user, &*present.uuid, &*present.ip),
        (Some(5), "a worker", "127.0.0.1")
    );
    let subscribers = client.subscribers(vec!["web_a".to_owned()]).await.unwrap();
    assert_eq!(subscribers[0].count, 1);
    assert_eq!(client.online(vec![6, 5, 7]).await.unwrap(), [5]);
    let seen = client.last_seen(vec![5]).await.unwrap();
    assert_eq!((seen[0].online, seen[0].at), (true, None));
    let sent = client.publish(publication("web_a", "x")).await.unwrap();
    assert_eq!(sent.reached, 1);
    let several = vec![publication("web_a", "x"); 3];
    assert_eq!(client.publish_many(several).await.unwrap().reached, 3);
    let users = client
        .send_to_users(vec![5, 6], "x".to_owned(), String::new(), None)
        .await;
    assert_eq!(users.unwrap().reached, 1);
    // Taken away, it ends at once: the user is offline, since some time that is known.
    client.deauthorize(5).await.unwrap();
    loop {
        let seen = client.last_seen(vec![5]).await.unwrap();
        if !seen[0].online && seen[0].at.is_some() {
            break;
        }
    }
    assert_eq!(client.presence("web_a".to_owned()).await.unwrap(), []);
    subscription.close().await;
    client.close().await;
    app.stop().await;
}

#[tokio::test]
async fn more_than_a_statement_may_have() {
    let app = node(|_| {}).await;
    let client = connect(vec![host(&app)], Options::default()).await.unwrap();
    let long = vec![publication("web_a", &"x".repeat(1 << 20)); 20];
    assert_eq!(client.publish_many(long).await.unwrap().ids.len(), 20);
    let short = vec![publication("web_a", "x"); 1_000];
    assert_eq!(client.publish_many(short).await.unwrap().ids.len(), 1_000);
    // The last part is refused, and what was sent before it is told.
    let mut some = vec![publication("web_a", "x"); 300];
    some.push(publication("ab", "x"));
    let refused = client.publish_many(some).await.unwrap_err().to_string();
    assert!(
        refused.ends_with("(the first 300 of 301 rows were sent)"),
        "{refused}"
    );
    client.close().await;
    app.stop().await;
}

#[tokio::test]
async fn servers_that_take_less_or_more_than_others() {
    let app = node(|settings| {
        settings.backends.language.insert_rows = 10;
        let mysql = settings.backends.mysql.as_mut().unwrap();
        mysql.packet_bytes = 100 << 10;
    })
    .await;
    let client = connect(vec![host(&app)], Options::default()).await.unwrap();
    let several = vec![publication("web_a", &"x".repeat(20 << 10)); 100];
    assert_eq!(client.publish_many(several).await.unwrap().ids.len(), 100);
    client.close().await;
    app.stop().await;
    // Whatever the client thinks is too much: the server says so.
    let app = node(|_| {}).await;
    let client = connect(vec![host(&app)], Options::default()).await.unwrap();
    let value = "x".repeat(20 << 20);
    let values = vec![Value::Text { value }];
    let refused = client.query("SELECT LENGTH(?)".to_owned(), values).await;
    assert!(
        matches!(refused, Err(CometError::Refused { code: 11, .. })),
        "{refused:?}"
    );
    client.close().await;
    app.stop().await;
}

#[tokio::test]
async fn what_alters_a_connection_alters_no_other_call() {
    let app = node(|_| {}).await;
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let client = connect(vec![host(&app)], options).await.unwrap();
    let ask = async |sql: &str| client.query(sql.to_owned(), Vec::new()).await;
    let database = ask("SELECT DATABASE()").await.unwrap().rows;
    for sql in ["/**/ USE db_0", ";USE db_0", "-- \nUSE db_0"] {
        let refused = ask(sql).await;
        assert!(
            matches!(refused, Err(CometError::Invalid { .. })),
            "{refused:?}"
        );
    }
    let mut connections = Vec::new();
    for sql in [
        "/*!USE db_0*/",
        "SET wait_timeout = 7",
        "SELECT 1",
        "SELECT 2",
    ] {
        ask(sql).await.unwrap();
        assert_eq!(ask("SELECT DATABASE()").await.unwrap().rows, database);
        let timeout = ask("SELECT @@wait_timeout").await.unwrap().rows;
        assert_ne!(timeout, [[Value::Int { value: 7 }]]);
        connections.push(ask("SELECT CONNECTION_ID()").await.unwrap().rows);
    }
    assert_ne!(connections[0], connections[1]);
    assert_eq!(connections[1], connections[3]);
    client.close().await;
    app.stop().await;
}

#[tokio::test]
async fn long_statements_are_not_kept_prepared() {
    let app = node(|settings| settings.backends.language.memory_bytes = 2 << 20).await;
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let client = connect(vec![host(&app)], options).await.unwrap();
    // A tenant may have half of the memory.
    for number in 0..60 {
        for length in [30 << 10, 4 << 10] {
            let sql = format!("SELECT '{}' AS a{number}", "x".repeat(length));
            client.query(sql, Vec::new()).await.unwrap();
        }
    }
    client.close().await;
    app.stop().await;
}
