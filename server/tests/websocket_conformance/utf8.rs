//! Group 6: what is UTF-8 and what is not, after Markus Kuhn's decoder stress test. In 6.4 a wrong byte is told when the
//! message is complete, which Autobahn calls "non-strict".

use crate::case::{Case, Step, says};
use crate::peer::{FIN, Seen, TEXT, fragmented, fragments, frame};

/// "kosme", in 11 bytes.
const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
const WITH_SURROGATE: &[u8] =
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64";
/// It goes wrong with the second byte of the second part, which is beyond U+10FFFF.
const TOO_HIGH: [&[u8]; 3] = [KOSME, b"\xf4\x90\x80\x80", b"edited"];
/// The same text, cut around that byte.
const TOO_HIGH_CUT: [&[u8]; 3] = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4",
    b"\x90",
    b"\x80\x80edited",
];

/// Sequences that are no UTF-8, with the group that they are in.
const WRONG: &[(u8, &[&[u8]])] = &[
    (8, &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
    (
        10,
        &[
            b"\xf7\xbf\xbf\xbf",
            b"\xfb\xbf\xbf\xbf\xbf",
            b"\xfd\xbf\xbf\xbf\xbf\xbf",
        ],
    ),
    (
        12,
        &[
            b"\x80",
            b"\xbf",
            b"\x80\xbf",
            b"\x80\xbf\x80",
            b"\x80\xbf\x80\xbf",
            b"\x80\xbf\x80\xbf\x80",
            b"\x80\xbf\x80\xbf\x80\xbf",
        ],
    ),
    (14, INCOMPLETE),
    (16, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
    (
        17,
        &[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ],
    ),
    (
        18,
        &[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ],
    ),
    (
        19,
        &[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ],
    ),
    (20, SURROGATES),
];

const INCOMPLETE: &[&[u8]] = &[
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfb\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf",
];

const SURROGATES: &[&[u8]] = &[
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xae\x80",
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbe\x80",
    b"\xed\xbf\xbf",
];

/// Sequences that are UTF-8, with their group and the number of the first.
const RIGHT: &[(u8, u8, &[&str])] = &[
    (
        5,
        1,
        &[
            "hello$world",
            "hello¢world",
            "hello€world",
            "hello\u{24b62}world",
            "κόσμε",
        ],
    ),
    (7, 2, &["\u{80}", "\u{800}", "\u{10000}"]),
    (9, 1, &["\u{7f}", "\u{7ff}", "\u{ffff}", "\u{10ffff}"]),
    (11, 1, &["\u{d7ff}", "\u{e000}", "\u{fffd}", "\u{10ffff}"]),
    (
        23,
        1,
        &[
            "\u{fff9}", "\u{fffa}", "\u{fffb}", "\u{fffc}", "\u{fffd}", "\u{fffe}", "\u{ffff}",
        ],
    ),
];

fn right(id: String, data: &str) -> Case {
    Case::new(id, frame(FIN | TEXT, &says(data))).echoes(data)
}

fn wrong(id: String, payload: &[u8]) -> Case {
    Case::new(id, frame(FIN | TEXT, payload)).fails(1007)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = fragmented_texts();
    for (group, first, texts) in RIGHT {
        let texts = (*first..).zip(*texts);
        cases.extend(texts.map(|(n, text)| right(format!("6.{group}.{n}"), text)));
    }
    for (group, texts) in WRONG {
        let texts = (1..).zip(*texts);
        cases.extend(texts.map(|(n, bytes)| wrong(format!("6.{group}.{n}"), bytes)));
    }
    for end in 1..=KOSME.len() {
        let id = format!("6.6.{end}");
        cases.push(match std::str::from_utf8(&KOSME[..end]) {
            Ok(text) => right(id, text),
            Err(_) => wrong(id, &KOSME[..end]),
        });
    }
    // A zero byte is UTF-8, and no JSON: the request is refused, the connection goes on.
    let refused = Seen::Refused("bad_request".to_owned());
    cases.push(Case::new("6.7.1", frame(FIN | TEXT, b"\0")).says([refused]));
    cases.push(wrong("6.11.5".into(), b"\xf4\x90\x80\x80"));
    let continuations: Vec<u8> = (0x80..0xbf).collect();
    cases.push(wrong("6.12.8".into(), &continuations));
    for (n, (first, last)) in (1..).zip(LONELY) {
        let lonely: Vec<u8> = (first..last).flat_map(|byte| [byte, b' ']).collect();
        cases.push(wrong(format!("6.13.{n}"), &lonely));
    }
    cases.push(wrong("6.15.1".into(), &INCOMPLETE.concat()));
    cases.extend(pairs_of_surrogates());
    cases.extend(noncharacters());
    cases
}

/// First bytes of 2, 3, 4, 5 and 6 bytes.
const LONELY: [(u8, u8); 5] = [
    (0xc0, 0xdf),
    (0xe0, 0xef),
    (0xf0, 0xf7),
    (0xf8, 0xfb),
    (0xfc, 0xfd),
];

/// 6.1 to 6.4: empty fragments, and fragments that cut characters.
fn fragmented_texts() -> Vec<Case> {
    let data = "Hello-µ@ßöäüàá-UTF-8!!";
    let text = says(data);
    let boundary = text.len() - 10;
    assert!(std::str::from_utf8(&text[..boundary]).is_ok());
    let in_two = fragments(TEXT, &[&text[..boundary], &text[boundary..]]);
    let middle = fragments(TEXT, &[b"", &text, b""]);
    let kosme = std::str::from_utf8(KOSME).unwrap();
    vec![
        Case::new("6.1.1", frame(FIN | TEXT, b"")),
        Case::new("6.1.2", fragments(TEXT, &[b"", b"", b""]).concat()),
        Case::new("6.1.3", middle.concat()).echoes(data),
        right("6.2.1".into(), data),
        Case::new("6.2.2", in_two.concat()).echoes(data),
        Case::new("6.2.3", fragmented(TEXT, &text, 1)).echoes(data),
        Case::new("6.2.4", fragmented(TEXT, &says(kosme), 1)).echoes(kosme),
        wrong("6.3.1".into(), WITH_SURROGATE),
        Case::new("6.3.2", fragmented(TEXT, WITH_SURROGATE, 1)).fails(1007),
        Case::new("6.4.1", fragments(TEXT, &TOO_HIGH).concat()).fails(1007),
        Case::new("6.4.2", fragments(TEXT, &TOO_HIGH_CUT).concat()).fails(1007),
        in_three_writes("6.4.3", TOO_HIGH),
        in_three_writes("6.4.4", TOO_HIGH_CUT),
    ]
}

/// One frame, of which each part is a write of its own.
fn in_three_writes(id: &str, parts: [&[u8]; 3]) -> Case {
    let mut rest = frame(FIN | TEXT, &parts.concat());
    let mut steps = Vec::new();
    // The head is of 6 bytes.
    for length in [6 + parts[0].len(), parts[1].len(), parts[2].len()] {
        let after = rest.split_off(length);
        steps.push(Step::Write(rest, usize::MAX));
        rest = after;
    }
    Case::stepwise(id, steps).fails(1007)
}

fn pairs_of_surrogates() -> Vec<Case> {
    let pairs = [0, 1, 2, 3]
        .into_iter()
        .flat_map(|high| [4, 6].map(|low| (high, low)));
    let pair = |(n, (high, low)): (u32, (usize, usize))| {
        let bytes = [SURROGATES[high], SURROGATES[low]].concat();
        wrong(format!("6.21.{n}"), &bytes)
    };
    (1..).zip(pairs).map(pair).collect()
}

/// 6.22: code points that Unicode gives no character, and that are UTF-8 all the same.
fn noncharacters() -> Vec<Case> {
    let points = (0..=0x10_u32).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    let text = |point| char::from_u32(point).unwrap().to_string();
    let points = (1..).zip(points);
    let cases = points.map(|(n, point)| right(format!("6.22.{n}"), &text(point)));
    cases.collect()
}
