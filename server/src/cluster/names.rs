//! How subjects and streams are called. Names of channels are made of what may stand in a subject, except for the dot.

use cometql_protocol::{ChannelName, TenantId, UserId};

/// The names of one cluster: its own name stands before every subject and, in capitals, every stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    stream: String,
}

/// The streams of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Recovery windows, in memory.
    Windows,
    /// Histories of durable channels.
    History,
    /// Private messages.
    Inbox,
    /// Rows of tables.
    State,
}

impl StreamKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Windows, Self::History, Self::Inbox, Self::State];

    /// The token after the cluster's name in its subjects.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Windows => "w",
            Self::History => "h",
            Self::Inbox => "i",
            Self::State => "s",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Windows => "WINDOWS",
            Self::History => "HISTORY",
            Self::Inbox => "INBOX",
            Self::State => "STATE",
        }
    }
}

impl Names {
    /// Of the cluster with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let prefix = token(name);
        let stream = prefix.to_uppercase();
        Self { prefix, stream }
    }

    /// `cometql.<rest>`: any other subject of the cluster.
    #[must_use]
    pub fn subject(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    /// The name of a stream.
    #[must_use]
    pub fn stream(&self, kind: StreamKind) -> String {
        format!("{}_{}", self.stream, kind.suffix())
    }

    /// All subjects of a stream but its epoch's.
    #[must_use]
    pub fn all_of(&self, kind: StreamKind) -> String {
        self.subject(&format!("{}.>", kind.token()))
    }

    /// All subjects of a tenant's channels or inboxes in a stream.
    #[must_use]
    pub fn all_of_tenant(&self, kind: StreamKind, tenant: TenantId) -> String {
        self.subject(&format!("{}.{}.>", kind.token(), tenant.0))
    }

    /// The subject of a stream's epoch.
    #[must_use]
    pub fn epoch(&self, kind: StreamKind) -> String {
        self.subject(&format!("{}-epoch", kind.token()))
    }

    /// A subject of a stream on which it is tried whether it takes messages.
    #[must_use]
    pub fn probe(&self, kind: StreamKind) -> String {
        self.subject(&format!("{}-probe", kind.token()))
    }

    /// A channel in a stream of channels.
    #[must_use]
    pub fn channel(&self, kind: StreamKind, tenant: TenantId, channel: &ChannelName) -> String {
        self.subject(&format!("{}.{}", kind.token(), of_channel(tenant, channel)))
    }

    /// Where what a stream stored comes out: the subject that it was stored under, with `live.` before it.
    #[must_use]
    pub fn live(&self, stored: &str) -> String {
        let rest = stored.strip_prefix(&self.prefix).unwrap_or(stored);
        format!("{}.live{rest}", self.prefix)
    }

    /// A user's inbox.
    #[must_use]
    pub fn inbox(&self, tenant: TenantId, user: UserId) -> String {
        self.subject(&format!("i.{}.{}", tenant.0, user.get()))
    }

    /// That a private message which no log has was acknowledged.
    #[must_use]
    pub fn taken(&self, tenant: TenantId, user: UserId) -> String {
        self.subject(&format!("taken.{}.{}", tenant.0, user.get()))
    }

    /// Publications of a channel that nobody stores.
    #[must_use]
    pub fn unstored(&self, tenant: TenantId, channel: &ChannelName) -> String {
        self.subject(&format!("e.{}", of_channel(tenant, channel)))
    }

    /// Joins and leaves of a channel.
    #[must_use]
    pub fn presence(&self, tenant: TenantId, channel: &ChannelName) -> String {
        self.subject(&format!("p.{}", of_channel(tenant, channel)))
    }

    /// The channel whose subject this is, in whatever family of subjects.
    #[must_use]
    pub fn parse_channel(subject: &str) -> Option<(TenantId, ChannelName)> {
        let (rest, channel) = subject.rsplit_once('.')?;
        let (_, tenant) = rest.rsplit_once('.')?;
        let channel = ChannelName::parse(&channel.replace('=', ".")).ok()?;
        Some((TenantId(tenant.parse().ok()?), channel))
    }

    /// The user whose inbox this is.
    #[must_use]
    pub fn parse_user(subject: &str) -> Option<(TenantId, UserId)> {
        let (rest, user) = subject.rsplit_once('.')?;
        let (_, tenant) = rest.rsplit_once('.')?;
        let user = UserId::new(user.parse().ok()?)?;
        Some((TenantId(tenant.parse().ok()?), user))
    }
}

fn of_channel(tenant: TenantId, channel: &ChannelName) -> String {
    format!("{}.{}", tenant.0, channel.as_str().replace('.', "="))
}

/// A name as one token of a subject that may also stand in a stream's name: what may not stand there becomes `_`.
pub(super) fn token(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
            c
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn channel(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    #[track_caller]
    fn check(name: &str, stored: &str, live: &str) {
        let (names, channel) = (Names::new("cometql"), channel(name));
        let subject = names.channel(StreamKind::Windows, TenantId(7), &channel);
        assert_eq!(subject, stored);
        assert_eq!(names.live(&subject), live);
        let told = Names::parse_channel(&names.live(&subject));
        assert_eq!(told, Some((TenantId(7), channel)));
    }

    #[test]
    fn channels_are_one_token() {
        check(
            "web_chat",
            "cometql.w.7.web_chat",
            "cometql.live.w.7.web_chat",
        );
        check(
            "news:a/b.c",
            "cometql.w.7.news:a/b=c",
            "cometql.live.w.7.news:a/b=c",
        );
    }

    #[test]
    fn streams_and_other_subjects() {
        let names = Names::new("My cluster.2");
        assert_eq!(names.stream(StreamKind::History), "MY_CLUSTER_2_HISTORY");
        assert_eq!(names.all_of(StreamKind::Inbox), "My_cluster_2.i.>");
        let of_tenant = names.all_of_tenant(StreamKind::History, TenantId(7));
        assert_eq!(of_tenant, "My_cluster_2.h.7.>");
        assert_eq!(names.epoch(StreamKind::State), "My_cluster_2.s-epoch");
        assert_eq!(
            names.unstored(TenantId(1), &channel("a.b")),
            "My_cluster_2.e.1.a=b"
        );
        assert_eq!(
            names.presence(TenantId(1), &channel("a.b")),
            "My_cluster_2.p.1.a=b"
        );
        let user = UserId::new(9).unwrap();
        let inbox = names.live(&names.inbox(TenantId(1), user));
        assert_eq!(inbox, "My_cluster_2.live.i.1.9");
        assert_eq!(Names::parse_user(&inbox), Some((TenantId(1), user)));
        let taken = names.taken(TenantId(1), user);
        assert_eq!(taken, "My_cluster_2.taken.1.9");
        assert_eq!(Names::parse_user(&taken), Some((TenantId(1), user)));
    }

    #[test]
    fn other_subjects_are_no_channels() {
        for subject in [
            "",
            "a",
            "cometql.w-epoch",
            "cometql.w.x.abc",
            "cometql.w.1.a",
        ] {
            assert_eq!(Names::parse_channel(subject), None, "{subject}");
        }
        assert_eq!(Names::parse_user("cometql.i.1.0"), None);
    }

    proptest! {
        #[test]
        fn every_channel_comes_back(name in "[A-Za-z0-9_:/.-]{3,64}", tenant in 0u32..1_000_000) {
            let (names, channel) = (Names::new("c"), channel(&name));
            let tenant = TenantId(tenant);
            let subject = names.channel(StreamKind::History, tenant, &channel);
            prop_assert!(!subject.contains(['*', '>', ' ']));
            prop_assert_eq!(subject.split('.').count(), 4);
            prop_assert_eq!(Names::parse_channel(&subject), Some((tenant, channel)));
        }
    }
}
