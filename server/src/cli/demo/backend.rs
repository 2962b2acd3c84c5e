//! The backend of the demos' pages: a program of its own, which ends with this one, however this one ends.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// `kill -9` leaves nobody who could end the backend, so its shell waits for the end of its input, which comes then, too.
const SHELL: &str = r#"sh -c "$1" & backend=$!; cat > /dev/null; kill $backend"#;

/// It ends when this is dropped.
pub(super) struct Backend {
    address: SocketAddr,
    shell: Child,
}

impl Backend {
    /// Starts it, to listen at a free port. What it prints goes to `backend.log`.
    pub(super) fn start(
        command: &str,
        mysql: SocketAddr,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = File::create(directory.join("backend.log"))?;
        let shell = Command::new("sh")
            .args(["-c", SHELL, "backend", command])
            .env("COMETQL_HOST", mysql.ip().to_string())
            .env("COMETQL_PORT", mysql.port().to_string())
            .env("COMETQL_PASSWORD", super::KEY)
            .env("LISTEN", address.to_string())
            .env("DATABASE", directory.join("backend.sqlite"))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the node alone; this ends after it.
            .process_group(0)
            .spawn()
            .context("can't start the backend's shell")?;
        Ok(Self { address, shell })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // That it can't be waited for is as good as that it has ended.
        _ = self.shell.wait();
    }
}
