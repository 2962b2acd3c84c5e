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
