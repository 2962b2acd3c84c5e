//! Scenarios over a few shards with invented mailboxes and an invented store.

mod channels;
mod cluster;
mod crossings;
mod durable;
mod harness;
mod presence;
mod random;
mod rates;
mod replays;
mod retries;
mod rights;
mod store;
mod users;
