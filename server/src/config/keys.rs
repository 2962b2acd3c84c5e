//! Where the keys of tenants come from: flags, files, the configuration, or made at the first start.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cometql_protocol::TenantId;
use uuid::Uuid;

use super::Config;
use super::jwt::read;
use crate::auth::Keys;

/// The file in the data directory with the key that was made at the first start.
pub const KEY_FILE: &str = "key";

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The configuration has something wrong about keys.
    #[error("{0}")]
    Wrong(String),
    /// The key file in the data directory can't be used.
    #[error("can't use the key file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Config {
    /// The keys that are configured; none at all is no error.
    ///
    /// # Errors
    /// What is wrong with a key, its file or a tenant's number.
    pub fn configured_keys(&self) -> Result<Keys, String> {
        let mut default = Vec::new();
        match (self.auth.key.as_str(), self.auth.key_file.as_str()) {
            ("", "") => {}
            (key, "") => default.push(key.to_owned()),
            ("", file) => default.push(read(file)?.trim_end_matches(['\r', '\n']).to_owned()),
            _ => return Err("auth: give key or key_file, not both".into()),
        }
        let mut keys = Keys {
            admin: self.admin.keys.clone(),
            default,
            tenant_limit: self.server.tenants,
            ..Keys::default()
        };
        for (number, section) in &self.tenants {
            let tenant = tenant(number, self.server.tenants)?;
            if !section.keys.is_empty() {
                keys.tenants.insert(tenant, section.keys.clone());
            }
        }
        let all = [&keys.admin, &keys.default].into_iter();
        if all
            .chain(keys.tenants.values())
            .flatten()
            .any(String::is_empty)
        {
            return Err("a key is empty".into());
        }
        Ok(keys)
    }

    /// The keys in force. Without a configured one, the key that was made at the first start; then it is made if need
    /// be, readable by the owner of the process only.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn keys(&self, data_directory: &Path) -> Result<Keys, KeyError> {
        let mut keys = self.configured_keys().map_err(KeyError::Wrong)?;
        if keys.default.is_empty() && keys.tenants.is_empty() {
            let path = data_directory.join(KEY_FILE);
            let key = kept_key(&path).map_err(|source| KeyError::File { path, source })?;
            keys.default.push(key);
        }
        Ok(keys)
    }
}

fn tenant(number: &str, limit: u32) -> Result<TenantId, String> {
    let tenant = number.parse::<u32>().ok();
    tenant
        .filter(|tenant| *tenant < limit && tenant.to_string() == number)
        .map(TenantId)
        .ok_or_else(|| {
            format!("tenants.{number}: a tenant is a number below {limit} (server.tenants)")
        })
}

fn kept_key(path: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {
            let empty = "it is empty: remove it to get a new key";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, empty));
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let key = Uuid::new_v4().simple().to_string();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    Ok(key)
}
