//! Subscriptions against a real server: what comes, who is let in, and how it ends.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;
mod listening;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cometql_sdk::{
    BlockingClient, Claims, Client, CometError, Credentials, Event, Listening, Options, Tls,
    TokenKey, mint_token,
};
use cometql_server::auth::{self, JwtKey, KeySource, Keyring, TokenSettings, Tokens};
use common::node::OTHER;
use common::{KEY, host, node};
use listening::{
    at, backend, by_hash, channels, line, listen, next, numbers, publication, publish, run, url,
    within,
};

/// Why listening ended or did not begin.
#[track_caller]
fn ended<T>(result: Result<T, CometError>) -> String {
    match result {
        Err(CometError::Ended { code, .. }) => code,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it goes on"),
    }
}

#[tokio::test]
async fn what_is_published_comes() {
    let app = node(|_| {}).await;
    let client = backend(&app).await;
    let subscription = client.subscribe(
        channels(&["web_a", "web_b"]),
        at(&[url(app.http_address())]),
    );
    let subscription = within(subscription).await.unwrap();
    let online = Event::Online {
        url: url(app.http_address()),
    };
    assert_eq!(next(&subscription).await, online);
    let mut lines = [line(&subscription).await, line(&subscription).await];
    lines.sort();
    assert_eq!(lines, ["subscribed web_a", "subscribed web_b"]);
    let insert = "INSERT INTO pipes_messages (name, event, message) VALUES \
        ('web_a', 'said', '{\"a\": \"\\u0441\"}'), ('web_b', '', 'it''s \"x\"')";
    run(&client, insert).await;
    let mut both = [
        publication(&subscription).await,
        publication(&subscription).await,
    ];
    both.sort_by(|one, other| one.channel.cmp(&other.channel));
    let [first, second] = both;
    assert_eq!(
        (&*first.channel, &*first.event, &*first.message, first.user),
        ("web_a", "said", "{\"a\": \"\\u0441\"}", None)
    );
    let age = SystemTime::now().duration_since(first.at).unwrap();
    assert!(age < Duration::from_secs(3_600), "{age:?}");
    assert_eq!(
        (&*second.channel, &*second.event, &*second.message),
        ("web_b", "", "it's \"x\"")
    );
    let subscribers = client.subscribers(vec!["web_a".to_owned()]).await.unwrap();
    assert_eq!(subscribers[0].count, 1);
    subscription.close().await;
    client.close().await;
    app.stop().await;
}

#[tokio::test]
async fn ten_thousand_in_order() {
    let app = node(|settings| settings.limits.window_publications = 100_000).await;
    let client = backend(&app).await;
    let subscription = client.subscribe(channels(&["web_a"]), at(&[url(app.http_address())]));
    let subscription = within(subscription).await.unwrap();
    let publish = async {
        for start in (0..10_000).step_by(100) {
            publish(&client, "web_a", &numbers(start..start + 100)).await;
        }
    };
    let listen = async {
        let mut seen = Vec::new();
        let mut offset = 0;
        while seen.len() < 10_000 {
            for event in within(subscription.next_batch(64)).await.unwrap() {
                if let Event::Publication { publication } = event {
                    let at = publication.position.unwrap().offset;
                    assert!(at > offset, "{at} after {offset}");
                    offset = at;
                    seen.push(publication.message);
                }
            }
        }
        seen
    };
    let ((), seen) = futures_util::join!(publish, listen);
    assert_eq!(seen, numbers(0..10_000));
    app.stop().await;
}

#[tokio::test]
async fn closing_ends_who_waits() {
    let app = node(|_| {}).await;
    let subscription = listen(channels(&["web_a"]), at(&[url(app.http_address())]));
    let subscription = subscription.await.unwrap();
    assert_eq!(line(&subscription).await, "subscribed web_a");
    let waits = async {
        let (one, other) = futures_util::join!(subscription.next(), subscription.next_batch(5));
        assert_eq!((one, other), (Ok(None), Ok(Vec::new())));
    };
    within(async { futures_util::join!(waits, subscription.close()) }).await;
    assert_eq!(within(subscription.next()).await, Ok(None));
    within(subscription.close()).await;
    // A client that is closed ends its subscriptions.
    let client = backend(&app).await;
    let subscription = client.subscribe(channels(&["web_a"]), at(&[url(app.http_address())]));
    let subscription = within(subscription).await.unwrap();
    // One that is only forgotten does not.
    let forgotten = backend(&app).await;
    let goes_on = forgotten.subscribe(channels(&["web_a"]), at(&[url(app.http_address())]));
    let goes_on = within(goes_on).await.unwrap();
    assert_eq!(line(&goes_on).await, "subscribed web_a");
    drop(forgotten);
    publish(&client, "web_a", &numbers(0..1)).await;
    assert_eq!(line(&goes_on).await, "web_a: 0");
    client.close().await;
    while within(subscription.next()).await.unwrap().is_some() {}
    let again = client.subscribe(channels(&["web_a"]), at(&[url(app.http_address())]));
    assert_eq!(within(again).await.err(), Some(CometError::Closed));
    app.stop().await;
}

#[tokio::test]
async fn who_is_not_let_in_is_told_at_once() {
    let app = node(|_| {}).await;
    let listening = |credentials| Listening {
        credentials,
        ..at(&[url(app.http_address())])
    };
    let token = "no.token.atall".to_owned();
    let token = Some(Credentials::Token { token });
    let refused = listen(channels(&["web_a"]), listening(token)).await;
    assert_eq!(ended(refused), "unauthorized");
    let refused = listen(channels(&["web_a"]), listening(by_hash(7, "wrong"))).await;
    assert_eq!(ended(refused), "unauthorized");
    // Nobody may listen to these without a log-in.
    let refused = listen(channels(&["private_a"]), listening(None)).await;
    assert_eq!(ended(refused), "login_required");
    let mixed = listen(channels(&["private_a", "web_a"]), listening(None));
    let mixed = mixed.await.unwrap();
    let mut lines = [line(&mixed).await, line(&mixed).await];
    lines.sort();
    assert_eq!(
        lines,
        ["refused private_a login_required", "subscribed web_a"]
    );
    app.stop().await;
}

const SECRET: &str = "a secret of more than thirty-two characters";

/// What makes tokens of user 7.
fn key(secret: &str, life_s: u64) -> (TokenKey, Claims) {
    let key = TokenKey {
        key: secret.to_owned(),
        algorithm: None,
        id: None,
    };
    let claims = Claims {
        user: 7,
        life_s,
        tenant: None,
        issuer: None,
        audience: None,
        further: String::new(),
    };
    (key, claims)
}

/// What the node knows of that.
fn known() -> Tokens {
    let settings = TokenSettings {
        keys: vec![JwtKey {
            name: "test".into(),
            id: None,
            algorithm: Some(auth::Algorithm::HS256),
            source: KeySource::Secret(SECRET.into()),
            tenant: None,
            issuer: None,
            audience: None,
            leeway_s: 0,
        }],
        derived_secret: false,
    };
    Tokens::new(&settings, Keyring::default()).unwrap()
}

fn token(life_s: u64) -> String {
    let (key, claims) = key(SECRET, life_s);
    mint_token(key, claims).unwrap()
}

#[tokio::test]
async fn a_token_ends_unless_a_newer_one_was_given() {
    let app = node(|settings| settings.tokens = known()).await;
    let client = backend(&app).await;
    let open = || {
        let listening = Listening {
            credentials: Some(Credentials::Token { token: token(5) }),
            ..at(&[url(app.http_address())])
        };
        listen(channels(&["webauth_a"]), listening)
    };
    let (ends, goes_on) = (open().await.unwrap(), open().await.unwrap());
    goes_on.set_token(token(3_600));
    assert_eq!(line(&goes_on).await, "subscribed webauth_a");
    assert_eq!(line(&ends).await, "subscribed webauth_a");
    assert_eq!(ended(within(ends.next()).await), "token_expired");
    publish(&client, "webauth_a", &numbers(0..1)).await;
    assert_eq!(line(&goes_on).await, "webauth_a: 0");
    app.stop().await;
}

#[tokio::test]
async fn a_key_outlives_its_tokens() {
    let app = node(|settings| settings.tokens = known()).await;
    let client = backend(&app).await;
    let listening = |secret| {
        let (key, claims) = key(secret, 6);
        Listening {
            credentials: Some(Credentials::Key { key, claims }),
            ..at(&[url(app.http_address())])
        }
    };
    let refused = listen(channels(&["webauth_a"]), listening("another secret")).await;
    assert_eq!(ended(refused), "unauthorized");
    let elsewhere = Listening {
        tenant: Some(7),
        ..listening(SECRET)
    };
    let elsewhere = listen(channels(&["webauth_a"]), elsewhere).await.unwrap();
    within(elsewhere.close()).await;
    let subscription = listen(channels(&["webauth_a"]), listening(SECRET))
        .await
        .unwrap();
    assert_eq!(line(&subscription).await, "subscribed webauth_a");
    // Longer than a token lives; each is replaced when half of its life is over, without an interruption.
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < Duration::from_secs(8) {
        number += 1;
        publish(&client, "webauth_a", &[number.to_string()]).await;
        assert_eq!(line(&subscription).await, format!("webauth_a: {number}"));
    }
    app.stop().await;
}

#[tokio::test]
async fn each_tenant_hears_its_own() {
    let app = node(|_| {}).await;
    let client = backend(&app).await;
    let (user, key) = ("7".to_owned(), OTHER.to_owned());
    let other = Client::connect(
        vec![host(&app)],
        user,
        key,
        String::new(),
        Options::default(),
    );
    let other = other.await.unwrap();
    let subscription = other.subscribe(channels(&["web_a"]), at(&[url(app.http_address())]));
    let subscription = within(subscription).await.unwrap();
    assert_eq!(line(&subscription).await, "subscribed web_a");
    publish(&client, "web_a", &numbers(0..1)).await;
    publish(&other, "web_a", &numbers(1..2)).await;
    assert_eq!(line(&subscription).await, "web_a: 1");
    app.stop().await;
}

#[tokio::test]
async fn who_is_revoked_hears_nothing_more() {
    let app = node(|_| {}).await;
    let client = backend(&app).await;
    run(
        &client,
        "INSERT INTO users_auth (id, hash) VALUES (7, 'h7')",
    )
    .await;
    let listening = Listening {
        credentials: by_hash(7, "h7"),
        ..at(&[url(app.http_address())])
    };
    let subscription = listen(channels(&["webauth_a"]), listening).await.unwrap();
    publish(&client, "webauth_a", &numbers(0..1)).await;
    // Who is revoked is closed for good.
    run(&client, "DELETE FROM users_auth WHERE id = 7").await;
    assert_eq!(line(&subscription).await, "subscribed webauth_a");
    assert_eq!(line(&subscription).await, "webauth_a: 0");
    for _ in 0..2 {
        assert_eq!(ended(within(subscription.next()).await), "revoked");
    }
    within(subscription.close()).await;
    assert_eq!(within(subscription.next()).await, Ok(None));
    app.stop().await;
}

#[tokio::test]
async fn nobody_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let listening = Listening {
        start_timeout_ms: 300,
        ..at(&[url(address)])
    };
    let CometError::Unreachable { detail } =
        listen(channels(&["web_a"]), listening).await.err().unwrap()
    else {
        panic!("it is something else");
    };
    assert!(detail.contains(&address.to_string()), "{detail}");
}

#[tokio::test]
async fn over_tls_to_who_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let tls =
        cometql_server::net::Tls::load(&file("certificate.pem"), &file("key.pem"), &["http/1.1"]);
    let app = node(|settings| settings.http.tls = Some(Arc::new(tls.unwrap()))).await;
    let port = app.http_address().port();
    let ca_file = file("certificate.pem").to_str().map(str::to_owned);
    let listening = |host: &str, ca_file: &Option<String>, server_name: Option<&str>| Listening {
        tls: Some(Tls {
            ca_file: ca_file.clone(),
            server_name: server_name.map(str::to_owned),
        }),
        ..at(&[format!("wss://{host}:{port}")])
    };
    for (host, name) in [("localhost", None), ("127.0.0.1", Some("localhost"))] {
        let subscription = listen(channels(&["web_a"]), listening(host, &ca_file, name));
        within(subscription.await.unwrap().close()).await;
    }
    for wrong in [
        listening("127.0.0.1", &ca_file, None),
        listening("localhost", &None, None),
    ] {
        let wrong = Listening {
            start_timeout_ms: 1_500,
            ..wrong
        };
        let error = listen(channels(&["web_a"]), wrong).await.err().unwrap();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    let wrong = listening("localhost", &Some("no-such-file".to_owned()), None);
    let error = listen(channels(&["web_a"]), wrong).await.err().unwrap();
    assert!(matches!(error, CometError::Invalid { .. }), "{error}");
    app.stop().await;
}

#[tokio::test]
async fn who_comes_and_goes() {
    let app = node(|_| {}).await;
    let client = backend(&app).await;
    run(
        &client,
        "INSERT INTO users_auth (id, hash) VALUES (7, 'h7')",
    )
    .await;
    let named = |name: &str, credentials| Listening {
        name: name.to_owned(),
        credentials,
        ..at(&[url(app.http_address())])
    };
    let watch = listen(channels(&["track_a"]), named("watch", None))
        .await
        .unwrap();
    assert_eq!(line(&watch).await, "subscribed track_a");
    let other = listen(channels(&["track_a"]), named("other", by_hash(7, "h7")));
    let other = other.await.unwrap();
    assert_eq!(line(&watch).await, "joined track_a Some(7) other");
    within(other.close()).await;
    assert_eq!(line(&watch).await, "left track_a Some(7) other");
    app.stop().await;
}

#[tokio::test]
async fn calls_that_block() {
    let app = node(|_| {}).await;
    let (hosts, address) = (vec![host(&app)], app.http_address());
    let calls = tokio::task::spawn_blocking(move || {
        let (user, key) = ("root".to_owned(), KEY.to_owned());
        let client = BlockingClient::connect(hosts, user, key, String::new(), Options::default());
        let client = client.unwrap();
        let subscription = client.subscribe(channels(&["web_a"]), at(&[url(address)]));
        let subscription = subscription.unwrap();
        client
            .publish(common::publication("web_a", "hello"))
            .unwrap();
        let mut seen = Vec::new();
        while !seen.contains(&"web_a: hello".to_owned()) {
            let events = subscription.next_batch(100).unwrap();
            seen.extend(events.iter().map(listening::as_line));
        }
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| subscription.next());
            subscription.close();
            assert_eq!(waits.join().unwrap(), Ok(None));
        });
        client.close();
        seen
    });
    let seen = within(calls).await.unwrap();
    assert_eq!(seen, ["online", "subscribed web_a", "web_a: hello"]);
    app.stop().await;
}
