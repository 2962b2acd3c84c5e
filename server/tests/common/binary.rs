//! The binary as a process of its own, with a folder and a configuration.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use mysql_async::{Conn, OptsBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Client, PATIENCE, within};

/// Opens every tenant.
pub(crate) const KEY: &str = "the-first-key-of-all-tenants";
/// Opens every tenant, once configured.
pub(crate) const OTHER_KEY: &str = "the-second-key-of-all-tenants";
/// Signs tokens.
pub(crate) const JWT: &str = "the first secret that signs tokens, long enough";
/// Signs tokens, once configured.
pub(crate) const OTHER_JWT: &str = "the second secret that signs tokens, long enough";

/// The binary, with a folder of its own.
pub(crate) struct Node {
    pub(crate) process: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) browsers: SocketAddr,
    pub(crate) mysql: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) log: Receiver<String>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Another certificate for `localhost`, and its key.
pub(crate) fn write_pair(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

/// The configuration of a node.
pub(crate) fn configuration(folder: &Path, key: &str, jwt: &str, subscribe: &str) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "[http]\nlisten = '127.0.0.1:0'\n[admin]\nlisten = '127.0.0.1:0'\n[mysql]\nlisten = '127.0.0.1:0'\n\
         tls_certificate = '{}'\ntls_key = '{}'\n[server]\nshards = 2\ndata_dir = '{}'\nrestart_spread = '3 s'\n\
         [auth]\nkey = '{key}'\n[[jwt_keys]]\nalgorithm = 'HS256'\nsecret = '{jwt}'\n\
         [[channels]]\nprefix = 'news:'\nsubscribe = '{subscribe}'\n",
        file("certificate.pem"),
        file("key.pem"),
        file("data"),
    )
}

impl Node {
    /// On free ports, with the configuration of [`configuration`].
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, |text| text)
    }

    /// As `start`, with a changed configuration.
    pub(crate) fn start_with(flags: &[&str], change: impl FnOnce(String) -> String) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_cometql"));
        Self::start_as(program, flags, change)
    }

    /// As `start_with`, by a command that becomes the binary.
    pub(crate) fn start_as(
        command: Command,
        flags: &[&str],
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        let text = change(configuration(folder.path(), KEY, JWT, "anyone"));
        std::fs::write(folder.path().join("cometql.toml"), text).unwrap();
        Self::start_in(folder, command, flags)
    }

    /// Kills it without a warning, and starts it again with what it had stored.
    pub(crate) fn killed_and_started(mut self) -> Self {
        self.signal(Signal::KILL);
        self.process.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let program = Command::new(env!("CARGO_BIN_EXE_cometql"));
        Self::start_in(folder, program, &[])
    }

    fn start_in(folder: tempfile::TempDir, mut command: Command, flags: &[&str]) -> Self {
        let file = folder.path().join("cometql.toml");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COMETQL_")) {
            command.env_remove(name);
        }
        let mut process = command
            .args(["serve", "--config"])
            .arg(&file)
            .args(flags)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = channel();
        let errors = BufReader::new(process.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                _ = lines.send(line);
            }
        });
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut addresses = Vec::new();
        for line in said.map_while(Result::ok) {
            let (_, rest) = line.split_once(' ').unwrap();
            let (_, rest) = rest.trim().split_once("://").unwrap_or(("", rest.trim()));
            addresses.extend(rest.trim_end_matches("/console").parse::<SocketAddr>());
            if line.starts_with("capacity") {
                break;
            }
        }
        let [browsers, mysql, admin] = addresses[..] else {
            let log: Vec<_> = log.iter().collect();
            panic!("it did not start: {log:?}");
        };
        Self {
            process,
            folder,
            browsers,
            mysql,
            admin,
            log,
        }
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Puts a configuration in place and says so; returns the log's answer.
    pub(crate) fn reload(&self, key: &str, jwt: &str, subscribe: &str) -> String {
        let text = configuration(self.folder.path(), key, jwt, subscribe);
        self.reload_text(&text).pop().unwrap()
    }

    /// As `reload`, with this text; returns all lines up to the log's answer.
    pub(crate) fn reload_text(&self, text: &str) -> Vec<String> {
        std::fs::write(self.file("cometql.toml"), text).unwrap();
        self.signal(Signal::HUP);
        let mut lines = Vec::new();
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap();
            let last = line.contains("configuration") && line.contains("reloaded");
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// A backend of tenant 0.
    pub(crate) async fn backend(&self, key: &str) -> Result<Conn, mysql_async::Error> {
        let options = OptsBuilder::default()
            .ip_or_hostname(self.mysql.ip().to_string())
            .tcp_port(self.mysql.port())
            .user(Some("root"))
            .pass(Some(key));
        within(Conn::new(options)).await
    }

    /// A browser.
    pub(crate) async fn browser(&self) -> Client {
        Client::at(self.browsers, "/connect?v=1").await
    }

    /// Whether a token of this secret logs in.
    pub(crate) async fn takes(&self, jwt: &str) -> bool {
        let connect = json!({"id": 1, "connect": {"token": token(jwt)}});
        let answer = self.browser().await.ask(&connect.to_string()).await;
        answer["connected"]["user"] == 5
    }

    /// Whether an anonymous browser may subscribe to `news:a`.
    pub(crate) async fn may_subscribe(&self) -> bool {
        let mut browser = self.browser().await;
        let answer = browser.ask(r#"{"id":1,"subscribe":"news:a"}"#).await;
        answer["subscribed"].is_object()
    }
}

/// A token of user 5.
pub(crate) fn token(secret: &str) -> String {
    lasting(secret, 600)
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs()
}

/// A token of user 5 that lasts so many seconds.
pub(crate) fn lasting(secret: &str, seconds: u64) -> String {
    let claims = json!({"sub": "5", "exp": now() + seconds});
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}
