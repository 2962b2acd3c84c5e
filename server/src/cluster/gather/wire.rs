//! What members ask each other and answer, as JSON. Version 1: later versions may add fields and questions, which earlier
//! ones ignore or answer `unsupported`; what changes its meaning gets another name.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cluster::members::Beat;

mod happened;
mod meant;
mod rows;

pub(crate) use happened::EventTold;
pub(crate) use meant::names;
pub(super) use meant::{channels, users};
pub(super) use rows::channel;
pub(crate) use rows::{
    ChannelTold, ConnectionTold, FoundTold, MemberTold, OutlookTold, ProcessTold, SubscriberTold,
    TotalsTold,
};

/// The version of questions and answers.
pub(super) const VERSION: u8 = 1;

/// A question to members.
pub(crate) trait Ask: Serialize + DeserializeOwned {
    /// The last token of its subject.
    const WHAT: &'static str;
    /// What each member answers any number of.
    type Row: Serialize + DeserializeOwned;
}

/// A question with its version.
#[derive(Serialize)]
struct Question<'a, Q> {
    v: u8,
    #[serde(flatten)]
    question: &'a Q,
}

/// What stands in every answer.
#[derive(Deserialize)]
pub(super) struct Head {
    /// Who answers.
    pub(super) node: String,
    /// True when other parts follow.
    #[serde(default)]
    pub(super) more: bool,
    /// Why there are no rows.
    #[serde(default)]
    pub(super) error: Option<String>,
}

#[derive(Deserialize)]
struct Rows<T> {
    #[serde(default = "Vec::new")]
    rows: Vec<T>,
}

/// A question as it travels.
pub(super) fn question<Q: Ask>(question: &Q) -> String {
    let question = Question {
        v: VERSION,
        question,
    };
    json(&question)
}

/// A part of an answer, of rows that are JSON already.
pub(super) fn part(node: &str, rows: &[String], more: bool) -> String {
    let more = if more { "\"more\":true," } else { "" };
    let rows = rows.join(",");
    format!(
        "{{\"v\":{VERSION},\"node\":{},{more}\"rows\":[{rows}]}}",
        json(&node)
    )
}

/// The answer to a question that is not known here.
pub(super) fn unsupported(node: &str) -> String {
    format!(
        "{{\"v\":{VERSION},\"node\":{},\"error\":\"unsupported\"}}",
        json(&node)
    )
}

/// Reads what stands in every answer.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    serde_json::from_slice(bytes).ok()
}

/// Reads the rows of a part.
pub(super) fn rows<T: DeserializeOwned>(bytes: &[u8]) -> Option<Vec<T>> {
    let rows: Rows<T> = serde_json::from_slice(bytes).ok()?;
    Some(rows.rows)
}

/// Anything of this module as JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types have only string keys and finite numbers")
}

macro_rules! asks {
    ($($question:ty: $what:literal => $row:ty,)*) => {
        $(impl Ask for $question {
            const WHAT: &'static str = $what;
            type Row = $row;
        })*

        /// All of them.
        #[cfg(test)]
        pub(super) const ALL: &[&str] = &[$($what),*];
    };
}

asks! {
    BeatAsked: "beat" => Beat,
    ChannelsAsked: "channels" => ChannelTold,
    SubscribersAsked: "subscribers" => SubscriberTold,
    ConnectionsAsked: "connections" => ConnectionTold,
    OnlineAsked: "users_online" => u64,
    TotalsAsked: "totals" => TotalsTold,
    TraceAsked: "trace" => EventTold,
    PublicationsAsked: "find_publications" => FoundTold,
    OutlookAsked: "outlook" => OutlookTold,
    ForgottenAsked: "outboxes_forgotten" => u64,
    DisconnectAsked: "disconnect" => u64,
    MembersRemovedAsked: "members_removed" => bool,
    ProcessesAsked: "processes" => ProcessTold,
    KillAsked: "kill" => bool,
    PresenceAsked: "presence" => MemberTold,
    PresenceCountAsked: "presence_count" => u64,
    PostAsked: "post" => bool,
}

/// Who is there?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BeatAsked {}

/// How many are subscribed?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChannelsAsked {
    pub(crate) tenant: u32,
    /// Only of these; `None` = all that have subscribers.
    #[serde(default)]
    pub(crate) names: Option<Vec<String>>,
}

/// Who is subscribed?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SubscribersAsked {
    pub(crate) tenant: u32,
    #[serde(default)]
    pub(crate) names: Option<Vec<String>>,
}

/// Which connections are open?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConnectionsAsked {
    /// `None` = of all tenants.
    #[serde(default)]
    pub(crate) tenant: Option<u32>,
}

/// Which users are online?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OnlineAsked {
    pub(crate) tenant: u32,
    #[serde(default)]
    pub(crate) users: Option<Vec<u64>>,
}

/// How much is there?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TotalsAsked {
    #[serde(default)]
    pub(crate) tenant: Option<u32>,
}

/// What happened to sessions?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TraceAsked {
    pub(crate) tenant: u32,
    #[serde(default)]
    pub(crate) users: Option<Vec<u64>>,
}

/// Which channels keep a publication in memory?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PublicationsAsked {
    pub(crate) tenant: u32,
    /// 32 hexadecimal digits.
    pub(crate) id: String,
}

/// Where is a message that was handed to connections?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OutlookAsked {
    pub(crate) tenant: u32,
    pub(crate) user: u64,
    /// `None` = a private message.
    #[serde(default)]
    pub(crate) channel: Option<String>,
    pub(crate) offset: u64,
    pub(crate) time_ms: u64,
}

/// Until when has the trace forgotten something that outboxes told?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForgottenAsked {
    pub(crate) tenant: u32,
}

/// Close connections, and say how many.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "which", rename_all = "snake_case")]
pub(crate) enum DisconnectAsked {
    User {
        tenant: u32,
        user: u64,
    },
    Token {
        tenant: u32,
        digest: String,
    },
    Connection {
        tenant: Option<u32>,
        connection: u64,
    },
}

/// Rows of `pipes_members` are gone: end the subscriptions that needed them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MembersRemovedAsked {
    pub(crate) tenant: u32,
    pub(crate) channel: String,
    /// `None` = of all users.
    #[serde(default)]
    pub(crate) users: Option<Vec<u64>>,
}

/// Which MySQL connections are open?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProcessesAsked {
    #[serde(default)]
    pub(crate) tenant: Option<u32>,
}

/// End a MySQL connection, and say whether there was one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KillAsked {
    pub(crate) id: u32,
    #[serde(default)]
    pub(crate) tenant: Option<u32>,
}

/// Who is in a channel?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PresenceAsked {
    pub(crate) tenant: u32,
    pub(crate) channel: String,
}

/// How many are in a channel?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PresenceCountAsked {
    pub(crate) tenant: u32,
    pub(crate) channel: String,
}

/// Requests for a session whose pushes leave as server-sent events: is it there?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PostAsked {
    pub(crate) connection: u64,
    pub(crate) secret: String,
    pub(crate) text: String,
}
