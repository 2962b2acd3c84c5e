//! What a client can be told when it connects: the records and their limits.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::CometError;

/// How a client behaves. Everything has a default.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Options {
    /// TLS to the servers. None = no TLS: for servers on this machine or in a network that is yours alone.
    #[uniffi(default = None)]
    pub tls: Option<Tls>,
    /// How long a call may take with all that belongs to it, fail-over included, in milliseconds: 1 to 3,600,000.
    #[uniffi(default = 10_000)]
    pub call_timeout_ms: u64,
    /// How long one host may take to connect and log in, in milliseconds, before the next one is tried: 1 to 60,000. A server
    /// that is there gets 6 seconds more for its answer: it lets a wrong key wait.
    #[uniffi(default = 3_000)]
    pub connect_timeout_ms: u64,
    /// Most connections to each host: 1 to 1,000. When all are in use, calls wait for one.
    #[uniffi(default = 10)]
    pub max_connections: u32,
    /// A connection that was idle for so many milliseconds is checked before it is used: 0 to 3,600,000; 0 = always.
    #[uniffi(default = 5_000)]
    pub idle_check_ms: u64,
    /// A connection that was idle for so many milliseconds is closed: 1 to 28,800,000.
    #[uniffi(default = 300_000)]
    pub idle_close_ms: u64,
    /// For how long a host that failed is left alone, in milliseconds, if another one is there: 1 to 60,000. Doubled with each
    /// failure, up to `back_off_max_ms`; the actual time is by chance between half of it and all of it.
    #[uniffi(default = 100)]
    pub back_off_min_ms: u64,
    /// The longest time for which a failed host is left alone, in milliseconds: `back_off_min_ms` to 600,000.
    #[uniffi(default = 10_000)]
    pub back_off_max_ms: u64,
    /// false: the first host of the list that works is used, so the order is the order of preference. true: the client shuffles
    /// the list when it connects, so that many clients load all hosts evenly.
    #[uniffi(default = false)]
    pub spread: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: None,
            call_timeout_ms: 10_000,
            connect_timeout_ms: 3_000,
            max_connections: 10,
            idle_check_ms: 5_000,
            idle_close_ms: 300_000,
            back_off_min_ms: 100,
            back_off_max_ms: 10_000,
            spread: false,
        }
    }
}

/// TLS. The server's certificate is always verified, with its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, uniffi::Record)]
pub struct Tls {
    /// A PEM file with the certificates of those who may have signed the server's certificate. None = whom the system trusts.
    #[uniffi(default = None)]
    pub ca_file: Option<String>,
    /// The name that must be in the certificate. None = the host as it is named in the list of hosts.
    #[uniffi(default = None)]
    pub server_name: Option<String>,
}

/// The options, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) call: Duration,
    pub(crate) connect: Duration,
    pub(crate) connections: usize,
    pub(crate) idle_check: Duration,
    pub(crate) idle_close: Duration,
    pub(crate) back_off_min: Duration,
    pub(crate) back_off_max: Duration,
    pub(crate) spread: bool,
}

impl Settings {
    /// All but TLS.
    pub(crate) fn new(options: &Options) -> Result<Self, CometError> {
        let least = options.back_off_min_ms;
        let connections = u64::from(options.max_connections);
        let connections = within("max_connections", connections, 1..=1_000)?;
        Ok(Self {
            call: time("call_timeout_ms", options.call_timeout_ms, 1..=3_600_000)?,
            connect: time("connect_timeout_ms", options.connect_timeout_ms, 1..=60_000)?,
            connections: usize::try_from(connections).unwrap_or(1_000),
            idle_check: time("idle_check_ms", options.idle_check_ms, 0..=3_600_000)?,
            idle_close: time("idle_close_ms", options.idle_close_ms, 1..=28_800_000)?,
            back_off_min: time("back_off_min_ms", least, 1..=60_000)?,
            back_off_max: time("back_off_max_ms", options.back_off_max_ms, least..=600_000)?,
            spread: options.spread,
        })
    }
}

fn time(name: &str, ms: u64, allowed: RangeInclusive<u64>) -> Result<Duration, CometError> {
    within(name, ms, allowed).map(Duration::from_millis)
}

/// The number, if it is in its range.
pub(crate) fn within(
    name: &str,
    number: u64,
    allowed: RangeInclusive<u64>,
) -> Result<u64, CometError> {
    if allowed.contains(&number) {
        return Ok(number);
    }
    let (least, most) = allowed.into_inner();
    let detail = format!("{name} must be {least} to {most}, not {number}");
    Err(CometError::invalid(detail))
}
