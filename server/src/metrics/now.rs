//! What is not counted but looked at when somebody asks: the state of the shards, of the store and of the process.

use std::fmt::Write;

use cometql_engine::shard::inspect::Totals;

use crate::hub::Waiting;
use crate::storage::StoreStats;

/// The state of a node.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Of the shards.
    pub totals: Totals,
    /// What waits for slow sockets.
    pub waiting: Waiting,
    /// Open MySQL connections, those logging in included.
    pub mysql_connections: usize,
    /// Bytes of large and prepared statements.
    pub statement_bytes: usize,
    /// Of the store.
    pub store: StoreStats,
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

impl Now {
    /// In the words of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "# HELP cometql_build_info The version that runs.\n# TYPE cometql_build_info gauge\n\
             cometql_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        );
        let process = process();
        for (name, kind, help, value) in self.shards().chain(self.store()).chain(process) {
            // Writing to a String can't fail.
            _ = writeln!(
                text,
                "# HELP cometql_{name} {help}\n# TYPE cometql_{name} {kind}\ncometql_{name} {value}"
            );
        }
        text
    }

    fn shards(&self) -> impl Iterator<Item = Row> {
        let totals = &self.totals;
        [
            row(
                "subscriptions",
                GAUGE,
                "Subscriptions.",
                totals.subscriptions,
            ),
            row(
                "channels",
                GAUGE,
                "Channels with subscribers, counted on each shard.",
                totals.channels,
            ),
            row(
                "users_online",
                GAUGE,
                "Logged-in users that are online.",
                totals.users_online,
            ),
            row(
                "outbox_bytes",
                GAUGE,
                "Bytes that wait for sockets of browsers.",
                self.waiting.bytes,
            ),
            row(
                "outbox_connections",
                GAUGE,
                "Browser connections for which bytes wait.",
                self.waiting.connections,
            ),
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
        ]
        .into_iter()
    }

    fn store(&self) -> impl Iterator<Item = Row> {
        let store = &self.store;
        [
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
                "store_last_commit_microseconds",
                GAUGE,
                "How long the last transaction took.",
                store.last_commit_us,
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
