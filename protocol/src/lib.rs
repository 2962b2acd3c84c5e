//! What a browser and the server must agree on: names, wire messages, error and close codes, and the browser's session.
//!
//! Owns no state and does no I/O: no tokio, sockets, clocks or randomness. It builds for `wasm32-unknown-unknown`.

pub mod client;
pub mod codes;
pub mod names;
pub mod planted;
pub mod wire;

pub use codes::{Advice, CloseCode, ErrorCode};
pub use names::{ChannelName, EventName, NameError, TenantId, UserId};

/// Private messages with an offset from here on wait nowhere: a cluster's log could not take them. Each is acknowledged by
/// itself, and comes with the same offset again if it comes again. Logs have smaller ones; JSON's numbers go up to twice this.
pub const UNSTORED_OFFSET: u64 = 1 << 52;
