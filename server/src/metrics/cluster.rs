//! What a member of a cluster counts. A node of its own has none of these.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use crate::cluster::StreamKind;

/// Bounds of the histograms, in seconds: a leader in the same room answers within a millisecond, an election takes 4 to 7 s.
const BOUNDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0,
];

/// The counters of a member.
#[derive(Debug)]
pub struct OfCluster {
    /// Publications and private messages that this node gave to the log or to other nodes.
    pub sent: IntCounter,
    /// Those that came from the log or from other nodes.
    pub received: IntCounter,
    /// Times that something had to be fetched that did not come by itself.
    pub catch_ups: IntCounter,
    /// Times that the log's quorum was lost.
    pub quorum_lost: IntCounter,
    /// 1 while the connection to NATS is there.
    pub connected: IntGauge,
    /// Channels and inboxes that this node follows.
    pub followed: IntGauge,
    /// When all that is followed was last compared with the log, unix seconds.
    pub reconciled: IntGauge,
    /// Times that the connection to NATS was lost.
    pub disconnects: IntCounter,
    /// Times that messages from NATS came faster than they could be taken.
    pub overruns: IntCounter,
    /// Publications that were delivered live because the log did not take them.
    pub lossy: IntCounter,
    /// Times that a member did not answer a question in time.
    pub unanswered: IntCounter,
    /// Requests to the log under way.
    pub waiting: IntGauge,
    /// Changes of tables that the cluster has and this node has not.
    pub tables_behind: IntGauge,
    lost: IntGaugeVec,
    append: Histogram,
    arrival: Histogram,
}

impl Default for OfCluster {
    fn default() -> Self {
        let counter =
            |name, help| IntCounter::new(name, help).expect("names of counters are valid");
        let gauge = |name, help| IntGauge::new(name, help).expect("names of gauges are valid");
        Self {
            sent: counter(
                "cluster_sent_total",
                "Publications and private messages given to the cluster's log or to other nodes.",
            ),
            received: counter(
                "cluster_received_total",
                "Publications and private messages that came from the cluster's log or from other nodes.",
            ),
            catch_ups: counter(
                "cluster_catch_ups_total",
                "Times that something had to be fetched from the cluster's log that did not come by itself.",
            ),
            quorum_lost: counter(
                "cluster_quorum_lost_total",
                "Times that the quorum of one of the cluster's logs was lost.",
            ),
            connected: gauge(
                "cluster_connected",
                "1 while the connection to NATS is there.",
            ),
            followed: gauge(
                "cluster_followed",
                "Channels and inboxes that this node follows.",
            ),
            reconciled: gauge(
                "cluster_reconciled_timestamp_seconds",
                "When all that is followed was last compared with the cluster's log, unix time.",
            ),
            disconnects: counter(
                "cluster_disconnects_total",
                "Times that the connection to NATS was lost.",
            ),
            overruns: counter(
                "cluster_overruns_total",
                "Times that messages from NATS came faster than they could be taken: some were dropped, and fetched from the log.",
            ),
            lossy: counter(
                "cluster_lossy_total",
                "Publications that were delivered live because the cluster's log did not take them.",
            ),
            unanswered: counter(
                "cluster_unanswered_total",
                "Times that a member did not answer in time what a statement asked of all.",
            ),
            waiting: gauge(
                "cluster_waiting",
                "Requests to the cluster's log under way.",
            ),
            tables_behind: gauge(
                "cluster_tables_behind",
                "Changes of tables that the cluster's log has and this node has not.",
            ),
            lost: lost(),
            append: histogram(
                "cluster_append_seconds",
                "How long the cluster's log took to acknowledge what it was given.",
            ),
            arrival: histogram(
                "cluster_arrival_seconds",
                "How long after their publication publications and private messages came here from the cluster's log, by the clocks of both nodes.",
            ),
        }
    }
}

fn lost() -> IntGaugeVec {
    let help = "1 while the quorum of one of the cluster's logs is lost.";
    let gauges = IntGaugeVec::new(Opts::new("cluster_log_lost", help), &["log"]);
    let gauges = gauges.expect("names of gauges are valid");
    for kind in StreamKind::ALL {
        gauges.with_label_values(&[label(kind)]).set(0);
    }
    gauges
}

fn label(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Windows => "windows",
        StreamKind::History => "history",
        StreamKind::Inbox => "inbox",
        StreamKind::State => "tables",
    }
}

fn histogram(name: &str, help: &str) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(BOUNDS.to_vec());
    Histogram::with_opts(options).expect("names of histograms are valid, bounds rise")
}

impl OfCluster {
    /// Notes whether the quorum of a log is lost.
    pub fn set_lost(&self, kind: StreamKind, lost: bool) {
        let gauge = self.lost.with_label_values(&[label(kind)]);
        gauge.set(i64::from(lost));
    }

    /// Notes how long the log took to acknowledge.
    pub fn acknowledged(&self, after: Duration) {
        self.append.observe(after.as_secs_f64());
    }

    /// Notes how long after its publication something came.
    pub fn arrived(&self, after: Duration) {
        self.arrival.observe(after.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &Registry) {
        let counters = [
            &self.sent,
            &self.received,
            &self.catch_ups,
            &self.quorum_lost,
            &self.disconnects,
            &self.overruns,
            &self.lossy,
            &self.unanswered,
        ];
        let gauges = [
            &self.connected,
            &self.followed,
            &self.reconciled,
            &self.waiting,
            &self.tables_behind,
        ];
        let counters = counters.map(|one| Box::new(one.clone()) as Box<dyn Collector>);
        let gauges = gauges.map(|one| Box::new(one.clone()) as Box<dyn Collector>);
        let others: [Box<dyn Collector>; 3] = [
            Box::new(self.lost.clone()),
            Box::new(self.append.clone()),
            Box::new(self.arrival.clone()),
        ];
        for one in counters.into_iter().chain(gauges).chain(others) {
            registry.register(one).expect("names of counters differ");
        }
    }
}
