//! What is counted, for `/metrics` and `SHOW STATUS`. One set of counters for each shard, so that no cache line is shared.
//!
//! Counting is a relaxed atomic addition: every counter is looked up once, when the node or its shard starts.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use cometql_engine::ShardId;
use cometql_engine::effects::Counted;
use cometql_engine::ids::MAX_SHARDS;
use cometql_protocol::CloseCode;
use prometheus::{Counter, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

mod cluster;
mod labels;
mod now;
mod rates;
mod shards;

pub use cluster::OfCluster;
pub use labels::{Carrier, Door, Dropped, Full, Refused, StatementKind};
pub use now::Now;
pub use rates::{Rates, SAMPLE_EVERY, Work};

use labels::{DOORS, FULL, KINDS, REFUSED};
use shards::{ByShard, OfShard};

/// By what came of it.
type Results = [IntCounter; 2];

/// All counters of the node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    by_shard: ByShard,
    shards: Box<[OnceLock<OfShard>]>,
    log_ins: [Results; DOORS.len()],
    log_in_wait: Counter,
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
            log_in_wait: seconds(
                &registry,
                "log_in_wait_seconds_total",
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

fn seconds(registry: &Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::new(name, help).expect("names of counters are valid");
    let registered = registry.register(Box::new(counter.clone()));
    registered.expect("names of counters differ");
    counter
}

impl Metrics {
    /// For a node with so many shards: all that is counted is there from the beginning, with 0, so that the first time that
    /// something happens is seen as a rise.
    #[must_use]
    pub fn of_node(shards: usize) -> Self {
        let metrics = Self::default();
        for shard in (0..=u8::MAX).take(shards) {
            metrics.of(ShardId(shard));
        }
        metrics
    }

    /// Tells what a member of a cluster counts, too.
    pub fn join_cluster(&self, counters: &OfCluster) {
        counters.register(&self.registry);
    }

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
        self.log_in_wait.inc_by(wait.as_secs_f64());
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
