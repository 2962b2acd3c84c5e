//! A node of the cluster: the real binary, always on the same ports and in the same folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::certificates::Certificates;
use super::child::{Program, tied};
use super::nats::{PASSWORD, USER};
use super::ports::{BALANCER, status, until};

/// The key of the nodes' tenant 0. Not a secret: they listen on this machine only.
pub(crate) const KEY: &str = "cluster-key-for-this-machine-only";
/// How long a node may take to be a member; it waits for NATS.
const START: Duration = Duration::from_secs(90);

/// The node, or the place where it was.
pub(crate) struct Node {
    program: Program,
    binary: PathBuf,
    file: PathBuf,
    /// Its name.
    pub(crate) name: String,
    /// Where browsers connect.
    pub(crate) http: SocketAddr,
    /// Where MySQL clients connect.
    pub(crate) mysql: SocketAddr,
    /// Where administrators connect.
    pub(crate) admin: SocketAddr,
    /// What it is started with, beside what stands in its configuration.
    pub(crate) environment: Vec<(String, String)>,
}

/// How a node is set up.
pub(crate) struct Place<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Browser, MySQL and admin port.
    pub(crate) addresses: [SocketAddr; 3],
    /// Where it finds NATS.
    pub(crate) nats: &'a [SocketAddr],
    /// How many of the NATS servers keep each message.
    pub(crate) replicas: usize,
    /// Its own folder.
    pub(crate) folder: &'a Path,
    /// The program.
    pub(crate) binary: &'a Path,
    /// What else stands in its configuration: other sections.
    pub(crate) more: &'a str,
    /// Pages that it serves.
    pub(crate) files: Option<&'a Path>,
    /// Certificates, where NATS wants TLS.
    pub(crate) certificates: Option<&'a Certificates>,
}

impl Node {
    /// Prepares one, and does not start it.
    pub(crate) fn new(place: &Place<'_>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(place.folder)?;
        let file = place.folder.join("cometql.toml");
        std::fs::write(&file, configuration(place))?;
        let [http, mysql, admin] = place.addresses;
        Ok(Self {
            program: Program::new(place.folder.join("log")),
            binary: place.binary.to_owned(),
            file,
            name: place.name.to_owned(),
            http,
            mysql,
            admin,
            environment: Vec::new(),
        })
    }

    /// Starts it, on what it has kept.
    pub(crate) fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = tied(&self.binary);
        command.arg("serve").arg("--config").arg(&self.file);
        command.envs(self.environment.iter().cloned());
        self.program.spawn(&mut command)
    }

    /// Waits until it takes sessions and its log is in reach.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        let (http, program) = (self.http, &mut self.program);
        until("a node is ready", START, || {
            program.check()?;
            Ok(status(http, "/health?ready") == Some(200))
        })
    }

    /// The process' number, while there is one.
    pub(crate) fn id(&self) -> Option<u32> {
        self.program.id()
    }

    /// The process.
    pub(crate) fn program(&mut self) -> &mut Program {
        &mut self.program
    }
}

fn configuration(place: &Place<'_>) -> String {
    let [http, mysql, admin] = place.addresses;
    let (name, data) = (place.name, place.folder.join("data"));
    let files = place.files.map_or(String::new(), |folder| {
        format!("files = \"{}\"\n", folder.display())
    });
    let scheme = place.certificates.map_or("nats", |_| "tls");
    let nats = place.nats.iter();
    let nats = nats.map(|server| format!("\"{scheme}://{server}\""));
    let nats = nats.collect::<Vec<_>>().join(", ");
    let ca = place.certificates.map_or(String::new(), |files| {
        format!("tls_ca = \"{}\"\n", files.ca.display())
    });
    format!(
        "[server]\nnode = \"{name}\"\ndata_dir = \"{data}\"\nrestart_spread = \"1 s\"\n\
         [http]\nlisten = \"{http}\"\nproxy_protocol = [\"{BALANCER}/32\"]\n{files}\
         [mysql]\nlisten = \"{mysql}\"\nproxy_protocol = [\"{BALANCER}/32\"]\n\
         [admin]\nlisten = \"{admin}\"\n[auth]\nkey = \"{KEY}\"\n\
         [cluster]\nnats = [{nats}]\nuser = \"{USER}\"\npassword = \"{PASSWORD}\"\nreplicas = {replicas}\n{ca}\n{more}",
        data = data.display(),
        replicas = place.replicas,
        more = place.more,
    )
}
