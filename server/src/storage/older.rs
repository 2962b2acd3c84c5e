//! Files that are older than what was answered from them: after a loss of power, or as a copy.

use std::fs;
use std::path::Path;

use cometql_engine::StoreAnswer;

use super::conformance::{
    KEEP_ALL, TENANT, append_request, ask, history, inbox, inbox_append, open_channel, wait,
};
use super::lineage::Boot;
use super::open::{FILE, LOG};
use super::{Durability, Store};

/// What happens between two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// The first run closes its store.
    Close,
    /// It is killed; the files are as they were at that moment.
    Kill,
    /// As much of the log as the system had not written yet is gone, too.
    LoseTail,
    /// Somebody has removed the log.
    RemoveLog,
    /// It closes its store, whose file is put in its place from a copy.
    Restore,
}

fn inbox_offset(store: &Store, of: u64, number: u64) -> u64 {
    match inbox_append(store, of, number, 9) {
        StoreAnswer::InboxOffset(offset) => offset,
        other => panic!("{other:?}"),
    }
}

/// One run on boot `a` with two publications and three private messages, the last of each within the tail of the log.
fn first_run(directory: &Path, durability: Durability, between: Between) {
    let store = Store::open_in(directory, durability, Boot::named("a")).unwrap();
    open_channel(&store, TENANT, "web_a", 5);
    ask(&store, append_request("web_a", 1, KEEP_ALL));
    assert_eq!(inbox_offset(&store, 7, 1), 1);
    let (file, log) = (directory.join(FILE), directory.join(LOG));
    let written = fs::metadata(&log).unwrap().len();
    ask(&store, append_request("web_a", 2, KEEP_ALL));
    assert_eq!(inbox_offset(&store, 7, 2), 2);
    assert_eq!(inbox_offset(&store, 8, 3), 1);
    let (in_file, mut in_log) = (fs::read(&file).unwrap(), fs::read(&log).unwrap());
    wait(store.shutdown());
    match between {
        Between::Close => return,
        Between::Restore => {
            let other = directory.join("other");
            fs::copy(&file, &other).unwrap();
            fs::rename(other, file).unwrap();
            return;
        }
        Between::Kill => {}
        Between::LoseTail => in_log.truncate(usize::try_from(written).unwrap()),
        Between::RemoveLog => in_log.clear(),
    }
    // In place: it is still the same file.
    fs::write(file, in_file).unwrap();
    if between != Between::RemoveLog {
        fs::write(log, in_log).unwrap();
    }
}

/// Whether the second run takes what the first one told for the past of its own.
#[track_caller]
fn check(durability: Durability, between: Between, boot: &str, goes_on: bool) {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    first_run(directory, durability, between);
    let store = Store::open_in(directory, Durability::Process, Boot::named(boot)).unwrap();
    let kept = match between {
        Between::LoseTail => 1,
        Between::RemoveLog => 0,
        Between::Close | Between::Kill | Between::Restore => 2,
    };
    let all: Vec<u64> = (1..=kept).collect();
    assert_eq!(history(&store, "web_a", 0, 9, false), all, "{between:?}");
    assert_eq!(inbox(&store, 7, 0), all, "{between:?}");
    let position = open_channel(&store, TENANT, "web_a", 6);
    let inboxes = [inbox_offset(&store, 7, 4), inbox_offset(&store, 8, 5)];
    let case = format!("{durability:?} {between:?} {boot}: {position:?} {inboxes:?}");
    if goes_on {
        assert_eq!(position.epoch.0, 5, "{case}");
        assert_eq!(inboxes, [3, 2], "{case}");
    } else {
        assert_ne!(position.epoch.0, 5, "{case}");
        // Above all that can have been told, and below what a browser counts exactly to.
        let leap = 1_600_000_000_000..1 << 53;
        assert!(inboxes.iter().all(|offset| leap.contains(offset)), "{case}");
    }
    // It is told once.
    wait(store.shutdown());
    let store = Store::open_in(directory, Durability::Process, Boot::named("c")).unwrap();
    assert_eq!(open_channel(&store, TENANT, "web_a", 6), position);
    assert_eq!(inbox_offset(&store, 7, 6), inboxes[0] + 1);
    wait(store.shutdown());
}

#[test]
fn a_process_that_died_loses_nothing() {
    for durability in [Durability::Process, Durability::Power] {
        check(durability, Between::Close, "a", true);
        check(durability, Between::Kill, "a", true);
    }
}

#[test]
fn after_a_loss_of_power_no_place_is_taken_for_one_from_before() {
    check(Durability::Process, Between::LoseTail, "b", false);
    // Nobody knows how much is missing.
    check(Durability::Process, Between::Kill, "b", false);
    check(Durability::Process, Between::Close, "b", true);
    check(Durability::Power, Between::Kill, "b", true);
}

#[test]
fn a_log_that_is_gone_is_noticed() {
    check(Durability::Process, Between::RemoveLog, "a", false);
}

#[test]
fn a_copied_file_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    // Some file systems don't say when a file was made.
    let goes_on = fs::metadata(directory.path()).unwrap().created().is_err();
    check(Durability::Process, Between::Restore, "a", goes_on);
    check(Durability::Power, Between::Restore, "b", goes_on);
}

#[test]
fn a_machine_that_does_not_tell_its_boots_is_taken_for_another_each_time() {
    // Here it tells.
    let known = Path::new("/proc/sys/kernel/random/boot_id").exists();
    assert_eq!(Boot::current() == Boot::current(), known);
}
