//! WebSocket connections (RFC 6455): handshake, frames, and the reading half of each connection.
//!
//! Owns bytes and close codes of the protocol; what a message means is the engine's. permessage-deflate is not offered.

mod assembler;
mod connection;
pub(crate) mod frame;
mod upgrade;

pub(crate) use assembler::Accepts;
pub(crate) use connection::{OnClose, Opened, run_tcp, run_tls};
pub(crate) use upgrade::{UpgradeError, accept_key};
