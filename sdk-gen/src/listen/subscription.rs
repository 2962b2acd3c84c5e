//! The two objects that listeners have: `Subscription`, whose calls are awaited, and `BlockingSubscription`, whose calls block
//! their thread.

use std::sync::Arc;
use std::time::Duration;

use super::options::{Home, Plan};
use super::queue::Queue;
use super::{ChannelSince, Event, Listening, task};
use crate::CometError;
use crate::runtime::{Own, served, shared};

/// Listening to channels and to an inbox. It goes on in the background, whether events are asked for or not, until it is closed.
///
/// Up to `queue_events` events wait for the application. When as many wait, nothing more is read from the server, which closes the
/// connection after a while; the subscription comes back by itself when events are asked for again and goes on where it was, or
/// tells a `Gap` if the server does not keep enough.
///
/// Several threads or tasks may ask for events; each event is given to one of them. As asking for the next event acknowledges the
/// private messages that were given before, they should use `acknowledge_by_hand`.
///
/// A process that was forked makes one of its own: one that was made before the fork goes on in the parent, and fails with `Invalid`
/// in the child.
#[derive(uniffi::Object)]
pub struct Subscription {
    queue: Own<Arc<Queue>>,
}

/// The same as `Subscription`; its calls block their thread.
#[derive(uniffi::Object)]
pub struct BlockingSubscription {
    queue: Own<Arc<Queue>>,
}

impl Subscription {
    /// Over what was started.
    pub(crate) fn new(queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self {
            queue: Own::new(queue),
        })
    }
}

impl BlockingSubscription {
    /// Over what was started.
    pub(crate) fn new(queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self {
            queue: Own::new(queue),
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        close(&self.queue);
    }
}

impl Drop for BlockingSubscription {
    fn drop(&mut self) {
        close(&self.queue);
    }
}

#[uniffi::export]
impl Subscription {
    /// Starts to listen without a client: for programs that only listen and therefore have no key. `urls` must be given.
    ///
    /// Returns once the server has answered for each channel; what is published from then on comes. Fails with `Unreachable` when
    /// no node could be reached within `start_timeout_ms`, with `TimedOut` when one could but some channels were not answered in
    /// that time, with `Ended` when the credentials or all channels were refused.
    #[uniffi::constructor]
    pub async fn open(
        channels: Vec<ChannelSince>,
        listening: Listening,
    ) -> Result<Arc<Self>, CometError> {
        let opened = served(async {
            let plan = Plan::new(channels, listening, Home::default())?;
            Ok(Self::new(task::start(plan, |_| ()).await?))
        });
        opened.await
    }

    /// The next event; waits for it. None = the subscription was closed.
    ///
    /// Says that private messages which were given before are handled, unless they are acknowledged by hand.
    ///
    /// Fails with `Ended` when listening has ended for good: the credentials were refused or have ended, or no channel is left.
    /// Everything that came before was given then.
    ///
    /// What it has found is lost when the call is cancelled at that moment: languages that cancel calls wait with `ready`.
    pub async fn next(&self) -> Result<Option<Event>, CometError> {
        let next = served(async { self.queue.get()?.next(1).await });
        Ok(next.await?.pop())
    }

    /// The next events: waits until there is one, and returns all that wait, in order, but not more than `most` (0 counts as 1).
    /// None at all = the subscription was closed. As `next` in everything else, and cheaper where much comes.
    pub async fn next_batch(&self, most: u32) -> Result<Vec<Event>, CometError> {
        served(async { self.queue.get()?.next(count(most)).await }).await
    }

    /// Waits until `take` has something to tell. Acknowledges as `next` does. For languages that cancel calls: what `next` returns is lost
    /// when the call is cancelled at that moment; here nothing is.
    pub async fn ready(&self) {
        let ready = served(async {
            self.queue.get()?.ready().await;
            Ok(())
        });
        // Why it fails is told by `take`.
        _ = ready.await;
    }

    /// The events that wait, at most `most` (0 counts as 1), without waiting: no events = nothing waits, None = the subscription was
    /// closed. Fails as `next` does.
    pub fn take(&self, most: u32) -> Result<Option<Vec<Event>>, CometError> {
        self.queue.get()?.take_now(count(most))
    }

    /// Says that a private message is handled. The server forgets it when all before it are handled, too.
    pub fn acknowledge(&self, offset: u64) {
        if let Ok(queue) = self.queue.get() {
            queue.acknowledge(offset);
        }
    }

    /// A newer token for the same user: the server is told at once, without an interruption.
    pub fn set_token(&self, token: String) {
        if let Ok(queue) = self.queue.get() {
            queue.set_token(token);
        }
    }

    /// Ends listening. Who waits for an event gets None at once. Returns when the server knows of everything that was
    /// acknowledged, after 3 seconds at the latest: without a connection, one is tried for 2 seconds. Closing what is closed does nothing.
    pub async fn close(&self) {
        let closed = served(async {
            self.queue.get()?.end_of_task().await;
            Ok(())
        });
        // In a process that was forked there is nothing to close.
        close(&self.queue);
        _ = closed.await;
    }

    /// Ends listening as `close` does, without waiting until the server knows of what was acknowledged: for code that can't wait.
    pub fn close_now(&self) {
        close(&self.queue);
    }
}

#[uniffi::export]
impl BlockingSubscription {
    /// Starts to listen without a client: for programs that only listen and therefore have no key. `urls` must be given.
    ///
    /// Returns once the server has answered for each channel; what is published from then on comes. Fails with `Unreachable` when
    /// no node could be reached within `start_timeout_ms`, with `TimedOut` when one could but some channels were not answered in
    /// that time, with `Ended` when the credentials or all channels were refused.
    #[uniffi::constructor]
    pub fn open(
        channels: Vec<ChannelSince>,
        listening: Listening,
    ) -> Result<Arc<Self>, CometError> {
        let plan = Plan::new(channels, listening, Home::default())?;
        Ok(Self::new(shared()?.block_on(task::start(plan, |_| ()))?))
    }

    /// The next event; waits for it. None = the subscription was closed.
    ///
    /// Says that private messages which were given before are handled, unless they are acknowledged by hand.
    ///
    /// Fails with `Ended` when listening has ended for good: the credentials were refused or have ended, or no channel is left.
    /// Everything that came before was given then.
    pub fn next(&self) -> Result<Option<Event>, CometError> {
        let queue = self.queue.get()?;
        Ok(shared()?.block_on(queue.next(1))?.pop())
    }

    /// The next events: waits until there is one, and returns all that wait, in order, but not more than `most` (0 counts as 1).
    /// None at all = the subscription was closed. As `next` in everything else, and cheaper where much comes.
    pub fn next_batch(&self, most: u32) -> Result<Vec<Event>, CometError> {
        let queue = self.queue.get()?;
        shared()?.block_on(queue.next(count(most)))
    }

    /// As `next_batch`, but it waits for so many milliseconds at most: no events = nothing came, None = the subscription was
    /// closed. For languages in which nothing reaches a thread that waits here: Python runs no signal handler meanwhile.
    pub fn next_within(&self, most: u32, wait_ms: u64) -> Result<Option<Vec<Event>>, CometError> {
        let (queue, wait) = (self.queue.get()?, Duration::from_millis(wait_ms));
        let next = async { tokio::time::timeout(wait, queue.next(count(most))).await };
        // Who is stopped while it waits has taken nothing out of the queue.
        match shared()?.block_on(next) {
            Ok(events) => Ok(Some(events?).filter(|events| !events.is_empty())),
            Err(_) => Ok(Some(Vec::new())),
        }
    }

    /// Says that a private message is handled. The server forgets it when all before it are handled, too.
    pub fn acknowledge(&self, offset: u64) {
        if let Ok(queue) = self.queue.get() {
            queue.acknowledge(offset);
        }
    }

    /// A newer token for the same user: the server is told at once, without an interruption.
    pub fn set_token(&self, token: String) {
        if let Ok(queue) = self.queue.get() {
            queue.set_token(token);
        }
    }

    /// Ends listening. Who waits for an event gets None at once. Returns when the server knows of everything that was
    /// acknowledged, after 3 seconds at the latest: without a connection, one is tried for 2 seconds. Closing what is closed does nothing.
    pub fn close(&self) {
        // In a process that was forked there is nothing to close.
        if let (Ok(queue), Ok(runtime)) = (self.queue.get(), shared()) {
            queue.close();
            runtime.block_on(queue.end_of_task());
        }
    }
}

fn close(queue: &Own<Arc<Queue>>) {
    if let Ok(queue) = queue.get() {
        queue.close();
    }
}

fn count(most: u32) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}
