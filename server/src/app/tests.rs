//! A whole node on a disk that is full for a while.

use std::sync::Arc;

use cometql_engine::permission::{Pattern, Retention, Rule, UserDataRule};
use cometql_engine::{Answer, Command, Draft, MessageId, Rules};
use cometql_protocol::{ChannelName, ErrorCode, EventName, TenantId, UserId};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Message, Result};

use super::{App, AppSettings};
use crate::cometql::SqlError;
use crate::storage::{Durability, Store};

const TENANT: TenantId = TenantId(0);

fn draft(data: &str) -> Draft {
    Draft {
        id: MessageId(u128::from_be_bytes(*uuid::Uuid::new_v4().as_bytes())),
        once: false,
        event: EventName::default(),
        data: data.into(),
        data_is_json: false,
    }
}

async fn publish(app: &App, channel: &str, data: &str) -> Answer {
    let channel = ChannelName::parse(channel).unwrap();
    let tenant = TENANT;
    let draft = draft(data);
    let command = Command::Publish {
        tenant,
        channel,
        draft,
    };
    app.hub().submit(command).await
}

fn rules() -> Arc<Rules> {
    let durable = Retention::Durable {
        publications: 1_000,
        age_ms: u64::MAX,
    };
    let rule = |prefix: &str, retention| Rule {
        retention: Some(retention),
        ..Rule::new(prefix, Pattern::Prefix(prefix.into()))
    };
    let rules = vec![rule("log_", durable), rule("live_", Retention::Ephemeral)];
    Arc::new(Rules::new(rules, UserDataRule::Anyone))
}

/// Payloads and `previous` of the next publications.
async fn listen(
    browser: &mut (impl StreamExt<Item = Result<Message>> + Unpin),
    count: usize,
) -> Vec<(String, Option<u64>)> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let told = browser.next().await.unwrap().unwrap();
        let told: serde_json::Value = serde_json::from_str(told.to_text().unwrap()).unwrap();
        heard.push((
            told["data"].as_str().unwrap().to_owned(),
            told["previous"].as_u64(),
        ));
    }
    heard
}

#[tokio::test]
async fn a_full_disk_refuses_what_must_last_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Durability::Process).unwrap();
    let mut settings = AppSettings::new(store.clone());
    settings.rules = rules();
    settings.shards = Some(2);
    let app = App::start(settings).await.unwrap();
    let url = format!("ws://{}/connect?v=1", app.http_address());
    let (mut browser, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let subscribe = r#"{"id":1,"subscribe":["log_a","web_a","live_a"]}"#;
    browser.send(Message::text(subscribe)).await.unwrap();
    for _ in 0..3 {
        let told = browser.next().await.unwrap().unwrap();
        assert!(told.to_text().unwrap().contains("subscribed"), "{told}");
    }
    assert!(matches!(
        publish(&app, "log_a", "before").await,
        Answer::Published { .. }
    ));

    store.limit_pages(1);
    let large = "x".repeat(200 << 10);
    let Answer::Rejected(reject) = publish(&app, "log_a", &large).await else {
        panic!("there is no space for it")
    };
    assert_eq!(reject.code, ErrorCode::Unavailable);
    assert!(
        reject
            .message
            .contains("disk of the data directory is full"),
        "{reject:?}"
    );
    assert_eq!(SqlError::from(reject).code, 503);
    let (tenant, user, draft) = (TENANT, UserId::new(7).unwrap(), draft(&large));
    let send = Command::Send {
        tenant,
        user,
        draft,
    };
    assert!(matches!(app.hub().submit(send).await, Answer::Rejected(_)));
    for channel in ["web_a", "live_a"] {
        let answer = publish(&app, channel, "meanwhile").await;
        assert!(
            matches!(answer, Answer::Published { reached: 1, .. }),
            "{answer:?}"
        );
    }

    store.limit_pages(1_000_000);
    assert!(matches!(
        publish(&app, "log_a", "after").await,
        Answer::Published { .. }
    ));
    let mut heard = listen(&mut browser, 4).await;
    heard.sort();
    let expected = [
        ("after", Some(1)),
        ("before", Some(0)),
        ("meanwhile", None),
        ("meanwhile", Some(0)),
    ];
    assert_eq!(
        heard,
        expected.map(|(data, previous)| (data.to_owned(), previous))
    );
    drop(browser);
    app.stop().await;
}
