//! `cometql serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::key::KeyOptions;
use super::node::Node;
use super::{logs, runtime, say};
use crate::config::{self, Config, DEFAULT_FILE, KEY_FILE, LogFormat};

/// Flags of `serve`. Each overrides the configuration.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The configuration file.
    #[arg(long, env = "COMETQL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything that must last lives.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where browsers connect; port 0 = any free one.
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,
    /// Where MySQL clients connect; port 0 = any free one.
    #[arg(long, value_name = "ADDR:PORT")]
    mysql: Option<SocketAddr>,
    /// Where administrators connect; port 0 = any free one.
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    key: KeyOptions,
    /// Threads that own connections; 0 = one for each core.
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// What is logged: error, warn, info, debug, trace, or by module.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How logs are written.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Print the commented default configuration and end.
    #[arg(long)]
    print_config: bool,
}

impl Options {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(directory) = &self.data_dir {
            config.server.data_dir.clone_from(directory);
        }
        config.http.listen = self.http.or(config.http.listen);
        config.mysql.listen = self.mysql.or(config.mysql.listen);
        config.admin.listen = self.admin.or(config.admin.listen);
        config.server.shards = self.shards.unwrap_or(config.server.shards);
        let KeyOptions {
            password,
            password_file,
        } = &self.key;
        if password.is_some() || password_file.is_some() {
            config.auth.key = password.clone().unwrap_or_default();
            config.auth.key_file = password_file.clone().unwrap_or_default();
        }
        if let Some(level) = &self.log_level {
            config.log.level.clone_from(level);
        }
        config.log.format = self.log_format.unwrap_or(config.log.format);
        Ok(config)
    }
}

/// Runs a node until it is told to stop.
pub(super) fn run(options: Options) -> anyhow::Result<()> {
    if options.print_config {
        say(DEFAULT_FILE);
        return Ok(());
    }
    if options.key.password.as_deref() == Some("") {
        bail!("--password (or COMETQL_PASSWORD) is empty");
    }
    let config = options.config()?;
    logs::start(&config.log)?;
    runtime()?.block_on(async {
        let node = Node::start(&config)
            .await
            .context("the node did not start")?;
        announce(&node, &config);
        node.run_until_stopped(move || options.config()).await
    })
}

/// Which addresses were chosen, and how many connections fit. Programs may read these lines: one fact each.
fn announce(node: &Node, config: &Config) {
    let scheme = if config.http.tls_certificate.is_empty() {
        "http"
    } else {
        "https"
    };
    let mut text = format!("browsers  {scheme}://{}\n", node.app.http_address());
    if let Some(address) = node.app.mysql_address() {
        text += &format!("mysql     {address}\n");
    }
    if let Some(address) = node.app.admin_address() {
        text += &format!("admin     http://{address}/console\n");
    }
    text += &format!("capacity  {} connections\n", node.app.capacity());
    let made = std::path::Path::new(&config.server.data_dir).join(KEY_FILE);
    let configured = config.configured_keys();
    if configured.is_ok_and(|keys| keys.default.is_empty() && keys.tenants.is_empty()) {
        text += &format!("key       in {}\n", made.display());
    }
    say(&text);
}
