//! Who is in a channel: asked of all shards, and in a cluster of the other nodes, joined where the session lives.

use cometql_protocol::ChannelName;
use cometql_protocol::wire::{Member, Reply};
use slab::Slab;

use super::{ChannelKey, Shard};
use crate::effects::PresenceAsk;
use crate::{ConnectionId, Effects, Message, ShardId};

/// Questions that some shards have not answered yet.
#[derive(Default)]
pub(super) struct Gathers {
    open: Slab<Gather>,
}

struct Gather {
    connection: ConnectionId,
    request: u32,
    channel: ChannelName,
    count_only: bool,
    awaited: usize,
    members: Vec<Member>,
    count: u64,
}

impl<T> Shard<T> {
    pub(super) fn ask_presence(
        &mut self,
        connection: ConnectionId,
        request: u32,
        key: &ChannelKey,
        count_only: bool,
        effects: &mut impl Effects<Token = T>,
    ) {
        let gather = self.gathers.open.insert(Gather {
            connection,
            request,
            channel: key.1.clone(),
            count_only,
            awaited: self.shards + usize::from(self.cluster.is_some()),
            members: Vec::new(),
            count: 0,
        }) as u64;
        if self.cluster.is_some() {
            let (tenant, channel) = key.clone();
            effects.ask_presence(PresenceAsk {
                connection,
                gather,
                tenant,
                channel,
                count_only,
            });
        }
        for shard in 0..self.shards {
            let to = ShardId(u8::try_from(shard).expect("a node has at most 256 shards"));
            let (tenant, channel) = key.clone();
            effects.send(
                to,
                Message::PresenceAsk {
                    connection,
                    gather,
                    tenant,
                    channel,
                    count_only,
                },
            );
        }
    }

    pub(super) fn on_presence_ask(
        &mut self,
        connection: ConnectionId,
        gather: u64,
        key: &ChannelKey,
        count_only: bool,
        effects: &mut impl Effects<Token = T>,
    ) {
        let local = self.locals.find(key).map(|local| self.locals.get(local));
        let subscribers = local.map_or(&[][..], |local| &local.subscribers);
        let count = subscribers.len() as u64;
        let mut members = Vec::new();
        if !count_only {
            let sessions = subscribers
                .iter()
                .rev()
                .filter_map(|subscriber| self.connections.get(subscriber.connection));
            members.extend(sessions.map(super::connections::Session::member));
        }
        effects.send(
            connection.shard(),
            Message::PresenceTold {
                connection,
                gather,
                members,
                count,
            },
        );
    }

    pub(super) fn on_presence_told(
        &mut self,
        gather: u64,
        members: Vec<Member>,
        count: u64,
        effects: &mut impl Effects<Token = T>,
    ) {
        let key = usize::try_from(gather).expect("an index that was handed out");
        let open = &mut self.gathers.open[key];
        open.members.extend(members);
        open.count += count;
        open.awaited -= 1;
        if open.awaited > 0 {
            return;
        }
        let Gather {
            connection,
            request,
            channel,
            count_only,
            members,
            count,
            ..
        } = self.gathers.open.remove(key);
        if self.connections.get(connection).is_some() {
            let reply = if count_only {
                Reply::PresenceCount { channel, count }
            } else {
                Reply::Presence { channel, members }
            };
            effects.reply(connection, request, reply);
        }
    }
}
