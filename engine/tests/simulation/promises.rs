//! What must hold: a model that is told all that happens, and panics when a promise is broken.

use std::collections::{BTreeMap, BTreeSet};

use cometql_engine::Limits;
use cometql_protocol::TenantId;
use cometql_protocol::wire::Position;

use crate::browser::{Follow, Told};
use crate::disk::Disk;

mod messages;
mod presence;
mod rates;

pub(crate) use messages::Messages;
pub(crate) use presence::{Member, Presence};
pub(crate) use rates::{Asks, Publishes, Rates};

/// Channels whose history is on disk, unlimited, and which nobody clears: nothing of them is ever lost.
pub(crate) const KEPT: &str = "log_a";
/// Channels whose right to subscribe is taken away and given back.
pub(crate) const GUARDED: &str = "private_a";
/// Channels that only members may subscribe to.
pub(crate) const MEMBERS: &str = "team_a";
/// Channels that others are told of who joins and leaves.
pub(crate) const TRACKED: &str = "track_a";
/// Channels that are durable for a while.
pub(crate) const CHANGING: &str = "web_b";

/// A channel without a history.
const LIVE: &str = "live_a";

/// Everything that was promised.
#[derive(Default)]
pub(crate) struct Promises {
    limits: Limits,
    pub(crate) messages: Messages,
    pub(crate) presence: Presence,
    pub(crate) rates: Rates,
    /// Since when nobody may subscribe to the guarded channel.
    pub(crate) denied_since: Option<u64>,
    /// Since when these users are no members any more.
    pub(crate) removed_since: BTreeMap<(u32, u64), u64>,
    /// By browser, payloads in whose place a newer publication came, as the channel's rule says.
    pub(crate) replaced: BTreeSet<(usize, String)>,
    /// Connections and channels in which something was lost, or an answer makes the session ask once more.
    pub(crate) excused: BTreeSet<(usize, String)>,
    /// How many deliveries were checked.
    pub(crate) checked: u64,
}

impl Promises {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// A tab that follows a channel is told something.
    pub(crate) fn told(&mut self, who: Who, follow: &mut Follow, told: &Told, disk: &Disk) {
        match told {
            Told::Subscribed(channel, position, recovered) => {
                assert!(!follow.began, "{who} {channel}: began twice");
                follow.began = true;
                follow.went_on(who);
                let since = follow.since.filter(|_| *recovered);
                self.loses(who, channel, follow.since, *recovered);
                assert_eq!(
                    since.map(|since| since.epoch),
                    position
                        .map(|position| position.epoch)
                        .filter(|_| *recovered),
                    "{who} {channel}: recovered from another life"
                );
                follow.position = since.or(*position);
            }
            Told::Recovered(channel) => {
                assert!(follow.began, "{who}: recovered before it began: {told:?}");
                self.goes_on(who, follow, channel);
            }
            Told::Gap(channel, position) => {
                self.loses(who, channel, follow.position, false);
                self.goes_on(who, follow, channel);
                follow.position = *position;
            }
            Told::Publication(channel, position, payload) => {
                self.publication(who, channel, follow, *position, payload, disk);
            }
            Told::Presence(_, joined, name) => {
                *follow.members.entry(name.clone()).or_default() += if *joined { 1 } else { -1 };
            }
            _ => unreachable!("not about a channel: {told:?}"),
        }
    }

    /// A subscription goes on anew: after a connection was lost, or because something was missing.
    fn goes_on(&self, who: Who, follow: &mut Follow, channel: &str) {
        let why = (who.wire.unwrap_or(usize::MAX), channel.to_owned());
        assert!(
            follow.wire != who.wire || channel == CHANGING || self.excused.contains(&why),
            "{who} {channel}: nothing was missing, but the session asked for it"
        );
        follow.went_on(who);
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
        let window = !matches!(channel, KEPT | CHANGING | LIVE);
        if window && !recovered {
            let place = (who.tenant, channel);
            let fits = self
                .messages
                .fits_window(place, since, who.now, &self.limits);
            assert!(
                !fits,
                "{who} {channel}: the window has all after {since:?}, but it is lost"
            );
        }
    }

    fn publication(
        &mut self,
        who: Who,
        channel: &str,
        follow: &mut Follow,
        position: Option<Position>,
        payload: &str,
        disk: &Disk,
    ) {
        self.checked += 1;
        assert!(follow.began, "{who} {channel}: {payload} before it began");
        let belongs = format!("{}/{channel}/", who.tenant.0);
        assert!(
            payload.starts_with(&belongs),
            "{who} {channel}: {payload} is foreign"
        );
        let is_new = follow.seen.insert(payload.to_owned());
        assert!(
            is_new || self.messages.may_come_again(channel, payload),
            "{who} {channel}: {payload} came twice"
        );
        assert!(
            channel != KEPT || disk.has_had(payload),
            "{who} {channel}: {payload} came before it was stored"
        );
        let sent = self.messages.asked(payload);
        let denied = match channel {
            GUARDED => self.denied_since,
            MEMBERS => self.removed_since.get(&(who.tenant.0, who.user)).copied(),
            _ => None,
        };
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
        let place = (who.tenant, channel);
        let between = self
            .messages
            .between(place, at.epoch, before.offset, at.offset);
        let is_missing = |payload: &&String| {
            let replaced = (who.browser, (*payload).clone());
            !self.replaced.contains(&replaced)
        };
        let missing: Vec<_> = between.filter(is_missing).collect();
        assert!(
            missing.is_empty(),
            "{who} {channel}: {missing:?} are missing between {} and {}, and nobody said so",
            before.offset,
            at.offset
        );
    }
}

impl Follow {
    fn went_on(&mut self, who: Who) {
        self.wire = who.wire;
        self.members.clear();
    }
}

/// A tab of a browser.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    pub(crate) browser: usize,
    pub(crate) tab: u32,
    pub(crate) tenant: TenantId,
    pub(crate) user: u64,
    /// Its browser's newest connection.
    pub(crate) wire: Option<usize>,
    pub(crate) now: u64,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "browser {} tab {}", self.browser, self.tab)
    }
}
