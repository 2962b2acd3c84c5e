//! The counters of which every shard has its own, so that no cache line is shared.

use cometql_engine::effects::Counted;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::counters;
use super::labels::{CARRIERS, EVENTS, LIMITED, REASONS};

/// The families of which every shard has its own.
#[derive(Debug)]
pub(super) struct ByShard {
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
pub(super) struct OfShard {
    pub(super) events: [IntCounter; EVENTS.len()],
    pub(super) connections: [IntGauge; CARRIERS.len()],
    pub(super) opened: [IntCounter; CARRIERS.len()],
    pub(super) reads: IntCounter,
    pub(super) dropped_frames: [IntCounter; REASONS.len()],
    pub(super) dropped_bytes: [IntCounter; REASONS.len()],
    pub(super) conflated: IntCounter,
    pub(super) relieved: IntCounter,
    pub(super) limited: [IntCounter; LIMITED.len()],
}

impl ByShard {
    pub(super) fn new(registry: &Registry) -> Self {
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

    pub(super) fn of(&self, shard: usize) -> OfShard {
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
    pub(super) fn counter(&self, event: Counted) -> &IntCounter {
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
