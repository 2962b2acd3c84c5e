//! The configuration: what a node's owner can set, with every default. A file in TOML, then the environment
//! (`COMETQL_HTTP_LISTEN`), then flags: the later wins.
//!
//! Owns the format, checks it and says what is wrong on which line. Starts nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

mod channels;
mod check;
mod cluster;
mod debug;
mod environment;
mod file;
mod jwt;
mod keys;
mod limits;
mod reload;
mod settings;
mod units;

pub use channels::ChannelEntry;
pub use cluster::{ClusterSection, QuorumLoss};
pub use file::{ConfigError, load, parse};
pub use jwt::JwtEntry;
pub use keys::{KEY_FILE, KeyError};
pub use limits::LimitsSection;
pub use units::{Bytes, Span};

use units::optional;

/// The commented default file, as `cometql config` prints it.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// Everything that can be configured. An empty text stands for "none" or "off".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node itself.
    pub server: ServerSection,
    /// The port of browsers.
    pub http: HttpSection,
    /// The port of backends.
    pub mysql: MysqlSection,
    /// The port of administrators.
    pub admin: AdminSection,
    /// Keys and rights that are no channel's.
    pub auth: AuthSection,
    /// The original's browser protocol.
    pub legacy: LegacySection,
    /// Other nodes.
    pub cluster: ClusterSection,
    /// Sizes, rates and counts.
    pub limits: LimitsSection,
    /// What is logged, and how.
    pub log: LogSection,
    /// Keys of single tenants, by number.
    pub tenants: BTreeMap<String, TenantSection>,
    /// Keys that sign tokens.
    pub jwt_keys: Vec<JwtEntry>,
    /// Who may do what to which channel, first match first.
    pub channels: Vec<ChannelEntry>,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// The node's name in `/info` and in logs.
    pub node: String,
    /// Where everything that must last lives.
    pub data_dir: String,
    /// Threads that own connections; 0 = one for each core.
    pub shards: usize,
    /// When a write counts as kept.
    pub durability: Durability,
    /// Tenants are numbered below this.
    pub tenants: u32,
    /// Over how long a stop spreads the reconnects of its clients.
    pub restart_spread: Span,
}

/// `durability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Survives a crash of the process.
    Process,
    /// Survives loss of power.
    Power,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// Where it listens; port 0 takes a free one.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
    /// PEM file with the certificate chain; empty = no TLS.
    pub tls_certificate: String,
    /// PEM file with its private key.
    pub tls_key: String,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Networks that must begin each connection with the PROXY protocol.
    pub proxy_protocol: Vec<String>,
    /// Pages that may connect.
    pub origins: Vec<String>,
    /// A folder whose files are served; empty = none.
    pub files: String,
    /// How often each connection is pinged.
    pub ping: Span,
    /// How long a closed client may take to read what waits and to close its side.
    pub close_wait: Span,
    /// How long a client may refuse to read an answer that is no session.
    pub write_time: Span,
}

/// `[mysql]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MysqlSection {
    /// Where it listens; port 0 takes a free one.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
    /// PEM file with the certificate chain; empty = no TLS.
    pub tls_certificate: String,
    /// PEM file with its private key.
    pub tls_key: String,
    /// Networks that must begin each connection with the PROXY protocol.
    pub proxy_protocol: Vec<String>,
    /// How the literals of `message` and `data` are read.
    pub escaping: Escaping,
    /// Whether who does not use TLS is refused.
    pub require_tls: bool,
    /// Most logged-in connections at once.
    pub connections: usize,
    /// Most logged-in connections of one tenant; 0 = as many as of all.
    pub tenant_connections: usize,
    /// Most connections at once that have not logged in.
    pub strangers: usize,
    /// How long a log-in may take.
    pub log_in_time: Span,
    /// How long a connection may be idle.
    pub idle_time: Span,
    /// How long a client may refuse to read an answer.
    pub write_time: Span,
    /// How long a client may pause within a packet.
    pub read_time: Span,
    /// How long open connections may take to end when the server stops.
    pub stop_time: Span,
    /// Most prepared statements of a connection.
    pub prepared_statements: usize,
    /// Most bytes that a connection may send ahead for its prepared statements.
    pub long_data: Bytes,
}

/// `escaping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Escaping {
    /// JSON with single backslashes is taken raw, all else is unescaped.
    Auto,
    /// Always unescaped.
    Mysql,
    /// Never unescaped.
    Raw,
}

/// `[admin]`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// Where it listens; port 0 takes a free one.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
    /// Whether the browser port answers the same paths.
    pub on_http: bool,
    /// Any of them proves the user `admin`.
    pub keys: Vec<String>,
    /// How long a log-in to the console lasts.
    pub session: Span,
}

/// `[auth]`.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSection {
    /// The key of every tenant that has none of its own.
    pub key: String,
    /// A file with that key.
    pub key_file: String,
    /// Who may read `users_data` from a browser.
    pub user_data: UserData,
}

/// `user_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserData {
    /// Everybody, as in the original.
    #[default]
    Anyone,
    /// Logged-in users.
    Authorised,
    /// Only the user.
    #[serde(rename = "self")]
    Own,
}

/// `[legacy]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LegacySection {
    /// Whether the protocol is answered at all.
    pub enabled: bool,
    /// Whether tokens signed with the SQL key and the tenant's number are accepted there.
    pub derived_secret: bool,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// What is logged: a level, or levels by module.
    pub level: String,
    /// For people or for programs.
    pub format: LogFormat,
}

/// `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// `[tenants.N]`.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantSection {
    /// Any of them opens the tenant; none = the key of `[auth]` does.
    pub keys: Vec<String>,
    /// How the literals of `message` and `data` are read, where it differs from `[mysql]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escaping: Option<Escaping>,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            node: "n1".into(),
            data_dir: "cometql-data".into(),
            shards: 0,
            durability: Durability::Process,
            tenants: 100_000,
            restart_spread: Span::seconds(10),
        }
    }
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8087))),
            tls_certificate: String::new(),
            tls_key: String::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: Vec::new(),
            origins: vec!["*".into()],
            files: String::new(),
            ping: Span::seconds(25),
            close_wait: Span::seconds(5),
            write_time: Span::seconds(60),
        }
    }
}

impl Default for MysqlSection {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 3307))),
            tls_certificate: String::new(),
            tls_key: String::new(),
            proxy_protocol: Vec::new(),
            escaping: Escaping::Auto,
            require_tls: false,
            connections: 1_000,
            tenant_connections: 0,
            strangers: 100,
            log_in_time: Span::seconds(10),
            idle_time: Span::seconds(8 * 3600),
            write_time: Span::seconds(60),
            read_time: Span::seconds(30),
            stop_time: Span::seconds(5),
            prepared_statements: 1_024,
            long_data: Bytes(16 << 20),
        }
    }
}

impl Default for AdminSection {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8088))),
            on_http: false,
            keys: Vec::new(),
            session: Span::seconds(8 * 3600),
        }
    }
}

impl Default for LegacySection {
    fn default() -> Self {
        Self {
            enabled: true,
            derived_secret: true,
        }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Human,
        }
    }
}

#[cfg(test)]
mod tests;
