//! The original's browser protocol (`/ws/…`, `/comet-server/ws/…`), so that pages written for `CppComet` work unchanged.
//!
//! An adapter at the edge: text frames in, engine requests out, and back. Owns the original's format and its oddities,
//! so that nothing else has to know them. No sockets, no clock, no tokio; decides no rights beyond the original's own
//! (`web_`, `webauth_` and `track_` name tests), which come before those of the engine.
//!
//! What the edge does with it, for one connection:
//! 1. [`url::parse`] the request target. On an error: upgrade, send [`url::UrlError::frame`], drop TCP.
//! 2. Open the engine session with `SessionSettings { legacy: true, kind: "legacy", .. }` and `ClientInfo::uuid` from the
//!    URL, make an [`Adapter`], carry out [`Adapter::on_open`].
//! 3. When the credentials of its `connect` request were checked: [`Adapter::authenticated`] with the stored hash, then
//!    the engine's `Input::Authenticated`.
//! 4. Text (and binary) frames go to [`Adapter::feed`]; replies, refusals and pushes of the engine to
//!    [`Adapter::on_reply`], [`Adapter::on_refused`] and [`Adapter::on_push`]. Each [`Output::Request`] goes to the engine
//!    after the current `Shard::handle` has returned.
//! 5. `Push::Publication` is better served from the shared cache of [`encode_publication`], one entry for each value of
//!    [`Adapter::is_old`].
//!
//! **Never close such a socket cleanly.** The original's clients reconnect only after an unclean close: for a client's
//! close frame, a restart, a drain, a revocation or a slow consumer, drop TCP without a close frame.

pub mod adapter;
mod answer;
mod asked;
mod command;
mod encode;
mod hash;
pub mod url;

pub use adapter::{Adapter, Output};
pub use encode::encode_publication;
pub use hash::stored_hash;
