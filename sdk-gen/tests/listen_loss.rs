//! What a subscription tells after interruptions, against real servers: everything, once and in order, or a gap.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;
mod listening;

use std::sync::Arc;
use std::time::Duration;

use cometql_engine::Rules;
use cometql_engine::permission::{Pattern, Retention, Rule, UserDataRule};
use cometql_sdk::{Client, Event, Listening, Position, Subscription};
use cometql_server::storage::{Durability, Store};
use common::node;
use listening::{
    Proxy, at, backend, channels, line, listen, next, numbers, publication, publish, publish_one,
    run, since, url, within,
};

#[tokio::test]
async fn a_position_outlives_application_and_server() {
    let data = tempfile::tempdir().unwrap();
    let open = || Store::open(data.path(), Durability::Process).unwrap();
    let app = node(|settings| settings.store = open()).await;
    let client = backend(&app).await;
    let settings = "INSERT INTO pipes_settings (name, length) VALUES ('web_log', 100)";
    run(&client, settings).await;
    let subscription = listen(channels(&["web_log"]), at(&[url(app.http_address())]));
    let subscription = subscription.await.unwrap();
    publish(&client, "web_log", &numbers(0..3)).await;
    assert_eq!(line(&subscription).await, "subscribed web_log");
    let stored = publication(&subscription).await.position.unwrap();
    subscription.close().await;
    publish(&client, "web_log", &numbers(3..5)).await;
    client.close().await;
    app.stop().await;

    let app = node(|settings| settings.store = open()).await;
    let client = backend(&app).await;
    publish(&client, "web_log", &numbers(5..6)).await;
    let again = listen(since("web_log", &stored), at(&[url(app.http_address())]));
    let again = again.await.unwrap();
    publish(&client, "web_log", &numbers(6..7)).await;
    assert_eq!(line(&again).await, "subscribed web_log, recovered");
    for expected in numbers(1..7) {
        assert_eq!(publication(&again).await.message, expected);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_server_that_comes_back() {
    let data = tempfile::tempdir().unwrap();
    let open = || Store::open(data.path(), Durability::Process).unwrap();
    let app = node(|settings| settings.store = open()).await;
    let proxy = Proxy::to(app.http_address()).await;
    let client = backend(&app).await;
    let settings = "INSERT INTO pipes_settings (name, length) VALUES ('web_log', 100)";
    run(&client, settings).await;
    let subscription = listen(
        channels(&["web_log", "web_window"]),
        at(&[url(proxy.address)]),
    );
    let subscription = subscription.await.unwrap();
    publish(&client, "web_log", &numbers(0..2)).await;
    let mut lines = [line(&subscription).await, line(&subscription).await];
    lines.sort();
    assert_eq!(lines, ["subscribed web_log", "subscribed web_window"]);
    client.close().await;
    app.stop().await;
    for expected in numbers(0..2) {
        assert_eq!(publication(&subscription).await.message, expected);
    }

    let app = node(|settings| settings.store = open()).await;
    let client = backend(&app).await;
    publish(&client, "web_log", &numbers(2..4)).await;
    proxy.turn_to(app.http_address());
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.push(line(&subscription).await);
    }
    // Of the channels one comes before the other; in each of them there is an order.
    lines.sort();
    assert_eq!(
        lines,
        [
            "gap web_window",
            "recovered web_log",
            "web_log: 2",
            "web_log: 3"
        ]
    );
    app.stop().await;
}

#[tokio::test]
async fn cut_again_and_again_nothing_is_missing_or_doubled() {
    let app = node(|settings| settings.limits.window_publications = 100_000).await;
    let proxy = Proxy::to(app.http_address()).await;
    let client = backend(&app).await;
    let listening = Listening {
        back_off_min_ms: 1,
        back_off_max_ms: 5,
        ..at(&[url(proxy.address)])
    };
    let subscription = listen(channels(&["web_a"]), listening).await.unwrap();
    assert_eq!(line(&subscription).await, "subscribed web_a");
    let publish = async {
        for round in 0..20 {
            publish(&client, "web_a", &numbers(round * 50..round * 50 + 50)).await;
            proxy.cut();
        }
    };
    let listen = async {
        let (mut seen, mut recovered) = (Vec::new(), 0);
        while seen.len() < 1_000 {
            match next(&subscription).await {
                Event::Publication { publication } => seen.push(publication.message),
                Event::Recovered { .. } => recovered += 1,
                Event::Online { .. } | Event::Offline { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        (seen, recovered)
    };
    let ((), (seen, recovered)) = futures_util::join!(publish, listen);
    assert_eq!(seen, numbers(0..1_000));
    assert!(recovered > 0);
    app.stop().await;
}

#[tokio::test]
async fn another_node_takes_over() {
    let (one, other) = (node(|_| {}).await, node(|_| {}).await);
    let urls = [url(one.http_address()), url(other.http_address())];
    let subscription = listen(channels(&["web_a"]), at(&urls)).await.unwrap();
    let Event::Online { url: first } = next(&subscription).await else {
        panic!("it is not online");
    };
    assert_eq!(line(&subscription).await, "subscribed web_a");
    let (dies, lives) = if first == urls[0] {
        (one, other)
    } else {
        (other, one)
    };
    within(dies.stop()).await;
    // These nodes are no cluster: they don't have the same history.
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::Gap { .. })) {
        events.push(next(&subscription).await);
    }
    assert!(
        matches!(events.first(), Some(Event::Offline { .. })),
        "{events:?}"
    );
    let online = Event::Online {
        url: url(lives.http_address()),
    };
    assert!(events.contains(&online), "{events:?}");
    let client = backend(&lives).await;
    publish(&client, "web_a", &numbers(0..1)).await;
    assert_eq!(line(&subscription).await, "web_a: 0");
    lives.stop().await;
}

#[tokio::test]
async fn channels_that_keep_nothing_tell_a_gap() {
    let app = node(|settings| {
        let rule = Rule {
            retention: Some(Retention::Ephemeral),
            ..Rule::new("test", Pattern::Prefix("web_now".into()))
        };
        settings.rules = Arc::new(Rules::new(vec![rule], UserDataRule::Anyone));
    })
    .await;
    let proxy = Proxy::to(app.http_address()).await;
    let client = backend(&app).await;
    let position = Position {
        epoch: "00000000000000ff".to_owned(),
        offset: 1,
    };
    let subscription = listen(since("web_now", &position), at(&[url(proxy.address)]));
    let subscription = subscription.await.unwrap();
    publish(&client, "web_now", &numbers(0..1)).await;
    assert_eq!(line(&subscription).await, "subscribed web_now, no history");
    assert_eq!(line(&subscription).await, "gap web_now");
    assert_eq!(publication(&subscription).await.position, None);
    proxy.cut();
    assert_eq!(line(&subscription).await, "gap web_now");
    app.stop().await;
}

/// The position that the channel's first event tells.
async fn beginning(subscription: &Subscription) -> Position {
    loop {
        if let Event::Subscribed { position, .. } = next(subscription).await {
            return position.unwrap();
        }
    }
}

#[tokio::test]
async fn what_the_server_does_not_keep_any_more_is_a_gap() {
    let app = node(|settings| settings.limits.window_publications = 10).await;
    let client = backend(&app).await;
    let urls = [url(app.http_address())];
    let subscription = listen(channels(&["web_a"]), at(&urls)).await.unwrap();
    let stored = beginning(&subscription).await;
    subscription.close().await;
    publish(&client, "web_a", &numbers(0..30)).await;
    let again = listen(since("web_a", &stored), at(&urls)).await.unwrap();
    let at_gap = loop {
        if let Event::Gap { position, .. } = next(&again).await {
            break position.unwrap();
        }
    };
    // Who stores that position misses nothing from there.
    again.close().await;
    publish(&client, "web_a", &numbers(30..32)).await;
    let again = listen(since("web_a", &at_gap), at(&urls)).await.unwrap();
    assert_eq!(line(&again).await, "subscribed web_a, recovered");
    assert_eq!(line(&again).await, "web_a: 30");
    assert_eq!(line(&again).await, "web_a: 31");
    app.stop().await;
}

/// An application that dies after it has stored the position that it was told first misses nothing of what follows it.
#[tokio::test]
async fn the_first_position_is_one_to_store() {
    let app = node(|_| {}).await;
    let client = backend(&app).await;
    let urls = [url(app.http_address())];
    let subscription = listen(channels(&["web_a"]), at(&urls)).await.unwrap();
    let mut stored = beginning(&subscription).await;
    subscription.close().await;
    publish(&client, "web_a", &numbers(0..2)).await;
    for _ in 0..2 {
        let again = listen(since("web_a", &stored), at(&urls)).await.unwrap();
        stored = beginning(&again).await;
        again.close().await;
    }
    let again = listen(since("web_a", &stored), at(&urls)).await.unwrap();
    assert_eq!(line(&again).await, "subscribed web_a, recovered");
    assert_eq!(line(&again).await, "web_a: 0");
    assert_eq!(line(&again).await, "web_a: 1");
    app.stop().await;
}

/// Waits until the server has closed the connections of all who listen.
async fn nobody_listens(client: &Client, channel: &str) {
    let count = async || {
        let subscribers = client.subscribers(vec![channel.to_owned()]).await;
        subscribers.unwrap()[0].count
    };
    while count().await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// 100 MB, much more than sockets and the server's outbox hold, wait for an application that does not ask for it.
#[tokio::test]
async fn who_does_not_read_is_waited_for_and_then_told() {
    const MANY: usize = 200;
    // The window must not have all that a connection could not take.
    let app = node(|settings| settings.limits.window_publications = 5).await;
    let client = backend(&app).await;
    let listening = Listening {
        queue_events: 20,
        ..at(&[url(app.http_address())])
    };
    let subscription = listen(channels(&["web_a"]), listening).await.unwrap();
    let long = "x".repeat(500_000);
    for number in 0..MANY {
        publish_one(&client, "web_a", &format!("{number} {long}")).await;
    }
    within(nobody_listens(&client, "web_a")).await;
    let (mut last, mut lost, mut gaps, mut closed) = (None, true, 0, 0);
    while last != Some(MANY) {
        match next(&subscription).await {
            Event::Publication { publication } => {
                let (number, _) = publication.message.split_once(' ').unwrap();
                let number: usize = number.parse().unwrap();
                let follows = last.map_or(number == 0, |last| number == last + 1);
                assert!(follows || lost, "{number} after {last:?}");
                (last, lost) = (Some(number), false);
            }
            Event::Gap { .. } => {
                (gaps, lost) = (gaps + 1, true);
                publish_one(&client, "web_a", &format!("{MANY} ")).await;
            }
            // The close frame with 4001 is behind what nobody read; the node does not wait for long until it is taken.
            Event::Offline { .. } => closed += 1,
            Event::Online { .. } | Event::Subscribed { .. } | Event::Recovered { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gaps, 1);
    assert!(closed > 0);
    app.stop().await;
}
