//! Every guard that keeps a promise is broken once on purpose; the simulator must notice.

use cometql_protocol::planted::plant;

use super::{OPERATIONS, Plan, attempt};

/// Seeds within which each bug must be found.
const WITHIN: u64 = 100;

/// A bug, and a part of what the simulator says about it.
const BUGS: &[(&str, &str)] = &[
    ("client-hides-gaps", ""),
    ("client-tells-all-tabs", ""),
    ("client-repeats-messages", "after"),
    ("client-acknowledges-unhandled", "nobody has handled it"),
    ("engine-delivers-before-the-disk", ""),
    ("engine-hides-what-it-forgot", ""),
    ("engine-mixes-lives", ""),
    (
        "engine-keeps-denied-subscriptions",
        "the right was taken away",
    ),
    ("engine-keeps-subscriptions", ""),
    (
        "engine-acknowledges-the-next-message",
        "nobody has handled it",
    ),
];

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for (bug, says) in BUGS {
        plant(bug);
        let found = (1..=WITHIN).find_map(|seed| {
            let operations = OPERATIONS;
            let (message, _) = attempt(Plan { seed, operations }).err()?;
            Some((seed, message))
        });
        plant("");
        match found {
            Some((seed, message)) if message.contains(says) => {
                println!("{bug}: seed {seed}: {message}");
            }
            Some((seed, message)) => missed.push(format!("{bug}: seed {seed} says {message}")),
            None => missed.push(format!("{bug}: not found within {WITHIN} seeds")),
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}
