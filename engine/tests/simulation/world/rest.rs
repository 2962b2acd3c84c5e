//! Moments at which nothing is under way, in the midst of a run: then everything asked is answered, and who is shown as
//! present is who is subscribed.

use std::collections::BTreeSet;

use cometql_engine::shard::inspect::{Channels, SubscriberRow};
use cometql_protocol::TenantId;

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

    /// Nobody is taken for present who was told to join, and is there no more.
    fn check_members(&self, at: usize, follow: &Follow, rows: &[SubscriberRow]) {
        let (tenant, grace_ms) = (self.browsers[at].tenant, self.limits.grace_ms);
        for (name, known) in &follow.members {
            let mine = rows
                .iter()
                .filter(|row| *row.uuid == **name && row.channel.as_str() == TRACKED);
            let there = i64::try_from(mine.count()).unwrap();
            let presence = &self.promises.presence;
            let awaited = presence.awaited(self.now, grace_ms, tenant, name);
            assert!(
                name.is_empty() || *known <= there + awaited,
                "browser {at} was told of {known} joins of {name:?} that is there {there} times"
            );
        }
    }
}
