//! The outgoing half of one connection: what waits for its socket, and how it leaves. Knows no engine types.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cometql_engine::{ConnectionId, Ending};
use cometql_protocol::CloseCode;
use rustix::net::SendFlags;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::buffers::Buffers;
use super::codec::Codec;

/// Waiting frames that are shorter than this together are copied into one piece, which costs less than a vectored write.
const COPY_BELOW: usize = 16 << 10;
/// Most pieces of one vectored write; Linux takes up to 1024.
pub(super) const PIECES: usize = 64;
/// Most bytes of replays that may wait for one socket beside the outbox's limit. A client that gets no further is closed
/// and goes on from where it came to.
const REPLAY_BYTES: u32 = 16 << 20;

/// What the two halves of a connection share: the socket, and what the reader tells the writer.
#[derive(Debug)]
pub(crate) struct Wire {
    carrier: Carrier,
    /// True when anything came since the last ping was sent.
    heard: Cell<bool>,
}

#[derive(Debug)]
enum Carrier {
    /// Written by the shard itself.
    Tcp(TcpStream),
    /// TLS or a response body: a task takes what waits, as often as it is woken.
    Task {
        wake: Notify,
        ended: Cell<bool>,
        kill: Rc<Notify>,
    },
}

impl Wire {
    /// A connection whose socket the shard writes to.
    pub(crate) fn tcp(stream: TcpStream) -> Rc<Self> {
        Rc::new(Self {
            carrier: Carrier::Tcp(stream),
            heard: Cell::new(true),
        })
    }

    /// A connection that a task writes to; `kill` makes the task give up at once.
    pub(crate) fn task(kill: Rc<Notify>) -> Rc<Self> {
        let carrier = Carrier::Task {
            wake: Notify::new(),
            ended: Cell::new(false),
            kill,
        };
        Rc::new(Self {
            carrier,
            heard: Cell::new(true),
        })
    }

    /// The socket, unless a task has it.
    pub(crate) fn stream(&self) -> Option<&TcpStream> {
        match &self.carrier {
            Carrier::Tcp(stream) => Some(stream),
            Carrier::Task { .. } => None,
        }
    }

    /// Resolves to true when there may be something to read; to false when there never will.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<bool> {
        match &self.carrier {
            Carrier::Tcp(stream) => stream.poll_read_ready(context).map(|ready| ready.is_ok()),
            Carrier::Task { .. } => Poll::Ready(false),
        }
    }

    /// Reads once from a readable socket. Less than the buffer takes is all there was: that saves the read which would
    /// only learn that nothing is left.
    ///
    /// # Errors
    /// As reading from a socket; `WouldBlock` when nothing came.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Carrier::Tcp(stream) = &self.carrier else {
            return Ok(0);
        };
        let mut read = 0;
        let tried = stream.try_io(Interest::READABLE, || {
            read = rustix::io::read(stream, &mut *buffer)?;
            if (1..buffer.len()).contains(&read) {
                // Tells tokio to wait for the next bytes.
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match tried {
            Err(error) if read == 0 => Err(error),
            _ => Ok(read),
        }
    }

    /// Notes that the client is alive.
    pub(crate) fn heard(&self) {
        self.heard.set(true);
    }

    /// Whether something came since the last call.
    pub(crate) fn take_heard(&self) -> bool {
        self.heard.replace(false)
    }

    /// Ends the connection once what a task has taken is written.
    pub(crate) fn end(&self) {
        match &self.carrier {
            // It fails when the peer is gone already, and then the reader knows.
            Carrier::Tcp(stream) => _ = SockRef::from(stream).shutdown(Shutdown::Both),
            Carrier::Task { wake, ended, .. } => {
                ended.set(true);
                wake.notify_one();
            }
        }
    }

    /// Ends the connection now.
    pub(crate) fn kill(&self) {
        self.end();
        if let Carrier::Task { kill, .. } = &self.carrier {
            kill.notify_one();
        }
    }

    /// For the task: resolves when it has to give up.
    pub(crate) async fn killed(&self) {
        if let Carrier::Task { kill, .. } = &self.carrier {
            kill.notified().await;
        }
    }

    /// For the task: waits for frames; false when the connection is to end.
    pub(crate) async fn woken(&self) -> bool {
        match &self.carrier {
            Carrier::Tcp(_) => true,
            Carrier::Task { ended, .. } if ended.get() => false,
            Carrier::Task { wake, ended, .. } => {
                wake.notified().await;
                !ended.get()
            }
        }
    }
}

/// What became of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing waits any more.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// A task will take it.
    Handed,
    /// The socket is broken.
    Broken,
}

/// The outgoing half of one connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) codec: Codec,
    pub(super) wire: Rc<Wire>,
    /// Frames that are not written yet, the one of which a part has left and those in a task's hands included.
    outbox: Vec<Bytes>,
    /// Bytes that wait: without those that have left, or that are in a task's hands.
    waiting: usize,
    /// How many of the waiting bytes are a replay that the client asked for.
    granted: u32,
    /// What has begun to leave: of a socket's first frame so many bytes, of a task's frames so many, which it has taken.
    begun: u32,
    /// A private message waits whose writing acknowledges it.
    pub(super) receipt: bool,
    /// Listed for the next flush.
    pub(super) dirty: bool,
    /// The socket takes nothing for now: a task waits until it does, or still writes what it took before.
    pub(super) blocked: bool,
    /// A close frame is the last that was put into the outbox.
    pub(super) closing: bool,
    /// Since when the socket took less than there was, unix milliseconds; 0 = it took all.
    pub(super) stuck_ms: u64,
    /// What the server closed it with.
    pub(super) closed: Option<CloseCode>,
    /// A ping was sent and nothing came since.
    pub(super) pinged: bool,
}

impl Link {
    pub(super) fn new(id: ConnectionId, codec: Codec, wire: Rc<Wire>) -> Self {
        Self {
            id,
            codec,
            wire,
            outbox: Vec::new(),
            waiting: 0,
            granted: 0,
            begun: 0,
            receipt: false,
            dirty: false,
            blocked: false,
            closing: false,
            stuck_ms: 0,
            closed: None,
            pinged: false,
        }
    }

    /// Whether so many bytes wait, beside granted ones, that nothing may be added.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.waiting > limit.saturating_add(self.granted as usize)
    }

    /// Lets a frame of this length wait beside the limit: it is part of a replay, which the client asked for at once.
    pub(super) fn grant(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.granted = self.granted.saturating_add(len).min(REPLAY_BYTES);
    }

    /// The socket takes no more for now.
    pub(super) fn block(&mut self, now_ms: u64) {
        self.blocked = true;
        if self.stuck_ms == 0 {
            self.stuck_ms = now_ms;
        }
    }

    /// How the server closed it, if it did.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.closed.map(Ending::Closed)
    }

    /// Puts a frame behind those that wait.
    pub(super) fn queue(&mut self, frame: Bytes, buffers: &mut Buffers) {
        if self.outbox.capacity() == 0 {
            self.outbox = buffers.spare();
        }
        self.waiting += frame.len();
        self.outbox.push(frame);
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many frames wait, and their bytes.
    pub(super) fn waits(&self) -> (usize, usize) {
        let taken = if self.has_task() { self.begun } else { 0 };
        (self.outbox.len() - taken as usize, self.waiting)
    }

    /// All frames that are not written yet, oldest first: whole ones, also where a part has left.
    pub(super) fn unwritten(&self) -> &[Bytes] {
        &self.outbox
    }

    fn has_task(&self) -> bool {
        self.wire.stream().is_none()
    }

    /// What of the outbox only waits, without the frame of which a part has left and those in a task's hands.
    pub(super) fn untouched(&self) -> &[Bytes] {
        let touched = match self.begun {
            0 => 0,
            taken if self.has_task() => taken as usize,
            _ => 1,
        };
        &self.outbox[touched..]
    }

    /// Forgets all that is untouched. Returns how many frames and bytes.
    pub(super) fn discard(&mut self) -> (usize, usize) {
        let (frames, bytes) = (
            self.untouched().len(),
            self.untouched().iter().map(Bytes::len).sum(),
        );
        self.outbox.truncate(self.outbox.len() - frames);
        self.waiting -= bytes;
        (frames, bytes)
    }

    /// For the task that writes: all that waits.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let bytes = self.untouched().concat();
        self.begun = u32::try_from(self.outbox.len()).unwrap_or(u32::MAX);
        self.waiting = 0;
        self.granted = 0;
        bytes
    }

    /// The task has written what it took.
    pub(super) fn taken_is_written(&mut self, buffers: &mut Buffers) {
        self.outbox.drain(..self.begun as usize);
        self.begun = 0;
        if self.outbox.is_empty() {
            buffers.give_back(std::mem::take(&mut self.outbox));
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self, buffers: &mut Buffers) -> Flushed {
        let wire = Rc::clone(&self.wire);
        let stream = match &wire.carrier {
            Carrier::Tcp(stream) => stream,
            Carrier::Task { wake, .. } => {
                wake.notify_one();
                return Flushed::Handed;
            }
        };
        while !self.outbox.is_empty() {
            match self.write(stream, &mut buffers.joined) {
                Ok(written) => self.written(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Flushed::Broken,
            }
        }
        buffers.give_back(std::mem::take(&mut self.outbox));
        Flushed::All
    }

    fn write(&self, stream: &TcpStream, joined: &mut Vec<u8>) -> io::Result<usize> {
        let [first, rest @ ..] = &self.outbox[..] else {
            return Ok(0);
        };
        let first = &first[self.begun as usize..];
        if rest.is_empty() {
            return send(stream, first);
        }
        if self.waiting < COPY_BELOW {
            joined.clear();
            joined.extend_from_slice(first);
            for frame in rest {
                joined.extend_from_slice(frame);
            }
            return send(stream, joined);
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        pieces[0] = IoSlice::new(first);
        let mut used = 1;
        for (piece, frame) in pieces[1..].iter_mut().zip(rest) {
            *piece = IoSlice::new(frame);
            used += 1;
        }
        stream.try_write_vectored(&pieces[..used])
    }

    fn written(&mut self, written: usize) {
        self.waiting -= written;
        self.granted = self
            .granted
            .min(u32::try_from(self.waiting).unwrap_or(u32::MAX));
        // Counted from the start of the first frame.
        let mut written = written + self.begun as usize;
        let mut whole = 0;
        for frame in &self.outbox {
            if written < frame.len() {
                break;
            }
            written -= frame.len();
            whole += 1;
        }
        self.outbox.drain(..whole);
        self.begun = u32::try_from(written).unwrap_or(u32::MAX);
    }
}

/// Writes to a socket. While it takes bytes, which is nearly always, tokio need not be asked.
fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let send = || rustix::net::send(stream, bytes, SendFlags::NOSIGNAL).map_err(io::Error::from);
    match send() {
        // Tells tokio to wait until the socket takes bytes again, unless it does by now.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            stream.try_io(Interest::WRITABLE, send)
        }
        sent => sent,
    }
}
