//! What waits for a slow consumer of channels that conflate: the newest publication of each channel, or of each event.
//!
//! Owns their order and the chain of their offsets. Does not know when a consumer is slow: the edge does.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use cometql_protocol::ChannelName;
use cometql_protocol::planted::planted;
use cometql_protocol::wire::Epoch;
use foldhash::fast::FixedState;

use crate::Publication;
use crate::permission::Conflate;

/// About what the structures of a waiting publication take, beside its payload.
const OVERHEAD: usize = 256;

/// Publications that wait for one connection, in the order of their offsets.
#[derive(Debug, Default)]
pub struct Conflated {
    held: Vec<Held>,
    bytes: usize,
}

/// One that waits.
#[derive(Debug)]
pub struct Held {
    /// Finds the others of its channel without a look at them.
    channel: u64,
    /// What waits.
    pub publication: Arc<Publication>,
    /// The offset that its consumer will have seen last in the channel; that of the publication itself unless others
    /// were replaced.
    pub previous: u64,
}

impl Conflated {
    /// Lets a publication wait, instead of those that it makes obsolete. Returns how many those were.
    ///
    /// Whoever waits behind one that is replaced takes over its `previous`, and so does the new one if none waits behind:
    /// the consumer sees an unbroken chain from the last offset that was written to it.
    pub fn put(&mut self, publication: &Arc<Publication>, conflate: Conflate) -> usize {
        let channel = FixedState::default().hash_one(publication.channel.as_str());
        let before = self.held.len();
        let mut bytes = self.bytes;
        let mut gone: Option<(Option<Epoch>, u64)> = None;
        self.held.retain_mut(|held| {
            let waiting = &held.publication;
            if held.channel != channel || waiting.channel != publication.channel {
                return true;
            }
            if conflate == Conflate::Channel || waiting.event == publication.event {
                bytes -= weight(waiting);
                gone.get_or_insert((epoch(waiting), held.previous));
                return false;
            }
            held.previous = follow(gone.take(), waiting, held.previous);
            true
        });
        let replaced = before - self.held.len();
        let own = publication.place.map_or(0, |place| place.previous);
        self.held.push(Held {
            channel,
            publication: Arc::clone(publication),
            previous: follow(gone, publication, own),
        });
        self.bytes = bytes + weight(publication);
        replaced
    }

    /// Whether a publication waits (`true`) or was replaced by one that waits; `None` = neither.
    #[must_use]
    pub fn waits(&self, channel: &ChannelName, offset: u64) -> Option<bool> {
        let mut own = self.of(channel);
        let next = own.find(|held| held.publication.offset() >= offset)?;
        let waits = next.publication.offset() == offset;
        (waits || next.previous < offset).then_some(waits)
    }

    /// For each channel with offsets the first that is not written, because it waits or was replaced, and the last.
    #[must_use]
    pub fn spans(&self) -> Vec<(&ChannelName, u64, u64)> {
        let mut spans: Vec<(&ChannelName, u64, u64)> = Vec::new();
        for held in &self.held {
            let Some(place) = held.publication.place else {
                continue;
            };
            let channel = &held.publication.channel;
            match spans.iter_mut().find(|(of, ..)| *of == channel) {
                Some((.., last)) => *last = place.offset,
                None => spans.push((channel, held.previous + 1, place.offset)),
            }
        }
        spans
    }

    fn of<'a>(&'a self, channel: &ChannelName) -> impl Iterator<Item = &'a Held> {
        let channel = channel.clone();
        let held = self.held.iter();
        held.filter(move |held| held.publication.channel == channel)
    }

    /// What they take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn into_held(self) -> Vec<Held> {
        self.held
    }
}

/// The `previous` of what comes behind those that are gone. Another life of the history is a gap, and stays one.
fn follow(gone: Option<(Option<Epoch>, u64)>, next: &Publication, own: u64) -> u64 {
    match gone {
        Some((life, previous)) if life == epoch(next) && !planted("engine-breaks-the-chain") => {
            previous
        }
        _ => own,
    }
}

fn epoch(publication: &Publication) -> Option<Epoch> {
    publication.place.map(|place| place.epoch)
}

fn weight(publication: &Publication) -> usize {
    publication.data.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use cometql_protocol::{EventName, TenantId};
    use proptest::prelude::*;

    use super::*;
    use crate::MessageId;
    use crate::publication::{Content, Place};

    fn publication(channel: &str, event: &str, place: Option<(u64, u64)>) -> Arc<Publication> {
        let content = Content {
            id: MessageId(1),
            event: EventName::parse(event).unwrap(),
            data: "x".into(),
            data_is_json: false,
            time_ms: 1,
            user: None,
            from_browser: false,
            once: false,
        };
        let place = place.map(|(epoch, offset)| Place {
            epoch: Epoch(epoch),
            offset,
            previous: offset - 1,
        });
        let channel = ChannelName::parse(channel).unwrap();
        Arc::new(Publication::new(TenantId(0), channel, content, place))
    }

    /// `channel event offset` of each publication put, and `offset<previous` of each that waits at the end.
    #[track_caller]
    fn check(conflate: Conflate, put: &[(&str, &str, u64)], waits: &str) {
        let mut conflated = Conflated::default();
        let mut replaced = 0;
        for (channel, event, offset) in put {
            let next = publication(channel, event, Some((1, *offset)));
            replaced += conflated.put(&next, conflate);
        }
        assert_eq!(replaced + conflated.len(), put.len());
        assert_eq!(conflated.bytes(), conflated.len() * (OVERHEAD + 1));
        let told = conflated.into_held().into_iter();
        let told = told.map(|held| format!("{}<{}", held.previous, held.publication.offset()));
        assert_eq!(told.collect::<Vec<_>>().join(" "), waits);
    }

    #[test]
    fn only_the_newest_waits() {
        use Conflate::{Channel, Event};
        check(Channel, &[("web_a", "", 5)], "4<5");
        check(Channel, &[("web_a", "", 5), ("web_a", "e", 6)], "4<6");
        check(
            Channel,
            &[("web_a", "", 5), ("web_b", "", 9), ("web_a", "", 6)],
            "8<9 4<6",
        );
        let two = [
            ("web_a", "x", 1),
            ("web_a", "y", 2),
            ("web_a", "x", 3),
            ("web_a", "y", 4),
        ];
        check(Event, &two[..3], "0<2 2<3");
        check(Event, &two, "0<3 3<4");
        check(Channel, &two, "0<4");
    }

    #[test]
    fn another_life_is_a_gap() {
        let mut conflated = Conflated::default();
        conflated.put(&publication("web_a", "", Some((1, 7))), Conflate::Channel);
        conflated.put(&publication("web_a", "", Some((2, 2))), Conflate::Channel);
        let held = conflated.into_held();
        assert_eq!(held[0].previous, 1);
    }

    #[test]
    fn what_became_of_each_is_known() {
        let mut conflated = Conflated::default();
        for (channel, event, offset) in [
            ("web_a", "x", 4),
            ("web_a", "y", 5),
            ("web_b", "", 9),
            ("web_a", "x", 6),
        ] {
            let next = publication(channel, event, Some((1, offset)));
            conflated.put(&next, Conflate::Event);
        }
        let channel = ChannelName::parse("web_a").unwrap();
        let told = (3..=7).map(|offset| conflated.waits(&channel, offset));
        let told: Vec<_> = told.collect();
        assert_eq!(told, [None, Some(false), Some(true), Some(true), None]);
        let spans = conflated.spans().into_iter();
        let spans: Vec<_> = spans
            .map(|(of, first, last)| (of.as_str(), first, last))
            .collect();
        assert_eq!(spans, [("web_a", 4, 6), ("web_b", 9, 9)]);
        conflated.put(&publication("web_c", "", None), Conflate::Event);
        assert_eq!(conflated.spans().len(), 2);
    }

    #[test]
    fn channels_without_offsets_conflate_too() {
        let mut conflated = Conflated::default();
        let next = publication("web_a", "", None);
        assert_eq!(conflated.put(&next, Conflate::Channel), 0);
        assert_eq!(conflated.put(&next, Conflate::Channel), 1);
        assert_eq!(conflated.len(), 1);
    }

    proptest! {
        /// Whatever is put, in whichever mode: of each channel the consumer sees rising offsets in one unbroken chain from
        /// before the first to the last, and the newest of each event.
        #[test]
        fn the_chain_never_breaks(puts in prop::collection::vec((0..3usize, 0..4usize, any::<bool>()), 1..60)) {
            let channels = ["web_a", "web_b", "web_c"];
            let events = ["", "x", "y", "z"];
            let mut offsets = [0; 3];
            let mut conflated = Conflated::default();
            let mut newest = std::collections::HashMap::new();
            for (channel, event, whole) in puts {
                offsets[channel] += 1;
                let next = publication(channels[channel], events[event], Some((1, offsets[channel])));
                let conflate = if whole { Conflate::Channel } else { Conflate::Event };
                if whole {
                    newest.retain(|(of, _), _| *of != channel);
                }
                newest.insert((channel, event), offsets[channel]);
                conflated.put(&next, conflate);
            }
            let mut seen = [0; 3];
            prop_assert_eq!(conflated.len(), newest.len());
            for held in conflated.into_held() {
                let channel = channels.iter().position(|name| *name == held.publication.channel.as_str()).unwrap();
                let event = events.iter().position(|name| *name == held.publication.event.as_str()).unwrap();
                prop_assert_eq!(held.previous, seen[channel]);
                prop_assert_eq!(newest[&(channel, event)], held.publication.offset());
                seen[channel] = held.publication.offset();
            }
            for (channel, last) in seen.into_iter().enumerate() {
                prop_assert_eq!(last, offsets[channel]);
            }
        }
    }
}
