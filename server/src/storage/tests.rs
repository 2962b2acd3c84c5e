//! What only a data directory does: locks, versions, damage, a full disk, copies, starting again.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use cometql_engine::{MessageId, StoreAnswer, StoreRequest};

use super::conformance::{
    KEEP_ALL, TENANT, append_request, ask, channel, content, history, inbox, inbox_append,
    last_seen, open_channel, set_last_seen, try_ask, user, wait,
};
use super::open::FILE;
use super::{Durability, OpenError, Store, backup, message_id_text, parse_message_id, schema};

fn opened(directory: &Path) -> Store {
    Store::open(directory, Durability::Process).unwrap()
}

/// A store with one row in most tables, closed.
fn filled(directory: &Path) {
    let store = Store::open(directory, Durability::Power).unwrap();
    open_channel(&store, TENANT, "web_a", 5);
    ask(&store, append_request("web_a", 1, KEEP_ALL));
    inbox_append(&store, 7, 1, 9);
    set_last_seen(&store, 7, Some(50));
    set_last_seen(&store, 8, None);
    wait(async {
        store.purge(2_000_000, u64::MAX).await.unwrap();
        let rows = vec![(user(7), "hash".into())];
        store.set_hashes(TENANT, rows).await.unwrap();
        store.shutdown().await;
    });
}

#[track_caller]
fn check_filled(store: &Store) {
    assert_eq!(history(store, "web_a", 0, 9, false), [1]);
    assert_eq!(open_channel(store, TENANT, "web_a", 6).epoch.0, 5);
    assert_eq!(inbox(store, 7, 0), [1]);
    assert_eq!(
        wait(store.hash(TENANT, user(7))),
        Ok(Some("hash".to_owned()))
    );
}

#[test]
fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let store = opened(directory.path());
    check_filled(&store);
    assert_eq!(last_seen(&store, 7), Some(50));
    assert_eq!(last_seen(&store, 8), Some(2000), "was online at the end");
    wait(store.shutdown());
}

#[test]
fn a_second_opener_is_told_who_was_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path());
    let Err(OpenError::Locked { process, .. }) = Store::open(directory.path(), Durability::Process)
    else {
        panic!("opened twice");
    };
    assert_eq!(process, Some(std::process::id()));
    wait(store.shutdown());
    wait(opened(directory.path()).shutdown());
}

/// The store is refused with a code, and not one byte of it changes.
#[track_caller]
fn check_refused(code: &str, change: impl Fn(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let path = directory.path().join(FILE);
    change(&path);
    let before = fs::read(&path).unwrap();
    match Store::open(directory.path(), Durability::Process) {
        Ok(_) => panic!("opened"),
        Err(error) => {
            assert_eq!(error.code(), code, "{error}");
            let text = error.to_string();
            assert!(text.ends_with(&format!("({code})")), "{text}");
            assert!(text.contains(directory.path().to_str().unwrap()), "{text}");
        }
    }
    assert!(fs::read(&path).unwrap() == before, "the file changed");
}

#[test]
fn damaged_files_are_refused_and_left_alone() {
    let cut = |path: &Path, keep: u64| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(keep).unwrap();
    };
    check_refused("store_foreign", |path| cut(path, 50));
    check_refused("store_damaged", |path| cut(path, 4096));
    check_refused("store_damaged", |path| cut(path, 8192 + 100));
    check_refused("store_foreign", |path| {
        fs::write(path, [b'x'; 9000]).unwrap();
    });
    check_refused("store_damaged", |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[4096..].fill(0xa5);
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn foreign_and_newer_files_are_refused_and_left_alone() {
    let after = |sql: &str, path: &Path| {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.close().unwrap();
    };
    let known = schema::version_of(schema::STEPS);
    let newer = format!("PRAGMA user_version = {}", known + 1);
    for (code, sql) in [
        ("store_newer", newer.as_str()),
        ("store_foreign", "PRAGMA application_id = 1"),
        ("store_damaged", "DROP TABLE pipes_members"),
        ("store_damaged", "DELETE FROM node"),
    ] {
        check_refused(code, |path| after(sql, path));
    }
}

#[test]
fn publications_of_an_older_file_know_the_one_before_them() {
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection, &schema::STEPS[..1]).unwrap();
    for (name, offset) in [("web_a", 4), ("web_a", 5), ("web_a", 8), ("web_b", 7)] {
        let row = format!("(1, '{name}', {offset}, '', 0, '', '', 0, NULL)");
        let insert = format!("INSERT INTO pipes_messages VALUES {row}");
        connection.execute(&insert, []).unwrap();
    }
    schema::migrate(&mut connection, schema::STEPS).unwrap();
    let links = "SELECT group_concat(previous || '-' || offset) FROM
         (SELECT * FROM pipes_messages ORDER BY name, offset)";
    let links: String = connection.query_row(links, [], |row| row.get(0)).unwrap();
    assert_eq!(links, "3-4,4-5,5-8,6-7");
}

#[test]
fn an_older_file_is_no_member_and_has_nothing_logged() {
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection, &schema::STEPS[..5]).unwrap();
    let rows = "INSERT INTO users_auth VALUES (1, 7, 'a'); INSERT INTO users_data VALUES (1, 7, 'a');
        INSERT INTO users_time VALUES (1, 7, 5, 1); INSERT INTO pipes_settings VALUES (1, 'web_a', 5);
        INSERT INTO pipes_members VALUES (1, 'web_a', 7); INSERT INTO revoked_tokens VALUES (1, 'a')";
    connection.execute_batch(rows).unwrap();
    schema::migrate(&mut connection, schema::STEPS).unwrap();
    let number = |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    for table in [
        "users_auth",
        "users_data",
        "users_time",
        "pipes_settings",
        "pipes_members",
        "revoked_tokens",
    ] {
        let count = format!("SELECT count(*) FROM {table} WHERE logged = 0");
        assert_eq!(number(&count), 1, "{table}");
    }
    assert_eq!(number("SELECT epoch + applied FROM replica"), 0);
}

#[test]
fn older_files_are_led_forward() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let path = directory.path().join(FILE);
    let mut connection = rusqlite::Connection::open(path).unwrap();
    let mut steps = schema::STEPS.to_vec();
    steps.push("CREATE TABLE more (a); INSERT INTO more SELECT hash FROM users_auth");
    schema::migrate(&mut connection, &steps).unwrap();
    schema::migrate(&mut connection, &steps).unwrap();
    let moved: Vec<String> = connection
        .prepare("SELECT a FROM more")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(moved, ["hash"]);
    steps.push("CREATE TABLE half (a); CREATE TABLE more (a)");
    schema::migrate(&mut connection, &steps).unwrap_err();
    connection.prepare("SELECT a FROM half").unwrap_err();
}

#[test]
fn a_full_disk_fails_writes_only_and_only_while_it_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path());
    open_channel(&store, TENANT, "web_a", 1);
    ask(&store, append_request("web_a", 1, KEEP_ALL));
    store.limit_pages(1);
    let big = vec![(user(7), "x".repeat(1 << 20))];
    let (answers, told) = mpsc::channel();
    for offset in 2..5 {
        let answers = answers.clone();
        store.ask(append_request("web_a", offset, KEEP_ALL), move |answer| {
            answers.send(answer.is_ok()).unwrap();
        });
    }
    // Small rows may find room in pages that are there; this one can't.
    let failure = wait(store.set_data(TENANT, big.clone())).unwrap_err();
    assert!(
        failure
            .to_string()
            .ends_with("the disk of the data directory is full")
    );
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [true; 3]);
    assert_eq!(history(&store, "web_a", 0, 9, false), [1, 2, 3, 4]);
    store.limit_pages(1 << 30);
    assert_eq!(wait(store.set_data(TENANT, big)), Ok(1));
    assert_eq!(store.stats().failures, 1);
    wait(store.shutdown());
}

#[test]
fn one_that_fails_does_not_take_others_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path());
    open_channel(&store, TENANT, "web_a", 1);
    let (answers, told) = mpsc::channel();
    // The second 3 can't be stored; they mostly share one transaction, and it makes no difference if they don't.
    for offset in [1, 2, 3, 3, 4, 5] {
        let answers = answers.clone();
        store.ask(append_request("web_a", offset, KEEP_ALL), move |answer| {
            answers.send((offset, answer.is_ok())).unwrap();
        });
    }
    drop(answers);
    let told: Vec<_> = told.iter().collect();
    let expected = [
        (1, true),
        (2, true),
        (3, true),
        (3, false),
        (4, true),
        (5, true),
    ];
    assert_eq!(told, expected);
    assert_eq!(history(&store, "web_a", 0, 9, false), [1, 2, 3, 4, 5]);
    wait(store.shutdown());
}

#[test]
fn answers_come_in_order_and_reads_see_earlier_writes() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path());
    open_channel(&store, TENANT, "web_a", 1);
    let (answers, told) = mpsc::channel();
    for offset in 1..=2000 {
        let (written, read) = (answers.clone(), answers.clone());
        store.ask(append_request("web_a", offset, KEEP_ALL), move |answer| {
            answer.unwrap();
            written.send(offset).unwrap();
        });
        let request = StoreRequest::ReadHistory {
            tenant: TENANT,
            channel: channel("web_a"),
            after: 0,
            limit: 1,
            newest: true,
            log: None,
        };
        store.ask(request, move |answer| match answer.unwrap() {
            StoreAnswer::History(history) => read.send(history[0].offset).unwrap(),
            other => panic!("{other:?}"),
        });
    }
    drop(answers);
    let expected: Vec<u64> = (1..=2000).flat_map(|offset| [offset; 2]).collect();
    assert_eq!(told.iter().collect::<Vec<_>>(), expected);
    assert!(store.stats().commits <= 2001);
    wait(store.shutdown());
}

#[test]
fn dropping_the_store_carries_out_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path());
    let (answers, told) = mpsc::channel();
    for number in 1..=100 {
        let answers = answers.clone();
        let request = StoreRequest::SetLastSeen {
            tenant: TENANT,
            user: user(number),
            time: Some(number),
        };
        store.ask(request, move |answer| {
            answers.send(answer.is_ok()).unwrap();
        });
    }
    drop((store, answers));
    assert_eq!(told.iter().collect::<Vec<_>>(), [true; 100]);
}

#[test]
fn copies_are_whole_while_others_write() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    filled(&data);
    let store = opened(&data);
    let writer = store.clone();
    let (stop, stopped) = mpsc::channel::<()>();
    let writing = std::thread::spawn(move || {
        let mut offset = 1;
        while let Err(mpsc::TryRecvError::Empty) = stopped.try_recv() {
            offset += 1;
            try_ask(&writer, append_request("web_a", offset, KEEP_ALL)).unwrap();
        }
        offset
    });
    let (inside, outside) = (directory.path().join("inside"), directory.path().join("o"));
    store.backup(&inside).unwrap();
    backup(&data, &outside).unwrap();
    drop(stop);
    let last = writing.join().unwrap();
    for copy in [inside, outside] {
        let failure = store.backup(&copy).unwrap_err();
        assert!(
            failure.to_string().contains("the target exists"),
            "{failure}"
        );
        let copied = opened(&copy);
        let position = open_channel(&copied, TENANT, "web_a", 6);
        assert!((1..=last).contains(&position.offset));
        // What comes now is not what the original has there.
        assert!(position.epoch.0 != 5 && position.epoch.0 != 6);
        let again = open_channel(&copied, TENANT, "web_a", 7);
        assert_eq!(again.epoch, position.epoch);
        let all: Vec<u64> = (1..=position.offset).collect();
        assert_eq!(history(&copied, "web_a", 0, u64::MAX, false), all);
        wait(copied.shutdown());
    }
    wait(store.shutdown());
    assert!(backup(directory.path(), &directory.path().join("n")).is_err());
    backup(&data, &directory.path().join("closed")).unwrap();
    wait(opened(&directory.path().join("closed")).shutdown());
}

#[test]
fn a_store_in_memory_can_be_copied_to_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::in_memory();
    open_channel(&store, TENANT, "web_a", 5);
    ask(&store, append_request("web_a", 1, KEEP_ALL));
    let copy = directory.path().join("copy");
    store.backup(&copy).unwrap();
    let copied = opened(&copy);
    assert_eq!(history(&copied, "web_a", 0, 9, false), [1]);
    let position = open_channel(&copied, TENANT, "web_a", 6);
    wait(copied.shutdown());
    let copied = opened(&copy);
    assert_eq!(open_channel(&copied, TENANT, "web_a", 6), position);
    wait(copied.shutdown());
}

#[test]
fn space_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path());
    let text = "x".repeat(1 << 20);
    let rows: Vec<_> = (1..=20).map(|n| (user(n), text.clone())).collect();
    let users = rows.iter().map(|(user, _)| *user).collect();
    wait(async {
        store.set_data(TENANT, rows).await.unwrap();
        store.purge(0, 0).await.unwrap();
        store.remove_data(TENANT, users).await.unwrap();
        let before = store.stats();
        assert!(before.file_bytes > 20 << 20);
        store.purge(0, 0).await.unwrap();
        // The upkeep comes after the answer to the purge, and before the next answer.
        store.hash(TENANT, user(1)).await.unwrap();
    });
    let after = store.stats();
    assert!(after.file_bytes < 6 << 20, "{after:?}");
    assert_eq!(after.log_bytes, 0);
    wait(store.shutdown());
}

#[cfg(unix)]
#[test]
fn others_may_not_look_into_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    filled(&directory);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join(FILE)), 0o600);
}

#[test]
fn message_ids_as_text() {
    let id = content(9).id;
    let text = message_id_text(id);
    assert_eq!(text, "00000000-0000-0009-0000-000000000007");
    assert_eq!(parse_message_id(&text), Some(id));
    let upper = "ABCDEF00-0000-0000-0000-000000000000";
    assert_eq!(parse_message_id(upper), Some(MessageId(0xabcdef << 104)));
    assert_eq!(parse_message_id("00000000000000090000000000000007"), None);
    assert_eq!(parse_message_id("x"), None);
}
