//! WebSocket conformance: the cases of the Autobahn test suite, groups 1-7, 9 and 10, under their numbers, against a whole
//! node. Groups 12 and 13 are about permessage-deflate, which is not offered.
//!
//! Autobahn wants a server that echoes. Ours echoes what a client publishes in a channel that it is subscribed to, so each
//! text is a request with the case's payload in it. Binary messages are refused with 1003 by our own protocol and taken for
//! text by the original's, whose delivery report repeats them: there the binary cases run.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

#[path = "../common/mod.rs"]
mod common;

mod case;
mod closing;
mod fragments;
mod framing;
mod limits;
mod peer;
mod utf8;

use std::collections::BTreeSet;

use case::{Case, Scene};

/// Runs cases one after the other and tells all that failed.
async fn run(cases: Vec<Case>) {
    let scene = Scene::new().await;
    let mut failed = Vec::new();
    for (at, case) in (1..).zip(cases) {
        failed.extend(scene.run(at, case).await);
    }
    scene.end().await;
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn group_1_framing() {
    run(framing::messages()).await;
}

#[tokio::test]
async fn group_2_pings_and_pongs() {
    run(framing::pings()).await;
}

#[tokio::test]
async fn group_3_reserved_bits() {
    run(framing::reserved_bits()).await;
}

#[tokio::test]
async fn group_4_opcodes() {
    run(framing::opcodes()).await;
}

#[tokio::test]
async fn group_5_fragmentation() {
    run(fragments::cases()).await;
}

#[tokio::test]
async fn group_6_utf8() {
    run(utf8::cases()).await;
}

#[tokio::test]
async fn group_7_closing() {
    run(closing::cases()).await;
}

#[tokio::test]
async fn group_9_sizes_of_messages() {
    run(limits::sizes()).await;
}

#[tokio::test]
async fn group_9_fragments_of_text() {
    run(limits::fragments(false)).await;
}

#[tokio::test]
async fn group_9_fragments_of_binary() {
    run(limits::fragments(true)).await;
}

#[tokio::test]
async fn group_9_chops() {
    run(limits::chops()).await;
}

#[tokio::test]
async fn group_9_round_trips() {
    run(limits::round_trips()).await;
}

#[tokio::test]
async fn group_10_automatic_fragmentation() {
    run(limits::automatic_fragmentation()).await;
}

/// Nothing is left out: the numbers are those of the suite.
#[test]
fn all_cases_of_autobahn_are_there() {
    let mut cases = [
        framing::messages(),
        framing::pings(),
        framing::reserved_bits(),
        framing::opcodes(),
        fragments::cases(),
        utf8::cases(),
        closing::cases(),
    ]
    .concat();
    for group in [limits::sizes(), limits::chops(), limits::round_trips()] {
        cases.extend(group);
    }
    cases.extend([limits::fragments(false), limits::fragments(true)].concat());
    cases.extend(limits::automatic_fragmentation());
    let numbered = cases.iter().map(Case::id);
    let numbered = numbered.filter(|id| id.starts_with(|c: char| c.is_ascii_digit()));
    let ids: BTreeSet<&str> = numbered.clone().collect();
    assert_eq!(ids.len(), numbered.count(), "a number is there twice");
    let of_group = |group: &str| ids.iter().filter(|id| id.starts_with(group)).count();
    let groups = ["1.", "2.", "3.", "4.", "5.", "6.", "7.", "9.", "10."];
    let expected = [16, 11, 7, 10, 20, 145, 37, 54, 1];
    assert_eq!(groups.map(of_group), expected);
}

/// What Autobahn does not ask, and RFC 6455 does.
#[tokio::test]
async fn beside_autobahn() {
    run(framing::masks()).await;
}
