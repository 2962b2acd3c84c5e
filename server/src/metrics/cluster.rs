//! What a member of a cluster counts. A node of its own has none of these.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, Registry};

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
        }
    }
}

impl OfCluster {
    pub(super) fn register(&self, registry: &Registry) {
        let counters = [
            &self.sent,
            &self.received,
            &self.catch_ups,
            &self.quorum_lost,
        ];
        let counters = counters.map(|one| Box::new(one.clone()) as Box<dyn Collector>);
        let gauges = [&self.connected, &self.followed, &self.reconciled];
        let gauges = gauges.map(|one| Box::new(one.clone()) as Box<dyn Collector>);
        for one in counters.into_iter().chain(gauges) {
            registry.register(one).expect("names of counters differ");
        }
    }
}
