//! Bells: how a thread of ours wakes a foreign event loop without a call into its language. For Python, where a thread that calls in
//! has to take the interpreter's lock, and is ended in the middle of it, the process with it, when the interpreter is ending.
//!
//! An event loop has one bell and tells uniffi to call [`cometql_sdk_wake`] with the bell and the number of who awaits. Those numbers
//! wait here; the loop hears of them by a byte in a pipe that it watches, one for all that wait, or by a thread of its own that waits.
//!
//! A child process that was forked makes its own bells: a lock of its parent's may be held by a thread that does not exist there.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::process;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Low bits of what uniffi gives back: who awaits. Above them stands the bell.
const WHO_BITS: u32 = 40;
const WHO: u64 = (1 << WHO_BITS) - 1;
/// Set in an answer: others wait, too.
const MORE: u64 = 1 << 63;
/// Nobody has this number.
const NOBODY: u64 = 0;
/// `RustFuturePoll::Ready`: it comes from within a poll only, or when a call is given up.
const READY: i8 = 0;

/// Bells are found by their place here, without a lock. None is ever removed: those with a pipe are used again.
static FIRST: OnceLock<Box<Bell>> = OnceLock::new();

thread_local! {
    /// Which call was ready when this thread asked last.
    static DONE: Cell<u64> = const { Cell::new(NOBODY) };
}

struct Bell {
    process: u32,
    state: Mutex<State>,
    rung: Condvar,
    next: OnceLock<Box<Self>>,
}

struct State {
    /// In the order in which they were woken.
    woken: VecDeque<u64>,
    rings: Rings,
}

/// How the event loop hears of it.
enum Rings {
    /// Nobody has it.
    Nothing,
    /// There is a byte in the pipe while somebody is woken: never more, so that writing never waits.
    Pipe(PipeReader, PipeWriter),
    /// In [`Bell::wait`].
    Thread,
    /// It was closed, and its thread may not know it yet: it is not used again.
    Over,
}

/// Whether event loops of this process are woken by bells: none waits then for who is woken.
pub(crate) fn is_used() -> bool {
    FIRST.get().is_some()
}

impl Bell {
    fn new() -> Box<Self> {
        Box::new(Self {
            process: process::id(),
            state: Mutex::new(State {
                woken: VecDeque::new(),
                rings: Rings::Nothing,
            }),
            rung: Condvar::new(),
            next: OnceLock::new(),
        })
    }

    /// A closed bell, or a new one, and its place.
    fn open(rings: Rings) -> u64 {
        let (mut place, mut at) = (&FIRST, 0);
        loop {
            let bell = place.get_or_init(Self::new);
            if let Some(mut state) = bell.state()
                && matches!(state.rings, Rings::Nothing)
            {
                state.rings = rings;
                return at;
            }
            (place, at) = (&bell.next, at + 1);
        }
    }

    fn at(place: u64) -> Option<&'static Self> {
        let mut bell = FIRST.get()?;
        for _ in 0..place {
            bell = bell.next.get()?;
        }
        Some(bell)
    }

    /// `None`: it is the parent's.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let ours = self.process == process::id();
        ours.then(|| self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn close(&self) {
        if let Some(mut state) = self.state() {
            state.rings = match state.rings {
                Rings::Nothing | Rings::Pipe(..) => Rings::Nothing,
                Rings::Thread | Rings::Over => Rings::Over,
            };
            state.woken.clear();
            self.rung.notify_all();
        }
    }

    fn ring(&self, who: u64) {
        let Some(mut state) = self.state() else {
            return;
        };
        let first = state.woken.is_empty();
        match &mut state.rings {
            Rings::Nothing | Rings::Over => return,
            // It has room, and its other end is beside it.
            Rings::Pipe(_, writer) if first => drop(writer.write(&[0])),
            Rings::Thread if first => self.rung.notify_one(),
            Rings::Pipe(..) | Rings::Thread => {}
        }
        state.woken.push_back(who);
    }

    /// Who was woken first, with [`MORE`] if others wait.
    fn take(&self) -> u64 {
        self.state().map_or(NOBODY, |mut state| state.take())
    }

    /// The same, once there is one; [`NOBODY`] when the bell is closed.
    fn wait(&self) -> u64 {
        let Some(mut state) = self.state() else {
            return NOBODY;
        };
        while state.woken.is_empty() && matches!(state.rings, Rings::Thread) {
            let waited = self.rung.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.take()
    }
}

impl State {
    fn take(&mut self) -> u64 {
        let Some(who) = self.woken.pop_front() else {
            return NOBODY;
        };
        if !self.woken.is_empty() {
            return who | MORE;
        }
        if let Rings::Pipe(reader, _) = &mut self.rings {
            // It was written when the first one was woken.
            let _ = reader.read(&mut [0]);
        }
        who
    }
}

/// A bell that writes to a pipe: its place, and the end of the pipe that is to be watched in the low 32 bits. -1: the system has no
/// pipe left.
#[cfg(unix)]
#[expect(unsafe_code, reason = "a name by which ctypes finds it")]
#[unsafe(no_mangle)]
extern "C" fn cometql_sdk_bell_with_pipe() -> i64 {
    use std::os::fd::AsRawFd as _;

    let Ok((reader, writer)) = std::io::pipe() else {
        return -1;
    };
    let watched = i64::from(reader.as_raw_fd());
    let place = Bell::open(Rings::Pipe(reader, writer)).cast_signed();
    (place << 32) | watched
}

/// The place of a bell for a thread that waits.
#[expect(unsafe_code, reason = "a name by which ctypes finds it")]
#[unsafe(no_mangle)]
extern "C" fn cometql_sdk_bell_for_thread() -> u64 {
    Bell::open(Rings::Thread)
}

/// Who is woken from now on is not told any more.
#[expect(unsafe_code, reason = "a name by which ctypes finds it")]
#[unsafe(no_mangle)]
extern "C" fn cometql_sdk_bell_close(place: u64) {
    if let Some(bell) = Bell::at(place) {
        bell.close();
    }
}

/// Who was woken first, and whether others wait, too: see [`MORE`].
#[expect(unsafe_code, reason = "a name by which ctypes finds it")]
#[unsafe(no_mangle)]
extern "C" fn cometql_sdk_bell_take(place: u64) -> u64 {
    Bell::at(place).map_or(NOBODY, Bell::take)
}

/// The same, once there is one. 0: the bell was closed.
#[expect(unsafe_code, reason = "a name by which ctypes finds it")]
#[unsafe(no_mangle)]
extern "C" fn cometql_sdk_bell_wait(place: u64) -> u64 {
    Bell::at(place).map_or(NOBODY, Bell::wait)
}

/// What uniffi is to call: `RustFutureContinuationCallback`.
#[expect(unsafe_code, reason = "a name by which ctypes finds it")]
#[unsafe(no_mangle)]
extern "C" fn cometql_sdk_wake(who: u64, code: i8) {
    if code == READY {
        DONE.set(who);
    } else if let Some(bell) = Bell::at(who >> WHO_BITS) {
        bell.ring(who & WHO);
    }
}

/// Which call was ready when this thread asked last; 0: none. It is told once.
#[expect(unsafe_code, reason = "a name by which ctypes finds it")]
#[unsafe(no_mangle)]
extern "C" fn cometql_sdk_done() -> u64 {
    DONE.replace(NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_pipe() -> u64 {
        let (reader, writer) = std::io::pipe().unwrap();
        Bell::open(Rings::Pipe(reader, writer))
    }

    fn wake(place: u64, who: u64) {
        cometql_sdk_wake(place << WHO_BITS | who, 1);
    }

    #[test]
    fn who_was_woken_first_is_told_first() {
        for place in [with_pipe(), cometql_sdk_bell_for_thread()] {
            // Twice: the byte of the first time is gone.
            for _ in 0..2 {
                assert_eq!(cometql_sdk_bell_take(place), NOBODY);
                for who in 1..=3 {
                    wake(place, who);
                }
                let taken: Vec<_> = (0..4).map(|_| cometql_sdk_bell_take(place)).collect();
                assert_eq!(taken, [1 | MORE, 2 | MORE, 3, NOBODY]);
            }
            cometql_sdk_bell_close(place);
        }
    }

    #[test]
    fn a_closed_bell_tells_nobody_and_is_used_again() {
        let place = with_pipe();
        wake(place, 1);
        cometql_sdk_bell_close(place);
        wake(place, 2);
        assert_eq!(cometql_sdk_bell_take(place), NOBODY);
        // Tests that run at the same time may have taken it, but none adds as many as it closes.
        for _ in 0..1_000 {
            let place = with_pipe();
            assert!(place < 1_000);
            assert_eq!(cometql_sdk_bell_take(place), NOBODY);
            cometql_sdk_bell_close(place);
        }
        assert_eq!(cometql_sdk_bell_take(u64::MAX), NOBODY);
    }

    #[test]
    fn a_thread_waits_until_somebody_is_woken_or_the_bell_is_closed() {
        let place = cometql_sdk_bell_for_thread();
        std::thread::scope(|scope| {
            let woken = scope.spawn(move || cometql_sdk_bell_wait(place));
            wake(place, 7);
            assert_eq!(woken.join().unwrap(), 7);
            let closed = scope.spawn(move || cometql_sdk_bell_wait(place));
            cometql_sdk_bell_close(place);
            assert_eq!(closed.join().unwrap(), NOBODY);
        });
    }

    #[test]
    fn what_is_done_is_told_once_to_its_thread() {
        cometql_sdk_wake(7, READY);
        let elsewhere = std::thread::spawn(|| cometql_sdk_done());
        assert_eq!(elsewhere.join().unwrap(), NOBODY);
        assert_eq!(cometql_sdk_done(), 7);
        assert_eq!(cometql_sdk_done(), NOBODY);
    }
}
