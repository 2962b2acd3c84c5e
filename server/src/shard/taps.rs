//! Taps: somebody who watches a channel from the side, with the right of its tenant's key and without a session. Taps are
//! no subscribers: nobody sees or counts them, and one that can't follow misses publications rather than delay anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cometql_engine::Publication;
use cometql_protocol::{ChannelName, TenantId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Publications that may wait for one tap.
const WAITING: usize = 64;

/// The end that the channel's sequencer writes to.
pub(crate) struct Tap {
    tenant: TenantId,
    channel: ChannelName,
    sender: Sender<Arc<Publication>>,
    missed: Arc<AtomicU64>,
}

/// The end that is read. Dropped, the tap is closed.
#[derive(Debug)]
pub(crate) struct Tapped {
    receiver: Receiver<Arc<Publication>>,
    missed: Arc<AtomicU64>,
}

/// Both ends of a tap.
pub(crate) fn tap(tenant: TenantId, name: ChannelName) -> (Tap, Tapped) {
    let (sender, receiver) = channel(WAITING);
    let missed = Arc::new(AtomicU64::new(0));
    let tap = Tap {
        tenant,
        channel: name,
        sender,
        missed: Arc::clone(&missed),
    };
    (tap, Tapped { receiver, missed })
}

impl Tapped {
    /// The next publication; `None` when the node stops.
    pub(crate) async fn next(&mut self) -> Option<Arc<Publication>> {
        self.receiver.recv().await
    }

    /// How many were missed since the last call.
    pub(crate) fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

/// The open taps on a shard's channels.
#[derive(Default)]
pub(super) struct Taps(Vec<Tap>);

impl Taps {
    /// One more; those that nobody reads any more go.
    pub(super) fn add(&mut self, tap: Tap) {
        self.0.retain(|tap| !tap.sender.is_closed());
        self.0.push(tap);
    }

    /// A publication goes to its subscribers: tells those who watch.
    pub(super) fn tell(&mut self, publication: &Arc<Publication>) {
        self.0.retain(|tap| {
            if tap.tenant != publication.tenant || tap.channel != publication.channel {
                return true;
            }
            match tap.sender.try_send(Arc::clone(publication)) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    tap.missed.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(TrySendError::Closed(_)) => false,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use cometql_engine::MessageId;
    use cometql_engine::publication::Content;
    use cometql_protocol::EventName;

    use super::*;

    fn publication(tenant: u32, name: &str) -> Arc<Publication> {
        let content = Content {
            id: MessageId(1),
            event: EventName::default(),
            data: "x".into(),
            data_is_json: false,
            time_ms: 0,
            user: None,
            from_browser: false,
            once: false,
        };
        let name = ChannelName::parse(name).unwrap();
        Arc::new(Publication::new(TenantId(tenant), name, content, None))
    }

    #[test]
    fn a_tap_sees_its_channel_only_and_is_bounded() {
        let (one, mut tapped) = tap(TenantId(1), ChannelName::parse("web_a").unwrap());
        let mut taps = Taps::default();
        taps.add(one);
        taps.tell(&publication(2, "web_a"));
        taps.tell(&publication(1, "web_b"));
        assert!(tapped.receiver.try_recv().is_err());
        for _ in 0..WAITING + 3 {
            taps.tell(&publication(1, "web_a"));
        }
        assert_eq!(tapped.receiver.len(), WAITING);
        assert_eq!((tapped.take_missed(), tapped.take_missed()), (3, 0));
        drop(tapped);
        taps.tell(&publication(1, "web_a"));
        assert!(taps.0.is_empty());
    }
}
