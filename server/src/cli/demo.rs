//! `cometql demo`: a node to try things out, with a page and a key that is printed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cometql_protocol::{TenantId, UserId};

use super::node::Node;
use super::{logs, runtime, say};
use crate::config::{self, Config};
use backend::Backend;

mod backend;
mod site;

const PAGE: &str = include_str!("../../../demo/index.html");
const STYLE: &str = include_str!("../../../demo/style.css");
const SCRIPT: &str = include_str!("../../../demo/demo.js");
/// The channels of the page and of the demos.
const CHANNELS: &str = include_str!("../../../demo/cometql.toml");

/// Not a secret: the node listens on this machine only.
const KEY: &str = "demo-key-for-this-machine-only-0";
/// Users that the page and the documentation log in as, with their hashes.
const USERS: &[(u64, &str)] = &[(1, "demohash1"), (2, "demohash2"), (3, "demohash3")];

/// Flags of `demo`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Where browsers connect; port 0 = any free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8087")]
    http: SocketAddr,
    /// Where MySQL clients connect; port 0 = any free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3307")]
    mysql: SocketAddr,
    /// Where administrators connect; port 0 = any free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8088")]
    admin: SocketAddr,
    /// Where its data lives; emptied by nobody but you.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A folder with more pages, which are served under /demo/.
    #[arg(long, value_name = "DIR")]
    site: Option<PathBuf>,
    /// A shell command that runs the backend of these pages. It is told by COMETQL_HOST, COMETQL_PORT and
    /// COMETQL_PASSWORD where this node is, by LISTEN where to listen, and by DATABASE which file is its own.
    #[arg(long, value_name = "COMMAND", requires = "site")]
    backend: Option<String>,
}

/// Runs the demo until it is told to stop.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    for address in [options.http, options.mysql, options.admin] {
        if !address.ip().is_loopback() {
            bail!(
                "{address} is reachable from other machines, and the demo's key is no secret: use `cometql serve`"
            );
        }
    }
    let directory = options.data_dir.clone().unwrap_or_else(own_directory);
    let files = directory.join("page");
    write_page(&files, options.site.as_deref())
        .with_context(|| format!("can't write the page to {}", files.display()))?;
    let config = configuration(options, &directory)?;
    logs::start(&config.log)?;
    runtime()?.block_on(async {
        let node = Node::start(&config).await?;
        let users = USERS.iter().filter_map(|(number, hash)| {
            let user = UserId::new(*number)?;
            Some((user, (*hash).to_owned()))
        });
        let store = node.app.store();
        store.set_hashes(TenantId(0), users.collect()).await?;
        let line = line(&node);
        // The page shows it too.
        std::fs::write(files.join("line.txt"), &line)?;
        let backend = match (&options.backend, node.app.mysql_address()) {
            (Some(command), Some(mysql)) => Some(Backend::start(command, mysql, &directory)?),
            _ => None,
        };
        if options.site.is_some() {
            site::describe(&files, &facts(&node, &line, backend.as_ref()))?;
        }
        announce(&node, &line, options.site.is_some());
        node.run_until_stopped(move || Ok(config.clone())).await
    })
}

fn configuration(options: &Options, directory: &Path) -> anyhow::Result<Config> {
    let mut config = config::parse("demo/cometql.toml", CHANNELS)?;
    config.http.listen = Some(options.http);
    config.http.files = directory.join("page").display().to_string();
    config.mysql.listen = Some(options.mysql);
    config.admin.listen = Some(options.admin);
    config.server.data_dir = directory.join("data").display().to_string();
    config.auth.key = KEY.to_owned();
    config.log.level = "warn".to_owned();
    Ok(config)
}

/// Kept between runs, so that a history shown yesterday is still there.
fn own_directory() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("cometql-demo")
}

fn write_page(directory: &Path, site: Option<&Path>) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, text) in [
        ("index.html", PAGE),
        ("style.css", STYLE),
        ("demo.js", SCRIPT),
    ] {
        std::fs::write(directory.join(name), text)?;
    }
    site::copy(site, &directory.join(site::FOLDER))
}

/// How to reach the node with a MySQL client; nothing without a MySQL port.
fn client(node: &Node) -> Option<String> {
    let mysql = node.app.mysql_address()?;
    let (host, port) = (mysql.ip(), mysql.port());
    Some(format!(
        "mysql -h {host} -P {port} -u root -p{KEY} CometQL_v1"
    ))
}

/// What to type; empty without a MySQL port.
fn line(node: &Node) -> String {
    client(node).map_or(String::new(), |client| {
        format!(
            "{client} \\\n  \
             -e \"INSERT INTO pipes_messages (name, event, message) VALUES ('web_demo', 'hello', 'Hello from SQL')\"\n"
        )
    })
}

/// What the demos' pages want to know of this node.
fn facts(node: &Node, line: &str, backend: Option<&Backend>) -> serde_json::Value {
    serde_json::json!({
        "line": line,
        "client": client(node),
        "kill": format!("kill -9 {}", std::process::id()),
        "console": node.app.admin_address().map(|admin| format!("http://{admin}/console")),
        "key": KEY,
        "backend": backend.map(|backend| format!("http://{}/", backend.address())),
    })
}

fn announce(node: &Node, line: &str, has_site: bool) {
    let path = if has_site { site::FOLDER } else { "" };
    let slash = if has_site { "/" } else { "" };
    let mut text = format!(
        "\nCometQL runs. Open this page, in two windows if you like:\n\n  http://{}/{path}{slash}\n",
        node.app.http_address()
    );
    if !line.is_empty() {
        let line = line.replace('\n', "\n  ");
        text += "\nand send to it with any MySQL client:\n\n  ";
        text += line.trim_end();
        text.push('\n');
    }
    if let Some(admin) = node.app.admin_address() {
        text += &format!("\nConsole: http://{admin}/console  (user root, key {KEY})\n");
    }
    text += "\nCtrl-C ends it.\n";
    say(&text);
}
