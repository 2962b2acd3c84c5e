//! Groups 9 and 10: long messages, many fragments, small chops, many round trips. Nothing here measures time.

use crate::case::{Case, Step, says, says_originally};
use crate::framing::{original_of, text_of};
use crate::peer::{BINARY, FIN, Seen, TEXT, fragmented, frame};

/// 9.1 and 9.2.
const SIZES: [usize; 6] = [64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20];
/// 9.3 and 9.4: fragments of a message of 4 MiB.
const FRAGMENTS: [usize; 9] = [
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
];
/// 9.5 and 9.6: chops of a message of 1 MiB.
const CHOPS: [usize; 6] = [64, 128, 256, 512, 1024, 2048];
/// 9.7 and 9.8: payloads that go to and fro.
const TRIPS: [usize; 6] = [0, 16, 64, 256, 1024, 4096];
const ROUND_TRIPS: usize = 1000;

/// A message of so many bytes, and what is echoed of it.
fn message(binary: bool, length: usize) -> (Vec<u8>, String) {
    let (message, data) = if binary {
        original_of(length)
    } else {
        text_of(length)
    };
    assert_eq!(message.len(), length);
    (message, data)
}

fn opcode(binary: bool) -> u8 {
    if binary { BINARY } else { TEXT }
}

fn on(binary: bool, case: Case) -> Case {
    if binary { case.of_the_original() } else { case }
}

/// 9.1 and 9.2.
pub(crate) fn sizes() -> Vec<Case> {
    let case = |binary: bool, group: u8| {
        (1..).zip(SIZES).map(move |(n, size): (u8, usize)| {
            let (text, data) = message(binary, size);
            let whole = frame(FIN | opcode(binary), &text);
            on(
                binary,
                Case::new(format!("9.{group}.{n}"), whole).echoes(data),
            )
        })
    };
    case(false, 1).chain(case(true, 2)).collect()
}

/// 9.3 or 9.4.
pub(crate) fn fragments(binary: bool) -> Vec<Case> {
    let (text, data) = message(binary, 4 << 20);
    let group = if binary { 4 } else { 3 };
    let case = |(n, size): (u8, usize)| {
        let bytes = fragmented(opcode(binary), &text, size);
        let case = Case::new(format!("9.{group}.{n}"), bytes);
        on(binary, case.echoes(data.clone()))
    };
    (1..).zip(FRAGMENTS).map(case).collect()
}

/// 9.5 and 9.6.
pub(crate) fn chops() -> Vec<Case> {
    let case = |binary: bool, group: u8| {
        (1..).zip(CHOPS).map(move |(n, chop): (u8, usize)| {
            let (text, data) = message(binary, 1 << 20);
            let whole = frame(FIN | opcode(binary), &text);
            let case = Case::chopped(format!("9.{group}.{n}"), whole, chop);
            on(binary, case.echoes(data))
        })
    };
    case(false, 5).chain(case(true, 6)).collect()
}

/// 9.7 and 9.8: each message is sent when the echo of the one before has come.
pub(crate) fn round_trips() -> Vec<Case> {
    let case = |binary: bool, group: u8| {
        (1..).zip(TRIPS).map(move |(n, size): (u8, usize)| {
            let text = |trip: usize| {
                let padding = "*".repeat(size.saturating_sub(4));
                format!("{trip:04}{padding}")
            };
            let step = |trip: usize| {
                let text = text(trip);
                let message = if binary {
                    says_originally(&text)
                } else {
                    says(&text)
                };
                let message = frame(FIN | opcode(binary), &message);
                [
                    Step::Write(message, usize::MAX),
                    Step::Await(Seen::Echo(text)),
                ]
            };
            let steps = (0..ROUND_TRIPS).flat_map(step).collect();
            let case = Case::stepwise(format!("9.{group}.{n}"), steps);
            on(
                binary,
                case.says((0..ROUND_TRIPS).map(|trip| Seen::Echo(text(trip)))),
            )
        })
    };
    case(false, 7).chain(case(true, 8)).collect()
}

/// 10.1.1.
pub(crate) fn automatic_fragmentation() -> Vec<Case> {
    let (text, data) = text_of(65_536);
    vec![Case::new("10.1.1", fragmented(TEXT, &text, 1300)).echoes(data)]
}
