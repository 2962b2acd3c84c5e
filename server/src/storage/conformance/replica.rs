//! Tables that follow a cluster's log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cometql_engine::{StoreAnswer, StoreRequest};
use tokio::sync::mpsc;

use super::{
    OTHER, TENANT, ask, channel, last_seen, on_both, set_last_seen, user, user_data, wait,
};
use crate::storage::{Change, Durability, Membership, Proposal, Row, Stage, Store, Table};

const NEVER: Membership = Membership {
    epoch: 0,
    applied: 0,
    stage: Stage::Following,
    current_ms: 0,
};

fn at(applied: u64, stage: Stage) -> Membership {
    Membership {
        epoch: u64::MAX - 5,
        applied,
        stage,
        current_ms: 1_000_000 + applied,
    }
}

fn hash(of: u64, hash: &str) -> Row {
    let hash = (!hash.is_empty()).then(|| hash.to_owned());
    Row::Hash {
        user: user(of),
        hash,
    }
}

fn data(of: u64, data: &str) -> Row {
    let data = (!data.is_empty()).then(|| data.to_owned());
    Row::Data {
        user: user(of),
        data,
    }
}

fn time(of: u64, time: u64) -> Row {
    Row::LastSeen {
        user: user(of),
        time,
    }
}

fn length(name: &str, length: Option<u64>) -> Row {
    Row::Length {
        channel: channel(name),
        length,
    }
}

fn member(name: &str, of: u64, listed: bool) -> Row {
    Row::Member {
        channel: channel(name),
        user: user(of),
        listed,
    }
}

fn token(token: &str, revoked: bool) -> Row {
    Row::Token {
        token: token.to_owned(),
        revoked,
    }
}

fn of_tenant(row: Row) -> Change {
    Change {
        tenant: TENANT,
        row,
    }
}

/// One row of each table.
fn rows() -> Vec<Row> {
    vec![
        length("web_a", Some(5)),
        member("web_a", 7, true),
        token("t.t", true),
        hash(7, "h"),
        data(7, "d"),
        time(7, 50),
    ]
}

fn gone(row: Row) -> Row {
    match row {
        Row::Hash { user, .. } => Row::Hash { user, hash: None },
        Row::Data { user, .. } => Row::Data { user, data: None },
        Row::LastSeen { user, .. } => Row::LastSeen { user, time: 0 },
        Row::Length { channel, .. } => Row::Length {
            channel,
            length: None,
        },
        Row::Member { channel, user, .. } => Row::Member {
            channel,
            user,
            listed: false,
        },
        Row::Token { token, .. } => Row::Token {
            token,
            revoked: false,
        },
    }
}

/// Applies rows from a place on; returns how many rows each changed.
fn apply(store: &Store, first: u64, rows: Vec<Row>) -> Vec<u64> {
    let last = first + rows.len() as u64 - 1;
    let changes = (first..).zip(rows.into_iter().map(of_tenant)).collect();
    wait(store.apply(changes, at(last, Stage::Following))).unwrap()
}

fn places(store: &Store, rows: Vec<Row>) -> Vec<Option<u64>> {
    wait(store.places(rows.into_iter().map(of_tenant).collect())).unwrap()
}

fn unlogged(store: &Store) -> Vec<Change> {
    let all = Table::ALL.map(|table| wait(store.unlogged(table, None, 9)).unwrap());
    all.into_iter().flatten().collect()
}

#[test]
fn applied_changes_are_there_with_their_places() {
    on_both(|store| {
        assert_eq!(store.membership(), Ok(NEVER));
        assert_eq!(store.has_rows(), Ok(false));
        assert_eq!(apply(store, 11, rows()), [1; 6]);
        assert_eq!(store.membership(), Ok(at(16, Stage::Following)));
        assert_eq!(store.has_rows(), Ok(true));
        assert_eq!(
            places(store, rows()),
            (11..=16).map(Some).collect::<Vec<_>>()
        );
        assert_eq!(wait(store.hash(TENANT, user(7))), Ok(Some("h".into())));
        assert_eq!(wait(store.hash(OTHER, user(7))), Ok(None));
        assert_eq!(user_data(store, 7), "d");
        assert_eq!(last_seen(store, 7), Some(50));
        assert_eq!(wait(store.is_revoked(TENANT, "t.t".into())), Ok(true));
        assert_eq!(store.settings(), Ok(vec![(TENANT, channel("web_a"), 5)]));
        // What was listed is not listed once more.
        assert_eq!(apply(store, 17, rows()), [1, 0, 0, 1, 1, 1]);
        assert_eq!(
            places(store, rows()),
            (17..=22).map(Some).collect::<Vec<_>>()
        );
        let all_gone: Vec<_> = rows().into_iter().map(gone).collect();
        assert_eq!(apply(store, 23, all_gone.clone()), [1; 6]);
        assert_eq!(apply(store, 29, all_gone), [0, 0, 0, 0, 0, 1]);
        assert_eq!(places(store, rows())[..5], [None; 5]);
        assert_eq!(store.has_rows(), Ok(false));
        assert_eq!(unlogged(store), []);
    });
}

#[test]
fn what_the_log_does_not_have_is_told_in_pages() {
    on_both(|store| {
        wait(async {
            let hashes = (1..=3).map(|n| (user(n), format!("h{n}"))).collect();
            store.set_hashes(TENANT, hashes).await.unwrap();
            store
                .set_hashes(OTHER, vec![(user(1), "o".into())])
                .await
                .unwrap();
        });
        let page = |after| wait(store.unlogged(Table::Auth, after, 2)).unwrap();
        let first = page(None);
        assert_eq!(first, [of_tenant(hash(1, "h1")), of_tenant(hash(2, "h2"))]);
        let second = page(first.last().cloned());
        let other = Change {
            tenant: OTHER,
            row: hash(1, "o"),
        };
        assert_eq!(second, [of_tenant(hash(3, "h3")), other.clone()]);
        assert_eq!(page(Some(other)), []);
        apply(store, 5, vec![hash(2, "new")]);
        assert_eq!(
            page(None),
            [of_tenant(hash(1, "h1")), of_tenant(hash(3, "h3"))]
        );
    });
}

#[test]
fn every_table_is_told() {
    on_both(|store| {
        apply(store, 1, rows());
        assert_eq!(unlogged(store), []);
        // Another log has none of it.
        wait(store.set_membership(at(0, Stage::Founding), true)).unwrap();
        assert_eq!(store.membership(), Ok(at(0, Stage::Founding)));
        let all: Vec<_> = rows().into_iter().map(of_tenant).collect();
        assert_eq!(unlogged(store), all);
        for (table, change) in Table::ALL.into_iter().zip(all) {
            assert_eq!(wait(store.unlogged(table, Some(change), 9)), Ok(vec![]));
        }
    });
}

#[test]
fn what_another_log_lacks_is_swept() {
    on_both(|store| {
        apply(store, 1, rows());
        apply(store, 7, vec![hash(8, "stays"), member("web_a", 8, true)]);
        wait(store.set_membership(at(0, Stage::Loading), true)).unwrap();
        apply(store, 1, vec![hash(8, "stays"), member("web_a", 8, true)]);
        let mut swept = wait(store.sweep()).unwrap();
        let mut expected: Vec<_> = rows().into_iter().map(gone).map(of_tenant).collect();
        // Nobody removes when a user was seen.
        expected.pop();
        let by_name = |change: &Change| format!("{change:?}");
        swept.sort_by_key(by_name);
        expected.sort_by_key(by_name);
        assert_eq!(swept, expected);
        assert_eq!(wait(store.hash(TENANT, user(8))), Ok(Some("stays".into())));
        assert_eq!(last_seen(store, 7), Some(50));
        assert_eq!(wait(store.sweep()), Ok(vec![]));
    });
}

fn proposed(wanted: &mut mpsc::UnboundedReceiver<Proposal>) -> Proposal {
    wait(wanted.recv()).unwrap()
}

#[test]
fn a_member_changes_tables_by_the_log_only() {
    on_both(|store| {
        let applied = Arc::new(AtomicU64::new(3));
        let mut wanted = store.join(Arc::clone(&applied)).unwrap();
        assert!(store.join(applied).is_none());
        let (told, answers) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let rows = vec![(user(7), "a".into()), (user(8), "b".into())];
                told.send(wait(store.set_hashes(TENANT, rows))).unwrap();
            });
            let proposal = proposed(&mut wanted);
            let expected = [of_tenant(hash(7, "a")), of_tenant(hash(8, "b"))];
            assert_eq!(proposal.changes, expected);
            let reply = proposal.reply.expect("somebody waits");
            reply(Ok(2));
        });
        assert_eq!(answers.recv().unwrap(), Ok(2));
        assert_eq!(wait(store.hash(TENANT, user(7))), Ok(None));
        let request = StoreRequest::SetHistory {
            tenant: TENANT,
            channel: channel("web_a"),
            length: None,
        };
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(store, request));
            let proposal = proposed(&mut wanted);
            assert_eq!(proposal.changes, [of_tenant(length("web_a", None))]);
            let reply = proposal.reply.expect("somebody waits");
            reply(Ok(1));
            assert!(matches!(asked.join().unwrap(), StoreAnswer::Changed(1)));
        });
    });
}

#[test]
fn when_a_user_left_is_known_at_once_and_told_to_the_log() {
    on_both(|store| {
        let mut wanted = store.join(Arc::default()).unwrap();
        set_last_seen(store, 7, None);
        set_last_seen(store, 7, Some(50));
        assert_eq!(last_seen(store, 7), Some(50));
        let proposal = proposed(&mut wanted);
        assert_eq!(proposal.changes, [of_tenant(time(7, 50))]);
        assert!(proposal.reply.is_none() && wanted.is_empty());
        assert_eq!(unlogged(store), [of_tenant(time(7, 50))]);
        apply(store, 4, vec![time(7, 60)]);
        assert_eq!((last_seen(store, 7), unlogged(store)), (Some(60), vec![]));
        set_last_seen(store, 7, None);
        assert_eq!(unlogged(store), [], "only the time is the log's");
    });
}

#[test]
fn who_was_online_when_a_member_ended_is_told_to_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Durability::Process).unwrap();
    apply(&store, 1, vec![time(7, 50), time(8, 50)]);
    set_last_seen(&store, 7, None);
    wait(async {
        store.runs(90_000).await.unwrap();
        store.shutdown().await;
    });
    let store = Store::open(directory.path(), Durability::Process).unwrap();
    assert_eq!(unlogged(&store), [of_tenant(time(7, 90))]);
    assert_eq!(store.membership(), Ok(at(2, Stage::Following)));
    wait(store.shutdown());
}

#[test]
fn a_careful_store_knows_what_it_has_done() {
    let store = Store::in_memory();
    assert!(store.careful().is_none());
    let applied = Arc::new(AtomicU64::new(3));
    let _wanted = store.join(Arc::clone(&applied)).unwrap();
    let (_, seen) = store.careful().unwrap();
    assert_eq!(seen.place(), 3);
    assert!(!seen.take_conflict(4));
    for row in ["a", "b", "c"] {
        assert!(!seen.is_done(row));
        seen.done(row.to_owned());
    }
    assert_eq!(seen.forgotten(), 0);
    seen.conflict();
    applied.store(9, Ordering::Release);
    assert!(seen.take_conflict(store.applied().unwrap()));
    assert_eq!(seen.place(), 9);
    // The next attempt wants two of the three, and a fourth one.
    assert!(seen.is_done("a") && seen.is_done("c") && !seen.is_done("d"));
    assert_eq!(seen.forgotten(), 1);
}
