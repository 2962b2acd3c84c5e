//! As much of WebSocket as a load generator needs, and the marks by which it knows publications again.

/// Length of a mark: `@@`, 12 digits of sequence number, `@`, 17 digits of time.
pub(super) const MARK: usize = 32;

/// The payload of publication number `sequence`, sent at `now_us`, filled up to `size` bytes.
pub(super) fn payload(sequence: u64, now_us: u64, size: usize) -> String {
    format!("{:x<size$}", format!("@@{sequence:012}@{now_us:017}"))
}

/// Calls back with (sequence, time) of every mark; returns where the rest begins that may be the start of one.
///
/// Marks are looked for in the stream of bytes rather than in messages: each server frames and wraps them in its own way.
pub(super) fn scan_marks(bytes: &[u8], mut found: impl FnMut(u64, u64)) -> usize {
    let mut rest_at = 0;
    for at in memchr::memmem::find_iter(bytes, b"@@") {
        let Some(mark) = bytes.get(at..at + MARK) else {
            return at;
        };
        if let (Some(sequence), Some(time)) = (number(&mark[2..14]), number(&mark[15..MARK])) {
            found(sequence, time);
        }
        rest_at = at + MARK;
    }
    let last = bytes.len() - usize::from(bytes.last() == Some(&b'@'));
    last.max(rest_at.min(bytes.len()))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u64::from(digit - b'0'))
    })
}

/// Calls back with (opcode, payload) of every whole frame of a server; returns how many bytes those took.
pub(super) fn scan_frames(bytes: &[u8], mut found: impl FnMut(u8, &[u8])) -> usize {
    let mut at = 0;
    while let Some((header, length)) = frame_size(&bytes[at..]) {
        let end = at + header + length;
        let Some(payload) = bytes.get(at + header..end) else {
            break;
        };
        found(bytes[at] & 0x0f, payload);
        at = end;
    }
    at
}

/// Header and payload length of an unmasked frame; none while the header is incomplete.
fn frame_size(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? & 0x7f {
        126 => {
            let length = bytes.get(2..4)?;
            Some((4, usize::from(length[0]) << 8 | usize::from(length[1])))
        }
        127 => {
            let length: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            Some((10, usize::try_from(u64::from_be_bytes(length)).ok()?))
        }
        short => Some((2, usize::from(short))),
    }
}

/// A client's frame. Its mask is zero, which is a valid mask and leaves the payload as it is.
pub(super) fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => unreachable!("the generator sends short frames only"),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A server's text frame, for the bare loop.
pub(super) fn server_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(length.to_be_bytes()[1]),
        Ok(length) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => unreachable!("the bare loop sends short frames only"),
    }
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], marks: &[(u64, u64)], rest: usize) {
        let mut found = Vec::new();
        assert_eq!(
            scan_marks(bytes, |sequence, time| found.push((sequence, time))),
            rest
        );
        assert_eq!(found, marks);
    }

    #[test]
    fn marks_are_found_whole_and_cut() {
        let one = payload(7, 1234, 128);
        assert_eq!(one.len(), 128);
        check(one.as_bytes(), &[(7, 1234)], 128);
        let two = format!("{one}\"}}{}", payload(8, 5, 32));
        check(two.as_bytes(), &[(7, 1234), (8, 5)], two.len());
        check(&one.as_bytes()[..20], &[], 0);
        check(format!("ab{}", &one[..20]).as_bytes(), &[], 2);
        check(b"abc@", &[], 3);
        check(b"", &[], 0);
    }

    #[test]
    fn frames_are_found_whole_and_cut() {
        let mut bytes = server_frame(b"hello");
        bytes.extend(server_frame(&[b'x'; 300]));
        let both = bytes.len();
        bytes.extend([0x81, 5, b'a']);
        let mut found = Vec::new();
        let taken = scan_frames(&bytes, |opcode, payload| {
            found.push((opcode, payload.len()))
        });
        assert_eq!((taken, found), (both, vec![(1, 5), (1, 300)]));
    }
}
