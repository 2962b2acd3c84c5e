//! SHOW STATUS: the original's rows and ours. The machine's own figures come from `/proc`.

use std::path::Path;

use cometql_engine::effects::Counted;
use cometql_protocol::TenantId;

use crate::cometql::{Context, SqlSession};
use crate::metrics::Door;

/// Names and values.
type Pairs = Vec<(String, String)>;

/// `SHOW [SESSION] STATUS`: the tenant's own figures.
pub(super) async fn session(context: &Context, session: &SqlSession) -> Pairs {
    let own = context.hub.totals(Some(session.tenant)).await;
    let online = context.hub.users_online(session.tenant, None).await.len();
    let backends = backends(context, Some(session.tenant)).await;
    let mut rows = pairs([
        ("flag", "session".to_owned()),
        ("id", session.tenant.to_string()),
        ("user_online", online.to_string()),
        ("server_online", backends.to_string()),
        ("connections", own.connections.to_string()),
        ("subscriptions", own.subscriptions.to_string()),
        ("channels", own.channels.to_string()),
        ("Threads_connected", backends.to_string()),
        ("Uptime", since_start().to_string()),
    ]);
    if sees_node(context, session) {
        rows.insert(4, ("messages".to_owned(), messages(context).to_string()));
    }
    rows
}

/// `SHOW GLOBAL STATUS`: of the node for the admin, else of the tenant under the same names. What is counted for the
/// whole node only is shown to those who may see the whole node.
pub(super) async fn global(context: &Context, session: &SqlSession) -> Pairs {
    let tenant = (!session.admin).then_some(session.tenant);
    let totals = context.hub.totals(tenant).await;
    let backends = backends(context, tenant).await;
    let uptime = since_start();
    let mut rows = pairs([
        ("flag", "global".to_owned()),
        ("uptime", uptime.to_string()),
        ("uptime_in_hours", (uptime / 3600).to_string()),
        ("uptime_in_days", (uptime / 86_400).to_string()),
        ("frontend_name", "ws".to_owned()),
        ("backend_name", "cometql".to_owned()),
        ("frontend_online", totals.connections.to_string()),
        ("backend_online", backends.to_string()),
    ]);
    if sees_node(context, session) {
        rows.extend(originals(context));
        rows.extend(ours(context));
    }
    rows.extend(pairs([
        ("subscriptions", totals.subscriptions.to_string()),
        ("channels", totals.channels.to_string()),
        ("users_online", totals.users_first.to_string()),
        ("Threads_connected", backends.to_string()),
        ("Uptime", uptime.to_string()),
    ]));
    rows
}

/// How many MySQL connections are open, on all members.
async fn backends(context: &Context, tenant: Option<TenantId>) -> usize {
    let elsewhere = context.hub.processes_elsewhere(tenant).await;
    context.processes.list(tenant).len() + elsewhere.len()
}

/// Whether this log-in may know what all tenants together do.
pub(in crate::cometql) fn sees_node(context: &Context, session: &SqlSession) -> bool {
    session.admin || context.keyring.opens_all(&session.key.0)
}

/// Publications and private messages since the start.
fn messages(context: &Context) -> u64 {
    let total = |event| context.metrics.total(event);
    total(Counted::Publications) + total(Counted::InboxMessages)
}

/// The original's counters of the whole node: since its start, and (`_ps`) per second within the last `stat_interval`
/// seconds.
fn originals(context: &Context) -> Pairs {
    let (rates, total) = (context.metrics.rates(), context.metrics.work());
    let per_second = |count| rates.per_second(count);
    let interval = format!("{:.1}", rates.within.as_secs_f64());
    let of = rates.work;
    pairs([
        ("frontend_stat_interval", interval.clone()),
        ("backend_stat_interval", interval),
        ("frontend_messages", total.deliveries.to_string()),
        ("backend_messages", total.statements.to_string()),
        ("frontend_add_client", total.opened.to_string()),
        ("backend_add_client", total.log_ins.to_string()),
        ("frontend_delete_client", total.ended.to_string()),
        ("backend_delete_client", total.log_outs.to_string()),
        ("frontend_messages_ps", per_second(of.deliveries)),
        ("backend_messages_ps", per_second(of.statements)),
        ("frontend_add_client_ps", per_second(of.opened)),
        ("backend_add_client_ps", per_second(of.log_ins)),
        ("frontend_delete_client_ps", per_second(of.ended)),
        ("backend_delete_client_ps", per_second(of.log_outs)),
        (
            "network_events",
            context.metrics.network_events().to_string(),
        ),
    ])
}

/// What we count for the whole node beside the original's.
fn ours(context: &Context) -> Pairs {
    let metrics = &context.metrics;
    let mut rows = vec![("messages", messages(context))];
    rows.extend(EVENTS.map(|(name, event)| (name, metrics.total(event))));
    rows.push(("Connections", metrics.log_ins_total(Door::Mysql)));
    rows.push(("Questions", metrics.statements_total()));
    let row = |(name, value): (&str, u64)| (name.to_owned(), value.to_string());
    rows.into_iter().map(row).collect()
}

/// Our own counters, named as in `/metrics`.
const EVENTS: [(&str, Counted); 6] = [
    ("publications", Counted::Publications),
    ("deliveries", Counted::Deliveries),
    ("inbox_messages", Counted::InboxMessages),
    ("refusals", Counted::Refusals),
    ("recovered", Counted::Recovered),
    ("not_recovered", Counted::NotRecovered),
];

/// `SHOW FILESYSTEM STATUS`: the file system of the data directory (of `/` for a store in memory), in bytes.
pub(super) fn filesystem(context: &Context) -> Pairs {
    let at = context.store.directory().unwrap_or_else(|| Path::new("/"));
    let Ok(system) = rustix::fs::statvfs(at) else {
        return pairs([("flag", "filesystem".to_owned())]);
    };
    let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
    let used = bytes(system.f_blocks.saturating_sub(system.f_bfree));
    let available = bytes(system.f_bavail);
    // As df counts: what only root may fill is neither used nor available.
    let usable = used.saturating_add(available).max(1);
    let percent = u128::from(used) * 100 / u128::from(usable);
    pairs([
        ("flag", "filesystem".to_owned()),
        ("filesystem", device(at)),
        ("size", bytes(system.f_blocks).to_string()),
        ("used", used.to_string()),
        ("available", available.to_string()),
        ("use", format!("{percent}%")),
    ])
}

/// The device that is mounted where a path leads, from `/proc/mounts`; empty when it can't be told.
fn device(path: &Path) -> String {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = lines("/proc/mounts");
    let mounts = mounts.iter().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, at) = (words.next()?, words.next()?);
        path.starts_with(at).then_some((at.len(), device))
    });
    // The later of two mounts at one place hides the other.
    let nearest = mounts.max_by_key(|(length, _)| *length);
    nearest.map_or_else(String::new, |(_, device)| device.to_owned())
}

/// `SHOW RAM STATUS`: `/proc/meminfo`.
pub(super) fn memory() -> Pairs {
    let mut pairs = vec![("flag".to_owned(), "ram".to_owned())];
    for line in lines("/proc/meminfo") {
        if let Some((name, value)) = line.split_once(':') {
            pairs.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    pairs
}

/// `SHOW AVG STATUS`: `/proc/loadavg`.
pub(super) fn load() -> Pairs {
    let line = lines("/proc/loadavg").pop().unwrap_or_default();
    let mut words = line.split([' ', '/']);
    let mut next = || words.next().unwrap_or_default().to_owned();
    pairs([
        ("flag", "avg".to_owned()),
        ("load_avg_1", next()),
        ("load_avg_2", next()),
        ("load_avg_3", next()),
        ("running_processes", next()),
        ("total_processes", next()),
    ])
}

/// `SHOW UPTIME STATUS`: `/proc/uptime`.
pub(super) fn uptime() -> Pairs {
    let line = lines("/proc/uptime").pop().unwrap_or_default();
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap_or_default().to_owned();
    pairs([
        ("flag", "uptime".to_owned()),
        ("os_uptime", next()),
        ("os_idle", next()),
    ])
}

/// Seconds that this process runs: `/proc/self/stat` tells its start in hundredths of a second after boot.
fn since_start() -> u64 {
    let stat = lines("/proc/self/stat").pop().unwrap_or_default();
    // The second field, the program's name, may hold spaces; what follows its parenthesis doesn't. Start is the 22nd.
    let start = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(19)?.parse::<u64>().ok());
    let up = lines("/proc/uptime")
        .pop()
        .and_then(|line| line.split('.').next()?.parse::<u64>().ok());
    match (up, start) {
        (Some(up), Some(start)) => up.saturating_sub(start / 100),
        _ => 0,
    }
}

fn lines(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn pairs<const N: usize>(rows: [(&str, String); N]) -> Pairs {
    rows.map(|(name, value)| (name.to_owned(), value)).into()
}
