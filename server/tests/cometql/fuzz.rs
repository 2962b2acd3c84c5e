//! Statements that nobody means: those of the documentation and of clients with bytes changed, and whatever the grammar
//! gives. Each is answered with rows, a count or a code of the documentation's table; nothing panics, and the next
//! statement of the connection works.
//!
//! A panic in a statement's own task fails the test at once; one in a thread of the SELECT engine or of the node becomes
//! error 500, which no statement may give here.

use std::sync::{Arc, LazyLock};

use cometql_server::cometql::{self, Settings, Value, errors};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::runtime::Runtime;

use super::{Node, node};

/// Statements tried by chance.
const CASES: u32 = 400;
/// Longest time of a SELECT here, in milliseconds: chance writes joins that take long.
const SELECT_MS: u64 = 300;

/// All that the documentation and the clients' fixtures say.
static CORPUS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let fixtures = [
        include_str!("../fixtures/cli.sql"),
        include_str!("../fixtures/connector_j.sql"),
        include_str!("../fixtures/dbeaver.sql"),
        include_str!("../fixtures/drivers.sql"),
        include_str!("../fixtures/grafana.sql"),
    ];
    let lines = fixtures.into_iter().flat_map(str::lines);
    let lines = lines.filter(|line| !line.starts_with("-- "));
    let pages = [
        include_str!("../../../docs-site/reference/cometql.md"),
        include_str!("../../../docs-site/reference/select.md"),
        include_str!("../../../docs-site/reference/mysql.md"),
        include_str!("../../../docs-site/reference/errors.md"),
    ];
    let written = pages.into_iter().flat_map(statements);
    let own = OWN.iter().map(|sql| (*sql).to_owned());
    let all = lines.map(str::to_owned).chain(written).chain(own);
    all.filter(|sql| sql.len() > 3).collect()
});

/// The statements of a page: blocks of SQL, and what stands in backticks.
fn statements(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, block) in page.split("```").enumerate() {
        match block.strip_prefix("sql\n") {
            Some(block) if at % 2 == 1 => found.extend(block.split(";\n").map(str::to_owned)),
            _ if at % 2 == 0 => {
                found.extend(block.split('`').skip(1).step_by(2).map(str::to_owned))
            }
            _ => {}
        }
    }
    found
}

/// One of each kind that the pages only describe.
const OWN: &[&str] = &[
    "INSERT INTO users_auth (id, hash) VALUES (5, 'a'), (6, CONCAT('b', 1)) ON DUPLICATE KEY UPDATE hash = CONCAT(hash, VALUES(hash))",
    "INSERT INTO users_data (id, data) VALUES (5, '1') AS new (i, d) ON DUPLICATE KEY UPDATE data = users_data.data + new.d, id = id",
    "INSERT IGNORE INTO pipes_settings SET name = 'abc', length = 5",
    "REPLACE INTO pipes_settings (name, length) SELECT name, length + 1 FROM pipes_settings LIMIT 3",
    "INSERT INTO pipes_messages (name, event, message) VALUES ('abc', 'e', _utf8mb4'{\"a\":\"\\u0441\"}' 'b'), ('abd', '', x'414243')",
    "INSERT INTO users_messages (id, event, message) VALUES (0, '', \"it's\")",
    "UPDATE pipes_settings SET length = length * 2 - 1 WHERE name LIKE 'a%' ORDER BY name LIMIT 2",
    "UPDATE users_data SET data = JSON_SET(data, '$.a', 1) WHERE id IN (1, 2) OR id BETWEEN 3 AND 9",
    "DELETE FROM pipes_messages WHERE name = 'abc' AND id = '0190a000-0000-7000-8000-000000000000'",
    "DELETE FROM pipes_members WHERE user_id IN (SELECT id FROM users_time WHERE time > 0)",
    "DELETE FROM revoked_tokens WHERE token = 'a.b.c'",
    "SELECT p.name, COUNT(*) AS c FROM pipes p LEFT JOIN users_in_pipes u USING (name) GROUP BY p.name HAVING c > 1 ORDER BY c DESC LIMIT 1, 2",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT SUM(i) OVER (ORDER BY i ROWS 2 PRECEDING) FROM n",
    "SELECT RANK() OVER (PARTITION BY length ORDER BY name DESC), LAG(name, 1, '-') OVER (ORDER BY name) FROM pipes_settings",
    "SELECT CASE WHEN 1 THEN FORMAT(1234.5, 2) ELSE CAST('5' AS SIGNED) END, 'a' LIKE 'A%' ESCAPE '!', 5 DIV 2, ~1 ^ 3, NOT NULL <=> 1",
    "SELECT DATE_FORMAT(NOW(), '%Y-%b-%D %r'), TIMESTAMPDIFF(MONTH, '2026-01-31', '2026-03-01'), NOW() - INTERVAL 1 WEEK",
    "SELECT JSON_EXTRACT('{\"a\":[1]}', '$.a[0]'), '{}' ->> '$.x', JSON_CONTAINS('[1,2]', '1'), SUBSTRING_INDEX('a.b', '.', -1)",
    "SELECT GROUP_CONCAT(DISTINCT id), GROUP_CONCAT(id ORDER BY id SEPARATOR '-') FROM users_auth WHERE hash REGEXP '^[a-z]+$'",
    "SELECT * FROM information_schema.columns c NATURAL JOIN information_schema.tables WHERE EXISTS (SELECT 1) UNION SELECT 1",
    "SHOW FULL COLUMNS FROM users_auth LIKE 'h%'",
    "SHOW GLOBAL STATUS WHERE Variable_name LIKE '%_ps' AND Value >= 0",
    "SHOW VARIABLES WHERE Variable_name IN ('wait_timeout', 'autocommit') OR Value = 'x'",
    "SHOW INDEX FROM pipes_messages FROM CometQL_v1",
    "EXPLAIN FORMAT = JSON SELECT * FROM pipes",
    "EXPLAIN SUBSCRIBE 'private_x' FOR USER 5",
    "SET NAMES utf8mb4, @@SESSION.wait_timeout = 2147483",
    "KILL QUERY 99",
    "BEGIN; SELECT 1; COMMIT",
];

/// Pieces that a grammar is made of.
const WORDS: &[&str] = &[
    "SELECT",
    "INSERT INTO",
    "UPDATE",
    "DELETE FROM",
    "REPLACE INTO",
    "SHOW",
    "SET",
    "EXPLAIN",
    "WITH",
    "VALUES",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "UNION",
    "EXCEPT",
    "DISTINCT",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "BETWEEN",
    "IS NULL",
    "REGEXP",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "INTERVAL",
    "DAY",
    "OVER",
    "PARTITION BY",
    "ROWS",
    "PRECEDING",
    "ON DUPLICATE KEY UPDATE",
    "IGNORE",
    "EXISTS",
    "users_auth",
    "users_data",
    "users_time",
    "users_messages",
    "pipes_messages",
    "pipes_settings",
    "pipes",
    "users_in_pipes",
    "revoked_tokens",
    "pipes_members",
    "information_schema.columns",
    "dual",
    "id",
    "hash",
    "data",
    "name",
    "length",
    "`index`",
    "time",
    "user_id",
    "token",
    "message",
    "event",
    "*",
    "COUNT(*)",
    "MAX(id)",
    "CONCAT(",
    "JSON_EXTRACT(",
    "REPEAT(",
    "FORMAT(",
    "LPAD(",
    "DATE_FORMAT(",
    "ROUND(",
    "SUBSTRING(",
    "TIMESTAMPDIFF(",
    "VALUES(",
    "(",
    ")",
    ",",
    ";",
    "=",
    "<",
    ">=",
    "<=>",
    "<>",
    "+",
    "-",
    "*",
    "/",
    "%",
    "DIV",
    "^",
    "|",
    "&",
    "<<",
    "~",
    "!",
    "||",
    "->",
    "->>",
    ".",
    "?",
    "@@wait_timeout",
    "@x",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "0.5",
    "0x4142",
    "x'4'",
    "''",
    "'a'",
    "'%'",
    "'$.a[0]'",
    "\"b\"",
    "'\\''",
    "'я'",
    "NULL",
    "TRUE",
    "DEFAULT",
    "/* c */",
    "/*!40101 SET",
    "*/",
    "-- ",
    "#",
    "\n",
    "\0",
];

/// A change of a statement.
#[derive(Debug, Clone)]
enum Change {
    /// A byte becomes another one.
    Byte(Index, u8),
    /// Some bytes go.
    Remove(Index, usize),
    /// A piece comes in.
    Insert(Index, &'static str),
    /// Some bytes come again, many times.
    Repeat(Index, usize, usize),
    /// It goes on as another statement.
    Splice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), 1..12_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (at(), select(WORDS)).prop_map(|(at, word)| Change::Insert(at, word)),
        (at(), 1..12_usize, 2..200_usize)
            .prop_map(|(at, count, times)| Change::Repeat(at, count, times)),
        (at(), at()).prop_map(|(at, other)| Change::Splice(at, other)),
    ]
}

/// Changed, as text: what is no UTF-8 any more is refused before the language sees it.
fn changed(sql: &str, changes: &[Change]) -> String {
    let mut bytes = sql.as_bytes().to_vec();
    for change in changes {
        let end = bytes.len();
        let place = |at: &Index| at.index(end + 1);
        match change {
            Change::Byte(at, byte) => {
                if let Some(place) = bytes.get_mut(place(at)) {
                    *place = *byte;
                }
            }
            Change::Remove(at, count) => {
                let at = place(at);
                bytes.drain(at..(at + count).min(end));
            }
            Change::Insert(at, word) => {
                let at = place(at);
                bytes.splice(at..at, format!(" {word} ").into_bytes());
            }
            Change::Repeat(at, count, times) => {
                let at = place(at);
                let piece = bytes[at..(at + count).min(end)].repeat(*times);
                bytes.splice(at..at, piece);
            }
            Change::Splice(at, other) => {
                bytes.truncate(place(at));
                let other = CORPUS[other.index(CORPUS.len())].as_bytes();
                bytes.extend(&other[other.len() / 2..]);
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn statement() -> impl Strategy<Value = String> {
    let changed = (any::<Index>(), prop::collection::vec(change(), 0..6))
        .prop_map(|(at, changes)| changed(&CORPUS[at.index(CORPUS.len())], &changes));
    let made = prop::collection::vec(select(WORDS), 1..24).prop_map(|words| words.join(" "));
    prop_oneof![4 => changed, 1 => made]
}

/// A node that has answered all statements so far.
struct Tried {
    node: Node,
    runtime: Runtime,
}

impl Tried {
    fn start() -> Self {
        let runtime = Runtime::new().expect("threads");
        let node = runtime.block_on(node());
        Self { node, runtime }
    }

    /// From now on a SELECT may take so long.
    fn limit(&self, select_ms: u64) {
        self.node.context.settings.store(Arc::new(Settings {
            select_ms,
            ..Settings::default()
        }));
    }

    fn try_one(&mut self, sql: &str) -> Result<(), TestCaseError> {
        self.limit(SELECT_MS);
        self.answers(sql)?;
        self.limit(Settings::default().select_ms);
        let next = self
            .runtime
            .block_on(self.node.answer("SELECT 20 + 3", &[]));
        prop_assert_eq!(next, "23");
        Ok(())
    }

    /// Each statement has an answer, or a code of the table.
    fn answers(&mut self, sql: &str) -> Result<(), TestCaseError> {
        let Self { node, runtime } = self;
        let refused = |code: u16, message: &str| {
            let known = errors::CODES.iter().any(|known| known.number == code);
            prop_assert!(known && code != 500, "{code}: {message}");
            Ok(())
        };
        let settings = node.context.settings.load_full();
        match cometql::parse(sql, &settings) {
            Err(error) => refused(error.code, &error.message)?,
            Ok(statements) => {
                for statement in statements.iter().take(20) {
                    let values = [
                        Value::Integer(5),
                        Value::Null,
                        Value::Text("abc".to_owned()),
                    ];
                    let values = values.into_iter().cycle();
                    let values: Vec<_> = values.take(statement.parameters()).collect();
                    let execute =
                        cometql::execute(&node.context, &mut node.session, statement, &values);
                    if let Err(error) = runtime.block_on(execute) {
                        refused(error.code, &error.message)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[test]
fn every_statement_is_answered() {
    let mut tried = Tried::start();
    for sql in CORPUS.iter() {
        if let Err(failure) = tried.try_one(sql) {
            panic!("{sql}: {failure}");
        }
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let tried = std::cell::RefCell::new(tried);
    let result = runner.run(&statement(), |sql| tried.borrow_mut().try_one(&sql));
    let Tried { node, runtime } = tried.into_inner();
    runtime.block_on(node.stop());
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Statements whose translation or values would grow without end.
#[test]
fn what_would_not_fit_into_memory_is_refused() {
    let mut tried = Tried::start();
    let nested = |open: &str, close: &str, times: usize| {
        format!("SELECT {}'[]'{}", open.repeat(times), close.repeat(times))
    };
    let large = "REPEAT('a', 1000000)";
    for (sql, code) in [
        (nested("JSON_EXTRACT(", ", '$')", 40), "error 18"),
        (nested("DATE(", ")", 40), "NULL"),
        (format!("SELECT 1{}", " ^ 1".repeat(300)), "error 18"),
        (
            format!("SELECT '{{}}'{}", " -> '$'".repeat(300)),
            "error 18",
        ),
        (format!("SELECT REPLACE({large}, 'a', {large})"), "error 11"),
        (
            format!("SELECT CONCAT({})", vec![large; 90].join(", ")),
            "error 11",
        ),
        (
            format!("SELECT CONCAT_WS({large}, {})", vec!["1"; 90].join(", ")),
            "error 11",
        ),
        (
            format!("SELECT LENGTH(REPLACE({large}, 'a', 'bc'))"),
            "2000000",
        ),
    ] {
        let answer = tried.runtime.block_on(tried.node.answer(&sql, &[]));
        assert_eq!(answer, code, "{}", &sql[..sql.len().min(100)]);
    }
    tried.runtime.block_on(tried.node.stop());
}
