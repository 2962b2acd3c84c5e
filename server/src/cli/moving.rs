//! `cometql import` and `cometql export`: a single node's data into a cluster, and back.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::progress::Progress;
use super::{logs, runtime, say};
use crate::cluster::Cluster;
use crate::cluster::moving::{self, Importing, Report, Tally};
use crate::config::{self, Config};
use crate::storage::{self, Durability, OpenError, Store};

/// Flags of `import`.
#[derive(clap::Args)]
pub(super) struct Import {
    /// The data directory of a single node that does not run, or a copy that `cometql backup` made. May be given several
    /// times: one is copied after the other.
    #[arg(long, value_name = "DIR", required = true)]
    data_dir: Vec<PathBuf>,
    /// The configuration file of a member of the cluster: [cluster], limits and rules count.
    #[arg(long, env = "COMETQL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rows of tables that the cluster has otherwise become those of the data directory. Without it, the cluster's stay.
    #[arg(long)]
    overwrite: bool,
}

/// Flags of `export`.
#[derive(clap::Args)]
pub(super) struct Export {
    /// The data directory to make; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The configuration file of a member of the cluster: [cluster], limits and rules count.
    #[arg(long, env = "COMETQL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Import {
    /// Copies data directories into the cluster.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let config = read(self.config.as_deref())?;
        runtime()?.block_on(until_stopped(
            self.import(&config),
            "stopped; what was copied is in the cluster: the same command goes on from there",
        ))
    }

    async fn import(&self, config: &Config) -> anyhow::Result<()> {
        for directory in &self.data_dir {
            if !storage::is_there(directory) {
                bail!(
                    "{} has no store: is it a data directory?",
                    directory.display()
                );
            }
        }
        let rules = config.rules().map_err(anyhow::Error::msg)?;
        let limits = config.engine_limits();
        let cluster = connect(config, "import").await?;
        for directory in &self.data_dir {
            let store = open(directory)?;
            let how = Importing {
                limits: &limits,
                rules: &rules,
                overwrite: self.overwrite,
            };
            let progress = Progress::default();
            let report = moving::import(&cluster, &store, how, &|step| progress.tell(step)).await;
            progress.end();
            store.shutdown().await;
            let report = report.with_context(|| format!("{}", directory.display()))?;
            say(&told(&directory.display().to_string(), &report));
            say(&self.advice(&report));
        }
        Ok(())
    }

    fn advice(&self, report: &Report) -> String {
        let mut text = String::new();
        let conflicts = report.conflicts_total();
        if conflicts > 0 {
            text += &format!(
                "{conflicts} rows are in the cluster with another value, or were removed there: the cluster's stay. \
                 --overwrite puts these in their place:\n"
            );
            for conflict in &report.conflicts {
                text += &format!("  {conflict}\n");
            }
            if conflicts > report.conflicts.len() as u64 {
                text += "  …\n";
            }
        }
        text
    }
}

impl Export {
    /// Copies the cluster's data into a new data directory.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let config = read(self.config.as_deref())?;
        runtime()?.block_on(until_stopped(
            self.export(&config),
            "stopped; nothing was made: the same command begins again",
        ))
    }

    async fn export(&self, config: &Config) -> anyhow::Result<()> {
        let target = &self.data_dir;
        if fs::read_dir(target).is_ok_and(|mut files| files.next().is_some()) {
            bail!(
                "{} is not empty: export makes a new data directory",
                target.display()
            );
        }
        let name = target.file_name().context("--data-dir has no name")?;
        let mut unfinished = name.to_owned();
        unfinished.push(".unfinished");
        let unfinished = target.with_file_name(unfinished);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_context(|| {
                format!("{} is of a run that was stopped", unfinished.display())
            })?;
        }
        let rules = config.rules().map_err(anyhow::Error::msg)?;
        let limits = config.engine_limits();
        let cluster = connect(config, "export").await?;
        let store = Store::open(&unfinished, Durability::Process)?;
        let progress = Progress::default();
        let tell = |step| progress.tell(step);
        let report = moving::export(&cluster, &store, &rules, &limits, &tell).await;
        progress.end();
        store.shutdown().await;
        if report.is_err() {
            // It was made above.
            _ = fs::remove_dir_all(&unfinished);
        }
        let report = report?;
        fs::rename(&unfinished, target)
            .with_context(|| format!("can't call {} {}", unfinished.display(), target.display()))?;
        say(&told(&target.display().to_string(), &report));
        Ok(())
    }
}

fn read(file: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = config::load(file, std::env::vars())?;
    let wrong = config.check();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    // The progress says what happens.
    config.log.level = "warn".to_owned();
    logs::start(&config.log)?;
    Ok(config)
}

/// Not a member: it only writes to the cluster's log and reads it.
async fn connect(config: &Config, name: &str) -> anyhow::Result<Cluster> {
    let Some(settings) = config.cluster_settings() else {
        bail!(
            "the configuration has no [cluster] with nats = [\"nats://…\"]: which cluster? Give --config FILE of one of its nodes"
        );
    };
    let node = name.to_owned();
    Ok(Cluster::connect(crate::cluster::Settings { node, ..settings }).await?)
}

fn open(directory: &Path) -> anyhow::Result<Store> {
    match Store::open(directory, Durability::Process) {
        Ok(store) => Ok(store),
        Err(error @ OpenError::Locked { .. }) => Err(error).context(
            "a node runs on this data directory, and what it took meanwhile would be missing. Stop it first; to try things \
             out, import a copy of it: `cometql backup --data-dir DIR TARGET`",
        ),
        Err(error) => Err(error.into()),
    }
}

/// Until it is done or told to stop.
async fn until_stopped(
    work: impl Future<Output = anyhow::Result<()>>,
    stopped: &'static str,
) -> anyhow::Result<()> {
    tokio::select! {
        done = work => done,
        told = tokio::signal::ctrl_c() => {
            told?;
            bail!(stopped)
        }
    }
}

/// One line for each part that has anything, for people and programs.
fn told(what: &str, report: &Report) -> String {
    let mut text = format!("{what}\n");
    let any = |tally: &Tally| *tally != Tally::default();
    for (part, tally) in report.parts.iter().filter(|(_, tally)| any(tally)) {
        text += &format!("  {part:<15} {} copied", tally.copied);
        for (count, word) in [
            (tally.there, "there already"),
            (tally.replaced, "replaced"),
            (tally.conflicts, "in conflict"),
            (tally.left_out, "left out (too old, or the inbox is full)"),
        ] {
            if count > 0 {
                text += &format!(", {count} {word}");
            }
        }
        text.push('\n');
    }
    if report.not_durable > 0 {
        text += &format!(
            "{} channels have a history, but are not durable by the rules of this configuration: their publications are kept, and \
             not shown until `history` of a rule or pipes_settings makes them durable.\n",
            report.not_durable
        );
    }
    if report.reordered > 0 {
        text += &format!(
            "{} messages changed places with others of their channel or inbox: a NATS server failed meanwhile.\n",
            report.reordered
        );
    }
    text
}
