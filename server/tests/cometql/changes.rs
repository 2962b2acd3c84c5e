//! Values that are computed, keys that a query finds, and changes that meet.

use cometql_server::cometql::{self, Settings, Value};

use super::{Node, node};

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

#[tokio::test]
async fn rows_that_are_there_are_computed_anew() {
    let mut node = node().await;
    node.check(&[
        ("INSERT INTO users_data (id, data) VALUES (1, '1') ON DUPLICATE KEY UPDATE data = data + 1", "ok 1/1"),
        ("INSERT INTO users_data (id, data) VALUES (1, '1') ON DUPLICATE KEY UPDATE data = data + 1", "ok 2/1"),
        // Each row sees what those before it did.
        (
            "INSERT INTO users_data (id, data) VALUES (1, '10'), (2, 'x'), (1, '100'), (2, 'y') \
             ON DUPLICATE KEY UPDATE data = CONCAT(data, '+', VALUES(data))",
            "ok 7/2",
        ),
        ("SELECT data FROM users_data WHERE id IN (1, 2)", "2+10+100 | x+y"),
        (
            "INSERT INTO users_data (id, data) VALUES (1, 'n') AS new ON DUPLICATE KEY UPDATE data = CONCAT(new.data, users_data.data)",
            "ok 2/1",
        ),
        (
            "INSERT INTO users_data (id, data) VALUES (2, 'n') AS new (i, d) ON DUPLICATE KEY UPDATE data = CONCAT(new.d, new.i)",
            "ok 2/2",
        ),
        ("SELECT data FROM users_data WHERE id IN (1, 2)", "n2+10+100 | n2"),
        ("INSERT INTO users_data (id, data) VALUES (2, 'q') AS new ON DUPLICATE KEY UPDATE data = new.data", "ok 2/2"),
        ("INSERT INTO users_data (id, data) VALUES (2, 'r') ON DUPLICATE KEY UPDATE data = IF(data = 'Q', 'same', 'other'), id = id", "ok 2/2"),
        ("SELECT data FROM users_data WHERE id = 2", "same"),
        ("INSERT INTO users_data (id, data) VALUES (2, 'r') ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)", "ok 0/2"),
        ("INSERT INTO users_data (id, data) VALUES (2, 'r') ON DUPLICATE KEY UPDATE data = data", "ok 2/2"),
        ("INSERT INTO users_data (id, data) VALUES (2, 'r') ON DUPLICATE KEY UPDATE data = bare", "ok 2/2"),
        ("SELECT data FROM users_data WHERE id = 2", "bare"),
        ("INSERT IGNORE INTO users_data (id, data) VALUES (8, 'first'), (8, 'second')", "ok 1/8"),
        ("SELECT data FROM users_data WHERE id = 8", "first"),
        ("INSERT INTO pipes_settings (name, length) VALUES ('abc', 3), ('abc', 4) ON DUPLICATE KEY UPDATE length = length * 10 + VALUES(length)", "ok 3/0"),
        ("SELECT length FROM pipes_settings WHERE name = 'abc'", "34"),
        ("INSERT INTO users_auth (id, hash) VALUES (1, 'a') ON DUPLICATE KEY UPDATE hash = CONCAT(hash, ' ')", "ok 1/1"),
        ("INSERT INTO users_auth (id, hash) VALUES (1, 'a') ON DUPLICATE KEY UPDATE hash = CONCAT(hash, ' ')", "error 12"),
        ("INSERT INTO users_auth (id, hash) VALUES (1, 'a') ON DUPLICATE KEY UPDATE hash = NO_SUCH(hash)", "error 2"),
        ("INSERT INTO users_auth (id, hash) VALUES (1, 'a') ON DUPLICATE KEY UPDATE hash = VALUES(data)", "error 2"),
        ("INSERT INTO users_auth (id, hash) VALUES (1, 'a') ON DUPLICATE KEY UPDATE id = 2", "error 2"),
        ("INSERT INTO users_auth (id, hash) VALUES (1, 'a') ON DUPLICATE KEY UPDATE hash = CONCAT(nothing, 1)", "error 14"),
        ("INSERT INTO revoked_tokens (token) VALUES ('a') ON DUPLICATE KEY UPDATE token = 'b'", "error 2"),
        ("SELECT VALUES(id)", "error 2"),
        ("SELECT hash FROM users_auth WHERE id = 1", "a"),
    ])
    .await;
    let count =
        "INSERT INTO users_data (id, data) VALUES (?, ?) ON DUPLICATE KEY UPDATE data = data + ?";
    let values = [7, 1, 5].map(Value::Integer);
    assert_eq!(node.answer(count, &values).await, "ok 1/7");
    assert_eq!(node.answer(count, &values).await, "ok 2/7");
    node.check(&[("SELECT data FROM users_data WHERE id = 7", "6")])
        .await;
    let many: Vec<_> = (1..=1200).map(|id| format!("({id}, '')")).collect();
    let insert = format!(
        "INSERT INTO users_data (id, data) VALUES {} ON DUPLICATE KEY UPDATE data = CONCAT('n', id)",
        many.join(",").replace("''", "'x'")
    );
    node.answer(&insert, &[]).await;
    assert_eq!(node.answer(&insert, &[]).await, "ok 2400/1200");
    node.check(&[(
        "SELECT data FROM users_data WHERE id IN (501, 1200)",
        "n501 | n1200",
    )])
    .await;
    node.stop().await;
}

/// Carries out each statement so many times, all at once.
async fn at_once(node: &Node, statements: &[&'static str], times: usize) {
    let mut tasks = Vec::new();
    for &sql in statements {
        let (context, mut session) = (node.context.clone(), node.session.clone());
        tasks.push(tokio::spawn(async move {
            let statement = cometql::parse(sql, &Settings::default())
                .expect(sql)
                .remove(0);
            for _ in 0..times {
                let outcome = cometql::execute(&context, &mut session, &statement, &[]).await;
                outcome.expect(sql);
            }
        }));
    }
    for task in tasks {
        task.await.expect("no statement fails");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_that_meet_lose_nothing() {
    let mut node = node().await;
    node.check(&[
        (
            "INSERT INTO pipes_settings (name, length) VALUES ('abc', 0)",
            "ok 1/0",
        ),
        (
            "INSERT INTO users_data (id, data) VALUES (1, '0')",
            "ok 1/1",
        ),
    ])
    .await;
    let update = "UPDATE pipes_settings SET length = length + 1 WHERE name = 'abc'";
    let matching = "UPDATE users_data SET data = data + 1 WHERE id < 5 AND data >= 0";
    let insert =
        "INSERT INTO users_data (id, data) VALUES (1, '1') ON DUPLICATE KEY UPDATE data = data + 1";
    let first =
        "INSERT INTO users_data (id, data) VALUES (9, '1') ON DUPLICATE KEY UPDATE data = data + 1";
    let other = "INSERT INTO users_data (id, data) VALUES (7, 'x')";
    let gone = "DELETE FROM users_data WHERE id = 7";
    let statements = [
        update, update, update, matching, matching, insert, insert, first, first, other, gone,
    ];
    at_once(&node, &statements, 20).await;
    node.check(&[
        ("SELECT length FROM pipes_settings WHERE name = 'abc'", "60"),
        ("SELECT data FROM users_data WHERE id IN (1, 9)", "80 | 40"),
    ])
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_deleted_is_not_written_again() {
    let mut node = node().await;
    for _ in 0..20 {
        node.answer("INSERT INTO users_auth (id, hash) VALUES (1, 'a')", &[])
            .await;
        at_once(
            &node,
            &[
                "UPDATE users_auth SET hash = 'b' WHERE id = 1",
                "UPDATE users_auth SET hash = CONCAT(hash, 'c') WHERE id = 1",
                "DELETE FROM users_auth WHERE id = 1",
            ],
            1,
        )
        .await;
        node.check(&[("SELECT hash FROM users_auth WHERE id = 1", "")])
            .await;
    }
    node.stop().await;
}
