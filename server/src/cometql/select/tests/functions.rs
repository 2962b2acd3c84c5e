//! Digests, notations, padding, JSON and UUIDs. The expected texts are those of MySQL 8.

use super::*;

#[test]
fn digests() {
    let world = World::new();
    for (sql, expected) in [
        ("MD5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
        ("MD5(12)", "c20ad4d76fe97759aa27a0c99bff6710"),
        ("SHA1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("SHA('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            "SHA2('abc', 256)",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        ("LENGTH(SHA2('abc', 512))", "128"),
        ("SHA2('abc', 0) = SHA2('abc', 256)", "1"),
        ("SHA2('abc', 5)", "NULL"),
        ("MD5(NULL)", "NULL"),
    ] {
        world.check(&format!("SELECT {sql}"), expected);
    }
}

#[test]
fn notations() {
    let world = World::new();
    for (sql, expected) in [
        ("HEX('abc')", "616263"),
        ("HEX(255)", "FF"),
        ("HEX('я')", "D18F"),
        ("UNHEX('616263')", "abc"),
        ("UNHEX('f')", "\u{f}"),
        ("UNHEX('ff')", "[255]"),
        ("HEX(UNHEX('FFfe'))", "FFFE"),
        ("UNHEX('xy')", "NULL"),
        ("TO_BASE64('abcd')", "YWJjZA=="),
        ("LENGTH(TO_BASE64(REPEAT('a', 60)))", "81"),
        ("FROM_BASE64('YWJj ZA==')", "abcd"),
        (
            "FROM_BASE64(TO_BASE64(REPEAT('a', 60))) = REPEAT('a', 60)",
            "1",
        ),
        ("FROM_BASE64('?')", "NULL"),
    ] {
        world.check(&format!("SELECT {sql}"), expected);
    }
}

#[test]
fn padding_and_lists() {
    let world = World::new();
    for (sql, expected) in [
        ("LPAD('hi', 5, '?!')", "?!?hi"),
        ("RPAD('hi', 5, '?!')", "hi?!?"),
        ("LPAD('hello', 2, 'x')", "he"),
        ("RPAD('я', 3, 'ю')", "яюю"),
        ("LPAD('a', -1, 'x')", "NULL"),
        ("LPAD('a', 1000000000, 'x')", "NULL"),
        ("REPEAT('ab', 3)", "ababab"),
        ("REPEAT('ab', -3)", ""),
        ("REPEAT('ab', 1000000000)", "NULL"),
        ("FIELD('B', 'a', 'b', 'c')", "2"),
        ("FIELD(3, 1, 2, 3)", "3"),
        ("FIELD('x', 'a', NULL)", "0"),
        ("FIELD(NULL, 'a', NULL)", "0"),
    ] {
        world.check(&format!("SELECT {sql}"), expected);
    }
}

#[test]
fn json_is_built() {
    let world = World::new();
    for (sql, expected) in [
        ("JSON_ARRAY(1, 'a', NULL, 2.5)", r#"[1,"a",null,2.5]"#),
        ("JSON_OBJECT()", "{}"),
        (
            "JSON_OBJECT('k', JSON_ARRAY(1), 't', CONCAT('\"', 'x'))",
            r#"{"k":[1],"t":"\"x"}"#,
        ),
    ] {
        world.check(&format!("SELECT {sql}"), expected);
    }
    world.check(
        "SELECT JSON_OBJECT('id', id, 'data', data) FROM users_data WHERE id = 7",
        r#"{"id":7,"data":"Hello"}"#,
    );
}

#[test]
fn every_row_has_its_own_uuid() {
    let world = World::new();
    world.check(
        "SELECT COUNT(DISTINCT u), MIN(LENGTH(u)) FROM (SELECT UUID() AS u FROM users_auth) t",
        "3|36",
    );
}
