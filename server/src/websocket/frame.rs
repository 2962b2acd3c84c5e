//! WebSocket frames (RFC 6455 §5) as bytes: heads are read by tungstenite and judged here, payloads are unmasked in
//! place, server frames are written. Holds no state.

use std::io::Cursor;

use bytes::Bytes;
use cometql_protocol::CloseCode;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Longest payload of a control frame (RFC 6455 §5.5).
pub(crate) const CONTROL_BYTES: usize = 125;

/// What a client's frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
    Continuation,
    Close,
    Ping,
    Pong,
}

/// The head of a client's frame that passed every check of §5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) last: bool,
    pub(crate) mask: [u8; 4],
    /// Bytes of the head itself.
    pub(crate) head_len: usize,
    /// Bytes of the payload.
    pub(crate) len: usize,
}

/// Reads a head; `None` when bytes are missing.
///
/// # Errors
/// The close code that RFC 6455 wants for what is wrong, before the payload has come.
pub(crate) fn read_head(bytes: &[u8], max_payload: usize) -> Result<Option<Head>, CloseCode> {
    // Judged early, so that a wrong first byte is answered before more bytes come.
    if bytes.first().is_some_and(|first| first & 0x70 != 0)
        || bytes.get(1).is_some_and(|second| second & 0x80 == 0)
    {
        return Err(CloseCode::ProtocolError);
    }
    let mut cursor = Cursor::new(bytes);
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| CloseCode::ProtocolError)?;
    let Some((header, len)) = parsed else {
        return Ok(None);
    };
    let head_len = usize::try_from(cursor.position()).expect("a head is at most 14 bytes");
    let mask = header.mask.ok_or(CloseCode::ProtocolError)?;
    let kind = kind_of(header.opcode).ok_or(CloseCode::ProtocolError)?;
    let len = usize::try_from(len).map_err(|_| CloseCode::MessageTooBig)?;
    let control = matches!(kind, Kind::Close | Kind::Ping | Kind::Pong);
    if control && (!header.is_final || len > CONTROL_BYTES) {
        return Err(CloseCode::ProtocolError);
    }
    if len > max_payload.max(CONTROL_BYTES) {
        return Err(CloseCode::MessageTooBig);
    }
    Ok(Some(Head {
        kind,
        last: header.is_final,
        mask,
        head_len,
        len,
    }))
}

fn kind_of(opcode: OpCode) -> Option<Kind> {
    Some(match opcode {
        OpCode::Data(Data::Text) => Kind::Text,
        OpCode::Data(Data::Binary) => Kind::Binary,
        OpCode::Data(Data::Continue) => Kind::Continuation,
        OpCode::Control(Control::Close) => Kind::Close,
        OpCode::Control(Control::Ping) => Kind::Ping,
        OpCode::Control(Control::Pong) => Kind::Pong,
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => return None,
    })
}

/// Undoes the client's masking (§5.3), eight bytes at a time.
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let four = u64::from(u32::from_ne_bytes(mask));
    let eight = four << 32 | four;
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ eight).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// A server's text frame.
pub(crate) fn text(payload: &str) -> Bytes {
    write(OpCode::Data(Data::Text), payload.as_bytes())
}

/// The payload of a server's text frame; nothing of another one.
pub(crate) fn text_of(frame: &[u8]) -> &[u8] {
    let (Some(0x81), Some(len)) = (frame.first(), frame.get(1)) else {
        return &[];
    };
    let head = match len {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame.get(head..).unwrap_or_default()
}

/// A server's ping.
pub(crate) fn ping() -> Bytes {
    // §5.5.2: an empty ping is a whole frame of two constant bytes.
    Bytes::from_static(&[0x89, 0])
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    write(OpCode::Control(Control::Pong), payload)
}

/// A close frame with a reason, which is cut to what fits.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    let end = reason.floor_char_boundary(CONTROL_BYTES - 2);
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    write(OpCode::Control(Control::Close), &payload)
}

/// A close frame without code or reason: the echo of one that had none.
pub(crate) fn close_empty() -> Bytes {
    Bytes::from_static(&[0x88, 0])
}

fn write(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let mut frame = Vec::with_capacity(payload.len() + 10);
    header
        .format(payload.len() as u64, &mut frame)
        .expect("writing to memory does not fail");
    frame.extend_from_slice(payload);
    frame.into()
}

/// What a close frame's payload says; `None` = nothing.
///
/// # Errors
/// 1002 for a truncated or reserved code, 1007 for a reason that is not UTF-8 (§5.5.1, §7.4).
pub(crate) fn read_close(payload: &[u8]) -> Result<Option<u16>, CloseCode> {
    let [high, low, reason @ ..] = payload else {
        let empty = payload.is_empty();
        return empty.then_some(None).ok_or(CloseCode::ProtocolError);
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(CloseCode::ProtocolError);
    }
    if simdutf8::basic::from_utf8(reason).is_err() {
        return Err(CloseCode::InvalidPayload);
    }
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_head(bytes: &[u8], expected: Result<Option<(Kind, bool, usize, usize)>, CloseCode>) {
        let seen = read_head(bytes, 70_000);
        let seen = seen.map(|head| head.map(|h| (h.kind, h.last, h.head_len, h.len)));
        assert_eq!(seen, expected, "{bytes:02x?}");
    }

    #[test]
    fn heads() {
        check_head(
            &[0x81, 0x82, 1, 2, 3, 4],
            Ok(Some((Kind::Text, true, 6, 2))),
        );
        check_head(
            &[0x01, 0x80, 1, 2, 3, 4],
            Ok(Some((Kind::Text, false, 6, 0))),
        );
        check_head(
            &[0x80, 0x80, 1, 2, 3, 4],
            Ok(Some((Kind::Continuation, true, 6, 0))),
        );
        check_head(
            &[0x82, 0x80, 1, 2, 3, 4],
            Ok(Some((Kind::Binary, true, 6, 0))),
        );
        check_head(
            &[0x81, 0xfe, 1, 0, 1, 2, 3, 4],
            Ok(Some((Kind::Text, true, 8, 256))),
        );
        check_head(
            &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4],
            Ok(Some((Kind::Text, true, 14, 65_536))),
        );
        check_head(&[], Ok(None));
        check_head(&[0x81], Ok(None));
        check_head(&[0x81, 0xfe, 1], Ok(None));
        check_head(&[0x81, 0x82, 1, 2, 3], Ok(None));
        check_head(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0], Ok(None));
    }

    #[test]
    fn heads_that_break_the_rules() {
        let protocol = Err(CloseCode::ProtocolError);
        check_head(&[0x81, 0x02], protocol);
        check_head(&[0xc1, 0x82], protocol);
        check_head(&[0xa1], protocol);
        check_head(&[0x91], protocol);
        check_head(&[0x83, 0x80, 1, 2, 3, 4], protocol);
        check_head(&[0x8b, 0x80, 1, 2, 3, 4], protocol);
        check_head(&[0x09, 0x80, 1, 2, 3, 4], protocol);
        check_head(&[0x89, 0xfe, 0, 126, 1, 2, 3, 4], protocol);
        check_head(&[0x88, 0xfe, 0, 126, 1, 2, 3, 4], protocol);
        check_head(
            &[0x81, 0xff, 0, 0, 0, 0, 0, 2, 0, 0, 1, 2, 3, 4],
            Err(CloseCode::MessageTooBig),
        );
        check_head(
            &[0x82, 0xff, 0xff, 0, 0, 0, 0, 2, 0, 0, 1, 2, 3, 4],
            Err(CloseCode::MessageTooBig),
        );
    }

    #[test]
    fn masking_is_undone_for_every_length() {
        for len in 0..40_u8 {
            let plain: Vec<u8> = (0..len).collect();
            let mask = [9, 200, 3, 77];
            let mut masked: Vec<u8> = plain
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key)
                .collect();
            unmask(&mut masked, mask);
            assert_eq!(masked, plain);
        }
    }

    #[test]
    fn server_frames() {
        assert_eq!(&text("hi")[..], b"\x81\x02hi");
        assert_eq!(&text(&"a".repeat(126))[..4], b"\x81\x7e\x00\x7e");
        assert_eq!(
            &text(&"a".repeat(65_536))[..10],
            b"\x81\x7f\0\0\0\0\0\x01\0\0"
        );
        assert_eq!(&pong(b"x")[..], b"\x8a\x01x");
        assert_eq!(&close(4000, "restart")[..], b"\x88\x09\x0f\xa0restart");
        assert_eq!(close(4000, &"é".repeat(100)).len(), 2 + 124);
    }

    #[track_caller]
    fn check_close(payload: &[u8], expected: Result<Option<u16>, CloseCode>) {
        assert_eq!(read_close(payload), expected, "{payload:02x?}");
    }

    #[test]
    fn close_payloads() {
        check_close(b"", Ok(None));
        check_close(b"\x03\xe8", Ok(Some(1000)));
        check_close(b"\x03\xe8bye", Ok(Some(1000)));
        check_close(b"\x0f\xa0", Ok(Some(4000)));
        check_close(b"\x03", Err(CloseCode::ProtocolError));
        for reserved in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            check_close(&reserved.to_be_bytes(), Err(CloseCode::ProtocolError));
        }
        check_close(b"\x03\xe8\xff", Err(CloseCode::InvalidPayload));
    }
}
