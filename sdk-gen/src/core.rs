//! What both kinds of client share: hosts, time limit, fail-over, the one retry, and the end.

use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use mysql_async::{OptsBuilder, SslOpts};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Failure;
use crate::hosts::{Hosts, Lease};
use crate::link::Link;
use crate::listen::Listeners;
use crate::options::Settings;
use crate::small::lock;
use crate::tls;
use crate::{CometError, Options};

/// The server's port where none is given.
const PORT: u16 = 3307;
/// The longest packet that MySQL knows: the server says itself how much it takes. Given, so that connecting does not ask for it.
const PACKET: usize = 1 << 30;
/// The server's idle time in seconds, which ours is always below. Given for the same reason.
const IDLE: usize = 28_800;

/// After such a silence the system asks whether the other side of a connection is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How soon an answer is asked for again that lacked the part of a node.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// A client.
pub(crate) struct Core {
    hosts: Hosts,
    settings: Settings,
    listeners: Listeners,
    closed: AtomicBool,
    closing: Notify,
}

/// Whether a call may be carried out again when nobody knows whether it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Twice is as good as once, even if the second time is over before the first one.
    Yes,
    /// The same, but for the first time coming last.
    IfBroken,
    /// Twice may be once too often.
    No,
}

/// One attempt of a call, with its arguments.
pub(crate) type Attempt<A, T> =
    for<'a> fn(&'a mut Link, &'a A) -> BoxFuture<'a, Result<T, Failure>>;

/// How far a call has come, for the error when its time is over.
#[derive(Default)]
struct Progress {
    /// A statement was sent.
    sent: AtomicBool,
    /// To this host, and its answer has not come.
    waits_for: Mutex<Option<usize>>,
    /// What was in the way.
    told: Mutex<String>,
    /// An answer that would do if no better one comes.
    answer: Mutex<Option<CometError>>,
}

impl Progress {
    fn sends(&self, at: usize) {
        self.sent.store(true, Ordering::Relaxed);
        *lock(&self.waits_for) = Some(at);
    }

    fn arrived(&self) {
        *lock(&self.waits_for) = None;
    }

    fn tells(&self, detail: String) {
        *lock(&self.told) = detail;
    }

    fn answered(&self, error: CometError) {
        *lock(&self.answer) = Some(error);
    }
}

impl Core {
    /// Reaches a host and logs in.
    pub(crate) async fn connect(
        hosts: Vec<String>,
        user: String,
        password: String,
        database: String,
        options: Options,
        background: Handle,
    ) -> Result<Self, CometError> {
        let settings = Settings::new(&options)?;
        let names = hosts.iter().map(|host| Ok(split(host)?.0.to_owned()));
        let names = names.collect::<Result<_, CometError>>()?;
        let listeners = Listeners::new(names, options.tls.clone(), &user, &database);
        let log_in = LogIn {
            user,
            password,
            database,
            tls: options.tls.as_ref().map(tls::options).transpose()?,
        };
        let hosts = hosts.iter().map(|host| log_in.at(host));
        let hosts: Vec<_> = hosts.collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            return Err(CometError::invalid("hosts must name at least one host"));
        }
        let core = Self {
            hosts: Hosts::new(hosts, settings, background),
            settings,
            listeners,
            closed: AtomicBool::new(false),
            closing: Notify::new(),
        };
        let first = tokio::time::timeout(settings.call, core.hosts.any()).await;
        let first = first.map_err(|_| {
            let detail = format!("no log-in within {} ms", settings.call.as_millis());
            let refusal = core.hosts.refusal();
            refusal.unwrap_or(CometError::Unreachable { detail })
        })?;
        first?.give_back();
        Ok(core)
    }

    /// When a call that begins now has to be over.
    pub(crate) fn due(&self) -> Instant {
        Instant::now() + self.settings.call
    }

    /// Carries out a part of a call on the best host, and once more if that is useful and does no harm.
    pub(crate) async fn run<A: Sync, T>(
        &self,
        due: Instant,
        again: Again,
        arguments: &A,
        call: Attempt<A, T>,
    ) -> Result<T, CometError> {
        let mut closing = pin!(self.closing.notified());
        // From here on the notification is not missed; before, the flag is seen.
        closing.as_mut().enable();
        if self.closed.load(Ordering::Acquire) {
            return Err(CometError::Closed);
        }
        let progress = Progress::default();
        let work = tokio::time::timeout_at(due, self.attempts(again, arguments, call, &progress));
        tokio::select! {
            biased;
            () = closing => Err(CometError::Closed),
            done = work => match done {
                Ok(done) => done,
                Err(_) => Err(self.too_late(&progress)),
            },
        }
    }

    async fn attempts<A: Sync, T>(
        &self,
        again: Again,
        arguments: &A,
        call: Attempt<A, T>,
        progress: &Progress,
    ) -> Result<T, CometError> {
        let mut may_repeat = again != Again::No;
        let mut avoid = None;
        // What is told if there is no second attempt although there should be one.
        let mut before = None;
        loop {
            let lease = self.hosts.best(avoid, &progress.told).await;
            let mut lease = match lease {
                Ok(lease) => lease,
                Err(CometError::Closed) => return Err(CometError::Closed),
                Err(error) => return Err(before.unwrap_or(error)),
            };
            let at = lease.at;
            progress.sends(at);
            let patient = !(may_repeat && again == Again::Yes);
            let done = self.answered(call(lease.link(), arguments), at, patient);
            let done = done.await;
            progress.arrived();
            let failure = match done {
                Ok(done) => {
                    lease.give_back();
                    return Ok(done);
                }
                Err(failure) => failure,
            };
            if let Failure::Incomplete(error) = failure {
                lease.give_back();
                progress.answered(error);
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            }
            avoid = Some(at);
            let useful = self.after(lease, &failure);
            let uncertain = matches!(failure, Failure::Broken(_) | Failure::Slow(_));
            let error = failure.told();
            if !(useful && may_repeat) {
                return Err(error);
            }
            may_repeat = false;
            progress.tells(error.to_string());
            before = uncertain.then_some(error);
        }
    }

    /// What comes of an attempt at this host. When another one is worth a try, who is patient goes on waiting, and others
    /// go elsewhere.
    async fn answered<T>(
        &self,
        mut attempt: BoxFuture<'_, Result<T, Failure>>,
        at: usize,
        patient: bool,
    ) -> Result<T, Failure> {
        if self.hosts.count() == 1 {
            return attempt.await;
        }
        let time = self.settings.call / 2;
        match tokio::time::timeout(time, &mut attempt).await {
            Ok(done) => done,
            Err(_) if patient => {
                self.hosts.failed(at, None);
                attempt.await
            }
            Err(_) => {
                let detail = format!("no answer within {} ms", time.as_millis());
                Err(Failure::Slow(detail))
            }
        }
    }

    /// What a failure means for the connection and its host; whether a second attempt can go better.
    fn after(&self, lease: Lease<'_>, failure: &Failure) -> bool {
        let at = lease.at;
        if failure.spares_connection() {
            lease.give_back();
        } else {
            drop(lease);
        }
        match failure {
            Failure::Answer(_) | Failure::LastAnswer(_) | Failure::Incomplete(_) => false,
            Failure::Busy(_) => self.hosts.count() > 1,
            Failure::Leaving(_) | Failure::Slow(_) => {
                self.hosts.failed(at, None);
                true
            }
            // Whether the host is to blame shows when somebody connects to it.
            Failure::Broken(_) => {
                self.hosts.suspect(at);
                true
            }
        }
    }

    fn too_late(&self, progress: &Progress) -> CometError {
        let waits_for = *lock(&progress.waits_for);
        match waits_for {
            Some(at) if self.hosts.count() > 1 => self.hosts.failed(at, None),
            Some(at) => self.hosts.suspect(at),
            None => {}
        }
        if let Some(error) = lock(&progress.answer).take() {
            return error;
        }
        let ms = self.settings.call.as_millis();
        let told = lock(&progress.told);
        if progress.sent.load(Ordering::Relaxed) {
            let detail = match told.as_str() {
                "" => format!("no answer within {ms} ms"),
                told => format!("no answer within {ms} ms; before that, {told}"),
            };
            return CometError::TimedOut { detail };
        }
        if let Some(refusal) = self.hosts.refusal() {
            return refusal;
        }
        if told.is_empty() {
            let detail = format!("all connections were in use for {ms} ms");
            return CometError::TimedOut { detail };
        }
        let detail = format!("not within {ms} ms; {told}");
        CometError::Unreachable { detail }
    }

    /// The subscriptions.
    pub(crate) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Closes at once; the good-byes are said in the background.
    pub(crate) fn close_now(&self) {
        self.hosts.background().spawn(self.close());
    }

    /// Ends all calls that are under way, and refuses all later ones, now. What it returns says good-bye.
    pub(crate) fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        self.closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
        let heard = self.listeners.close();
        let links = self.hosts.close();
        let farewell = join_all(links.into_iter().map(Link::close));
        let patience = self.settings.connect;
        async move {
            heard.await;
            // A server that does not take the good-bye sees the end of the connections all the same.
            _ = tokio::time::timeout(patience, farewell).await;
        }
    }
}

/// How to log in, wherever.
struct LogIn {
    user: String,
    password: String,
    database: String,
    tls: Option<SslOpts>,
}

impl LogIn {
    fn at(&self, host: &str) -> Result<(String, mysql_async::Opts), CometError> {
        let (name, port) = split(host)?;
        let builder = OptsBuilder::default()
            .ip_or_hostname(name)
            .tcp_port(port)
            .user(Some(&self.user))
            .pass(Some(&self.password))
            .db_name((!self.database.is_empty()).then_some(&self.database))
            .prefer_socket(false)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEP_ALIVE))
            .max_allowed_packet(Some(PACKET))
            .wait_timeout(Some(IDLE))
            // Statements are kept beside the connection, without parsing their text each time.
            .stmt_cache_size(0);
        let builder = match &self.tls {
            Some(tls) => builder.ssl_opts(tls.clone()),
            None => builder,
        };
        Ok((host.to_owned(), builder.into()))
    }
}

/// `host`, `host:port`, `[v6]:port` or a bare v6 address.
fn split(host: &str) -> Result<(&str, u16), CometError> {
    let bad = || CometError::invalid(format!("{host:?} is neither host nor host:port"));
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']').ok_or_else(bad)?;
            (
                name,
                rest.strip_prefix(':').or((!rest.is_empty()).then_some("?")),
            )
        }
        None => match host.split_once(':') {
            Some((_, rest)) if rest.contains(':') => (host, None),
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(bad());
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|&port| port > 0).ok_or_else(bad)?,
        None => PORT,
    };
    Ok((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: Option<(&str, u16)>) {
        assert_eq!(split(host).ok(), expected, "{host}");
    }

    #[test]
    fn hosts() {
        check("a", Some(("a", 3307)));
        check("a.example:1", Some(("a.example", 1)));
        check("127.0.0.1:65535", Some(("127.0.0.1", 65535)));
        check("::1", Some(("::1", 3307)));
        check("[::1]", Some(("::1", 3307)));
        check("[::1]:5", Some(("::1", 5)));
        for bad in [
            "", ":1", "a:", "a:0", "a:65536", "a:x", "[::1", "[::1]x", "a b",
        ] {
            check(bad, None);
        }
    }
}
