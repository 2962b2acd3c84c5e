//! Members come and go: what the table makes of what it hears, and of silence.

use std::time::Duration;

use tokio::time::Instant;

use super::table::{Change, Table};
use super::wire::Beat;
use super::{NUMBERS, NodeId, free_number};

const LEASE: Duration = Duration::from_secs(5);

fn beat(node: &str) -> Beat {
    Beat {
        v: 1,
        node: node.into(),
        name: node.into(),
        ready: true,
        ..Beat::default()
    }
}

fn names(table: &Table, now: Instant) -> Vec<String> {
    table.members(now).map(|row| row.name).collect()
}

#[test]
fn who_beats_is_a_member_until_it_is_silent_or_leaves() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut table = Table::new("own".into(), LEASE);
    assert_eq!(
        table.hear(at(0), beat("own")),
        None,
        "itself is no other one"
    );
    assert_eq!(
        table.hear(at(0), beat("a")),
        Some(Change::Joined(beat("a")))
    );
    assert_eq!(table.hear(at(1), beat("a")), None);
    assert_eq!(
        table.hear(at(1), beat("b")),
        Some(Change::Joined(beat("b")))
    );
    assert_eq!(table.expire(at(6)), []);
    assert_eq!(table.hear(at(6), beat("b")), None);
    assert_eq!(table.expire(at(7)), [Change::Lost(NodeId::told("a"))]);
    assert_eq!(table.expire(at(8)), [], "told once");
    let again = Beat {
        connected: 1,
        ..beat("b")
    };
    let renewed = Change::Again(NodeId::told("b"));
    assert_eq!(table.hear(at(8), again.clone()), Some(renewed));
    assert_eq!(table.hear(at(8), again), None);
    let goodbye = Beat {
        gone: true,
        ..beat("b")
    };
    let left = Change::Left(NodeId::told("b"));
    assert_eq!(table.hear(at(8), goodbye.clone()), Some(left));
    assert_eq!(table.hear(at(8), goodbye), None);
    // A frozen node goes on, and is taken in again.
    assert_eq!(
        table.hear(at(9), beat("a")),
        Some(Change::Joined(beat("a")))
    );
    assert_eq!(names(&table, at(9)), ["a"]);
}

#[test]
fn a_node_that_stood_still_gives_the_others_another_lease() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut table = Table::new("own".into(), LEASE);
    table.hear(at(0), beat("a"));
    table.renew(at(20));
    assert_eq!(table.expire(at(25)), []);
    assert_eq!(table.expire(at(26)), [Change::Lost(NodeId::told("a"))]);
}

#[test]
fn beats_of_other_versions_are_understood() {
    let version_1 = br#"{"v":1,"node":"n1-0a1b2c3d","name":"n1","number":7,"version":"0.1.0","http":"10.0.0.1:8080","mysql":"10.0.0.1:3306","started_ms":1700000000000,"ready":true,"draining":false,"gone":false,"connected":2}"#;
    let read = Beat::read(version_1).unwrap();
    assert_eq!(
        (read.number, read.name.as_str(), read.ready),
        (7, "n1", true)
    );
    assert_eq!(read.text().as_bytes(), version_1);
    let later = br#"{"v":2,"node":"n1-0a1b2c3d","name":"n1","zone":{"a":[1]}}"#;
    assert_eq!(Beat::read(later).unwrap().name, "n1");
    for none in [&b""[..], b"{}", b"[]", b"{\"v\":1}", b"\xff"] {
        assert_eq!(Beat::read(none), None);
    }
    let answer =
        br#"{"v":1,"node":"n1-0a1b2c3d","rows":[{"v":1,"node":"n1-0a1b2c3d","number":7}]}"#;
    assert_eq!(Beat::of_answer(answer)[0].number, 7);
}

#[test]
fn numbers_are_those_that_nobody_has() {
    let taken = |number| Beat {
        number,
        ..beat(&number.to_string())
    };
    let all: Vec<_> = (1..=NUMBERS).map(taken).collect();
    assert_eq!(free_number(&all), None);
    assert_eq!(free_number(&all[1..]), Some(1));
    assert!((1..=NUMBERS).contains(&free_number(&[]).unwrap()));
}
