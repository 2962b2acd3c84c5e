//! What a shard does when it hears of its cluster: publications and private messages in the log's order, and what other
//! nodes tell. Channels that this node does not follow concern nobody here.

use cometql_protocol::planted::planted;

use super::followed::OTHERS_MARK_MS;
use super::recent::{self, Chosen, Told};
use super::trace::Happened;
use super::{ChannelKey, Shard};
use crate::publication::{Content, Place};
use crate::{ConnectionId, Effects, LogEvent, Now, Publication};
use std::sync::Arc;

impl<T> Shard<T> {
    /// Something happened in the cluster.
    pub(super) fn on_log(
        &mut self,
        now: Now,
        event: LogEvent,
        effects: &mut impl Effects<Token = T>,
    ) {
        assert!(
            self.cluster.is_some(),
            "a node of its own hears of no cluster"
        );
        match event {
            LogEvent::Publication {
                tenant,
                channel,
                offset,
                complete,
                content,
            } => self.on_published(&(tenant, channel), offset, complete, content, effects),
            LogEvent::Live {
                tenant,
                channel,
                content,
                lossy,
            } => self.on_live(now, &(tenant, channel), content, lossy, effects),
            LogEvent::Gap {
                tenant,
                channel,
                offset,
            } => self.on_gap(&(tenant, channel), offset, effects),
            LogEvent::Removed {
                tenant,
                channel,
                id,
                offset,
            } => self.on_removed(&(tenant, channel), id, offset),
            LogEvent::Reset { tenant, channel } => self.follow_anew(&(tenant, channel), effects),
            LogEvent::Setting {
                tenant,
                channel,
                length,
            } => self.put_setting(&(tenant, channel), length, effects),
            LogEvent::Inbox {
                tenant,
                user,
                message,
            } => self.on_inbox_arrived((tenant, user), message, effects),
            LogEvent::InboxReset { tenant, user } => self.read_inbox_anew((tenant, user), effects),
            LogEvent::InboxRemoved {
                tenant,
                user,
                up_to,
            } => self.note_inbox((tenant, user), None, Happened::Acknowledged(up_to)),
            LogEvent::Unstored {
                tenant,
                user,
                content,
            } => self.on_unstored((tenant, user), &content, effects),
            LogEvent::Taken { tenant, user, id } => self.on_taken((tenant, user), id, effects),
            event => self.on_members_event(now, event, effects),
        }
    }

    /// Who is where.
    fn on_members_event(
        &mut self,
        now: Now,
        event: LogEvent,
        effects: &mut impl Effects<Token = T>,
    ) {
        match event {
            LogEvent::Joined {
                node,
                tenant,
                channel,
                member,
            } => self.on_joined_elsewhere(node, &(tenant, channel), member, effects),
            LogEvent::Left {
                node,
                tenant,
                channel,
                member,
                departure,
            } => {
                let key = (tenant, channel);
                self.on_left_elsewhere(now, node, &key, member, departure, effects);
            }
            LogEvent::Present {
                node,
                tenant,
                channel,
                members,
            } => self.on_present(now, node, &(tenant, channel), members, effects),
            LogEvent::User {
                node,
                tenant,
                user,
                there,
            } => self.on_user_elsewhere(now, node, (tenant, user), there, effects),
            LogEvent::Users { node, users } => self.on_users_elsewhere(now, node, users, effects),
            LogEvent::NodeUp(node) => self.on_node_up(node),
            LogEvent::NodeGone(node) => {
                self.on_node_gone(now, node, effects);
                self.members_gone(now, node, effects);
            }
            other => unreachable!("not about who is where: {other:?}"),
        }
    }

    /// The log tells the next publication of a channel, or one that came before.
    pub(super) fn on_published(
        &mut self,
        key: &ChannelKey,
        offset: u64,
        complete: bool,
        content: Content,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(sequence) = self.sequencer.get_mut(key).filter(|one| one.follows()) else {
            return;
        };
        if offset <= sequence.delivered && !planted("engine-takes-repeats") {
            return;
        }
        let complete = complete || planted("engine-trusts-the-edge");
        // What lies before it is unknown: whoever has not seen the offset before it asks.
        let previous = match complete {
            true => sequence.delivered,
            false => offset - 1,
        };
        let place = Place {
            epoch: sequence.epoch,
            offset,
            previous,
        };
        sequence.offset = offset;
        sequence.delivered = offset;
        let log = sequence.log_mut();
        log.known = log.known.max(offset);
        log.floor = offset;
        let own = log.take_own(content.id, offset);
        if !complete {
            self.sequencer.windows.clear(key);
        }
        let publication = self.keep(key, content, place);
        self.spread(key, &publication, own, effects);
    }

    /// Another node has published what no log has.
    fn on_live(
        &mut self,
        now: Now,
        key: &ChannelKey,
        content: Content,
        lossy: bool,
        effects: &mut impl Effects<Token = T>,
    ) {
        let place = || recent::Place::Channel(key.clone());
        let known = self.recent.find(place(), &content, &self.limits);
        let Some(sequence) = self.sequencer.get_mut(key) else {
            return;
        };
        if !sequence.is_open() || known.is_some() {
            return;
        }
        let chosen = Chosen::of(&content).filter(|_| !lossy);
        let (tenant, channel) = key.clone();
        let mut publication = Publication::new(tenant, channel, content, None);
        publication.conflate = sequence.conflate;
        let reached = self.spread(key, &Arc::new(publication), None, effects);
        if let Some(chosen) = chosen {
            let offset = None;
            let (told, budget) = (Told { offset, reached }, self.retry_budget());
            self.recent.note(place(), &chosen, told, budget);
        }
        if lossy {
            self.note_lossy(now, key, OTHERS_MARK_MS);
        }
    }

    /// History was deleted.
    fn on_removed(&mut self, key: &ChannelKey, id: Option<crate::MessageId>, offset: u64) {
        let Some(sequence) = self.sequencer.get_mut(key).filter(|one| one.follows()) else {
            return;
        };
        let log = sequence.log_mut();
        log.known = log.known.max(offset);
        match id {
            Some(id) => self.sequencer.windows.delete(key, id),
            None => self.sequencer.windows.clear(key),
        }
    }
}

impl super::followed::Followed {
    /// Whose publication it is, if a browser of this node waits for it.
    fn take_own(&mut self, id: crate::MessageId, offset: u64) -> Option<(ConnectionId, u32)> {
        let at = self.own.iter().position(|own| own.id == id);
        let own = at.map(|at| self.own.swap_remove(at));
        // What came before it and is not here by now does not come any more.
        self.own
            .retain(|own| own.offset.is_none_or(|at| at > offset));
        own.map(|own| (own.connection, own.request))
    }
}
