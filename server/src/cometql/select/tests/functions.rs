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

#[test]
fn numbers() {
    let world = World::new();
    for (sql, expected) in [
        ("FORMAT(1234567.891, 2)", "1,234,567.89"),
        ("FORMAT(-1234.5, 0)", "-1,235"),
        ("FORMAT(999, 3)", "999.000"),
        (
            "FORMAT(9223372036854775807, 0)",
            "9,223,372,036,854,775,807",
        ),
        ("FORMAT(0.126, 2)", "0.13"),
        ("FORMAT('12332.2', 1)", "12,332.2"),
        ("FORMAT(NULL, 1)", "NULL"),
        ("TRUNCATE(1.999, 1)", "1.9"),
        ("TRUNCATE(-1.999, 0)", "-1"),
        ("TRUNCATE(122, -2)", "100"),
        ("SIGN(-3.5), SIGN(0), SIGN(NULL)", "-1|0|NULL"),
        ("POW(2, 10), SQRT(16), SQRT(-1)", "1024.0|4.0|NULL"),
        (
            "ROUND(LN(EXP(1)), 9), ROUND(LOG(2, 8), 9), ROUND(LOG10(1000), 9), LOG2(8), LOG(0)",
            "1.0|3.0|3.0|3.0|NULL",
        ),
        (
            "ROUND(PI(), 5), ROUND(DEGREES(PI()), 3), SIN(0)",
            "3.14159|180.0|0.0",
        ),
        (
            "CONV('ff', 16, 10), BIN(5), OCT(8), CONV(-1, 10, 16)",
            "255|101|10|FFFFFFFFFFFFFFFF",
        ),
        ("BIT_COUNT(7), CRC32('MySQL')", "3|3259397556"),
        (
            "INET_ATON('10.0.5.9'), INET_NTOA(167773449), INET_ATON('x')",
            "167773449|10.0.5.9|NULL",
        ),
    ] {
        world.check(&format!("SELECT {sql}"), expected);
    }
}

#[test]
fn words() {
    let world = World::new();
    for (sql, expected) in [
        ("SUBSTRING_INDEX('www.mysql.com', '.', 2)", "www.mysql"),
        ("SUBSTRING_INDEX('www.mysql.com', '.', -2)", "mysql.com"),
        ("SUBSTRING_INDEX('яbя', 'я', -1)", ""),
        ("ASCII('2'), ASCII(''), ORD('2')", "50|0|50"),
        ("CHAR(77, 121, 83)", "MyS"),
        ("ELT(2, 'a', 'b'), ELT(3, 'a', 'b')", "b|NULL"),
        ("STRCMP('text', 'TEXT'), STRCMP('a', 'b')", "0|-1"),
        ("QUOTE('Don\\'t!')", "'Don\\'t!'"),
        ("CONCAT('[', SPACE(3), ']')", "[   ]"),
        ("OCTET_LENGTH('я'), BIT_LENGTH('я')", "2|16"),
        ("REGEXP_LIKE('Michael', '^mi')", "1"),
        (
            "JSON_LENGTH('[1,2,3]'), JSON_LENGTH('{\"a\":1}'), JSON_LENGTH('x')",
            "3|1|NULL",
        ),
        (
            "JSON_TYPE('[1]'), JSON_TYPE('1.5'), JSON_TYPE('null')",
            "ARRAY|DOUBLE|NULL",
        ),
        (
            "JSON_CONTAINS('{\"a\":1,\"b\":[1,2]}', '{\"b\":[2]}'), JSON_CONTAINS('[1]', '2')",
            "1|0",
        ),
        (
            "JSON_SET('{\"a\":1}', '$.b', 2), JSON_REMOVE('{\"a\":1}', '$.a')",
            "{\"a\":1,\"b\":2}|{}",
        ),
        (
            "JSON_QUOTE('a\"b'), JSON_VALUE('{\"a\":\"x\"}', '$.a')",
            "\"a\\\"b\"|x",
        ),
    ] {
        world.check(&format!("SELECT {sql}"), expected);
    }
    world.check(
        "SELECT JSON_ARRAYAGG(id), JSON_OBJECTAGG(id, hash) FROM users_auth WHERE id = 7",
        r#"[7]|{"7":"h7"}"#,
    );
}

#[test]
fn moments() {
    let world = World::new();
    for (sql, expected) in [
        (
            "DATE_FORMAT('2009-10-04 22:23:00', '%W %M %Y')",
            "Sunday October 2009",
        ),
        (
            "DATE_FORMAT('2007-10-04 22:23:00', '%H %k %I %r %T %S %w')",
            "22 22 10 10:23:00 PM 22:23:00 00 4",
        ),
        (
            "DATE_FORMAT('1999-01-01', '%D %y %a %d %m %b %j %e %c %x%%')",
            "1st 99 Fri 01 01 Jan 001 1 1 x%",
        ),
        ("FROM_UNIXTIME(0, '%Y-%m-%d %l%p')", "1970-01-01 12AM"),
        (
            "DAYNAME('2026-11-22'), MONTHNAME('2026-11-22')",
            "Sunday|November",
        ),
        (
            "DAYOFWEEK('2026-11-22'), WEEKDAY('2026-11-22'), DAYOFYEAR('2026-02-01')",
            "1|6|32",
        ),
        (
            "QUARTER('2026-04-01'), LAST_DAY('2024-02-05'), TO_DAYS('1970-01-01')",
            "2|2024-02-29|719528",
        ),
        ("WEEK('2026-01-04'), WEEKOFYEAR('2026-01-04')", "1|1"),
        ("TIMESTAMPDIFF(MONTH, '2026-01-31', '2026-03-01')", "1"),
        ("TIMESTAMPDIFF(YEAR, '2002-05-01', '2001-01-01')", "-1"),
        (
            "TIMESTAMPDIFF(MINUTE, '2003-02-01', '2003-05-01 12:05:55')",
            "128885",
        ),
        ("TIMESTAMPADD(WEEK, 1, '2003-01-02')", "2003-01-09 00:00:00"),
        (
            "TIME_TO_SEC('22:23:00'), SEC_TO_TIME(2378), SEC_TO_TIME(-90000)",
            "80580|00:39:38|-25:00:00",
        ),
        ("DATE_FORMAT('nonsense', '%Y')", "NULL"),
    ] {
        world.check(&format!("SELECT {sql}"), expected);
    }
}

#[test]
fn windows() {
    let world = World::new();
    for (sql, expected) in [
        (
            "SELECT id, ROW_NUMBER() OVER (ORDER BY id DESC) AS n FROM users_auth ORDER BY id LIMIT 1",
            "5|3",
        ),
        (
            "SELECT SUM(v) OVER (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (SELECT 1 AS v UNION SELECT 2 UNION SELECT 4) t ORDER BY v",
            "1\n3\n6",
        ),
        (
            "SELECT LAG(v, 1, 0) OVER (ORDER BY v), RANK() OVER (PARTITION BY v > 1 ORDER BY v) FROM (SELECT 1 AS v UNION SELECT 2 UNION SELECT 4) t ORDER BY v",
            "0|1\n1|1\n2|2",
        ),
    ] {
        world.check(sql, expected);
    }
    for (sql, code) in [
        ("SELECT ROW_NUMBER()", 3),
        ("SELECT UPPER('a') OVER ()", 2),
        ("SELECT COUNT(DISTINCT 1) OVER ()", 2),
        ("SELECT SUM(1) OVER w FROM pipes", 2),
        ("SELECT SUM(1) OVER (ORDER BY 1 ROWS 'x' PRECEDING)", 3),
        ("SELECT TIMESTAMPDIFF(CENTURY, 1, 2)", 2),
    ] {
        let refused = world.run(sql, &[]).map_err(|error| error.code);
        assert_eq!(refused, Err(code), "{sql}");
    }
}
