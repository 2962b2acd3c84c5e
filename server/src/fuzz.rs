//! Fuzzing on stable Rust: entries of a corpus, changed at random, must neither panic nor take much memory.
//!
//! Owns the changes and the verdict; what is fed stands beside the code that is fed, as tests whose names begin with `fuzz_`.
//! `cargo test` makes some hundred changes to each corpus; `cargo xtask fuzz` goes on for as long as it is told, one target
//! at a time, and watches memory too (docs-site/contributing/decisions, "fuzzing"). A finding is shrunk and printed as a
//! line for the corpus in `server/fuzz`, where it stays.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

mod targets;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Says for how many seconds each target is fuzzed.
const SECONDS: &str = "COMETQL_FUZZ_SECONDS";
/// Where the last input is written before it is fed, so that one that ends the process is known.
const LAST: &str = "COMETQL_FUZZ_LAST";
/// Inputs of each target in `cargo test`.
const QUICK: u32 = 200;
/// Inputs between two looks at the clock.
const ROUND: u32 = 256;
/// No input becomes longer.
const LONGEST: usize = 64 << 10;
/// What an input may take of memory: so much in any case, and so much for each of its bytes.
const MEMORY_BASE: usize = 16 << 20;
const MEMORY_PER_BYTE: usize = 2_000;

/// One change.
#[derive(Debug, Clone)]
enum Edit {
    Bit(Index, u8),
    Byte(Index, u8),
    Remove(Index, Index),
    /// A piece comes again, so many times.
    Repeat(Index, Index, u16),
    /// One of the target's words is put in.
    Token(Index, Index),
    /// A piece of another entry is put in.
    Splice(Index, Index, Index, Index),
    Cut(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(a, bit)| Edit::Bit(a, bit)),
        (at(), any::<u8>()).prop_map(|(a, byte)| Edit::Byte(a, byte)),
        (at(), at()).prop_map(|(a, b)| Edit::Remove(a, b)),
        (at(), at(), 1..2000_u16).prop_map(|(a, b, times)| Edit::Repeat(a, b, times)),
        (at(), at()).prop_map(|(a, token)| Edit::Token(a, token)),
        (at(), at(), at(), at()).prop_map(|(a, other, b, c)| Edit::Splice(a, other, b, c)),
        at().prop_map(Edit::Cut),
    ]
}

/// What is changed, and with what.
struct Material {
    entries: Vec<Vec<u8>>,
    tokens: &'static [&'static str],
}

impl Material {
    fn apply(&self, bytes: &mut Vec<u8>, edit: &Edit) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match edit {
            Edit::Bit(at, _) | Edit::Byte(at, _) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                match edit {
                    Edit::Byte(_, byte) => bytes[at] = *byte,
                    Edit::Bit(_, bit) => bytes[at] ^= 1 << bit,
                    _ => {}
                }
            }
            Edit::Bit(..) | Edit::Byte(..) => {}
            Edit::Remove(a, b) => {
                let (from, to) = ordered(place(a), place(b));
                bytes.drain(from..to);
            }
            Edit::Repeat(a, b, times) => {
                let (from, to) = ordered(place(a), place(b));
                let most = LONGEST.saturating_sub(bytes.len()) / (to - from).max(1);
                let again = bytes[from..to].repeat(usize::from(*times).min(most));
                bytes.splice(to..to, again);
            }
            Edit::Token(at, token) if !self.tokens.is_empty() => {
                let at = place(at);
                bytes.splice(at..at, token.get(self.tokens).bytes());
            }
            Edit::Token(..) => {}
            Edit::Splice(at, other, b, c) => {
                let (at, other) = (place(at), other.get(&self.entries));
                let (from, to) = ordered(b.index(other.len() + 1), c.index(other.len() + 1));
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            Edit::Cut(at) => bytes.truncate(place(at)),
        }
        bytes.truncate(LONGEST);
    }
}

fn ordered(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// The entries of a corpus: a line each, with `\n`, `\\`, `\xNN` and so on for what does not fit into a line. Lines that
/// begin with `# ` tell why the next one is there.
fn entries(corpus: &str) -> Vec<Vec<u8>> {
    let lines = corpus.lines().filter(|line| !line.starts_with("# "));
    lines.map(unescape).collect()
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, used) = match (first, after) {
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b'r', ..]) => (b'\r', 1),
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                (u8::from_str_radix(digits, 16).unwrap(), 3)
            }
            (b'\\', [other, ..]) => (*other, 1),
            _ => (first, 0),
        };
        bytes.push(byte);
        rest = &after[used..];
    }
    bytes
}

/// Feeds a corpus and its changes.
///
/// # Panics
/// When an input makes `feed` panic or take too much memory.
#[track_caller]
pub(crate) fn check(corpus: &str, tokens: &'static [&'static str], feed: impl Fn(&[u8])) {
    let entries = entries(corpus);
    let time = std::env::var(SECONDS).ok();
    let time = time.map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
    let last = std::env::var_os(LAST).map(PathBuf::from);
    let feed = |bytes: &[u8]| {
        if let Some(file) = &last {
            std::fs::write(file, bytes.escape_ascii().to_string()).unwrap();
        }
        // With other tests beside it, the count would be theirs as well.
        let before = time.map(|_| {
            MEMORY.reset_peak_usage();
            MEMORY.current_usage()
        });
        feed(bytes);
        let taken = before.map_or(0, |before| MEMORY.peak_usage().saturating_sub(before));
        let most = MEMORY_BASE + bytes.len() * MEMORY_PER_BYTE;
        assert!(taken <= most, "{taken} bytes of memory for {}", bytes.len());
    };
    entries.iter().for_each(|entry| feed(entry));
    let material = Material { entries, tokens };
    let start = Instant::now();
    loop {
        round(&material, if time.is_some() { ROUND } else { QUICK }, &feed);
        if time.is_none_or(|time| start.elapsed() >= time) {
            return;
        }
    }
}

#[track_caller]
fn round(material: &Material, cases: u32, feed: &impl Fn(&[u8])) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let strategy = (any::<Index>(), vec(edit(), 0..8)).prop_map(|(entry, edits)| {
        let mut bytes = entry.get(&material.entries).clone();
        edits
            .iter()
            .for_each(|edit| material.apply(&mut bytes, edit));
        bytes
    });
    let result = TestRunner::new(config).run(&strategy, |bytes| {
        feed(&bytes);
        Ok::<_, TestCaseError>(())
    });
    if let Err(TestError::Fail(why, bytes)) = result {
        panic!("{why}\na line for the corpus:\n{}", bytes.escape_ascii());
    }
}

#[test]
fn corpora_are_read_as_they_are_printed() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(unescape(&all.escape_ascii().to_string()), all);
    assert_eq!(
        entries("# why\na\\n\n\nb"),
        [b"a\n".to_vec(), vec![], b"b".to_vec()]
    );
}

/// Shrunk as far as removing edits goes: `ab!` mostly, sometimes `a!b!`.
#[test]
#[should_panic(expected = "a line for the corpus:\na")]
fn a_finding_is_shrunk_and_told() {
    let feed = |bytes: &[u8]| assert!(!(bytes.starts_with(b"a") && bytes.ends_with(b"!")), "found");
    check("ab", &["!", "?"], feed);
}
