//! What must hold: a model that is told all that happens, and panics when a promise is broken.

use std::collections::{BTreeMap, BTreeSet};

use cometql_protocol::TenantId;
use cometql_protocol::wire::{Epoch, Position};

use crate::browser::{Follow, Told};
use crate::disk::Disk;

/// Channels whose history is on disk, unlimited, and which nobody clears: nothing of them is ever lost.
pub(crate) const KEPT: &str = "log_a";
/// A channel whose right to subscribe is taken away and given back.
pub(crate) const GUARDED: &str = "private_a";

/// Everything that was sent, and what became of it.
#[derive(Default)]
pub(crate) struct Promises {
    /// Publications by payload: when it was asked for.
    sent: BTreeMap<String, u64>,
    /// Payloads that a browser may have sent twice.
    resent: BTreeSet<String>,
    /// What the sequencers gave a place, by channel, epoch and offset.
    placed: BTreeMap<(u32, String, u64), BTreeMap<u64, String>>,
    /// Answered publications of channels that keep everything.
    answered: Vec<(u32, String, String)>,
    /// Private messages that were answered: tenant, user, offset, payload.
    messages: Vec<(u32, u64, u64, String)>,
    /// Payloads of private messages that an application handled.
    handled: BTreeSet<String>,
    /// Since when nobody may subscribe to the guarded channel.
    pub(crate) denied_since: Option<u64>,
    /// How many deliveries were checked.
    pub(crate) checked: u64,
}

impl Promises {
    /// A publication is asked for.
    pub(crate) fn asks(&mut self, payload: &str, now: u64) {
        self.sent.insert(payload.to_owned(), now);
    }

    /// A browser publishes, and tries again when it gets no answer.
    pub(crate) fn may_resend(&mut self, payload: &str) {
        self.resent.insert(payload.to_owned());
    }

    /// A publication has its place.
    pub(crate) fn placed(&mut self, tenant: TenantId, channel: &str, at: Position, payload: &str) {
        let life = (tenant.0, channel.to_owned(), at.epoch.0);
        let offsets = self.placed.entry(life).or_default();
        let before = offsets.insert(at.offset, payload.to_owned());
        assert_eq!(before, None, "{channel}: offset {} given twice", at.offset);
        let last = offsets.last_key_value().map(|(offset, _)| *offset);
        assert_eq!(last, Some(at.offset), "{channel}: offsets must rise");
    }

    /// A publication of a channel that keeps everything was answered.
    pub(crate) fn answered(&mut self, tenant: TenantId, channel: &str, payload: &str) {
        let answered = (tenant.0, channel.to_owned(), payload.to_owned());
        self.answered.push(answered);
    }

    /// A private message was answered.
    pub(crate) fn message_answered(
        &mut self,
        tenant: TenantId,
        user: u64,
        offset: u64,
        text: &str,
    ) {
        self.messages
            .push((tenant.0, user, offset, text.to_owned()));
    }

    /// An application has handled a private message.
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
        for (tenant, user, _, payload) in &self.messages {
            let key = |(of, who): &(TenantId, _)| {
                let who: &cometql_protocol::UserId = who;
                of.0 == *tenant && who.get() == *user
            };
            let rows = disk.inboxes.iter().find(|(of, _)| key(of));
            let waits = rows.is_some_and(|(_, (_, rows))| {
                rows.values().any(|content| *content.data == **payload)
            });
            assert!(
                waits || self.handled.contains(payload),
                "{payload} was answered and is lost"
            );
        }
    }

    /// At the end: all messages to these users were handled.
    pub(crate) fn check_handled(&self, users: &BTreeSet<(u32, u64)>) {
        for (tenant, user, _, payload) in &self.messages {
            let expected = users.contains(&(*tenant, *user));
            assert!(
                !expected || self.handled.contains(payload),
                "{payload} was answered, and nobody got it"
            );
        }
    }

    /// A tab that follows a channel is told something.
    pub(crate) fn told(&mut self, who: Who, follow: &mut Follow, told: &Told) {
        match told {
            Told::Subscribed(channel, position, recovered) => {
                assert!(!follow.began, "{who} {channel}: began twice");
                follow.began = true;
                let since = follow.since.filter(|_| *recovered);
                self.loses(who, channel, follow.since, *recovered);
                follow.position = since.or(*position);
            }
            Told::Recovered(_) => {
                assert!(follow.began, "{who}: recovered before it began: {told:?}");
            }
            Told::Gap(channel, position) => {
                self.loses(who, channel, follow.position, false);
                follow.position = *position;
            }
            Told::Publication(channel, position, payload) => {
                self.publication(who, channel, follow, *position, payload);
            }
            _ => unreachable!("not about a channel: {told:?}"),
        }
    }

    /// A tab that was at a position is told that something is lost.
    fn loses(&self, who: Who, channel: &str, since: Option<Position>, recovered: bool) {
        let Some(since) = since else {
            return;
        };
        // Before the first one there is nothing to recognise a history by.
        let kept = channel == KEPT && since.offset > 0;
        assert!(
            recovered || !kept,
            "{who} {channel}: everything is kept, but after {since:?} something is lost"
        );
    }

    fn publication(
        &mut self,
        who: Who,
        channel: &str,
        follow: &mut Follow,
        position: Option<Position>,
        payload: &str,
    ) {
        self.checked += 1;
        assert!(follow.began, "{who} {channel}: {payload} before it began");
        let belongs = format!("{}/{channel}/", who.tenant.0);
        assert!(payload.starts_with(&belongs), "{who} {channel}: {payload}");
        let is_new = follow.seen.insert(payload.to_owned());
        assert!(
            is_new || self.resent.contains(payload),
            "{who} {channel}: {payload} came twice"
        );
        let sent = self.sent.get(payload);
        let sent = *sent.unwrap_or_else(|| panic!("{payload} was never sent"));
        let denied = self.denied_since.filter(|_| channel == GUARDED);
        assert!(
            denied.is_none_or(|since| sent <= since),
            "{who} {channel}: {payload} after the right was taken away"
        );
        if let (Some(before), Some(at)) = (follow.position, position) {
            self.follows(who, channel, before, at);
        }
        follow.position = position.or(follow.position);
    }

    /// From one position to the next one, offsets rise and nothing between them is missing.
    fn follows(&self, who: Who, channel: &str, before: Position, at: Position) {
        assert_eq!(before.epoch, at.epoch, "{who} {channel}: another life");
        assert!(
            at.offset > before.offset,
            "{who} {channel}: {} after {}",
            at.offset,
            before.offset
        );
        let missing = self.between(who.tenant, channel, at.epoch, before.offset, at.offset);
        assert!(
            missing.is_empty(),
            "{who} {channel}: {missing:?} are missing between {} and {}, and nobody said so",
            before.offset,
            at.offset
        );
    }

    fn between(
        &self,
        tenant: TenantId,
        channel: &str,
        epoch: Epoch,
        after: u64,
        before: u64,
    ) -> Vec<&String> {
        let life = (tenant.0, channel.to_owned(), epoch.0);
        let placed = self.placed.get(&life);
        let between = placed.map(|offsets| offsets.range(after + 1..before));
        between
            .into_iter()
            .flatten()
            .map(|(_, payload)| payload)
            .collect()
    }
}

/// A tab of a browser.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    pub(crate) browser: usize,
    pub(crate) tab: u32,
    pub(crate) tenant: TenantId,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "browser {} tab {}", self.browser, self.tab)
    }
}
