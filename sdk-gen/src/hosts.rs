//! The hosts of a client: which of them work, which connections to them there are, which one a call gets.
//!
//! Knows nothing of calls. A host that failed is left alone for a while and asked again in the background; calls try it
//! themselves only when no other host is left.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql_async::Opts;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;

use crate::CometError;
use crate::error::Failure;
use crate::link::Link;
use crate::options::Settings;

/// The hosts, in the order of preference.
pub(crate) struct Hosts {
    hosts: Vec<Arc<Host>>,
    settings: Settings,
    /// Where hosts that failed are asked again.
    background: Handle,
    /// Some host works again.
    back: Arc<Notify>,
}

/// One host and the connections to it.
struct Host {
    name: String,
    opts: Opts,
    places: Semaphore,
    down: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one used last is the last one.
    idle: Vec<Link>,
    /// How often it failed since it last worked.
    failures: u32,
    /// Not before then is it asked again.
    until: Option<Instant>,
    /// Who asks it again.
    asks: Option<AbortHandle>,
}

/// A connection in use. It goes back only if it is said to be sound: who is dropped meanwhile takes it along.
pub(crate) struct Lease<'a> {
    host: &'a Arc<Host>,
    link: Option<Link>,
    /// Where in the list its host is.
    pub(crate) at: usize,
    _place: SemaphorePermit<'a>,
}

/// No connection to this host.
enum NoLink {
    /// The answer holds for every host.
    Refused(CometError),
    /// Another host may do.
    Down(String),
}

impl Hosts {
    /// Knows the hosts and has tried none.
    pub(crate) fn new(
        mut hosts: Vec<(String, Opts)>,
        settings: Settings,
        background: Handle,
    ) -> Self {
        if settings.spread {
            shuffle(&mut hosts);
        }
        let host = |(name, opts)| {
            Arc::new(Host {
                name,
                opts,
                places: Semaphore::new(settings.connections),
                down: AtomicBool::new(false),
                state: Mutex::default(),
            })
        };
        Self {
            hosts: hosts.into_iter().map(host).collect(),
            settings,
            background,
            back: Arc::default(),
        }
    }

    /// A connection to whichever host can be reached, trying each at most once.
    pub(crate) async fn any(&self) -> Result<Lease<'_>, CometError> {
        let mut told = Vec::new();
        for at in 0..self.hosts.len() {
            match self.lease(at, self.settings.idle_check).await {
                Ok(lease) => return Ok(lease),
                Err(NoLink::Refused(error)) => return Err(error),
                Err(NoLink::Down(detail)) => told.push(detail),
            }
        }
        let detail = told.join("; ");
        Err(CometError::Unreachable { detail })
    }

    /// A connection to the best host, waiting for one however long it takes. `avoid` is where the call failed before: that host
    /// comes last, and as it was the last failure that a call may have, no connection is used unchecked. `told` tells what
    /// is waited for.
    pub(crate) async fn best(
        &self,
        avoid: Option<usize>,
        told: &Mutex<String>,
    ) -> Result<Lease<'_>, CometError> {
        let unchecked = self.settings.idle_check;
        let check = avoid.map_or(unchecked, |_| Duration::ZERO);
        loop {
            let back = self.back.notified();
            while let Some(at) = self.choose(avoid) {
                match self.lease(at, check).await {
                    Ok(lease) => return Ok(lease),
                    Err(NoLink::Refused(error)) => return Err(error),
                    Err(NoLink::Down(detail)) => *lock(told) = detail,
                }
            }
            let due = self
                .hosts
                .iter()
                .filter_map(|host| host.state().until)
                .min();
            let wait = due.map_or(Duration::ZERO, |due| {
                due.saturating_duration_since(Instant::now())
            });
            tokio::select! {
                () = back => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The first host that works, else the first one that may be tried again.
    fn choose(&self, avoid: Option<usize>) -> Option<usize> {
        let works = |at: &usize| !self.hosts[*at].down.load(Ordering::Relaxed);
        let other = |at: &usize| Some(*at) != avoid;
        let all = || 0..self.hosts.len();
        let chosen = all().find(|at| works(at) && other(at));
        let chosen = chosen.or_else(|| all().find(works));
        chosen.or_else(|| {
            let now = Instant::now();
            let due = |at: &usize| self.hosts[*at].state().until.is_none_or(|due| due <= now);
            all().find(due)
        })
    }

    /// A connection to this host. Those that were idle for `check` are checked.
    async fn lease(&self, at: usize, check: Duration) -> Result<Lease<'_>, NoLink> {
        let host = &self.hosts[at];
        let place = host.places.acquire().await;
        let place = place.map_err(|_| NoLink::Refused(CometError::Closed))?;
        let mut lease = Lease {
            host,
            link: None,
            at,
            _place: place,
        };
        if let Some(mut link) = host.idle(self.settings.idle_close) {
            if link.idle_since.elapsed() < check || link.answers(self.settings.connect).await {
                lease.link = Some(link);
                return Ok(lease);
            }
            // What happened to it has happened to the others, as likely as not.
            host.state().idle.clear();
        }
        match host.open(self.settings.connect).await {
            Ok(link) => {
                host.works(&self.back);
                lease.link = Some(link);
                Ok(lease)
            }
            Err(NoLink::Down(detail)) => {
                self.failed(at);
                Err(NoLink::Down(detail))
            }
            Err(refused) => Err(refused),
        }
    }

    /// Leaves a host alone for a while, forgets its connections, and has it asked again in the background.
    pub(crate) fn failed(&self, at: usize) {
        let host = &self.hosts[at];
        let mut state = host.fails(&self.settings);
        if state.asks.is_none() {
            let again = ask_again(Arc::clone(host), self.settings, Arc::clone(&self.back));
            state.asks = Some(self.background.spawn(again).abort_handle());
        }
    }

    /// Forgets the connections to a host that nobody uses: one of them broke or was not answered in time.
    pub(crate) fn suspect(&self, at: usize) {
        self.hosts[at].state().idle.clear();
    }

    /// Has no connections any more and makes none.
    pub(crate) fn close(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for host in &self.hosts {
            host.places.close();
            let mut state = host.state();
            links.append(&mut state.idle);
            if let Some(asks) = state.asks.take() {
                asks.abort();
            }
        }
        links
    }

    /// Where goes on what nobody waits for.
    pub(crate) fn background(&self) -> &Handle {
        &self.background
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.hosts.len()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.close();
    }
}

async fn ask_again(host: Arc<Host>, settings: Settings, back: Arc<Notify>) {
    loop {
        let until = host.state().until;
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
        match host.open(settings.connect).await {
            Ok(link) => {
                link.close().await;
                host.works(&back);
                break;
            }
            // Calls will be told so by the host itself.
            Err(NoLink::Refused(_)) => {
                host.works(&back);
                break;
            }
            Err(NoLink::Down(_)) => drop(host.fails(&settings)),
        }
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A connection that nobody uses, and that was used not too long ago.
    fn idle(&self, close: Duration) -> Option<Link> {
        let mut state = self.state();
        let stale = state.idle.iter();
        let stale = stale
            .take_while(|link| link.idle_since.elapsed() >= close)
            .count();
        drop(state.idle.drain(..stale));
        state.idle.pop()
    }

    async fn open(&self, time: Duration) -> Result<Link, NoLink> {
        let down = |detail: String| NoLink::Down(format!("{}: {detail}", self.name));
        match tokio::time::timeout(time, Link::open(self.opts.clone())).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(Failure::Answer(error) | Failure::LastAnswer(error))) => {
                Err(NoLink::Refused(error))
            }
            Ok(Err(Failure::Broken(detail))) => Err(down(detail)),
            Ok(Err(failure)) => Err(down(failure.told().to_string())),
            Err(_) => Err(down(format!("no log-in within {} ms", time.as_millis()))),
        }
    }

    fn works(&self, back: &Notify) {
        let mut state = self.state();
        state.failures = 0;
        state.until = None;
        if let Some(asks) = state.asks.take() {
            asks.abort();
        }
        // Who is woken may ask for a connection at once, in this thread.
        drop(state);
        if self.down.swap(false, Ordering::Relaxed) {
            back.notify_waiters();
        }
    }

    fn fails(&self, settings: &Settings) -> MutexGuard<'_, State> {
        let mut state = self.state();
        self.down.store(true, Ordering::Relaxed);
        state.idle.clear();
        let now = Instant::now();
        // Several calls that fail at once are one failure.
        if state.until.is_none_or(|until| until <= now) {
            let pause = back_off(settings, state.failures, random());
            state.failures = state.failures.saturating_add(1);
            state.until = Some(now + pause);
        }
        state
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

fn shuffle<T>(items: &mut [T]) {
    for end in (1..items.len()).rev() {
        let chosen = usize::try_from(random()).unwrap_or(0) % (end + 1);
        items.swap(end, chosen);
    }
}

/// The standard library's hash maps draw their seeds from the system: that is random enough for pauses and orders.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Locks what a panic leaves whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is changed in one step each time, so a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn who_is_woken_may_come_back_at_once() {
        let host = Host {
            name: String::new(),
            opts: Opts::default(),
            places: Semaphore::new(1),
            down: AtomicBool::new(true),
            state: Mutex::default(),
        };
        let (host, back) = (Arc::new(host), Notify::new());
        let free = Arc::new(AtomicBool::new(false));
        let woken = (Arc::clone(&host), Arc::clone(&free));
        let waker = when_woken(move || {
            let (host, free) = &woken;
            free.store(host.state.try_lock().is_ok(), Ordering::Relaxed);
        });
        let mut waits = std::pin::pin!(back.notified());
        let mut context = Context::from_waker(&waker);
        assert!(waits.as_mut().poll(&mut context).is_pending());
        host.works(&back);
        assert!(free.load(Ordering::Relaxed));
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut items = [1, 2, 3, 4, 5];
        shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4, 5]);
    }
}
