//! Channel rules: who may do what to which channel, and what a channel keeps.
//!
//! Rules are plain data made by configuration. Everything here is a pure function, so `EXPLAIN SUBSCRIBE` tells exactly
//! what a real request would meet.

use cometql_protocol::TenantId;

/// What a session wants to do to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Receive publications.
    Subscribe,
    /// Send one.
    Publish,
    /// Read kept ones.
    History,
    /// Read who is there.
    Presence,
    /// Read how many are there.
    PresenceCount,
}

/// Who has a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everybody, anonymous ones included.
    Anyone,
    /// Every logged-in user.
    Authorised,
    /// Users that `pipes_members` lists for the channel.
    Members,
    /// Sessions whose token has this claim; with a value, with this value (`*` in the value stands for the channel's
    /// name).
    Claim {
        /// The claim's name.
        name: String,
        /// The value it must have.
        value: Option<String>,
    },
    /// No browser. Backends may always.
    Nobody,
}

/// What a channel remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Nothing: no offsets, `recovered` is always false.
    Ephemeral,
    /// The default recovery window in memory.
    Window,
    /// On disk.
    Durable {
        /// The newest so many.
        publications: u64,
        /// Those younger than this, in milliseconds; `u64::MAX` = however old.
        age_ms: u64,
    },
}

/// The names that a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Names that begin so.
    Prefix(String),
    /// The whole name, `*` standing for any run of characters.
    Glob(String),
}

/// One `[[channels]]` entry, or a built-in default. `None` = what the next matching rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Shown by `EXPLAIN SUBSCRIBE`: the rule's name, like `channels[2] "news:*"` or `default web_`.
    pub name: String,
    /// Only this tenant's channels; `None` = all tenants'.
    pub tenant: Option<TenantId>,
    /// Which names.
    pub pattern: Pattern,
    /// Who may subscribe.
    pub subscribe: Option<Who>,
    /// Who may publish.
    pub publish: Option<Who>,
    /// Who may read history; `None` = who may subscribe.
    pub history: Option<Who>,
    /// Who may list and count presence.
    pub presence: Option<Who>,
    /// What is kept.
    pub retention: Option<Retention>,
    /// Whether others are told of joins and leaves.
    pub join_leave: Option<bool>,
    /// Publications per second that one browser session may send to such a channel.
    pub publish_rate: Option<u32>,
    /// Largest payload from a browser, in bytes.
    pub publication_bytes: Option<usize>,
}

/// All rules of a node, first match first; the built-in defaults come last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// The configured rules followed by the built-in ones.
    #[must_use]
    pub fn new(configured: Vec<Rule>) -> Self {
        Self { rules: configured }
    }
}
