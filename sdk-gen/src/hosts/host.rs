//! One host: whether it works, the connections to it, and how many of them there may be.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use mysql_async::Opts;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::task::AbortHandle;

use crate::CometError;
use crate::link::Link;
use crate::options::Settings;
use crate::small::{lock, random};

/// How long a server that is there may take to answer a log-in: it answers a wrong key after 5 seconds at most, and never
/// lets a right one wait.
const THROTTLED: Duration = Duration::from_secs(6);

/// One host and the connections to it.
pub(super) struct Host {
    pub(super) name: String,
    opts: Opts,
    settings: Settings,
    pub(super) places: Semaphore,
    down: AtomicBool,
    /// Tells of each failure who waits for a place.
    failed: watch::Sender<()>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// The one used last is the last one.
    idle: Vec<Link>,
    /// How often it failed since it last worked.
    failures: u32,
    /// Not before then is it asked again.
    pub(super) until: Option<Instant>,
    /// Who asks it again.
    pub(super) asks: Option<AbortHandle>,
    /// How it refused the log-in, if it did so when it was last asked.
    pub(super) refused: Option<CometError>,
    /// Places that were taken away because the host has no connections for them.
    lacking: usize,
}

/// A connection in use. It goes back only if it is said to be sound: who is dropped meanwhile takes it along.
pub(crate) struct Lease<'a> {
    host: &'a Host,
    link: Option<Link>,
    /// Where in the list its host is.
    pub(crate) at: usize,
    place: SemaphorePermit<'a>,
}

/// No connection to this host.
pub(super) enum NoLink {
    /// It does not let this log-in in.
    Refused(CometError),
    /// It can't be reached, or can't do it now.
    Down(String),
    /// It has no connection left.
    Full(String),
    /// It failed while a place was waited for.
    Moved,
    /// The client is closed.
    Closed,
}

impl Host {
    /// Nothing is known of it.
    pub(super) fn new(name: String, opts: Opts, settings: Settings) -> Self {
        Self {
            name,
            opts,
            settings,
            places: Semaphore::new(settings.connections),
            down: AtomicBool::new(false),
            failed: watch::Sender::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether it can be used, as far as anybody knows.
    pub(super) fn is_up(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }

    /// A connection, as soon as there may be one more. `up` is what `is_up` said when it was chosen. Connections that were idle
    /// for `check` are checked.
    pub(super) async fn lease(
        &self,
        at: usize,
        up: bool,
        check: Duration,
        back: &Notify,
    ) -> Result<Lease<'_>, NoLink> {
        loop {
            let mut lease = Lease {
                host: self,
                link: None,
                at,
                place: self.place(up).await?,
            };
            if let Some(mut link) = self.idle() {
                let connect = self.settings.connect;
                if link.idle_since.elapsed() < check || link.answers(connect).await {
                    lease.link = Some(link);
                    return Ok(lease);
                }
                // What happened to it has happened to the others, as likely as not.
                self.forget_idle();
            }
            match self.open().await {
                Ok(link) => {
                    self.works(back);
                    lease.link = Some(link);
                    return Ok(lease);
                }
                // One of the others comes back.
                Err(NoLink::Full(_)) if self.has_others() => lease.place.forget(),
                Err(none) => return Err(none),
            }
        }
    }

    /// A place, and with it the right to one connection.
    async fn place(&self, up: bool) -> Result<SemaphorePermit<'_>, NoLink> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let mut failed = self.failed.subscribe();
        if up && !self.is_up() {
            return Err(NoLink::Moved);
        }
        tokio::select! {
            biased;
            // The sender lives as long as this host.
            _ = failed.changed() => Err(NoLink::Moved),
            place = self.places.acquire() => place.map_err(|_| NoLink::Closed),
        }
    }

    /// Whether more than one place is in use, or a connection waits. Then one place is taken away.
    fn has_others(&self) -> bool {
        let mut state = self.state();
        let places = self.settings.connections - state.lacking;
        let used = places.saturating_sub(self.places.available_permits());
        let others = places > 1 && (used > 1 || !state.idle.is_empty());
        state.lacking += usize::from(others);
        others
    }

    /// A connection that nobody uses, and that was used not too long ago.
    fn idle(&self) -> Option<Link> {
        let mut state = self.state();
        let stale = state.stale(self.settings.idle_close);
        let link = state.idle.pop();
        drop(state);
        drop(stale);
        link
    }

    /// Closes what was not used for long, and tries whether there may be all connections again.
    pub(super) fn tidy(&self) {
        let mut state = self.state();
        let stale = state.stale(self.settings.idle_close);
        self.places.add_permits(std::mem::take(&mut state.lacking));
        drop(state);
        drop(stale);
    }

    /// Forgets the connections that nobody uses.
    pub(super) fn forget_idle(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        drop(idle);
    }

    /// Gives no places any more; returns the connections that nobody uses.
    pub(super) fn close(&self) -> Vec<Link> {
        self.places.close();
        let mut state = self.state();
        if let Some(asks) = state.asks.take() {
            asks.abort();
        }
        std::mem::take(&mut state.idle)
    }

    /// Connects and logs in. Who says nothing for the time that a host has is given up; who greets others may let a log-in wait
    /// for longer.
    pub(super) async fn open(&self) -> Result<Link, NoLink> {
        let half = self.settings.connect / 2;
        let mut log_in = pin!(Link::open(self.opts.clone()));
        let mut done = tokio::time::timeout(half, &mut log_in).await.ok();
        if done.is_none() {
            done = tokio::select! {
                biased;
                done = &mut log_in => Some(done),
                greets = tokio::time::timeout(half, self.greets()) => match greets {
                    Ok(true) => tokio::time::timeout(THROTTLED, log_in).await.ok(),
                    _ => None,
                },
            };
        }
        let detail = |detail: &dyn std::fmt::Display| format!("{}: {detail}", self.name);
        let Some(done) = done else {
            let ms = self.settings.connect.as_millis();
            let late = format!("no log-in within {ms} ms");
            return Err(NoLink::Down(detail(&late)));
        };
        done.map_err(|failure| match failure.told() {
            error @ (CometError::AccessDenied { .. } | CometError::Refused { code: 15, .. }) => {
                NoLink::Refused(error)
            }
            error @ CometError::Refused {
                code: 1040 | 1203, ..
            } => NoLink::Full(detail(&error)),
            CometError::Interrupted { detail: broken } => NoLink::Down(detail(&broken)),
            error => NoLink::Down(detail(&error)),
        })
    }

    /// Whether a server is there: it speaks first.
    async fn greets(&self) -> bool {
        let address = (self.opts.ip_or_hostname(), self.opts.tcp_port());
        match TcpStream::connect(address).await {
            Ok(mut stream) => stream.read_u8().await.is_ok(),
            Err(_) => false,
        }
    }

    pub(super) fn works(&self, back: &Notify) {
        let mut state = self.state();
        state.failures = 0;
        state.until = None;
        state.refused = None;
        if let Some(asks) = state.asks.take() {
            asks.abort();
        }
        // Who is woken may ask for a connection at once, in this thread.
        drop(state);
        if self.down.swap(false, Ordering::Relaxed) {
            back.notify_waiters();
        }
    }

    /// Leaves it alone for a while and forgets its connections.
    pub(super) fn fails(&self, refused: Option<CometError>) {
        let mut state = self.state();
        self.down.store(true, Ordering::Relaxed);
        state.refused = refused;
        let idle = std::mem::take(&mut state.idle);
        self.places.add_permits(std::mem::take(&mut state.lacking));
        let now = Instant::now();
        // Several calls that fail at once are one failure.
        if state.until.is_none_or(|until| until <= now) {
            let pause = back_off(&self.settings, state.failures, random());
            state.failures = state.failures.saturating_add(1);
            state.until = Some(now + pause);
        }
        drop(state);
        drop(idle);
        self.failed.send_replace(());
    }
}

impl State {
    /// Takes out the connections that nobody used for so long.
    fn stale(&mut self, close: Duration) -> Vec<Link> {
        let stale = self.idle.iter();
        let stale = stale.take_while(|link| link.idle_since.elapsed() >= close);
        let stale = stale.count();
        self.idle.drain(..stale).collect()
    }
}

impl Lease<'_> {
    /// The connection.
    pub(crate) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("only given back at the end")
    }

    /// The connection can be used by others.
    pub(crate) fn give_back(mut self) {
        if let Some(mut link) = self.link.take()
            && !link.ends
            && !self.host.places.is_closed()
        {
            link.idle_since = Instant::now();
            self.host.state().idle.push(link);
        }
    }
}

/// The pause after so many failures: doubled each time, and by chance between half of that and all of it.
fn back_off(settings: &Settings, failures: u32, random: u64) -> Duration {
    let doubled = settings.back_off_min.saturating_mul(1 << failures.min(20));
    let most = doubled.min(settings.back_off_max);
    let half = most / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX - 1);
    half + Duration::from_nanos(random % (nanos + 1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Context;

    use super::*;
    use crate::Options;
    use crate::testing::when_woken;

    #[track_caller]
    fn check(failures: u32, random: u64, expected: &str) {
        let settings = Settings::new(&Options::default()).unwrap();
        let pause = back_off(&settings, failures, random);
        assert_eq!(format!("{pause:?}"), expected);
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        check(0, 0, "50ms");
        check(0, 50_000_000, "100ms");
        check(0, 50_000_001, "50ms");
        check(1, 0, "100ms");
        check(6, 0, "3.2s");
        check(7, 0, "5s");
        check(u32::MAX, 5_000_000_000, "10s");
    }

    #[track_caller]
    fn wakes(waits: impl Future<Output = ()>, host: &Arc<Host>, wakes: impl Fn()) {
        let free = Arc::new(AtomicBool::new(false));
        let woken = (Arc::clone(host), Arc::clone(&free));
        let waker = when_woken(move || {
            let (host, free) = &woken;
            free.store(host.state.try_lock().is_ok(), Ordering::Relaxed);
        });
        let mut waits = pin!(waits);
        let mut context = Context::from_waker(&waker);
        assert!(waits.as_mut().poll(&mut context).is_pending());
        wakes();
        assert!(free.load(Ordering::Relaxed));
        assert!(waits.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn who_is_woken_may_come_back_at_once() {
        let settings = Settings::new(&Options::default()).unwrap();
        let host = Arc::new(Host::new(String::new(), Opts::default(), settings));
        let back = Notify::new();
        host.fails(None);
        wakes(back.notified(), &host, || host.works(&back));
        let places = settings.connections.try_into().unwrap();
        let taken = host.places.try_acquire_many(places).unwrap();
        let waits = async {
            assert!(matches!(host.place(true).await, Err(NoLink::Moved)));
        };
        wakes(waits, &host, || host.fails(None));
        drop(taken);
    }
}
