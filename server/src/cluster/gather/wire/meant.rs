//! What questions mean to this node: names and numbers of others are parsed as those of anybody else.

use cometql_engine::shard::inspect::Channels;
use cometql_engine::{ConnectionId, Disconnect};
use cometql_protocol::{TenantId, UserId};

use super::rows::channel;
use super::{DisconnectAsked, OutlookAsked};
use crate::shard::Sought;

/// The users that are meant.
pub(in crate::cluster) fn users(numbers: Vec<u64>) -> Vec<UserId> {
    numbers.into_iter().filter_map(UserId::new).collect()
}

/// Which channels are meant.
pub(in crate::cluster) fn channels(names: Option<Vec<String>>) -> Channels {
    names.map_or(Channels::All, |names| {
        Channels::Named(names.iter().filter_map(|name| channel(name)).collect())
    })
}

/// The names of channels, unless all are meant.
pub(crate) fn names(which: &Channels) -> Option<Vec<String>> {
    match which {
        Channels::All => None,
        Channels::Named(names) => Some(names.iter().map(|name| name.as_str().to_owned()).collect()),
    }
}

impl From<&Sought> for OutlookAsked {
    fn from(sought: &Sought) -> Self {
        let channel = sought.channel.as_ref();
        Self {
            tenant: sought.tenant.0,
            user: sought.user.get(),
            channel: channel.map(|channel| channel.as_str().to_owned()),
            offset: sought.offset,
            time_ms: sought.time_ms,
        }
    }
}

impl OutlookAsked {
    pub(in crate::cluster) fn sought(self) -> Option<Sought> {
        let named = match self.channel {
            Some(name) => Some(channel(&name)?),
            None => None,
        };
        Some(Sought {
            tenant: TenantId(self.tenant),
            user: UserId::new(self.user)?,
            channel: named,
            offset: self.offset,
            time_ms: self.time_ms,
        })
    }
}

impl From<&Disconnect> for DisconnectAsked {
    fn from(which: &Disconnect) -> Self {
        match *which {
            Disconnect::User { tenant, user } => Self::User {
                tenant: tenant.0,
                user: user.get(),
            },
            Disconnect::Token { tenant, digest } => Self::Token {
                tenant: tenant.0,
                digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
            Disconnect::Connection { tenant, connection } => Self::Connection {
                tenant: tenant.map(|tenant| tenant.0),
                connection: connection.number(),
            },
        }
    }
}

impl DisconnectAsked {
    pub(in crate::cluster) fn which(self) -> Option<Disconnect> {
        Some(match self {
            Self::User { tenant, user } => Disconnect::User {
                tenant: TenantId(tenant),
                user: UserId::new(user)?,
            },
            Self::Token { tenant, digest } => Disconnect::Token {
                tenant: TenantId(tenant),
                digest: bytes_of(&digest)?,
            },
            Self::Connection { tenant, connection } => Disconnect::Connection {
                tenant: tenant.map(TenantId),
                connection: ConnectionId::from_number(connection)?,
            },
        })
    }
}

/// 32 bytes that were written as hexadecimal digits.
fn bytes_of(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
