//! `cometql token`: makes a JWT for development. Nothing of a running node is asked.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};

use super::say;
use crate::auth::KeySource;
use crate::config::{self, Span};

/// Flags of `token`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The user: 1 to 2^53-1.
    #[arg(long, value_name = "N")]
    user: u64,
    /// The tenant, as the claim `tenant`.
    #[arg(long, value_name = "N")]
    tenant: Option<u32>,
    /// How long it is valid.
    #[arg(long, value_name = "TIME", default_value = "1 h")]
    expires: Span,
    /// A further claim; the value is JSON if it can be, else text.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// The secret (HS256).
    #[arg(
        long,
        env = "COMETQL_TOKEN_SECRET",
        value_name = "TEXT",
        hide_env_values = true
    )]
    secret: Option<String>,
    /// A configuration whose first [[jwt_keys]] entry with a secret signs.
    #[arg(
        long,
        env = "COMETQL_CONFIG",
        value_name = "FILE",
        conflicts_with = "secret"
    )]
    config: Option<PathBuf>,
}

/// Prints a token.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let (id, secret) = signer(options)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut claims = Map::new();
    claims.insert("sub".into(), json!(options.user.to_string()));
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now + options.expires.0 / 1000));
    if let Some(tenant) = options.tenant {
        claims.insert("tenant".into(), json!(tenant));
    }
    for claim in &options.claims {
        let (name, value) = claim
            .split_once('=')
            .with_context(|| format!("--claim {claim}: write it as NAME=VALUE"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
        claims.insert(name.into(), value);
    }
    let header = Header {
        kid: id,
        ..Header::default()
    };
    let key = EncodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::encode(&header, &claims, &key)?;
    say(&format!("{token}\n"));
    Ok(())
}

fn signer(options: &Options) -> anyhow::Result<(Option<String>, String)> {
    if let Some(secret) = &options.secret {
        return Ok((None, secret.clone()));
    }
    let Some(file) = &options.config else {
        bail!("give --secret TEXT, or --config FILE with a [[jwt_keys]] entry that has a secret");
    };
    let config = config::load(Some(file), std::iter::empty())?;
    let keys = config.token_settings().map_err(anyhow::Error::msg)?.keys;
    keys.into_iter()
        .find_map(|key| match key.source {
            KeySource::Secret(secret) => Some((key.id, secret)),
            _ => None,
        })
        .with_context(|| format!("{} has no [[jwt_keys]] entry with a secret", file.display()))
}
