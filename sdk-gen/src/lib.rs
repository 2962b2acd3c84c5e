//! The backend client of CometQL: what programs in Python, Kotlin and Swift call, and Rust as well.
//!
//! Everything that a client does is here, once. The languages add names and conventions of their own in `sdks/`, and
//! nothing that decides.

uniffi::setup_scaffolding!("cometql_sdk");

/// The version of this SDK, which is that of the server and the npm package it was made with.
#[uniffi::export]
#[must_use]
pub fn sdk_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
