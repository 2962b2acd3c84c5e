//! Every guard of the cluster's path is broken once on purpose; the simulator must notice, and say what is wrong.

use cometql_protocol::planted::plant;

use super::{CLUSTER, scenarios::SCENARIOS};

/// Seeds within which each bug must be found.
const WITHIN: u64 = 200;

/// A bug, and parts of what the simulator may say about it.
const BUGS: &[(&str, &[&str])] = &[
    ("engine-takes-repeats", &["is told again"]),
    ("engine-trusts-the-edge", &["nobody said so"]),
    ("engine-marks-no-gap", &["nobody said so"]),
    (
        "engine-forgets-what-is-gone",
        &["came after it was acknowledged"],
    ),
    ("engine-takes-sent-for-acknowledged", &["was answered"]),
    ("engine-shows-what-was-shown", &["came twice"]),
    ("engine-trusts-every-position", &["nobody said so"]),
    (
        "engine-mixes-lives",
        &["another life", "nobody said so", "deaf"],
    ),
];

#[test]
fn every_planted_bug_is_found() {
    CLUSTER.finds(BUGS, WITHIN);
}

/// Scenarios find their bug, where delays let it show.
#[test]
fn scenarios_find_their_bugs() {
    for scenario in SCENARIOS {
        plant(scenario.bug);
        let found = (1..=20).filter(|seed| scenario.play(*seed).is_err());
        let found = found.count();
        plant("");
        drop(std::panic::take_hook());
        assert!(found >= 15, "{}: {found} of 20", scenario.name);
    }
}
