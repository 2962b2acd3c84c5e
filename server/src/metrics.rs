//! What is counted, for `/metrics` and `SHOW STATUS`. One set of counters for each shard, so that no cache line is shared.

use std::sync::OnceLock;

use cometql_engine::ShardId;
use cometql_engine::effects::Counted;
use cometql_engine::ids::MAX_SHARDS;
use cometql_engine::shard::inspect::Totals;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

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

/// All counters of the node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: [IntCounterVec; EVENTS.len()],
    /// A shard's counters, looked up once.
    shards: Box<[OnceLock<[IntCounter; EVENTS.len()]>]>,
    log_ins: IntCounterVec,
    statements: IntCounterVec,
    closed: IntCounterVec,
    state: IntGaugeVec,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new_custom(Some("cometql".into()), None)
            .expect("a registry with a valid prefix");
        let counter = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])
                .expect("names of counters are valid");
            let registered = registry.register(Box::new(counter.clone()));
            registered.expect("names of counters differ");
            counter
        };
        let events = EVENTS.map(|(_, name, help)| counter(&format!("{name}_total"), help, "shard"));
        let state = IntGaugeVec::new(Opts::new("now", "What there is now."), &["what"])
            .expect("names of gauges are valid");
        let log_ins = counter(
            "log_ins_total",
            "Log-ins of backends and administrators.",
            "result",
        );
        let statements = counter("statements_total", "Statements, by kind.", "kind");
        let closed = counter(
            "closed_total",
            "Browser connections closed, by close code.",
            "code",
        );
        let registered = registry.register(Box::new(state.clone()));
        registered.expect("names of gauges differ");
        Self {
            registry,
            events,
            shards: (0..MAX_SHARDS).map(|_| OnceLock::new()).collect(),
            log_ins,
            statements,
            closed,
            state,
        }
    }
}

impl Metrics {
    /// Counts for a shard.
    pub fn count(&self, shard: ShardId, event: Counted, times: u64) {
        let counters = self.shards[usize::from(shard.0)].get_or_init(|| {
            let label = shard.0.to_string();
            std::array::from_fn(|at| self.events[at].with_label_values(&[label.as_str()]))
        });
        counters[place(event)].inc_by(times);
    }

    /// Counts a log-in at the MySQL port, at `POST /sql` or at the console.
    pub fn log_in(&self, succeeded: bool) {
        let result = if succeeded { "ok" } else { "failed" };
        self.log_ins.with_label_values(&[result]).inc();
    }

    /// Counts a statement; `kind` is its first word, like `insert`.
    pub fn statement(&self, kind: &'static str) {
        self.statements.with_label_values(&[kind]).inc();
    }

    /// Counts a browser connection that the server closed.
    pub fn closed(&self, code: u16) {
        self.closed.with_label_values(&[code.to_string()]).inc();
    }

    /// How often an event happened, on all shards, for `SHOW STATUS`.
    #[must_use]
    pub fn total(&self, event: Counted) -> u64 {
        let counters = self.shards.iter().filter_map(OnceLock::get);
        counters.map(|counters| counters[place(event)].get()).sum()
    }

    /// The text for Prometheus.
    #[must_use]
    pub fn render(&self, totals: Totals) -> String {
        let resident = resident_bytes().unwrap_or(0);
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        for (what, number) in [
            ("connections", totals.connections),
            ("subscriptions", totals.subscriptions),
            ("channels", totals.channels),
            ("users_online", totals.users_online),
            ("resident_bytes", resident),
            ("open_files", files),
        ] {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.state.with_label_values(&[what]).set(number);
        }
        let mut text = format!(
            "# HELP cometql_build_info The version that runs.\n# TYPE cometql_build_info gauge\n\
             cometql_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        );
        // A metric that can't be written is left out rather than all of them.
        _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }
}

fn place(event: Counted) -> usize {
    match event {
        Counted::Publications => 0,
        Counted::Deliveries => 1,
        Counted::InboxMessages => 2,
        Counted::Refusals => 3,
        Counted::Recovered => 4,
        Counted::NotRecovered => 5,
    }
}

/// Memory of the process, from `VmRSS` in kB (proc(5)).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_its_counter() {
        for (at, (event, _, _)) in EVENTS.into_iter().enumerate() {
            assert_eq!(place(event), at);
        }
        let metrics = Metrics::default();
        metrics.count(ShardId(0), Counted::Deliveries, 5);
        metrics.count(ShardId(255), Counted::Deliveries, 2);
        metrics.log_in(false);
        metrics.statement("insert");
        metrics.closed(4001);
        assert_eq!(metrics.total(Counted::Deliveries), 7);
        assert_eq!(metrics.total(Counted::Publications), 0);
        let totals = Totals {
            connections: 3,
            ..Totals::default()
        };
        let text = metrics.render(totals);
        for line in [
            "cometql_deliveries_total{shard=\"255\"} 2",
            "cometql_log_ins_total{result=\"failed\"} 1",
            "cometql_statements_total{kind=\"insert\"} 1",
            "cometql_closed_total{code=\"4001\"} 1",
            "cometql_now{what=\"connections\"} 3",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("what=\"resident_bytes\"} 0"), "{text}");
    }

    #[test]
    fn the_documentation_names_every_counter() {
        let page = include_str!("../../docs-site/operating/metrics.md");
        for (_, name, _) in EVENTS {
            assert!(page.contains(&format!("`cometql_{name}_total`")), "{name}");
        }
    }
}
