//! What was sent lately under ids that senders chose, so that a retry is known as one. It must not know how things are
//! sent.
//!
//! It is memory: what a store keeps under such an id, the store knows by itself ([`Once`]), also after a crash.

use std::collections::{HashMap, VecDeque};

use cometql_protocol::ErrorCode;
use cometql_protocol::planted::planted;
use foldhash::fast::FixedState;

use super::{ChannelKey, UserKey};
use crate::publication::Content;
use crate::store::Once;
use crate::{Limits, MessageId, Reject};

/// What an id costs: its entries here and the name of its channel.
const ID_BYTES: usize = 256;

/// Ids and what was answered, the oldest first.
#[derive(Default)]
pub(super) struct Recent {
    sent: HashMap<Key, Sent, FixedState>,
    order: VecDeque<(u64, Key)>,
}

/// An id counts within one channel or inbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Channel(ChannelKey),
    User(UserKey),
}

type Key = (Place, MessageId);

struct Sent {
    at_ms: u64,
    digest: u64,
    told: Told,
}

/// What the sender was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Told {
    pub(super) offset: Option<u64>,
    pub(super) reached: u64,
}

impl Recent {
    /// What was told about this content when it came first; a refusal when the id came with other content; `None` when it is
    /// new.
    pub(super) fn find(
        &self,
        place: Place,
        content: &Content,
        limits: &Limits,
    ) -> Option<Result<Told, Reject>> {
        if !content.once || planted("engine-forgets-retries") {
            return None;
        }
        let sent = self.sent.get(&(place, content.id))?;
        let is_recent = sent.at_ms.saturating_add(limits.retry_ms) > content.time_ms;
        is_recent.then(|| same(content, sent.digest).map(|()| sent.told))
    }

    /// Notes what was told about content that came first.
    pub(super) fn note(&mut self, place: Place, once: &Chosen, told: Told, budget: usize) {
        let Chosen { id, digest, at_ms } = *once;
        let key = (place, id);
        let sent = Sent {
            at_ms,
            digest,
            told,
        };
        self.sent.insert(key.clone(), sent);
        self.order.push_back((at_ms, key));
        while self.order.len() > budget / ID_BYTES && !planted("engine-keeps-every-id") {
            self.forget_first();
        }
    }

    /// Forgets what came before a moment.
    pub(super) fn forget(&mut self, before_ms: u64) {
        while self.order.front().is_some_and(|(at, _)| *at < before_ms) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((at_ms, key)) = self.order.pop_front() else {
            return;
        };
        // It may have been sent anew since.
        if self.sent.get(&key).is_some_and(|sent| sent.at_ms == at_ms) {
            self.sent.remove(&key);
        }
    }
}

/// What is to be known of content under an id that its sender chose, once the content itself is on its way.
pub(super) struct Chosen {
    id: MessageId,
    digest: u64,
    at_ms: u64,
}

impl Chosen {
    /// `None` = the id was made for this content, and nobody can repeat it.
    pub(super) fn of(content: &Content) -> Option<Self> {
        content.once.then(|| Self {
            id: content.id,
            digest: digest(content),
            at_ms: content.time_ms,
        })
    }
}

/// What the store has to know of it.
pub(super) fn once(content: &Content, limits: &Limits) -> Option<Once> {
    content.once.then(|| Once {
        digest: digest(content),
        until_ms: content.time_ms.saturating_add(limits.retry_ms),
    })
}

/// Whether content is that of a digest.
pub(super) fn same(content: &Content, other: u64) -> Result<(), Reject> {
    if digest(content) == other || planted("engine-takes-other-content") {
        return Ok(());
    }
    let id = content.id;
    let message = format!(
        "the id {id} was used for another message a short time ago; a retry repeats the message"
    );
    Err(Reject::new(ErrorCode::Conflict, message))
}

/// A later version may compute it otherwise. A retry across such an upgrade is refused, which is better than sent twice.
fn digest(content: &Content) -> u64 {
    use std::hash::BuildHasher as _;
    FixedState::default().hash_one((content.event.as_str(), &*content.data, content.user))
}
