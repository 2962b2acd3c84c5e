//! Files that are not as the store left them: torn, cut off, overwritten. Either all is there that the file still has, up to
//! some answered write, or the store is refused and its files stay as they are.

use std::fs;
use std::path::{Path, PathBuf};

use super::conformance::{
    KEEP_ALL, TENANT, append_request, ask, history, inbox, inbox_append, open_channel, wait,
};
use super::fuzz::use_all;
use super::open::{FILE, LOG};
use super::{Durability, OpenError, Store};

const PAGE: usize = 4096;
/// A page in the log, and what stands before it.
const FRAME: usize = 24 + PAGE;

/// How many publications and private messages there are.
type Content = (u64, u64);
/// How long the log was after an answered write, and what there was by then.
type Answered = (usize, Content);

fn opened(directory: &Path) -> Result<Store, OpenError> {
    Store::open(directory, Durability::Process)
}

/// A store with so many publications and as many private messages, closed.
fn filled(directory: &Path, count: u64) {
    let store = opened(directory).unwrap();
    open_channel(&store, TENANT, "web_a", 5);
    for number in 1..=count {
        ask(&store, append_request("web_a", number, KEEP_ALL));
        inbox_append(&store, 7, number, u64::MAX);
    }
    wait(store.shutdown());
}

/// What is in a store: the last publication and the last private message, none missing before them.
#[track_caller]
fn content(store: &Store) -> Content {
    let publications = history(store, "web_a", 0, u64::MAX, false);
    let messages = inbox(store, 7, 0);
    let last = |offsets: &[u64]| {
        let expected: Vec<u64> = (1..).take(offsets.len()).collect();
        assert_eq!(offsets, expected);
        offsets.len() as u64
    };
    let content = (last(&publications), last(&messages));
    assert_eq!(open_channel(store, TENANT, "web_a", 6).offset, content.0);
    content
}

/// The files of a store, as a dead process leaves them.
#[derive(Clone)]
struct Files {
    file: Vec<u8>,
    log: Vec<u8>,
}

impl Files {
    fn of(directory: &Path) -> Self {
        Self {
            file: fs::read(directory.join(FILE)).unwrap(),
            log: fs::read(directory.join(LOG)).unwrap_or_default(),
        }
    }

    /// Opens a store with these files: what is in it, or `None` when it is refused. Then nothing was changed.
    #[track_caller]
    fn content(&self) -> Option<Content> {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { directory.path().join(name) };
        fs::write(path(FILE), &self.file).unwrap();
        if !self.log.is_empty() {
            fs::write(path(LOG), &self.log).unwrap();
        }
        match opened(directory.path()) {
            Ok(store) => {
                let content = content(&store);
                // It is as good as any other.
                ask(&store, append_request("web_a", content.0 + 1, KEEP_ALL));
                wait(store.shutdown());
                Some(content)
            }
            Err(error) => {
                let code = error.code();
                assert!(
                    ["store_foreign", "store_damaged"].contains(&code),
                    "{error}"
                );
                let after = Self::of(directory.path());
                assert!(after.file == self.file, "the file was changed");
                assert!(after.log == self.log, "the log was changed");
                None
            }
        }
    }
}

/// A dead process' files, and how long the log was after each answered write: with so many publications and messages.
fn dead() -> (Files, Vec<Answered>) {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 1);
    let store = opened(directory.path()).unwrap();
    let length = || Files::of(directory.path()).log.len();
    // The start wrote something, too.
    let mut answered = vec![(0, (1, 1)), (length(), (1, 1))];
    for number in 2..=4 {
        ask(&store, append_request("web_a", number, KEEP_ALL));
        answered.push((length(), (number, number - 1)));
        inbox_append(&store, 7, number, u64::MAX);
        answered.push((length(), (number, number)));
    }
    let files = Files::of(directory.path());
    wait(store.shutdown());
    (files, answered)
}

/// What must be there when so many bytes of the log are as they were.
fn expected(answered: &[Answered], whole: usize) -> Option<Content> {
    let written = answered.iter().rfind(|(length, _)| *length <= whole);
    written.map(|(_, content)| *content)
}

#[test]
fn a_log_cut_off_anywhere_has_every_write_that_is_whole() {
    let (files, answered) = dead();
    let last = files.log.len();
    assert_eq!(expected(&answered, last), Some((4, 4)));
    let frames = (32..=last).step_by(FRAME);
    let places = frames.flat_map(|at| [at.saturating_sub(1), at, at + 1, at + 24, at + 2000]);
    for length in places.chain([0, 1, 31]).filter(|length| *length <= last) {
        let mut cut = files.clone();
        cut.log.truncate(length);
        assert_eq!(
            cut.content(),
            expected(&answered, length),
            "{length} of {last} bytes"
        );
    }
}

#[test]
fn a_log_with_damage_ends_there() {
    let (files, answered) = dead();
    for frame in (32..files.log.len()).step_by(FRAME) {
        // In the head of a frame, and in its page.
        for at in [frame + 9, frame + 24 + 100, frame + FRAME - 1] {
            let mut damaged = files.clone();
            damaged.log[at] ^= 0x10;
            assert_eq!(damaged.content(), expected(&answered, frame), "byte {at}");
        }
    }
    let mut longer = files.clone();
    longer.log.extend([0xa5; 3 * FRAME + 7]);
    assert_eq!(longer.content(), Some((4, 4)), "garbage behind the log");
    let mut nonsense = files;
    nonsense.log.fill(0xa5);
    assert_eq!(nonsense.content(), Some((1, 1)), "a log that is none");
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 40);
    let files = Files::of(directory.path());
    assert_eq!(files.content(), Some((40, 40)));
    let last = files.file.len();
    let places = (0..last).step_by(PAGE);
    for length in places.flat_map(|at| [at + 1, at + 100, at + PAGE / 2, at + PAGE]) {
        let mut cut = files.clone();
        cut.file.truncate(length);
        match cut.content() {
            None => assert!(length < last),
            // The last page may be that of an empty table, which is only a few bytes at its beginning.
            content => {
                assert_eq!(content, Some((40, 40)), "{length} of {last} bytes");
                assert!(length > last - PAGE, "{length} of {last} bytes");
            }
        }
    }
}

#[test]
fn overwritten_pages_are_noticed_or_were_not_needed() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 100);
    let files = Files::of(directory.path());
    let mut refused = 0;
    for page in (0..files.file.len()).step_by(PAGE) {
        let noise = (page..page + PAGE).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[2]);
        for (kind, from, bytes) in [
            ("zeros", page, vec![0; PAGE]),
            ("noise", page, noise.collect()),
            ("half of it zeros", page + PAGE / 2, vec![0; PAGE / 2]),
        ] {
            let mut damaged = files.clone();
            damaged.file[from..page + PAGE].copy_from_slice(&bytes);
            match damaged.content() {
                None => refused += 1,
                content => assert_eq!(content, Some((100, 100)), "{kind} in page {}", page / PAGE),
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn flipped_bytes_are_noticed_or_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 20);
    let files = Files::of(directory.path());
    let (mut refused, mut opened_all_the_same) = (0, 0);
    // In the head of the file, and all over its pages.
    for at in (0..100)
        .step_by(3)
        .chain((100..files.file.len()).step_by(997))
    {
        let directory = tempfile::tempdir().unwrap();
        let mut damaged = files.file.clone();
        damaged[at] ^= 0xff;
        fs::write(directory.path().join(FILE), &damaged).unwrap();
        match opened(directory.path()) {
            Ok(store) => {
                opened_all_the_same += 1;
                use_all(&store);
                wait(store.shutdown());
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().ends_with(&format!("({})", error.code())));
                let after = Files::of(directory.path());
                assert!(after.file == damaged, "byte {at}: the file was changed");
                assert!(after.log.is_empty(), "byte {at}: a log was begun");
            }
        }
    }
    assert!(
        refused > 20 && opened_all_the_same > 20,
        "{refused} refused, {opened_all_the_same} not"
    );
}
