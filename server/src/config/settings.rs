//! From what is configured to what the parts of the server take.

use std::collections::BTreeMap;
use std::sync::Arc;

use cometql_engine::permission::UserDataRule;
use cometql_engine::{Limits, Rules};
use cometql_protocol::TenantId;

use super::{Config, Durability, Escaping, UserData};
use crate::auth::TokenSettings;
use crate::{cometql, storage};

impl Config {
    /// When a write counts as kept.
    #[must_use]
    pub fn durability(&self) -> storage::Durability {
        match self.server.durability {
            Durability::Process => storage::Durability::Process,
            Durability::Power => storage::Durability::Power,
        }
    }

    /// The channel rules.
    ///
    /// # Errors
    /// What is wrong with an entry.
    pub fn rules(&self) -> Result<Arc<Rules>, String> {
        let rules = self.channels.iter().enumerate().map(|(at, entry)| {
            let number = at + 1;
            let rule = entry.rule(number);
            rule.map_err(|why| format!("channels[{number}]: {why}"))
        });
        let user_data = match self.auth.user_data {
            UserData::Anyone => UserDataRule::Anyone,
            UserData::Authorised => UserDataRule::Authorised,
            UserData::Own => UserDataRule::Own,
        };
        Ok(Arc::new(Rules::new(
            rules.collect::<Result<_, _>>()?,
            user_data,
        )))
    }

    /// What is accepted as a token; reads key files.
    ///
    /// # Errors
    /// What is wrong with an entry or a file.
    pub fn token_settings(&self) -> Result<TokenSettings, String> {
        let keys = self.jwt_keys.iter().enumerate().map(|(at, entry)| {
            let number = at + 1;
            let key = entry.key(number);
            key.map_err(|why| format!("jwt_keys[{number}]: {why}"))
        });
        Ok(TokenSettings {
            keys: keys.collect::<Result<_, _>>()?,
            derived_secret: self.legacy.derived_secret,
        })
    }

    /// Sizes and counts of the engine.
    #[must_use]
    pub fn engine_limits(&self) -> Limits {
        self.limits.engine()
    }

    /// Sizes and modes of the language.
    #[must_use]
    pub fn language(&self) -> cometql::Settings {
        let limits = &self.limits;
        let common = cometql::Settings {
            insert_bytes: limits.insert.0,
            statement_bytes: limits.statement.0,
            terms: limits.statement_terms,
            insert_rows: limits.insert_rows,
            escaping: self.mysql.escaping.mode(),
            select_rows: limits.select_rows,
            select_ms: limits.select_time.0,
            select_concurrency: limits.select_concurrency,
            select_concurrency_per_tenant: limits.select_concurrency_per_tenant,
            publication_bytes: limits.publication.0,
            memory_bytes: limits.statement_memory.0,
            tenants: BTreeMap::new(),
        };
        let own = self.tenants.iter().filter_map(|(number, section)| {
            let escaping = section.escaping?.mode();
            let tenant = TenantId(number.parse().ok()?);
            let settings = cometql::Settings {
                escaping,
                ..common.clone()
            };
            Some((tenant, settings))
        });
        cometql::Settings {
            tenants: own.collect(),
            ..common.clone()
        }
    }
}

impl Escaping {
    fn mode(self) -> cometql::Escaping {
        match self {
            Self::Auto => cometql::Escaping::Auto,
            Self::Mysql => cometql::Escaping::Mysql,
            Self::Raw => cometql::Escaping::Raw,
        }
    }
}
