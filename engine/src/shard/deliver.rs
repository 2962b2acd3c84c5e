//! Delivery on a shard: the loop over its own subscribers.

use std::sync::Arc;

use cometql_protocol::TenantId;
use cometql_protocol::planted::planted;
use cometql_protocol::wire::Member;

use super::{ChannelKey, Shard};
use crate::effects::Counted;
use crate::{ConnectionId, Effects, Publication, Push};

impl<T> Shard<T> {
    pub(super) fn deliver(
        &mut self,
        publication: &Arc<Publication>,
        origin: Option<(ConnectionId, u32)>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let tenant = match planted("engine-mixes-tenants") {
            true => TenantId(3_u32.saturating_sub(publication.tenant.0)),
            false => publication.tenant,
        };
        let key = (tenant, publication.channel.clone());
        let Some(local) = self.locals.find(&key) else {
            return;
        };
        let subscribers = &self.locals.get(local).subscribers;
        for subscriber in subscribers {
            let push = match origin {
                Some((connection, request)) if connection == subscriber.connection => {
                    Push::Own(publication, request)
                }
                _ => Push::Publication(publication),
            };
            effects.push(subscriber.connection, push);
            if planted("engine-delivers-twice") {
                effects.push(subscriber.connection, push);
            }
        }
        effects.count(Counted::Deliveries, subscribers.len() as u64);
    }

    /// Subscribers that know positions are to come back with them.
    pub(super) fn deliver_gap(&self, key: &ChannelKey, effects: &mut impl Effects<Token = T>) {
        if let Some(local) = self.locals.find(key) {
            for subscriber in &self.locals.get(local).subscribers {
                effects.push(subscriber.connection, Push::Gap(&key.1));
            }
        }
    }

    pub(super) fn deliver_presence(
        &mut self,
        key: &ChannelKey,
        joined: bool,
        member: &Member,
        except: Option<ConnectionId>,
        left_ms: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(local) = self.locals.find(key) else {
            return;
        };
        // Who came while its return was awaited saw a list without it.
        let concerns = |since_ms: u64| match joined {
            true => since_ms >= left_ms,
            false => since_ms <= left_ms,
        };
        for subscriber in &self.locals.get(local).subscribers {
            if Some(subscriber.connection) != except && concerns(subscriber.since_ms) {
                effects.push(
                    subscriber.connection,
                    Push::Presence(&key.1, joined, member),
                );
            }
        }
    }
}
