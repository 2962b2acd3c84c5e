//! What each table takes, answers and refuses: the original's rows of statements and answers, and our additions.

use std::sync::Arc;

use cometql_engine::Rules;
use cometql_engine::permission::{Pattern, Rule, UserDataRule};
use cometql_server::cometql::{Settings, Value};

use super::{node, node_with};

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
        // `offset` is there for who names it, by a look-up and in the SELECT engine.
        ("SELECT offset, message FROM pipes_messages WHERE name = 'p10' AND offset > 2 LIMIT 1", "3,m2"),
        ("SELECT message, offset FROM pipes_messages WHERE name = 'p10' AND offset > '3.5'", "m3,4"),
        ("SELECT message FROM pipes_messages WHERE name = 'p10' AND offset > NULL", ""),
        ("SELECT message FROM pipes_messages WHERE name = 'p10' AND offset > 4", ""),
        ("SELECT message, offset FROM pipes_messages WHERE name = 'p10' ORDER BY offset DESC LIMIT 1", "m3,4"),
        ("SELECT count(*) FROM pipes_messages WHERE name = 'p10' AND offset >= 3", "2"),
        ("SELECT `index`, message FROM (SELECT * FROM pipes_messages WHERE name = 'p10') AS m WHERE `index` = 2", "2,m3"),
        ("SELECT offset FROM (SELECT * FROM pipes_messages WHERE name = 'p10') AS m", "error 14"),
        ("SELECT extra FROM information_schema.columns WHERE column_name = 'offset'", "INVISIBLE"),
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
    node.check(&[
        ("SELECT message FROM pipes_messages WHERE name = 'log'", "a"),
        // Of an id that was used in several channels, all go.
        (
            "INSERT INTO pipes_settings (name, length) VALUES ('other', 9)",
            "ok 1/0",
        ),
        (
            "INSERT INTO pipes_messages (name, event, message, id) VALUES
             ('log', '', 'c', '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051'),
             ('other', '', 'c', '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051')",
            "ok 0/0 Reached: 0",
        ),
        (
            "DELETE FROM pipes_messages WHERE id = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051'",
            "ok 0/0 Deleted: 2",
        ),
        ("SELECT message FROM pipes_messages WHERE name = 'log'", "a"),
        (
            "SELECT message FROM pipes_messages WHERE name = 'other'",
            "",
        ),
    ])
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
async fn long_messages_are_refused() {
    let mut node = node().await;
    node.context.settings.store(Arc::new(Settings {
        publication_bytes: 5,
        ..Settings::default()
    }));
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
