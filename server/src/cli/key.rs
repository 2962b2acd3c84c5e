//! The flags that give a key.

use std::path::Path;

use anyhow::Context as _;

/// The same for `serve` and `sql`.
#[derive(clap::Args)]
pub(super) struct KeyOptions {
    /// The key; for `serve` that of all tenants that have none of their own. Other users of this machine can see flags:
    /// prefer --password-file or the variable.
    #[arg(
        long,
        env = "COMETQL_PASSWORD",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub(super) password: Option<String>,
    /// A file with the key.
    #[arg(
        long,
        env = "COMETQL_PASSWORD_FILE",
        value_name = "FILE",
        conflicts_with = "password"
    )]
    pub(super) password_file: Option<String>,
}

impl KeyOptions {
    /// The key that was given, or that of a data directory.
    pub(super) fn read(&self, data_dir: &Path) -> anyhow::Result<String> {
        match (&self.password, &self.password_file) {
            (Some(key), _) => Ok(key.clone()),
            (None, Some(file)) => key_of(Path::new(file)),
            (None, None) => key_of(&data_dir.join(crate::config::KEY_FILE))
                .context("give the key with --password-file, or COMETQL_PASSWORD"),
        }
    }
}

fn key_of(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("can't read the key from {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
