//! Browsers: what their sessions want, and what their tabs are told.

use cometql_protocol::client::{self, SocketId, TabId, TabInput};

use super::{Event, World};
use crate::browser::{Act, Told, token};
use crate::network::Wire;
use crate::operations::CHANNELS;
use crate::promises::Who;

impl World {
    pub(crate) fn tab(&mut self, browser: usize, tab: TabId, input: TabInput<'_>) {
        self.session(browser, client::Input::Tab(tab, input));
    }

    pub(crate) fn session(&mut self, browser: usize, input: client::Input<'_>) {
        let acts = self.browsers[browser].handle(self.now, input, &mut self.rng);
        for act in acts {
            self.act(browser, act);
        }
    }

    fn act(&mut self, browser: usize, act: Act) {
        match act {
            Act::Open(socket) => self.open(browser, socket),
            Act::Close => {
                if let Some(wire) = self.browsers[browser].wire {
                    self.wires[wire].heard = false;
                    let waiting = self.wires[wire].up.waiting();
                    self.wires[wire].up.cut(waiting, 1000, "");
                    let delay = self.rng.below(50);
                    self.at(delay, Event::Up(wire));
                }
            }
            Act::Send(text) => {
                let wire = self.browsers[browser].wire.expect("it has a socket");
                assert!(self.wires[wire].heard, "sent on a socket that is gone");
                self.wires[wire].up.send(&text);
                let delay = self.rng.below(20);
                self.at(delay, Event::Up(wire));
            }
            Act::Timer(at) => {
                self.browsers[browser].timer = at;
                if let Some(at) = at {
                    let delay = at.saturating_sub(self.now);
                    self.at(delay, Event::Timer(browser, at));
                }
            }
            Act::Token => {
                let delay = self.rng.below(500);
                self.at(delay, Event::Token(browser));
            }
            Act::Tell(tab, told) => self.tell(browser, tab, &told),
        }
    }

    fn open(&mut self, browser: usize, socket: SocketId) {
        self.wires.push(Wire::new(browser, socket, self.life));
        let wire = self.wires.len() - 1;
        self.browsers[browser].wire = Some(wire);
        let delay = self.rng.below(100);
        self.at(delay, Event::Arrives(wire));
    }

    pub(super) fn give_token(&mut self, browser: usize) {
        if !self.healed && self.rng.once_in(8) {
            return self.session(browser, client::Input::NoToken);
        }
        let life = 12_000 + self.rng.below(60_000);
        let credentials = token(self.browsers[browser].user, self.now, life);
        self.session(browser, client::Input::Credentials(credentials));
    }

    fn tell(&mut self, browser: usize, tab: TabId, told: &Told) {
        if !matches!(told, Told::Online(_) | Told::Other | Told::Presence(..)) {
            self.note(format!("browser {browser} tab {}: {told:?}", tab.0));
        }
        let of = &self.browsers[browser];
        let (tenant, user, wire) = (of.tenant, of.user, of.wire);
        if let Told::Online(online) = told {
            self.browsers[browser].online = *online;
        }
        let Some(page) = self.browsers[browser].tabs.get_mut(&tab) else {
            return;
        };
        let who = Who {
            browser,
            tab: tab.0,
            tenant,
            user,
            wire,
            now: self.now,
        };
        match told {
            Told::Online(_) | Told::Other => {}
            Told::Answer(call) => {
                assert!(page.open_calls.remove(call), "{who}: {call} answered twice");
            }
            Told::Unsubscribed(channel, code) => {
                let denied = matches!(&**code, "permission_denied" | "login_required");
                let few = self.limits.subscriptions < CHANNELS.len();
                let too_many = few && code == "too_many_subscriptions";
                assert!(denied || too_many, "{who} {channel}: {code}");
                page.follows.remove(&**channel);
            }
            Told::Message(offset, payload) => self.message(who, tab, *offset, payload),
            Told::Subscribed(channel, ..)
            | Told::Recovered(channel)
            | Told::Gap(channel, _)
            | Told::Presence(channel, ..)
            | Told::Publication(channel, ..) => {
                let Some(follow) = page.follows.get_mut(&**channel) else {
                    panic!("{who} {channel}: not followed, but {told:?}");
                };
                self.promises.told(who, follow, told, &self.disk);
            }
        }
    }

    /// A tab was given a private message; it has handled it a little later.
    fn message(&mut self, who: Who, tab: TabId, offset: u64, payload: &str) {
        let belongs = format!("{}/u{}/", who.tenant.0, who.user);
        assert!(payload.starts_with(&belongs), "{who}: {payload} is foreign");
        assert!(
            self.disk.has_had(payload),
            "{who}: {payload} came before it was stored"
        );
        let page = self.browsers[who.browser].tabs.get_mut(&tab);
        let page = page.expect("the caller has found it");
        assert!(page.handles, "{who}: {payload} without a handler");
        let last = page.given.last().copied();
        assert!(last < Some(offset), "{who}: {payload} after {last:?}");
        page.given.insert(offset);
        let delay = self.rng.below(400);
        let handled = Event::Handled(who.browser, tab, offset, payload.to_owned());
        self.at(delay, handled);
    }
}
