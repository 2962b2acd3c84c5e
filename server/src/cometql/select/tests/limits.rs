//! Queries that would take for ever or fill the memory end with a clear error.

use super::*;
use std::fmt::Write as _;

#[track_caller]
fn check(job: &Job, code: u16, words: &str) {
    let world = World::new();
    let answer = execute(
        world.store.reader().unwrap(),
        job,
        &Arc::new(AtomicU8::new(0)),
    );
    let failure = answer.unwrap_err();
    assert!(
        failure.code == code && failure.message.contains(words),
        "{failure}"
    );
}

const ENDLESS: &str =
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT COUNT(*) FROM t";

#[test]
fn a_recursive_bomb_hits_the_time_limit() {
    let mut job = World::new().job(ENDLESS, &[]).unwrap();
    job.time = Duration::from_millis(50);
    check(&job, 3024, "50 ms");
}

#[test]
fn a_cross_join_bomb_hits_the_time_limit() {
    let tables = (0..12).map(|n| format!("information_schema.columns t{n}"));
    let sql = format!(
        "SELECT COUNT(*) FROM {}",
        tables.collect::<Vec<_>>().join(", ")
    );
    let mut job = World::new().job(&sql, &[]).unwrap();
    job.time = Duration::from_millis(50);
    check(&job, 3024, "50 ms");
}

#[test]
fn a_result_without_end_hits_the_row_limit() {
    let sql = ENDLESS.replace("COUNT(*)", "n");
    let job = World::new().job(&sql, &[]).unwrap();
    check(&job, 1104, "1000 rows");
}

#[test]
fn a_result_of_long_texts_hits_the_byte_limit() {
    let long = "x".repeat(1 << 20);
    let sql = ENDLESS.replace("COUNT(*)", "?");
    let job = World::new().job(&sql, &[Value::Text(long)]).unwrap();
    check(&job, 1104, "64 MiB");
}

#[test]
fn a_sort_of_long_texts_hits_the_memory_limit() {
    let long = "x".repeat(1 << 20);
    let sql = ENDLESS.replace("COUNT(*)", "CONCAT(n, ?) AS x") + " ORDER BY x";
    let job = World::new().job(&sql, &[Value::Text(long)]).unwrap();
    check(&job, 1104, "256 MiB");
}

#[test]
fn a_growing_text_hits_the_length_limit() {
    let sql = "WITH RECURSIVE t(x) AS (SELECT 'ab' UNION ALL SELECT CONCAT(x, x) FROM t) SELECT MAX(x) FROM t";
    let job = World::new().job(sql, &[]).unwrap();
    check(&job, 11, "too long");
}

#[test]
fn whoever_goes_away_stops_the_query() {
    let job = World::new().job(ENDLESS, &[]).unwrap();
    let world = World::new();
    let (watch, stop) = Watch::new();
    drop(watch);
    assert!(execute(world.store.reader().unwrap(), &job, &stop).is_err());
}

#[test]
fn long_chains_are_fine_and_deep_ones_refused() {
    let world = World::new();
    let mut long = "SELECT COUNT(*) FROM users_auth WHERE id = 0".to_owned();
    for number in 1..150 {
        write!(long, " OR id = {number}").unwrap();
    }
    world.check(&long, "3");
    let deep = format!("SELECT 1{}", " + 1".repeat(300));
    assert_eq!(world.run(&deep, &[]).unwrap_err().code, 18);
    let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(300));
    assert_eq!(world.run(&unions, &[]).unwrap_err().code, 18);
    let unions = format!("SELECT 1{}", " UNION SELECT 1".repeat(40));
    world.check(&unions, "1");
}
