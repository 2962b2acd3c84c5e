//! What browsers do.

use cometql_protocol::TenantId;
use cometql_protocol::client::{self, Publish, Question, TabId, TabInput};
use cometql_protocol::wire::{Epoch, Position};

use super::{CHANNELS, OPEN, USERS};
use crate::browser::{Browser, Follow, Tab};
use crate::promises::{KEPT, TRACKED};
use crate::world::World;

impl World {
    pub(super) fn add_browser(&mut self) {
        let (tenant, user) = (self.any_tenant(), self.rng.below(USERS + 1));
        self.add_browser_of(tenant, user);
    }

    /// A browser with one tab.
    pub(crate) fn add_browser_of(&mut self, tenant: TenantId, user: u64) -> (usize, TabId) {
        let random = self.rng.next();
        let at = self.browsers.len();
        let name = if self.rng.once_in(6) {
            String::new()
        } else {
            format!("b{at}")
        };
        self.add_browser_called(tenant, user, &name, random)
    }

    /// As `add_browser_of`, under a name.
    pub(crate) fn add_browser_called(
        &mut self,
        tenant: TenantId,
        user: u64,
        name: &str,
        random: u64,
    ) -> (usize, TabId) {
        let at = self.browsers.len();
        let browser = Browser::new(tenant, user, name, self.now, random);
        self.browsers.push(browser);
        self.session(at, client::Input::Open);
        let tab = self.join(at).expect("it has none yet");
        (at, tab)
    }

    /// One more tab, up to three.
    fn join(&mut self, browser: usize) -> Option<TabId> {
        let tabs = &mut self.browsers[browser].tabs;
        if tabs.len() == 3 {
            return None;
        }
        self.command += 1;
        let tab = TabId(u32::try_from(self.command).unwrap());
        tabs.insert(tab, Tab::default());
        self.tab(browser, tab, TabInput::Joined);
        Some(tab)
    }

    fn any_tab(&mut self) -> Option<(usize, TabId)> {
        let browser = self.rng.index(self.browsers.len());
        let tabs = &self.browsers[browser].tabs;
        let at = self.rng.index(tabs.len());
        tabs.keys().nth(at).map(|tab| (browser, *tab))
    }

    pub(super) fn subscribe_any(&mut self) {
        let Some((browser, tab)) = self.any_tab() else {
            return;
        };
        let channel = match self.rng.below(4) {
            0 => TRACKED,
            _ => CHANNELS[self.rng.index(CHANNELS.len())],
        };
        let page = &self.browsers[browser].tabs[&tab];
        if page.follows.contains_key(channel) {
            return;
        }
        let since = match self.rng.below(4) {
            0 => page.left.get(channel).copied(),
            1 => self.earlier(browser, channel),
            // A position that some other server gave.
            2 => (channel != KEPT).then_some(Position {
                epoch: Epoch(7),
                offset: 3,
            }),
            _ => None,
        };
        self.follow(browser, tab, channel, since);
    }

    /// A tab that does not follow a channel begins to.
    pub(crate) fn follow(
        &mut self,
        browser: usize,
        tab: TabId,
        channel: &'static str,
        since: Option<Position>,
    ) {
        let tabs = &mut self.browsers[browser].tabs;
        let page = tabs.get_mut(&tab).expect("it is there");
        let follow = Follow {
            since,
            ..Follow::default()
        };
        page.follows.insert(channel, follow);
        if let Some(wire) = self.browsers[browser].wire.filter(|_| since.is_some()) {
            // It may be behind the other tabs.
            self.promises.excused.insert((wire, channel.to_owned()));
        }
        self.note(format!(
            "browser {browser} tab {} subscribes to {channel} since {since:?}",
            tab.0
        ));
        self.tab(browser, tab, TabInput::Subscribe { channel, since });
    }

    /// Where another tab of the browser is in a channel, or was a little before.
    fn earlier(&mut self, browser: usize, channel: &str) -> Option<Position> {
        let tabs = self.browsers[browser].tabs.values();
        let at = tabs.filter_map(|page| page.follows.get(channel)?.position);
        let at = at.max_by_key(|at| at.offset).filter(|at| at.offset > 0)?;
        let offset = at.offset - self.rng.below(at.offset.min(16));
        Some(Position { offset, ..at })
    }

    pub(super) fn unsubscribe_any(&mut self) {
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

    pub(super) fn publish_from_browser(&mut self) {
        if let Some((browser, tab)) = self.any_tab() {
            let channel = CHANNELS[self.rng.index(OPEN)];
            self.publish_from(browser, tab, channel);
        }
    }

    /// More than a session may publish, and then what others do.
    pub(super) fn flood(&mut self) {
        let Some((browser, tab)) = self.any_tab() else {
            return;
        };
        let channel = CHANNELS[self.rng.index(OPEN)];
        for _ in 0..5 + self.rng.below(20) {
            self.publish_from(browser, tab, channel);
        }
        for _ in 0..3 {
            self.publish_from_browser();
        }
    }

    /// A browser comes back when only the store knows what it missed, and the store may have other worries.
    pub(super) fn absence(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        let tenant = self.browsers[browser].tenant;
        self.note(format!("browser {browser} is away"));
        self.session(browser, client::Input::Close);
        for _ in 0..10 {
            self.publish(tenant, KEPT, 0);
        }
        self.run(1_000);
        if self.rng.once_in(2) {
            self.change_disk();
        }
        self.session(browser, client::Input::Open);
        self.run(1_000);
    }

    fn publish_from(&mut self, browser: usize, tab: TabId, channel: &'static str) {
        let tenant = self.browsers[browser].tenant;
        let payload = self.payload(tenant, channel, 0);
        self.promises.messages.may_resend(&payload);
        let call = self.call(browser, tab);
        let data = format!("\"{payload}\"");
        let content = Publish {
            channel,
            event: "",
            data: &data,
            id: None,
        };
        self.note(format!(
            "browser {browser} tab {} publishes {payload}, call {call}",
            tab.0
        ));
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

    pub(super) fn ask_any(&mut self) {
        let Some((browser, tab)) = self.any_tab() else {
            return;
        };
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
        self.ask(browser, tab, question);
    }

    /// A tab asks something.
    pub(crate) fn ask(&mut self, browser: usize, tab: TabId, question: Question) {
        let call = self.call(browser, tab);
        self.note(format!(
            "browser {browser} tab {}: {question:?}, call {call}",
            tab.0
        ));
        self.tab(browser, tab, TabInput::Ask { call, question });
    }

    pub(super) fn change_inbox(&mut self) {
        if let Some((browser, tab)) = self.any_tab() {
            let on = !self.rng.once_in(3);
            self.handles(browser, tab, on);
        }
    }

    /// A tab has a handler for private messages, or none any more.
    pub(crate) fn handles(&mut self, browser: usize, tab: TabId, on: bool) {
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

    pub(super) fn change_tabs(&mut self) {
        let browser = self.rng.index(self.browsers.len());
        if self.rng.once_in(2) {
            self.join(browser);
            return;
        }
        if let Some((browser, tab)) = self.any_tab() {
            self.note(format!("browser {browser} tab {} is gone", tab.0));
            self.browsers[browser].tabs.remove(&tab);
            self.tab(browser, tab, TabInput::Left);
        }
    }
}
