//! Settings as JavaScript gives them.

use cometql_protocol::client::Settings;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::number::{size, whole};

#[wasm_bindgen]
extern "C" {
    /// The interface `Settings` of `INTERFACE`.
    #[wasm_bindgen(typescript_type = "Settings")]
    pub type Given;

    #[wasm_bindgen(method, structural, indexing_getter)]
    fn number(this: &Given, name: &str) -> Option<f64>;

    #[wasm_bindgen(method, structural, getter, js_name = asksForTokens)]
    fn asks_for_tokens(this: &Given) -> bool;
}

/// What was given, and defaults for the rest.
pub(crate) fn settings(given: &Given) -> Settings {
    let time = |name, default| given.number(name).map_or(default, whole);
    let count = |name, default| given.number(name).map_or(default, size);
    let default = Settings::DEFAULT;
    Settings {
        urls: count("urls", default.urls),
        asks_for_tokens: given.asks_for_tokens(),
        several_tabs: default.several_tabs,
        connect_ms: time("connectMs", default.connect_ms),
        backoff_ms: time("backoffMs", default.backoff_ms),
        backoff_most_ms: time("backoffMostMs", default.backoff_most_ms),
        stable_ms: time("stableMs", default.stable_ms),
        ping_ms: time("pingMs", default.ping_ms),
        pong_ms: time("pongMs", default.pong_ms),
        refresh_ms: time("refreshMs", default.refresh_ms),
        publish_ms: time("publishMs", default.publish_ms),
        question_ms: time("questionMs", default.question_ms),
        queued_calls: count("queuedCalls", default.queued_calls),
        queued_bytes: count("queuedBytes", default.queued_bytes),
    }
}
