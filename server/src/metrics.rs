//! What is counted, for `/metrics` and `SHOW STATUS`. One set of counters for each shard, so that no cache line is shared.
//!
//! Counting is a relaxed atomic addition: every counter is looked up once, when the node or its shard starts.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use cometql_engine::ShardId;
use cometql_engine::effects::{Counted, Limited};
use cometql_engine::ids::MAX_SHARDS;
use cometql_protocol::CloseCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

mod now;
mod rates;

pub use now::Now;
pub use rates::{Rates, SAMPLE_EVERY, Work};

/// Every event of the engine with the name and help of its counter.
const EVENTS: [(Counted, &str, &str); 6] = [
    (
        Counted::Publications,
        "publications",
        "Publications that got their place in a channel.",
    ),
    (
        Counted::Deliveries,
        "deliveries",
        "Publications handed to connections.",
    ),
    (
        Counted::InboxMessages,
        "inbox_messages",
        "Private messages sent.",
    ),
    (
        Counted::Refusals,
        "refusals",
        "Requests of browsers that were refused.",
    ),
    (
        Counted::Recovered,
        "recovered",
        "Subscriptions that got all that they had missed.",
    ),
    (
        Counted::NotRecovered,
        "not_recovered",
        "Subscriptions that may have missed something, and were told.",
    ),
];

/// Every [`Limited`] in its order, with the label of its counter.
const LIMITED: [(Limited, &str); 6] = [
    (Limited::Connection, "connection"),
    (Limited::User, "user"),
    (Limited::Channel, "channel"),
    (Limited::Tenant, "tenant"),
    (Limited::BackendChannel, "backend_channel"),
    (Limited::BackendTenant, "backend_tenant"),
];

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Our protocol over WebSocket.
    WebSocket,
    /// Our protocol over server-sent events.
    Events,
    /// The original's protocol.
    Legacy,
}

/// The names of [`Carrier`] in its order, as in `SHOW CONNECTIONS`.
const CARRIERS: [&str; 3] = ["websocket", "sse", "legacy"];

/// Why frames were thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Their client was too slow.
    SlowConsumer,
    /// Their client went while they waited.
    Gone,
}

/// The names of [`Dropped`] in its order.
const REASONS: [&str; 2] = ["slow_consumer", "gone"];

/// Where somebody logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The MySQL port.
    Mysql,
    /// `POST /sql` and the console.
    Admin,
    /// A browser with a token or a hash.
    Browser,
}

/// The names of [`Door`] in its order.
const DOORS: [&str; 3] = ["mysql", "admin", "browser"];

/// Why a MySQL client was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are as many logged-in connections as may be.
    Connections,
    /// Its tenant has as many as one may.
    Tenant,
    /// It had not logged in when others came, and there were too many such.
    Strangers,
}

/// The names of [`Refused`] in its order.
const REFUSED: [&str; 3] = ["connections", "tenant", "strangers"];

/// Why a browser got no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The node has as many connections as may be.
    Node,
    /// The tenant has as many as one may.
    Tenant,
}

/// The names of [`Full`] in its order.
const FULL: [&str; 2] = ["node", "tenant"];

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// INSERT and REPLACE.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// SELECT.
    Select,
    /// SHOW and DESCRIBE.
    Show,
    /// All others.
    Other,
    /// It could not be read.
    Unread,
}

/// The names of [`StatementKind`] in its order.
const KINDS: [&str; 7] = [
    "insert", "update", "delete", "select", "show", "other", "unread",
];

/// By what came of it.
type Results = [IntCounter; 2];

/// All counters of the node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    by_shard: ByShard,
    shards: Box<[OnceLock<OfShard>]>,
    log_ins: [Results; DOORS.len()],
    log_in_wait_ms: IntCounter,
    statements: [Results; KINDS.len()],
    closed: [IntCounter; CloseCode::ALL.len()],
    left: IntCounter,
    mysql_refused: [IntCounter; REFUSED.len()],
    browser_refused: [IntCounter; FULL.len()],
    mysql_commands: IntCounter,
    mysql_left: IntCounter,
    started: Instant,
    rates: Mutex<rates::Samples>,
}

/// The families of which every shard has its own.
#[derive(Debug)]
struct ByShard {
    events: [IntCounterVec; EVENTS.len()],
    connections: IntGaugeVec,
    opened: IntCounterVec,
    reads: IntCounterVec,
    dropped_frames: IntCounterVec,
    dropped_bytes: IntCounterVec,
    conflated: IntCounterVec,
    relieved: IntCounterVec,
    limited: IntCounterVec,
}

/// The counters of one shard.
#[derive(Debug)]
struct OfShard {
    events: [IntCounter; EVENTS.len()],
    connections: [IntGauge; CARRIERS.len()],
    opened: [IntCounter; CARRIERS.len()],
    reads: IntCounter,
    dropped_frames: [IntCounter; REASONS.len()],
    dropped_bytes: [IntCounter; REASONS.len()],
    conflated: IntCounter,
    relieved: IntCounter,
    limited: [IntCounter; LIMITED.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new_custom(Some("cometql".into()), None)
            .expect("a registry with a valid prefix");
        let log_ins = counters(
            &registry,
            "log_ins_total",
            "Log-ins, by door and result.",
            &["door", "result"],
        );
        let statements = counters(
            &registry,
            "statements_total",
            "Statements, by kind and result.",
            &["kind", "result"],
        );
        let closed = counters(
            &registry,
            "closed_total",
            "Browser connections that ended, by close code; client = the client went.",
            &["code"],
        );
        let refused = counters(
            &registry,
            "mysql_refused_total",
            "MySQL connections that were one too many, by reason.",
            &["reason"],
        );
        let full = counters(
            &registry,
            "browser_refused_total",
            "Sessions of browsers that were one too many, by reason.",
            &["reason"],
        );
        let single =
            |name: &str, help: &str| counters(&registry, name, help, &[]).with_label_values(NONE);
        let of = |family: &IntCounterVec, name: &str| {
            ["ok", "failed"].map(|result| family.with_label_values(&[name, result]))
        };
        Self {
            by_shard: ByShard::new(&registry),
            shards: (0..MAX_SHARDS).map(|_| OnceLock::new()).collect(),
            log_ins: DOORS.map(|door| of(&log_ins, door)),
            log_in_wait_ms: single(
                "log_in_wait_milliseconds_total",
                "How long wrong keys had to wait for their answer, in all.",
            ),
            statements: KINDS.map(|kind| of(&statements, kind)),
            closed: CloseCode::ALL
                .map(|code| closed.with_label_values(&[code.code().to_string().as_str()])),
            left: closed.with_label_values(&["client"]),
            browser_refused: FULL.map(|reason| full.with_label_values(&[reason])),
            mysql_refused: REFUSED.map(|reason| refused.with_label_values(&[reason])),
            mysql_commands: single(
                "mysql_commands_total",
                "Commands that came from MySQL clients.",
            ),
            mysql_left: single(
                "mysql_left_total",
                "Logged-in MySQL connections that ended.",
            ),
            started: Instant::now(),
            rates: Mutex::default(),
            registry,
        }
    }
}

/// No labels.
const NONE: &[&str] = &[];

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let family =
        IntCounterVec::new(Opts::new(name, help), labels).expect("names of counters are valid");
    let registered = registry.register(Box::new(family.clone()));
    registered.expect("names of counters differ");
    family
}

impl ByShard {
    fn new(registry: &Registry) -> Self {
        let options = Opts::new("connections", "Open browser connections.");
        let connections = IntGaugeVec::new(options, &["shard", "kind"]);
        let connections = connections.expect("names of gauges are valid");
        let registered = registry.register(Box::new(connections.clone()));
        registered.expect("names of gauges differ");
        let of_shard = |name: &str, help: &str| counters(registry, name, help, &["shard"]);
        Self {
            events: EVENTS.map(|(_, name, help)| of_shard(&format!("{name}_total"), help)),
            connections,
            opened: counters(
                registry,
                "opened_total",
                "Browser connections that were opened.",
                &["shard", "kind"],
            ),
            reads: of_shard(
                "reads_total",
                "Times that bytes came from an open WebSocket.",
            ),
            dropped_frames: counters(
                registry,
                "dropped_frames_total",
                "Frames thrown away, by reason.",
                &["shard", "reason"],
            ),
            dropped_bytes: counters(
                registry,
                "dropped_bytes_total",
                "Bytes of those frames.",
                &["shard", "reason"],
            ),
            conflated: of_shard(
                "conflated_total",
                "Publications that a newer one replaced before a slow client got them.",
            ),
            relieved: of_shard(
                "relieved_total",
                "Slow clients that were closed because too much waited on the node.",
            ),
            limited: counters(
                registry,
                "rate_limited_total",
                "Requests and commands that were refused because somebody went too fast.",
                &["shard", "by"],
            ),
        }
    }

    fn of(&self, shard: usize) -> OfShard {
        let shard = shard.to_string();
        let shard = shard.as_str();
        OfShard {
            events: std::array::from_fn(|at| self.events[at].with_label_values(&[shard])),
            connections: CARRIERS.map(|kind| self.connections.with_label_values(&[shard, kind])),
            opened: CARRIERS.map(|kind| self.opened.with_label_values(&[shard, kind])),
            reads: self.reads.with_label_values(&[shard]),
            dropped_frames: REASONS.map(|why| self.dropped_frames.with_label_values(&[shard, why])),
            dropped_bytes: REASONS.map(|why| self.dropped_bytes.with_label_values(&[shard, why])),
            conflated: self.conflated.with_label_values(&[shard]),
            relieved: self.relieved.with_label_values(&[shard]),
            limited: LIMITED.map(|(_, by)| self.limited.with_label_values(&[shard, by])),
        }
    }
}

impl OfShard {
    fn counter(&self, event: Counted) -> &IntCounter {
        match event {
            Counted::Publications => &self.events[0],
            Counted::Deliveries => &self.events[1],
            Counted::InboxMessages => &self.events[2],
            Counted::Refusals => &self.events[3],
            Counted::Recovered => &self.events[4],
            Counted::NotRecovered => &self.events[5],
            Counted::RateLimited(by) => &self.limited[by as usize],
        }
    }
}

impl Metrics {
    fn of(&self, shard: ShardId) -> &OfShard {
        let shard = usize::from(shard.0);
        self.shards[shard].get_or_init(|| self.by_shard.of(shard))
    }

    /// Counts for a shard.
    pub fn count(&self, shard: ShardId, event: Counted, times: u64) {
        self.of(shard).counter(event).inc_by(times);
    }

    /// Counts a browser connection that was opened.
    pub fn opened(&self, shard: ShardId, carrier: Carrier) {
        let of = self.of(shard);
        of.opened[carrier as usize].inc();
        of.connections[carrier as usize].inc();
    }

    /// Counts one open browser connection less; `left` = the server had not closed it.
    pub fn gone(&self, shard: ShardId, carrier: Carrier, left: bool) {
        self.of(shard).connections[carrier as usize].dec();
        if left {
            self.left.inc();
        }
    }

    /// Counts what a client did not get.
    pub fn dropped(&self, shard: ShardId, reason: Dropped, frames: usize, bytes: usize) {
        let of = self.of(shard);
        of.dropped_frames[reason as usize].inc_by(frames as u64);
        of.dropped_bytes[reason as usize].inc_by(bytes as u64);
    }

    /// Counts that bytes came from a browser's open connection.
    pub fn read(&self, shard: ShardId) {
        self.of(shard).reads.inc();
    }

    /// Counts publications that newer ones replaced.
    pub fn conflated(&self, shard: ShardId, publications: usize) {
        self.of(shard).conflated.inc_by(publications as u64);
    }

    /// Counts a connection that was closed to make room for others.
    pub fn relieved(&self, shard: ShardId) {
        self.of(shard).relieved.inc();
    }

    /// Counts a browser connection that the server closed.
    pub fn closed(&self, code: CloseCode) {
        if let Some(at) = CloseCode::ALL.iter().position(|known| *known == code) {
            self.closed[at].inc();
        }
    }

    /// Counts a log-in.
    pub fn log_in(&self, door: Door, succeeded: bool) {
        self.log_ins[door as usize][usize::from(!succeeded)].inc();
    }

    /// Counts the wait that a wrong key costs.
    pub fn log_in_waits(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.log_in_wait_ms.inc_by(wait);
    }

    /// Counts a statement.
    pub fn statement(&self, kind: StatementKind, succeeded: bool) {
        self.statements[kind as usize][usize::from(!succeeded)].inc();
    }

    /// Counts a MySQL connection that was one too many.
    pub fn mysql_refused(&self, why: Refused) {
        self.mysql_refused[why as usize].inc();
    }

    /// Counts a session of a browser that was one too many.
    pub fn browser_refused(&self, why: Full) {
        self.browser_refused[why as usize].inc();
    }

    /// Counts a command that came from a MySQL client.
    pub fn mysql_command(&self) {
        self.mysql_commands.inc();
    }

    /// Counts a logged-in MySQL connection that ended.
    pub fn mysql_left(&self) {
        self.mysql_left.inc();
    }

    /// Times that something came in from the network since the start: bytes from an open WebSocket, a command from a
    /// MySQL client, a new connection of either.
    #[must_use]
    pub fn network_events(&self) -> u64 {
        let counters = self.shards.iter().filter_map(OnceLock::get);
        let reads: u64 = counters.map(|of| of.reads.get()).sum();
        let log_ins: u64 = self.log_ins[Door::Mysql as usize]
            .iter()
            .map(IntCounter::get)
            .sum();
        reads + self.mysql_commands.get() + self.opened_total() + log_ins
    }

    /// What the node has done since the start, by what is shown per second.
    #[must_use]
    pub fn work(&self) -> Work {
        let open = self.shards.iter().filter_map(OnceLock::get);
        let open: i64 = open.flat_map(|of| &of.connections).map(IntGauge::get).sum();
        let opened = self.opened_total();
        Work {
            deliveries: self.total(Counted::Deliveries),
            opened,
            ended: opened.saturating_sub(u64::try_from(open).unwrap_or(0)),
            statements: self.statements_total(),
            log_ins: self.log_ins_total(Door::Mysql),
            log_outs: self.mysql_left.get(),
        }
    }

    /// Keeps what was counted so far, for [`Metrics::rates`]. To be called every [`SAMPLE_EVERY`].
    pub fn sample(&self) {
        let (at, work) = (self.started.elapsed(), self.work());
        self.samples().keep(at, work);
    }

    /// What the node did per second, of late.
    #[must_use]
    pub fn rates(&self) -> Rates {
        let (at, work) = (self.started.elapsed(), self.work());
        self.samples().rates(at, work)
    }

    fn samples(&self) -> std::sync::MutexGuard<'_, rates::Samples> {
        // Samples are whole whatever happened to who kept them.
        self.rates
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How often an event happened, on all shards, for `SHOW STATUS`.
    #[must_use]
    pub fn total(&self, event: Counted) -> u64 {
        let counters = self.shards.iter().filter_map(OnceLock::get);
        let counts = counters.map(|counters| counters.counter(event).get());
        counts.sum()
    }

    /// Browser connections that were opened, on all shards.
    #[must_use]
    pub fn opened_total(&self) -> u64 {
        let counters = self.shards.iter().filter_map(OnceLock::get);
        counters
            .flat_map(|of| &of.opened)
            .map(IntCounter::get)
            .sum()
    }

    /// Connections that were closed to make room for others, on all shards.
    #[must_use]
    pub fn relieved_total(&self) -> u64 {
        let counters = self.shards.iter().filter_map(OnceLock::get);
        counters.map(|of| of.relieved.get()).sum()
    }

    /// Statements of all kinds, refused ones included.
    #[must_use]
    pub fn statements_total(&self) -> u64 {
        self.statements.iter().flatten().map(IntCounter::get).sum()
    }

    /// Log-ins that succeeded at a door.
    #[must_use]
    pub fn log_ins_total(&self, door: Door) -> u64 {
        self.log_ins[door as usize][0].get()
    }

    /// The text for Prometheus.
    #[must_use]
    pub fn render(&self, now: &Now) -> String {
        let mut text = now.text();
        // A metric that can't be written is left out rather than all of them.
        _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }
}

#[cfg(test)]
mod tests;
