//! The open MySQL connections: `SHOW PROCESSLIST` lists them, `KILL` ends them.
//!
//! The MySQL port registers each connection and keeps its row up to date; statements only list and kill.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cometql_protocol::TenantId;
use tokio::sync::Notify;

use super::LogInKey;

/// The lower bits of an id in a cluster: the upper 7 are the member's number, so that an id names one connection of all.
const MEMBER_BITS: u32 = 25;

/// Most bytes of a statement that the list shows, as in MySQL's own list.
const INFO_BYTES: usize = 100;

/// All open MySQL connections of the node.
#[derive(Debug, Default)]
pub struct Processes {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// The upper bits of every id: the number of this node in its cluster.
    member: u32,
    last: u32,
    open: BTreeMap<u32, Arc<Process>>,
}

/// One row of `SHOW PROCESSLIST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    /// What `CONNECTION_ID()` says and `KILL` takes.
    pub id: u32,
    /// The user name of the log-in; `unauthenticated user` before it.
    pub user: String,
    /// `None` before the log-in.
    pub tenant: Option<TenantId>,
    /// Address and port of the client, behind proxies its own.
    pub host: SocketAddr,
    /// The chosen database, may be empty.
    pub database: String,
    /// What it does, in MySQL's words: `Connect`, `Sleep`, `Query`, `Execute`.
    pub command: &'static str,
    /// For how many seconds it has been doing that.
    pub seconds: u64,
    /// The beginning of the statement that runs, else empty.
    pub info: String,
}

struct Process {
    host: SocketAddr,
    state: Mutex<State>,
    killed: Notify,
}

/// Why a connection is ended by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `KILL`.
    Killed,
    /// The key of its log-in was taken away.
    KeyRemoved,
}

struct State {
    user: String,
    key: LogInKey,
    end: End,
    tenant: Option<TenantId>,
    database: String,
    command: &'static str,
    since: Instant,
    info: String,
}

impl Processes {
    /// None yet, on the member of a cluster with this number.
    #[must_use]
    pub fn of_member(member: u8) -> Self {
        let table = Table {
            member: u32::from(member) << MEMBER_BITS,
            ..Table::default()
        };
        Self {
            table: Mutex::new(table),
        }
    }

    /// Adds a connection that has not logged in yet. It is listed until the guard is dropped.
    pub fn register(self: &Arc<Self>, host: SocketAddr) -> ProcessGuard {
        let process = Arc::new(Process {
            host,
            state: Mutex::new(State {
                user: "unauthenticated user".to_owned(),
                key: LogInKey::default(),
                end: End::Killed,
                tenant: None,
                database: String::new(),
                command: "Connect",
                since: Instant::now(),
                info: String::new(),
            }),
            killed: Notify::new(),
        });
        let mut table = lock(&self.table);
        let id = table.free_id();
        table.open.insert(id, process.clone());
        drop(table);
        ProcessGuard {
            id,
            process,
            processes: self.clone(),
        }
    }

    /// How many connections are open.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.table).open.len()
    }

    /// The connections of one tenant, or (`None`) all, those before log-in included; by id.
    #[must_use]
    pub fn list(&self, tenant: Option<TenantId>) -> Vec<ProcessRow> {
        let table = lock(&self.table);
        let rows = table.open.iter().map(|(&id, process)| process.row(id));
        rows.filter(|row| tenant.is_none() || row.tenant == tenant)
            .collect()
    }

    /// Ends a connection of this tenant, or (`None`) any; false if there is none with this id.
    pub fn kill(&self, id: u32, tenant: Option<TenantId>) -> bool {
        let process = lock(&self.table).open.get(&id).cloned();
        let Some(process) = process else { return false };
        if tenant.is_some() && lock(&process.state).tenant != tenant {
            return false;
        }
        process.end(End::Killed);
        true
    }

    /// Ends every logged-in connection of which this is false for user name, key and tenant; returns how many.
    pub fn end_unless(&self, proved: impl Fn(&str, &LogInKey, TenantId) -> bool) -> usize {
        let open: Vec<_> = lock(&self.table).open.values().cloned().collect();
        let unproved = open.into_iter().filter(|process| {
            let state = lock(&process.state);
            let tenant = state.tenant;
            tenant.is_some_and(|tenant| !proved(&state.user, &state.key, tenant))
        });
        unproved
            .inspect(|process| process.end(End::KeyRemoved))
            .count()
    }
}

impl Table {
    /// Ids rise and wrap around; 0 and those in use are left out.
    fn free_id(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.member != 0 {
                self.last %= 1 << MEMBER_BITS;
            }
            let id = self.member | self.last;
            if self.last != 0 && !self.open.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Process {
    fn end(&self, end: End) {
        lock(&self.state).end = end;
        self.killed.notify_one();
    }

    fn row(&self, id: u32) -> ProcessRow {
        let state = lock(&self.state);
        ProcessRow {
            id,
            user: state.user.clone(),
            tenant: state.tenant,
            host: self.host,
            database: state.database.clone(),
            command: state.command,
            seconds: state.since.elapsed().as_secs(),
            info: state.info.clone(),
        }
    }
}

/// A registered connection's hold on its row.
pub struct ProcessGuard {
    id: u32,
    process: Arc<Process>,
    processes: Arc<Processes>,
}

impl ProcessGuard {
    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Notes who logged in, with which key.
    pub fn logged_in(&self, user: &str, key: &LogInKey, tenant: TenantId) {
        let mut state = lock(&self.process.state);
        user.clone_into(&mut state.user);
        state.key.clone_from(key);
        state.tenant = Some(tenant);
    }

    /// Notes which database was chosen, and whose rows it shows.
    pub fn uses(&self, database: &str, tenant: TenantId) {
        let mut state = lock(&self.process.state);
        database.clone_into(&mut state.database);
        state.tenant = Some(tenant);
    }

    /// Notes what the connection does now, with the beginning of the statement (empty if there is none).
    pub fn does(&self, command: &'static str, info: &str) {
        let mut state = lock(&self.process.state);
        state.command = command;
        state.since = Instant::now();
        state.info.clear();
        state
            .info
            .push_str(&info[..info.floor_char_boundary(INFO_BYTES)]);
    }

    /// Waits until somebody ends the connection. To be awaited by one task only.
    pub async fn killed(&self) -> End {
        self.process.killed.notified().await;
        lock(&self.process.state).end
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        lock(&self.processes.table).open.remove(&self.id);
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MySQL connection from {}", self.host)
    }
}

/// No code that can panic runs under these locks, so a poisoned one still holds what it should.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> SocketAddr {
        "192.0.2.1:4711".parse().unwrap()
    }

    #[tokio::test]
    async fn a_kill_reaches_only_the_own_tenant() {
        let processes = Arc::new(Processes::default());
        let (one, two) = (processes.register(host()), processes.register(host()));
        one.logged_in("root", &LogInKey("r".into()), TenantId(0));
        two.logged_in("7", &LogInKey("s".into()), TenantId(7));
        assert!(!processes.kill(two.id(), Some(TenantId(0))));
        assert!(processes.kill(two.id(), Some(TenantId(7))));
        assert_eq!(two.killed().await, End::Killed);
        assert!(processes.kill(one.id(), None));
        assert_eq!(one.killed().await, End::Killed);
        assert!(!processes.kill(99, None));
    }

    #[tokio::test]
    async fn who_has_a_key_no_more_is_ended() {
        let processes = Arc::new(Processes::default());
        let (one, two) = (processes.register(host()), processes.register(host()));
        let _stranger = processes.register(host());
        one.logged_in("root", &LogInKey("r".into()), TenantId(0));
        two.logged_in("7", &LogInKey("s".into()), TenantId(7));
        let ended = processes.end_unless(|user, key, tenant| {
            (user, key.0.as_str(), tenant) == ("root", "r", TenantId(0))
        });
        assert_eq!(ended, 1);
        assert_eq!(two.killed().await, End::KeyRemoved);
    }

    #[test]
    fn ids_tell_the_member() {
        let processes = Arc::new(Processes::of_member(3));
        let (one, two) = (processes.register(host()), processes.register(host()));
        assert_eq!((one.id() >> 25, two.id() >> 25), (3, 3));
        assert_ne!(one.id(), two.id());
        lock(&processes.table).last = u32::MAX >> 7;
        let wrapped = processes.register(host());
        assert_eq!(wrapped.id(), 3 << 25 | 3, "0 and those in use are left out");
    }

    #[test]
    fn the_list_shows_who_does_what_and_forgets_the_closed() {
        let processes = Arc::new(Processes::default());
        let (one, two) = (processes.register(host()), processes.register(host()));
        one.logged_in("root", &LogInKey("r".into()), TenantId(0));
        one.uses("CometQL_v1", TenantId(0));
        one.does("Query", &"é".repeat(99));
        let rows = processes.list(Some(TenantId(0)));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].id, rows[0].command), (one.id(), "Query"));
        assert_eq!(rows[0].info, "é".repeat(50));
        assert_eq!(processes.list(None).len(), 2);
        drop(two);
        assert_eq!(processes.list(None).len(), 1);
    }
}
