//! `/metrics` of a whole node: each thing is made to happen, and the numbers move as they should. Whatever is asked, the
//! text keeps to the format and the conventions of Prometheus.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cometql_engine::permission::{Conflate, Pattern, Rule, UserDataRule};
use cometql_engine::{Command, Draft, MessageId, Rules, StoreRequest};
use cometql_protocol::{EventName, TenantId, UserId};
use cometql_server::admin;
use cometql_server::app::AppSettings;
use cometql_server::storage::{Durability, Store};
use common::backend::{World, subscribe, try_connect};
use common::{Client, Events, http, publish, within};

/// Bytes of a large publication.
const SIZE: usize = 64 << 10;
/// So many of them are more than the server's socket buffer may grow to (`tcp_wmem`, 4 MiB) and an outbox.
const MANY: u64 = 128;

async fn start(change: impl FnOnce(&mut AppSettings)) -> World {
    World::start(|settings| {
        settings.limits.outbox_bytes = 512 << 10;
        settings.backends.admin = admin::Settings {
            address: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..admin::Settings::default()
        };
        change(settings);
    })
    .await
}

/// What `/metrics` said.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    async fn of(world: &World) -> Self {
        let answer = http(world.app.admin_address().unwrap(), "GET /metrics HTTP/1.1").await;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("content-type: text/plain; version=0.0.4;"),
            "{head}"
        );
        Self(read(text))
    }

    /// The sum of a metric's samples that have all these labels.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let wanted = |sample: &str| {
            let (of, rest) = sample.split_once('{').unwrap_or((sample, ""));
            of == name && labels.iter().all(|label| rest.contains(label))
        };
        let known: Vec<_> = self.0.iter().filter(|(key, _)| wanted(key)).collect();
        assert!(!known.is_empty(), "{name} {labels:?}");
        known.into_iter().map(|(_, value)| value).sum()
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, &[&str], f64)]) {
        for (name, labels, value) in expected {
            let told = self.sum(name, labels);
            assert!((told - value).abs() < 1e-9, "{name} {labels:?}: {told}");
        }
    }
}

/// Reads the text format, and asserts that the text is whole: each family told and typed before its samples, which stand
/// together; counters end in `_total` and nothing else does; base units; buckets add up.
fn read(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = ("", "");
    let mut helped = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
            assert!(families.insert(name), "{name} comes twice");
            helped = name;
        } else if let Some(told) = line.strip_prefix("# TYPE ") {
            (family, kind) = told.split_once(' ').unwrap();
            assert_eq!(family, helped, "without a help");
            check_name(family, kind);
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let suffixes: &[_] = match kind {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let belongs = |suffix: &&str| name.strip_suffix(*suffix) == Some(family);
            assert!(suffixes.iter().any(belongs), "{line}");
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(samples.insert(sample.to_owned(), value).is_none(), "{line}");
        }
    }
    check_buckets(&samples);
    samples
}

#[track_caller]
fn check_name(name: &str, kind: &str) {
    let known = ["counter", "gauge", "histogram"].contains(&kind);
    assert!(known, "{name} is a {kind}");
    assert!(name.starts_with("cometql_"), "{name}");
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    let other_units = ["milliseconds", "microseconds", "ms", "us", "kilobytes"];
    let is_one = |word| other_units.contains(&word);
    assert!(!name.split('_').any(is_one), "{name} is in no base unit");
    for suffix in ["_count", "_sum", "_bucket"] {
        assert!(!name.ends_with(suffix), "{name} looks like a part");
    }
}

/// Of each histogram, the counts of the buckets rise up to that of all.
#[track_caller]
fn check_buckets(samples: &BTreeMap<String, f64>) {
    let mut histograms: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (sample, count) in samples {
        if let Some((name, labels)) = sample.split_once("_bucket{") {
            let (others, bound) = labels.split_once("le=\"").unwrap();
            let bound = bound.trim_end_matches("\"}").replace("+Inf", "inf");
            let others = others.trim_end_matches(',');
            let of = match others {
                "" => format!("{name}_count"),
                _ => format!("{name}_count{{{others}}}"),
            };
            let buckets = histograms.entry(of).or_default();
            buckets.push((bound.parse().unwrap(), *count));
        }
    }
    assert!(histograms.len() >= 2, "the store's");
    for (count, mut buckets) in histograms {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by_key(|bucket| bucket.1), "{count}");
        assert_eq!(
            buckets.last(),
            Some(&(f64::INFINITY, samples[&count])),
            "{count}"
        );
        let seconds = buckets[..buckets.len() - 1].iter();
        assert!(seconds.clone().all(|bucket| bucket.0 <= 10.0), "{count}");
    }
}

/// Asks until what a client caused by going has come about.
async fn until(world: &World, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    within(async {
        loop {
            let scrape = Scrape::of(world).await;
            if is_so(&scrape) {
                return scrape;
            }
        }
    })
    .await
}

const LEGACY: &str =
    "/ws/sesion=undefined&myid=undefined&devid=0&v=4.08&uuid=0123456789abcdef&api=js";

#[tokio::test]
async fn all_is_there_from_the_beginning() {
    let world = start(|_| {}).await;
    let scrape = Scrape::of(&world).await;
    let by_shard = [
        "publications_total",
        "deliveries_total",
        "inbox_messages_total",
        "refusals_total",
        "recovered_total",
        "not_recovered_total",
        "opened_total",
        "reads_total",
        "dropped_frames_total",
        "dropped_bytes_total",
        "conflated_total",
        "relieved_total",
        "rate_limited_total",
        "connections",
        "subscriptions",
        "channels",
        "users_online",
        "outbox_bytes",
        "outbox_connections",
        "store_operation_seconds_count",
    ];
    for name in by_shard {
        for shard in ["shard=\"0\"", "shard=\"1\""] {
            let name = format!("cometql_{name}");
            scrape.check(&[(name.as_str(), &[shard], 0.0)]);
        }
    }
    scrape.check(&[
        ("cometql_build_info", &[], 1.0),
        ("cometql_mysql_connections", &[], 1.0),
        ("cometql_log_ins_total", &["mysql", "ok"], 1.0),
        ("cometql_closed_total", &[], 0.0),
    ]);
    assert!(scrape.sum("cometql_resident_bytes", &[]) > 1e6);
    assert!(scrape.sum("cometql_open_files", &[]) > 5.0);
    world.stop().await;
}

#[tokio::test]
async fn who_is_there_and_what_they_get() {
    let mut world = start(|_| {}).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(world.anonymous(&["web_a"]).await);
    }
    let user = world.browser(5, &["web_b"]).await;
    let events = Events::open(&world.app, "/sse?v=1", "").await;
    let mut legacy = Client::at(world.app.http_address(), LEGACY).await;
    legacy.next().await;
    let scrape = Scrape::of(&world).await;
    scrape.check(&[
        ("cometql_connections", &["websocket"], 4.0),
        ("cometql_connections", &["sse"], 1.0),
        ("cometql_connections", &["legacy"], 1.0),
        ("cometql_opened_total", &[], 6.0),
        ("cometql_subscriptions", &[], 4.0),
        ("cometql_users_online", &[], 1.0),
        ("cometql_log_ins_total", &["browser", "ok"], 1.0),
        ("cometql_statements_total", &["insert", "ok"], 1.0),
    ]);
    assert!((2.0..=4.0).contains(&scrape.sum("cometql_channels", &[])));

    world
        .run("INSERT INTO pipes_messages (name, event, message) VALUES ('web_a', 'e', '1'), ('web_a', 'e', '2')")
        .await;
    for client in &mut clients {
        assert_eq!(client.json().await["data"], "1");
        assert_eq!(client.json().await["data"], "2");
    }
    world
        .run("INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'x')")
        .await;
    let denied = clients[0].ask(r#"{"id":7,"subscribe":"private_x"}"#).await;
    assert_eq!(denied["error"]["code"], "login_required");
    let mut stranger = Client::connect(&world.app).await;
    let wrong = stranger
        .ask(r#"{"id":1,"connect":{"user":5,"hash":"another"}}"#)
        .await;
    assert!(wrong["error"].is_object(), "{wrong}");
    assert!(
        try_connect(&world.app, "root", "a wrong key")
            .await
            .is_err()
    );
    Scrape::of(&world).await.check(&[
        ("cometql_publications_total", &[], 2.0),
        ("cometql_deliveries_total", &[], 6.0),
        ("cometql_inbox_messages_total", &[], 1.0),
        ("cometql_refusals_total", &[], 2.0),
        ("cometql_log_ins_total", &["browser", "failed"], 1.0),
        ("cometql_log_ins_total", &["mysql", "failed"], 1.0),
        ("cometql_log_in_wait_seconds_total", &[], 0.1),
        ("cometql_statements_total", &["insert", "ok"], 3.0),
        ("cometql_dropped_frames_total", &[], 0.0),
    ]);

    drop((clients, user, events, legacy, stranger));
    all_have_gone(&world, 7.0).await;
    world.stop().await;
}

/// So many were there, and left.
async fn all_have_gone(world: &World, count: f64) {
    let empty = [
        "cometql_connections",
        "cometql_subscriptions",
        "cometql_channels",
        "cometql_users_online",
    ];
    until(world, |scrape| {
        empty.iter().all(|name| scrape.sum(name, &[]) == 0.0)
            && scrape.sum("cometql_closed_total", &["client"]) >= count
    })
    .await;
    // Not all of a scrape is of one moment.
    Scrape::of(world).await.check(&[
        ("cometql_closed_total", &["client"], count),
        ("cometql_opened_total", &[], count),
    ]);
}

#[tokio::test]
async fn what_came_of_recoveries() {
    let world = start(|_| {}).await;
    let mut client = Client::connect(&world.app).await;
    let first = client.ask(r#"{"id":1,"subscribe":"web_a"}"#).await;
    publish(&world.app, "web_a", "missed").await;
    let epoch = first["subscribed"]["epoch"].as_str().unwrap();
    for (epoch, recovered, counts) in [
        (epoch, true, [1.0, 0.0]),
        ("00000000000000ff", false, [1.0, 1.0]),
    ] {
        let mut back = Client::connect(&world.app).await;
        let request =
            format!(r#"{{"id":1,"subscribe":{{"channel":"web_a","epoch":"{epoch}","offset":0}}}}"#);
        let told = back.ask(&request).await;
        assert_eq!(told["subscribed"]["recovered"], recovered, "{told}");
        // Who brings no position has missed nothing.
        let mut fresh = Client::connect(&world.app).await;
        subscribe(&mut fresh, &["web_a"]).await;
        Scrape::of(&world).await.check(&[
            ("cometql_recovered_total", &[], counts[0]),
            ("cometql_not_recovered_total", &[], counts[1]),
        ]);
    }
    drop(client);
    world.stop().await;
}

#[tokio::test]
async fn what_slow_clients_did_not_get() {
    let world = start(|settings| {
        let newest = Rule {
            conflate: Some(Some(Conflate::Channel)),
            ..Rule::new("test", Pattern::Prefix("web_last".into()))
        };
        settings.rules = Arc::new(Rules::new(vec![newest], UserDataRule::Anyone));
        settings.http.close_wait = Duration::from_secs(60);
    })
    .await;
    let data = "x".repeat(SIZE);

    // One that is closed: what it reads and what was dropped are all that it was to get.
    let mut slow = Client::connect_slow(&world.app).await;
    subscribe(&mut slow, &["web_all"]).await;
    for _ in 0..MANY {
        publish(&world.app, "web_all", &data).await;
    }
    let is_closed = |scrape: &Scrape| scrape.sum("cometql_closed_total", &["4001"]) == 1.0;
    until(&world, is_closed).await;
    let mut got = 0.0;
    while slow.next().await.is_text() {
        got += 1.0;
    }
    let closed = Scrape::of(&world).await;
    let reason = "reason=\"slow_consumer\"";
    let dropped = closed.sum("cometql_dropped_frames_total", &[reason]);
    let handed = closed.sum("cometql_deliveries_total", &[]);
    assert!(dropped > 0.0 && got > 0.0);
    assert!(
        (got + dropped - handed).abs() < 0.5,
        "{got} {dropped} {handed}"
    );
    let bytes = closed.sum("cometql_dropped_bytes_total", &[reason]);
    assert!(bytes >= dropped * 65_536.0, "{bytes}");
    drop(slow);

    // One that gets the newest, and goes: the newest that waited beside its outbox was for nobody.
    let mut slow = Client::connect_slow(&world.app).await;
    subscribe(&mut slow, &["web_last"]).await;
    for _ in 0..MANY {
        publish(&world.app, "web_last", &data).await;
    }
    let waits = until(&world, |scrape| {
        scrape.sum("cometql_conflated_total", &[]) > 0.0
            && scrape.sum("cometql_outbox_connections", &[]) == 1.0
    })
    .await;
    let waiting = waits.sum("cometql_outbox_bytes", &[]);
    assert!((65_536.0..=1_048_576.0).contains(&waiting), "{waiting}");
    drop(slow);
    let of_gone = |scrape: &Scrape| scrape.sum("cometql_dropped_bytes_total", &["reason=\"gone\""]);
    until(&world, |scrape| {
        scrape.sum("cometql_outbox_connections", &[]) == 0.0 && of_gone(scrape) > 0.0
    })
    .await;
    // Not all of a scrape is of one moment.
    let gone = Scrape::of(&world).await;
    // Without the newest it would be less by its length.
    let bytes = of_gone(&gone);
    assert!(bytes > waiting - 32_768.0, "{bytes} of {waiting}");
    gone.check(&[
        ("cometql_outbox_bytes", &[], 0.0),
        ("cometql_dropped_frames_total", &[reason], dropped),
    ]);
    world.stop().await;
}

#[tokio::test]
async fn what_is_too_much_for_the_node() {
    let world = start(|settings| settings.limits.outbox_bytes_per_node = 256 << 10).await;
    let mut slow = Client::connect_slow(&world.app).await;
    subscribe(&mut slow, &["web_all"]).await;
    let data = "x".repeat(SIZE);
    for _ in 0..MANY {
        publish(&world.app, "web_all", &data).await;
    }
    until(&world, |scrape| {
        scrape.sum("cometql_relieved_total", &[]) > 0.0
            && scrape.sum("cometql_closed_total", &["4001"]) > 0.0
    })
    .await;
    Scrape::of(&world).await.check(&[
        ("cometql_relieved_total", &[], 1.0),
        ("cometql_closed_total", &["4001"], 1.0),
    ]);
    drop(slow);
    world.stop().await;
}

fn draft(number: u128) -> Draft {
    Draft {
        id: MessageId(number),
        event: EventName::default(),
        data: "x".into(),
        data_is_json: false,
        once: false,
    }
}

#[tokio::test]
async fn what_the_store_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = start(|settings| {
        settings.store = Store::open(folder.path(), Durability::Process).unwrap();
    })
    .await;
    let began = Instant::now();
    let before = Scrape::of(&world).await;
    for _ in 0..3 {
        world
            .run("INSERT INTO users_messages (id, event, message) VALUES (5, 'e', 'x')")
            .await;
    }
    let after = Scrape::of(&world).await;
    let grown = |name: &str, labels: &[&str]| after.sum(name, labels) - before.sum(name, labels);
    assert!(grown("cometql_store_commits_total", &[]) >= 3.0);
    assert!(grown("cometql_store_rows_total", &[]) >= 3.0);
    assert!(grown("cometql_store_commit_seconds_count", &[]) >= 3.0);
    assert!(grown("cometql_store_commit_seconds_sum", &[]) > 0.0);
    // All of one user, so one shard asked, and waited.
    let operations = "cometql_store_operation_seconds_count";
    let asked = ["0", "1"].map(|shard| grown(operations, &[&format!("shard=\"{shard}\"")]));
    assert!(asked.contains(&3.0) && asked.contains(&0.0), "{asked:?}");
    let waited = grown("cometql_store_operation_seconds_sum", &[]);
    let passed = began.elapsed().as_secs_f64() * 3.0;
    assert!(waited > 0.0 && waited < passed, "{waited} s of {passed} s");
    assert!(after.sum("cometql_store_last_commit_seconds", &[]) < passed);
    assert!(after.sum("cometql_store_file_bytes", &[]) > 4096.0);
    assert!(after.sum("cometql_store_log_bytes", &[]) > 4096.0);

    // The thread that writes is held up, as by a disk: what comes meanwhile waits, and that is seen.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (writes, busy) = tokio::sync::oneshot::channel();
    let (tenant, user) = (TenantId(0), UserId::new(9).unwrap());
    let hold_up = move |_| {
        _ = writes.send(());
        _ = held.recv();
    };
    let asks = StoreRequest::LastSeen { tenant, user };
    world.app.store().ask(asks, hold_up);
    within(busy).await.unwrap();
    let sent: Vec<_> = (1..=4)
        .map(|number| {
            let draft = draft(number);
            let command = Command::Send {
                tenant,
                user,
                draft,
            };
            world.app.hub().start(command)
        })
        .collect();
    // The node's own upkeep may wait too.
    until(&world, |scrape| {
        scrape.sum("cometql_store_waiting", &[]) >= 4.0
    })
    .await;
    release.send(()).unwrap();
    for pending in sent {
        within(pending.answer()).await;
    }
    until(&world, |scrape| {
        scrape.sum("cometql_store_waiting", &[]) == 0.0
    })
    .await;
    world.stop().await;
}
