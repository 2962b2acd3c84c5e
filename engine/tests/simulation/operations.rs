//! What backends, browsers and fate do, chosen by the seed.

use cometql_engine::permission::{Pattern, Retention, Rule, UserDataRule, Who};
use cometql_engine::{Command, Disconnect, Draft, Input, Limits, Message, MessageId, Rules};
use cometql_protocol::client::{self, Publish, Question, TabId, TabInput};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId, wire};

use crate::browser::{Browser, Follow, Tab};
use crate::disk::Health;
use crate::promises::{GUARDED, KEPT};
use crate::world::{Plan, Sent, World};

/// By what is kept of them: all, a window, a window or what settings say, nothing, a window with joins and leaves.
pub(crate) const CHANNELS: [&str; 6] = [KEPT, "web_a", "web_b", "live_a", GUARDED, "track_a"];
pub(crate) const TENANTS: u64 = 2;
const USERS: u64 = 3;
const BROWSERS: usize = 6;

pub(crate) fn limits() -> Limits {
    Limits {
        outbox_bytes: 64 << 10,
        publish_rate: 1_000,
        publish_burst: 1_000,
        request_rate: 1_000,
        request_burst: 2_000,
        window_publications: 12,
        ..Limits::default()
    }
}

pub(crate) fn rules(guarded: bool) -> Rules {
    let rule = |prefix: &str, retention| Rule {
        retention: Some(retention),
        subscribe: Some(Who::Anyone),
        publish: Some(Who::Anyone),
        presence: Some(Who::Anyone),
        ..Rule::new(prefix, Pattern::Prefix(prefix.into()))
    };
    let kept = Retention::Durable {
        publications: u64::MAX,
        age_ms: u64::MAX,
    };
    let guard = Rule {
        subscribe: Some(if guarded {
            Who::Nobody
        } else {
            Who::Authorised
        }),
        ..rule("private_", Retention::Window)
    };
    let rules = vec![
        rule("log_", kept),
        rule("web_", Retention::Window),
        rule("live_", Retention::Ephemeral),
        guard,
    ];
    Rules::new(rules, UserDataRule::Anyone)
}

/// A whole run; panics when a promise is broken. Returns how many publications were checked.
pub(crate) fn run(plan: Plan, world: &mut World) -> u64 {
    for _ in 0..BROWSERS {
        world.add_browser();
    }
    for operation in 0..plan.operations {
        let pause = match world.rng.below(8) {
            0 => world.rng.below(4_000),
            1..4 => 0,
            _ => world.rng.below(120),
        };
        world.run(pause);
        world.operate(operation);
    }
    world.end();
    world.promises.checked
}

impl World {
    fn add_browser(&mut self) {
        let tenant = TenantId(u32::try_from(1 + self.rng.below(TENANTS)).unwrap());
        let user = self.rng.below(USERS + 1);
        let random = self.rng.next();
        let browser = Browser::new(tenant, user, self.now, random);
        self.browsers.push(browser);
        let at = self.browsers.len() - 1;
        self.session(at, client::Input::Open);
        self.join(at);
    }

    fn join(&mut self, browser: usize) {
        let tabs = &mut self.browsers[browser].tabs;
        if tabs.len() == 3 {
            return;
        }
        self.command += 1;
        let tab = TabId(u32::try_from(self.command).unwrap());
        tabs.insert(tab, Tab::default());
        self.tab(browser, tab, TabInput::Joined);
    }

    fn any_tab(&mut self) -> Option<(usize, TabId)> {
        let browser = self.rng.index(self.browsers.len());
        let tabs = &self.browsers[browser].tabs;
        let at = self.rng.index(tabs.len());
        tabs.keys().nth(at).map(|tab| (browser, *tab))
    }

    fn any_tenant(&mut self) -> TenantId {
        TenantId(u32::try_from(1 + self.rng.below(TENANTS)).unwrap())
    }

    fn operate(&mut self, number: usize) {
        match self.rng.below(40) {
            0..9 => self.publish_some(number),
            9..12 => self.send_private(),
            12..18 => self.subscribe_any(),
            18..20 => self.unsubscribe_any(),
            20..24 => self.publish_from_browser(),
            24..26 => self.change_inbox(),
            26 => self.ask_any(),
            27 => self.change_tabs(),
            28..32 => self.break_network(),
            32 => self.change_disk(),
            33 => self.change_settings(),
            34 => self.change_rules(),
            35 => self.revoke(),
            36 => self.kill_or_start(),
            37 => self.delete_something(),
            _ => self.hint(),
        }
    }

    fn publish_some(&mut self, number: usize) {
        let (tenant, channel) = (self.any_tenant(), CHANNELS[self.rng.index(CHANNELS.len())]);
        // Now and then more than a window holds, or than an outbox takes.
        let (times, padding) = match self.rng.below(30) {
            0 => (20, 0),
            1 if channel != KEPT => (12, 8_000),
            _ => (1 + self.rng.below(3), 0),
        };
        self.note(format!("{number}: publish {times} to {channel}"));
        for _ in 0..times {
            self.publish(tenant, channel, padding);
        }
    }

    pub(crate) fn publish(
        &mut self,
        tenant: TenantId,
        channel: &'static str,
        padding: usize,
    ) -> String {
        let payload = self.payload(tenant, channel, padding);
        if self.node.is_some() {
            let draft = self.draft(&payload);
            let name = ChannelName::parse(channel).unwrap();
            let publish = Command::Publish {
                tenant,
                channel: name,
                draft,
            };
            let sent = Sent::Publication(tenant, channel, payload.clone());
            self.command(publish, sent);
        }
        payload
    }

    fn payload(&mut self, tenant: TenantId, channel: &str, padding: usize) -> String {
        self.command += 1;
        let payload = format!(
            "{}/{channel}/{}{}",
            tenant.0,
            self.command,
            ".".repeat(padding)
        );
        self.promises.asks(&payload, self.now);
        payload
    }

    fn draft(&mut self, payload: &str) -> Draft {
        Draft {
            id: MessageId(u128::from(self.rng.next()) << 64 | u128::from(self.rng.next())),
            once: false,
            event: EventName::default(),
            data: payload.into(),
            data_is_json: wire::is_json_container(payload),
        }
    }

    fn send_private(&mut self) {
        let (tenant, user) = (self.any_tenant(), 1 + self.rng.below(USERS));
        if self.node.is_none() {
            return;
        }
        self.command += 1;
        let payload = format!("{}/u{user}/{}", tenant.0, self.command);
        let draft = self.draft(&payload);
        let to = UserId::new(user).unwrap();
        let send = Command::Send {
            tenant,
            user: to,
            draft,
        };
        self.note(format!("send {payload}"));
        self.command(send, Sent::Private(tenant, user, payload));
    }

    fn subscribe_any(&mut self) {
        let Some((browser, tab)) = self.any_tab() else {
            return;
        };
        let channel = CHANNELS[self.rng.index(CHANNELS.len())];
        let since = self.rng.once_in(2);
        let page = self.browsers[browser]
            .tabs
            .get_mut(&tab)
            .expect("it is there");
        if page.follows.contains_key(channel) {
            return;
        }
        let since = page.left.get(channel).copied().filter(|_| since);
        let follow = Follow {
            since,
            ..Follow::default()
        };
        page.follows.insert(channel, follow);
        self.note(format!(
            "browser {browser} tab {} subscribes to {channel} since {since:?}",
            tab.0
        ));
        self.tab(browser, tab, TabInput::Subscribe { channel, since });
    }

    fn unsubscribe_any(&mut self) {
        let Some((browser, tab)) = self.any_tab() else {
            return;
        };
        let page = self.browsers[browser]
            .tabs
            .get_mut(&tab)
            .expect("it is there");
        let Some((channel, follow)) = page.follows.pop_first() else {
            return;
        };
        if let Some(position) = follow.position {
            page.left.insert(channel, position);
        }
        self.note(format!("browser {browser} tab {} leaves {channel}", tab.0));
        self.tab(browser, tab, TabInput::Unsubscribe { channel });
    }

    fn publish_from_browser(&mut self) {
        let Some((browser, tab)) = self.any_tab() else {
            return;
        };
        let channel = CHANNELS[self.rng.index(3)];
        let tenant = self.browsers[browser].tenant;
        let payload = self.payload(tenant, channel, 0);
        self.promises.may_resend(&payload);
        let call = self.call(browser, tab);
        let data = format!("\"{payload}\"");
        let content = Publish {
            channel,
            event: "",
            data: &data,
        };
        self.note(format!("browser {browser} publishes {payload}"));
        self.tab(browser, tab, TabInput::Publish { call, content });
    }

    fn call(&mut self, browser: usize, tab: TabId) -> u32 {
        let page = self.browsers[browser]
            .tabs
            .get_mut(&tab)
            .expect("it is there");
        page.calls += 1;
        page.open_calls.insert(page.calls);
        page.calls
    }

    fn ask_any(&mut self) {
        let Some((browser, tab)) = self.any_tab() else {
            return;
        };
        let call = self.call(browser, tab);
        let channel = CHANNELS[self.rng.index(CHANNELS.len())].to_owned();
        let question = match self.rng.below(4) {
            0 => Question::Presence(channel),
            1 => Question::PresenceCount(channel),
            2 => Question::UserStatus(1),
            _ => Question::History {
                channel,
                since: None,
                limit: Some(3),
            },
        };
        self.tab(browser, tab, TabInput::Ask { call, question });
    }

    fn change_inbox(&mut self) {
        let Some((browser, tab)) = self.any_tab() else {
            return;
        };
        let on = !self.rng.once_in(3);
        let page = self.browsers[browser]
            .tabs
            .get_mut(&tab)
            .expect("it is there");
        if page.handles == on {
            return;
        }
        page.handles = on;
        // A new handler may get again what no handler has finished.
        page.given.clear();
        let input = if on {
            TabInput::InboxOn
        } else {
            TabInput::InboxOff
        };
        self.note(format!("browser {browser} tab {}: {input:?}", tab.0));
        self.tab(browser, tab, input);
    }

    fn change_tabs(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        if self.rng.once_in(2) {
            return self.join(browser);
        }
        if let Some((browser, tab)) = self.any_tab() {
            self.note(format!("browser {browser} tab {} is gone", tab.0));
            self.browsers[browser].tabs.remove(&tab);
            self.tab(browser, tab, TabInput::Left);
        }
    }

    fn break_network(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        let Some(wire) = self.browsers[browser]
            .wire
            .filter(|wire| self.wires[*wire].heard)
        else {
            return;
        };
        match self.rng.below(6) {
            0..3 => {
                self.note(format!("browser {browser}: connection cut"));
                self.cut(wire);
            }
            3 => {
                self.note(format!("browser {browser}: connection dies in silence"));
                self.lose(wire);
            }
            _ => {
                let until = self.now + self.rng.below(5_000);
                self.wires[wire].stalled_until = until;
            }
        }
    }

    fn change_disk(&mut self) {
        self.disk.health = match self.rng.below(6) {
            0 => Health::Failing,
            1 => Health::Full,
            2 => Health::Slow(600),
            _ => Health::Good,
        };
        self.note(format!("disk: {:?}", self.disk.health));
    }

    fn change_settings(&mut self) {
        if self.node.is_none() {
            return;
        }
        let (tenant, channel) = (self.any_tenant(), ChannelName::parse("web_b").unwrap());
        let command = if self.rng.once_in(2) {
            let length = 1 + self.rng.below(20);
            Command::SetHistory {
                tenant,
                channel,
                length,
            }
        } else {
            Command::RemoveHistory { tenant, channel }
        };
        self.note(format!("{command:?}"));
        self.command(command, Sent::Other);
    }

    fn change_rules(&mut self) {
        let denies = self.promises.denied_since.is_none();
        self.set_rules(denies);
    }

    pub(crate) fn set_rules(&mut self, denies: bool) {
        self.note(format!("rules: guarded channel denied {denies}"));
        self.promises.denied_since = denies.then_some(self.now);
        self.rules = std::sync::Arc::new(rules(denies));
        let rules = std::sync::Arc::clone(&self.rules);
        self.every_shard(|| Input::Rules(std::sync::Arc::clone(&rules)));
        // What the same moment still brings may be from before.
        self.run(1);
    }

    fn revoke(&mut self) {
        let (tenant, user) = (self.any_tenant(), 1 + self.rng.below(USERS));
        self.note(format!("revoke user {user} of {tenant}"));
        let user = UserId::new(user).unwrap();
        let which = Disconnect::User { tenant, user };
        for shard in 0..self.shards {
            self.mail(shard, Message::Disconnect(which.clone()));
        }
    }

    fn kill_or_start(&mut self) {
        if self.node.is_some() {
            self.crash();
        } else {
            self.start();
        }
    }

    fn delete_something(&mut self) {
        if self.node.is_none() {
            return;
        }
        let tenant = self.any_tenant();
        let channel = ChannelName::parse("web_b").unwrap();
        self.note(format!("clear web_b of {tenant}"));
        self.command(Command::ClearHistory { tenant, channel }, Sent::Other);
    }

    /// What the browser itself tells a session; and sessions that were stopped are opened again, a node that is down
    /// started.
    fn hint(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        match self.rng.below(4) {
            0 => self.session(browser, client::Input::Online),
            1 => self.session(browser, client::Input::Offline),
            _ => self.session(browser, client::Input::Open),
        }
        if self.node.is_none() {
            self.start();
        }
    }
}
