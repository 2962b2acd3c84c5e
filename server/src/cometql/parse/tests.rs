//! What statements mean, and which are refused with which code.

use super::*;
use crate::cometql::Value;

mod isolation;
mod limits;

fn one(sql: &str) -> Result<Parsed, SqlError> {
    let mut statements = parse(sql, &Settings::default())?;
    assert_eq!(statements.len(), 1, "{sql}");
    Ok(statements.remove(0).0)
}

#[track_caller]
fn refused(sql: &str, code: u16, words: &str) {
    let error = parse(sql, &Settings::default()).expect_err(sql);
    assert_eq!(error.code, code, "{sql}: {error}");
    assert!(error.message.contains(words), "{sql}: {error}");
}

/// `table(columns): row | row`, values in Rust's notation.
fn told(insert: &Insert) -> String {
    let columns: Vec<_> = insert
        .columns
        .iter()
        .map(|i| insert.table.columns[*i].name)
        .collect();
    let rows = match &insert.source {
        Source::Query(query) => query.to_string(),
        Source::Rows(rows) => {
            let cell = |operand: &Operand| match operand {
                Operand::Value(Value::Text(text)) => format!("{text:?}"),
                Operand::Value(Value::Integer(n)) => n.to_string(),
                Operand::Value(other) => format!("{other:?}"),
                Operand::Placeholder(n) => format!("?{n}"),
                Operand::Default => "DEFAULT".to_owned(),
                Operand::Expression(expression) => format!("[{expression}]"),
            };
            let row = |row: &Vec<Operand>| row.iter().map(cell).collect::<Vec<_>>().join(", ");
            rows.iter().map(row).collect::<Vec<_>>().join(" | ")
        }
    };
    format!("{}({}): {rows}", insert.table.name, columns.join(","))
}

#[track_caller]
fn inserts(sql: &str, expected: &str) {
    match one(sql) {
        Ok(Parsed::Insert(insert)) => assert_eq!(told(&insert), expected, "{sql}"),
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn inserts_of_all_forms() {
    let m = "pipes_messages(name,event,message): \"a_b\", \"e\", \"x\"";
    inserts(
        "INSERT INTO pipes_messages (name, event, message)VALUES('a_b', 'e', 'x')",
        m,
    );
    inserts(
        "insert into `pipes_messages` (`name`,`event`,`message`) values (\"a_b\",'e',\"x\");",
        m,
    );
    inserts(
        "REPLACE INTO pipes_messages (name, event, message) VALUES ('a_b', 'e', 'x')",
        m,
    );
    inserts(
        "INSERT DELAYED IGNORE INTO pipes_messages (name, event, message) VALUES ('a_b', 'e', 'x')",
        m,
    );
    inserts(
        "insert high_priority into pipes_messages (name, event, message) values ('a_b', 'e', 'x')",
        m,
    );
    inserts(
        "/* app */ INSERT INTO pipes_messages SET name='a_b', event='e', message='x' -- end",
        m,
    );
    inserts(
        "INSERT INTO pipes_messages (name, event, message) VALUES (_utf8mb4'a_b', 'e', N'x')",
        m,
    );
    inserts(
        "INSERT INTO CometQL_v1.pipes_messages (name, event, message) VALUES ('a' '_b', 'e', x'78')",
        m,
    );
    inserts(
        "INSERT INTO pipes_messages (\"name\", 'event', message) VALUES (a_b, e, x)",
        m,
    );
    inserts(
        "INSERT INTO pipes_settings (\"name\", \"length\") VALUES ('p10', 10)",
        "pipes_settings(name,length): \"p10\", 10",
    );
    inserts(
        "INSERT INTO users_auth VALUES (?, ?), (2, 'b')",
        "users_auth(id,hash): ?0, ?1 | 2, \"b\"",
    );
    inserts(
        "INSERT INTO users_messages (id, `index`, event, message) VALUES (-5, index, '', NULL)",
        "users_messages(id,index,event,message): -5, \"index\", \"\", Null",
    );
    inserts(
        "INSERT INTO pipes_settings (name, length) VALUES ('abc', DEFAULT)",
        "pipes_settings(name,length): \"abc\", DEFAULT",
    );
    inserts(
        "INSERT INTO users_data (id, data) SELECT id, 'a\\'b' FROM users_auth",
        "users_data(id,data): SELECT id, 'a''b' FROM users_auth",
    );
}

#[test]
fn literals_of_payloads_and_of_other_columns() {
    let row = r#"users_data(id,data): 1, "{\"a\":\"\\u0441\"}""#;
    inserts(
        r#"INSERT INTO users_data (id, data) VALUES (1, '{"a":"\u0441"}')"#,
        row,
    );
    inserts(
        r"INSERT INTO users_auth (id, hash) VALUES (1, 'a\nb')",
        "users_auth(id,hash): 1, \"a\\nb\"",
    );
    inserts(
        r"INSERT INTO pipes_messages (name, event, message) VALUES ('a\_b', 'd''q', 'it\'s')",
        "pipes_messages(name,event,message): \"a\\\\_b\", \"d'q\", \"it's\"",
    );
}

#[test]
fn on_duplicate() {
    let sql = "INSERT INTO users_auth (id, hash) VALUES (1, 'a') ON DUPLICATE KEY UPDATE hash = VALUES(hash)";
    match one(sql).unwrap() {
        Parsed::Insert(insert) => assert_eq!(insert.existing, Existing::Set(Assigned::Inserted)),
        other => panic!("{other:?}"),
    }
    refused(
        "INSERT INTO pipes_messages (name,event,message) VALUES ('a','','') ON DUPLICATE KEY UPDATE event=''",
        2,
        "ON DUPLICATE",
    );
}

#[track_caller]
fn deletes(sql: &str, expected: &str) {
    let told = match one(sql) {
        Ok(Parsed::Delete(Delete {
            filter: Filter::Keys(keys),
            ..
        })) => format!("{keys:?}"),
        Ok(Parsed::Delete(Delete {
            filter: Filter::Query(query),
            ..
        })) => query.to_string(),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(told, expected, "{sql}");
}

#[test]
fn deletes_by_key() {
    deletes(
        "DELETE FROM users_auth WHERE id = 5",
        "[(\"id\", [Value(Integer(5))])]",
    );
    deletes(
        "delete from users_auth where id IN (?, '7')",
        "[(\"id\", [Placeholder(0), Value(Text(\"7\"))])]",
    );
    deletes(
        "DELETE FROM pipes_members WHERE name='abc' AND (user_id=1)",
        "[(\"name\", [Value(Text(\"abc\"))]), (\"user_id\", [Value(Integer(1))])]",
    );
    deletes(
        "DELETE FROM users_auth WHERE id > 20",
        "SELECT `id` FROM `users_auth` WHERE id > 20",
    );
    deletes(
        "DELETE FROM pipes_members WHERE user_id = 1 LIMIT 3",
        "SELECT `name`, `user_id` FROM `pipes_members` WHERE user_id = 1 LIMIT 3",
    );
    refused("DELETE FROM users_auth", 13, "WHERE id");
    refused("DELETE FROM users_auth WHERE hash='x'", 13, "primary key");
    refused("DELETE FROM users_auth WHERE hahs='x'", 14, "hash");
    refused("DELETE FROM revoked_tokens", 13, "token");
    refused(
        "DELETE FROM users_messages WHERE id=1 AND event='x'",
        2,
        "by anything but id",
    );
    refused("DELETE FROM pipes WHERE name='abc'", 10, "read only");
    refused("DELETE FROM dialogs WHERE id=1", 2, "dialogs");
}

#[test]
fn updates() {
    match one("UPDATE users_auth SET hash='x' WHERE id=5").unwrap() {
        Parsed::Update(update) => {
            assert_eq!(
                update.set,
                [(1, Operand::Value(Value::Text("x".to_owned())))]
            );
        }
        other => panic!("{other:?}"),
    }
    refused("UPDATE users_auth SET id=2 WHERE id=1", 2, "key");
    refused("UPDATE users_auth SET hash='x'", 13, "WHERE id");
    refused(
        "UPDATE pipes_messages SET message='x' WHERE name='abc'",
        2,
        "UPDATE",
    );
    refused("UPDATE users_time SET time=1 WHERE id=1", 10, "read only");
}

/// The plan in a word, with the keys or constants.
#[track_caller]
fn selects(sql: &str, expected: &str) {
    let told = match one(sql) {
        Ok(Parsed::Select(select)) => match select.plan {
            Plan::Engine => "engine".to_owned(),
            Plan::Constants(constants, _) => format!("{constants:?}"),
            Plan::Lookup(lookup) => {
                let columns: Vec<_> = lookup
                    .columns
                    .iter()
                    .map(|(_, name)| name.as_str())
                    .collect();
                let after = lookup.after.map(|after| format!("after {after:?} "));
                format!(
                    "{} of {} {:?} {}{:?}",
                    columns.join(","),
                    lookup.table.name,
                    lookup.keys,
                    after.unwrap_or_default(),
                    lookup.limit.bind(&[])
                )
            }
        },
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(told, expected, "{sql}");
}

#[test]
fn select_plans() {
    selects(
        "SELECT id, time FROM users_time WHERE id IN(1,2,1);",
        "id,time of users_time [Value(Integer(1)), Value(Integer(2)), Value(Integer(1))] (0, None)",
    );
    selects(
        "select hash as h from users_auth where id='5' limit 1, 2",
        "h of users_auth [Value(Text(\"5\"))] (1, Some(2))",
    );
    selects(
        "SELECT * FROM pipes WHERE name = abc LIMIT 2 OFFSET 1",
        "name,users of pipes [Value(Text(\"abc\"))] (1, Some(2))",
    );
    selects(
        "SELECT * FROM users_in_pipes WHERE name = ?",
        "name,user_id,user_uuid,user_agent,ip,origin,language of users_in_pipes [Placeholder(0)] (0, None)",
    );
    selects(
        "SELECT `index`, message FROM pipes_messages WHERE name='abc'",
        "index,message of pipes_messages [Value(Text(\"abc\"))] (0, None)",
    );
    selects(
        "SELECT index FROM pipes_messages WHERE name='abc'",
        "index of pipes_messages [Value(Text(\"abc\"))] (0, None)",
    );
    selects(
        "SELECT *, offset FROM pipes_messages WHERE name IN ('a', ?) AND offset > ? LIMIT 5",
        "id,time,name,index,event,message,user_id,offset of pipes_messages [Value(Text(\"a\")), Placeholder(0)] after Placeholder(1) (0, Some(5))",
    );
    for sql in [
        "SELECT id FROM pipes_messages WHERE name = 'abc' AND offset >= 1",
        "SELECT id FROM pipes_messages WHERE name = 'abc' AND time > 1",
        "SELECT id FROM pipes_messages WHERE name = 'abc' OR offset > 1",
        "SELECT name FROM pipes WHERE name = 'abc' AND users > 1",
        "SELECT * FROM users_auth",
        "SELECT * FROM users_auth WHERE id > 20",
        "SELECT * FROM users_auth WHERE id=21 AND hash='h22'",
        "SELECT * FROM users_auth WHERE id = 1 ORDER BY hash",
        "SELECT COUNT(*) FROM users_auth WHERE id = 1",
        "SELECT DISTINCT id FROM users_auth WHERE id = 1",
        "SELECT u.id FROM users_auth u WHERE id = 1",
        "SELECT nothing FROM users_auth WHERE id = 1",
        "SELECT * FROM pipes_messages WHERE id = 'x'",
        "SELECT 1 UNION SELECT 2",
        "SELECT 1 + 1",
        "SELECT * FROM information_schema.tables",
    ] {
        selects(sql, "engine");
    }
    selects(
        "select @@version_comment limit 1",
        "[(\"@@version_comment\", Variable(\"version_comment\"))]",
    );
    selects(
        "SELECT @@session.Auto_increment_increment AS a, 1",
        "[(\"a\", Variable(\"auto_increment_increment\")), (\"1\", Operand(Value(Integer(1))))]",
    );
    selects(
        "SELECT DATABASE(), Version(), CONNECTION_ID()",
        "[(\"DATABASE()\", Database), (\"Version()\", Version), (\"CONNECTION_ID()\", ConnectionId)]",
    );
}

#[track_caller]
fn shows(sql: &str, expected: &str) {
    match one(sql) {
        Ok(Parsed::Show(show)) => {
            let filter = match &show.filter {
                ShowFilter::None => String::new(),
                ShowFilter::Like(pattern) => format!(" like {pattern:?}"),
                ShowFilter::Where(condition) => format!(" where {condition}"),
            };
            let what = match &show.what {
                ShowWhat::Columns {
                    table,
                    full,
                    column,
                } => format!("columns {} {full} {column:?}", table.name),
                ShowWhat::Index(table) => format!("index {}", table.name),
                ShowWhat::CreateTable(table) => format!("create {}", table.name),
                ShowWhat::Empty(columns) => format!("empty {}", columns[0]),
                other => format!("{other:?}"),
            };
            assert_eq!(format!("{what}{filter}"), expected, "{sql}");
        }
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn show_forms() {
    shows("SHOW DATABASES", "Databases");
    shows(
        "show full tables from `CometQL_v1` where table_type = 'BASE TABLE'",
        "Tables { full: true } where table_type = 'BASE TABLE'",
    );
    shows(
        "SHOW TABLES LIKE 'users%'",
        "Tables { full: false } like Value(Text(\"users%\"))",
    );
    shows(
        "SHOW TABLE STATUS LIKE 't'",
        "TableStatus like Value(Text(\"t\"))",
    );
    shows("SHOW TABLE STATUS FROM `CometQL_v1`", "TableStatus");
    shows(
        "SHOW FULL COLUMNS FROM `pipes` FROM `CometQL_v1` LIKE '%'",
        "columns pipes true None like Value(Text(\"%\"))",
    );
    shows(
        "SHOW COLUMNS IN users_auth",
        "columns users_auth false None",
    );
    shows("DESCRIBE users_auth", "columns users_auth false None");
    shows(
        "desc users_auth hash",
        "columns users_auth false Some(\"hash\")",
    );
    shows("explain users_auth", "columns users_auth false None");
    shows("SHOW INDEX FROM pipes IN CometQL_v1", "index pipes");
    shows("SHOW CREATE TABLE `pipes`", "create pipes");
    shows("SHOW STATUS", "Status(Session)");
    shows(
        "SHOW GLOBAL STATUS LIKE 'Uptime'",
        "Status(Global) like Value(Text(\"Uptime\"))",
    );
    shows("SHOW RAM STATUS", "Status(Ram)");
    shows("SHOW FILESYSTEM STATUS", "Status(Filesystem)");
    shows("SHOW AVG STATUS", "Status(Average)");
    shows("SHOW UPTIME STATUS", "Status(Uptime)");
    shows(
        "SHOW VARIABLES LIKE 'abc'",
        "Variables like Value(Text(\"abc\"))",
    );
    shows(
        "SHOW VARIABLES WHERE Variable_name IN ('a', 'b')",
        "Variables where Variable_name IN ('a', 'b')",
    );
    shows("SHOW FULL PROCESSLIST", "Processlist");
    shows("SHOW CONNECTIONS", "Connections");
    shows("SHOW WARNINGS LIMIT 5", "Warnings");
    shows("SHOW COUNT(*) WARNINGS", "WarningCount");
    shows("SHOW STORAGE ENGINES", "Engines");
    shows("SHOW CHARACTER SET", "CharacterSet");
    shows("SHOW COLLATION", "Collation");
    shows("SHOW GRANTS FOR CURRENT_USER()", "Grants");
    shows(
        "SHOW PROCEDURE STATUS WHERE Db = 'x'",
        "empty Db where Db = 'x'",
    );
    shows("SHOW TRIGGERS FROM CometQL_v1", "empty Trigger");
    refused("SHOW COLUMNS FROM user_auth", 15, "users_auth");
    refused("SHOW NONSENSE", 3, "SHOW what");
}

#[test]
fn without_effect() {
    for sql in [
        "",
        ";",
        " ; ",
        "BEGIN",
        "START TRANSACTION READ ONLY",
        "COMMIT",
        "ROLLBACK TO SAVEPOINT a",
        "SET NAMES utf8mb4",
        "SET NAMES a COLLATE b",
        "SET CHARACTER SET utf8",
        "SET autocommit=0, @a := 1",
        "SET @@x y",
        "SET section name value",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "DO 1",
        "FLUSH TABLES",
        "LOCK TABLES a WRITE",
        "UNLOCK TABLES",
        "/*!40101 SET NAMES utf8 */",
    ] {
        match parse(sql, &Settings::default()) {
            Ok(statements) => assert!(matches!(statements[..], [(Parsed::Nothing, _)]), "{sql}"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

#[test]
fn other_commands() {
    assert!(matches!(one("USE CometQL_v1"), Ok(Parsed::Use(name)) if name == "CometQL_v1"));
    assert!(matches!(one("USE `db_7`"), Ok(Parsed::Use(name)) if name == "db_7"));
    assert!(matches!(
        one("KILL 7"),
        Ok(Parsed::Kill { query: false, .. })
    ));
    assert!(matches!(
        one("KILL QUERY 7"),
        Ok(Parsed::Kill { query: true, .. })
    ));
    assert!(matches!(
        one("KILL CONNECTION ?"),
        Ok(Parsed::Kill {
            id: Operand::Placeholder(0),
            ..
        })
    ));
    assert!(matches!(
        one("EXPLAIN SUBSCRIBE 'web_x' FOR USER 5"),
        Ok(Parsed::ExplainSubscribe { .. })
    ));
    assert!(matches!(
        one("EXPLAIN MESSAGE 'x' FOR USER 5"),
        Ok(Parsed::ExplainMessage { .. })
    ));
    assert!(matches!(
        one("EXPLAIN FORMAT=JSON SELECT 1"),
        Ok(Parsed::Explain(_))
    ));
    assert!(matches!(
        one("EXPLAIN DELETE FROM users_auth WHERE id=1"),
        Ok(Parsed::Explain(_))
    ));
}

#[test]
fn several_statements() {
    let settings = Settings::default();
    let statements = parse(
        "SELECT ?; INSERT INTO users_auth VALUES (?, ?);;",
        &settings,
    )
    .unwrap();
    assert_eq!(
        statements.iter().map(|(_, n)| *n).collect::<Vec<_>>(),
        [1, 2]
    );
    refused("SELECT 1; SELEC 2", 3, "SELEC");
    refused(&"DO 1;".repeat(1_001), 11, "statements");
}

#[test]
fn refusals() {
    refused("abc", 17, "too short");
    refused("cometqlcluster_v1 set dev_id=5; SELECT 1", 403, "denied");
    refused("  CometQLcluster_v1 x", 403, "denied");
    refused("SELEC 1 FROM t", 3, "SELEC");
    refused("SELECT * FROM users_auth WHERE", 3, "Expected");
    refused("SELECT 'abc", 3, "Unterminated");
    refused("CREATE TABLE t (a INT)", 2, "CREATE");
    refused(
        "INSERT INTO Users_auth (id, hash) VALUES (1, 'a')",
        15,
        "users_auth",
    );
    refused(
        "INSERT INTO users_auth (id, hahs) VALUES (1, 'a')",
        14,
        "hash",
    );
    refused(
        "INSERT INTO users_auth (id, hash) VALUES (1)",
        14,
        "columns list",
    );
    refused(
        "INSERT INTO users_auth (id, id) VALUES (1, 1)",
        13,
        "only once",
    );
    refused("INSERT INTO pipes (name) VALUES ('abc')", 10, "read only");
    refused(
        "INSERT INTO conference (name) VALUES ('abc')",
        2,
        "conference",
    );
    refused(
        "INSERT INTO users_auth (id, hash) VALUES (1, 'a') ON DUPLICATE KEY UPDATE id = 2",
        2,
        "id",
    );
    refused(
        "INSERT INTO db_5.users_auth (id, hash) VALUES (1, 'a')",
        15,
        "db_5",
    );
    refused(&format!("SELECT '{}'", "x".repeat(70_000)), 11, "too long");
    let row = format!(
        "INSERT INTO users_data (id, data) VALUES (1, '{}')",
        "x".repeat(17 << 20)
    );
    refused(&row, 11, "too long");
}
