//! Frames of the server, read by the browser's own `JSON.parse`: serde_json would double what a page downloads.
//!
//! The same fields as `protocol::wire::decode_incoming` reads, and a test that compares the two (`examples/frames.rs`).

use cometql_protocol::client::{Incoming, Refusal, Reply, Subscribed};
use cometql_protocol::wire::Position;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::number::whole;

#[wasm_bindgen]
extern "C" {
    /// A frame as it came, still JavaScript's string.
    #[wasm_bindgen(typescript_type = "string")]
    pub type Text;

    #[wasm_bindgen(catch, js_namespace = JSON)]
    fn parse(text: &Text) -> Result<Fields, JsValue>;

    /// A text as a JSON string, quotes included.
    #[wasm_bindgen(js_namespace = JSON)]
    pub(crate) fn stringify(text: &str) -> String;

    /// What stands in a frame, or in an object in it.
    type Fields;

    #[wasm_bindgen(method, structural, getter)]
    fn push(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn channel(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn offset(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn previous(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn id(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn error(this: &Fields) -> Fields;
    #[wasm_bindgen(method, structural, getter)]
    fn connected(this: &Fields) -> Fields;
    #[wasm_bindgen(method, structural, getter)]
    fn refreshed(this: &Fields) -> Fields;
    #[wasm_bindgen(method, structural, getter)]
    fn subscribed(this: &Fields) -> Fields;
    #[wasm_bindgen(method, structural, getter)]
    fn code(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn message(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn retry_after_ms(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn expires(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn epoch(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn recovered(this: &Fields) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn replayed(this: &Fields) -> JsValue;
}

/// Reads a frame of the server; `None` when it is none of version 1, or of a kind that only newer clients know.
#[must_use]
pub fn decode_incoming(text: &Text) -> Option<Incoming> {
    let frame = object(parse(text).ok()?)?;
    if let Some(kind) = frame.push().as_string() {
        return push(&kind, &frame);
    }
    let id = u32::try_from(count(&frame.id())?).ok()?;
    Some(Incoming::Reply(id, reply(&frame)?))
}

fn push(kind: &str, frame: &Fields) -> Option<Incoming> {
    if kind == "message" {
        return count(&frame.offset()).map(Incoming::Message);
    }
    let channel = frame.channel().as_string()?;
    match kind {
        "publication" => {
            let offsets = count(&frame.offset()).zip(count(&frame.previous()));
            Some(Incoming::Publication(channel, offsets))
        }
        "join" | "leave" => Some(Incoming::Presence(channel)),
        "gap" => Some(Incoming::Gap(channel)),
        "unsubscribed" => {
            let error = object(frame.error())?;
            Some(Incoming::Unsubscribed(channel, refusal(&error)?))
        }
        _ => None,
    }
}

fn reply(frame: &Fields) -> Option<Reply> {
    if let Some(error) = object(frame.error()) {
        return refusal(&error).map(Reply::Refused);
    }
    if let Some(connected) = object(frame.connected()) {
        let expires = count(&connected.expires());
        return Some(Reply::Connected { expires });
    }
    if let Some(refreshed) = object(frame.refreshed()) {
        let expires = count(&refreshed.expires());
        return Some(Reply::Refreshed { expires });
    }
    match object(frame.subscribed()) {
        Some(fields) => subscribed(&fields).map(Reply::Subscribed),
        None => Some(Reply::Answer),
    }
}

fn subscribed(fields: &Fields) -> Option<Subscribed> {
    let epoch = fields.epoch().as_string();
    let epoch = epoch.and_then(|epoch| epoch.parse().ok());
    let position = epoch.zip(count(&fields.offset()));
    Some(Subscribed {
        position: position.map(|(epoch, offset)| Position { epoch, offset }),
        recovered: fields.recovered().as_bool()?,
        replayed: count(&fields.replayed())?,
    })
}

fn refusal(error: &Fields) -> Option<Refusal> {
    Some(Refusal {
        code: error.code().as_string()?,
        message: error.message().as_string()?,
        retry_after_ms: count(&error.retry_after_ms()),
    })
}

fn object(value: Fields) -> Option<Fields> {
    value.is_object().then_some(value)
}

fn count(value: &JsValue) -> Option<u64> {
    let number = value.as_f64().filter(|number| *number >= 0.0)?;
    Some(whole(number))
}
