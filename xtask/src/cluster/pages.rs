//! Pages with the npm package in a real browser while nodes are killed: `clients/browser/cluster_test.mjs` says which and when,
//! and judges what came.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use super::child::tied;
use super::node::{KEY, Node};
use crate::process::find_program;
use crate::{clients, package};

/// A script that says nothing for so long hangs. It waits for one thing at most a minute.
const SILENCE: Duration = Duration::from_secs(180);

/// Runs the script in a browser (`chromium`, `firefox`). `front` is where HAProxy takes browsers.
pub(super) fn run(
    browser: &str,
    nodes: &mut [Node],
    front: SocketAddr,
    channel: &str,
) -> anyhow::Result<()> {
    let program = find_program("node").context("node is installed")?;
    let mut said = tempfile::tempfile()?;
    let mut child = tied(Path::new(&program))
        .arg("cluster_test.mjs")
        .current_dir(clients::browser_scripts()?)
        .env("COMETQL_BROWSER", browser)
        .env("COMETQL_PACKAGE", package::dist())
        .env("COMETQL_CLUSTER", description(nodes, front, channel))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(said.try_clone()?)
        .spawn()
        .context("cannot start node")?;
    let obeyed = obey(&mut child, nodes);
    if obeyed.is_err() {
        // It may have ended by itself, which is as good.
        _ = child.kill();
    }
    let status = child.wait()?;
    let mut text = String::new();
    said.rewind()?;
    said.read_to_string(&mut text)?;
    obeyed.with_context(|| clients::last_lines(&text))?;
    ensure!(status.success(), "{status}: {}", clients::last_lines(&text));
    Ok(())
}

fn description(nodes: &[Node], front: SocketAddr, channel: &str) -> String {
    let nodes = nodes
        .iter()
        .map(|node| json!({"name": node.name, "http": node.http, "mysql": node.mysql}));
    let nodes: Vec<_> = nodes.collect();
    json!({"nodes": nodes, "front": front, "channels": [channel], "key": KEY}).to_string()
}

/// Kills and starts the nodes that the script names, until it ends.
fn obey(child: &mut Child, nodes: &mut [Node]) -> anyhow::Result<()> {
    let mut answers = child.stdin.take().context("it was asked for")?;
    let output = child.stdout.take().context("it was asked for")?;
    let (sender, orders) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    loop {
        let order = match orders.recv_timeout(SILENCE) {
            Ok(order) => order,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("nothing happened for {SILENCE:?}"),
        };
        let (what, name) = order.split_once(' ').context("an order has two words")?;
        let node = nodes.iter_mut().find(|node| node.name == name);
        let node = node.with_context(|| format!("no node is called {name}"))?;
        match what {
            "kill" => node.program().kill(),
            "start" => node.spawn().and_then(|()| node.wait())?,
            _ => bail!("{what} is no order"),
        }
        writeln!(answers, "done")?;
    }
}
