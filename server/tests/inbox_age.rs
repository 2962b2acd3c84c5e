//! Private messages that waited longer than `inbox_age`, through a whole node: they are gone for everybody, and their
//! places are free.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::mpsc::channel;
use std::time::{SystemTime, UNIX_EPOCH};

use cometql_engine::publication::Content;
use cometql_engine::{MessageId, StoreAnswer, StoreRequest};
use cometql_protocol::{EventName, TenantId, UserId};
use cometql_server::storage::Store;
use common::backend::{World, rows};
use common::within;
use mysql_async::prelude::Queryable;
use serde_json::json;

const DAY_MS: u64 = 24 * 3_600_000;
/// `inbox_age`, as it is without a configuration.
const AGE_MS: u64 = 30 * DAY_MS;
const LOG_IN: &str = r#"{"id":2,"connect":{"user":5,"hash":"hash5","inbox":true}}"#;

/// Keeps a message that was sent so long ago.
fn keep(store: &Store, data: &str, ago_ms: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    let content = Content {
        id: MessageId(u128::from(ago_ms)),
        event: EventName::default(),
        data: data.into(),
        data_is_json: false,
        time_ms: now_ms - ago_ms,
        user: None,
        from_browser: false,
        once: false,
    };
    let append = StoreRequest::InboxAppend {
        tenant: TenantId(0),
        user: UserId::new(5).unwrap(),
        content,
        limit: 10,
        once: None,
    };
    let (sender, receiver) = channel();
    store.ask(append, move |answer| sender.send(answer).unwrap());
    let kept = receiver.recv().unwrap();
    assert!(matches!(kept, Ok(StoreAnswer::InboxOffset(_))), "{kept:?}");
}

#[tokio::test]
async fn what_waited_too_long_is_gone_and_its_place_is_free() {
    let store = Store::in_memory();
    keep(&store, "month", AGE_MS + DAY_MS);
    keep(&store, "minute", AGE_MS + 60_000);
    keep(&store, "young", AGE_MS - DAY_MS);
    let mut world = World::start(|settings| {
        settings.store = store;
        assert_eq!(settings.limits.inbox_ms, AGE_MS);
        settings.limits.inbox_messages = 2;
    })
    .await;
    // The node looks at once when it starts, and then every minute.
    within(async {
        let waiting = "SELECT message FROM users_messages WHERE id = 5";
        while rows(&mut world.backend, waiting, ()).await != "young" {}
    })
    .await;

    // The sender has one place more, and then is told that there is none.
    let insert = "INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'new')";
    world.run(insert).await;
    match within(world.backend.query_drop(insert)).await {
        Err(mysql_async::Error::Server(error)) => assert_eq!(error.code, 507, "{error:?}"),
        other => panic!("{other:?}"),
    }

    // The receiver gets what is left, with the offsets that it had.
    drop(world.browser(5, &[]).await);
    let mut client = common::Client::connect(&world.app).await;
    assert_eq!(client.ask(LOG_IN).await["connected"]["user"], 5);
    for (data, offset) in [("young", 3), ("new", 4)] {
        let push = client.json().await;
        assert_eq!(
            (&push["data"], &push["offset"]),
            (&json!(data), &json!(offset))
        );
    }
    assert_eq!(client.ask(r#"{"id":3,"ack":{"offset":4}}"#).await["id"], 3);
    world
        .check("SELECT COUNT(*) FROM users_messages", "0")
        .await;
    drop(client);
    world.stop().await;
}
