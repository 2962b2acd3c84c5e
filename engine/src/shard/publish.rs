//! Publishing: a place in the channel, the store if the channel is durable, delivery, the answer. In this order.

use std::sync::Arc;

use cometql_protocol::planted::planted;
use cometql_protocol::{EventName, TenantId};

use super::recent::{self, Chosen, Told, once, same};
use super::tickets::{Origin, Then};
use super::{ChannelKey, Shard, unavailable};
use crate::effects::Counted;
use crate::permission::Retention;
use crate::publication::{Content, Place};
use crate::store::Keep;
use crate::{
    Answer, ConnectionId, Draft, Effects, LogKind, Message, MessageId, Now, Publication, Reject,
    StoreAnswer, StoreFailure, StoreRequest,
};

impl Draft {
    /// The content as a backend publishes it at this moment.
    pub(super) fn content(self, now: Now) -> Content {
        let Self {
            id,
            once,
            event,
            data,
            data_is_json,
        } = self;
        Content {
            id,
            event,
            data,
            data_is_json,
            time_ms: now.0,
            user: None,
            from_browser: false,
            once,
        }
    }
}

impl<T> Shard<T> {
    /// Gives content its place. The channel is ready.
    pub(super) fn publish(
        &mut self,
        key: &ChannelKey,
        content: Content,
        origin: Origin<T>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let known = self
            .recent
            .find(recent::Place::Channel(key.clone()), &content, &self.limits);
        if let Some(known) = known {
            return answer_known(key, origin, known, effects);
        }
        if self.cluster.is_some() {
            return self.publish_in_cluster(key, content, origin, effects);
        }
        let sequence = self.sequencer.ready(key);
        match sequence.retention {
            Retention::Ephemeral => {
                let (tenant, channel) = key.clone();
                let chosen = Chosen::of(&content);
                let mut publication = Publication::new(tenant, channel, content, None);
                publication.conflate = sequence.conflate;
                let publication = Arc::new(publication);
                self.release(key, &publication, chosen, origin, false, effects);
            }
            Retention::Window => {
                sequence.offset += 1;
                let offset = sequence.offset;
                self.commit(key, offset, content, origin, effects);
            }
            Retention::Durable {
                publications,
                age_ms,
            } => {
                sequence.offset += 1;
                sequence.appending += 1;
                let offset = sequence.offset;
                let keep = Keep {
                    publications,
                    age_ms,
                };
                if planted("engine-delivers-before-the-disk") {
                    sequence.appending -= 1;
                    return self.commit(key, offset, content, origin, effects);
                }
                self.append(key, offset, content, keep, None, origin, effects);
            }
        }
    }

    /// The store has answered an append.
    #[expect(clippy::too_many_arguments, reason = "what was asked, and the answer")]
    pub(super) fn on_appended(
        &mut self,
        now: Now,
        key: &ChannelKey,
        offset: u64,
        content: Content,
        origin: Origin<T>,
        result: Result<StoreAnswer, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.sequencer.ready(key).appending -= 1;
        match result {
            Ok(StoreAnswer::Known { offset, digest }) => {
                self.forget_own(key, &origin);
                let place = recent::Place::Channel(key.clone());
                // It may have been answered while this one was on its way to the store.
                let known = self.recent.find(place, &content, &self.limits);
                let stored = Told {
                    offset: Some(offset),
                    reached: 0,
                };
                let known = known.unwrap_or_else(|| same(&content, digest).map(|()| stored));
                answer_known(key, origin, known, effects);
            }
            Ok(StoreAnswer::Appended { offset }) => {
                self.on_placed(key, offset, &content, origin, effects);
            }
            Ok(_) => self.commit(key, offset, content, origin, effects),
            Err(failure) => {
                self.forget_own(key, &origin);
                if failure == StoreFailure::NoQuorum && self.goes_on_live() {
                    return self.publish_lossy(now, key, content, origin, effects);
                }
                refuse(key, origin, unavailable(&failure), effects);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one request")]
    pub(super) fn append(
        &mut self,
        key: &ChannelKey,
        offset: u64,
        content: Content,
        keep: Keep,
        log: Option<LogKind>,
        origin: Origin<T>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (tenant, channel) = key.clone();
        let request = StoreRequest::Append {
            tenant,
            channel,
            offset,
            content: content.clone(),
            keep,
            once: once(&content, &self.limits),
            log,
        };
        let then = Then::Appended {
            key: key.clone(),
            offset,
            content,
            origin,
        };
        effects.store(self.tickets.open(then), request);
    }

    /// The publication will survive as long as its channel promises: into the window, to the subscribers, to the
    /// publisher.
    fn commit(
        &mut self,
        key: &ChannelKey,
        offset: u64,
        content: Content,
        origin: Origin<T>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let sequence = self.sequencer.ready(key);
        let place = Place {
            epoch: sequence.epoch,
            offset,
            previous: sequence.delivered,
        };
        sequence.delivered = offset;
        let chosen = Chosen::of(&content);
        let publication = self.keep(key, content, place);
        self.release(key, &publication, chosen, origin, false, effects);
    }

    /// Puts content at its place into the window.
    pub(super) fn keep(
        &mut self,
        key: &ChannelKey,
        content: Content,
        place: Place,
    ) -> Arc<Publication> {
        let (tenant, channel) = key.clone();
        let mut publication = Publication::new(tenant, channel, content, Some(place));
        publication.conflate = self.sequencer.ready(key).conflate;
        let publication = Arc::new(publication);
        let (most, mut budget) = (self.limits.window_publications, self.window_budget());
        if planted("engine-keeps-no-window") {
            budget = 0;
        }
        self.sequencer.windows.keep(key, &publication, most, budget);
        publication
    }

    pub(super) fn release(
        &mut self,
        key: &ChannelKey,
        publication: &Arc<Publication>,
        chosen: Option<Chosen>,
        origin: Origin<T>,
        lossy: bool,
        effects: &mut impl Effects<Token = T>,
    ) {
        effects.count(Counted::Publications, 1);
        let browser = match &origin {
            Origin::Browser {
                connection,
                request,
                ..
            } => Some((*connection, *request)),
            Origin::Command(_) | Origin::Internal => None,
        };
        let reached = self.spread(key, publication, browser, effects);
        let offset = publication.place.map(|place| place.offset);
        let told = Told { offset, reached };
        self.conclude(key, chosen, origin, told, lossy, effects);
    }

    /// Hands a publication to all shards with subscribers; how many those are. `browser` published it, by that request.
    pub(super) fn spread(
        &mut self,
        key: &ChannelKey,
        publication: &Arc<Publication>,
        browser: Option<(ConnectionId, u32)>,
        effects: &mut impl Effects<Token = T>,
    ) -> u64 {
        effects.published(publication);
        let mut reached = 0;
        for (shard, count) in &self.sequencer.ready(key).interested {
            reached += u64::from(*count);
            let publication = Arc::clone(publication);
            effects.send(
                *shard,
                Message::Deliver {
                    publication,
                    origin: browser,
                },
            );
        }
        reached
    }

    /// Answers whoever published, and notes that for when it comes again.
    pub(super) fn conclude(
        &mut self,
        key: &ChannelKey,
        chosen: Option<Chosen>,
        origin: Origin<T>,
        mut told: Told,
        lossy: bool,
        effects: &mut impl Effects<Token = T>,
    ) {
        if let Origin::Browser {
            subscribed: true, ..
        } = origin
        {
            told.reached = told.reached.saturating_sub(1);
        }
        if let Some(chosen) = chosen {
            let (place, budget) = (recent::Place::Channel(key.clone()), self.retry_budget());
            self.recent.note(place, &chosen, told, budget);
        }
        answer(origin, told, lossy, effects);
    }

    /// Publishes on the engine's own behalf, if anybody could see it.
    pub(super) fn publish_status(
        &mut self,
        now: Now,
        tenant: TenantId,
        channel: &str,
        status: &str,
        effects: &mut impl Effects<Token = T>,
    ) {
        let channel = cometql_protocol::ChannelName::parse(channel)
            .expect("a prefix and a user id make a channel name");
        let content = Content {
            id: random_id(effects),
            event: EventName::parse(status).expect("online and offline are event names"),
            data: status.into(),
            data_is_json: false,
            time_ms: now.0,
            user: None,
            from_browser: false,
            once: false,
        };
        let to = self.sequencer_of(tenant, &channel);
        effects.send(
            to,
            Message::PublishInternal {
                tenant,
                channel,
                content,
            },
        );
    }
}

/// A random UUID (RFC 9562 version 4).
pub(super) fn random_id<T>(effects: &mut impl Effects<Token = T>) -> MessageId {
    let bits = u128::from(effects.random()) << 64 | u128::from(effects.random());
    let version = 4 << 76;
    let variant = 0b10 << 62;
    MessageId(bits & !(0xf << 76) & !(0b11 << 62) | version | variant)
}

/// Answers a retry.
fn answer_known<T>(
    key: &ChannelKey,
    origin: Origin<T>,
    known: Result<Told, Reject>,
    effects: &mut impl Effects<Token = T>,
) {
    match known {
        Ok(told) => answer(origin, told, false, effects),
        Err(reject) => refuse(key, origin, reject, effects),
    }
}

fn answer<T>(origin: Origin<T>, told: Told, lossy: bool, effects: &mut impl Effects<Token = T>) {
    let Told { offset, reached } = told;
    match origin {
        Origin::Command(token) => {
            effects.answer(
                token,
                Answer::Published {
                    offset,
                    reached,
                    lossy,
                },
            );
        }
        Origin::Browser {
            connection,
            request,
            ..
        } => {
            let published = Message::Published {
                connection,
                request,
                offset,
                reached,
            };
            effects.send(connection.shard(), published);
        }
        Origin::Internal => {}
    }
}

fn refuse<T>(
    key: &ChannelKey,
    origin: Origin<T>,
    reject: Reject,
    effects: &mut impl Effects<Token = T>,
) {
    match origin {
        Origin::Command(token) => effects.answer(token, Answer::Rejected(reject)),
        Origin::Browser {
            connection,
            request,
            ..
        } => {
            let channel = key.1.clone();
            let refused = Message::Refused {
                connection,
                request,
                channel,
                attempt: None,
                reject,
            };
            effects.send(connection.shard(), refused);
        }
        Origin::Internal => {}
    }
}
