//! Channel rules: who may do what to which channel, and what a channel keeps.
//!
//! Rules are plain data made by configuration. Everything here is a pure function, so `EXPLAIN SUBSCRIBE` tells exactly
//! what a real request would meet.

use cometql_protocol::{ChannelName, ErrorCode, TenantId};

use crate::{Identity, Reject};

mod defaults;
mod pattern;
#[cfg(test)]
mod tests;

pub use pattern::Pattern;

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
    /// Sessions whose token has this claim; with a value, with this value, where `*` stands for the channel's name.
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
        /// The newest so many; `u64::MAX` = however many.
        publications: u64,
        /// Those younger than this, in milliseconds; `u64::MAX` = however old.
        age_ms: u64,
    },
}

impl Retention {
    /// What a channel keeps for which the rules say this, and `pipes_settings` this length (0 = nothing).
    #[must_use]
    pub fn with_length(self, length: u64) -> Self {
        match (length, self) {
            (0, by_rule) => by_rule,
            (publications, Self::Durable { age_ms, .. }) => Self::Durable {
                publications,
                age_ms,
            },
            (publications, Self::Ephemeral | Self::Window) => Self::Durable {
                publications,
                age_ms: u64::MAX,
            },
        }
    }
}

/// What waits for a connection whose socket takes nothing for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflate {
    /// Only the newest publication of the channel.
    Channel,
    /// Only the newest publication of each event of the channel.
    Event,
    /// All of them, as for channels that never conflated; but first goes what still waits from when this one did.
    Ended,
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
    /// Who may read history; when no rule says, who may subscribe.
    pub history: Option<Who>,
    /// Who may list presence.
    pub presence: Option<Who>,
    /// Who may count presence; when no rule says, who may list it.
    pub presence_count: Option<Who>,
    /// What is kept.
    pub retention: Option<Retention>,
    /// Whether others are told of joins and leaves.
    pub join_leave: Option<bool>,
    /// Whether a slow consumer gets only the newest (`Some(Some(_))`), or all and is closed (`Some(None)`).
    pub conflate: Option<Option<Conflate>>,
    /// Publications per second that one browser session may send to such a channel.
    pub publish_rate: Option<u32>,
    /// Publications per second that all browsers together may send to one such channel; 0 = however many.
    pub channel_publish_rate: Option<u32>,
    /// Publications per second that backends may send to one such channel; 0 = however many.
    pub backend_publish_rate: Option<u32>,
    /// Largest payload from a browser, in bytes.
    pub publication_bytes: Option<usize>,
}

impl Rule {
    /// A rule that says nothing yet.
    #[must_use]
    pub fn new(name: impl Into<String>, pattern: Pattern) -> Self {
        Self {
            name: name.into(),
            tenant: None,
            pattern,
            subscribe: None,
            publish: None,
            history: None,
            presence: None,
            presence_count: None,
            retention: None,
            join_leave: None,
            conflate: None,
            publish_rate: None,
            channel_publish_rate: None,
            backend_publish_rate: None,
            publication_bytes: None,
        }
    }

    fn matches(&self, tenant: TenantId, channel: &str) -> bool {
        self.tenant.is_none_or(|only| only == tenant) && self.pattern.matches(channel)
    }
}

/// Who may read a user's text in `users_data` through a browser session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserDataRule {
    /// Everybody, as in the original.
    #[default]
    Anyone,
    /// Every logged-in user.
    Authorised,
    /// Only the user.
    Own,
}

/// All rules of a node, first match first; the built-in defaults come last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
    configured: usize,
    user_data: UserDataRule,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Vec::new(), UserDataRule::default())
    }
}

/// What the rules say to one wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Granted.
    Allow,
    /// Refused.
    Deny,
    /// Granted if `pipes_members` lists the user for the channel.
    AskMembers,
}

/// A decision with its reason, for `EXPLAIN SUBSCRIBE` and for the error of a refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// The name of the rule that decided.
    pub rule: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// What all rules together say of a channel's behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// What is kept when `pipes_settings` says nothing.
    pub retention: Retention,
    /// Whether others are told of joins and leaves.
    pub join_leave: bool,
    /// Whether a slow consumer gets only the newest.
    pub conflate: Option<Conflate>,
    /// Publications per second of one browser session, where a rule says.
    pub publish_rate: Option<u32>,
    /// Publications per second of all browsers into the channel, where a rule says.
    pub channel_publish_rate: Option<u32>,
    /// Publications per second of backends into the channel, where a rule says.
    pub backend_publish_rate: Option<u32>,
    /// Largest payload from a browser in bytes, where a rule says.
    pub publication_bytes: Option<usize>,
}

impl Rules {
    /// The configured rules followed by the built-in ones.
    #[must_use]
    pub fn new(configured: Vec<Rule>, user_data: UserDataRule) -> Self {
        let count = configured.len();
        let mut rules = configured;
        rules.extend(defaults::rules());
        Self {
            rules,
            configured: count,
            user_data,
        }
    }

    /// Whether the name may be used at all: `.`, `:` and `/` need a configured rule that matches.
    #[must_use]
    pub fn allows_name(&self, tenant: TenantId, channel: &ChannelName) -> bool {
        channel.is_plain()
            || self.rules[..self.configured]
                .iter()
                .any(|rule| rule.matches(tenant, channel.as_str()))
    }

    /// What the channel does.
    #[must_use]
    pub fn behaviour(&self, tenant: TenantId, channel: &str) -> Behaviour {
        let (mut retention, mut join_leave, mut conflate) = (None, None, None);
        let (mut publish, mut channel_publish, mut backend_publish) = (None, None, None);
        let mut publication_bytes = None;
        // Once through the rules: this is asked for every subscription.
        for rule in self.matching(tenant, channel) {
            retention = retention.or(rule.retention);
            join_leave = join_leave.or(rule.join_leave);
            conflate = conflate.or(rule.conflate);
            publish = publish.or(rule.publish_rate);
            channel_publish = channel_publish.or(rule.channel_publish_rate);
            backend_publish = backend_publish.or(rule.backend_publish_rate);
            publication_bytes = publication_bytes.or(rule.publication_bytes);
        }
        Behaviour {
            retention: retention.unwrap_or(Retention::Window),
            join_leave: join_leave.unwrap_or(false),
            conflate: conflate.flatten(),
            publish_rate: publish,
            channel_publish_rate: channel_publish,
            backend_publish_rate: backend_publish,
            publication_bytes,
        }
    }

    /// Whether any rule says how fast backends may publish.
    #[must_use]
    pub fn limit_backends(&self) -> bool {
        let mut configured = self.rules[..self.configured].iter();
        configured.any(|rule| rule.backend_publish_rate.is_some())
    }

    /// Whether this identity may do that to the channel.
    #[must_use]
    pub fn decide(
        &self,
        tenant: TenantId,
        who: &Identity,
        channel: &str,
        action: Action,
    ) -> Decision {
        let (_, right) = self.right(tenant, channel, action);
        judge(right, who, channel)
    }

    /// The same, with the rule and the reason.
    #[must_use]
    pub fn explain(
        &self,
        tenant: TenantId,
        who: &Identity,
        channel: &str,
        action: Action,
    ) -> Explanation {
        let (rule, right) = self.right(tenant, channel, action);
        let decision = judge(right, who, channel);
        let rule = rule.name.clone();
        Explanation {
            decision,
            rule,
            reason: reason(right, who),
        }
    }

    /// The refusal that a session is told.
    #[must_use]
    pub fn refusal(
        &self,
        tenant: TenantId,
        who: &Identity,
        channel: &str,
        action: Action,
    ) -> Reject {
        let Explanation { rule, reason, .. } = self.explain(tenant, who, channel, action);
        let code = if who.user.is_none()
            && matches!(self.right(tenant, channel, action).1, Who::Authorised)
        {
            ErrorCode::LoginRequired
        } else {
            ErrorCode::PermissionDenied
        };
        Reject::new(code, format!("{reason} (rule: {rule})"))
    }

    /// Whether this identity may read that user's `users_data`.
    #[must_use]
    pub fn may_read_user_data(&self, who: &Identity, of: cometql_protocol::UserId) -> bool {
        match self.user_data {
            UserDataRule::Anyone => true,
            UserDataRule::Authorised => who.user.is_some(),
            UserDataRule::Own => who.user == Some(of),
        }
    }

    fn right(&self, tenant: TenantId, channel: &str, action: Action) -> (&Rule, &Who) {
        let find = |pick: fn(&Rule) -> Option<&Who>| self.first(tenant, channel, pick);
        let right = match action {
            Action::Subscribe => find(|rule| rule.subscribe.as_ref()),
            Action::Publish => find(|rule| rule.publish.as_ref()),
            Action::History => {
                find(|rule| rule.history.as_ref()).or_else(|| find(|rule| rule.subscribe.as_ref()))
            }
            Action::Presence => find(|rule| rule.presence.as_ref()),
            Action::PresenceCount => {
                find(|rule| rule.presence_count.as_ref().or(rule.presence.as_ref()))
            }
        };
        right.expect("the last built-in rule matches every name and gives every right")
    }

    fn first<'a, V>(
        &'a self,
        tenant: TenantId,
        channel: &str,
        pick: impl Fn(&'a Rule) -> Option<&'a V>,
    ) -> Option<(&'a Rule, &'a V)> {
        let mut matching = self.matching(tenant, channel);
        matching.find_map(|rule| pick(rule).map(|value| (rule, value)))
    }

    fn matching(&self, tenant: TenantId, channel: &str) -> impl Iterator<Item = &Rule> {
        let matches = move |rule: &&Rule| rule.matches(tenant, channel);
        self.rules.iter().filter(matches)
    }
}

fn judge(right: &Who, who: &Identity, channel: &str) -> Decision {
    let granted = match right {
        Who::Anyone => true,
        Who::Authorised => who.user.is_some(),
        Who::Members if who.user.is_some() => return Decision::AskMembers,
        Who::Members | Who::Nobody => false,
        Who::Claim { name, value } => has_claim(who, name, value.as_deref(), channel),
    };
    if granted {
        Decision::Allow
    } else {
        Decision::Deny
    }
}

fn has_claim(who: &Identity, name: &str, value: Option<&str>, channel: &str) -> bool {
    let Some(claims) = &who.claims else {
        return false;
    };
    let Some((_, has)) = claims.iter().find(|(claim, _)| claim == name) else {
        return false;
    };
    value.is_none_or(|wanted| *has == wanted.replace('*', channel))
}

fn reason(right: &Who, who: &Identity) -> String {
    match right {
        Who::Anyone => "anyone may".into(),
        Who::Authorised if who.user.is_some() => "every logged-in user may".into(),
        Who::Authorised => "only logged-in users may, and this session is anonymous".into(),
        Who::Members => "only users that pipes_members lists for the channel may".into(),
        Who::Claim { name, value: None } => format!("only tokens with the claim {name:?} may"),
        Who::Claim {
            name,
            value: Some(value),
        } => {
            format!("only tokens with the claim {name:?} = {value:?} may")
        }
        Who::Nobody => "no browser may".into(),
    }
}
