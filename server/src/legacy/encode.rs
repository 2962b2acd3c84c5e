//! Messages to the original's clients: one JSON object a frame, keys in alphabetical order as in the original.
//!
//! Two rules keep a message alive in both JavaScript clients, which replace `\'` by `'` in the text of a frame before
//! they parse it, and split it at line feeds: an apostrophe is always written `\u0027`, and no raw line feed is sent.

use std::borrow::Cow;
use std::fmt::Write as _;

use cometql_engine::{InboxMessage, Now, Publication};

/// `serverInfo.server`, which no client of the original reads.
const SERVER: &str = "CometQL (compatible with CppComet community 4.09)";
const APOSTROPHE: &str = r"\u0027";

/// The content of a message.
pub(super) enum Data<'a> {
    /// Sent as a JSON string.
    Text(&'a str),
    /// Valid JSON on one line, sent as it is to newer clients and as a JSON string to old ones.
    Json(String),
}

/// A message with the original's keys. `None` and false keys are left out.
pub(super) struct Message<'a> {
    pub(super) info: Option<&'a str>,
    pub(super) authorized: Option<bool>,
    pub(super) data: Data<'a>,
    pub(super) event: &'a str,
    pub(super) from_queue: bool,
    pub(super) history: bool,
    pub(super) marker: Option<&'a str>,
    /// Unix seconds.
    pub(super) time: Option<u64>,
    pub(super) pipe: &'a str,
    pub(super) user_id: Option<u64>,
}

impl<'a> Message<'a> {
    /// A message with data, event and pipe only.
    pub(super) fn new(data: Data<'a>, event: &'a str, pipe: &'a str) -> Self {
        Self {
            info: None,
            authorized: None,
            data,
            event,
            from_queue: false,
            history: false,
            marker: None,
            time: None,
            pipe,
            user_id: None,
        }
    }

    /// The text of the frame; `old` for clients before version 4.
    pub(super) fn encode(&self, old: bool) -> String {
        let mut out = String::with_capacity(self.data.len() + 192);
        out.push('{');
        if let Some(info) = self.info {
            push_field(&mut out, "_info", info);
        }
        if old {
            push_field(&mut out, "api_data", "for major_version < 4");
        }
        if let Some(authorized) = self.authorized {
            // Client 3.25 compares with the text "true".
            let quote = if old { "\"" } else { "" };
            _ = write!(out, r#""authorized":{quote}{authorized}{quote},"#);
        }
        self.push_data(&mut out, old);
        push_field(&mut out, "event", self.event);
        if old {
            push_field(&mut out, "event_name", self.event);
        }
        if self.from_queue {
            out.push_str(r#""fromQueue":true,"#);
        }
        if self.history {
            out.push_str(r#""history":true,"#);
        }
        if let Some(marker) = self.marker {
            push_field(&mut out, "marker", marker);
        }
        if let Some(time) = self.time {
            _ = write!(out, r#""message_send_time":{time},"#);
        }
        push_field(&mut out, "pipe", self.pipe);
        if self.authorized.is_some() {
            push_field(&mut out, "server", SERVER);
        }
        if let Some(user) = self.user_id {
            _ = write!(out, r#""user_id":{user},"#);
        }
        out.pop();
        out.push('}');
        out
    }

    fn push_data(&self, out: &mut String, old: bool) {
        match &self.data {
            Data::Text(text) => push_field(out, "data", text),
            Data::Json(json) if old => push_field(out, "data", &json.replace('\'', APOSTROPHE)),
            Data::Json(json) => {
                _ = write!(out, r#""data":{},"#, json.replace('\'', APOSTROPHE));
            }
        }
    }
}

impl Data<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Json(json) => json.len(),
        }
    }
}

/// A live publication of a channel, the same for all subscribers with clients of one format: `old` = before version 4.
///
/// `data` is always a JSON string of the payload's text, which the clients parse once more.
#[must_use]
pub fn encode_publication(publication: &Publication, old: bool) -> String {
    let pipe = publication.channel.as_str();
    let event = publication.event.as_str();
    let data = payload(&publication.data, publication.data_is_json);
    let mut message = Message::new(Data::Text(&data), event, pipe);
    // The original sends these two without a time.
    if !is_status(pipe, event, &publication.data) {
        message.time = Some(publication.time_ms / 1000);
    }
    message.user_id = publication
        .from_browser
        .then(|| publication.user.map_or(0, |user| user.get()));
    message.encode(old)
}

fn is_status(pipe: &str, event: &str, data: &str) -> bool {
    pipe.starts_with("user_status_") && matches!(event, "online" | "offline") && data == event
}

/// A private message: one that waited says so and when it was sent; a live one has no time.
pub(super) fn inbox_message(message: &InboxMessage, old: bool) -> String {
    let data = payload(&message.data, message.data_is_json);
    let mut out = Message::new(Data::Text(&data), message.event.as_str(), "msg");
    out.from_queue = message.waited;
    out.time = message.waited.then_some(message.time_ms / 1000);
    out.encode(old)
}

/// A message on the pipe `sys`.
pub(super) fn system<'a>(data: Data<'a>, event: &'a str, now: Now) -> Message<'a> {
    let mut message = Message::new(data, event, "sys");
    message.time = Some(now.seconds());
    message
}

/// The payload's text. In a JSON payload an apostrophe after a backslash is escaped once more, because the clients
/// replace `\'` in the payload too; as text it stays what it is.
pub(super) fn payload(text: &str, is_json: bool) -> Cow<'_, str> {
    if is_json && text.contains(r"\'") {
        Cow::Owned(text.replace(r"\'", r"\\u0027"))
    } else {
        Cow::Borrowed(text)
    }
}

fn push_field(out: &mut String, key: &str, text: &str) {
    let json = serde_json::to_string(text).expect("a str always becomes JSON text");
    // In JSON text an apostrophe stands only within strings, where its escape means the same.
    if json.contains('\'') {
        _ = write!(out, r#""{key}":{},"#, json.replace('\'', APOSTROPHE));
    } else {
        _ = write!(out, r#""{key}":{json},"#);
    }
}
