//! `[[channels]]`: who may do what to which channel.

use cometql_engine::permission::{Conflate, Pattern, Retention, Rule, Who};
use cometql_protocol::TenantId;
use serde::{Deserialize, Serialize};

use super::units::{Bytes, Span};

/// One entry. What it leaves out is what the next matching entry says, and at last the built-in defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelEntry {
    /// Names that begin so.
    pub prefix: Option<String>,
    /// Whole names, `*` standing for any run of characters.
    pub pattern: Option<String>,
    /// Only this tenant's channels.
    pub tenant: Option<u32>,
    /// Who may subscribe.
    pub subscribe: Option<Right>,
    /// Who may publish.
    pub publish: Option<Right>,
    /// Who may read what is kept.
    pub read_history: Option<Right>,
    /// Who may list who is there.
    pub presence: Option<Right>,
    /// Who may ask how many are there.
    pub presence_count: Option<Right>,
    /// What is kept.
    pub history: Option<Kind>,
    /// How many publications a durable channel keeps.
    pub history_length: Option<u64>,
    /// How long a durable channel keeps them.
    pub history_age: Option<Span>,
    /// Whether subscribers are told of joins and leaves.
    pub join_leave: Option<bool>,
    /// What waits for a client that does not read.
    pub conflate: Option<Waits>,
    /// Publications per second from one browser session.
    pub publish_rate: Option<u32>,
    /// Publications per second from all browsers in one channel.
    pub channel_publish_rate: Option<u32>,
    /// Publications per second from backends in one channel.
    pub backend_publish_rate: Option<u32>,
    /// Largest payload from a browser.
    pub browser_publication: Option<Bytes>,
}

/// What a channel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nothing.
    None,
    /// The recovery window, in memory.
    Window,
    /// On disk.
    Durable,
}

/// What waits for a client that does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waits {
    /// Everything, until it is too much.
    None,
    /// The newest publication of the channel.
    Channel,
    /// The newest publication of each event.
    Event,
}

/// Who has a right: `anyone`, `authorised`, `members`, `nobody`, `claim:NAME` or `claim:NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Right(Who);

impl TryFrom<String> for Right {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let who = match text.as_str() {
            "anyone" => Who::Anyone,
            "authorised" => Who::Authorised,
            "members" => Who::Members,
            "nobody" => Who::Nobody,
            other => match other.strip_prefix("claim:").map(claim) {
                Some(Some(who)) => who,
                _ => {
                    return Err(format!(
                        "{other:?} is nobody we know: write anyone, authorised, members, nobody, claim:NAME or \
                         claim:NAME=VALUE"
                    ));
                }
            },
        };
        Ok(Self(who))
    }
}

fn claim(text: &str) -> Option<Who> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let name = name.to_owned();
    (!name.is_empty()).then_some(Who::Claim { name, value })
}

impl From<Right> for String {
    fn from(right: Right) -> Self {
        match right.0 {
            Who::Anyone => "anyone".into(),
            Who::Authorised => "authorised".into(),
            Who::Members => "members".into(),
            Who::Nobody => "nobody".into(),
            Who::Claim { name, value: None } => format!("claim:{name}"),
            Who::Claim {
                name,
                value: Some(value),
            } => format!("claim:{name}={value}"),
        }
    }
}

impl ChannelEntry {
    /// The rule that the engine applies. `number` counts entries from 1.
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub fn rule(&self, number: usize) -> Result<Rule, String> {
        let (text, pattern) = match (&self.prefix, &self.pattern) {
            (Some(prefix), None) => (format!("{prefix}*"), Pattern::Prefix(prefix.clone())),
            (None, Some(glob)) => (glob.clone(), Pattern::Glob(glob.clone())),
            _ => return Err("needs either prefix or pattern".into()),
        };
        let who = |right: &Option<Right>| right.clone().map(|right| right.0);
        Ok(Rule {
            tenant: self.tenant.map(TenantId),
            subscribe: who(&self.subscribe),
            publish: who(&self.publish),
            history: who(&self.read_history),
            presence: who(&self.presence),
            presence_count: who(&self.presence_count),
            retention: self.retention()?,
            join_leave: self.join_leave,
            conflate: self.conflate.map(|waits| match waits {
                Waits::None => None,
                Waits::Channel => Some(Conflate::Channel),
                Waits::Event => Some(Conflate::Event),
            }),
            publish_rate: self.publish_rate,
            channel_publish_rate: self.channel_publish_rate,
            backend_publish_rate: self.backend_publish_rate,
            publication_bytes: self.browser_publication.map(|bytes| bytes.0),
            ..Rule::new(format!("channels[{number}] {text:?}"), pattern)
        })
    }

    fn retention(&self) -> Result<Option<Retention>, String> {
        let limited = self.history_length.is_some() || self.history_age.is_some();
        match self.history {
            Some(Kind::Durable) => Ok(Some(Retention::Durable {
                publications: self.history_length.unwrap_or(u64::MAX),
                age_ms: self.history_age.map_or(u64::MAX, |age| age.0),
            })),
            _ if limited => {
                Err("history_length and history_age are for history = \"durable\"".into())
            }
            Some(Kind::None) => Ok(Some(Retention::Ephemeral)),
            Some(Kind::Window) => Ok(Some(Retention::Window)),
            None => Ok(None),
        }
    }
}
