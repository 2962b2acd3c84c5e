//! What was sent: it is published once, stored before anybody hears of it, and an id stands for one content.

use std::collections::{BTreeMap, BTreeSet};

use cometql_engine::{Limits, Publication};
use cometql_protocol::wire::{Epoch, Position};
use cometql_protocol::{TenantId, UserId};

use super::{CHANGING, KEPT};
use crate::disk::Disk;

/// Payloads by offset, and when each was published.
type Offsets = BTreeMap<u64, (String, u64)>;

/// What backends and browsers sent, and what became of it.
#[derive(Default)]
pub(crate) struct Messages {
    /// Publications by payload: when each was asked for.
    sent: BTreeMap<String, u64>,
    /// Payloads that may be asked for once more.
    again: BTreeSet<String>,
    /// By payload, in which lives of the node it was published, and at which offset.
    published: BTreeMap<String, Vec<(u32, Option<u64>)>>,
    /// By tenant, channel and id, what was published under it in which life.
    by_id: BTreeMap<(u32, String, u128), Vec<(u32, String)>>,
    /// What the sequencers gave a place, by channel and epoch.
    placed: BTreeMap<(u32, String, u64), Offsets>,
    /// Channels of which a backend has deleted something.
    deleted: BTreeSet<(u32, String)>,
    /// Epochs in which the node that runs has published.
    epochs: BTreeSet<u64>,
    /// Answered publications of channels that keep everything.
    answered: Vec<(u32, String, String)>,
    /// Private messages that were answered: tenant, user, payload.
    private: Vec<(u32, u64, String)>,
    /// Payloads of private messages that an application handled, or a backend threw away.
    handled: BTreeSet<String>,
}

impl Messages {
    /// A publication is asked for.
    pub(crate) fn asks(&mut self, payload: &str, now: u64) {
        self.sent.insert(payload.to_owned(), now);
    }

    /// Whoever sent it tries again when it gets no answer.
    pub(crate) fn may_resend(&mut self, payload: &str) {
        self.again.insert(payload.to_owned());
    }

    /// When it was asked for.
    #[track_caller]
    pub(crate) fn asked(&self, payload: &str) -> u64 {
        let sent = self.sent.get(payload);
        *sent.unwrap_or_else(|| panic!("{payload} was never sent"))
    }

    /// Whether it may come to a tab more than once: the node forgot it when it was killed, and its sender tried again. The
    /// store remembers, but is not asked about a channel that is durable no more.
    pub(crate) fn may_come_again(&self, channel: &str, payload: &str) -> bool {
        let lives = self.published.get(payload);
        let forgot = lives.is_some_and(|lives| lives.len() > 1);
        forgot || (channel == CHANGING && self.again.contains(payload))
    }

    /// A publication is on its way to its subscribers.
    pub(crate) fn published(&mut self, life: u32, publication: &Publication) {
        let (tenant, channel) = (publication.tenant.0, publication.channel.as_str());
        let payload = &*publication.data;
        let kept = channel == KEPT;
        let place = publication.place;
        let lives = self.published.entry(payload.to_owned()).or_default();
        let again = self.again.contains(payload);
        let is_new =
            lives.is_empty() || (again && !kept && lives.iter().all(|(of, _)| *of != life));
        assert!(is_new, "{channel}: {payload} is published twice");
        lives.push((life, place.map(|place| place.offset)));
        let id = (tenant, channel.to_owned(), publication.id.0);
        let known = self.by_id.entry(id).or_default();
        let other = known
            .iter()
            .find(|(of, other)| other != payload && (*of == life || kept));
        assert_eq!(other, None, "{channel}: {payload} under the same id");
        known.push((life, payload.to_owned()));
        if let Some(place) = place {
            self.epochs.insert(place.epoch.0);
            let epoch = (tenant, channel.to_owned(), place.epoch.0);
            let offsets = self.placed.entry(epoch).or_default();
            let before = offsets.insert(place.offset, (payload.to_owned(), publication.time_ms));
            let before = before.map(|(payload, _)| payload);
            assert_eq!(
                before, None,
                "{channel}: offset {} given twice",
                place.offset
            );
            let last = offsets.last_key_value().map(|(offset, _)| *offset);
            assert_eq!(last, Some(place.offset), "{channel}: offsets must rise");
        }
    }

    /// There is no memory for the id of a publication any more: it may be published again, and nobody may follow its channel.
    pub(crate) fn forgets(&mut self, payload: &str) {
        self.published.remove(payload);
        for known in self.by_id.values_mut() {
            known.retain(|(_, other)| other != payload);
        }
    }

    /// Whether it is published, as far as is known here.
    pub(crate) fn is_published(&self, payload: &str) -> bool {
        self.published.contains_key(payload)
    }

    /// The node is killed, and its windows with it.
    pub(crate) fn forget(&mut self) {
        self.epochs.clear();
    }

    /// A backend deletes something of a channel.
    pub(crate) fn deletes(&mut self, tenant: TenantId, channel: &str) {
        self.deleted.insert((tenant.0, channel.to_owned()));
    }

    /// Whether the window of a channel must have all that came after a position: there is something, it is few, small and
    /// young, and the node lives.
    pub(crate) fn fits_window(
        &self,
        (tenant, channel): (TenantId, &str),
        since: Position,
        now: u64,
        limits: &Limits,
    ) -> bool {
        let place = (tenant.0, channel.to_owned());
        let plenty = limits.window_bytes >= 1 << 20;
        if !plenty || self.deleted.contains(&place) || !self.epochs.contains(&since.epoch.0) {
            return false;
        }
        let life = (place.0, place.1, since.epoch.0);
        let placed = self.placed.get(&life);
        let after = placed.map(|offsets| offsets.range(since.offset + 1..));
        let after: Vec<_> = after.into_iter().flatten().map(|(_, one)| one).collect();
        let bytes: usize = after.iter().map(|(payload, _)| payload.len() + 256).sum();
        let young = |at: u64| at + limits.window_ms > now + 1_000;
        !after.is_empty()
            && after.len() <= limits.window_publications
            && bytes <= limits.outbox_bytes
            && after.iter().all(|(_, at)| young(*at))
    }

    /// A publication was answered.
    pub(crate) fn answered(
        &mut self,
        (tenant, channel): (TenantId, &str),
        payload: &str,
        offset: Option<u64>,
        disk: &Disk,
    ) {
        let lives = self.published.get(payload);
        let there = lives.is_some_and(|lives| lives.iter().any(|(_, at)| *at == offset));
        assert!(
            there || disk.has_had(payload),
            "{channel}: {payload} was answered, but never published there"
        );
        if channel == KEPT {
            assert!(
                disk.keeps(tenant, channel, payload),
                "{channel}: {payload} was answered before it was stored"
            );
            let answered = (tenant.0, channel.to_owned(), payload.to_owned());
            self.answered.push(answered);
        }
    }

    /// A private message was answered.
    pub(crate) fn private(&mut self, tenant: TenantId, user: u64, payload: &str, disk: &Disk) {
        assert!(
            disk.has_had(payload),
            "{payload} was answered before it was stored"
        );
        self.private.push((tenant.0, user, payload.to_owned()));
    }

    /// An application has handled a private message, or a backend has thrown it away.
    pub(crate) fn handled(&mut self, payload: &str) {
        self.handled.insert(payload.to_owned());
    }

    /// The store removes private messages.
    pub(crate) fn removed(&self, payloads: &[String]) {
        for payload in payloads {
            assert!(
                self.handled.contains(payload),
                "{payload} was acknowledged, but nobody has handled it"
            );
        }
    }

    /// What was answered is on disk.
    pub(crate) fn check_disk(&self, disk: &Disk) {
        for (tenant, channel, payload) in &self.answered {
            assert!(
                disk.keeps(TenantId(*tenant), channel, payload),
                "{channel}: {payload} was answered and is lost"
            );
        }
        for (tenant, user, payload) in &self.private {
            let key = (TenantId(*tenant), UserId::new(*user).unwrap());
            let waits = disk
                .inboxes
                .get(&key)
                .is_some_and(|(_, rows)| rows.values().any(|content| *content.data == **payload));
            assert!(
                waits || self.handled.contains(payload),
                "{payload} was answered and is lost"
            );
        }
    }

    /// At the end: all messages to these users were handled.
    pub(crate) fn check_handled(&self, users: &BTreeSet<(u32, u64)>) {
        for (tenant, user, payload) in &self.private {
            let expected = users.contains(&(*tenant, *user));
            assert!(
                !expected || self.handled.contains(payload),
                "{payload} was answered, and nobody got it"
            );
        }
    }

    /// What has a place between two offsets.
    pub(crate) fn between(
        &self,
        (tenant, channel): (TenantId, &str),
        epoch: Epoch,
        after: u64,
        before: u64,
    ) -> impl Iterator<Item = &String> {
        let life = (tenant.0, channel.to_owned(), epoch.0);
        let placed = self.placed.get(&life);
        let between = placed.map(|offsets| offsets.range(after + 1..before));
        between
            .into_iter()
            .flatten()
            .map(|(_, (payload, _))| payload)
    }
}
