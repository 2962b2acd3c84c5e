//! The MySQL endpoint: any MySQL client logs in and speaks CometQL.
//!
//! Owns the wire side only: connections, packets, log-in, prepared statements. It must not know what a statement means:
//! that is `cometql`. The packet types of `mysql_common` are used wherever it has them
//! (docs-site/contributing/decisions/0001-mysql-codec.md).

mod auth;
mod commands;
mod connection;
#[cfg(test)]
mod fuzz;
mod gate;
mod handshake;
mod listener;
mod log_in;
mod packets;
mod parameters;
mod prepared;
mod resultset;
mod settings;
mod status;
mod strangers;
#[cfg(test)]
mod tests;

pub use listener::serve;
pub use settings::Settings;

/// What the greeting says: begins with a number that drivers can parse, since some choose what to send by it.
pub const SERVER_VERSION: &str = concat!("8.0.40-CometQL-", env!("CARGO_PKG_VERSION"));
