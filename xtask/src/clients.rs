//! `cargo xtask clients`: the server against the MySQL clients that people use, each unmodified, each its own process.
//!
//! A client sends awkward texts in each of its ways (escaped, prepared, in bulk …), reads them back and provokes errors. It
//! passes if, besides, a subscribed browser received exactly these texts, in order. The scripts are in `clients/`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

mod cases;
mod catalog;
mod examples;
mod install;
mod server;
mod watch;

use crate::ci::{Ending, Tally, nothing_may_be_skipped};
use crate::process::{cargo, install_packages, root, run as run_command};
use crate::{demo, package};
use catalog::{CLIENTS, CONNECTOR_J, Client, Runtime};
use server::{KEY, Server};
use watch::Watch;

/// A client that takes longer hangs. Browsers need an eighth of it on a machine that has nothing else to do.
const MOST_TIME: Duration = Duration::from_secs(360);

/// Which clients.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only clients whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// Runs them all and fails if one failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    match run_chosen(&options.only, &mut tally)? {
        Ending::Failed(why) => bail!(why),
        Ending::Passed | Ending::Skipped(_) => Ok(()),
    }
}

/// As a step of `cargo xtask ci`.
pub(crate) fn step(tally: &mut Tally) -> anyhow::Result<Ending> {
    run_chosen(&[], tally)
}

/// A folder with the scripts for browsers, beside the packages that they need.
pub(crate) fn browser_scripts() -> anyhow::Result<PathBuf> {
    install::node()
}

/// Installs and builds what pages with the npm package need in this browser; or says what is missing.
pub(crate) fn prepare_pages(browser: &str) -> anyhow::Result<Option<String>> {
    let name = format!("package-{browser}");
    let client = CLIENTS.iter().find(|client| client.name == name);
    let client = client.with_context(|| format!("no client is called {name}"))?;
    install_packages(&install::missing_packages(client.needs.iter()));
    install::why_not(client)
}

fn run_chosen(only: &[String], tally: &mut Tally) -> anyhow::Result<Ending> {
    let chosen: Vec<&Client> = CLIENTS
        .iter()
        .filter(|client| is_chosen(only, client.name))
        .collect();
    let needs = chosen.iter().flat_map(|client| client.needs.iter());
    install_packages(&install::missing_packages(needs));
    run_command(&mut cargo(&["build", "--package", "cometql-server"]))?;
    let server = Server::start()?;
    let cases = cases::write(server.folder())?;
    let mut failed = Vec::new();
    for (at, client) in chosen.iter().enumerate() {
        let start = Instant::now();
        let ending = match client.costs {
            Some(costs) if only.is_empty() => Ending::Skipped(format!(
                "takes {costs}: cargo xtask clients --only {}",
                client.name
            )),
            _ => run_client(client, &server, &cases, &format!("web_client_{at}")),
        };
        report(client.name, start, &ending, tally, &mut failed);
    }
    for example in examples::all()? {
        let name = format!("example-{}", example.language);
        if is_chosen(only, &name) {
            let start = Instant::now();
            let ending = run_example(&example, &server);
            report(&name, start, &ending, tally, &mut failed);
        }
    }
    println!("clients: {tally}");
    if failed.is_empty() {
        return Ok(Ending::Passed);
    }
    println!("the server said:\n{}", server.said());
    Ok(Ending::Failed(failed.join(", ")))
}

fn is_chosen(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|part| name.contains(part))
}

fn report(
    name: &str,
    start: Instant,
    ending: &Ending,
    tally: &mut Tally,
    failed: &mut Vec<String>,
) {
    tally.count(ending);
    let seconds = start.elapsed().as_secs_f64();
    match ending {
        Ending::Passed => println!("client {name:36} passed  {seconds:5.1} s"),
        Ending::Skipped(why) => println!("client {name:36} skipped: {why}"),
        Ending::Failed(why) => {
            println!("client {name:36} FAILED  {seconds:5.1} s\n  {why}");
            failed.push(name.to_owned());
        }
    }
}

/// An example must run to its end, and the browser must receive what it promises.
fn run_example(example: &examples::Example, server: &Server) -> Ending {
    let try_example = || -> anyhow::Result<()> {
        let promise = example.promise().context("it sends no greeting")?;
        let watch = Watch::open(server.http, "web_news")?;
        run_limited(&mut example.command(server)?, server.folder())?;
        let seen = watch.collect(1)?;
        let texts: Vec<_> = seen.iter().map(|(_, text)| text.as_str()).collect();
        ensure!(
            texts == [promise],
            "the browser saw {texts:?} instead of {promise:?}"
        );
        Ok(())
    };
    match try_example() {
        Ok(()) => Ending::Passed,
        Err(error) => Ending::Failed(format!("{error:#}")),
    }
}

fn run_client(client: &Client, server: &Server, cases: &cases::Files, channel: &str) -> Ending {
    match install::why_not(client) {
        Ok(None) => {}
        Ok(Some(why)) if nothing_may_be_skipped() => return Ending::Failed(why),
        Ok(Some(why)) => return Ending::Skipped(why),
        Err(error) => return Ending::Failed(format!("{error:#}")),
    }
    match try_client(client, server, cases, channel) {
        Ok(()) => Ending::Passed,
        Err(error) => Ending::Failed(format!("{error:#}")),
    }
}

fn try_client(
    client: &Client,
    server: &Server,
    cases: &cases::Files,
    channel: &str,
) -> anyhow::Result<()> {
    let mut command = command(client)?;
    let watch = Watch::open(server.http, channel)?;
    command
        .env("COMETQL_BINARY", server::binary())
        .env("COMETQL_HTTP", server.http.to_string())
        .env("COMETQL_README", root().join("README.md"))
        .env("COMETQL_HOST", "127.0.0.1")
        .env("COMETQL_PORT", server.mysql.port().to_string())
        .env("COMETQL_ADMIN", server.admin.to_string())
        .env("COMETQL_PASSWORD", KEY)
        .env("COMETQL_AUTH", client.auth)
        .env("COMETQL_CHANNEL", channel)
        .env("COMETQL_CASES", &cases.json)
        .env("COMETQL_CASES_BASE64", &cases.base64);
    if client.tls {
        command.env("COMETQL_CA", &server.authority);
    }
    if let Some(browser) = client.package {
        command
            .env("COMETQL_BROWSER", browser)
            .env("COMETQL_PACKAGE", package::dist());
    }
    if let Some(app) = client.app {
        command.env("COMETQL_APP", install::app(app)?);
    }
    if let Some(version) = client.original {
        command.env("COMETQL_ORIGINAL", install::original(version)?);
    }
    if client.demos {
        command
            .env("COMETQL_DEMO_SITE", demo::site())
            .env("COMETQL_DEMO_PYTHON", demo::python(&install::python()?))
            .env("COMETQL_DEMO_PHP", demo::php());
    }
    let printed = run_limited(&mut command, server.folder())?;
    if client.browser {
        return Ok(());
    }
    let ways: Vec<&str> = printed
        .lines()
        .find_map(|line| line.strip_prefix("ways: "))
        .context("the client did not say in which ways it sent")?
        .split(' ')
        .collect();
    compare(
        watch.collect(ways.len() * cases.texts.len())?,
        &ways,
        &cases.texts,
    )
}

/// Browsers must have seen each text once for each way, in order.
fn compare(seen: Vec<watch::Seen>, ways: &[&str], texts: &[String]) -> anyhow::Result<()> {
    let expected: Vec<_> = ways
        .iter()
        .flat_map(|way| texts.iter().map(|text| ((*way).to_owned(), text.clone())))
        .collect();
    ensure!(
        seen.len() == expected.len(),
        "the browser saw {} publications instead of {}",
        seen.len(),
        expected.len()
    );
    for (seen, expected) in seen.iter().zip(&expected) {
        ensure!(
            seen == expected,
            "the browser saw {:.300?} instead of {:.300?}",
            seen,
            expected
        );
    }
    Ok(())
}

fn command(client: &Client) -> anyhow::Result<Command> {
    let script =
        |folder: &str| -> PathBuf { root().join("clients").join(folder).join(client.script) };
    Ok(match client.runtime {
        Runtime::Python => {
            let mut command = Command::new(install::python()?);
            command.arg(script("python"));
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
        Runtime::Php => {
            let mut command = Command::new("php");
            command.arg(script("php"));
            command
        }
        Runtime::Node | Runtime::Browser => {
            let mut command = Command::new("node");
            command.arg(client.script).current_dir(install::node()?);
            command
        }
        Runtime::Java => {
            let mut command = Command::new("java");
            command.args(["-cp", CONNECTOR_J]).arg(script("java"));
            command
        }
    })
}

/// Runs a client to its end and returns what it printed; one that hangs is ended.
fn run_limited(command: &mut Command, folder: &Path) -> anyhow::Result<String> {
    let (out, err) = (folder.join("client-stdout"), folder.join("client-stderr"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out)?)
        .stderr(std::fs::File::create(&err)?)
        .spawn()
        .context("cannot start the client")?;
    let status = wait_limited(&mut child)?;
    let said = std::fs::read_to_string(&err).unwrap_or_default();
    ensure!(status.success(), "{status}: {}", last_lines(&said));
    Ok(std::fs::read_to_string(&out)?)
}

/// The end of what a client said, where the cause usually stands.
pub(crate) fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n  ")
}

fn wait_limited(child: &mut Child) -> anyhow::Result<std::process::ExitStatus> {
    let until = Instant::now() + MOST_TIME;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            bail!("it had not ended after {MOST_TIME:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_misses_doubles_or_swaps_is_noticed() {
        let texts = ["a".to_owned(), "b".to_owned()];
        let seen = |pairs: &[(&str, &str)]| {
            let seen = pairs
                .iter()
                .map(|(way, text)| ((*way).to_owned(), (*text).to_owned()));
            compare(seen.collect(), &["x"], &texts).is_ok()
        };
        assert!(seen(&[("x", "a"), ("x", "b")]));
        assert!(!seen(&[("x", "a")]));
        assert!(!seen(&[("x", "a"), ("x", "b"), ("x", "b")]));
        assert!(!seen(&[("x", "b"), ("x", "a")]));
        assert!(!seen(&[("y", "a"), ("x", "b")]));
    }
}
