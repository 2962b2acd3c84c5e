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

/// What became of several publications or private messages.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct SentMany {
    /// The ids of the messages, UUIDs, in the order in which they were given.
    pub ids: Vec<String>,
    /// To how many connections of the node they were sent, all together.
    pub reached: u64,
    /// false: at least one was delivered to who is connected, but a cluster's log could not keep it (warning 207).
    pub stored: bool,
}

/// What is to be sent to one user.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct NewPrivateMessage {
    /// The user's id, 1 to 2^53 - 1.
    pub user: u64,
    /// The payload, 1 MiB at most unless the server is configured otherwise. The text of a JSON object or array arrives in
    /// browsers as that object or array, any other text as a string.
    pub message: String,
    /// A label that browsers can tell messages apart by: 0 to 64 of letters, digits, `_` and `-`.
    #[uniffi(default = "")]
    pub event: String,
    /// A UUID. Who sends again with the same one within 5 minutes sends once. None = the client makes one.
    #[uniffi(default = None)]
    pub id: Option<String>,
}

/// Which part of a history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct HistoryPage {
    /// Only publications with a larger offset; 0 = from the oldest one on.
    #[uniffi(default = 0)]
    pub after: u64,
    /// Most publications of the page: 1 to 1,000.
    #[uniffi(default = 100)]
    pub limit: u32,
}

impl Default for HistoryPage {
    fn default() -> Self {
        Self {
            after: 0,
            limit: 100,
        }
    }
}

/// A part of a history.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PublicationPage {
    /// The publications, the oldest first.
    pub publications: Vec<Publication>,
    /// Where the next page begins: give it as `after`. None = this was the last one.
    pub next: Option<u64>,
}

/// A publication that a channel keeps.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Publication {
    /// Its id, a UUID.
    pub id: String,
    /// Its label; may be empty.
    pub event: String,
    /// Its payload, as it was published.
    pub message: String,
    /// Which user's browser published it; None = a backend, or a browser that nobody had logged in to.
    pub user: Option<u64>,
    /// When it was published, by the clock of the server, in whole seconds.
    pub at: std::time::SystemTime,
    /// Its place in the channel: offsets rise, and there may be holes.
    pub offset: u64,
}

/// How a channel is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct ChannelSettings {
    /// How many publications it keeps on disk; the newest stay. 0 = none.
    pub length: u64,
}

/// A connection that is subscribed to a channel.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Presence {
    /// Whose it is; None = nobody has logged in there.
    pub user: Option<u64>,
    /// What the page named itself when it connected; may be empty.
    pub uuid: String,
    /// The browser, as it names itself.
    pub user_agent: String,
    /// Its address.
    pub ip: String,
    /// The origin of its page.
    pub origin: String,
    /// The languages that it asks for.
    pub language: String,
}

/// When a user was last online.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct LastSeen {
    /// The user's id.
    pub user: u64,
    /// Whether the user is online now, a short absence included.
    pub online: bool,
    /// When the user went offline, in whole seconds; None = is online, or was never seen.
    pub at: Option<std::time::SystemTime>,
}
