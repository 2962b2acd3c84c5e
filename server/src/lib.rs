//! The CometQL server: edges and wiring around the engine.
//!
//! `app` wires everything. `mysql` and `http`/`websocket`/`legacy`/`admin` are the doors; `cometql` is the language that
//! the MySQL port, `POST /sql` and the console share; `hub` is the door to the shards; `storage` keeps what must last;
//! `cluster` is the way to other nodes.

pub mod admin;
pub mod app;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod cometql;
pub mod config;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod hub;
pub mod legacy;
pub mod metrics;
pub mod mysql;
pub mod net;
pub mod quota;
pub(crate) mod shard;
pub mod storage;
pub(crate) mod websocket;
