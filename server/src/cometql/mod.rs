//! The language: what the MySQL port, `POST /sql` and the console understand. Text in, rows or a count out.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cometql_engine::MessageId;
use cometql_protocol::TenantId;

use crate::auth::{Keyring, Tokens};
use crate::hub::Hub;
use crate::metrics::{Metrics, StatementKind};
use crate::quota::Quota;
use crate::storage::Store;

pub mod catalog;
mod database;
pub mod errors;
mod escaping;
mod execute;
mod explain;
mod fate;
mod idle;
mod lookup;
mod outcome;
mod parse;
mod processes;
pub(crate) mod select;
mod show;
mod tables;
mod turns;
pub(crate) mod variables;

pub use database::{DATABASE, LogInKey, choose_database};
pub use idle::Idle;
pub use outcome::{Column, ColumnKind, Done, Outcome, RowSet, SqlError, Value, Warning};
pub use processes::{End, ProcessGuard, ProcessRow, Processes};
pub use turns::{Place, Turns};

/// What every statement may use. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The shards.
    pub hub: Hub,
    /// The store.
    pub store: Store,
    /// Sizes and modes. A reload changes how literals are read.
    pub settings: Arc<ArcSwap<Settings>>,
    /// To see which tenants a log-in's key opens (`USE db_N`).
    pub keyring: Arc<Keyring>,
    /// To see whose a revoked token is.
    pub tokens: Arc<Tokens>,
    /// The open MySQL connections.
    pub processes: Arc<Processes>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Bytes of statements that are received, carried out or prepared, from [`Settings::statement_memory`].
    pub memory: Arc<Quota>,
    /// Who waits for whom, from [`Settings::turns`].
    pub turns: Arc<Turns>,
}

impl Context {
    /// In a cluster: the same, with a hub that notes which members did not answer what a statement asks of all.
    fn noting(&self, parsed: &parse::Parsed) -> Option<Self> {
        // Publications have no time for this, and ask nobody.
        if matches!(parsed, parse::Parsed::Insert(_)) {
            return None;
        }
        let hub = self.hub.noting()?;
        Some(Self {
            hub,
            ..self.clone()
        })
    }
}

/// Limits and modes of the language, with their defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Longest INSERT or REPLACE, in bytes.
    pub insert_bytes: usize,
    /// Longest other statement, in bytes.
    pub statement_bytes: usize,
    /// Most terms (operators, list entries, set operations) outside of VALUES.
    pub terms: usize,
    /// Most rows of an INSERT.
    pub insert_rows: usize,
    /// How literals in text columns are read.
    pub escaping: Escaping,
    /// Most rows that a SELECT returns or a table snapshot holds.
    pub select_rows: usize,
    /// Longest time of a SELECT, in milliseconds.
    pub select_ms: u64,
    /// SELECTs that run at once; 0 = two for each core. Look-ups by key don't count.
    pub select_concurrency: usize,
    /// SELECTs of one tenant that run at once; 0 = three quarters of all.
    pub select_concurrency_per_tenant: usize,
    /// Longest payload of a publication or private message, in bytes.
    pub publication_bytes: usize,
    /// Most bytes of statements at once, on the whole node.
    pub memory_bytes: usize,
    /// Tenants with settings of their own.
    pub tenants: BTreeMap<TenantId, Self>,
}

impl Settings {
    /// Those of a tenant.
    #[must_use]
    pub fn of(&self, tenant: TenantId) -> &Self {
        self.tenants.get(&tenant).unwrap_or(self)
    }

    /// These, but literals are read as the others say.
    #[must_use]
    pub fn reading_as(&self, others: &Self) -> Self {
        let common = Self {
            escaping: others.escaping,
            tenants: BTreeMap::new(),
            ..self.clone()
        };
        let own = others.tenants.iter().map(|(&tenant, others)| {
            let escaping = others.escaping;
            let settings = Self {
                escaping,
                ..common.clone()
            };
            (tenant, settings)
        });
        Self {
            tenants: own.collect(),
            ..common.clone()
        }
    }

    /// A place for each SELECT that may run at once, and the turns of changes.
    #[must_use]
    pub fn turns(&self) -> Arc<Turns> {
        let places = match self.select_concurrency {
            0 => 2 * std::thread::available_parallelism().map_or(1, NonZero::get),
            places => places,
        };
        let of_tenant = match self.select_concurrency_per_tenant {
            0 => places - places.div_ceil(4).min(places - 1),
            of_tenant => of_tenant,
        };
        Arc::new(Turns::new(places, of_tenant))
    }

    /// Memory for statements: half of it for any one tenant, so that none takes it from all others.
    #[must_use]
    pub fn statement_memory(&self) -> Arc<Quota> {
        Quota::new(self.memory_bytes, self.memory_bytes / 2)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insert_bytes: 16 << 20,
            statement_bytes: 64 << 10,
            terms: 4_000,
            insert_rows: 100_000,
            escaping: Escaping::Auto,
            select_rows: 1_000_000,
            select_ms: 10_000,
            select_concurrency: 0,
            select_concurrency_per_tenant: 0,
            publication_bytes: 1 << 20,
            memory_bytes: 256 << 20,
            tenants: BTreeMap::new(),
        }
    }
}

/// How the literals of `message` and `data` are read (spec: CometQL compatibility, "Escaping: our rule").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escaping {
    /// A literal that is JSON with single backslashes is taken raw, any other is unescaped as in MySQL.
    #[default]
    Auto,
    /// As in MySQL.
    Mysql,
    /// As in the original: no unescaping at all.
    Raw,
}

/// One backend's conversation: what `SELECT @@x`, `USE` and `SHOW WARNINGS` depend on.
#[derive(Debug, Clone)]
pub struct SqlSession {
    /// Whose rows all statements see.
    pub tenant: TenantId,
    /// True for the `[admin]` log-in: node-wide views.
    pub admin: bool,
    /// As shown by `SHOW PROCESSLIST`, and `CONNECTION_ID()`.
    pub connection: u32,
    /// The user name of the log-in.
    pub user: String,
    /// The key that proved the log-in, for [`choose_database`].
    pub key: LogInKey,
    /// The chosen database, may be empty.
    pub database: String,
    /// `@@last_message_id`: the id of the last publication or private message of this session.
    pub last_message_id: Option<MessageId>,
    /// How long its connection may be idle.
    pub idle: Idle,
    /// What `SHOW WARNINGS` tells of the last statement.
    pub warnings: Vec<Warning>,
}

/// A parsed statement. Placeholders (`?`) are still open.
#[derive(Debug, Clone)]
pub struct Statement {
    parsed: parse::Parsed,
    parameters: usize,
}

impl Statement {
    /// How many values [`execute`] wants.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The columns that a SELECT or SHOW will return, for `COM_STMT_PREPARE`; empty for other statements.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        execute::columns(&self.parsed)
    }
}

/// Reads one or several statements separated by `;`. Literals are read as the text protocol demands; values that are
/// bound to placeholders later are never unescaped. Empty text is one statement without effect.
///
/// # Errors
/// Code 3 (syntax, says near what), 11 and 17 (length), 18–21 (too many), 2 (not implemented), 15 (table), 14 (column).
pub fn parse(sql: &str, settings: &Settings) -> Result<Vec<Statement>, SqlError> {
    let statements = parse::parse(sql, settings)?;
    let statements = statements.into_iter();
    Ok(statements
        .map(|(parsed, parameters)| Statement { parsed, parameters })
        .collect())
}

/// Carries out one statement with values for its placeholders.
///
/// # Errors
/// See [`errors::CODES`] for all codes.
pub async fn execute(
    context: &Context,
    session: &mut SqlSession,
    statement: &Statement,
    values: &[Value],
) -> Result<Outcome, SqlError> {
    if values.len() != statement.parameters {
        return Err(SqlError::new(
            12,
            format!(
                "{} values are needed, but {} were given",
                statement.parameters,
                values.len()
            ),
        ));
    }
    let noting = context.noting(&statement.parsed);
    let asked = noting.as_ref().unwrap_or(context);
    let outcome = execute::execute(asked, session, &statement.parsed, values).await;
    session.warnings.extend(errors::unheard(&asked.hub));
    let kind = statement.parsed.kind();
    context.metrics.statement(kind, outcome.is_ok());
    outcome
}

/// A statement that was handed in and whose answer nobody has awaited yet.
pub(crate) struct Started(Result<tables::Started, SqlError>);

/// Hands in a statement that is one publication and nothing else, without waiting for its answer; `None` for every other
/// statement, which then was not carried out. Publications that were started one after the other keep their order.
pub(crate) fn start(
    context: &Context,
    session: &SqlSession,
    statement: &Statement,
) -> Option<Started> {
    let parse::Parsed::Insert(insert) = &statement.parsed else {
        return None;
    };
    tables::start(context, session, insert).map(Started)
}

impl Started {
    /// Whether the answer is here.
    pub(crate) fn has_arrived(&mut self) -> bool {
        match &mut self.0 {
            Ok(started) => started.pending().has_arrived(),
            Err(_) => true,
        }
    }

    /// Waits until the answer is here. Cancel-safe.
    pub(crate) async fn arrival(&mut self) {
        if let Ok(started) = &mut self.0 {
            started.pending().arrival().await;
        }
    }

    /// Waits for the answer.
    pub(crate) async fn finish(
        self,
        context: &Context,
        session: &mut SqlSession,
    ) -> Result<Outcome, SqlError> {
        session.warnings.clear();
        let outcome = match self.0 {
            Ok(started) => started.finish(session).await.map(Outcome::Done),
            Err(error) => Err(error),
        };
        context
            .metrics
            .statement(StatementKind::Insert, outcome.is_ok());
        outcome
    }
}
