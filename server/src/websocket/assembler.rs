//! From the bytes that a client sends to whole messages: frames in pieces, several frames at once, fragments, UTF-8.
//! Does no I/O and owns no memory while nothing is incomplete.

use std::ops::ControlFlow;

use cometql_protocol::CloseCode;

use super::frame::{self, Head, Kind};

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A ping, to be answered with the same bytes.
    Ping(&'a [u8]),
    /// It wants to close; the code is echoed.
    Close(Option<u16>),
    /// It broke RFC 6455 or a limit: to be closed with this code.
    Broken(CloseCode),
}

/// What an endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepts {
    /// Longest message, in bytes.
    pub(crate) bytes: usize,
    /// Binary messages are taken for text, as the original's endpoint does.
    pub(crate) binary: bool,
}

/// The incomplete rest of what one client has sent.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// Bytes of a frame that is not complete.
    partial: Vec<u8>,
    /// Payload of the fragments so far of a message that is not complete.
    fragments: Option<Vec<u8>>,
}

impl Assembler {
    /// Takes bytes and hands on what became complete, until `take` says stop. Break = it did, or nothing more can be understood.
    pub(crate) fn feed(
        &mut self,
        input: &mut [u8],
        accepts: Accepts,
        mut take: impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.partial.is_empty() {
            let used = self.frames(input, accepts, &mut take)?;
            self.partial.extend_from_slice(&input[used..]);
            return ControlFlow::Continue(());
        }
        self.partial.extend_from_slice(input);
        let mut bytes = std::mem::take(&mut self.partial);
        let used = self.frames(&mut bytes, accepts, &mut take)?;
        if used < bytes.len() {
            bytes.drain(..used);
            self.partial = bytes;
        }
        ControlFlow::Continue(())
    }

    /// Handles all whole frames; returns how many bytes they were.
    fn frames(
        &mut self,
        bytes: &mut [u8],
        accepts: Accepts,
        take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<(), usize> {
        let mut used = 0;
        loop {
            let rest = &mut bytes[used..];
            let head = match frame::read_head(rest, accepts.bytes) {
                Ok(Some(head)) => head,
                Ok(None) => return ControlFlow::Continue(used),
                Err(code) => return broken(code, take),
            };
            let end = head.head_len + head.len;
            // Before the payload is there, so that nobody fills memory with a message that will be refused.
            if let Err(code) = self.fits(&head, accepts) {
                return broken(code, take);
            }
            let Some(payload) = rest.get_mut(head.head_len..end) else {
                return ControlFlow::Continue(used);
            };
            frame::unmask(payload, head.mask);
            self.frame(&head, payload, take)?;
            used += end;
        }
    }

    fn fits(&self, head: &Head, accepts: Accepts) -> Result<(), CloseCode> {
        match (head.kind, &self.fragments) {
            (Kind::Binary, None) if !accepts.binary => Err(CloseCode::UnsupportedData),
            (Kind::Text | Kind::Binary, Some(_)) | (Kind::Continuation, None) => {
                Err(CloseCode::ProtocolError)
            }
            (Kind::Continuation, Some(before)) if before.len() + head.len > accepts.bytes => {
                Err(CloseCode::MessageTooBig)
            }
            _ => Ok(()),
        }
    }

    fn frame(
        &mut self,
        head: &Head,
        payload: &[u8],
        take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match head.kind {
            Kind::Text | Kind::Binary if head.last => text(payload, take),
            Kind::Text | Kind::Binary => {
                self.fragments = Some(payload.to_vec());
                ControlFlow::Continue(())
            }
            Kind::Continuation => self.continuation(head.last, payload, take),
            Kind::Ping => take(Incoming::Ping(payload)),
            Kind::Pong => ControlFlow::Continue(()),
            Kind::Close => match frame::read_close(payload) {
                Ok(code) => stop_after(Incoming::Close(code), take),
                Err(code) => stop_after(Incoming::Broken(code), take),
            },
        }
    }

    fn continuation(
        &mut self,
        last: bool,
        payload: &[u8],
        take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut whole = self
            .fragments
            .take()
            .expect("a continuation without a beginning was refused");
        whole.extend_from_slice(payload);
        if last {
            return text(&whole, take);
        }
        self.fragments = Some(whole);
        ControlFlow::Continue(())
    }
}

fn text(payload: &[u8], take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    match simdutf8::basic::from_utf8(payload) {
        Ok(text) => take(Incoming::Text(text)),
        Err(_) => stop_after(Incoming::Broken(CloseCode::InvalidPayload), take),
    }
}

fn broken<T>(
    code: CloseCode,
    take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
) -> ControlFlow<(), T> {
    _ = take(Incoming::Broken(code));
    ControlFlow::Break(())
}

fn stop_after(
    last: Incoming<'_>,
    take: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    _ = take(last);
    ControlFlow::Break(())
}

#[cfg(test)]
mod tests;
