//! What a subscription can be told when it begins: the records and their limits.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use cometql_protocol::client::Settings;
use cometql_protocol::wire;
use rustls::ClientConfig;

use super::url::Address;
use crate::options::{Tls, within};
use crate::{Claims, CometError, TokenKey, mint_token, tls};

/// Most bytes of a name in presence lists, as the protocol has it.
const NAME_BYTES: usize = 64;

/// A place in the history of a channel. An application that stores the position of each publication that it has handled, and
/// gives it when it subscribes again, gets everything that came since, or is told that something is lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, uniffi::Record)]
pub struct Position {
    /// Which life of the history: sixteen hexadecimal digits. In another epoch the offsets began anew.
    pub epoch: String,
    /// The offset of the last publication at or before this place; 0 = before the first one.
    pub offset: u64,
}

/// A channel to listen to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, uniffi::Record)]
pub struct ChannelSince {
    /// The name of the channel.
    pub channel: String,
    /// Everything since this position comes first. None = what comes from now on.
    #[uniffi(default = None)]
    pub since: Option<Position>,
}

/// Who listens. Without credentials it is nobody: an anonymous session, as of a browser that has not logged in.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
#[uniffi::export(Debug)]
pub enum Credentials {
    /// A token (JWT). When it ends, listening ends, unless a newer one was given before with `set_token`.
    Token {
        /// The token.
        token: String,
    },
    /// A user, and the hash that was given to `authorize` for it.
    Hash {
        /// The user's id.
        user: u64,
        /// The hash.
        hash: String,
    },
    /// A key that signs tokens: they are made here, one for each connection, and replaced before they end, for as long as
    /// listening lasts.
    Key {
        /// The key.
        key: TokenKey,
        /// What each token says. `life_s` is the life of one token, not that of the subscription. A tenant that is not given is that
        /// of the subscription.
        claims: Claims,
    },
}

impl fmt::Debug for Credentials {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { .. } => f.write_str("Token { .. }"),
            Self::Hash { user, .. } => write!(f, "Hash {{ user: {user}, .. }}"),
            Self::Key { key, claims } => write!(f, "Key {{ {key:?}, {claims:?} }}"),
        }
    }
}

/// How a subscription behaves. Everything has a default.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Listening {
    /// The browser ports of the nodes: `ws://host:8087`, `wss://host` or `https://host`. One of them is chosen at random, the
    /// next one when it fails. None given = the hosts of the client on port 8087, with TLS if the client has TLS.
    #[uniffi(default = [])]
    pub urls: Vec<String>,
    /// The number of the tenant whose channels they are. None = that of the client, else 0.
    #[uniffi(default = None)]
    pub tenant: Option<u32>,
    /// TLS for `wss://` and `https://`. None = that of the client, else whom the system trusts.
    #[uniffi(default = None)]
    pub tls: Option<Tls>,
    /// Who listens. None = nobody.
    #[uniffi(default = None)]
    pub credentials: Option<Credentials>,
    /// Private messages of the user come, too.
    #[uniffi(default = false)]
    pub inbox: bool,
    /// false: a private message is acknowledged when the next event is asked for after it, so by a loop that has handled it.
    /// true: it is acknowledged by `acknowledge` only. What is not acknowledged comes again.
    #[uniffi(default = false)]
    pub acknowledge_by_hand: bool,
    /// Names this listener in presence lists and in events of those who join and leave: at most 64 bytes. Empty = no name.
    #[uniffi(default = "")]
    pub name: String,
    /// How long the first connection and the answers of all channels may take, in milliseconds, before listening fails: 1 to
    /// 3,600,000.
    #[uniffi(default = 10000)]
    pub start_timeout_ms: u64,
    /// How long one node may take to connect, and then to log in, in milliseconds, before the next one is tried: 1 to 60,000.
    #[uniffi(default = 3000)]
    pub connect_timeout_ms: u64,
    /// When all nodes failed: the longest first pause, in milliseconds, 1 to 60,000. Doubled with each round, up to
    /// `back_off_max_ms`; the actual pause is by chance between nothing and that.
    #[uniffi(default = 100)]
    pub back_off_min_ms: u64,
    /// The longest pause, in milliseconds: `back_off_min_ms` to 600,000.
    #[uniffi(default = 10000)]
    pub back_off_max_ms: u64,
    /// After so many milliseconds of silence the node is asked whether it is there: 100 to 600,000.
    #[uniffi(default = 6000)]
    pub ping_ms: u64,
    /// How long it may take to answer that, in milliseconds, before the connection counts as broken: 100 to 600,000.
    #[uniffi(default = 3500)]
    pub pong_ms: u64,
    /// Most events that wait for the application: 1 to 1,000,000. When as many wait, nothing more is read from the socket.
    #[uniffi(default = 1000)]
    pub queue_events: u32,
    /// Most bytes of events that wait for the application: 1,024 to 1,073,741,824. A single larger one passes, too.
    #[uniffi(default = 8388608)]
    pub queue_bytes: u64,
}

impl Default for Listening {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            tenant: None,
            tls: None,
            credentials: None,
            inbox: false,
            acknowledge_by_hand: false,
            name: String::new(),
            start_timeout_ms: 10_000,
            connect_timeout_ms: 3_000,
            back_off_min_ms: 100,
            back_off_max_ms: 10_000,
            ping_ms: 6_000,
            pong_ms: 3_500,
            queue_events: 1_000,
            queue_bytes: 8 << 20,
        }
    }
}

/// What is known of the client that a subscription is made with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Home<'a> {
    /// Names or addresses of its hosts, without ports and brackets.
    pub(crate) hosts: &'a [String],
    pub(crate) tls: Option<&'a Tls>,
    pub(crate) tenant: u32,
}

/// A subscription as it was asked for, checked.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(super) channels: Vec<(String, Option<wire::Position>)>,
    pub(super) addresses: Vec<Address>,
    /// For those addresses that want it.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) server_name: Option<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) inbox: bool,
    pub(super) by_hand: bool,
    pub(super) name: String,
    pub(super) start_ms: u64,
    pub(super) settings: Settings,
    pub(super) queue_events: usize,
    pub(super) queue_bytes: usize,
}

impl Plan {
    /// Checks everything that can be checked without a server.
    pub(crate) fn new(
        channels: Vec<ChannelSince>,
        mut given: Listening,
        home: Home<'_>,
    ) -> Result<Self, CometError> {
        let settings = settings(&given)?;
        let start_ms = within("start_timeout_ms", given.start_timeout_ms, 1..=3_600_000)?;
        let events = u64::from(given.queue_events);
        let queue_events = size(within("queue_events", events, 1..=1_000_000)?);
        let queue_bytes = size(within("queue_bytes", given.queue_bytes, 1_024..=1 << 30)?);
        let channels = places(channels)?;
        if channels.is_empty() && !given.inbox {
            return Err(CometError::invalid("neither channels nor an inbox"));
        }
        if given.inbox && given.credentials.is_none() {
            return Err(CometError::invalid(
                "an inbox needs credentials of its user",
            ));
        }
        if given.name.len() > NAME_BYTES {
            let detail = format!("the name has more than {NAME_BYTES} bytes");
            return Err(CometError::invalid(detail));
        }
        let tenant = given.tenant.unwrap_or(home.tenant);
        if let Some(Credentials::Key { key, claims }) = &mut given.credentials {
            if tenant > 0 {
                claims.tenant.get_or_insert(tenant);
            }
            // A key that is none is told here, and not by the first connection.
            mint_token(key.clone(), claims.clone())?;
        }
        let urls = if given.urls.is_empty() {
            home.urls()
        } else {
            given.urls
        };
        let addresses = urls.iter().map(|url| Address::parse(url, tenant));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(CometError::invalid("urls must name at least one node"));
        }
        let trust = given.tls.as_ref().or(home.tls);
        let wants_tls = addresses.iter().any(Address::is_secure);
        Ok(Self {
            channels,
            tls: wants_tls.then(|| tls::client(trust)).transpose()?,
            server_name: trust.and_then(|trust| trust.server_name.clone()),
            credentials: given.credentials,
            inbox: given.inbox,
            by_hand: given.acknowledge_by_hand,
            name: given.name,
            start_ms,
            settings: Settings {
                urls: addresses.len(),
                ..settings
            },
            addresses,
            queue_events,
            queue_bytes,
        })
    }
}

impl Home<'_> {
    /// Where the browser ports of its hosts are by default.
    fn urls(&self) -> Vec<String> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let urls = self.hosts.iter().map(|host| {
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.clone()
            };
            format!("{scheme}://{host}:8087")
        });
        urls.collect()
    }
}

fn settings(given: &Listening) -> Result<Settings, CometError> {
    let least = given.back_off_min_ms;
    Ok(Settings {
        asks_for_tokens: matches!(given.credentials, Some(Credentials::Key { .. })),
        several_tabs: false,
        connect_ms: within("connect_timeout_ms", given.connect_timeout_ms, 1..=60_000)?,
        backoff_ms: within("back_off_min_ms", least, 1..=60_000)?,
        backoff_most_ms: within("back_off_max_ms", given.back_off_max_ms, least..=600_000)?,
        ping_ms: within("ping_ms", given.ping_ms, 100..=600_000)?,
        pong_ms: within("pong_ms", given.pong_ms, 100..=600_000)?,
        ..Settings::DEFAULT
    })
}

fn places(
    channels: Vec<ChannelSince>,
) -> Result<Vec<(String, Option<wire::Position>)>, CometError> {
    let mut names = BTreeSet::new();
    let mut places = Vec::new();
    for ChannelSince { channel, since } in channels {
        if !names.insert(channel.clone()) {
            let detail = format!("the channel {channel:?} is named twice");
            return Err(CometError::invalid(detail));
        }
        places.push((channel, since.map(Position::read).transpose()?));
    }
    Ok(places)
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Position {
    fn read(self) -> Result<wire::Position, CometError> {
        let digits = self.epoch.len() == 16 && self.epoch.bytes().all(|b| b.is_ascii_hexdigit());
        match self.epoch.parse() {
            Ok(epoch) if digits => Ok(wire::Position {
                epoch,
                offset: self.offset,
            }),
            _ => Err(CometError::invalid(format!(
                "the epoch {:?} is not sixteen hexadecimal digits",
                self.epoch
            ))),
        }
    }
}

impl From<wire::Position> for Position {
    fn from(position: wire::Position) -> Self {
        Self {
            epoch: position.epoch.to_string(),
            offset: position.offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, testing};

    #[track_caller]
    fn check(channels: &[&str], given: Listening, expected: Result<&[&str], &str>) {
        let channels = channels.iter().map(|channel| ChannelSince {
            channel: (*channel).to_owned(),
            since: None,
        });
        let hosts = ["db-1".to_owned(), "::1".to_owned()];
        let home = Home {
            hosts: &hosts,
            tls: None,
            tenant: 3,
        };
        match (Plan::new(channels.collect(), given, home), expected) {
            (Ok(plan), Ok(expected)) => {
                let addresses: Vec<_> = plan.addresses.iter().map(ToString::to_string).collect();
                assert_eq!(addresses, expected);
            }
            (Err(CometError::Invalid { detail }), Err(expected)) => {
                assert!(detail.contains(expected), "{detail:?} lacks {expected:?}");
            }
            (plan, expected) => panic!("{:?} instead of {expected:?}", plan.map(|_| "a plan")),
        }
    }

    fn with(change: impl FnOnce(&mut Listening)) -> Listening {
        let mut given = Listening::default();
        change(&mut given);
        given
    }

    #[test]
    fn where_it_listens() {
        check(
            &["web_a"],
            Listening::default(),
            Ok(&[
                "ws://db-1:8087/connect?v=1&tenant=3",
                "ws://[::1]:8087/connect?v=1&tenant=3",
            ]),
        );
        let urls = vec!["wss://a.example/rt".to_owned(), "http://b:80".to_owned()];
        check(
            &["web_a"],
            with(|given| given.urls = urls),
            Ok(&[
                "wss://a.example/rt/connect?v=1&tenant=3",
                "ws://b:80/connect?v=1&tenant=3",
            ]),
        );
    }

    #[test]
    fn what_is_not_valid() {
        let token = Credentials::Token {
            token: "t".to_owned(),
        };
        check(&[], Listening::default(), Err("neither channels"));
        check(&["a_1", "a_1"], Listening::default(), Err("twice"));
        check(&[], with(|given| given.inbox = true), Err("credentials"));
        let name = "x".repeat(65);
        check(&["web_a"], with(|given| given.name = name), Err("64 bytes"));
        check(
            &["web_a"],
            with(|given| given.queue_events = 0),
            Err("queue_events"),
        );
        check(&["web_a"], with(|given| given.ping_ms = 1), Err("ping_ms"));
        check(
            &["web_a"],
            with(|given| given.back_off_max_ms = 99),
            Err("back_off_max_ms must be 100 to"),
        );
        let no_key = Credentials::Key {
            key: TokenKey {
                key: "no PEM".to_owned(),
                algorithm: Some(Algorithm::EdDsa),
                id: None,
            },
            claims: testing::claims(),
        };
        check(
            &["web_a"],
            with(|given| given.credentials = Some(no_key)),
            Err("the key is none"),
        );
        let inbox = with(|given| {
            given.inbox = true;
            given.credentials = Some(token);
        });
        check(
            &[],
            inbox,
            Ok(&[
                "ws://db-1:8087/connect?v=1&tenant=3",
                "ws://[::1]:8087/connect?v=1&tenant=3",
            ]),
        );
    }

    #[test]
    fn no_secret_is_printed() {
        let key = TokenKey {
            key: "a secret".to_owned(),
            algorithm: None,
            id: None,
        };
        let claims = testing::claims();
        let (token, hash) = ("a secret".to_owned(), "a secret".to_owned());
        for credentials in [
            Credentials::Token { token },
            Credentials::Hash { user: 7, hash },
            Credentials::Key { key, claims },
        ] {
            let listening = with(|given| given.credentials = Some(credentials));
            let shown = format!("{listening:?}");
            assert!(shown.contains("credentials: Some"), "{shown}");
            assert!(!shown.contains("a secret"), "{shown}");
        }
    }

    #[test]
    fn positions() {
        let read = |epoch: &str| {
            let epoch = epoch.to_owned();
            Position { epoch, offset: 7 }.read().map(Position::from)
        };
        assert_eq!(read("00000000000000ff").unwrap().epoch, "00000000000000ff");
        for epoch in ["", "ff", "+000000000000000", "000000000000000g"] {
            assert!(read(epoch).is_err(), "{epoch}");
        }
    }
}
