//! Publishing: a place in the channel, the store if the channel is durable, delivery, the answer. In this order.

use std::sync::Arc;

use cometql_protocol::{EventName, TenantId};

use super::tickets::{Origin, Then};
use super::{ChannelKey, Shard, rejected, unavailable};
use crate::effects::Counted;
use crate::permission::Retention;
use crate::publication::{Content, Place};
use crate::store::Keep;
use crate::{
    Answer, Draft, Effects, Message, MessageId, Now, Publication, Reject, StoreFailure,
    StoreRequest,
};

impl Draft {
    /// The content as a backend publishes it at this moment.
    pub(super) fn content(self, now: Now) -> Content {
        let Self {
            id,
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
        effects.count(Counted::Publications, 1);
        let sequence = self.sequencer.ready(key);
        match sequence.retention {
            Retention::Ephemeral => {
                let (tenant, channel) = key.clone();
                let publication = Publication::new(tenant, channel, content, None);
                self.release(key, &Arc::new(publication), origin, effects);
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
                self.append(key, offset, content, keep, origin, effects);
            }
        }
    }

    /// The store has answered an append.
    pub(super) fn on_appended(
        &mut self,
        key: &ChannelKey,
        offset: u64,
        content: Content,
        origin: Origin<T>,
        result: Result<(), StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.sequencer.ready(key).appending -= 1;
        match result {
            Ok(()) => self.commit(key, offset, content, origin, effects),
            Err(failure) => refuse(key, origin, &failure, effects),
        }
    }

    fn append(
        &mut self,
        key: &ChannelKey,
        offset: u64,
        content: Content,
        keep: Keep,
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
        let (tenant, channel) = key.clone();
        let publication = Arc::new(Publication::new(tenant, channel, content, Some(place)));
        self.sequencer.keep(key, &publication, &self.limits);
        self.release(key, &publication, origin, effects);
    }

    fn release(
        &mut self,
        key: &ChannelKey,
        publication: &Arc<Publication>,
        origin: Origin<T>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let browser = match &origin {
            Origin::Browser {
                connection,
                request,
                ..
            } => Some((*connection, *request)),
            Origin::Command(_) | Origin::Internal => None,
        };
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
        let offset = publication.place.map(|place| place.offset);
        match origin {
            Origin::Command(token) => effects.answer(token, Answer::Published { offset, reached }),
            Origin::Browser {
                connection,
                request,
                subscribed,
            } => {
                let reached = reached - u64::from(subscribed && reached > 0);
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

fn refuse<T>(
    key: &ChannelKey,
    origin: Origin<T>,
    failure: &StoreFailure,
    effects: &mut impl Effects<Token = T>,
) {
    match origin {
        Origin::Command(token) => effects.answer(token, rejected(failure)),
        Origin::Browser {
            connection,
            request,
            ..
        } => {
            let reject: Reject = unavailable(failure);
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
