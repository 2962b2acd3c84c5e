//! What calls take and return.

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct NewPublication {
    /// The channel: 3 to 64 of letters, digits, `_` and `-`; `.`, `:` and `/` where a channel rule allows them.
    pub channel: String,
    /// The payload, 1 MiB at most unless the server is configured otherwise. The text of a JSON object or array arrives in
    /// browsers as that object or array, any other text as a string.
    pub message: String,
    /// A label that subscribers can tell publications apart by: 0 to 64 of letters, digits, `_` and `-`.
    #[uniffi(default = "")]
    pub event: String,
    /// A UUID. Who sends again with the same one within 5 minutes publishes once. None = the client makes one.
    #[uniffi(default = None)]
    pub id: Option<String>,
}

/// What became of a publication or private message.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Sent {
    /// The id of the message, a UUID.
    pub id: String,
    /// To how many connections of the node it was sent. 0 if it had been sent before with the same id and the node restarted.
    pub reached: u64,
    /// false: it was delivered to who is connected, but a cluster's log could not keep it (warning 207).
    pub stored: bool,
}

/// How many subscribers a channel has.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Subscribers {
    /// The channel.
    pub channel: String,
    /// Subscribed connections of browsers.
    pub count: u64,
}

/// A warning of the server about a statement that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Warning {
    /// The server's code: 206 when a node did not answer, 207 when a message was not stored.
    pub code: u16,
    /// The server's words, for people.
    pub detail: String,
}

/// What a statement answered.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Answer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with one value for each column.
    pub rows: Vec<Vec<crate::Value>>,
    /// Affected rows.
    pub affected: u64,
    /// The insert id; 0 = none.
    pub insert_id: u64,
    /// The info string, like `Reached: 2`.
    pub info: String,
    /// Warnings.
    pub warnings: Vec<Warning>,
}
