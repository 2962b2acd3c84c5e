//! Every guard that keeps a promise is broken once on purpose; the simulator must notice, and say what is wrong.

use cometql_protocol::planted::plant;

use super::scenarios::SEEDS;
use super::{NODE, SCENARIOS};

/// Seeds within which each bug must be found.
const WITHIN: u64 = 200;

/// A bug, and parts of what the simulator may say about it.
const BUGS: &[(&str, &[&str])] = &[
    ("client-hides-gaps", &["another life", "nobody said so"]),
    ("client-misses-gaps", &["nobody said so"]),
    ("client-tells-all-tabs", &[" after ", "came twice"]),
    ("client-repeats-messages", &["after"]),
    ("client-acknowledges-unhandled", &["nobody has handled it"]),
    (
        "engine-delivers-before-the-disk",
        &["before it was stored", "given twice"],
    ),
    ("engine-answers-before-the-disk", &["before it was stored"]),
    ("engine-sends-what-is-not-stored", &["before it was stored"]),
    ("engine-drops-what-is-too-much", &["before it was stored"]),
    (
        "engine-hides-what-it-forgot",
        &["nobody said so", "nothing was missing"],
    ),
    ("engine-mixes-lives", &["another life"]),
    (
        "engine-recovers-the-ephemeral",
        &["recovered without a history"],
    ),
    ("engine-delivers-twice", &["came twice"]),
    (
        "engine-forgets-retries",
        &["published twice", "the same id"],
    ),
    ("engine-takes-other-content", &["was answered"]),
    (
        "engine-opens-at-the-beginning",
        &["given twice", "must rise", "another life"],
    ),
    (
        "engine-keeps-the-epoch",
        &["given twice", "must rise", "another life"],
    ),
    (
        "engine-takes-a-failing-disk-for-a-loss",
        &["everything is kept"],
    ),
    (
        "engine-mixes-tenants",
        &["is foreign", "nothing was missing", "deaf"],
    ),
    ("engine-mixes-users", &["is foreign", "online"]),
    (
        "engine-keeps-denied-subscriptions",
        &["the right was taken away", "which it left"],
    ),
    (
        "engine-keeps-removed-members",
        &["the right was taken away"],
    ),
    ("engine-keeps-subscriptions", &["which it left"]),
    ("engine-forgets-who-left", &["was told of", "knows of"]),
    ("engine-forgets-who-joined", &["knows of"]),
    ("engine-keeps-no-window", &["the window has all"]),
    ("engine-ignores-the-grace", &["may return"]),
    ("engine-breaks-the-chain", &["nothing was missing"]),
    ("engine-shares-rate-limits", &["is refused"]),
    ("engine-forgets-what-waited", &["unanswered", "deaf"]),
    (
        "engine-acknowledges-the-next-message",
        &["nobody has handled it"],
    ),
];

#[test]
fn every_planted_bug_is_found() {
    NODE.finds(BUGS, WITHIN);
}

/// Regressions would notice if their bug came back.
#[test]
fn every_scenario_finds_its_bug() {
    for scenario in SCENARIOS {
        plant(scenario.bug);
        let told: Vec<_> = (1..=SEEDS).map(|seed| scenario.play(seed)).collect();
        plant("");
        drop(std::panic::take_hook());
        let name = scenario.name;
        for (seed, told) in (1..).zip(told) {
            let (message, _) = told.err().unwrap_or_else(|| panic!("{name}: seed {seed}"));
            println!("{}: seed {seed}: {message}", scenario.bug);
        }
    }
}
