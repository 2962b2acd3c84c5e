//! Publishing by a cluster's log: the log gives the place, tells it to all who follow the channel, and answers. Which of
//! the two comes first is open.

use std::sync::Arc;

use super::followed::Own;
use super::recent::{Chosen, Told};
use super::tickets::Origin;
use super::{ChannelKey, Shard};
use crate::effects::Counted;
use crate::permission::Retention;
use crate::publication::Content;
use crate::store::Keep;
use crate::{Effects, LogKind, Now, Publication};

/// After so many milliseconds the node that published without the log tries to say so in the log.
const MARK_MS: u64 = 1_000;

impl<T> Shard<T> {
    /// Hands content to the log, or to whoever listens when no log has the channel.
    pub(super) fn publish_in_cluster(
        &mut self,
        key: &ChannelKey,
        content: Content,
        origin: Origin<T>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let sequence = self.sequencer.ready(key);
        let keep = match sequence.retention {
            Retention::Ephemeral => {
                return self.publish_live(key, content, false, origin, effects);
            }
            Retention::Window => Keep {
                publications: self.limits.window_publications as u64,
                age_ms: self.limits.window_ms,
            },
            Retention::Durable {
                publications,
                age_ms,
            } => Keep {
                publications,
                age_ms,
            },
        };
        let kind = LogKind::of(sequence.retention);
        sequence.appending += 1;
        if let Origin::Browser {
            connection,
            request,
            ..
        } = origin
        {
            sequence.log_mut().own.push(Own {
                id: content.id,
                connection,
                request,
                offset: None,
            });
        }
        self.append(key, 0, content, keep, Some(kind), origin, effects);
    }

    /// The log has given a publication its place.
    pub(super) fn on_placed(
        &mut self,
        key: &ChannelKey,
        offset: u64,
        content: &Content,
        origin: Origin<T>,
        effects: &mut impl Effects<Token = T>,
    ) {
        effects.count(Counted::Publications, 1);
        let sequence = self.sequencer.ready(key);
        let reached = sequence.interested.iter();
        let reached = reached.map(|(_, count)| u64::from(*count)).sum();
        let comes = sequence.follows() && offset > sequence.delivered;
        let own = &mut sequence.log_mut().own;
        if let Some(at) = at_own(own, &origin) {
            match comes {
                true => own[at].offset = Some(offset),
                false => drop(own.swap_remove(at)),
            }
        }
        let told = Told {
            offset: Some(offset),
            reached,
        };
        self.conclude(key, Chosen::of(content), origin, told, false, effects);
    }

    /// The log's quorum is lost: publishes without it.
    pub(super) fn publish_lossy(
        &mut self,
        now: Now,
        key: &ChannelKey,
        content: Content,
        origin: Origin<T>,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.publish_live(key, content, true, origin, effects);
        self.note_lossy(now, key, MARK_MS);
    }

    /// A publication of this node does not come back from the log.
    pub(super) fn forget_own(&mut self, key: &ChannelKey, origin: &Origin<T>) {
        let sequence = self.sequencer.get_mut(key);
        if let Some(log) = sequence.and_then(|sequence| sequence.log.as_mut())
            && let Some(at) = at_own(&log.own, origin)
        {
            log.own.swap_remove(at);
        }
    }

    fn publish_live(
        &mut self,
        key: &ChannelKey,
        content: Content,
        lossy: bool,
        origin: Origin<T>,
        effects: &mut impl Effects<Token = T>,
    ) {
        // What the log lacks may be sent again, and then it has it.
        let chosen = Chosen::of(&content).filter(|_| !lossy);
        let (tenant, channel) = key.clone();
        let mut publication = Publication::new(tenant, channel, content, None);
        publication.conflate = self.sequencer.ready(key).conflate;
        let publication = Arc::new(publication);
        effects.broadcast(&publication, lossy);
        self.release(key, &publication, chosen, origin, lossy, effects);
    }
}

fn at_own<T>(own: &[Own], origin: &Origin<T>) -> Option<usize> {
    let Origin::Browser {
        connection,
        request,
        ..
    } = origin
    else {
        return None;
    };
    own.iter()
        .position(|own| (own.connection, own.request) == (*connection, *request))
}
