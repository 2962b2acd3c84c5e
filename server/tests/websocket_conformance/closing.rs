//! Group 7: how connections close. No text of the server is awaited after the client's close frame, so what must be
//! answered before it is a `ping` request, which is answered at once.

use crate::case::Case;
use crate::peer::{CLOSE, CONTINUATION, FIN, PING, Seen, TEXT, close, frame};

/// Codes that a close frame may carry (§7.4).
const GOOD: [u16; 13] = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
];
/// Codes that it may not.
const BAD: [u16; 9] = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];

fn code(code: u16) -> Vec<u8> {
    code.to_be_bytes().to_vec()
}

pub(crate) fn cases() -> Vec<Case> {
    let text = frame(FIN | TEXT, br#"{"id":1,"ping":{}}"#);
    let normal = close(1000, "");
    let ping = frame(FIN | PING, b"late");
    let big = frame(FIN | TEXT, &[b' '; 256 << 10]);
    let piece = |first: u8| frame(first, br#"{"id":1,"ping":{}}"#);
    let between = [piece(TEXT), normal.clone(), piece(FIN | CONTINUATION)];
    let bad_reason = [&code(1000)[..], b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80"].concat();
    let longest = "*".repeat(123);
    let closes = |id: &str, frames: &[&[u8]]| Case::new(id, frames.concat()).closes(code(1000));
    let mut cases = vec![
        closes("7.1.1", &[&text, &normal]).says([Seen::Answer]),
        closes("7.1.2", &[&normal, &normal]),
        closes("7.1.3", &[&normal, &ping]),
        closes("7.1.4", &[&normal, &text]),
        closes("7.1.5", &[&between.concat()]),
        closes("7.1.6", &[&big, &normal, &ping]),
        Case::new("7.3.1", frame(FIN | CLOSE, b"")).closes(Vec::new()),
        Case::new("7.3.2", frame(FIN | CLOSE, b"a")).fails(1002),
        closes("7.3.3", &[&normal]),
        closes("7.3.4", &[&close(1000, "Hello World!")]),
        closes("7.3.5", &[&close(1000, &longest)]),
        Case::new("7.3.6", close(1000, &format!("{longest}*"))).fails(1002),
        Case::new("7.5.1", frame(FIN | CLOSE, &bad_reason)).fails(1007),
    ];
    for (n, good) in (1..).zip(GOOD) {
        let case = Case::new(format!("7.7.{n}"), close(good, ""));
        cases.push(case.closes(code(good)));
    }
    for (n, bad) in (1..).zip(BAD) {
        cases.push(Case::new(format!("7.9.{n}"), close(bad, "")).fails(1002));
    }
    for (n, bad) in (1..).zip([5000, 65_535]) {
        cases.push(Case::new(format!("7.13.{n}"), close(bad, "")).fails(1002));
    }
    // Registered after RFC 6455, and never to be sent.
    for good in [1012, 1013, 1014] {
        let case = Case::new(format!("close {good}"), close(good, ""));
        cases.push(case.closes(code(good)));
    }
    cases.push(Case::new("close 1015", close(1015, "")).fails(1002));
    cases
}
