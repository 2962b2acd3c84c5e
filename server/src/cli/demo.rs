//! `cometql demo`: a node to try things out, with a page and a key that is printed.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use cometql_protocol::{TenantId, UserId};

use super::node::Node;
use super::{logs, runtime, say};
use crate::config::Config;

const PAGE: &str = include_str!("../../../demo/index.html");
const STYLE: &str = include_str!("../../../demo/style.css");
const SCRIPT: &str = include_str!("../../../demo/demo.js");

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
    write_page(&files).with_context(|| format!("can't write the page to {}", files.display()))?;
    let mut config = Config::default();
    config.http.listen = Some(options.http);
    config.http.files = files.display().to_string();
    config.mysql.listen = Some(options.mysql);
    config.admin.listen = Some(options.admin);
    config.server.data_dir = directory.join("data").display().to_string();
    config.auth.key = KEY.to_owned();
    config.log.level = "warn".to_owned();
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
        announce(&node, &line);
        node.run_until_stopped(move || Ok(config.clone())).await
    })
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

fn write_page(directory: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, text) in [
        ("index.html", PAGE),
        ("style.css", STYLE),
        ("demo.js", SCRIPT),
    ] {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}

/// What to type; empty without a MySQL port.
fn line(node: &Node) -> String {
    node.app.mysql_address().map_or(String::new(), |mysql| {
        format!(
            "mysql -h {} -P {} -u root -p{KEY} CometQL_v1 \\\n  \
             -e \"INSERT INTO pipes_messages (name, event, message) VALUES ('web_demo', 'hello', 'Hello from SQL')\"\n",
            mysql.ip(),
            mysql.port()
        )
    })
}

fn announce(node: &Node, line: &str) {
    let mut text = format!(
        "\nCometQL runs. Open this page, in two windows if you like:\n\n  http://{}/\n",
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
