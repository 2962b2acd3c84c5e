//! What must hold across nodes: a model that hears of all that the log takes and of all that tabs are told.

use std::collections::{BTreeMap, BTreeSet};

use cometql_protocol::wire::Position;

use crate::browser::{Follow, Told};

/// By epoch, tenant and channel, what the log took at each offset; `None` = a note that something is missing.
type Taken = BTreeMap<(u64, u32, String), BTreeMap<u64, Option<String>>>;

/// Everything that was promised.
#[derive(Default)]
pub(super) struct Promises {
    taken: Taken,
    /// Payloads of all publications that were asked for.
    sent: BTreeSet<String>,
    /// Payloads that may come more than once: delivered without the log, or sent again.
    again: BTreeSet<String>,
    /// Private messages that were answered.
    private: Vec<(u32, u64, String)>,
    /// Payloads of private messages that a tab has handled, or a backend threw away.
    handled: BTreeSet<String>,
    /// When the log removed a private message.
    removed: BTreeMap<String, u64>,
    /// What the last status of each user said.
    statuses: BTreeMap<(u32, u64), String>,
    /// Where and when a node last told the others of each user.
    announced: BTreeMap<(u32, u64), (usize, u64)>,
    /// Until when statuses of a user may be told in another order than they are so, as two nodes tell them at once.
    unsure: BTreeMap<(u32, u64), u64>,
    /// The same of all users.
    all_unsure: u64,
    /// Channels in which something was delivered without the log, and which node did that in which life.
    pub(super) lossy: Vec<(u32, String, usize, u32)>,
    /// Channels of which the log was told that it lacks something.
    pub(super) marked: BTreeSet<(u32, String)>,
    pub(super) checked: u64,
}

impl Promises {
    pub(super) fn asks(&mut self, payload: &str) {
        self.sent.insert(payload.to_owned());
    }

    pub(super) fn may_come_again(&mut self, payload: &str) {
        self.again.insert(payload.to_owned());
    }

    pub(super) fn takes(&mut self, epoch: u64, place: (u32, &str), offset: u64, payload: &str) {
        let life = self.taken.get(&(epoch, place.0, place.1.to_owned()));
        let twice = life.is_some_and(|life| life.values().flatten().any(|one| one == payload));
        assert!(
            !twice || self.again.contains(payload),
            "{}: the log has {payload} twice",
            place.1
        );
        if self.has(place, payload) {
            // Another life of the log knows no ids of before.
            self.may_come_again(payload);
        }
        self.take(epoch, place, offset, Some(payload.to_owned()));
    }

    pub(super) fn notes_gap(&mut self, epoch: u64, place: (u32, &str), offset: u64) {
        self.marked.insert((place.0, place.1.to_owned()));
        self.take(epoch, place, offset, None);
    }

    fn take(&mut self, epoch: u64, place: (u32, &str), offset: u64, what: Option<String>) {
        let key = (epoch, place.0, place.1.to_owned());
        self.taken.entry(key).or_default().insert(offset, what);
    }

    fn has(&self, (tenant, channel): (u32, &str), payload: &str) -> bool {
        let own = self.taken.iter();
        let mut own = own.filter(|((_, of, name), _)| *of == tenant && name == channel);
        own.any(|(_, records)| records.values().flatten().any(|one| one == payload))
    }

    /// A node is killed: what it was about to say of users nobody knows.
    pub(super) fn dies(&mut self, node: usize, now: u64) {
        for (who, (by, at)) in &self.announced {
            if *by == node && at + 200 > now {
                self.statuses.remove(who);
            }
        }
    }

    /// A node tells the others of a user.
    pub(super) fn announces(&mut self, who: (u32, u64), node: usize, now: u64) {
        let before = self.announced.insert(who, (node, now));
        if before.is_some_and(|(by, at)| by != node && at + 200 > now) {
            self.unsure.insert(who, now + 300);
            self.statuses.remove(&who);
        }
    }

    /// Nobody knows what is told last of a user.
    pub(super) fn forget_status(&mut self, who: (u32, u64)) {
        self.statuses.remove(&who);
    }

    /// The same of all users, and of what is on its way.
    pub(super) fn forget_statuses(&mut self, now: u64) {
        self.statuses.clear();
        self.all_unsure = now + 300;
    }

    /// The last status of a user says this.
    pub(super) fn status(&mut self, who: (u32, u64), data: &str, now: u64) {
        let unsure = self.unsure.get(&who).copied().unwrap_or(0);
        if unsure.max(self.all_unsure) < now {
            self.statuses.insert(who, data.to_owned());
        }
    }

    /// At the end: who is online was told so last.
    pub(super) fn check_statuses(&self, online: &BTreeSet<(u32, u64)>) {
        for (who, status) in &self.statuses {
            let expected = match online.contains(who) {
                true => "online",
                false => "offline",
            };
            assert_eq!(status, expected, "user {}: told last", who.1);
        }
    }

    /// A publication was answered as stored.
    pub(super) fn answered(&self, place: (u32, &str), payload: &str) {
        assert!(
            self.has(place, payload),
            "{}: {payload} was answered before it was stored",
            place.1
        );
    }

    pub(super) fn private(&mut self, tenant: u32, user: u64, payload: &str) {
        self.private.push((tenant, user, payload.to_owned()));
    }

    pub(super) fn handled(&mut self, payload: &str) {
        self.handled.insert(payload.to_owned());
    }

    pub(super) fn is_handled(&self, payload: &str) -> bool {
        self.handled.contains(payload)
    }

    /// The log removes private messages.
    pub(super) fn removed(&mut self, payloads: &[String], now: u64) {
        for payload in payloads {
            assert!(
                self.handled.contains(payload),
                "{payload} was acknowledged, but nobody has handled it"
            );
            self.removed.insert(payload.clone(), now);
        }
    }

    /// A private message is pushed over a connection that began then.
    pub(super) fn pushed(&self, who: &str, payload: &str, began: u64) {
        let removed = self.removed.get(payload);
        assert!(
            removed.is_none_or(|removed| began <= *removed),
            "{who}: {payload} came after it was acknowledged"
        );
    }

    /// At the end: all messages to these users were handled.
    pub(super) fn check_handled(&self, users: &BTreeSet<(u32, u64)>) {
        for (tenant, user, payload) in &self.private {
            assert!(
                !users.contains(&(*tenant, *user)) || self.handled.contains(payload),
                "{payload} was answered, and nobody got it"
            );
        }
    }

    /// A tab that follows a channel is told something.
    pub(super) fn told(&mut self, who: &str, tenant: u32, follow: &mut Follow, told: &Told) {
        match told {
            Told::Subscribed(channel, position, recovered) => {
                assert!(!follow.began, "{who} {channel}: began twice");
                follow.began = true;
                follow.position = follow.since.filter(|_| *recovered).or(*position);
            }
            Told::Recovered(channel) => {
                assert!(follow.began, "{who} {channel}: recovered before it began");
            }
            Told::Gap(_, position) => {
                let epoch = |position: Option<Position>| position.map(|position| position.epoch);
                if follow.position.is_none() || epoch(follow.position) != epoch(*position) {
                    // It lost its position when no log could be asked, or the node keeps the channel elsewhere: another node may be
                    // behind what it saw.
                    follow.seen.clear();
                }
                follow.position = *position;
            }
            Told::Publication(channel, position, payload) => {
                self.checked += 1;
                self.publication(who, (tenant, channel), follow, *position, payload);
            }
            Told::Presence(_, joined, name) => {
                *follow.members.entry(name.clone()).or_default() += if *joined { 1 } else { -1 };
            }
            _ => unreachable!("not about a channel: {told:?}"),
        }
    }

    fn publication(
        &self,
        who: &str,
        (tenant, channel): (u32, &str),
        follow: &mut Follow,
        position: Option<Position>,
        payload: &str,
    ) {
        assert!(follow.began, "{who} {channel}: {payload} before it began");
        assert!(
            payload.starts_with(&format!("{tenant}/{channel}/")) && self.sent.contains(payload),
            "{who} {channel}: {payload} is foreign"
        );
        let is_new = follow.seen.insert(payload.to_owned());
        assert!(
            is_new || self.again.contains(payload),
            "{who} {channel}: {payload} came twice"
        );
        if let (Some(before), Some(at)) = (follow.position, position) {
            assert_eq!(before.epoch, at.epoch, "{who} {channel}: another life");
            assert!(
                at.offset > before.offset,
                "{who} {channel}: {} after {}",
                at.offset,
                before.offset
            );
            self.nothing_between(who, (tenant, channel), before, at.offset);
        }
        if let Some(at) = position {
            let key = (at.epoch.0, tenant, channel.to_owned());
            let there = self.taken.get(&key).and_then(|taken| taken.get(&at.offset));
            assert_eq!(
                there,
                Some(&Some(payload.to_owned())),
                "{who} {channel}: not what the log has at {}",
                at.offset
            );
        }
        follow.position = position.or(follow.position);
    }

    fn nothing_between(&self, who: &str, place: (u32, &str), before: Position, until: u64) {
        let key = (before.epoch.0, place.0, place.1.to_owned());
        let taken = self.taken.get(&key).into_iter();
        let missing: Vec<_> = taken
            .flat_map(|taken| taken.range(before.offset + 1..until))
            .take(5)
            .collect();
        assert!(
            missing.is_empty(),
            "{who} {}: {missing:?} are missing between {} and {until}, and nobody said so",
            place.1,
            before.offset
        );
    }
}
