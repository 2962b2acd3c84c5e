//! NATS servers with JetStream: one, or several as a cluster, with a user and a password, and TLS where asked for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::certificates::Certificates;
use super::child::{Program, tied};
use super::ports::{status, until};
use crate::process::nats_server;

/// Who may connect. It listens on this machine only, and lives as long as the cluster.
pub(crate) const USER: &str = "cometql";
/// The password.
pub(crate) const PASSWORD: &str = "for-this-machine-only";

/// How long servers may take to find each other.
const START: Duration = Duration::from_secs(60);

/// One server.
pub(crate) struct NatsServer {
    program: Program,
    binary: PathBuf,
    file: PathBuf,
    health: SocketAddr,
}

/// Where a server is, and how it reaches the others.
pub(crate) struct Place<'a> {
    /// Its number, from 0.
    pub(crate) number: usize,
    /// Where clients connect.
    pub(crate) client: SocketAddr,
    /// Where the other servers connect.
    pub(crate) route: SocketAddr,
    /// Where it tells how it is.
    pub(crate) health: SocketAddr,
    /// Where it finds the other servers.
    pub(crate) others: &'a [SocketAddr],
    /// Where its configuration and its log are.
    pub(crate) folder: &'a Path,
    /// Where its streams are.
    pub(crate) store: &'a Path,
    /// Certificates, for TLS.
    pub(crate) certificates: Option<&'a Certificates>,
}

impl NatsServer {
    /// Prepares one, and does not start it.
    pub(crate) fn new(place: &Place<'_>) -> anyhow::Result<Self> {
        let name = format!("nats-{}", place.number + 1);
        let file = place.folder.join(format!("{name}.conf"));
        std::fs::write(&file, configuration(&name, place))?;
        Ok(Self {
            program: Program::new(place.folder.join(format!("{name}.log"))),
            binary: nats_server()?,
            file,
            health: place.health,
        })
    }

    /// Starts it, on what it has kept.
    pub(crate) fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = tied(&self.binary);
        self.program.spawn(command.arg("-c").arg(&self.file))
    }

    /// Waits until it says that all its streams are as they should be.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        let (health, program) = (self.health, &mut self.program);
        until("a NATS server is well", START, || {
            program.check()?;
            Ok(status(health, "/healthz") == Some(200))
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

fn configuration(name: &str, place: &Place<'_>) -> String {
    let Place {
        client,
        route,
        health,
        others,
        ..
    } = place;
    let store = place.store.display();
    let account = format!("authorization {{ user: \"{USER}\", password: \"{PASSWORD}\" }}");
    let tls = place.certificates.map_or(String::new(), |files| {
        let Certificates { ca, leaf, key } = files;
        let (ca, leaf, key) = (ca.display(), leaf.display(), key.display());
        format!("tls {{ ca_file: \"{ca}\", cert_file: \"{leaf}\", key_file: \"{key}\" }}")
    });
    let mut text = format!(
        "server_name: \"{name}\"\nlisten: \"{client}\"\nhttp: \"{health}\"\nmax_payload: 17MB\n{account}\n{tls}\n\
         jetstream {{ store_dir: \"{store}\", max_mem: 1GB, max_file: 4GB }}\n"
    );
    if !others.is_empty() {
        let url = |other: &SocketAddr| format!("\"nats://{USER}:{PASSWORD}@{other}\"");
        let routes = others.iter().map(url).collect::<Vec<_>>().join(", ");
        // What servers tell of each other would lead around the links of the fault tests; the list of routes is complete.
        text += &format!(
            "cluster {{ name: \"cometql\", listen: \"{route}\", routes: [{routes}]\n{account}\n{tls}\n\
             advertise: \"127.0.0.1:1\", no_advertise: true }}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::{output, root};

    #[test]
    fn nats_takes_the_examples_of_the_documentation() {
        let Ok(nats) = nats_server() else {
            eprintln!("skipped: no nats-server");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let files = Certificates::make(folder.path()).unwrap();
        let page = std::fs::read_to_string(root().join("docs-site/operating/cluster.md")).unwrap();
        let blocks: Vec<_> = page.split("```nats\n").skip(1).collect();
        assert_eq!(blocks.len(), 2);
        let mut texts: Vec<String> = Vec::new();
        for block in blocks {
            let text = block.split("```").next().unwrap();
            let text = text.replace("/etc/nats/cert.pem", &files.leaf.display().to_string());
            let text = text.replace("/etc/nats/key.pem", &files.key.display().to_string());
            let text = text.replace("/etc/nats/ca.pem", &files.ca.display().to_string());
            texts.push(text.replace("/var/lib/nats", &folder.path().display().to_string()));
        }
        let file = folder.path().join("nats.conf");
        let test = |text: &str| {
            std::fs::write(&file, text).unwrap();
            output(Command::new(&nats).arg("-t").arg("-c").arg(&file))
        };
        for text in &texts {
            test(text).unwrap();
        }
        assert!(test("listen: \"0.0.0.0:4222\"\nnonsense: 1\n").is_err());
    }
}
