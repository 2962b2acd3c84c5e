//! SHOW STATUS: the original's rows and ours. The machine's own figures come from `/proc`.

use crate::cometql::{Context, SqlSession};

/// Names and values.
type Pairs = Vec<(String, String)>;

/// `SHOW [SESSION] STATUS`: the tenant's own figures.
pub(super) async fn session(context: &Context, session: &SqlSession) -> Pairs {
    let own = context.hub.totals(Some(session.tenant)).await;
    let online = context.hub.users_online(session.tenant, None).await.len();
    pairs([
        ("flag", "session".to_owned()),
        ("id", session.tenant.to_string()),
        ("user_online", online.to_string()),
        (
            "server_online",
            context
                .processes
                .list(Some(session.tenant))
                .len()
                .to_string(),
        ),
        ("connections", own.connections.to_string()),
        ("subscriptions", own.subscriptions.to_string()),
        ("channels", own.channels.to_string()),
        (
            "Threads_connected",
            context
                .processes
                .list(Some(session.tenant))
                .len()
                .to_string(),
        ),
        ("Uptime", since_start().to_string()),
    ])
}

/// `SHOW GLOBAL STATUS`: of the node for the admin, else of the tenant under the same names.
pub(super) async fn global(context: &Context, session: &SqlSession) -> Pairs {
    let tenant = (!session.admin).then_some(session.tenant);
    let totals = context.hub.totals(tenant).await;
    let backends = context.processes.list(tenant).len();
    let uptime = since_start();
    pairs([
        ("flag", "global".to_owned()),
        ("uptime", uptime.to_string()),
        ("uptime_in_hours", (uptime / 3600).to_string()),
        ("uptime_in_days", (uptime / 86_400).to_string()),
        ("frontend_name", "ws".to_owned()),
        ("backend_name", "cometql".to_owned()),
        ("frontend_online", totals.connections.to_string()),
        ("backend_online", backends.to_string()),
        ("subscriptions", totals.subscriptions.to_string()),
        ("channels", totals.channels.to_string()),
        ("users_online", totals.users_online.to_string()),
        ("Threads_connected", backends.to_string()),
        ("Uptime", uptime.to_string()),
    ])
}

/// `SHOW FILESYSTEM STATUS`: mounted file systems.
pub(super) fn filesystem() -> Pairs {
    let mut pairs = vec![("flag".to_owned(), "filesystem".to_owned())];
    for line in lines("/proc/mounts") {
        if let [device, at, kind, ..] = line.split(' ').collect::<Vec<_>>()[..]
            && device.starts_with('/')
        {
            pairs.push((at.to_owned(), format!("{device} {kind}")));
        }
    }
    pairs
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
