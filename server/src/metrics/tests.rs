use super::labels::{EVENTS, LIMITED};
use super::*;
use crate::cluster::NodeId;
use crate::hub::{MemberRow, Waiting};
use crate::storage::{Latencies, Store};
use cometql_engine::shard::inspect::Totals;

fn text(metrics: &Metrics) -> String {
    metrics.render(&Now {
        totals: vec![Totals {
            subscriptions: 3,
            ..Totals::default()
        }],
        waiting: vec![Waiting {
            connections: 1,
            bytes: 77,
        }],
        mysql_connections: 2,
        statement_bytes: 9,
        store: Store::in_memory().stats(),
        store_waits: vec![Latencies::default()],
        members: vec![member("n1", true), member("n\"2", false)],
    })
}

fn member(name: &str, own: bool) -> MemberRow {
    MemberRow {
        node: NodeId::told(name),
        name: name.to_owned(),
        number: 1,
        version: String::new(),
        http: String::new(),
        mysql: String::new(),
        started_ms: 0,
        draining: false,
        silent: Duration::from_millis(500),
        own,
    }
}

#[test]
fn members_of_a_cluster() {
    let text = text(&Metrics::default());
    assert!(text.contains("cometql_cluster_members 2\n"), "{text}");
    let other = "cometql_cluster_beat_age_seconds{node=\"n_2\"} 0.5\n";
    assert!(text.contains(other), "{text}");
    assert!(!text.contains("node=\"n1\""), "{text}");
}

#[test]
fn every_event_has_its_counter() {
    let metrics = Metrics::default();
    for (times, (event, name, _)) in (100..).zip(EVENTS) {
        metrics.count(ShardId(9), event, times);
        let row = format!("cometql_{name}_total{{shard=\"9\"}} {times}\n");
        assert!(text(&metrics).contains(&row), "{row}");
    }
    for (times, (by, label)) in (200..).zip(LIMITED) {
        metrics.count(ShardId(9), Counted::RateLimited(by), times);
        let row = format!("cometql_rate_limited_total{{by=\"{label}\",shard=\"9\"}} {times}\n");
        assert!(text(&metrics).contains(&row), "{row}");
    }
    let metrics = Metrics::default();
    metrics.count(ShardId(0), Counted::Deliveries, 5);
    metrics.count(ShardId(255), Counted::Deliveries, 2);
    metrics.opened(ShardId(0), Carrier::WebSocket);
    metrics.opened(ShardId(0), Carrier::Events);
    metrics.gone(ShardId(0), Carrier::Events, true);
    metrics.dropped(ShardId(0), Dropped::SlowConsumer, 4, 1000);
    metrics.conflated(ShardId(0), 3);
    metrics.relieved(ShardId(1));
    metrics.log_in(Door::Mysql, false);
    metrics.log_in_waits(Duration::from_millis(300));
    metrics.statement(StatementKind::Unread, false);
    metrics.closed(CloseCode::SlowConsumer);
    metrics.mysql_refused(Refused::Tenant);
    metrics.browser_refused(Full::Node);
    metrics.read(ShardId(0));
    metrics.mysql_command();
    metrics.mysql_left();
    // One read, one command, two opened connections, one log-in.
    assert_eq!(metrics.network_events(), 5);
    assert_eq!((metrics.work().opened, metrics.work().ended), (2, 1));
    assert_eq!(metrics.total(Counted::Deliveries), 7);
    assert_eq!(metrics.total(Counted::Publications), 0);
    let text = text(&metrics);
    for line in [
        "cometql_deliveries_total{shard=\"255\"} 2",
        "cometql_connections{kind=\"websocket\",shard=\"0\"} 1",
        "cometql_connections{kind=\"sse\",shard=\"0\"} 0",
        "cometql_opened_total{kind=\"sse\",shard=\"0\"} 1",
        "cometql_dropped_frames_total{reason=\"slow_consumer\",shard=\"0\"} 4",
        "cometql_dropped_bytes_total{reason=\"slow_consumer\",shard=\"0\"} 1000",
        "cometql_conflated_total{shard=\"0\"} 3",
        "cometql_relieved_total{shard=\"1\"} 1",
        "cometql_log_ins_total{door=\"mysql\",result=\"failed\"} 1",
        "cometql_log_ins_total{door=\"browser\",result=\"ok\"} 0",
        "cometql_log_in_wait_seconds_total 0.3",
        "cometql_statements_total{kind=\"unread\",result=\"failed\"} 1",
        "cometql_closed_total{code=\"4001\"} 1",
        "cometql_closed_total{code=\"client\"} 1",
        "cometql_mysql_refused_total{reason=\"tenant\"} 1",
        "cometql_browser_refused_total{reason=\"node\"} 1",
        "cometql_mysql_commands_total 1",
        "cometql_mysql_left_total 1",
        "cometql_reads_total{shard=\"0\"} 1",
        "cometql_mysql_connections 2",
        "cometql_subscriptions{shard=\"0\"} 3",
        "cometql_outbox_bytes{shard=\"0\"} 77",
        "cometql_statement_memory_bytes 9",
        "cometql_store_waiting 0",
        "cometql_store_commit_seconds_bucket{le=\"0.0001\"} 0",
        "cometql_store_operation_seconds_count{shard=\"none\"} 0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
    }
    assert!(!text.contains("cometql_resident_bytes 0"), "{text}");
}

#[test]
fn the_documentation_names_every_metric_and_no_other() {
    let metrics = Metrics::default();
    metrics.count(ShardId(0), Counted::Deliveries, 0);
    metrics.join_cluster(&OfCluster::default());
    let page = include_str!("../../../docs-site/operating/metrics.md");
    let text = text(&metrics);
    let names = |text: &'static str| {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| row.split('`').next())
    };
    let known: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    for name in &known {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    for name in names(page) {
        assert!(known.contains(&name), "{name} is no metric");
    }
}

/// What nobody needs to see who looks for a fault: it is in a sum or a quantile, or of use for capacity only.
const NOT_SHOWN: [&str; 6] = [
    "cometql_build_info",
    "cometql_reads_total",
    "cometql_mysql_commands_total",
    "cometql_mysql_left_total",
    "cometql_log_in_wait_seconds_total",
    "cometql_store_last_commit_seconds",
];

#[test]
fn the_dashboard_asks_for_metrics_that_exist_and_for_all_that_matter() {
    let metrics = Metrics::default();
    metrics.count(ShardId(0), Counted::Deliveries, 0);
    metrics.join_cluster(&OfCluster::default());
    let text = text(&metrics);
    let dashboard = include_str!("../../../docs-site/operating/grafana/cometql.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions = targets.map(|target| target["expr"].as_str().unwrap());
    let expressions: Vec<_> = expressions.collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for expression in &expressions {
        let words = expression.split(|c| !is_name(c));
        let names: Vec<_> = words.filter(|word| word.starts_with("cometql_")).collect();
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            let sample = text
                .lines()
                .any(|line| line.split(['{', ' ']).next() == Some(name));
            assert!(sample, "{name} is no metric: {expression}");
        }
    }
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in kinds.filter_map(|kind| kind.split(' ').next()) {
        let shown = expressions.iter().any(|all| all.contains(name));
        assert_ne!(shown, NOT_SHOWN.contains(&name), "{name}");
    }
}
