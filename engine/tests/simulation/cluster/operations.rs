//! What happens to a cluster, chosen by the seed; and how all must be at the end.

use std::collections::BTreeSet;

use cometql_engine::{Command, Draft, LogEvent, MessageId};
use cometql_protocol::client::{self, Publish, TabId, TabInput};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId};

use super::log::Stream;
use super::world::{Event, NODES, Sent, World};
use crate::promises::{CHANGING, KEPT};

/// By what is kept of them: all, a window, a window or what settings say, nothing, a window with joins and leaves.
pub(super) const CHANNELS: [&str; 5] = [KEPT, "web_a", CHANGING, "live_a", "track_a"];
const TENANT: TenantId = TenantId(1);
const USERS: u64 = 3;
const BROWSERS: usize = 6;

/// A whole run; panics when a promise is broken. Returns how many publications were checked.
pub(super) fn run(operations: usize, world: &mut World) -> u64 {
    for _ in 0..BROWSERS {
        let user = world.rng.below(USERS + 1);
        world.add_browser(TENANT, user);
    }
    for _ in 0..operations {
        let pause = match world.rng.below(8) {
            0 => world.rng.below(4_000),
            1..4 => 0,
            _ => world.rng.below(150),
        };
        world.run(pause);
        world.operate();
    }
    world.end();
    world.promises.checked
}

impl World {
    fn operate(&mut self) {
        match self.rng.below(42) {
            0..11 => self.publish_some(),
            11..14 => self.send_private(),
            14..21 => self.subscribe_any(),
            21..23 => self.leave_any(),
            23..28 => self.publish_from_browser(),
            28..30 => self.inbox_on(),
            30..33 => self.break_any(),
            33 => self.change_quorum(),
            34 | 35 => self.kill_or_start(),
            36 => self.change_setting(),
            37 => self.delete(),
            38 => self.absence(),
            39 | 40 if self.cuts => self.cut_or_heal(),
            39 | 40 => self.publish_some(),
            _ => self.lose_windows(),
        }
    }

    pub(super) fn any_node(&mut self) -> Option<usize> {
        let alive = self.alive();
        (!alive.is_empty()).then(|| alive[self.rng.index(alive.len())])
    }

    fn any_channel(&mut self) -> &'static str {
        CHANNELS[self.rng.index(CHANNELS.len())]
    }

    fn publish_some(&mut self) {
        let channel = self.any_channel();
        let times = match self.rng.below(20) {
            0 => 12,
            _ => 1 + self.rng.below(3),
        };
        for _ in 0..times {
            if let Some(node) = self.any_node() {
                self.publish(node, channel);
            }
        }
    }

    pub(super) fn publish(&mut self, node: usize, channel: &'static str) -> String {
        let payload = self.payload(channel);
        let draft = self.draft(&payload);
        self.note(format!("publish {payload} at node {node}"));
        let command = Command::Publish {
            tenant: TENANT,
            channel: ChannelName::parse(channel).unwrap(),
            draft: draft.clone(),
        };
        let sent = Sent::Publication(TENANT, channel, payload.clone());
        self.command(node, command.clone(), sent.clone());
        // Its sender may have lost the answer, and try again elsewhere.
        if draft.once
            && self.rng.once_in(3)
            && let Some(other) = self.any_node()
        {
            if channel == "live_a" || channel == CHANGING {
                self.promises.may_come_again(&payload);
            }
            self.command(other, command, sent);
        }
        payload
    }

    fn payload(&mut self, channel: &str) -> String {
        self.command += 1;
        let payload = format!("{}/{channel}/{}", TENANT.0, self.command);
        self.promises.asks(&payload);
        payload
    }

    fn draft(&mut self, payload: &str) -> Draft {
        Draft {
            id: MessageId(u128::from(self.rng.next()) << 64 | u128::from(self.rng.next())),
            once: self.rng.once_in(2),
            event: EventName::parse("").unwrap(),
            data: payload.into(),
            data_is_json: false,
        }
    }

    fn send_private(&mut self) {
        let Some(node) = self.any_node() else {
            return;
        };
        let user = 1 + self.rng.below(USERS);
        for _ in 0..1 + self.rng.below(3) {
            self.send_to(node, user);
        }
    }

    pub(super) fn send_to(&mut self, node: usize, user: u64) {
        self.command += 1;
        let payload = format!("{}/u{user}/{}", TENANT.0, self.command);
        self.note(format!("send {payload} at node {node}"));
        let draft = self.draft(&payload);
        let once = draft.once;
        let command = Command::Send {
            tenant: TENANT,
            user: UserId::new(user).unwrap(),
            draft,
        };
        let sent = Sent::Private(TENANT, user, payload);
        self.command(node, command.clone(), sent.clone());
        // Its sender may have lost the answer, and try again elsewhere.
        if once && self.rng.once_in(2) {
            let pause = self.rng.below(8_000);
            self.at(pause, Event::Again(command, sent));
        }
    }

    fn subscribe_any(&mut self) {
        let (browser, channel) = (self.rng.index(self.browsers.len()), self.any_channel());
        self.follow(browser, TabId(1), channel);
    }

    fn leave_any(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        let page = self.browsers[browser].tabs.get_mut(&TabId(1)).unwrap();
        if let Some((channel, follow)) = page.follows.pop_first() {
            if let Some(position) = follow.position {
                page.left.insert(channel, position);
            }
            self.note(format!("browser {browser} leaves {channel}"));
            self.tab(browser, TabId(1), TabInput::Unsubscribe { channel });
        }
    }

    fn publish_from_browser(&mut self) {
        let (browser, channel) = (self.rng.index(self.browsers.len()), self.any_channel());
        let payload = self.payload(channel);
        // A session asks again when its connection was lost.
        if channel == "live_a" || channel == CHANGING {
            self.promises.may_come_again(&payload);
        }
        let page = self.browsers[browser].tabs.get_mut(&TabId(1)).unwrap();
        page.calls += 1;
        let call = page.calls;
        self.note(format!("browser {browser} publishes {payload}"));
        let data = format!("\"{payload}\"");
        let content = Publish {
            channel,
            event: "",
            data: &data,
            id: None,
        };
        self.tab(browser, TabId(1), TabInput::Publish { call, content });
    }

    fn inbox_on(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        let page = self.browsers[browser].tabs.get_mut(&TabId(1)).unwrap();
        if !page.handles {
            page.handles = true;
            self.tab(browser, TabId(1), TabInput::InboxOn);
        }
    }

    fn break_any(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        if let Some(wire) = self.browsers[browser].wire {
            self.note(format!("browser {browser}: connection cut"));
            self.break_wire(wire);
        }
    }

    fn change_quorum(&mut self) {
        self.log.quorum = !self.log.quorum;
        self.note(format!("quorum: {}", self.log.quorum));
    }

    fn kill_or_start(&mut self) {
        let node = self.rng.index(NODES);
        match self.slots[node].node {
            Some(_) => self.kill(node),
            None => self.start(node),
        }
    }

    fn change_setting(&mut self) {
        let Some(node) = self.any_node() else {
            return;
        };
        let length = self.rng.once_in(2).then(|| self.rng.below(20));
        self.set_length(node, length);
    }

    /// Of the channel that has settings.
    pub(super) fn set_length(&mut self, node: usize, length: Option<u64>) {
        let (tenant, channel) = (TENANT, ChannelName::parse(CHANGING).unwrap());
        let command = match length {
            Some(length) => Command::SetHistory {
                tenant,
                channel,
                length,
            },
            None => Command::RemoveHistory { tenant, channel },
        };
        self.note(format!("{command:?} at node {node}"));
        self.command(node, command, Sent::Other);
    }

    /// What is set of the channel that has settings.
    pub(super) fn setting(&self) -> LogEvent {
        let (tenant, channel) = (TENANT, ChannelName::parse(CHANGING).unwrap());
        let length = self.log.settings.get(&(tenant, channel.clone())).copied();
        LogEvent::Setting {
            tenant,
            channel,
            length,
        }
    }

    fn delete(&mut self) {
        let Some(node) = self.any_node() else {
            return;
        };
        let channel = ChannelName::parse("web_a").unwrap();
        self.note(format!("clear {channel} at node {node}"));
        let command = Command::ClearHistory {
            tenant: TENANT,
            channel,
        };
        self.command(node, command, Sent::Other);
    }

    /// A browser comes back when only the log knows what it missed.
    fn absence(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        self.session(browser, client::Input::Close);
        for _ in 0..10 {
            if let Some(node) = self.any_node() {
                self.publish(node, KEPT);
            }
        }
        self.run(1_000);
        self.session(browser, client::Input::Open);
    }

    /// All that the log had in memory is lost, and another life of it begins.
    fn lose_windows(&mut self) {
        if !self.rng.once_in(3) {
            return;
        }
        self.note("the windows are lost".into());
        self.log.window = Stream::new(self.rng.next());
        for node in self.alive() {
            if !self.is_cut(node) {
                self.windows_are_lost(node);
            }
        }
    }

    /// Everything works again and comes to rest: then all must be as the promises say.
    pub(super) fn end(&mut self) {
        self.note("everything heals".into());
        self.healed = true;
        self.log.quorum = true;
        for node in 0..NODES {
            match self.slots[node].node {
                Some(_) if self.is_cut(node) => self.heal(node),
                Some(_) => {}
                None => self.start(node),
            }
        }
        for browser in 0..self.browsers.len() {
            self.session(browser, client::Input::Open);
        }
        self.run(120_000);
        self.check_convergence();
        self.check_users();
        self.check_gaps();
    }

    fn check_convergence(&mut self) {
        for channel in CHANNELS {
            self.publish(0, channel);
        }
        self.run(10_000);
        let last: Vec<_> = CHANNELS
            .iter()
            .map(|channel| (*channel, self.publish(1, channel)))
            .collect();
        self.run(10_000);
        assert!(self.commands.is_empty(), "unanswered: {:?}", self.commands);
        for (at, browser) in self.browsers.iter().enumerate() {
            assert!(browser.online, "browser {at} is not connected");
            for (channel, follow) in &browser.tabs[&TabId(1)].follows {
                let (_, payload) = last.iter().find(|(of, _)| of == channel).unwrap();
                assert!(
                    follow.seen.contains(payload),
                    "browser {at} {channel}: deaf at the end"
                );
            }
        }
    }

    /// Private messages were handled and acknowledged; statuses say who is there.
    pub(super) fn check_users(&self) {
        let reads = |one: &&crate::browser::Browser| one.user > 0 && one.tabs[&TabId(1)].handles;
        let readers = self.browsers.iter().filter(reads);
        let readers: BTreeSet<_> = readers.map(|one| (one.tenant.0, one.user)).collect();
        self.promises.check_handled(&readers);
        for ((tenant, user), waiting) in self.log.inboxes() {
            let read = readers.contains(&(tenant.0, user.get()));
            assert!(!read || waiting == 0, "user {user}: not acknowledged");
        }
        self.promises.check_statuses(&self.users());
    }

    /// What was delivered without the log is known to it as missing, if the node lives that did it.
    fn check_gaps(&self) {
        for (tenant, channel, node, life) in &self.promises.lossy {
            let changing = channel == CHANGING || channel.starts_with("user_status_");
            let told = self.promises.marked.contains(&(*tenant, channel.clone()));
            assert!(
                told || changing || !self.lives(*node, *life),
                "{channel}: something is not in the log, and nobody said so"
            );
        }
    }
}
