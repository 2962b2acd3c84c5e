//! What a change of a row means to this node: sessions end, subscriptions end, channels keep another number of publications.
//! It must not read or write rows.

use cometql_engine::{Disconnect, LogEvent};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};

use crate::hub::Hub;
use crate::storage::{Change, Row};

/// Acts that are on their way at once.
const AT_ONCE: usize = 64;

/// Who has to hear of changes.
#[derive(Clone)]
pub struct Acting {
    hub: Hub,
}

impl Acting {
    /// The shards.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self { hub }
    }

    /// Lets them hear of changes, which the store has; resolves when they have.
    pub(super) async fn act(&self, changes: Vec<Change>) {
        let each = futures_util::stream::iter(changes);
        each.for_each_concurrent(AT_ONCE, |change| self.one(change))
            .await;
    }

    async fn one(&self, change: Change) {
        let tenant = change.tenant;
        let which = match change.row {
            Row::Hash { user, hash: None } => Disconnect::User { tenant, user },
            Row::Token {
                token,
                revoked: true,
            } => Disconnect::Token {
                tenant,
                digest: Sha256::digest(token).into(),
            },
            Row::Member {
                channel,
                user,
                listed: false,
            } => {
                let users = Some(vec![user]);
                return self.hub.members_removed_here(tenant, &channel, users);
            }
            Row::Length { channel, length } => {
                let event = LogEvent::Setting {
                    tenant,
                    channel: channel.clone(),
                    length,
                };
                return self.hub.tell_of_channel(tenant, &channel, event);
            }
            // A new hash does not end what the old one opened; the others concern no session.
            Row::Hash { .. }
            | Row::Token { .. }
            | Row::Member { .. }
            | Row::Data { .. }
            | Row::LastSeen { .. } => return,
        };
        self.hub.disconnect_here(which).await;
    }
}
