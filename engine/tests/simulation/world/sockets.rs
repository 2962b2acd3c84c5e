//! The network: sockets that reach the node or don't, bytes on their way, connections that end.

use std::sync::Arc;

use cometql_engine::permission::Conflate;
use cometql_engine::{ConnectionId, Ending, Input, Publication};
use cometql_protocol::wire::{self, RequestBody, decode_incoming, decode_requests};
use cometql_protocol::{CloseCode, client};

use super::{Event, World};
use crate::network::Wire;
use crate::promises::Asks;

impl World {
    pub(super) fn arrives(&mut self, wire: usize) {
        let (browser, socket) = (self.wires[wire].browser, self.wires[wire].socket);
        if !self.wires[wire].heard {
            return;
        }
        if self.node.is_none() || (!self.healed && self.rng.once_in(12)) {
            self.wires[wire].heard = false;
            let closed = client::Input::Closed {
                socket,
                code: 1006,
                reason: "",
            };
            return self.session(browser, closed);
        }
        let tenant = self.browsers[browser].tenant;
        let shard = self.rng.index(self.shards);
        let node = self.node.as_mut().expect("looked above");
        let connection = node.open(self.now, shard, tenant);
        self.wires[wire].connection = Some(connection);
        self.wires[wire].life = self.life;
        self.connections.insert(connection, wire);
        self.owners.insert(connection, browser);
        self.session(browser, client::Input::Opened(socket));
    }

    /// A publication for a browser: it may have to wait for its socket, in the place of older ones, or is lost.
    pub(super) fn send_publication(
        &mut self,
        to: ConnectionId,
        publication: &Arc<Publication>,
        own: Option<u32>,
        replays: bool,
    ) {
        let Some(wire) = self.connections.get(&to).copied() else {
            return;
        };
        let stalls = self.wires[wire].stalled_until > self.now;
        match publication.conflate {
            Some(conflate) if own.is_none() && conflate != Conflate::Ended => {
                if stalls && !replays {
                    return self.hold(to, wire, publication, conflate);
                }
                if !stalls {
                    self.settle(to);
                }
            }
            Some(_) => self.settle(to),
            None if own.is_some() => self.settle(to),
            None => {}
        }
        let of = &mut self.wires[wire];
        if of.swallows > 0 && publication.place.is_some() {
            of.swallows -= 1;
            let channel = publication.channel.to_string();
            self.note(format!("{} is lost on the way", publication.data));
            self.promises.excused.insert((wire, channel));
            return;
        }
        let text = wire::encode_publication(publication.view(own));
        self.send_down(to, &text, replays);
    }

    fn hold(
        &mut self,
        to: ConnectionId,
        wire: usize,
        publication: &Arc<Publication>,
        conflate: Conflate,
    ) {
        let of = &mut self.wires[wire];
        of.held.put(publication, conflate);
        of.put.push(publication.data.to_string());
        if of.held.bytes() > self.limits.outbox_bytes {
            return self.close(to, CloseCode::SlowConsumer);
        }
        let delay = of.stalled_until - self.now;
        self.at(delay, Event::Down(wire));
        self.relieve();
    }

    /// What waits beside a stream goes into it.
    pub(super) fn settle(&mut self, to: ConnectionId) {
        let Some(wire) = self.connections.get(&to).copied() else {
            return;
        };
        let of = &mut self.wires[wire];
        let (browser, mut replaced) = (of.browser, std::mem::take(&mut of.put));
        for held in std::mem::take(&mut of.held).into_held() {
            let publication = &held.publication;
            replaced.retain(|payload| **payload != *publication.data);
            let mut view = publication.view(None);
            view.offsets = view.offsets.map(|(offset, _)| (offset, held.previous));
            let text = wire::encode_publication(view);
            self.send_down(to, &text, false);
        }
        let replaced = replaced.into_iter().map(|payload| (browser, payload));
        self.promises.replaced.extend(replaced);
    }

    pub(super) fn send_down(&mut self, connection: ConnectionId, text: &str, replays: bool) {
        let Some(wire) = self.connections.get(&connection).copied() else {
            return;
        };
        let limit = self.limits.outbox_bytes;
        let flow = &mut self.wires[wire].down;
        if flow.end.is_some() {
            return;
        }
        if replays {
            flow.granted += text.len();
        }
        let full = flow.waiting() > limit + flow.granted;
        if full {
            self.note(format!(
                "slow consumer: browser {}",
                self.wires[wire].browser
            ));
            return self.close(connection, CloseCode::SlowConsumer);
        }
        flow.send(text);
        let delay = self.rng.below(20);
        self.at(delay, Event::Down(wire));
        if self.wires[wire].stalls(self.now) {
            self.relieve();
        }
    }

    /// What waits for all who read nothing.
    pub(crate) fn backlog(&self) -> usize {
        let stalled = self.wires.iter().filter(|wire| wire.stalls(self.now));
        stalled.map(Wire::waiting).sum()
    }

    /// When too much waits on the node, the fullest are closed, as the edge does it.
    fn relieve(&mut self) {
        while self.backlog() > self.limits.outbox_bytes_per_node {
            let stalled = self.wires.iter().filter(|wire| wire.stalls(self.now));
            let fullest = stalled.max_by_key(|wire| wire.waiting());
            let Some(connection) = fullest.and_then(|wire| wire.connection) else {
                return;
            };
            self.note(format!("no room for what waits for {connection}"));
            self.relieved += 1;
            self.close(connection, CloseCode::SlowConsumer);
        }
    }

    /// The server closes a connection.
    pub(super) fn close(&mut self, connection: ConnectionId, code: CloseCode) {
        if code != CloseCode::SlowConsumer {
            self.settle(connection);
        }
        let Some(wire) = self.connections.remove(&connection) else {
            return;
        };
        let keep = match code {
            CloseCode::SlowConsumer => 0,
            _ => self.wires[wire].down.waiting(),
        };
        self.wires[wire].down.cut(keep, code.code(), code.as_str());
        self.wires[wire].connection = None;
        let delay = self.rng.below(50);
        self.at(delay, Event::Down(wire));
        let delay = self.rng.below(300);
        let ending = Ending::Closed(code);
        self.at(delay, Event::Gone(self.life, connection, ending));
    }

    pub(super) fn up(&mut self, wire: usize) {
        let of = &mut self.wires[wire];
        if of.dead {
            return;
        }
        let bytes = match self.rng.below(3) {
            0 => self.rng.index(of.up.waiting() + 1),
            _ => usize::MAX,
        };
        let frames = of.up.arrive(bytes);
        let waits = of.up.waiting() > 0;
        let ended = of.up.end.clone().filter(|_| !waits);
        let connection = of.connection.filter(|_| of.life == self.life);
        for frame in frames {
            let Some(connection) = connection else {
                return;
            };
            let shard = usize::from(connection.shard().0);
            for request in decode_requests(&frame) {
                let request = request.unwrap_or_else(|error| panic!("{frame}: {}", error.message));
                if let RequestBody::Unsubscribe { channel } = &request.body {
                    let browser = &self.browsers[self.wires[wire].browser];
                    let presence = &mut self.promises.presence;
                    presence.leaves(connection, channel);
                    presence.changes(self.now, browser.tenant, &browser.name);
                }
                let body = request.body.clone();
                let is_open = self.connections.contains_key(&connection);
                self.input(shard, Input::Request(connection, request));
                if is_open {
                    self.asked(wire, connection, &body);
                }
            }
        }
        if waits {
            let delay = 1 + self.rng.below(20);
            self.at(delay, Event::Up(wire));
        }
        if let (Some((code, _)), Some(connection)) = (ended, connection)
            && self.connections.remove(&connection).is_some()
        {
            self.wires[wire].connection = None;
            let ending = match code {
                1006 => Ending::Broke,
                code => Ending::Left(Some(code)),
            };
            self.at(0, Event::Gone(self.life, connection, ending));
        }
    }

    /// The node has looked at a request.
    fn asked(&mut self, wire: usize, connection: ConnectionId, body: &RequestBody) {
        let browser = &self.browsers[self.wires[wire].browser];
        let logged_in = self.promises.presence.is_logged_in(connection);
        let asks = Asks {
            connection,
            tenant: browser.tenant,
            user: if logged_in { browser.user } else { 0 },
            body,
        };
        let (now, limits) = (self.now, &self.limits);
        self.promises.rates.asked(now, limits, &asks);
    }

    pub(super) fn down(&mut self, wire: usize) {
        let of = &mut self.wires[wire];
        if of.dead || !of.heard {
            return;
        }
        if of.stalled_until > self.now {
            let delay = of.stalled_until - self.now;
            return self.at(delay, Event::Down(wire));
        }
        if let Some(connection) = of.connection {
            self.settle(connection);
        }
        let of = &mut self.wires[wire];
        let bytes = match self.rng.below(3) {
            0 => self.rng.index(of.down.waiting() + 1),
            _ => usize::MAX,
        };
        let (browser, socket) = (of.browser, of.socket);
        for frame in of.down.arrive(bytes) {
            if self.wires[wire].heard {
                let text = &*frame;
                let says = decode_incoming(text);
                self.session(browser, client::Input::Text { socket, text, says });
            }
        }
        let of = &self.wires[wire];
        if of.down.waiting() > 0 {
            let delay = 1 + self.rng.below(20);
            return self.at(delay, Event::Down(wire));
        }
        if let Some((code, reason)) = of.down.end.clone().filter(|_| of.heard) {
            self.wires[wire].heard = false;
            let closed = client::Input::Closed {
                socket,
                code,
                reason: &reason,
            };
            self.session(browser, closed);
        }
    }

    /// A connection ends at any byte of both directions.
    pub(crate) fn cut(&mut self, wire: usize) {
        let rng = &mut self.rng;
        let of = &mut self.wires[wire];
        for flow in [&mut of.up, &mut of.down] {
            let keep = rng.index(flow.waiting() + 1);
            flow.cut(keep, 1006, "");
        }
        let (up, down) = (self.rng.below(2_000), self.rng.below(2_000));
        self.at(up, Event::Up(wire));
        self.at(down, Event::Down(wire));
    }

    /// A connection dies and nobody is told; the server finds out by its pings.
    pub(crate) fn lose(&mut self, wire: usize) {
        self.wires[wire].dead = true;
        if let Some(connection) = self.wires[wire].connection.take()
            && self.connections.remove(&connection).is_some()
        {
            let ending = Ending::Closed(CloseCode::NoPong);
            let delay = 25_000 + self.rng.below(25_000);
            self.at(delay, Event::Gone(self.life, connection, ending));
        }
    }
}
