//! What queries answer.

use super::*;

#[test]
fn joins_across_live_and_durable_tables() {
    let world = World::new();
    let check = |sql, expected| world.check(sql, expected);
    // Who is in channel X and has not been seen in channel Y.
    check(
        "SELECT DISTINCT x.user_id FROM users_in_pipes x WHERE x.name = 'web_x' AND x.user_id > 0 AND x.user_id NOT IN
         (SELECT user_id FROM users_in_pipes WHERE name = 'web_y')",
        "7",
    );
    check(
        "SELECT a.id, a.hash, u.name FROM users_auth a JOIN users_in_pipes u ON u.user_id = a.id ORDER BY u.name DESC, a.id",
        "5|h5|web_y\n5|h5|web_x\n7|h7|web_x",
    );
    check(
        "SELECT a.id, u.name FROM users_auth AS a LEFT JOIN users_in_pipes u ON a.id = u.user_id AND u.name = 'web_y'",
        "5|web_y\n7|NULL\n9|NULL",
    );
    check(
        "SELECT p.name, COUNT(u.user_id) n FROM pipes p INNER JOIN users_in_pipes u USING (name)
         WHERE u.user_id <> 0 GROUP BY p.name HAVING n > '1'",
        "web_x|2",
    );
    check("SELECT * FROM pipes NATURAL JOIN pipes_settings", "");
    check(
        "SELECT name, users FROM pipes, users_auth WHERE users > 2 AND id = 5",
        "web_x|3",
    );
    check(
        "SELECT m.name, m.user_id FROM pipes_members m WHERE EXISTS
         (SELECT 1 FROM users_in_pipes u WHERE u.name = m.name AND u.user_id = m.user_id)",
        "web_x|5",
    );
    check(
        "SELECT t.n FROM (SELECT name AS n, users FROM pipes) t WHERE t.users = 1",
        "web_y",
    );
    check("SELECT u.* FROM users_auth u WHERE u.id IN (5)", "5|h5");
    check(
        "SELECT CometQL_v1.pipes.name FROM CometQL_v1.pipes WHERE users = 3",
        "web_x",
    );
}

#[test]
fn durable_tables_show_the_catalogs_columns() {
    let world = World::new();
    let check = |sql, expected| world.check(sql, expected);
    let first = "00000000-0000-0000-0000-000000000001";
    world.check(
        "SELECT * FROM pipes_messages WHERE name = 'web_log' ORDER BY time LIMIT 1",
        &format!("{first}|1700000001|web_log|0|news|{{\"n\":1,\"t\":\"Abc\"}}|5"),
    );
    check(
        "SELECT `index`, user_id FROM pipes_messages ORDER BY name, `index`",
        "0|5\n1|0\n2|7\n0|0",
    );
    check(
        "SELECT id, message FROM users_messages WHERE event = 'IM'",
        "7|hi\n7|ho",
    );
    check(
        "SELECT * FROM users_time ORDER BY id",
        "5|0\n7|1000\n9|2000\n123|-1",
    );
    check("SELECT * FROM users_data WHERE data = 'HELLO'", "7|Hello");
    check("SELECT id FROM users_auth WHERE hash = 'h9'", "");
    check(
        "SELECT id FROM users_auth WHERE id = '7' OR id IN ('9', 5.0) ORDER BY id DESC",
        "9\n7\n5",
    );
    check("SELECT COUNT(*) FROM revoked_tokens", "0");
}

#[test]
fn grouping_and_order() {
    let world = World::new();
    let check = |sql, expected| world.check(sql, expected);
    check(
        "SELECT name, COUNT(*), MAX(time) - MIN(time) FROM pipes_messages GROUP BY name",
        "web_log|3|2\nweb_old|1|0",
    );
    check(
        "SELECT event, COUNT(*) FROM pipes_messages WHERE event <> '' GROUP BY event ORDER BY 2 DESC, 1",
        "news|2\nx|1",
    );
    check(
        "SELECT COUNT(DISTINCT user_id) AS n, SUM(user_id), AVG(user_id) FROM users_in_pipes",
        "3|17|4.25",
    );
    check(
        "SELECT GROUP_CONCAT(user_id ORDER BY user_id DESC SEPARATOR ', ') FROM users_in_pipes",
        "7, 5, 5, 0",
    );
    check(
        "SELECT GROUP_CONCAT(DISTINCT name) FROM users_in_pipes",
        "web_x,web_y",
    );
    check("SELECT id FROM users_auth ORDER BY id LIMIT 1, 1", "7");
    check(
        "SELECT id FROM users_auth ORDER BY id LIMIT 2 OFFSET 1",
        "7\n9",
    );
    check(
        "SELECT id FROM users_auth UNION SELECT user_id FROM users_in_pipes ORDER BY id DESC LIMIT 2",
        "9\n7",
    );
    check("SELECT 1 UNION ALL SELECT 1 UNION SELECT 2", "1\n2");
    check("(SELECT 1 AS a) UNION ALL (SELECT 2 LIMIT 1)", "1\n2");
    check(
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 4) SELECT SUM(n) FROM t",
        "10",
    );
    check(
        "WITH users_auth AS (SELECT 3 AS id) SELECT id FROM users_auth",
        "3",
    );
    check(
        "SELECT DISTINCT name FROM users_in_pipes ORDER BY name",
        "web_x\nweb_y",
    );
    check("SELECT COUNT(*) FROM (SELECT 1 UNION SELECT 2) t", "2");
    check("SELECT COUNT(*) FROM pipes HAVING COUNT(*) IN ('2')", "2");
}

#[test]
fn operators_mean_what_they_mean_in_mysql() {
    let world = World::new();
    let check = |sql, expected| world.check(sql, expected);
    check(
        "SELECT 7 / 2, 7 DIV 2, 7 % 4, 6 ^ 3, 1 << 4, -7 DIV 2",
        "3.5|3|3|5|16|-3",
    );
    check(
        "SELECT 1 && 0, 1 = 2 || 1 = 1, 1 XOR 1, NOT 0, NULL <=> NULL, 1 <=> NULL",
        "0|1|0|1|1|0",
    );
    check(
        "SELECT 5 = '5', '5' = 5, 1 BETWEEN '0' AND '2', 2 IN ('2')",
        "1|1|1|1",
    );
    check("SELECT name FROM pipes WHERE name LIKE 'WEB%'", "");
    check(r"SELECT name FROM pipes WHERE name LIKE 'web\_x'", "web_x");
    check(
        r"SELECT message FROM pipes_messages WHERE message LIKE '%0\%'",
        "100%",
    );
    check(
        "SELECT event FROM pipes_messages WHERE event LIKE 'NE%' AND message NOT LIKE '{%'",
        "News",
    );
    check(
        "SELECT event FROM pipes_messages WHERE event REGEXP '^n.ws$' ORDER BY time DESC LIMIT 1",
        "News",
    );
    check(
        "SELECT CASE users WHEN '3' THEN 'many' ELSE 'few' END FROM pipes",
        "many\nfew",
    );
    check(
        r"SELECT 'it\'s', 'a''b', _utf8mb4'ü', X'6869', CONVERT('x' USING utf8mb4)",
        "it's|a'b|ü|hi|x",
    );
    check(
        "SELECT id FROM users_auth WHERE (id, hash) IN ((5, 'h5'), (7, 'no'))",
        "5",
    );
    check("SELECT TRUE, FALSE, NULL IS NULL, 1 IS NOT TRUE", "1|0|1|0");
    check(
        "SELECT CAST('12' AS SIGNED) + 1, CAST(5 AS CHAR), CAST('1.5' AS DECIMAL(5,2))",
        "13|5|1.5",
    );
    check(
        "SELECT data -> '$.lang', data ->> '$.age', JSON_UNQUOTE(JSON_EXTRACT(data, '$.lang')) FROM users_data",
        "\"ru\"|30|ru\nNULL|NULL|NULL",
    );
    check(
        "SELECT id FROM users_data WHERE JSON_UNQUOTE(data -> '$.lang') = 'ru' AND data -> '$.age' > 29",
        "5",
    );
}

#[test]
fn functions() {
    let world = World::new();
    let check = |sql, expected| world.check(sql, expected);
    check(
        "SELECT CONCAT('a', 1, 'b'), CONCAT('a', NULL), CONCAT_WS('-', 'a', NULL, 'b')",
        "a1b|NULL|a-b",
    );
    check(
        "SELECT UPPER('ü'), LOWER('Я'), LENGTH('ü'), CHAR_LENGTH('ü'), REVERSE('abc')",
        "Ü|я|2|1|cba",
    );
    check(
        "SELECT SUBSTRING('hello', 2, 3), SUBSTR('hello', -3), LEFT('hello', 2), RIGHT('hello', 2), MID('hello', 1, 1)",
        "ell|llo|he|lo|h",
    );
    check(
        "SELECT REPLACE('aXbX', 'X', '-'), TRIM('  a '), LTRIM(' a'), RTRIM('a '), TRIM(BOTH 'x' FROM 'xax')",
        "a-b-|a|a|a|a",
    );
    check(
        "SELECT INSTR('foobar', 'BAR'), LOCATE('o', 'foo', 3), POSITION('b' IN 'ab'), FIND_IN_SET('b', 'a,b')",
        "4|3|2|2",
    );
    check(
        "SELECT ABS(-2), ROUND(2.5), ROUND(1.256, 2), ROUND(1234, -2), FLOOR(-1.5), CEIL(1.2), MOD(7, 4)",
        "2|3|1.26|1200|-2|2|3",
    );
    check(
        "SELECT IF(1 > 2, 'a', 'b'), IFNULL(NULL, 3), COALESCE(NULL, NULL, 4), NULLIF(1, 1), ISNULL(NULL)",
        "b|3|4|NULL|1",
    );
    check(
        "SELECT GREATEST(1, 3, 2), LEAST('b', 'a'), HEX('a')",
        "3|a|61",
    );
    check(
        "SELECT FROM_UNIXTIME(0), DATE_FORMAT(FROM_UNIXTIME(3600), '%Y-%m-%d %H:%i'), DATE(FROM_UNIXTIME(86400))",
        "1970-01-01 00:00:00|1970-01-01 01:00|1970-01-02",
    );
    check(
        "SELECT UNIX_TIMESTAMP('1970-01-02'), YEAR('2024-05-06'), EXTRACT(MONTH FROM '2024-05-06'), DATEDIFF('2024-01-03', '2024-01-01')",
        "86400|2024|5|2",
    );
    check(
        "SELECT '2024-01-31' + INTERVAL 1 DAY, DATE_SUB('2024-01-01', INTERVAL 1 WEEK)",
        "2024-02-01 00:00:00|2023-12-25 00:00:00",
    );
    check(
        "SELECT NOW() > '2020', UNIX_TIMESTAMP() > 1600000000, CURRENT_TIMESTAMP = NOW(), RAND() < 1",
        "1|1|1|1",
    );
    check(
        "SELECT DATABASE(), CONNECTION_ID(), VERSION(), USER(), @@session.autocommit",
        "Database|4|Version|User|autocommit",
    );
    check(
        "SELECT JSON_VALID('{}'), JSON_VALID('x'), 1 FROM dual",
        "1|0|1",
    );
}

#[test]
fn information_schema_describes_the_tables() {
    let world = World::new();
    let check = |sql, expected| world.check(sql, expected);
    check(
        "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'cometql_v1' AND table_name LIKE 'users\\_%' ORDER BY 1",
        "users_auth\nusers_data\nusers_in_pipes\nusers_messages\nusers_time",
    );
    check(
        "SELECT column_name, ordinal_position, column_type, column_key FROM information_schema.columns WHERE table_name = 'users_auth'",
        "id|1|int(11)|PRI\nhash|2|varchar(32)|",
    );
    check(
        "SELECT COUNT(*) FROM information_schema.referential_constraints",
        "0",
    );
    check(
        "SELECT COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_NAME = 'pipes_members'",
        "name\nuser_id",
    );
}

#[test]
fn placeholders_are_bound_in_the_order_of_the_text() {
    let world = World::new();
    let values = ["web_x", "0", "1"].map(|text| Value::Text(text.to_owned()));
    let sql = "SELECT user_id FROM users_in_pipes WHERE name = ? AND user_id > ? ORDER BY user_id LIMIT ?";
    assert_eq!(world.rows(sql, &values), "5");
    let sql = "SELECT ? AS a FROM (SELECT ? AS b) t LIMIT ?, 1";
    let values = [
        Value::Integer(1),
        Value::Integer(2),
        Value::Text("0".to_owned()),
    ];
    assert_eq!(world.rows(sql, &values), "1");
    let injected = [Value::Text("x' OR '1'='1".to_owned())];
    assert_eq!(
        world.rows("SELECT id FROM users_auth WHERE hash = ?", &injected),
        ""
    );
}

#[test]
fn columns_have_the_originals_type_or_their_own() {
    let world = World::new();
    let kinds = |sql: &str| {
        let set = world.run(sql, &[]).unwrap();
        let kinds = set
            .columns
            .iter()
            .map(|column| format!("{} {:?}", column.name, column.kind));
        kinds.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        kinds("SELECT id, id AS n, id + 1, COUNT(*) FROM users_auth"),
        "id Text, n Text, id + 1 Integer, COUNT(*) Integer"
    );
    assert_eq!(
        kinds("SELECT user_id, name FROM pipes_members"),
        "user_id Integer, name Text"
    );
    assert_eq!(
        kinds("SELECT x.id FROM (SELECT * FROM users_auth) x"),
        "id Text"
    );
    assert_eq!(
        kinds("SELECT AVG(id), 'a', 1.5, NULL, 7 / 1 FROM users_auth"),
        "AVG(id) Double, a Text, 1.5 Double, NULL Text, 7 / 1 Double"
    );
    assert_eq!(
        kinds("SELECT SUM(id), MAX(hash), MAX(id) FROM users_auth WHERE id = 0"),
        "SUM(id) Integer, MAX(hash) Text, MAX(id) Integer"
    );
    let prepared =
        columns(&parsed("SELECT id, COUNT(*) AS n FROM users_auth WHERE id = ?").unwrap());
    assert_eq!(prepared.len(), 2);
    assert_eq!(prepared[1].kind, ColumnKind::Integer);
}

#[test]
fn what_is_wrong_is_named() {
    let world = World::new();
    let check = |sql: &str, code: u16, words: &str| {
        let failure = world.run(sql, &[]).unwrap_err();
        assert!(
            failure.code == code && failure.message.contains(words),
            "{sql}: {failure}"
        );
    };
    check("SELECT * FROM pipe", 15, "Did you mean `pipes`?");
    check("SELECT * FROM Users_auth", 15, "`users_auth`");
    check("SELECT * FROM conference", 2, "conference");
    check("SELECT * FROM mysql.user", 15, "mysql.user");
    check("SELECT nam FROM pipes", 14, "Did you mean `name`?");
    check("SELECT q.name FROM pipes p", 14, "`q` is not in FROM");
    check(
        "SELECT name FROM pipes p JOIN users_in_pipes u ON p.name = u.name",
        14,
        "ambiguous",
    );
    check("SELECT SLEEP(5)", 2, "SLEEP");
    check("SELECT load_extension('x')", 2, "load_extension");
    check("SELECT UPPER(name) OVER () FROM pipes", 2, "UPPER");
    check("SELECT @x", 2, "@x");
    check("SELECT ABS(1, 2)", 3, "ABS");
    check(
        "SELECT COUNT(*) FROM pipes WHERE COUNT(*) > 1",
        3,
        "aggregate",
    );
    check("SELECT 1 UNION SELECT 1, 2", 14, "numbers of columns");
    check(
        "SELECT * FROM pipes WHERE name REGEXP '('",
        3,
        "regular expression",
    );
    check(
        "SELECT name FROM pipes GROUP BY name WITH ROLLUP",
        2,
        "ROLLUP",
    );
    check("SELECT rowid FROM pipes", 14, "rowid");
}

/// The rows that live state is asked for.
#[test]
fn keys_in_conditions_pin_what_is_fetched() {
    let check = |sql: &str, table: &str, expected: Option<&[&str]>| {
        let translation = translate(&parsed(sql).unwrap()).unwrap();
        let keys = expected.map(|keys| {
            let keys = keys.iter().map(|key| Parameter::Text((*key).to_owned()));
            Pins::These(keys.collect())
        });
        assert_eq!(
            translation.tables[table].pins,
            Some(keys.unwrap_or(Pins::All)),
            "{sql}"
        );
    };
    check("SELECT * FROM pipes", "pipes", None);
    check(
        "SELECT * FROM pipes WHERE name = 'a' AND users > 1",
        "pipes",
        Some(&["a"]),
    );
    check(
        "SELECT * FROM pipes p WHERE (p.name IN ('a', \"b\"))",
        "pipes",
        Some(&["a", "b"]),
    );
    check(
        "SELECT * FROM pipes WHERE name = 'a' OR users > 1",
        "pipes",
        None,
    );
    check("SELECT * FROM pipes WHERE name NOT IN ('a')", "pipes", None);
    check(
        "SELECT * FROM pipes WHERE name = CONCAT('a')",
        "pipes",
        None,
    );
    check(
        "SELECT * FROM pipes a JOIN pipes b ON a.name = 'x' WHERE b.name = 'y'",
        "pipes",
        Some(&["x", "y"]),
    );
    check(
        "SELECT * FROM pipes a LEFT JOIN pipes b ON a.name = 'x' WHERE b.name = 'y'",
        "pipes",
        None,
    );
    check(
        "SELECT * FROM pipes WHERE name = 'x' UNION SELECT * FROM pipes",
        "pipes",
        None,
    );
    check(
        "SELECT * FROM users_time t WHERE 7 = t.id",
        "users_time",
        Some(&["7"]),
    );
}

#[test]
fn the_page_lists_exactly_these_functions() {
    let page = include_str!("../../../../../docs-site/reference/select.md");
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with("Functions"))
        .unwrap();
    let mut listed: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
    listed.sort_unstable();
    let known: Vec<_> = translate::FUNCTIONS
        .iter()
        .map(|known| known.name)
        .collect();
    assert_eq!(listed, known);
}
