//! Moments at which nothing is under way, in the midst of a run: then everything asked is answered, and who is shown as
//! present is who is subscribed.

use std::collections::{BTreeMap, BTreeSet};

use cometql_engine::shard::inspect::{Channels, SubscriberRow};
use cometql_protocol::{TenantId, UserId};

use super::World;
use crate::browser::Follow;
use crate::operations::TENANTS;
use crate::promises::TRACKED;

impl World {
    /// Looks, if the node is at rest.
    pub(crate) fn check_rest(&mut self) {
        let Some(node) = &self.node else {
            return;
        };
        let mail = node.mail.iter().map(|mail| mail.len()).sum::<usize>();
        let stored = node.stored.iter().map(|stored| stored.len()).sum::<usize>();
        if mail + stored + self.checks + self.disk.queue.len() > 0 {
            return;
        }
        assert!(self.commands.is_empty(), "unanswered: {:?}", self.commands);
        for tenant in 1..=u32::try_from(TENANTS).unwrap() {
            let tenant = TenantId(tenant);
            let rows = self.shown(tenant);
            self.check_online(tenant);
            let tracked = rows.iter().filter(|row| row.channel.as_str() == TRACKED);
            for row in tracked {
                self.check_view(tenant, row, &rows);
            }
            for browser in 0..self.browsers.len() {
                if self.browsers[browser].tenant == tenant {
                    self.check_browser(browser, &rows);
                }
            }
        }
    }

    /// Who is shown as present.
    pub(crate) fn shown(&self, tenant: TenantId) -> Vec<SubscriberRow> {
        let shards = self.node.iter().flat_map(|node| &node.shards);
        shards
            .flat_map(|shard| shard.subscribers(tenant, &Channels::All))
            .collect()
    }

    /// Whoever is connected and logged in is online, and nobody is who has not been for longer than the grace period.
    fn check_online(&self, tenant: TenantId) {
        let shards = self.node.iter().flat_map(|node| &node.shards);
        let online = shards.flat_map(|shard| shard.users_online(tenant, None));
        let online: BTreeSet<_> = online.map(UserId::get).collect();
        let mut may_be = BTreeSet::new();
        for browser in self
            .browsers
            .iter()
            .filter(|browser| browser.tenant == tenant)
        {
            let user = browser.user;
            let wire = browser.wire.filter(|_| user > 0 && browser.online);
            let wire = wire.map(|wire| &self.wires[wire]);
            let there = wire.is_some_and(|wire| wire.is_quiet(self.now) && wire.life == self.life);
            assert!(
                !there || online.contains(&user),
                "user {user} of {tenant} is connected, but not online"
            );
        }
        let presence = &self.promises.presence;
        for (connection, browser) in &self.owners {
            if !presence.is_over(*connection) {
                may_be.insert(self.browsers[*browser].user);
            }
        }
        may_be.extend(self.originals.iter().map(|original| original.user));
        may_be.extend(presence.awaited_users(self.now, self.limits.grace_ms));
        for user in online {
            assert!(
                may_be.contains(&user),
                "user {user} of {tenant} is online without a connection"
            );
        }
    }

    fn check_browser(&self, at: usize, rows: &[SubscriberRow]) {
        let browser = &self.browsers[at];
        let Some(wire) = browser.wire.filter(|_| browser.online) else {
            return;
        };
        if !self.wires[wire].is_quiet(self.now) || self.wires[wire].life != self.life {
            return;
        }
        let connection = self.wires[wire].connection;
        let mine = rows.iter().filter(|row| Some(row.connection) == connection);
        let shown: BTreeSet<_> = mine.map(|row| row.channel.as_str()).collect();
        for (tab, page) in &browser.tabs {
            let open = &page.open_calls;
            assert!(
                open.is_empty(),
                "browser {at} tab {}: {open:?} unanswered",
                tab.0
            );
            for (channel, follow) in &page.follows {
                let is_in = follow.wire != Some(wire) || shown.contains(channel);
                assert!(
                    is_in,
                    "browser {at} follows {channel}, but is not shown there"
                );
                if *channel == TRACKED && follow.wire == Some(wire) {
                    self.check_members(at, follow, rows);
                }
            }
        }
        for channel in shown {
            let follows = browser
                .tabs
                .values()
                .any(|page| page.follows.contains_key(channel));
            assert!(follows, "browser {at} is shown in {channel}, which it left");
        }
    }

    /// No tab takes for present who was told to join, and is there no more.
    fn check_members(&self, at: usize, follow: &Follow, rows: &[SubscriberRow]) {
        let (tenant, grace_ms) = (self.browsers[at].tenant, self.limits.grace_ms);
        for (name, known) in &follow.members {
            let is_meant =
                |row: &&SubscriberRow| *row.uuid == **name && row.channel.as_str() == TRACKED;
            let there = i64::try_from(rows.iter().filter(is_meant).count()).unwrap();
            let presence = &self.promises.presence;
            let awaited = presence.awaited((0, self.now), grace_ms, tenant, name);
            assert!(
                name.is_empty() || *known <= there + awaited,
                "browser {at} was told of {known} joins of {name:?} that is there {there} times"
            );
        }
    }

    /// Whoever is in the channel of which others are told who joins and leaves knows who is there. Of those who may return
    /// it need not know yet that they are gone.
    fn check_view(&self, tenant: TenantId, row: &SubscriberRow, rows: &[SubscriberRow]) {
        let presence = &self.promises.presence;
        let Some(view) = presence.view(row.connection) else {
            return;
        };
        let others = rows
            .iter()
            .filter(|other| other.channel == row.channel && other.connection != row.connection);
        let mut there = BTreeMap::<&str, i64>::new();
        for other in others {
            *there.entry(&other.uuid).or_default() += 1;
        }
        let known = view.members.keys().map(String::as_str);
        let names: BTreeSet<_> = known.chain(there.keys().copied()).collect();
        for name in names {
            if name.is_empty() || presence.changed_at(view.since, tenant, name) {
                continue;
            }
            let (known, there) = (view.members.get(name), there.get(name));
            let (known, there) = (*known.unwrap_or(&0), *there.unwrap_or(&0));
            let period = (view.since, self.now);
            let awaited = presence.awaited(period, self.limits.grace_ms, tenant, name);
            assert!(
                (there..=there + awaited).contains(&known),
                "{}: {name} is there {there} times, {} knows of {known}",
                row.channel,
                row.uuid
            );
        }
    }
}
