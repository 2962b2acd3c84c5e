//! What members tell each other of users and of joins and leaves, as JSON of version 1.

use cometql_engine::{Announce, Departure, LogEvent, ShardId, UserThere};
use cometql_protocol::{TenantId, UserId};
use serde::{Deserialize, Serialize};

use super::Key;
use crate::cluster::gather::Ask;
use crate::cluster::gather::wire::MemberTold;
use crate::cluster::members::VERSION;
use crate::cluster::{Names, NodeId};

/// Users in one part of a list.
const USERS_IN_PART: usize = 4_000;

/// A user came, went or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserMoved {
    /// The shard that announced it.
    pub(super) shard: u8,
    /// The how many-th announcement of that shard.
    pub(super) number: u64,
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    pub(super) there: UserThere,
}

#[derive(Serialize, Deserialize)]
struct UserText {
    v: u8,
    node: String,
    shard: u8,
    number: u64,
    tenant: u32,
    user: u64,
    #[serde(flatten)]
    there: There,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum There {
    Online {
        #[serde(default)]
        reads: bool,
    },
    Offline {
        #[serde(default)]
        told: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct MovedText {
    v: u8,
    node: String,
    #[serde(flatten)]
    what: Move,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Move {
    Joined {
        member: MemberTold,
    },
    Left {
        member: MemberTold,
        #[serde(default)]
        may_return: bool,
    },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// Somebody came to a channel or left it, on another node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) node: NodeId,
    what: Move,
}

/// All your users?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UsersAsked {}

/// Users whose home is one shard of the node that answers, or some of them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsersTold {
    /// The shard there.
    pub(super) shard: u8,
    /// So many announcements it had made.
    pub(super) number: u64,
    /// Tenant, user, and whether a connection reads private messages.
    users: Vec<(u32, u64, bool)>,
}

impl Ask for UsersAsked {
    const WHAT: &'static str = "users";
    type Row = UsersTold;
}

impl UsersTold {
    /// The users of a shard that had made so many announcements, in parts; one at least, which tells the number.
    pub(crate) fn parts(shard: u8, number: u64, users: &[(TenantId, UserId, bool)]) -> Vec<Self> {
        let text =
            |&(tenant, user, reads): &(TenantId, UserId, bool)| (tenant.0, user.get(), reads);
        let part = |users: &[(TenantId, UserId, bool)]| Self {
            shard,
            number,
            users: users.iter().map(text).collect(),
        };
        match users {
            [] => vec![part(users)],
            _ => users.chunks(USERS_IN_PART).map(part).collect(),
        }
    }

    /// The users.
    pub(super) fn users(&self) -> impl Iterator<Item = (TenantId, UserId, bool)> {
        let read = |&(tenant, user, reads): &(u32, u64, bool)| {
            Some((TenantId(tenant), UserId::new(user)?, reads))
        };
        self.users.iter().filter_map(read)
    }
}

/// Where an announcement goes, and how it is written.
pub(super) fn announcement(
    names: &Names,
    node: &str,
    (shard, number): (ShardId, u64),
    announce: Announce,
) -> Option<(String, String)> {
    let moved = |what| {
        json(&MovedText {
            v: VERSION,
            node: node.to_owned(),
            what,
        })
    };
    Some(match announce {
        Announce::Joined {
            tenant,
            channel,
            member,
        } => {
            let joined = Move::Joined {
                member: member.into(),
            };
            (names.presence(tenant, &channel), moved(joined))
        }
        Announce::Left {
            tenant,
            channel,
            member,
            departure,
        } => {
            let left = Move::Left {
                member: member.into(),
                may_return: departure == Departure::MayReturn,
            };
            (names.presence(tenant, &channel), moved(left))
        }
        Announce::User {
            tenant,
            user,
            there,
        } => {
            let text = UserText {
                v: VERSION,
                node: node.to_owned(),
                shard: shard.0,
                number,
                tenant: tenant.0,
                user: user.get(),
                there: match there {
                    UserThere::Online { reads } => There::Online { reads },
                    UserThere::Offline { told } => There::Offline { told },
                },
            };
            (names.subject("user"), json(&text))
        }
        Announce::Watch { .. } => return None,
    })
}

/// Reads what a member says of a user.
pub(super) fn user(bytes: &[u8]) -> Option<(NodeId, UserMoved)> {
    let text: UserText = serde_json::from_slice(bytes).ok()?;
    let moved = UserMoved {
        shard: text.shard,
        number: text.number,
        tenant: TenantId(text.tenant),
        user: UserId::new(text.user)?,
        there: match text.there {
            There::Online { reads } => UserThere::Online { reads },
            There::Offline { told } => UserThere::Offline { told },
        },
    };
    Some((NodeId::told(&text.node), moved))
}

impl Moved {
    /// Reads what a member says of a channel.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text: MovedText = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            node: NodeId::told(&text.node),
            what: text.what,
        })
    }

    /// As the engine hears it; `None` for what this version does not know.
    pub(super) fn event(self, (tenant, channel): Key) -> Option<LogEvent> {
        let node = self.node.number();
        Some(match self.what {
            Move::Joined { member } => LogEvent::Joined {
                node,
                tenant,
                channel,
                member: member.into(),
            },
            Move::Left { member, may_return } => LogEvent::Left {
                node,
                tenant,
                channel,
                member: member.into(),
                departure: match may_return {
                    true => Departure::MayReturn,
                    false => Departure::ForGood,
                },
            },
            Move::Unknown => return None,
        })
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types have only string keys and whole numbers")
}
