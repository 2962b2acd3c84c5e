use super::*;

const ACCEPTS: Accepts = Accepts {
    bytes: 300,
    binary: false,
};
const MASK: [u8; 4] = [1, 2, 3, 4];

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

fn describe(incoming: &Incoming<'_>) -> String {
    match incoming {
        Incoming::Text(text) => format!("text {text}"),
        Incoming::Ping(bytes) => format!("ping {}", bytes.escape_ascii()),
        Incoming::Close(code) => format!("close {code:?}"),
        Incoming::Broken(code) => format!("broken {}", code.code()),
    }
}

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut assembler = Assembler::default();
    let mut seen = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let flow = assembler.feed(&mut piece, ACCEPTS, |incoming| {
            seen.push(describe(&incoming));
            ControlFlow::Continue(())
        });
        if flow.is_break() {
            seen.push("stop".into());
            return seen;
        }
    }
    let incomplete = !assembler.partial.is_empty() || assembler.fragments.is_some();
    seen.extend(incomplete.then(|| "incomplete".into()));
    seen
}

/// The same bytes at once, byte by byte, and cut at every place must give the same.
#[track_caller]
fn check(frames: &[Vec<u8>], expected: &[&str]) {
    let bytes = frames.concat();
    assert_eq!(run([&bytes[..]]), expected, "at once: {bytes:02x?}");
    assert_eq!(run(bytes.chunks(1)), expected, "byte by byte: {bytes:02x?}");
    for cut in 1..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(run([head, tail]), expected, "cut at {cut}: {bytes:02x?}");
    }
}

#[test]
fn messages_and_fragments() {
    check(&[masked(0x81, b"hello")], &["text hello"]);
    check(&[masked(0x81, b"")], &["text "]);
    check(
        &[masked(0x81, b"a"), masked(0x89, b"p"), masked(0x81, b"b")],
        &["text a", "ping p", "text b"],
    );
    check(
        &[
            masked(0x01, b"a"),
            masked(0x89, b"p"),
            masked(0, b"b"),
            masked(0x80, b"c"),
        ],
        &["ping p", "text abc"],
    );
    check(&[masked(0x8a, b"pong")], &[]);
    check(
        &[masked(0x81, &[b'x'; 200])],
        &[&format!("text {}", "x".repeat(200))],
    );
    check(&[masked(0x01, b"a")], &["incomplete"]);
    // The two bytes of "é" in two fragments.
    check(&[masked(0x01, b"\xc3"), masked(0x80, b"\xa9")], &["text é"]);
}

#[test]
fn closes() {
    check(&[masked(0x88, b"")], &["close None", "stop"]);
    check(
        &[masked(0x88, b"\x03\xe8bye")],
        &["close Some(1000)", "stop"],
    );
    check(
        &[masked(0x88, b"\x03\xe8"), masked(0x81, b"late")],
        &["close Some(1000)", "stop"],
    );
    check(&[masked(0x88, b"\x03")], &["broken 1002", "stop"]);
    check(&[masked(0x88, b"\x03\xed")], &["broken 1002", "stop"]);
    check(&[masked(0x88, b"\x03\xe8\xc3")], &["broken 1007", "stop"]);
}

#[test]
fn broken_frames() {
    check(&[b"\x81\x01a".to_vec()], &["broken 1002", "stop"]);
    check(&[masked(0xc1, b"a")], &["broken 1002", "stop"]);
    check(&[masked(0x83, b"a")], &["broken 1002", "stop"]);
    check(&[masked(0x8f, b"a")], &["broken 1002", "stop"]);
    check(&[masked(0x09, b"a")], &["broken 1002", "stop"]);
    check(&[masked(0x89, &[b'a'; 126])], &["broken 1002", "stop"]);
    check(&[masked(0x80, b"a")], &["broken 1002", "stop"]);
    check(
        &[masked(0x01, b"a"), masked(0x81, b"b")],
        &["broken 1002", "stop"],
    );
    check(&[masked(0x82, b"a")], &["broken 1003", "stop"]);
    check(&[masked(0x81, b"\xff")], &["broken 1007", "stop"]);
    check(
        &[masked(0x01, b"\xc3"), masked(0x80, b"a")],
        &["broken 1007", "stop"],
    );
    check(
        &[masked(0x81, b"ok"), masked(0x82, b"")],
        &["text ok", "broken 1003", "stop"],
    );
}

#[test]
fn binary_as_text() {
    let accepts = Accepts {
        binary: true,
        ..ACCEPTS
    };
    let mut seen = Vec::new();
    let flow = Assembler::default().feed(&mut masked(0x82, b"a"), accepts, |incoming| {
        seen.push(describe(&incoming));
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    assert_eq!(seen, ["text a"]);
}

#[test]
fn messages_over_the_limit() {
    check(&[masked(0x81, &[b'x'; 301])], &["broken 1009", "stop"]);
    check(
        &[masked(0x01, &[b'x'; 200]), masked(0x80, &[b'x'; 101])],
        &["broken 1009", "stop"],
    );
    let fits = format!("text {}", "x".repeat(300));
    check(
        &[masked(0x01, &[b'x'; 200]), masked(0x80, &[b'x'; 100])],
        &[&fits],
    );
}

#[test]
fn nothing_is_kept_once_all_is_complete() {
    let mut assembler = Assembler::default();
    for piece in masked(0x81, b"hello").chunks(2) {
        let flow = assembler.feed(&mut piece.to_vec(), ACCEPTS, |_| ControlFlow::Continue(()));
        assert!(flow.is_continue());
    }
    assert_eq!(assembler.partial.capacity(), 0);
}

/// The first byte says into how many pieces the rest is cut.
#[test]
fn fuzz_websocket() {
    let tokens = &["\u{1}\0", "\u{9}\0", "\0\0\0\0"];
    let corpus = include_str!("../../../fuzz/websocket.txt");
    crate::fuzz::check(corpus, tokens, |bytes| {
        let Some((&pieces, bytes)) = bytes.split_first() else {
            return;
        };
        let mut assembler = Assembler::default();
        let size = bytes.len().div_ceil(usize::from(pieces) + 1).max(1);
        for piece in bytes.chunks(size) {
            let flow = assembler.feed(&mut piece.to_vec(), ACCEPTS, |incoming| {
                if let Incoming::Text(text) = incoming {
                    assert!(text.len() <= ACCEPTS.bytes);
                }
                ControlFlow::Continue(())
            });
            if flow.is_break() {
                return;
            }
            // No more is kept than a head and a payload that were allowed.
            assert!(assembler.partial.len() <= ACCEPTS.bytes + 14);
            let fragments = assembler.fragments.as_ref().map_or(0, Vec::len);
            assert!(fragments <= ACCEPTS.bytes);
        }
    });
}
