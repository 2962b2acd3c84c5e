//! What is not counted but looked at when somebody asks: the state of the shards, of the store and of the process.

use std::fmt::Write;
use std::time::Duration;

use cometql_engine::shard::inspect::Totals;

use crate::hub::{MemberRow, Waiting};
use crate::storage::{BOUNDS_US, Latencies, StoreStats};

/// The state of a node.
#[derive(Debug, Clone)]
pub struct Now {
    /// Of each shard.
    pub totals: Vec<Totals>,
    /// What waits for slow sockets, of each shard.
    pub waiting: Vec<Waiting>,
    /// Open MySQL connections, those logging in included.
    pub mysql_connections: usize,
    /// Bytes of large and prepared statements.
    pub statement_bytes: usize,
    /// Of the store.
    pub store: StoreStats,
    /// How long operations of the store took for each shard.
    pub store_waits: Vec<Latencies>,
    /// The nodes of the cluster, this one included; none without one.
    pub members: Vec<MemberRow>,
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// What is told of each shard: name, help and value.
type OfShard = (&'static str, &'static str, fn(&Totals, &Waiting) -> u64);

const OF_SHARD: [OfShard; 5] = [
    ("subscriptions", "Subscriptions.", |totals, _| {
        totals.subscriptions
    }),
    (
        "channels",
        "Channels with subscribers, counted on each shard.",
        |totals, _| totals.channels,
    ),
    (
        "users_online",
        "Logged-in users that have a connection, by their home.",
        |totals, _| totals.users_online,
    ),
    (
        "outbox_bytes",
        "Bytes that wait for sockets of browsers.",
        |_, waiting| waiting.bytes,
    ),
    (
        "outbox_connections",
        "Browser connections for which bytes wait.",
        |_, waiting| waiting.connections,
    ),
];

impl Now {
    /// In the words of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "# HELP cometql_build_info The version that runs.\n# TYPE cometql_build_info gauge\n\
             cometql_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        );
        // Writing to a String can't fail.
        for (name, help, value) in OF_SHARD {
            _ = writeln!(
                text,
                "# HELP cometql_{name} {help}\n# TYPE cometql_{name} gauge"
            );
            for (shard, (totals, waiting)) in self.totals.iter().zip(&self.waiting).enumerate() {
                let value = value(totals, waiting);
                _ = writeln!(text, "cometql_{name}{{shard=\"{shard}\"}} {value}");
            }
        }
        for (name, kind, help, value) in self.store().chain(process()) {
            _ = writeln!(
                text,
                "# HELP cometql_{name} {help}\n# TYPE cometql_{name} {kind}\ncometql_{name} {value}"
            );
        }
        self.latencies(&mut text);
        self.cluster(&mut text);
        text
    }

    /// Only of a member of a cluster.
    fn cluster(&self, text: &mut String) {
        if self.members.is_empty() {
            return;
        }
        _ = writeln!(
            text,
            "# HELP cometql_cluster_members Nodes of the cluster that this one hears, itself included.\n\
             # TYPE cometql_cluster_members gauge\ncometql_cluster_members {}\n\
             # HELP cometql_cluster_beat_age_seconds How long ago another node was heard.\n\
             # TYPE cometql_cluster_beat_age_seconds gauge",
            self.members.len()
        );
        for member in self.members.iter().filter(|member| !member.own) {
            let (name, age) = (&member.name, member.silent.as_secs_f64());
            let name = name.replace(['"', '\\', '\n'], "_");
            _ = writeln!(
                text,
                "cometql_cluster_beat_age_seconds{{node=\"{name}\"}} {age}"
            );
        }
    }

    fn latencies(&self, text: &mut String) {
        let name = "store_last_commit_seconds";
        let took = seconds(self.store.last_commit_us);
        _ = writeln!(
            text,
            "# HELP cometql_{name} How long the last transaction took.\n# TYPE cometql_{name} gauge\n\
             cometql_{name} {took}"
        );
        let name = "store_commit_seconds";
        let help = "How long transactions that changed something took.";
        histogram_head(text, name, help);
        histogram(text, name, "", &self.store.commit);
        let name = "store_operation_seconds";
        let help =
            "How long operations took, from the question to the answer, by the shard that asked.";
        histogram_head(text, name, help);
        for (shard, waits) in self.store_waits.iter().enumerate() {
            histogram(text, name, &format!("shard=\"{shard}\""), waits);
        }
        histogram(text, name, "shard=\"none\"", &self.store.operation);
    }

    fn store(&self) -> impl Iterator<Item = Row> {
        let store = &self.store;
        [
            row(
                "mysql_connections",
                GAUGE,
                "Open MySQL connections.",
                self.mysql_connections as u64,
            ),
            row(
                "statement_memory_bytes",
                GAUGE,
                "Bytes of large statements under way and of prepared ones.",
                self.statement_bytes as u64,
            ),
            row(
                "store_commits_total",
                COUNTER,
                "Transactions that changed something.",
                store.commits,
            ),
            row(
                "store_rows_total",
                COUNTER,
                "Rows that changed, bookkeeping included.",
                store.rows,
            ),
            row(
                "store_failures_total",
                COUNTER,
                "Operations of the store that failed.",
                store.failures,
            ),
            row(
                "store_waiting",
                GAUGE,
                "Operations that wait for the store.",
                store.waiting,
            ),
            row(
                "store_file_bytes",
                GAUGE,
                "Size of the store's file.",
                store.file_bytes,
            ),
            row(
                "store_log_bytes",
                GAUGE,
                "Size of the write-ahead log beside it.",
                store.log_bytes,
            ),
        ]
        .into_iter()
    }
}

/// Name, kind, help and value.
type Row = (&'static str, &'static str, &'static str, u64);

fn row(name: &'static str, kind: &'static str, help: &'static str, value: u64) -> Row {
    (name, kind, help, value)
}

/// Seconds are what Prometheus counts time in.
fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

fn histogram_head(text: &mut String, name: &str, help: &str) {
    _ = writeln!(
        text,
        "# HELP cometql_{name} {help}\n# TYPE cometql_{name} histogram"
    );
}

/// The samples of a histogram, for one value of its label or without one.
fn histogram(text: &mut String, name: &str, label: &str, told: &Latencies) {
    let (comma, braced) = match label {
        "" => ("", String::new()),
        _ => (",", format!("{{{label}}}")),
    };
    let mut sum = 0;
    for (at, count) in told.counts.iter().enumerate() {
        sum += count;
        let bound = BOUNDS_US.get(at);
        let bound = bound.map_or("+Inf".to_owned(), |us| seconds(*us).to_string());
        _ = writeln!(
            text,
            "cometql_{name}_bucket{{{label}{comma}le=\"{bound}\"}} {sum}"
        );
    }
    let total = seconds(told.sum_us);
    _ = writeln!(
        text,
        "cometql_{name}_sum{braced} {total}\ncometql_{name}_count{braced} {sum}"
    );
}

fn process() -> impl Iterator<Item = Row> {
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    [
        row(
            "resident_bytes",
            GAUGE,
            "Memory of the process.",
            resident_bytes().unwrap_or(0),
        ),
        row(
            "open_files",
            GAUGE,
            "Open files of the process, sockets included.",
            files,
        ),
    ]
    .into_iter()
}

/// Memory of the process, from `VmRSS` in kB (proc(5)).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}
