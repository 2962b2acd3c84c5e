//! The server under test: a child process on free ports with a data directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::cluster::ports::quiet_ports;
use crate::load::wait_for;
use crate::process::{output, target_dir};

/// The key of its tenant 0: it lives as long as the tests and listens on loopback only.
pub(super) const KEY: &str = "client-tests-only";

/// It ends when this is dropped.
pub(super) struct Server {
    pub(super) mysql: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
    /// The certificate that clients must trust.
    pub(super) authority: PathBuf,
    child: Child,
    folder: TempDir,
}

/// The server's program as `cargo build` leaves it.
pub(super) fn binary() -> PathBuf {
    target_dir().join("debug/cometql")
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what we want here.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Server {
    pub(super) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let ports = quiet_ports(3)?;
        let (mysql, http, admin) = (ports[0], ports[1], ports[2]);
        let authority = make_certificate(folder.path())?;
        let config = folder.path().join("cometql.toml");
        std::fs::write(&config, config_text(folder.path()))?;
        let mut child = Command::new(binary())
            .args(["serve", "--password", KEY])
            .args(["--mysql", &mysql.to_string()])
            .args(["--http", &http.to_string()])
            .args(["--admin", &admin.to_string()])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(folder.path().join("stdout"))?)
            .stderr(std::fs::File::create(folder.path().join("stderr"))?)
            .spawn()
            .context("cannot start target/debug/cometql")?;
        for address in [mysql, http, admin] {
            if let Err(error) = wait_for(address, &mut child) {
                return Err(error.context(said(folder.path())));
            }
        }
        Ok(Self {
            mysql,
            http,
            admin,
            authority,
            child,
            folder,
        })
    }

    /// What it printed so far.
    pub(super) fn said(&self) -> String {
        said(self.folder.path())
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn said(folder: &Path) -> String {
    ["stdout", "stderr"]
        .map(|name| std::fs::read_to_string(folder.join(name)).unwrap_or_default())
        .concat()
}

fn make_certificate(folder: &Path) -> anyhow::Result<PathBuf> {
    let file = folder.join("certificate.pem");
    output(
        Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(folder.join("key.pem"))
            .arg("-out")
            .arg(&file),
    )?;
    Ok(file)
}

fn config_text(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[mysql]\ntls_certificate = \"{folder}/certificate.pem\"\ntls_key = \"{folder}/key.pem\"\n"
    )
}
