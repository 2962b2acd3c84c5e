//! The runtime of the process: sockets and times of all clients and subscriptions, and who goes on when they have news.
//!
//! A child process that was forked has none of its parent's threads, and shares the parent's sockets and what waits for
//! them. So it gets a runtime of its own, and what was made before the fork is not touched there, not even to drop it.

use std::mem;
use std::pin::Pin;
use std::sync::mpsc::{SendError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use tokio::runtime::{Builder, Runtime};

use crate::{CometError, bell};

/// What one process has.
struct Ours {
    process: u32,
    runtime: Runtime,
    /// To the thread that lets others go on.
    resumes: Sender<Waker>,
    /// That of a process which was forked from this one. It is never dropped, as nothing before it is.
    forked: OnceLock<Box<Self>>,
}

/// Started when it is first needed; it ends with the process.
fn ours() -> Result<&'static Ours, CometError> {
    static FIRST: OnceLock<Box<Ours>> = OnceLock::new();
    of(std::process::id(), &FIRST)
}

fn of(process: u32, first: &'static OnceLock<Box<Ours>>) -> Result<&'static Ours, CometError> {
    let mut place = first;
    while let Some(ours) = place.get() {
        if ours.process == process {
            return Ok(ours);
        }
        place = &ours.forked;
    }
    // Who came second drops its own.
    if let Err(second) = place.set(Box::new(Ours::start(process)?)) {
        second.runtime.shutdown_background();
    }
    Ok(place.get().expect("one of them was set"))
}

impl Ours {
    fn start(process: u32) -> Result<Self, CometError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cometql")
            .enable_all()
            .build()
            .map_err(no_threads)?;
        let (resumes, wakers) = channel::<Waker>();
        thread::Builder::new()
            .name("cometql-resume".to_owned())
            .spawn(move || wakers.into_iter().for_each(Waker::wake))
            .map_err(no_threads)?;
        Ok(Self {
            process,
            runtime,
            resumes,
            forked: OnceLock::new(),
        })
    }

    /// Lets somebody go on, in the thread that is there for it.
    fn resume(&'static self, who: &Waker) -> Waker {
        let who = who.clone();
        let resumes = &self.resumes;
        Arc::new(Resume { who, resumes }).into()
    }
}

/// For what goes on while no call is under way.
pub(crate) fn shared() -> Result<&'static Runtime, CometError> {
    Ok(&ours()?.runtime)
}

/// A runtime that runs on the threads that wait for it: a call costs no change of threads.
pub(crate) fn of_callers() -> Result<Runtime, CometError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_threads)
}

fn no_threads(error: std::io::Error) -> CometError {
    CometError::Unreachable {
        detail: format!("the system refuses a thread: {error}"),
    }
}

fn made_before_the_fork() -> CometError {
    CometError::invalid("it was made before the fork: make one in this process")
}

/// Something with sockets, which belongs to the process that made it.
pub(crate) struct Own<T> {
    process: u32,
    /// `None` only while it is dropped.
    what: Option<T>,
}

impl<T> Own<T> {
    /// Of this process.
    pub(crate) fn new(what: T) -> Self {
        Self {
            process: std::process::id(),
            what: Some(what),
        }
    }

    /// It, if this is the process that made it. It may be locked for ever elsewhere: nothing of it was touched before.
    pub(crate) fn get(&self) -> Result<&T, CometError> {
        let ours = self.what.as_ref();
        ours.filter(|_| self.process == std::process::id())
            .ok_or_else(made_before_the_fork)
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // Its sockets are those of the parent, and so is what watches them.
            mem::forget(self.what.take());
        }
    }
}

/// Carries out a call with the sockets and times of our runtime, whoever's executor awaits it. Who awaits goes on in a thread that
/// is there for nothing else: it may wait there, and holds up no socket.
pub(crate) async fn served<T>(
    call: impl Future<Output = Result<T, CometError>> + Send,
) -> Result<T, CometError> {
    Served {
        ours: ours()?,
        call: Some(Box::pin(call)),
    }
    .await
}

struct Served<F> {
    ours: &'static Ours,
    /// `None` only while it is dropped.
    call: Option<Pin<Box<F>>>,
}

impl<T, F: Future<Output = Result<T, CometError>>> Future for Served<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let ours = self.ours;
        if ours.process != std::process::id() {
            return Poll::Ready(Err(made_before_the_fork()));
        }
        let _entered = ours.runtime.enter();
        let call = self.call.as_mut().expect("there until it is dropped");
        if bell::is_used() {
            // Who is woken by a bell is not waited for.
            return call.as_mut().poll(context);
        }
        let resume = ours.resume(context.waker());
        call.as_mut().poll(&mut Context::from_waker(&resume))
    }
}

impl<F> Drop for Served<F> {
    fn drop(&mut self) {
        if self.ours.process == std::process::id() {
            // Connections say good-bye in the background.
            let _entered = self.ours.runtime.enter();
            self.call = None;
        } else {
            mem::forget(self.call.take());
        }
    }
}

/// Lets somebody go on, in the thread that is there for it.
struct Resume {
    who: Waker,
    resumes: &'static Sender<Waker>,
}

impl Wake for Resume {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Err(SendError(who)) = self.resumes.send(self.who.clone()) {
            who.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::testing::when_woken;

    /// Says that it was dropped.
    struct Touched<'a>(&'a AtomicBool);

    impl Drop for Touched<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[track_caller]
    fn check(process: u32, expected: bool) {
        let touched = AtomicBool::new(false);
        let own = Own {
            process,
            what: Some(Touched(&touched)),
        };
        assert_eq!(own.get().is_ok(), expected);
        drop(own);
        assert_eq!(touched.load(Ordering::Relaxed), expected);
    }

    #[test]
    fn what_another_process_made_is_not_touched() {
        check(std::process::id(), true);
        check(0, false);
    }

    /// A runtime as a process that was forked inherits it.
    fn inherited() -> &'static Ours {
        Box::leak(Box::new(Ours::start(0).unwrap()))
    }

    #[test]
    fn a_call_that_another_process_began_fails_and_is_not_touched() {
        let touched = AtomicBool::new(false);
        let touches = Touched(&touched);
        let call = async move {
            touches.0.store(true, Ordering::Relaxed);
            Ok(())
        };
        let served = Served {
            ours: inherited(),
            call: Some(Box::pin(call)),
        };
        let mut served = Box::pin(served);
        let told = served
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(told, Poll::Ready(Err(made_before_the_fork())));
        drop(served);
        assert!(!touched.load(Ordering::Relaxed));
    }

    #[test]
    fn each_process_has_a_runtime_of_its_own() {
        static FIRST: OnceLock<Box<Ours>> = OnceLock::new();
        let one = of(1, &FIRST).unwrap();
        // Its child, and the child of that.
        let (child, grandchild) = (of(2, &FIRST).unwrap(), of(3, &FIRST).unwrap());
        assert_eq!([one, child, grandchild].map(|ours| ours.process), [1, 2, 3]);
        assert!(std::ptr::eq(of(3, &FIRST).unwrap(), grandchild));
        assert!(std::ptr::eq(of(1, &FIRST).unwrap(), one));
    }

    /// The thread that does what a call waits for may have locked anything.
    #[test]
    fn who_is_woken_goes_on_in_another_thread() {
        let (tell, told) = channel();
        let waker = when_woken(move || {
            _ = tell.send(thread::current().name().map(str::to_owned));
        });
        ours().unwrap().resume(&waker).wake();
        assert_eq!(told.recv().unwrap().as_deref(), Some("cometql-resume"));
    }
}
