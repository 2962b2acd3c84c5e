//! Scenarios over a few shards with invented mailboxes and an invented store.

mod channels;
mod durable;
mod harness;
mod rights;
mod store;
mod users;
