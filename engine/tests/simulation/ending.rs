//! The end of a run: everything heals, and then all must be as the promises say.

use std::collections::BTreeSet;

use cometql_engine::shard::inspect::SubscriberRow;
use cometql_protocol::{TenantId, UserId, client};

use crate::disk::Health;
use crate::operations::{CHANNELS, Changes, TENANTS};
use crate::world::World;

impl World {
    /// Everything works again and comes to rest: then all must be as the promises say.
    pub(crate) fn end(&mut self) {
        self.note("everything heals".into());
        self.healed = true;
        self.disk.health = Health::Good;
        if self.node.is_none() {
            self.start();
        }
        self.set_rules(Changes::default());
        for wire in &mut self.wires {
            wire.stalled_until = 0;
            wire.swallows = 0;
        }
        self.run(120_000);
        for browser in 0..self.browsers.len() {
            self.session(browser, client::Input::Open);
        }
        self.run(240_000);
        self.check_rest();
        self.check_convergence();
        self.check_presence();
        self.promises.messages.check_disk(&self.disk);
        self.check_inboxes();
    }

    /// Who follows a channel hears what is published now; every call and command was answered.
    fn check_convergence(&mut self) {
        // After a change of settings the first one may show as a gap.
        for tenant in 1..=u32::try_from(TENANTS).unwrap() {
            for channel in CHANNELS {
                self.publish(TenantId(tenant), channel, 0);
            }
        }
        self.run(10_000);
        let mut last = Vec::new();
        for tenant in 1..=u32::try_from(TENANTS).unwrap() {
            for channel in CHANNELS {
                let payload = self.publish(TenantId(tenant), channel, 0);
                last.push((tenant, channel, payload));
            }
        }
        self.run(10_000);
        assert!(self.commands.is_empty(), "unanswered: {:?}", self.commands);
        for (at, browser) in self.browsers.iter().enumerate() {
            let silent = browser.tabs.is_empty();
            assert!(browser.online || silent, "browser {at} is not connected");
            for (tab, page) in &browser.tabs {
                assert!(page.open_calls.is_empty(), "browser {at}: unanswered calls");
                for (channel, follow) in &page.follows {
                    let tenant = browser.tenant.0;
                    let expected = last
                        .iter()
                        .find(|(of, on, _)| *of == tenant && on == channel);
                    let (_, _, payload) = expected.expect("published to all");
                    assert!(
                        follow.seen.contains(payload),
                        "browser {at} tab {} {channel}: deaf at the end",
                        tab.0
                    );
                }
            }
        }
    }

    /// Who is shown as present is connected and subscribed, and the other way round.
    fn check_presence(&self) {
        let node = self.node.as_ref().expect("it was started");
        for tenant in 1..=u32::try_from(TENANTS).unwrap() {
            let tenant = TenantId(tenant);
            let row =
                |row: &SubscriberRow| (row.channel.to_string(), row.user.map_or(0, UserId::get));
            let mut shown: Vec<_> = self.shown(tenant).iter().map(row).collect();
            let mut online = BTreeSet::new();
            for shard in &node.shards {
                online.extend(
                    shard
                        .users_online(tenant, None)
                        .iter()
                        .map(|user| user.get()),
                );
            }
            shown.sort();
            let mine = || {
                self.browsers
                    .iter()
                    .filter(|browser| browser.tenant == tenant)
            };
            let mut expected = Vec::new();
            for browser in mine() {
                let channels = browser.tabs.values().flat_map(|page| page.follows.keys());
                let channels: BTreeSet<_> = channels.collect();
                expected.extend(
                    channels
                        .into_iter()
                        .map(|channel| ((*channel).to_owned(), browser.user)),
                );
            }
            expected.sort();
            assert_eq!(shown, expected, "presence of tenant {tenant}");
            let users: BTreeSet<_> = mine()
                .map(|browser| browser.user)
                .filter(|user| *user > 0)
                .collect();
            assert_eq!(online, users, "users online of tenant {tenant}");
        }
    }

    /// Private messages to users with a handler were handled and acknowledged; the others wait.
    fn check_inboxes(&self) {
        let mut users = BTreeSet::new();
        for browser in self.browsers.iter().filter(|browser| browser.user > 0) {
            if browser.tabs.values().any(|page| page.handles) {
                users.insert((browser.tenant.0, browser.user));
            }
        }
        self.promises.messages.check_handled(&users);
        for ((tenant, user), (_, rows)) in &self.disk.inboxes {
            if users.contains(&(tenant.0, user.get())) {
                assert!(rows.is_empty(), "not acknowledged: {rows:?}");
            }
        }
    }
}
