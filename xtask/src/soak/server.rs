//! The server whose memory is watched.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

use super::memory::Memory;
use crate::load::{free_port, wait_for};

/// The key of its tenant 0: it lives as long as the run and listens on loopback only.
pub(super) const KEY: &str = "soak-only";
/// Half of the channels keep a short history on disk; anybody may ask who is there.
const CONFIGURATION: &str = r#"
[[channels]]
prefix = "web_soakdurable"
presence = "anyone"
history = "durable"
history_length = 100
"#;

/// It ends when this is dropped.
pub(super) struct Server {
    pub(super) http: SocketAddr,
    pub(super) mysql: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what we want here.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Server {
    pub(super) fn start(binary: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("cometql.toml");
        std::fs::write(&config, CONFIGURATION)?;
        let (http, mysql) = (free_port()?, free_port()?);
        let mut child = Command::new(binary)
            .args(["serve", "--password", KEY, "--admin", "127.0.0.1:0"])
            .args(["--http", &http.to_string(), "--mysql", &mysql.to_string()])
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        for address in [http, mysql] {
            wait_for(address, &mut child)?;
        }
        Ok(Self {
            http,
            mysql,
            child,
            _folder: folder,
        })
    }

    /// What it has of memory now.
    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        let file = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&file).context("the server has ended")?;
        Memory::parse(&status).context("the kernel's file is not as expected")
    }
}
