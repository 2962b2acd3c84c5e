//! The built-in rules: what the name prefixes of the original mean.

use super::{Pattern, Retention, Rule, Who};

/// How long the log of a `trust_` channel keeps a publication, in milliseconds (the original purges after 120 s).
const TRUST_AGE_MS: u64 = 120_000;

/// Most specific first; the last one matches every name and gives every right to somebody or nobody.
pub(super) fn rules() -> Vec<Rule> {
    vec![
        Rule {
            publish: Some(Who::Authorised),
            presence_count: Some(Who::Anyone),
            ..prefix("webauth_")
        },
        Rule {
            publish: Some(Who::Anyone),
            presence_count: Some(Who::Anyone),
            ..prefix("web_")
        },
        Rule {
            presence: Some(Who::Anyone),
            join_leave: Some(true),
            ..prefix("track_")
        },
        Rule {
            subscribe: Some(Who::Authorised),
            ..prefix("private_")
        },
        Rule {
            retention: Some(Retention::Durable {
                publications: u64::MAX,
                age_ms: TRUST_AGE_MS,
            }),
            ..prefix("trust_")
        },
        // The virtual channel of private messages in the original: not a channel that one could join.
        Rule {
            subscribe: Some(Who::Nobody),
            ..Rule::new("default msg", Pattern::Glob("msg".into()))
        },
        Rule {
            subscribe: Some(Who::Anyone),
            publish: Some(Who::Nobody),
            presence: Some(Who::Nobody),
            ..Rule::new("default", Pattern::Prefix(String::new()))
        },
    ]
}

fn prefix(prefix: &str) -> Rule {
    Rule::new(format!("default {prefix}"), Pattern::Prefix(prefix.into()))
}
