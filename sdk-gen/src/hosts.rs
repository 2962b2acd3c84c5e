//! The hosts of a client: which of them work, which one a call gets a connection to.
//!
//! Knows nothing of calls. A host that failed is left alone for a while and asked again in the background; calls try it
//! themselves only when no other host is left.

mod host;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mysql_async::Opts;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::CometError;
use crate::link::Link;
use crate::options::Settings;
use crate::small::{lock, random};
pub(crate) use host::Lease;
use host::{Host, NoLink};

/// How often connections that nobody uses are looked at, at least.
const TIDY: Duration = Duration::from_secs(10);

/// The hosts, in the order of preference.
pub(crate) struct Hosts {
    hosts: Arc<[Arc<Host>]>,
    settings: Settings,
    /// Where hosts that failed are asked again.
    background: Handle,
    /// Some host works again.
    back: Arc<Notify>,
    tidies: AbortHandle,
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
        let hosts = hosts.into_iter();
        let hosts = hosts.map(|(name, opts)| Arc::new(Host::new(name, opts, settings)));
        let hosts: Arc<[_]> = hosts.collect();
        let tidies = background.spawn(tidy(Arc::clone(&hosts), settings.idle_close.min(TIDY)));
        Self {
            hosts,
            settings,
            tidies: tidies.abort_handle(),
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
                Err(detail) => told.push(detail?),
            }
        }
        let detail = told.join("; ");
        Err(self.refusal().unwrap_or(CometError::Unreachable { detail }))
    }

    /// A connection to the best host, waiting for one however long it takes, unless all refuse the log-in. `avoid` is where the
    /// call failed before: that host comes last, and as it was the last failure that a call may have, no connection is used
    /// unchecked. `told` tells what is waited for.
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
                    Err(detail) => *lock(told) = detail?,
                }
                if self.all_refuse() {
                    break;
                }
            }
            if self.all_refuse()
                && let Some(refusal) = self.refusal()
            {
                return Err(refusal);
            }
            let due = self.hosts.iter().filter_map(|host| host.state().until);
            let wait = due.min().map_or(Duration::ZERO, |due| {
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
        let works = |at: &usize| self.hosts[*at].is_up();
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

    /// A connection to this host, or why there is none; the inner error is for no other host to mend.
    async fn lease(
        &self,
        at: usize,
        check: Duration,
    ) -> Result<Lease<'_>, Result<String, CometError>> {
        let host = &self.hosts[at];
        let none = match host.lease(at, host.is_up(), check, &self.back).await {
            Ok(lease) => return Ok(lease),
            Err(none) => none,
        };
        Err(match none {
            NoLink::Closed => Err(CometError::Closed),
            NoLink::Moved => Ok(format!("{}: failed", host.name)),
            NoLink::Down(detail) | NoLink::Full(detail) => {
                self.failed(at, None);
                Ok(detail)
            }
            NoLink::Refused(error) => {
                let detail = format!("{}: {error}", host.name);
                self.failed(at, Some(error));
                Ok(detail)
            }
        })
    }

    fn all_refuse(&self) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.all(|host| host.state().refused.is_some())
    }

    /// How a host refused the log-in, if one did so when it was last asked.
    pub(crate) fn refusal(&self) -> Option<CometError> {
        let mut hosts = self.hosts.iter();
        hosts.find_map(|host| host.state().refused.clone())
    }

    /// Leaves a host alone for a while, forgets its connections, and has it asked again in the background. `refused` is how it
    /// refused the log-in, if that was it.
    pub(crate) fn failed(&self, at: usize, refused: Option<CometError>) {
        let host = &self.hosts[at];
        host.fails(refused);
        let mut state = host.state();
        if state.asks.is_none() {
            let again = ask_again(Arc::clone(host), Arc::clone(&self.back));
            state.asks = Some(self.background.spawn(again).abort_handle());
        }
    }

    /// Forgets the connections to a host that nobody uses: one of them broke.
    pub(crate) fn suspect(&self, at: usize) {
        self.hosts[at].forget_idle();
    }

    /// Has no connections any more and makes none.
    pub(crate) fn close(&self) -> Vec<Link> {
        self.tidies.abort();
        self.hosts.iter().flat_map(|host| host.close()).collect()
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

async fn ask_again(host: Arc<Host>, back: Arc<Notify>) {
    loop {
        let until = host.state().until;
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
        match host.open().await {
            Ok(link) => {
                link.close().await;
                host.works(&back);
                break;
            }
            Err(NoLink::Refused(error)) => host.fails(Some(error)),
            Err(_) => host.fails(None),
        }
    }
}

async fn tidy(hosts: Arc<[Arc<Host>]>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        hosts.iter().for_each(|host| host.tidy());
    }
}

fn shuffle<T>(items: &mut [T]) {
    for end in (1..items.len()).rev() {
        let chosen = usize::try_from(random()).unwrap_or(0) % (end + 1);
        items.swap(end, chosen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_loses_nothing() {
        let mut items = [1, 2, 3, 4, 5];
        shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4, 5]);
    }
}
