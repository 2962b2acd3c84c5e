//! The server that is killed: the real binary, always on the same ports and data directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::cluster::ports::quiet_ports;
use crate::load::wait_for;

/// The key of its tenant 0: it lives as long as the test and listens on loopback only.
pub(super) const KEY: &str = "crash-test-only";

/// Durable channels whose replays and inboxes are longer than any outage here; presence that anybody may ask for.
const CONFIGURATION: &str = r#"
[limits]
history_page = 1000000
inbox_messages = 1000000
[[channels]]
prefix = "web_witness"
subscribe = "anyone"
presence = "anyone"
history = "durable"
history_length = 1000000
"#;

/// The server, or the place where it was.
pub(super) struct Node {
    pub(super) http: SocketAddr,
    pub(super) mysql: SocketAddr,
    binary: PathBuf,
    folder: TempDir,
    child: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Node {
    pub(super) fn new(binary: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let ports = quiet_ports(2)?;
        std::fs::write(folder.path().join("cometql.toml"), CONFIGURATION)?;
        Ok(Self {
            http: ports[0],
            mysql: ports[1],
            binary,
            folder,
            child: None,
        })
    }

    /// Starts the process and does not wait for it.
    pub(super) fn spawn(&mut self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))?;
        let child = Command::new(&self.binary)
            .args(["serve", "--password", KEY, "--admin", "127.0.0.1:0"])
            .args(["--http", &self.http.to_string()])
            .args(["--mysql", &self.mysql.to_string()])
            .arg("--config")
            .arg(folder.join("cometql.toml"))
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Returns once it takes connections.
    pub(super) fn wait(&mut self) -> anyhow::Result<()> {
        let child = self.child.as_mut().context("it was started")?;
        for address in [self.http, self.mysql] {
            wait_for(address, child).with_context(|| said(self.folder.path()))?;
        }
        Ok(())
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which the checks will tell.
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// The end of its log.
fn said(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
