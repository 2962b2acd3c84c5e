//! The reading half of a WebSocket connection: one small task that owns no buffer while nothing is incomplete.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use cometql_engine::{ConnectionId, Ending};
use cometql_protocol::CloseCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::assembler::{Accepts, Assembler, Incoming};
use super::frame;
use crate::shard::link::Wire;
use crate::shard::{Core, Loaded};

/// Size of the buffer that all connections of a shard read into, one after the other.
const SCRATCH: usize = 64 << 10;
/// Lines that are no requests after which a connection is closed.
const BAD_REQUESTS: usize = 16;

/// How long the last bytes of a TLS connection may take to leave.
const GOODBYE: Duration = Duration::from_secs(1);

thread_local! {
    static SCRATCH_BYTES: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// A connection whose session is open.
pub(crate) struct Opened {
    /// Its shard.
    pub(crate) core: Core,
    /// Its session.
    pub(crate) id: ConnectionId,
    /// Its socket.
    pub(crate) wire: Rc<Wire>,
    /// Which messages it takes.
    pub(crate) accepts: Accepts,
    /// What the client's close leads to.
    pub(crate) on_close: OnClose,
    /// Its place in the shard's load, for as long as its socket lives.
    pub(crate) loaded: Option<Loaded>,
}

/// What a client's close frame leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnClose {
    /// It is answered.
    Answer,
    /// The session ends at once, and TCP without an answer after this time: the way of the original's protocol.
    Drop(Duration),
}

/// What a client's bytes led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Messages are handled.
    Open,
    /// The server has closed: what comes is thrown away, until the client closes too.
    Closing,
}

struct Reader {
    opened: Opened,
    assembler: Assembler,
    bad: usize,
    state: State,
    /// How the client left, as far as it is known.
    ending: Ending,
}

impl Reader {
    fn new(opened: Opened) -> Self {
        Self {
            opened,
            assembler: Assembler::default(),
            bad: 0,
            state: State::Open,
            ending: Ending::Broke,
        }
    }

    /// Takes bytes. Break = the connection is over.
    fn feed(&mut self, input: &mut [u8]) -> ControlFlow<()> {
        if self.state == State::Closing {
            return ControlFlow::Continue(());
        }
        let Self {
            opened:
                Opened {
                    core,
                    id,
                    accepts,
                    on_close,
                    ..
                },
            assembler,
            bad,
            state,
            ending,
        } = self;
        let mut over = ControlFlow::Continue(());
        _ = assembler.feed(input, *accepts, |incoming| match incoming {
            Incoming::Text(text) => {
                *bad += core.text(*id, text);
                if *bad < BAD_REQUESTS {
                    return ControlFlow::Continue(());
                }
                *state = State::Closing;
                core.close(*id, CloseCode::BadProtocol);
                ControlFlow::Break(())
            }
            Incoming::Ping(payload) => {
                core.send(*id, frame::pong(payload));
                ControlFlow::Continue(())
            }
            Incoming::Close(code) => {
                *ending = Ending::Left(code);
                let echo = code.map_or_else(frame::close_empty, |code| frame::close(code, ""));
                if *on_close == OnClose::Answer {
                    core.answer_close(*id, echo);
                }
                over = ControlFlow::Break(());
                over
            }
            Incoming::Broken(code) => {
                *state = State::Closing;
                core.close(*id, code);
                ControlFlow::Break(())
            }
        });
        if self.state == State::Closing {
            self.assembler = Assembler::default();
        }
        over
    }

    /// How long TCP outlives the session.
    fn linger(&self) -> Duration {
        match self.opened.on_close {
            OnClose::Drop(time) if matches!(self.ending, Ending::Left(_)) => time,
            OnClose::Answer | OnClose::Drop(_) => Duration::ZERO,
        }
    }

    /// Reads once. Break = the connection is over.
    fn read(&mut self) -> ControlFlow<()> {
        SCRATCH_BYTES.with_borrow_mut(|scratch| match self.opened.wire.read(scratch) {
            Ok(0) => ControlFlow::Break(()),
            Ok(read) => {
                self.opened.wire.heard();
                self.opened.core.count_read();
                self.feed(&mut scratch[..read])
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
    }

    /// The socket has come to its end.
    fn finish(&mut self) {
        let Opened { core, id, wire, .. } = &self.opened;
        core.gone(*id, self.ending);
        let linger = self.linger();
        if !linger.is_zero() {
            let kept = (Rc::clone(wire), self.opened.loaded.take());
            tokio::task::spawn_local(async move {
                tokio::time::sleep(linger).await;
                drop(kept);
            });
        }
    }
}

/// Reads a plain TCP connection to its end. `early` came with the handshake.
pub(crate) fn run_tcp(opened: Opened, early: Bytes) -> impl Future<Output = ()> {
    // A task costs as much memory as its largest moment: this one keeps nothing but a pointer to its reader.
    let mut reader = Box::new(Reader::new(opened));
    let mut over = reader.feed(&mut Vec::from(early)).is_break();
    poll_fn(move |context| {
        while !over {
            match reader.opened.wire.poll_readable(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(readable) => over = !readable || reader.read().is_break(),
            }
        }
        reader.finish();
        Poll::Ready(())
    })
}

/// Reads and writes a TLS connection to its end.
pub(crate) async fn run_tls(opened: Opened, early: Bytes, io: impl AsyncRead + AsyncWrite + Unpin) {
    let (core, id, wire) = (opened.core.clone(), opened.id, Rc::clone(&opened.wire));
    let mut reader = Reader::new(opened);
    let (read, mut write) = tokio::io::split(io);
    if reader.feed(&mut Vec::from(early)).is_continue() {
        tokio::select! {
            () = read_tls(read, &mut reader) => {}
            () = write_tls(&mut write, &core, id, &wire) => {}
            () = wire.killed() => {}
        }
    }
    let linger = reader.linger();
    if !linger.is_zero() {
        core.gone(id, reader.ending);
        tokio::time::sleep(linger).await;
        return;
    }
    // The last frames, the echo of a close among them. A client that does not take them is not waited for.
    let last = core.take(id).unwrap_or_default().0;
    let goodbye = async {
        write.write_all(&last).await?;
        write.shutdown().await
    };
    _ = tokio::time::timeout(GOODBYE, goodbye).await;
    core.gone(id, reader.ending);
}

async fn read_tls(mut read: impl AsyncRead + Unpin, reader: &mut Reader) {
    let mut buffer = vec![0; 4 << 10];
    while let Ok(count @ 1..) = read.read(&mut buffer).await {
        reader.opened.wire.heard();
        reader.opened.core.count_read();
        if reader.feed(&mut buffer[..count]).is_break() {
            return;
        }
    }
}

async fn write_tls(
    write: &mut (impl AsyncWrite + Unpin),
    core: &Core,
    id: ConnectionId,
    wire: &Wire,
) {
    while wire.woken().await {
        let Some((bytes, _)) = core.take(id) else {
            return;
        };
        if bytes.is_empty() {
            continue;
        }
        if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
            return;
        }
        core.written(id);
    }
}
