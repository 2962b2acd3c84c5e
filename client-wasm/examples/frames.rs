//! Frames as both readers understand them, the browser's and serde's, for the test that compares them
//! (`tests/frames.test.mjs`). No part of what is shipped.

use cometql_client_wasm::frame::{Text, decode_incoming};
use cometql_protocol::wire;
use wasm_bindgen::prelude::wasm_bindgen;

/// What `JSON.parse` reads, and what serde reads.
#[wasm_bindgen]
#[must_use]
pub fn readings(text: &Text) -> Vec<String> {
    let frame = text.as_string().unwrap_or_default();
    vec![
        format!("{:?}", decode_incoming(text)),
        format!("{:?}", wire::decode_incoming(&frame)),
    ]
}
