//! SHOW, SET, USE, KILL, what clients send when they start, and who waits.

use std::sync::Arc;

use cometql_protocol::TenantId;
use cometql_server::cometql::{Idle, Settings, Turns};

use super::node;

#[tokio::test]
async fn commands() {
    let mut node = node().await;
    node.check(&[
        ("SHOW DATABASES", "CometQL_v1 | information_schema"),
        ("SHOW TABLES LIKE 'users\\_a%'", "users_auth"),
        ("SHOW TABLES WHERE tables_in_CometQL_v1 = 'pipes'", "pipes"),
        (
            "DESCRIBE users_auth",
            "id,int(11),NO,PRI,NULL, | hash,varchar(32),NO,,NULL,",
        ),
        (
            "SHOW VARIABLES LIKE 'lower_case_table%'",
            "lower_case_table_names,0",
        ),
        ("SELECT DATABASE(), CONNECTION_ID(), 'a', ?", "error 12"),
        (
            "SELECT DATABASE(), CONNECTION_ID(), 'a' AS b, 2",
            "CometQL_v1,7,a,2",
        ),
        ("SELECT @@nonsense", "error 1193"),
        (
            "SELECT @@wait_timeout, @@interactive_timeout, @@max_execution_time",
            "28800,28800,10000",
        ),
        ("USE nonsense", "error 15"),
        ("USE db_16", "error 16"),
        ("USE CometQL_v1", "ok 0/0"),
        ("KILL 12345", "error 1094"),
        ("KILL 99999999999", "error 1094"),
        ("KILL QUERY 5", "ok 0/0"),
        ("SHOW RAM STATUS", "error 403"),
        ("SHOW CONNECTIONS", ""),
        ("SHOW STATUS LIKE 'id'", "id,15"),
        ("BEGIN; SELECT 1; COMMIT", "ok 0/0; 1; ok 0/0"),
        ("SELECT * FROM conference WHERE name = 'x'", "error 2"),
    ])
    .await;
    node.session.admin = true;
    assert!(
        node.answer("SHOW RAM STATUS", &[])
            .await
            .contains("MemTotal")
    );
    let rule = node
        .answer("EXPLAIN SUBSCRIBE 'private_x' FOR USER 5", &[])
        .await;
    assert!(rule.starts_with("private_x,5,subscribe,"), "{rule}");
    node.stop().await;
}

#[tokio::test]
async fn what_clients_send_when_they_start() {
    let mut node = node().await;
    let fixtures = [
        include_str!("../fixtures/cli.sql"),
        include_str!("../fixtures/connector_j.sql"),
        include_str!("../fixtures/dbeaver.sql"),
        include_str!("../fixtures/drivers.sql"),
        include_str!("../fixtures/grafana.sql"),
    ];
    for line in fixtures.iter().flat_map(|text| text.lines()) {
        if !line.starts_with("-- ") {
            let answer = node.answer(line, &[]).await;
            assert!(!answer.contains("error "), "{line}: {answer}");
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn selects_wait_for_a_place() {
    let mut node = node().await;
    let ample = node.context.settings.load_full();
    node.context.settings.store(Arc::new(Settings {
        select_ms: 50,
        ..Settings::default()
    }));
    node.context.turns = Arc::new(Turns::new(2, 1));
    let turns = Arc::clone(&node.context.turns);
    let place = turns.place(node.session.tenant).await;
    node.check(&[
        ("SELECT 1 + 1", "error 429"),
        ("EXPLAIN SELECT 1 + 1", "error 429"),
        ("SELECT hash FROM users_auth WHERE id = 5", ""),
    ])
    .await;
    // Those that get a place may take their time.
    node.context.settings.store(ample);
    // Another tenant is not in the way.
    let own = std::mem::replace(&mut node.session.tenant, TenantId(16));
    node.check(&[("SELECT 1 + 1", "2")]).await;
    node.session.tenant = own;
    drop(place);
    node.check(&[("SELECT 1 + 1", "2"), ("SELECT 1 + 2", "3")])
        .await;
    node.stop().await;
}

#[tokio::test]
async fn a_session_may_be_idle_for_as_long_as_it_says() {
    let mut node = node().await;
    node.session.idle = Idle::new(std::time::Duration::from_mins(10));
    node.check(&[
        ("SELECT @@wait_timeout", "600"),
        ("SET wait_timeout = 60", "ok 0/0"),
        ("SHOW WARNINGS", ""),
        ("SHOW VARIABLES LIKE 'wait%'", "wait_timeout,60"),
        ("SELECT @@session.wait_timeout + 0", "60"),
        // What Rails sends.
        (
            "SET NAMES utf8mb4, @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483, @@SESSION.sql_mode = ''",
            "ok 0/0",
        ),
        (
            "SHOW WARNINGS",
            "Warning,1105,Truncated incorrect wait_timeout value: '2147483': 600 seconds hold",
        ),
        ("SET SESSION interactive_timeout = 30", "ok 0/0"),
        ("SELECT @@wait_timeout", "30"),
        ("SET wait_timeout = DEFAULT", "ok 0/0"),
        ("SELECT @@wait_timeout", "600"),
        ("SET wait_timeout = 0", "ok 0/0"),
        ("SELECT @@wait_timeout", "1"),
        ("SET wait_timeout = 'long'", "error 12"),
        ("SET GLOBAL wait_timeout = 5", "error 2"),
        ("SET @@global.wait_timeout = 5", "error 2"),
        ("SET @wait_timeout_of_mine = 5", "ok 0/0"),
        ("SELECT @@wait_timeout", "1"),
    ])
    .await;
    node.stop().await;
}
