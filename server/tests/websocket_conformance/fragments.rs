//! Group 5: messages in pieces, and control frames between them.

use crate::case::{Case, Step, says};
use crate::peer::{CONTINUATION, FIN, PING, PONG, Seen, TEXT, fragments, frame};

const WHOLE: &str = "fragment1fragment2";

/// A request in pieces of about the same size, a frame each.
fn pieces(data: &str, count: usize) -> Vec<Vec<u8>> {
    let text = says(data);
    let pieces: Vec<&[u8]> = text.chunks(text.len().div_ceil(count)).collect();
    assert_eq!(pieces.len(), count);
    fragments(TEXT, &pieces)
}

/// Frame by frame, each a write of its own.
fn framewise(id: &str, frames: Vec<Vec<u8>>) -> Case {
    let step = |bytes| Step::Write(bytes, usize::MAX);
    Case::stepwise(id, frames.into_iter().map(step).collect())
}

/// The same frames at once, frame by frame, and byte by byte.
fn three_ways(ids: [&str; 3], frames: &[Vec<u8>], change: impl Fn(Case) -> Case) -> Vec<Case> {
    vec![
        change(Case::new(ids[0], frames.concat())),
        change(framewise(ids[1], frames.to_vec())),
        change(Case::chopped(ids[2], frames.concat(), 1)),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let two = pieces(WHOLE, 2);
    let ping = frame(FIN | PING, b"ping payload");
    let between = [two[0].clone(), ping, two[1].clone()];
    let lone = |first: u8| frame(first | CONTINUATION, b"non-continuation payload");
    let text = || frame(FIN | TEXT, &says("Hello, world!"));
    let mut cases = vec![
        Case::new("5.1", [frame(PING, b"one"), frame(FIN, b"two")].concat()).fails(1002),
        Case::new("5.2", [frame(PONG, b"one"), frame(FIN, b"two")].concat()).fails(1002),
    ];
    cases.extend(three_ways(["5.3", "5.4", "5.5"], &two, |case| {
        case.echoes(WHOLE)
    }));
    cases.extend(three_ways(["5.6", "5.7", "5.8"], &between, |case| {
        case.pongs(b"ping payload").echoes(WHOLE)
    }));
    cases.extend(three_ways(
        ["5.9", "5.10", "5.11"],
        &[lone(FIN), text()],
        |case| case.fails(1002),
    ));
    cases.extend(three_ways(
        ["5.12", "5.13", "5.14"],
        &[lone(0), text()],
        |case| case.fails(1002),
    ));
    cases.extend(mixtures(&two));
    cases.extend(pings_between());
    cases
}

fn mixtures(two: &[Vec<u8>]) -> Vec<Case> {
    let lone = |first: u8| frame(first | CONTINUATION, b"fragment1");
    let after = [two.concat(), lone(0), frame(FIN | TEXT, b"fragment4")].concat();
    let twice = |first: u8| [lone(first), two.concat(), lone(first), two.concat()].concat();
    let both_text = [frame(TEXT, b"fragment1"), frame(FIN | TEXT, b"fragment2")].concat();
    vec![
        Case::new("5.15", after).echoes(WHOLE).fails(1002),
        Case::new("5.16", twice(0)).fails(1002),
        Case::new("5.17", twice(FIN)).fails(1002),
        Case::new("5.18", both_text).fails(1002),
    ]
}

/// 5.19 and 5.20: the first ping is answered before the message is complete.
fn pings_between() -> Vec<Case> {
    let data = "fragment1fragment2fragment3fragment4fragment5";
    let five = pieces(data, 5);
    let pings = ["pongme 1!", "pongme 2!"].map(|text| frame(FIN | PING, text.as_bytes()));
    let pong = |text: &str| Seen::Pong(text.as_bytes().to_vec());
    let first = [five[0].clone(), five[1].clone(), pings[0].clone()];
    let second = [
        five[2].clone(),
        five[3].clone(),
        pings[1].clone(),
        five[4].clone(),
    ];
    let whole = |frames: &[Vec<u8>]| vec![Step::Write(frames.concat(), usize::MAX)];
    let each = |frames: &[Vec<u8>]| {
        let step = |bytes: &Vec<u8>| Step::Write(bytes.clone(), usize::MAX);
        frames.iter().map(step).collect::<Vec<_>>()
    };
    let case = |id: &str, mut before: Vec<Step>, after: Vec<Step>| {
        before.push(Step::Await(pong("pongme 1!")));
        before.extend(after);
        let case = Case::stepwise(id, before);
        case.pongs(b"pongme 1!").pongs(b"pongme 2!").echoes(data)
    };
    vec![
        case("5.19", whole(&first), whole(&second)),
        case("5.20", each(&first), each(&second)),
    ]
}
