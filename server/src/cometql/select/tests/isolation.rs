//! No SQL reads what belongs to another tenant, or what is not a table of the language.

use super::*;

#[test]
fn no_table_shows_another_tenants_rows() {
    let world = World::new();
    for table in crate::cometql::catalog::TABLES {
        let rows = world.rows(&format!("SELECT * FROM {}", table.name), &[]);
        assert!(
            !rows.contains("secret") && !rows.contains("77"),
            "{}: {rows}",
            table.name
        );
    }
}

/// The hole-finding part: none of these may answer rows.
#[test]
fn nothing_but_known_tables_can_be_named() {
    let world = World::new();
    for sql in [
        "SELECT * FROM sqlite_master",
        "SELECT * FROM sqlite_schema",
        "SELECT * FROM temp.sqlite_temp_master",
        "SELECT * FROM main.users_auth",
        "SELECT * FROM temp.users_auth",
        "SELECT main.users_auth.hash FROM users_auth a",
        "SELECT * FROM db_2.users_auth",
        "SELECT * FROM pragma_table_info('users_auth')",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM json_each('[1]')",
        "SELECT * FROM dbstat",
        "SELECT * FROM `users online`",
        "SELECT * FROM `main`.`users_auth`",
        "SELECT * FROM `temp\".\"users_auth`",
        "SELECT tenant FROM users_auth",
        "SELECT users_auth.tenant FROM users_auth",
        "SELECT load_extension('/tmp/x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT `id\" FROM main.users_auth --` FROM users_auth",
        "WITH users_auth AS (SELECT * FROM main.users_auth) SELECT * FROM users_auth",
        "SELECT * FROM channels",
        "SELECT * FROM inboxes",
        "SELECT * FROM node",
    ] {
        let answer = world.run(sql, &[]);
        let refused = matches!(&answer, Err(failure) if matches!(failure.code, 2 | 3 | 14 | 15));
        assert!(refused, "{sql}: {answer:?}");
    }
}

/// Names of aliases and columns can be anything, but never more than a name.
#[test]
fn names_never_become_sql() {
    let world = World::new();
    world.check(
        "SELECT a.hash AS `x\" FROM main.users_auth --` FROM users_auth AS a WHERE id = 5",
        "h5",
    );
    world.check(
        "SELECT `main`.hash FROM users_auth AS `main` WHERE `main`.id = 5",
        "h5",
    );
    world.check(
        "WITH `users_auth` AS (SELECT id FROM users_data) SELECT COUNT(*) FROM users_auth",
        "2",
    );
}

/// The second wall: what the translator would never write, SQLite refuses as well.
#[test]
fn the_authorizer_refuses_what_the_translator_never_writes() {
    let world = World::new();
    for sql in [
        "SELECT hash FROM main.users_auth",
        "SELECT count(*) FROM main.users_auth",
        "WITH users_auth AS (SELECT * FROM main.node) SELECT * FROM users_auth",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM temp.sqlite_temp_master",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('x')",
        "SELECT sqlite_version()",
        "PRAGMA database_list",
        "PRAGMA query_only = 0",
        "ATTACH ':memory:' AS x",
        "CREATE TEMP TABLE x(a)",
        "CREATE TEMP VIEW users_data AS SELECT * FROM main.users_data",
        "DROP VIEW temp.users_auth",
        "DELETE FROM main.users_auth",
        "INSERT INTO main.users_auth VALUES (1, 1, 'x')",
        "BEGIN",
        "VACUUM",
    ] {
        let mut job = world.job("SELECT * FROM users_auth", &[]).unwrap();
        job.sql = sql.to_owned();
        let answer = execute(
            world.store.reader().unwrap(),
            &job,
            &Arc::new(AtomicU8::new(0)),
        );
        let refused = matches!(&answer, Err(failure) if failure.code == 403 || failure.code == 3);
        assert!(refused, "{sql}: {answer:?}");
    }
}
