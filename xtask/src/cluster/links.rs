//! Connections that can be slowed down and cut, as networks do: a TCP proxy in front of each NATS server, one for each who
//! speaks to it. (`tc netem` needs a kernel module that is often missing, and network namespaces need root.)
//!
//! Cut means silence: nothing is closed, what was sent waits, and arrives if the link is whole again in time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How often a cut link looks whether it is whole again.
const LOOK: Duration = Duration::from_millis(5);
/// Pieces that may be on their way in a direction: what more there is waits in the sender's socket.
const ON_THE_WAY: usize = 64;

/// The way from one program to another. It ends when this is dropped; its threads with the connections.
pub(crate) struct Link {
    /// Where who speaks connects to.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    delay_ms: AtomicU64,
    ended: AtomicBool,
}

impl Link {
    /// A whole one to this address.
    pub(crate) fn to(target: SocketAddr, listener: TcpListener) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::Builder::new()
            .name(format!("link to {target}"))
            .spawn(move || accept(&listener, target, &shared))
            .context("no thread")?;
        Ok(Self { address, state })
    }

    /// From now on nothing passes, in neither direction.
    pub(crate) fn cut(&self) {
        self.state.cut.store(true, Ordering::Relaxed);
    }

    /// All that comes from now on comes so much later.
    pub(crate) fn slow_down(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.state.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// As at first.
    pub(crate) fn heal(&self) {
        self.slow_down(Duration::ZERO);
        self.state.cut.store(false, Ordering::Relaxed);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    /// Returns once the link is whole; false = it is no more.
    fn wait_until_whole(&self) -> bool {
        while self.cut.load(Ordering::Relaxed) && !self.has_ended() {
            std::thread::sleep(LOOK);
        }
        !self.has_ended()
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.has_ended() {
            return;
        }
        let (Ok(stream), state) = (stream, Arc::clone(state)) else {
            continue;
        };
        std::thread::spawn(move || connect(stream, target, &state));
    }
}

/// A connection that can't be made is closed, as one that is refused.
fn connect(near: TcpStream, target: SocketAddr, state: &Arc<State>) {
    if !state.wait_until_whole() {
        return;
    }
    let Ok(far) = TcpStream::connect(target) else {
        return;
    };
    let ways = [
        (near.try_clone(), far.try_clone()),
        (far.try_clone(), near.try_clone()),
    ];
    for (from, to) in ways {
        let (Ok(from), Ok(to)) = (from, to) else {
            return;
        };
        // Small pieces are small messages.
        _ = to.set_nodelay(true);
        let state = Arc::clone(state);
        std::thread::spawn(move || carry(from, to, &state));
    }
}

/// One direction, until an end closes or the link is no more.
fn carry(mut from: TcpStream, to: TcpStream, state: &Arc<State>) {
    let (sender, pieces) = mpsc::sync_channel(ON_THE_WAY);
    let shared = Arc::clone(state);
    let writer = std::thread::spawn(move || deliver(to, &pieces, &shared));
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let due = Instant::now() + state.delay();
        if sender.send((due, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    // It has said what it had to say.
    _ = writer.join();
    _ = from.shutdown(Shutdown::Both);
}

fn deliver(mut to: TcpStream, pieces: &mpsc::Receiver<(Instant, Vec<u8>)>, state: &State) {
    for (due, piece) in pieces {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if !state.wait_until_whole() || to.write_all(&piece).is_err() {
            break;
        }
    }
    // An end, too, takes its time.
    state.wait_until_whole();
    _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link to a program that says everything back, and a connection over it.
    fn echo() -> (Link, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = server.local_addr().unwrap();
        std::thread::spawn(move || {
            let (stream, _) = server.accept().unwrap();
            _ = std::io::copy(&mut &stream, &mut &stream);
        });
        let link = Link::to(target, TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let stream = TcpStream::connect(link.address).unwrap();
        (link, stream)
    }

    fn read(stream: &mut TcpStream, most: Duration) -> Option<u8> {
        let mut byte = [0];
        stream.set_read_timeout(Some(most)).unwrap();
        stream.read_exact(&mut byte).ok().map(|()| byte[0])
    }

    #[test]
    fn what_is_sent_over_a_cut_link_waits() {
        let (link, mut stream) = echo();
        let long = Duration::from_secs(30);
        stream.write_all(b"a").unwrap();
        assert_eq!(read(&mut stream, long), Some(b'a'));
        link.cut();
        stream.write_all(b"b").unwrap();
        assert_eq!(read(&mut stream, Duration::from_millis(100)), None);
        link.heal();
        assert_eq!(read(&mut stream, long), Some(b'b'));
    }

    #[test]
    fn a_slow_link_delays_and_an_ended_one_closes() {
        let (link, mut stream) = echo();
        let delay = Duration::from_millis(50);
        link.slow_down(delay);
        let start = Instant::now();
        stream.write_all(b"c").unwrap();
        assert_eq!(read(&mut stream, Duration::from_secs(30)), Some(b'c'));
        assert!(start.elapsed() >= delay * 2, "there and back");
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}
