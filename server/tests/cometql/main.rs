//! The language over a whole node: the table of statements and answers of the original, our additions, and what clients
//! send when they start.

use std::sync::Arc;

use cometql_engine::Rules;
use cometql_engine::permission::{Pattern, Rule, UserDataRule};
use cometql_protocol::TenantId;
use cometql_server::app::{App, AppSettings};
use cometql_server::auth::{Keyring, Tokens};
use cometql_server::cometql::{
    self, Context, LogInKey, Outcome, Processes, Settings, SqlSession, Value,
};
use cometql_server::metrics::Metrics;
use cometql_server::storage::Store;

struct Node {
    app: App,
    context: Context,
    session: SqlSession,
}

async fn node() -> Node {
    node_with(|_| {}).await
}

async fn node_with(change: impl FnOnce(&mut AppSettings)) -> Node {
    let store = Store::in_memory();
    let mut settings = AppSettings::new(store.clone());
    change(&mut settings);
    let app = App::start(settings).await.expect("a node on a free port");
    let context = Context {
        hub: app.hub().clone(),
        store,
        settings: Arc::new(Settings::default()),
        keyring: Arc::new(Keyring::default()),
        tokens: Arc::new(Tokens::default()),
        processes: Arc::new(Processes::default()),
        metrics: Arc::new(Metrics::default()),
        selects: Settings::default().select_places(),
    };
    let session = SqlSession {
        tenant: TenantId(15),
        admin: false,
        connection: 7,
        user: "15".to_owned(),
        key: LogInKey::default(),
        database: "CometQL_v1".to_owned(),
        last_message_id: None,
        warnings: Vec::new(),
    };
    Node {
        app,
        context,
        session,
    }
}

impl Node {
    /// What came of a text: `ok affected/id info`, `error code`, or rows as `a,b | c,d`.
    async fn answer(&mut self, sql: &str, values: &[Value]) -> String {
        let statements = match cometql::parse(sql, &self.context.settings) {
            Ok(statements) => statements,
            Err(error) => return format!("error {}", error.code),
        };
        let mut answers = Vec::new();
        for statement in statements {
            let outcome =
                cometql::execute(&self.context, &mut self.session, &statement, values).await;
            if let Ok(Outcome::Rows(rows)) = &outcome {
                let promised: Vec<_> = statement.columns().into_iter().map(|c| c.name).collect();
                let got: Vec<_> = rows.columns.iter().map(|c| c.name.clone()).collect();
                assert_eq!(promised, got, "{sql}: columns before and after");
            }
            answers.push(match outcome {
                Err(error) => format!("error {}", error.code),
                Ok(Outcome::Done(done)) => {
                    let told = format!(
                        "ok {}/{} {}",
                        done.affected_rows, done.last_insert_id, done.info
                    );
                    told.trim_end().to_owned()
                }
                Ok(Outcome::Rows(rows)) => {
                    let row =
                        |row: &Vec<Value>| row.iter().map(shown).collect::<Vec<_>>().join(",");
                    rows.rows.iter().map(row).collect::<Vec<_>>().join(" | ")
                }
            });
        }
        answers.join("; ")
    }

    /// The text of an error.
    async fn refusal(&mut self, sql: &str) -> String {
        let statement = cometql::parse(sql, &self.context.settings)
            .expect(sql)
            .remove(0);
        let outcome = cometql::execute(&self.context, &mut self.session, &statement, &[]).await;
        outcome.expect_err(sql).message
    }

    async fn check(&mut self, table: &[(&str, &str)]) {
        for (sql, expected) in table {
            assert_eq!(self.answer(sql, &[]).await, *expected, "{sql}");
        }
    }

    async fn stop(self) {
        self.app.stop().await;
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Double(n) => n.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => format!("{bytes:?}"),
    }
}

#[tokio::test]
async fn users() {
    let mut node = node().await;
    node.check(&[
        ("INSERT INTO users_auth (id, hash)VALUES(5, \"md5hex\")", "ok 1/5"),
        ("INSERT INTO users_auth (id, hash) VALUES (7, 'h7'), (6, 'h6')", "ok 2/6"),
        ("SELECT hash FROM users_auth WHERE id = 5", "md5hex"),
        ("SELECT * FROM users_auth WHERE id IN (7, 5, 99, 7)", "7,h7 | 5,md5hex | 7,h7"),
        ("SELECT * FROM users_auth WHERE id IN (7, 5, 7) LIMIT 1, 1", "5,md5hex"),
        ("REPLACE INTO users_auth (id, hash) VALUES (5, 'new')", "ok 1/5"),
        ("INSERT IGNORE INTO users_auth (id, hash) VALUES (5, 'not')", "ok 0/5"),
        ("SELECT hash FROM users_auth WHERE id = '5'", "new"),
        (
            "INSERT INTO users_auth (id, hash) VALUES (5, 'x') ON DUPLICATE KEY UPDATE hash = VALUES(hash)",
            "ok 2/5",
        ),
        ("SELECT hash FROM users_auth WHERE id = 5", "x"),
        ("UPDATE users_auth SET hash='u' WHERE id IN (5, 99)", "ok 1/0 Rows matched: 1  Changed: 1  Warnings: 0"),
        ("SELECT hash FROM users_auth WHERE id IN (5, 99)", "u"),
        ("DELETE FROM users_auth WHERE id = 5", "ok 0/0 Deleted: 1"),
        ("SELECT hash FROM users_auth WHERE id = 5", ""),
        ("INSERT INTO users_auth (id) VALUES (5)", "error 12"),
        ("INSERT INTO users_auth (id, hash) VALUES (-5, 'a')", "error 12"),
        ("INSERT INTO users_auth (id, hash) VALUES (0, 'a')", "error 12"),
        ("INSERT INTO users_auth (id, hash) VALUES (5, 'a-b')", "error 12"),
        ("INSERT INTO users_auth (id, hash) VALUES (5, '012345678901234567890123456789012')", "error 11"),
        ("INSERT INTO users_auth (id, hash) VALUES (5, '')", "ok 1/5"),
        ("INSERT INTO users_data (id, data) VALUES (5, '{\"a\":\"\\u0441\"}')", "ok 1/5"),
        ("SELECT * FROM users_data WHERE id IN (5, 6)", "5,{\"a\":\"\\u0441\"}"),
        ("DELETE FROM users_data WHERE id = 5", "ok 0/0 Deleted: 1"),
        ("SELECT id, time FROM users_time WHERE id IN(1,2);", "1,-1 | 2,-1"),
        ("INSERT INTO users_time (id, time) VALUES (1, 1)", "error 10"),
    ])
    .await;
    node.stop().await;
}

#[tokio::test]
async fn channels() {
    let mut node = node().await;
    node.check(&[
        (
            "INSERT INTO pipes_messages (name, event, message)VALUES('simplechat', 'newMessage', 'x')",
            "ok 0/0 Reached: 0",
        ),
        ("INSERT INTO pipes_messages (name, event, message) VALUES ('ab', '', 'x')", "error 17"),
        ("INSERT INTO pipes_messages (name, event, message) VALUES ('a b', '', 'x')", "error 12"),
        ("INSERT INTO pipes_messages (name, event, message) VALUES ('abc', 'a b', 'x')", "error 12"),
        ("INSERT INTO pipes_messages (name, message) VALUES ('abc', 'x')", "error 12"),
        ("INSERT INTO pipes_settings (\"name\", \"length\") VALUES ('p10', 3)", "ok 1/0"),
        ("SELECT * FROM pipes_settings WHERE name IN ('p10', 'p11')", "p10,3"),
        (
            "INSERT INTO pipes_messages (name, event, message) VALUES ('p10','e','m0'),('p10','e','m1'),('p10','e','m2'),('p10','','m3')",
            "ok 0/0 Reached: 0",
        ),
        // The newest three stay, in order; an empty event stays empty.
        (
            "SELECT `index`, event, message, user_id FROM pipes_messages WHERE name = 'p10'",
            "0,e,m1,0 | 1,e,m2,0 | 2,,m3,0",
        ),
        ("SELECT message FROM pipes_messages WHERE name = 'p10' LIMIT 1, 1", "m2"),
        ("DELETE FROM pipes_messages WHERE name = 'p10'", "ok 0/0 Deleted: 3"),
        ("SELECT * FROM pipes_messages WHERE name = 'p10'", ""),
        ("UPDATE pipes_settings SET length = 5 WHERE name = 'p10'", "ok 1/0 Rows matched: 1  Changed: 1  Warnings: 0"),
        ("SELECT length FROM pipes_settings WHERE name = 'p10'", "5"),
        ("SELECT * FROM pipes WHERE name IN ('web_a', 'x', 'web_b', 'web_a')", "web_a,0 | web_b,0 | web_a,0"),
        ("SELECT * FROM users_in_pipes WHERE name = 'web_a'", ""),
        ("INSERT INTO pipes_members (name, user_id) VALUES ('abc', 1), ('abc', 2)", "ok 2/0"),
        ("DELETE FROM pipes_members WHERE name = 'abc' AND user_id IN (2, 3)", "ok 1/0"),
        ("DELETE FROM pipes_members WHERE name = 'abc'", "ok 1/0"),
    ])
    .await;
    node.stop().await;
}

#[tokio::test]
async fn one_publication_is_deleted_by_its_id() {
    let mut node = node().await;
    node.check(&[
        (
            "INSERT INTO pipes_settings (name, length) VALUES ('log', 9)",
            "ok 1/0",
        ),
        (
            "INSERT INTO pipes_messages (name, event, message) VALUES ('log', '', 'a')",
            "ok 0/0 Reached: 0",
        ),
        (
            "INSERT INTO pipes_messages (name, event, message) VALUES ('log', '', 'b')",
            "ok 0/0 Reached: 0",
        ),
    ])
    .await;
    let id = node.answer("SELECT @@last_message_id", &[]).await;
    let stored = node
        .answer("SELECT id FROM pipes_messages WHERE name = 'log'", &[])
        .await;
    assert!(stored.ends_with(&id), "{stored} {id}");
    let delete = "DELETE FROM pipes_messages WHERE id = ?";
    assert_eq!(
        node.answer(delete, &[Value::Text(id)]).await,
        "ok 0/0 Deleted: 1"
    );
    node.check(&[("SELECT message FROM pipes_messages WHERE name = 'log'", "a")])
        .await;
    node.stop().await;
}

#[tokio::test]
async fn private_messages() {
    let mut node = node().await;
    node.check(&[
        (
            "INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'm1'), (5, '', 'm2')",
            "ok 0/5 Reached: 0",
        ),
        (
            "SELECT event, message FROM users_messages WHERE id = 5",
            "e,m1 | ,m2",
        ),
        (
            "DELETE FROM users_messages WHERE id = 5",
            "ok 0/0 Deleted: 2",
        ),
        ("SELECT event, message FROM users_messages WHERE id = 5", ""),
        (
            "INSERT INTO users_messages (id, event, message) VALUES (0, 'e', 'nobody')",
            "ok 0/0 Reached: 0",
        ),
        (
            "INSERT INTO users_messages (id, message) VALUES (5, 'x')",
            "error 12",
        ),
    ])
    .await;
    node.stop().await;
}

#[tokio::test]
async fn tokens() {
    let mut node = node().await;
    node.check(&[
        (
            "INSERT INTO revoked_tokens (token) VALUES ('a.b.c')",
            "ok 1/1",
        ),
        (
            "SELECT token FROM revoked_tokens WHERE token IN ('x', 'a.b.c')",
            "a.b.c",
        ),
        (
            "DELETE FROM revoked_tokens WHERE token = 'a.b.c'",
            "ok 0/0 Deleted: 1",
        ),
        ("SELECT token FROM revoked_tokens WHERE token = 'a.b.c'", ""),
        ("DELETE FROM revoked_tokens", "error 13"),
    ])
    .await;
    node.stop().await;
}

#[tokio::test]
async fn bound_values_are_never_unescaped() {
    let mut node = node().await;
    let values = [Value::Integer(5), Value::Text(r"it\'s \\ ''".to_owned())];
    let insert = "INSERT INTO users_data (id, data) VALUES (?, ?)";
    assert_eq!(node.answer(insert, &values).await, "ok 1/5");
    node.check(&[("SELECT data FROM users_data WHERE id = 5", r"it\'s \\ ''")])
        .await;
    assert_eq!(node.answer(insert, &values[..1]).await, "error 12");
    node.stop().await;
}

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
async fn changes_whose_keys_a_query_finds() {
    let mut node = node().await;
    node.check(&[
        (
            "INSERT INTO users_auth (id, hash) VALUES (1, 'a'), (2, 'b'), (3, 'b')",
            "ok 3/3",
        ),
        (
            "DELETE FROM users_auth WHERE id > 1 AND hash = 'b' ORDER BY id LIMIT 1",
            "ok 0/0 Deleted: 1",
        ),
        (
            "INSERT INTO users_data (id, data) SELECT id, hash FROM users_auth ORDER BY id",
            "ok 2/3",
        ),
        (
            "SELECT id, data FROM users_data WHERE id IN (1, 2, 3)",
            "1,a | 3,b",
        ),
        (
            "UPDATE users_auth SET hash = 'c' WHERE id < 3",
            "ok 1/0 Rows matched: 1  Changed: 1  Warnings: 0",
        ),
        (
            "INSERT INTO pipes_members (name, user_id) VALUES ('abc', 1), ('abd', 1), ('abd', 2)",
            "ok 3/0",
        ),
        ("DELETE FROM pipes_members WHERE user_id = 1", "ok 2/0"),
        (
            "SELECT name, user_id FROM pipes_members WHERE name = 'abd'",
            "abd,2",
        ),
    ])
    .await;
    node.stop().await;
}

#[tokio::test]
async fn what_clients_send_when_they_start() {
    let mut node = node().await;
    let fixtures = [
        include_str!("fixtures/cli.sql"),
        include_str!("fixtures/connector_j.sql"),
        include_str!("fixtures/dbeaver.sql"),
        include_str!("fixtures/drivers.sql"),
        include_str!("fixtures/grafana.sql"),
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
async fn long_messages_are_refused() {
    let mut node = node().await;
    node.context.settings = Arc::new(Settings {
        publication_bytes: 5,
        ..Settings::default()
    });
    node.check(&[
        (
            "INSERT INTO pipes_messages (name, event, message) VALUES ('abc', '', '12345')",
            "ok 0/0 Reached: 0",
        ),
        (
            "INSERT INTO pipes_messages (name, event, message) VALUES ('abc', '', '1'), ('abc', '', '123456')",
            "error 11",
        ),
        (
            "INSERT INTO users_messages (id, event, message) VALUES (5, '', '123456')",
            "error 11",
        ),
    ])
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_row_refused_among_several_is_told_with_how_many_were_sent() {
    let mut node = node_with(|settings| settings.limits.inbox_messages = 2).await;
    let send = "INSERT INTO users_messages (id, event, message) VALUES (5, '', 'a'), (5, '', 'b'), (5, '', 'c'), (6, '', 'd')";
    let refusal = node.refusal(send).await;
    assert!(refusal.ends_with("(3 of 4 rows were sent)"), "{refusal}");
    let one = "INSERT INTO users_messages (id, event, message) VALUES (5, '', 'e')";
    assert!(!node.refusal(one).await.contains("rows were sent"));
    node.check(&[(one, "error 507")]).await;
    node.stop().await;
}

#[tokio::test]
async fn names_with_more_than_letters_need_a_rule() {
    let rule = Rule::new("channels[0]", Pattern::Glob("news:*".into()));
    let mut node = node_with(|settings| {
        settings.rules = Arc::new(Rules::new(vec![rule], UserDataRule::default()))
    })
    .await;
    node.check(&[
        (
            "INSERT INTO pipes_messages (name, event, message) VALUES ('news:a/b.c', '', 'x')",
            "ok 0/0 Reached: 0",
        ),
        (
            "INSERT INTO pipes_messages (name, event, message) VALUES ('other:a', '', 'x')",
            "error 12",
        ),
        (
            "INSERT INTO pipes_settings (name, length) VALUES ('news:a', 3)",
            "ok 1/0",
        ),
        (
            "INSERT INTO pipes_settings (name, length) VALUES ('other.a', 3)",
            "error 12",
        ),
        (
            "INSERT INTO pipes_members (name, user_id) VALUES ('other/a', 3)",
            "error 12",
        ),
    ])
    .await;
    node.stop().await;
}

#[tokio::test]
async fn selects_wait_for_a_place() {
    let mut node = node().await;
    node.context.settings = Arc::new(Settings {
        select_ms: 50,
        ..Settings::default()
    });
    node.context.selects = Arc::new(tokio::sync::Semaphore::new(1));
    let selects = Arc::clone(&node.context.selects);
    let place = selects.acquire().await.expect("it is never closed");
    node.check(&[
        ("SELECT 1 + 1", "error 429"),
        ("EXPLAIN SELECT 1 + 1", "error 429"),
        ("SELECT hash FROM users_auth WHERE id = 5", ""),
    ])
    .await;
    drop(place);
    node.check(&[("SELECT 1 + 1", "2"), ("SELECT 1 + 2", "3")])
        .await;
    node.stop().await;
}

#[tokio::test]
async fn values_are_computed() {
    let mut node = node().await;
    node.check(&[
        (
            "INSERT INTO users_data (id, data) VALUES (1, CONCAT('a', 'b')), (2, 'as it is'), (1 + 2, UPPER('x'))",
            "ok 3/3",
        ),
        ("SELECT data FROM users_data WHERE id IN (1, 2, 3)", "ab | as it is | X"),
        ("INSERT INTO users_data SET id = 4, data = CAST(7 AS CHAR)", "ok 1/4"),
        ("SELECT data FROM users_data WHERE id = 4", "7"),
        ("INSERT INTO users_data (id, data) VALUES (5, JSON_OBJECT('a', 1, 'b', JSON_ARRAY('x', NULL)))", "ok 1/5"),
        ("SELECT data FROM users_data WHERE id = 5", r#"{"a":1,"b":["x",null]}"#),
        ("INSERT INTO users_data (id, data) VALUES (6, (SELECT COUNT(*) FROM users_data))", "ok 1/6"),
        ("SELECT data FROM users_data WHERE id = 6", "5"),
        (r#"INSERT INTO users_data (id, data) VALUES (7, '{"a":"\u0441"}'), (8, LOWER('{"a":"\\n"}'))"#, "ok 2/8"),
        ("SELECT data FROM users_data WHERE id IN (7, 8)", r#"{"a":"\u0441"} | {"a":"\n"}"#),
        ("INSERT INTO pipes_messages (name, event, message) VALUES ('abc', '', UNIX_TIMESTAMP())", "ok 0/0 Reached: 0"),
        ("INSERT INTO users_data (id, data) VALUES (1, NO_SUCH(1))", "error 2"),
        ("INSERT INTO users_data (id, data) VALUES (1, CONCAT(data, 'x'))", "error 14"),
        ("INSERT INTO users_auth (id, hash) VALUES (9, MD5('a')), (10, CONCAT('a', ' b'))", "error 12"),
        ("SELECT hash FROM users_auth WHERE id IN (9, 10)", ""),
    ])
    .await;
    let values = [Value::Integer(9), Value::Text(r"a\n".to_owned())];
    let insert = "INSERT INTO users_data (id, data) VALUES (?, CONCAT(?, '!'))";
    assert_eq!(node.answer(insert, &values).await, "ok 1/9");
    node.check(&[("SELECT data FROM users_data WHERE id = 9", r"a\n!")])
        .await;
    let many: Vec<_> = (1..=1200)
        .map(|id| format!("({id}, CONCAT('n', {id}))"))
        .collect();
    let insert = format!(
        "INSERT INTO users_data (id, data) VALUES {}",
        many.join(",")
    );
    assert_eq!(node.answer(&insert, &[]).await, "ok 1200/1200");
    node.check(&[(
        "SELECT data FROM users_data WHERE id IN (501, 1200)",
        "n501 | n1200",
    )])
    .await;
    node.stop().await;
}

#[tokio::test]
async fn updates_see_the_old_row() {
    let mut node = node().await;
    node.check(&[
        (
            "INSERT INTO pipes_settings (name, length) VALUES ('p10', 3), ('p11', 5), ('q10', 1)",
            "ok 3/0",
        ),
        (
            "UPDATE pipes_settings SET length = length + 1 WHERE name = 'p10'",
            "ok 1/0 Rows matched: 1  Changed: 1  Warnings: 0",
        ),
        (
            "UPDATE pipes_settings SET length = length * 10 WHERE name LIKE 'p%'",
            "ok 2/0 Rows matched: 2  Changed: 2  Warnings: 0",
        ),
        (
            "SELECT length FROM pipes_settings WHERE name IN ('p10', 'p11', 'q10')",
            "40 | 50 | 1",
        ),
        (
            "INSERT INTO users_auth (id, hash) VALUES (1, 'a'), (2, 'b')",
            "ok 2/2",
        ),
        (
            "UPDATE users_auth SET hash = CONCAT(hash, id, 'x') WHERE id IN (1, 2, 3)",
            "ok 2/0 Rows matched: 2  Changed: 2  Warnings: 0",
        ),
        (
            "UPDATE users_auth SET hash = hash WHERE id = 1",
            "ok 1/0 Rows matched: 1  Changed: 1  Warnings: 0",
        ),
        (
            "UPDATE users_auth SET hash = bare WHERE id = 2",
            "ok 1/0 Rows matched: 1  Changed: 1  Warnings: 0",
        ),
        (
            "SELECT hash FROM users_auth WHERE id IN (1, 2)",
            "a1x | bare",
        ),
        ("UPDATE users_auth SET hash = CONCAT(hash, 'y')", "error 13"),
        (
            "UPDATE users_auth SET hash = CONCAT(hash, ' ') WHERE id = 1",
            "error 12",
        ),
        (
            "UPDATE users_auth SET hash = NO_SUCH(hash) WHERE id = 1",
            "error 2",
        ),
    ])
    .await;
    let update = "UPDATE users_auth SET hash = CONCAT(?, hash) WHERE id = ?";
    let values = [Value::Text("b".to_owned()), Value::Integer(1)];
    let answer = node.answer(update, &values).await;
    assert!(answer.starts_with("ok 1/0"), "{answer}");
    node.check(&[("SELECT hash FROM users_auth WHERE id = 1", "ba1x")])
        .await;
    node.stop().await;
}
