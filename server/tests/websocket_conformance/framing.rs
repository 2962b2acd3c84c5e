//! Groups 1 to 4: lengths, pings and pongs, reserved bits, reserved opcodes.

use crate::case::{Case, says, says_originally};
use crate::peer::{BINARY, CLOSE, FIN, PING, PONG, TEXT, frame};

/// Lengths at which the head's form changes, and one in chops.
const LENGTHS: [(usize, usize); 8] = [
    (0, usize::MAX),
    (125, usize::MAX),
    (126, usize::MAX),
    (127, usize::MAX),
    (128, usize::MAX),
    (65_535, usize::MAX),
    (65_536, usize::MAX),
    (65_536, 997),
];

/// A text of so many bytes that comes back, and what comes back; the shortest that can is longer than 0 bytes.
pub(crate) fn text_of(length: usize) -> (Vec<u8>, String) {
    let data = "*".repeat(length.saturating_sub(says("").len()));
    (says(&data), data)
}

/// The same for the original's endpoint.
pub(crate) fn original_of(length: usize) -> (Vec<u8>, String) {
    // An empty message is none in the original's protocol.
    let data = "*".repeat(length.saturating_sub(says_originally("").len()).max(1));
    (says_originally(&data), data)
}

/// 1.1 text, 1.2 binary.
pub(crate) fn messages() -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, (length, chop)) in (1..).zip(LENGTHS) {
        let (text, data) = text_of(length);
        assert!(length == 0 || text.len() == length);
        let echoed = Case::chopped(format!("1.1.{number}"), frame(FIN | TEXT, &text), chop);
        cases.push(echoed.echoes(data));
        let id = format!("1.2.{number}");
        let refused = format!("binary as {id}");
        let refused = Case::chopped(refused, frame(FIN | BINARY, &text), chop);
        cases.push(refused.fails(1003));
        let (text, data) = original_of(length);
        let echoed = Case::chopped(&id, frame(FIN | BINARY, &text), chop);
        cases.push(echoed.of_the_original().echoes(data));
    }
    cases.push(Case::new("an empty text", frame(FIN | TEXT, b"")));
    cases
}

/// Group 2.
pub(crate) fn pings() -> Vec<Case> {
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let pong = |payload: &[u8]| frame(FIN | PONG, payload);
    let binary = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
    let numbered: Vec<Vec<u8>> = (0..10)
        .map(|n| format!("payload-{n}").into_bytes())
        .collect();
    let ten: Vec<u8> = numbered.iter().flat_map(|payload| ping(payload)).collect();
    let all = |case: Case| {
        numbered
            .iter()
            .fold(case, |case, payload| case.pongs(payload))
    };
    vec![
        Case::new("2.1", ping(b"")).pongs(b""),
        Case::new("2.2", ping(b"Hello, world!")).pongs(b"Hello, world!"),
        Case::new("2.3", ping(binary)).pongs(binary),
        Case::new("2.4", ping(&[0xfe; 125])).pongs(&[0xfe; 125]),
        Case::new("2.5", ping(&[0xfe; 126])).fails(1002),
        Case::chopped("2.6", ping(&[0xfe; 125]), 1).pongs(&[0xfe; 125]),
        Case::new("2.7", pong(b"")),
        Case::new("2.8", pong(b"unsolicited")),
        Case::new("2.9", [pong(b"unsolicited"), ping(b"ping")].concat()).pongs(b"ping"),
        all(Case::new("2.10", ten.clone())),
        all(Case::chopped("2.11", ten, 1)),
    ]
}

/// Group 3.
pub(crate) fn reserved_bits() -> Vec<Case> {
    let text = |rsv: u8| frame(FIN | TEXT | rsv << 4, &says("small"));
    let ping = frame(FIN | PING, b"");
    let pair = |rsv| [text(0), text(rsv), ping.clone()].concat();
    vec![
        Case::new("3.1", text(1)).fails(1002),
        Case::new("3.2", pair(2)).echoes("small").fails(1002),
        Case::chopped("3.3", pair(3), 37)
            .echoes("small")
            .fails(1002),
        Case::chopped("3.4", pair(4), 1).echoes("small").fails(1002),
        Case::new("3.5", frame(FIN | BINARY | 5 << 4, &[0; 8])).fails(1002),
        Case::new("3.6", frame(FIN | PING | 6 << 4, b"x")).fails(1002),
        Case::new("3.7", frame(FIN | CLOSE | 7 << 4, &[3, 232])).fails(1002),
    ]
}

/// Group 4.
pub(crate) fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, opcodes) in [(1, [3, 4, 5, 6, 7]), (2, [11, 12, 13, 14, 15])] {
        for (number, opcode) in (1..).zip(opcodes) {
            let payload: &[u8] = if number % 2 == 0 { b"reserved" } else { b"" };
            let reserved = frame(FIN | opcode, payload);
            let id = format!("4.{group}.{number}");
            if number < 3 {
                cases.push(Case::new(id, reserved).fails(1002));
                continue;
            }
            let text = frame(FIN | TEXT, &says("small"));
            let bytes = [text, reserved, frame(FIN | PING, b"")].concat();
            let chop = if number == 3 { usize::MAX } else { 1 };
            cases.push(Case::chopped(id, bytes, chop).echoes("small").fails(1002));
        }
    }
    cases
}

/// §5.1: a client that does not mask is failed, also when it masked before; §5.2: a mask of zeros is one.
pub(crate) fn masks() -> Vec<Case> {
    let request = br#"{"id":1,"ping":{}}"#;
    let plain = |first: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[first, length][..], payload].concat()
    };
    let zeros = [&[FIN | TEXT, 0x80 | 18, 0, 0, 0, 0][..], request].concat();
    let after = [frame(FIN | PING, b"masked"), plain(FIN | TEXT, request)].concat();
    vec![
        Case::new("an unmasked text", plain(FIN | TEXT, request)).fails(1002),
        Case::new("an unmasked ping", plain(FIN | PING, b"x")).fails(1002),
        Case::new("an unmasked close", plain(FIN | CLOSE, &[3, 232])).fails(1002),
        Case::new("unmasked after masked", after)
            .pongs(b"masked")
            .fails(1002),
        Case::new("a mask of zeros", zeros).says([crate::peer::Seen::Answer]),
        Case::new("a pong of 126 bytes", frame(FIN | PONG, &[0; 126])).fails(1002),
    ]
}
