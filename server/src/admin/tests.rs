use std::net::SocketAddr;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::guard::{basic, is_foreign};
use crate::app::{App, AppSettings, BackendSettings};
use crate::auth::{Keyring, Keys};
use crate::storage::Store;

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = list.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, value.parse().unwrap())
    });
    pairs.collect()
}

#[track_caller]
fn check_foreign(list: &[(&'static str, &str)], foreign: bool) {
    let mut headers = headers(list);
    headers.insert(HOST, "127.0.0.1:8088".parse().unwrap());
    assert_eq!(is_foreign(&headers), foreign, "{list:?}");
}

#[test]
fn requests_of_other_sites_are_told_apart() {
    check_foreign(&[], false);
    check_foreign(&[("origin", "http://127.0.0.1:8088")], false);
    check_foreign(&[("sec-fetch-site", "same-origin")], false);
    check_foreign(&[("sec-fetch-site", "none")], false);
    check_foreign(&[("origin", "http://127.0.0.1:8087")], true);
    check_foreign(&[("origin", "https://evil.example")], true);
    check_foreign(&[("origin", "null")], true);
    check_foreign(&[("sec-fetch-site", "cross-site")], true);
    check_foreign(&[("sec-fetch-site", "same-site")], true);
    let mut no_host = HeaderMap::new();
    no_host.insert(ORIGIN, "http://a".parse().unwrap());
    assert!(is_foreign(&no_host));
}

#[test]
fn basic_authentication() {
    #[track_caller]
    fn check(value: &str, expected: Option<(&str, &str)>) {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        let expected = expected.map(|(user, key)| (user.to_owned(), key.to_owned()));
        assert_eq!(basic(&headers), expected, "{value}");
    }
    // "root:a:b", "root", and bytes that are not UTF-8.
    check("Basic cm9vdDphOmI=", Some(("root", "a:b")));
    check("basic cm9vdDphOmI=", Some(("root", "a:b")));
    check("Basic cm9vdA==", None);
    check("Basic //8=", None);
    check("Bearer cm9vdDphOmI=", None);
    check("Basic", None);
    assert_eq!(basic(&HeaderMap::new()), None);
}

/// A node with both doors, and its addresses: the admin port, the browser port.
async fn node() -> (App, [SocketAddr; 2]) {
    let keyring = Keyring::new(Keys {
        default: vec!["key".into()],
        tenant_limit: 10,
        ..Keys::default()
    });
    let app = App::start(AppSettings {
        shards: Some(1),
        backends: BackendSettings {
            keyring,
            admin: super::Settings {
                address: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
                on_http: true,
                body_time: Duration::from_millis(50),
                ..super::Settings::default()
            },
            ..BackendSettings::default()
        },
        ..AppSettings::new(Store::in_memory())
    });
    let app = app.await.unwrap();
    let addresses = [app.admin_address().unwrap(), app.http_address()];
    (app, addresses)
}

/// Sends a request; returns the whole answer.
async fn ask(to: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {to}\r\norigin: http://{to}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

// root:key, root:wrong
const RIGHT: &str = "authorization: Basic cm9vdDprZXk=\r\n";
const WRONG: &str = "authorization: Basic cm9vdDp3cm9uZw==\r\n";
const INSERT: &str = "INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', 'e', 'x')";
/// Request, headers, body; status and a part of the answer.
const REQUESTS: &[(&str, &str, &str, u16, &str)] = &[
    (
        "GET /metrics",
        "",
        "",
        200,
        "\ncometql_subscriptions{shard=\"0\"} 0\n",
    ),
    (
        "POST /sql",
        RIGHT,
        "SELECT 1 AS one",
        200,
        r#"{"columns":["one"],"rows":[["#,
    ),
    (
        "POST /sql",
        RIGHT,
        INSERT,
        200,
        r#""affected_rows":0,"info":"Reached: 0""#,
    ),
    ("POST /sql", RIGHT, "SELEC", 400, r#"{"error":{"code":3,"#),
    (
        "POST /sql",
        RIGHT,
        "SELECT 1; SELECT 2",
        400,
        "one statement",
    ),
    (
        "POST /sql",
        RIGHT,
        "SELECT * FROM nowhere",
        404,
        r#""code":15"#,
    ),
    (
        "POST /sql",
        WRONG,
        "SELECT 1",
        401,
        "www-authenticate: Basic",
    ),
    ("POST /sql", "", "SELECT 1", 401, r#""code":16"#),
    ("GET /sql", RIGHT, "", 405, "method"),
    (
        "GET /console",
        "",
        "",
        200,
        "default-src 'none'; script-src 'self'",
    ),
    ("GET /console/console.js", "", "", 200, "text/javascript"),
    ("GET /console/state", "", "", 401, "log in first"),
    (
        "POST /console/sql",
        "cookie: cometql_console=x\r\n",
        "SELECT 1",
        401,
        "log in",
    ),
];

#[tokio::test]
async fn both_ports_answer_and_refuse_alike() {
    let (app, addresses) = node().await;
    for to in addresses {
        for (line, headers, body, status, part) in REQUESTS {
            let answer = ask(to, line, headers, body).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{line} {body}: {answer}");
            assert!(answer.contains(part), "{line} {body}: {answer}");
            // Also on the browser port, which shares its other answers with pages of any origin.
            assert!(!answer.contains("access-control"), "{line}: {answer}");
            let foreign = format!("{headers}origin: https://evil.example\r\n");
            let answer = ask(to, line, &foreign, body).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{line}: {answer}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn the_console_logs_in_by_a_cookie_that_pages_cannot_read() {
    let (app, [to, _]) = node().await;
    let wrong = ask(to, "POST /console/login", "", r#"{"user":"3","key":"no"}"#).await;
    assert!(wrong.starts_with("HTTP/1.1 401 "), "{wrong}");
    let right = ask(to, "POST /console/login", "", r#"{"user":"3","key":"key"}"#).await;
    let (_, cookie) = right.split_once("set-cookie: ").unwrap();
    let (cookie, _) = cookie.split_once("\r\n").unwrap();
    assert!(
        cookie.ends_with("Path=/console; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let (pair, _) = cookie.split_once(';').unwrap();
    let header = format!("cookie: a=b; {pair}\r\n");
    let state = ask(to, "GET /console/state", &header, "").await;
    assert!(state.contains(r#""tenant":3"#), "{state}");
    let rows = ask(to, "POST /console/sql", &header, "SELECT 'x' AS a").await;
    assert!(
        rows.contains(r#"{"columns":["a"],"rows":[["x"]]}"#),
        "{rows}"
    );
    ask(to, "POST /console/logout", &header, "").await;
    let state = ask(to, "GET /console/state", &header, "").await;
    assert!(state.starts_with("HTTP/1.1 401 "), "{state}");
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (app, addresses) = node().await;
    for to in addresses {
        let mut socket = tokio::net::TcpStream::connect(to).await.unwrap();
        let head = "POST /console/login HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{";
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    app.stop().await;
}

#[test]
fn who_logs_in_too_often_ends_only_his_own() {
    let sessions = super::console::Sessions::new(Duration::from_hours(1));
    let mine = sessions.begin("1".into(), "key".into());
    for _ in 0..2_000 {
        sessions.begin("2".into(), "key".into());
    }
    let cookie = format!("cometql_console={mine}");
    assert!(sessions.find(&headers(&[("cookie", &cookie)])).is_some());
}

#[tokio::test]
async fn the_console_tails_any_channel_of_its_tenant() {
    let (app, [to, _]) = node().await;
    let right = ask(
        to,
        "POST /console/login",
        "",
        r#"{"user":"root","key":"key"}"#,
    )
    .await;
    let (_, cookie) = right.split_once("set-cookie: ").unwrap();
    let (pair, _) = cookie.split_once(';').unwrap();
    let header = format!("cookie: {pair}\r\n");
    let bare = ask(to, "GET /console/tail?channel=private_a", "", "").await;
    assert!(bare.starts_with("HTTP/1.1 401 "), "{bare}");
    let unnamed = ask(to, "GET /console/tail?channel=%20", &header, "").await;
    assert!(unnamed.starts_with("HTTP/1.1 400 "), "{unnamed}");

    let mut tail = tokio::net::TcpStream::connect(to).await.unwrap();
    let request =
        format!("GET /console/tail?channel=private_a HTTP/1.1\r\nhost: {to}\r\n{header}\r\n");
    tail.write_all(request.as_bytes()).await.unwrap();
    let mut seen = String::new();
    until(&mut tail, &mut seen, ":\n\n").await;
    assert!(
        seen.contains("content-type: text/event-stream\r\n"),
        "{seen}"
    );
    let long = "é".repeat(4000);
    for (name, text) in [
        ("web_other", "no"),
        ("private_a", "<b>"),
        ("private_a", &long),
    ] {
        let insert = format!(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('{name}', 'e', '{text}')"
        );
        ask(to, "POST /sql", RIGHT, &insert).await;
    }
    until(&mut tail, &mut seen, r#""bytes":8000"#).await;
    assert!(seen.contains(r#""data":"<b>""#), "{seen}");
    assert!(!seen.contains(r#""data":"no""#), "{seen}");
    assert!(!seen.contains(&long), "shown whole");
    // Does not wait for the tail.
    app.stop().await;
    let mut rest = Vec::new();
    tail.read_to_end(&mut rest).await.unwrap();
}

/// Reads until `end` was seen.
async fn until(socket: &mut tokio::net::TcpStream, seen: &mut String, end: &str) {
    let mut bytes = Vec::new();
    while !seen.contains(end) {
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "{seen}");
        *seen += &String::from_utf8_lossy(&std::mem::take(&mut bytes));
    }
}
