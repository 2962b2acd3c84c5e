//! Where logs go: standard error, for people or as JSON.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// Libraries whose logs hold values of statements: hashes, tokens, payloads. They are silent at every level.
const SILENT: [&str; 1] = ["sqlparser=off"];

/// Starts logging.
pub(super) fn start(section: &LogSection) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(&section.level)
        .with_context(|| format!("log.level = {:?}", section.level))?;
    for directive in SILENT {
        filter = filter.add_directive(directive.parse()?);
    }
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match section.format {
        LogFormat::Human => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("can't start logging: {error}"))
}
