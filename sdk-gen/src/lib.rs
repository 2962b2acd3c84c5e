//! The backend client of CometQL: what programs in Python, Kotlin and Swift call, and Rust as well.
//!
//! Everything that a client does is here, once. The languages add names and conventions of their own in `sdks/`, and
//! nothing that decides.
//!
//! With TLS, rustls gets aws-lc as the process's default provider, unless the program chose one before it connected.

mod bell;
mod calls;
mod client;
mod core;
mod error;
mod hosts;
mod link;
mod listen;
mod options;
mod records;
mod runtime;
mod small;
#[cfg(test)]
mod testing;
mod tls;
mod tokens;
mod value;

pub use client::{BlockingClient, Client};
pub use error::CometError;
pub use listen::{
    BlockingSubscription, ChannelSince, Credentials, Event, Listening, Position, PrivateMessage,
    Received, Subscription,
};
pub use options::{Options, Tls};
pub use records::{
    Answer, ChannelSettings, HistoryPage, LastSeen, NewPrivateMessage, NewPublication, Presence,
    Publication, PublicationPage, Sent, SentMany, Subscribers, Warning,
};
pub use tokens::{Algorithm, Claims, TokenKey, mint_token};
pub use value::Value;

uniffi::setup_scaffolding!("cometql_sdk");

/// The version of this SDK, which is that of the server and the npm package it was made with.
#[uniffi::export]
#[must_use]
pub fn sdk_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
