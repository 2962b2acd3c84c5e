//! Hostile, arbitrary and unusual text; the fast path against the full parser.

use proptest::prelude::*;

use super::super::*;
use super::{refused, told};

/// Without the limits each of these overflows the stack, which ends the process.
#[test]
fn hostile_chains_are_refused() {
    let n = 15_000;
    refused(&format!("SELECT 1{}", "+1".repeat(n)), 18, "conditions");
    refused(
        &format!("SELECT 1 {}", "OR 1 ".repeat(n / 2)),
        18,
        "conditions",
    );
    refused(
        &format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(n / 4)),
        18,
        "conditions",
    );
    refused(&format!("SELECT {}1", "NOT ".repeat(n)), 18, "conditions");
    refused(&format!("SELECT {}1", "-".repeat(300)), 3, "");
    refused(
        &format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
        3,
        "",
    );
    refused(
        &format!("SELECT {}1{}", "f(".repeat(n), ")".repeat(n)),
        3,
        "",
    );
    refused(
        &format!("SELECT 1 {}", "COLLATE a ".repeat(n / 4)),
        18,
        "conditions",
    );
    refused(&format!("SELECT a{}", "[1]".repeat(n)), 18, "conditions");
    refused(
        &format!(
            "INSERT INTO users_auth VALUES (1{})",
            "+1".repeat(1_000_000)
        ),
        18,
        "conditions",
    );
    refused(
        &format!("INSERT INTO users_auth VALUES {}", "(".repeat(1_000_000)),
        3,
        "",
    );
    refused(
        &format!("SELECT * FROM t WHERE a IN (1{})", ",1".repeat(n)),
        19,
        "values",
    );
    refused(
        &format!(
            "INSERT INTO users_auth VALUES (1,'a'){}",
            ",(1,'a')".repeat(100_000)
        ),
        19,
        "values",
    );
}

#[test]
fn the_longest_chain_allowed_fits_a_small_stack() {
    let parse = || {
        for sql in [
            format!("SELECT 1{}", "+1".repeat(390)),
            format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(50)),
            format!(
                "DELETE FROM users_auth WHERE id > 1 {}",
                "AND hash='x' ".repeat(190)
            ),
        ] {
            let statements = parse(&sql, &Settings::default()).unwrap();
            drop(statements.clone());
        }
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(parse)
        .unwrap()
        .join()
        .unwrap();
}

/// What the fast path must not take.
#[test]
fn the_fast_path_leaves_the_unusual_to_the_parser() {
    for sql in [
        "INSERT INTO pipes_messages (name,event,message) VALUES ('a' 'b','','')",
        "INSERT INTO pipes_messages (name,event,message) VALUES (?,'','')",
        "INSERT INTO pipes_messages (name,event,message) VALUES ('a','',0x41)",
        "INSERT INTO pipes_messages (name,event,message) VALUES ('a','',1.5)",
        "INSERT INTO pipes_messages (name,event,message) VALUES ('a','','') -- x",
        "INSERT INTO pipes_messages (name,event,message) VALUES ('a','',''); SELECT 1",
        "INSERT INTO users_auth (id,hash) VALUES (1,'')",
    ] {
        assert!(
            fast_insert::parse(sql, &Settings::default()).is_none(),
            "{sql}"
        );
    }
}

fn literal() -> impl Strategy<Value = String> {
    let inner = "([ -&(-\\[\\]-~é日]|''|\\\\[ -~]|\\\\\\\\|\"\"){0,12}";
    prop_oneof![
        inner.prop_map(|text| format!("'{text}'")),
        "([ -!#-\\[\\]-~]|\"\"|\\\\[ -~]){0,12}".prop_map(|text| format!("\"{text}\"")),
        "[0-9]{1,20}",
    ]
}

proptest! {
    #[test]
    fn the_fast_path_means_what_the_parser_means(
        rows in proptest::collection::vec((literal(), literal(), literal()), 1..4),
        space in "[ \t\n]{0,2}",
    ) {
        let rows: Vec<_> = rows.iter().map(|(a, b, c)| format!("({a},{space}{b}{space},{c})")).collect();
        let sql = format!("INSERT INTO users_messages{space}(id,{space}`event`, message) VALUES{space}{}", rows.join(","));
        let settings = Settings::default();
        if let Some(fast) = fast_insert::parse(&sql, &settings) {
            let tokens = tokens::tokenize(&sql, &settings).unwrap().remove(0);
            match Reader::new(tokens, &settings).statement() {
                Ok(Parsed::Insert(slow)) => prop_assert_eq!(told(&fast), told(&slow)),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        _ = parse(&text, &Settings::default());
    }

    #[test]
    fn arbitrary_sql_never_panics(words in proptest::collection::vec(word(), 0..40)) {
        _ = parse(&words.join(" "), &Settings::default());
    }
}

fn word() -> impl Strategy<Value = String> {
    let words = "SELECT INSERT INTO REPLACE UPDATE DELETE FROM WHERE VALUES SET SHOW FULL TABLES STATUS LIKE EXPLAIN \
        SUBSCRIBE FOR USER KILL QUERY USE DESCRIBE AND OR NOT IN BETWEEN NULL LIMIT ORDER BY GROUP JOIN ON UNION AS \
        CASE WHEN END ( ) , ; = < > + - * . ? @@x @ 'a' \"b\" `c` 1 2.5 0x41 id name hash users_auth pipes_messages \
        pipes event message DUPLICATE KEY _utf8mb4 N'x' /* */ -- # /*! COUNT(*) CREATE TABLE INDEX DEFAULT";
    proptest::sample::select(
        words
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    )
}
