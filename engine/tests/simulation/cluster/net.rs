//! Browsers before several nodes: sockets reach any node that lives, frames arrive in order or not at all.

use std::collections::VecDeque;

use cometql_engine::{ConnectionId, Ending, Input};
use cometql_protocol::client::{self, SocketId, TabId, TabInput};
use cometql_protocol::wire::{decode_incoming, decode_requests};
use cometql_protocol::{CloseCode, TenantId, UNSTORED_OFFSET};

use super::world::{Event, World};
use crate::browser::{Act, Browser, Follow, Tab, Told, token};

/// A connection between a browser and one life of a node.
pub(super) struct Wire {
    pub(super) browser: usize,
    socket: SocketId,
    /// The node that took it, and its life.
    pub(super) at: Option<(usize, u32)>,
    /// Since when.
    began: u64,
    pub(super) connection: Option<ConnectionId>,
    /// The browser still listens.
    heard: bool,
    up: VecDeque<String>,
    down: VecDeque<String>,
    /// What the browser is told at the end.
    end: Option<u16>,
}

impl World {
    /// A browser with one tab.
    pub(super) fn add_browser(&mut self, tenant: TenantId, user: u64) -> (usize, TabId) {
        let random = self.rng.next();
        let at = self.browsers.len();
        let browser = Browser::new(tenant, user, &format!("b{at}"), self.now, random);
        self.browsers.push(browser);
        self.session(at, client::Input::Open);
        let tab = TabId(1);
        self.browsers[at].tabs.insert(tab, Tab::default());
        self.tab(at, tab, TabInput::Joined);
        (at, tab)
    }

    pub(super) fn follow(&mut self, browser: usize, tab: TabId, channel: &'static str) {
        let page = self.browsers[browser].tabs.get_mut(&tab).unwrap();
        if page.follows.contains_key(channel) {
            return;
        }
        let since = page.left.get(channel).copied();
        let follow = Follow {
            since,
            ..Follow::default()
        };
        page.follows.insert(channel, follow);
        self.note(format!(
            "browser {browser} subscribes to {channel} since {since:?}"
        ));
        self.tab(browser, tab, TabInput::Subscribe { channel, since });
    }

    pub(super) fn tab(&mut self, browser: usize, tab: TabId, input: TabInput<'_>) {
        self.session(browser, client::Input::Tab(tab, input));
    }

    pub(super) fn session(&mut self, browser: usize, input: client::Input<'_>) {
        for act in self.browsers[browser].handle(self.now, input, &mut self.rng) {
            self.act(browser, act);
        }
    }

    fn act(&mut self, browser: usize, act: Act) {
        match act {
            Act::Open(socket) => {
                self.wires.push(Wire {
                    browser,
                    socket,
                    at: None,
                    began: 0,
                    connection: None,
                    heard: true,
                    up: VecDeque::new(),
                    down: VecDeque::new(),
                    end: None,
                });
                let wire = self.wires.len() - 1;
                self.browsers[browser].wire = Some(wire);
                let delay = self.rng.below(100);
                self.at(delay, Event::Arrives(wire));
            }
            Act::Close => {
                if let Some(wire) = self.browsers[browser].wire {
                    self.wires[wire].heard = false;
                    self.gone(wire, Ending::Left(Some(1000)));
                }
            }
            Act::Send(text) => {
                let wire = self.browsers[browser].wire.expect("it has a socket");
                self.wires[wire].up.push_back(text);
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

    pub(super) fn give_token(&mut self, browser: usize) {
        let credentials = token(self.browsers[browser].user, self.now, 60_000);
        self.session(browser, client::Input::Credentials(credentials));
    }

    /// A socket reaches some node.
    pub(super) fn arrives(&mut self, wire: usize) {
        let (browser, socket) = (self.wires[wire].browser, self.wires[wire].socket);
        if !self.wires[wire].heard {
            return;
        }
        let alive = self.alive();
        if alive.is_empty() {
            self.wires[wire].end = Some(1006);
            return self.down(wire);
        }
        let node = alive[self.rng.index(alive.len())];
        let shard = self.rng.index(self.shards(node));
        let tenant = self.browsers[browser].tenant;
        let (now, slot) = (self.now, &mut self.slots[node]);
        let shards = slot.node.as_mut().expect("it lives");
        let connection = shards.open(now, shard, tenant);
        slot.connections.insert(connection, wire);
        self.wires[wire].at = Some((node, slot.life));
        self.wires[wire].began = now;
        self.wires[wire].connection = Some(connection);
        self.session(browser, client::Input::Opened(socket));
    }

    pub(super) fn up(&mut self, wire: usize) {
        let of = &mut self.wires[wire];
        let (Some(frame), Some(connection), Some((node, life))) =
            (of.up.pop_front(), of.connection, of.at)
        else {
            return;
        };
        if self.lives(node, life) {
            let shard = usize::from(connection.shard().0);
            for request in decode_requests(&frame) {
                let request = request.unwrap_or_else(|error| panic!("{frame}: {}", error.message));
                self.input(node, shard, Input::Request(connection, request));
            }
        }
    }

    pub(super) fn send_down(&mut self, node: usize, connection: ConnectionId, text: String) {
        let Some(wire) = self.slots[node].connections.get(&connection).copied() else {
            return;
        };
        self.wires[wire].down.push_back(text);
        let delay = self.rng.below(20);
        self.at(delay, Event::Down(wire));
    }

    pub(super) fn down(&mut self, wire: usize) {
        let of = &mut self.wires[wire];
        if !of.heard {
            return;
        }
        let (browser, socket) = (of.browser, of.socket);
        if let Some(frame) = of.down.pop_front() {
            let text = &*frame;
            let says = decode_incoming(text);
            return self.session(browser, client::Input::Text { socket, text, says });
        }
        if let Some(code) = of.end {
            of.heard = false;
            let reason = "";
            let closed = client::Input::Closed {
                socket,
                code,
                reason,
            };
            self.session(browser, closed);
        }
    }

    /// The server closes a connection.
    pub(super) fn close(&mut self, node: usize, connection: ConnectionId, code: CloseCode) {
        let Some(wire) = self.slots[node].connections.get(&connection).copied() else {
            return;
        };
        self.wires[wire].end = Some(code.code());
        self.gone(wire, Ending::Closed(code));
        let delay = 100 + self.rng.below(50);
        self.at(delay, Event::Down(wire));
    }

    /// The node notices that a connection is over.
    fn gone(&mut self, wire: usize, ending: Ending) {
        let of = &mut self.wires[wire];
        let (Some(connection), Some((node, life))) = (of.connection.take(), of.at) else {
            return;
        };
        if self.lives(node, life) {
            self.slots[node].connections.remove(&connection);
            let delay = self.rng.below(500);
            self.at(delay, Event::Gone(node, life, connection, ending));
        }
    }

    /// A connection breaks: what was on its way is lost.
    pub(super) fn break_wire(&mut self, wire: usize) {
        self.gone(wire, Ending::Broke);
        let of = &mut self.wires[wire];
        of.up.clear();
        of.down.clear();
        of.end = Some(1006);
        let delay = self.rng.below(1_000);
        self.at(delay, Event::Down(wire));
    }

    fn tell(&mut self, browser: usize, tab: TabId, told: &Told) {
        if !matches!(told, Told::Online(_) | Told::Other | Told::Presence(..)) {
            self.note(format!("browser {browser}: {told:?}"));
        }
        let who = format!("browser {browser}");
        let of = &mut self.browsers[browser];
        if let Told::Online(online) = told {
            of.online = *online;
        }
        let tenant = of.tenant.0;
        let Some(page) = of.tabs.get_mut(&tab) else {
            return;
        };
        match told {
            Told::Online(_) | Told::Other | Told::Answer(_) => {}
            Told::Unsubscribed(channel, code) => panic!("{who} {channel}: {code}"),
            Told::Message(offset, payload) => {
                let belongs = format!("{tenant}/u{}/", of.user);
                assert!(payload.starts_with(&belongs), "{who}: {payload} is foreign");
                // What goes without the log has no order with what the log has.
                let last = page.given.range(..UNSTORED_OFFSET).next_back().copied();
                let stored = *offset < UNSTORED_OFFSET;
                // One that went so may come by the log to another connection, whose node did not know.
                let before = |(wire, told): &(usize, String)| {
                    self.wires[*wire].browser == browser && told == payload
                };
                let again = self.private.iter().any(before);
                assert!(
                    !stored || again || last < Some(*offset),
                    "{who}: {payload} after {last:?}"
                );
                page.given.insert(*offset);
                let wire = of.wire.expect("it has a socket");
                let is_new = self.private.insert((wire, payload.clone()));
                assert!(is_new, "{who}: {payload} came twice");
                if stored {
                    let began = self.wires[wire].began;
                    self.promises.pushed(&who, payload, began);
                }
                let delay = self.rng.below(400);
                let handled = Event::Handled(browser, tab, *offset, payload.clone());
                self.at(delay, handled);
            }
            Told::Subscribed(channel, ..)
            | Told::Recovered(channel)
            | Told::Gap(channel, _)
            | Told::Presence(channel, ..)
            | Told::Publication(channel, ..) => {
                let Some(follow) = page.follows.get_mut(&**channel) else {
                    panic!("{who} {channel}: not followed, but {told:?}");
                };
                self.promises.told(&who, tenant, follow, told);
            }
        }
    }
}
