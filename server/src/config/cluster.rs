//! `[cluster]`: the other nodes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, Span};
use crate::cluster::{Access, OnQuorumLoss, Settings, TlsFiles};

/// As many replicas as JetStream can have.
const REPLICAS: [usize; 3] = [1, 3, 5];
/// Heartbeats of members come several times within a lease.
const LEASE_LEAST_MS: u64 = 1_000;

/// `[cluster]`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSection {
    /// Where NATS is; none = the node is on its own.
    pub nats: Vec<String>,
    /// The cluster's name.
    pub name: String,
    /// Proves to NATS that the node may.
    pub user: String,
    /// Its password.
    pub password: String,
    /// A file with a token and a key, in place of user and password.
    pub credentials: String,
    /// PEM file: who signed the servers' certificates.
    pub tls_ca: String,
    /// PEM file with the node's own certificate.
    pub tls_certificate: String,
    /// PEM file with its private key.
    pub tls_key: String,
    /// How many NATS servers keep each message.
    pub replicas: usize,
    /// After so long without an acknowledgement the log counts as out of reach.
    pub quorum_timeout: Span,
    /// What becomes of publications then.
    pub on_quorum_loss: QuorumLoss,
    /// A member that was silent for so long is dead.
    pub lease: Span,
    /// How long other members may take to answer.
    pub ask_timeout: Span,
    /// Cut off for so long, a node sends its browsers to the others.
    pub drain_after: Span,
}

/// `on_quorum_loss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuorumLoss {
    /// Delivered, not kept.
    Live,
    /// Refused.
    Refuse,
}

impl Default for ClusterSection {
    fn default() -> Self {
        Self {
            nats: Vec::new(),
            name: "cometql".into(),
            user: String::new(),
            password: String::new(),
            credentials: String::new(),
            tls_ca: String::new(),
            tls_certificate: String::new(),
            tls_key: String::new(),
            replicas: 3,
            quorum_timeout: Span::seconds(10),
            on_quorum_loss: QuorumLoss::Live,
            lease: Span::seconds(5),
            ask_timeout: Span::seconds(1),
            drain_after: Span::seconds(15),
        }
    }
}

impl ClusterSection {
    /// Everything that is wrong, one sentence each.
    pub(super) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut refuse = |bad: bool, why: &str| {
            if bad {
                wrong.push(format!("cluster.{why}"));
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        refuse(
            self.name.is_empty() || !self.name.chars().all(plain),
            "name is made of letters, digits, - and _",
        );
        refuse(
            !self.nats.iter().all(|url| is_address(url)),
            "nats: an address of NATS is written like \"nats://host:4222\" or \"tls://host:4222\"",
        );
        refuse(
            self.user.is_empty() != self.password.is_empty(),
            "user and cluster.password come together",
        );
        refuse(
            !self.user.is_empty() && !self.credentials.is_empty(),
            "credentials: give a file or user and password, not both",
        );
        refuse(
            self.tls_certificate.is_empty() != self.tls_key.is_empty(),
            "tls_certificate and cluster.tls_key come together",
        );
        refuse(!REPLICAS.contains(&self.replicas), "replicas is 1, 3 or 5");
        refuse(
            self.quorum_timeout.0 == 0,
            "quorum_timeout = 0 would leave no time for an answer",
        );
        refuse(self.lease.0 < LEASE_LEAST_MS, "lease is 1 s at least");
        refuse(
            self.ask_timeout.0 == 0,
            "ask_timeout = 0 would leave no time for an answer",
        );
        wrong
    }

    /// What is allowed but unwise.
    pub(super) fn warnings(&self) -> Option<String> {
        let proves = |url: &String| url.contains('@');
        let open = self.user.is_empty()
            && self.credentials.is_empty()
            && self.tls_certificate.is_empty()
            && !self.nats.iter().any(proves);
        (open && !self.nats.is_empty()).then(|| {
            "cluster: the node proves to NATS nothing, so whoever reaches NATS can publish for every tenant. Give NATS a \
             user and password, or credentials, and set them in [cluster]"
                .to_owned()
        })
    }
}

fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("nats://").or(url.strip_prefix("tls://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

impl Config {
    /// Of which cluster the node is a member.
    #[must_use]
    pub fn cluster_settings(&self) -> Option<Settings> {
        let section = &self.cluster;
        let file = |name: &String| (!name.is_empty()).then(|| PathBuf::from(name));
        let access = match (file(&section.credentials), section.user.as_str()) {
            (Some(file), _) => Access::Credentials(file),
            (None, "") => Access::Open,
            (None, user) => Access::Password {
                user: user.to_owned(),
                password: section.password.clone(),
            },
        };
        (!section.nats.is_empty()).then(|| Settings {
            servers: section.nats.clone(),
            name: section.name.clone(),
            node: self.server.node.clone(),
            access,
            tls: TlsFiles {
                ca: file(&section.tls_ca),
                client: file(&section.tls_certificate).zip(file(&section.tls_key)),
            },
            replicas: section.replicas,
            quorum_timeout: section.quorum_timeout.duration(),
            on_quorum_loss: match section.on_quorum_loss {
                QuorumLoss::Live => OnQuorumLoss::Live,
                QuorumLoss::Refuse => OnQuorumLoss::Refuse,
            },
            lease: section.lease.duration(),
            ask_timeout: section.ask_timeout.duration(),
            drain_after: section.drain_after.duration(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[track_caller]
    fn check(text: &str, wrong: &[&str]) {
        let told = parse("", &format!("[cluster]\n{text}")).unwrap().check();
        assert_eq!(told.len(), wrong.len(), "{told:?}");
        for (told, wrong) in told.iter().zip(wrong) {
            assert!(told.contains(wrong), "{told}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check(
            "nats = ['nats://a:4222', 'tls://u:p@b']\nuser = 'u'\npassword = 'p'",
            &[],
        );
        check("nats = ['a:4222']", &["cluster.nats"]);
        check("name = 'a.b'", &["cluster.name"]);
        check("user = 'u'", &["cluster.password"]);
        check(
            "user = 'u'\npassword = 'p'\ncredentials = 'f'",
            &["cluster.credentials"],
        );
        check("tls_key = 'k'", &["cluster.tls_certificate"]);
        check(
            "replicas = 2\nlease = '0 s'",
            &["cluster.replicas", "cluster.lease"],
        );
        check(
            "quorum_timeout = '0 s'\nask_timeout = '0 s'",
            &["quorum_timeout", "ask_timeout"],
        );
    }

    #[track_caller]
    fn check_warned(text: &str, warned: bool) {
        let config = parse("", &format!("[cluster]\n{text}")).unwrap();
        assert_eq!(config.cluster.warnings().is_some(), warned, "{text}");
    }

    #[test]
    fn an_open_nats_is_warned_of() {
        check_warned("", false);
        check_warned("nats = ['nats://a']", true);
        check_warned("nats = ['nats://u:p@a']", false);
        check_warned("nats = ['nats://a']\nuser = 'u'\npassword = 'p'", false);
        check_warned("nats = ['nats://a']\ncredentials = 'f'", false);
    }

    #[test]
    fn settings_of_a_member() {
        assert_eq!(Config::default().cluster_settings(), None);
        let text = "[server]\nnode = 'b'\n[cluster]\nnats = ['nats://a']\ntls_ca = 'ca.pem'\non_quorum_loss = 'refuse'";
        let settings = parse("", text).unwrap().cluster_settings().unwrap();
        let expected = Settings {
            servers: vec!["nats://a".into()],
            node: "b".into(),
            tls: TlsFiles {
                ca: Some("ca.pem".into()),
                client: None,
            },
            on_quorum_loss: OnQuorumLoss::Refuse,
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }
}
