//! The session: which part gets what, and the one connection's life.

use litemap::LiteMap;

use super::calls::Calls;
use super::inbox::Inbox;
use super::incoming::{Incoming, Reply};
use super::keepalive::{Keepalive, Verdict};
use super::login::Login;
use super::reconnect::{Ended, Reconnect, ended};
use super::requests::{Asked, Caller, Requests};
use super::subscriptions::Subscriptions;
use super::{
    Credentials, Delivery, Effects, Input, Now, Refusal, Settings, SocketId, State, TabId, TabInput,
};

/// The browser's side of a session. See the module above.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    link: Link,
    /// The newest socket.
    socket: SocketId,
    reconnect: Reconnect,
    login: Login,
    requests: Requests,
    subscriptions: Subscriptions,
    calls: Calls,
    inbox: Inbox,
    tabs: LiteMap<TabId, ()>,
    /// Another connection is wanted as soon as this one owes no answer to a subscription.
    moves: bool,
    /// When the shell was told to tell the time.
    timer: Option<Now>,
}

/// How the connection is.
#[derive(Debug)]
enum Link {
    /// None is wanted, and why.
    Stopped(Refusal),
    /// The application was asked for a token.
    NeedsToken,
    /// The next attempt is at that moment.
    Waiting(Now),
    /// The socket must open before that moment.
    Opening(Now),
    /// The log-in must be answered before that moment.
    LoggingIn(Now),
    /// It serves.
    Ready(Keepalive),
}

impl Session {
    /// A session that does nothing before [`Input::Open`]. `uuid` names this browser in presence lists (at most 64 bytes,
    /// empty = none), `random` chooses the first url.
    #[must_use]
    pub fn new(
        settings: Settings,
        credentials: Option<Credentials>,
        uuid: &str,
        random: u64,
    ) -> Self {
        Self {
            link: Link::Stopped(Refusal::closed()),
            socket: SocketId::default(),
            reconnect: Reconnect::new(settings.urls, random),
            login: Login::new(credentials, uuid),
            requests: Requests::default(),
            subscriptions: Subscriptions::default(),
            calls: Calls::default(),
            inbox: Inbox::default(),
            tabs: LiteMap::new(),
            moves: false,
            timer: None,
            settings,
        }
    }

    /// Lets one thing happen.
    pub fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut impl Effects) {
        match input {
            Input::Open => self.open(now, effects),
            Input::Close => self.stop(Refusal::closed(), effects),
            Input::Tab(tab, input) => self.on_tab(now, tab, input, effects),
            Input::Credentials(credentials) => self.on_credentials(now, credentials, effects),
            Input::NoToken => self.on_no_token(now, effects),
            Input::Opened(socket) if socket == self.socket => self.on_opened(now, effects),
            Input::Text { socket, text, says } if socket == self.socket => {
                self.on_text(now, text, says, effects);
            }
            Input::Closed {
                socket,
                code,
                reason,
            } if socket == self.socket => {
                self.on_closed(now, ended(code, reason), effects);
            }
            Input::Opened(_) | Input::Text { .. } | Input::Closed { .. } => {}
            Input::Time => self.timer = None,
            Input::Online => self.on_online(now, effects),
            Input::Offline => self.doubt(now, effects),
        }
        self.on_time(now, effects);
        self.move_on(now, effects);
        self.ask(now, effects);
        self.set_timer(effects);
    }

    /// Whether the server has confirmed all acknowledgements that are due: nothing is left to say before a good-bye.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.inbox.is_settled()
    }

    fn on_tab(&mut self, now: Now, tab: TabId, input: TabInput<'_>, effects: &mut impl Effects) {
        let caller = |call| Caller { tab, call };
        match input {
            TabInput::Joined => {
                self.tabs.insert(tab, ());
                effects.deliver(tab, Delivery::State(self.link.state()));
            }
            TabInput::Left => {
                self.tabs.remove(&tab);
                self.inbox.remove_handler(tab);
                self.calls.remove_tab(tab, effects);
                self.subscriptions
                    .remove_tab(tab, &mut self.requests, effects);
            }
            TabInput::Subscribe { channel, since } => {
                self.subscriptions.add(tab, channel, since, effects);
            }
            TabInput::Unsubscribe { channel } => {
                self.subscriptions
                    .remove(tab, channel, &mut self.requests, effects);
            }
            TabInput::Publish { call, content } => {
                let (settings, calls) = (&self.settings, &mut self.calls);
                calls.publish(now, caller(call), &content, settings, effects);
            }
            TabInput::Ask { call, question } => {
                let (settings, calls) = (&self.settings, &mut self.calls);
                calls.question(now, caller(call), &question, settings, effects);
            }
            TabInput::InboxOn => {
                let again = self.inbox.add_handler(tab, effects);
                let logged_in = matches!(self.link, Link::LoggingIn(_) | Link::Ready(_));
                self.moves |= again && logged_in && self.login.is_somebody();
            }
            TabInput::InboxOff => self.inbox.remove_handler(tab),
            TabInput::Handled { offset } => self.inbox.handled(offset),
        }
    }

    fn open(&mut self, now: Now, effects: &mut impl Effects) {
        if matches!(self.link, Link::Stopped(_)) {
            self.connect(now, effects);
        }
    }

    /// Opens a socket, or asks for the token that it needs first.
    fn connect(&mut self, now: Now, effects: &mut impl Effects) {
        if !self.login.is_ready(&self.settings, effects) {
            return self.turn(Link::NeedsToken, effects);
        }
        self.socket = SocketId(self.socket.0.wrapping_add(1));
        effects.open_socket(self.socket, self.reconnect.url());
        self.turn(Link::Opening(now.after(self.settings.connect_ms)), effects);
    }

    /// Goes over to a new connection, if that is wanted. What was asked to subscribe on this one is answered first: else the
    /// server might come to it after the new connection, which would see this browser join.
    fn move_on(&mut self, now: Now, effects: &mut impl Effects) {
        if self.moves && !self.requests.has_subscription() {
            self.connect_anew(now, effects);
        }
    }

    /// Leaves the connection for a new one at once.
    fn connect_anew(&mut self, now: Now, effects: &mut impl Effects) {
        self.drop_socket(now, effects);
        self.connect(now, effects);
    }

    fn stop(&mut self, why: Refusal, effects: &mut impl Effects) {
        self.calls.close(effects);
        self.drop_socket(Now::default(), effects);
        self.turn(Link::Stopped(why), effects);
    }

    /// Forgets the socket and all that was on its way.
    fn drop_socket(&mut self, now: Now, effects: &mut impl Effects) {
        if self.link.has_socket() {
            effects.close_socket(self.socket);
        }
        self.socket = SocketId(self.socket.0.wrapping_add(1));
        self.moves = false;
        self.requests.lost();
        self.subscriptions.lost();
        self.calls.lost();
        self.inbox.lost();
        self.login.lost(now);
    }

    fn on_opened(&mut self, now: Now, effects: &mut impl Effects) {
        if !matches!(self.link, Link::Opening(_)) {
            return;
        }
        let inbox = self.inbox.is_wanted();
        match self.login.connect(inbox, effects) {
            Some(body) => {
                self.requests.ask(Asked::Connect, &body, effects);
                self.requests.flush(effects);
                self.turn(
                    Link::LoggingIn(now.after(self.settings.connect_ms)),
                    effects,
                );
            }
            None => self.become_ready(now, effects),
        }
    }

    fn become_ready(&mut self, now: Now, effects: &mut impl Effects) {
        self.reconnect.opened(now);
        self.inbox.ready(self.inbox.is_wanted());
        self.turn(Link::Ready(Keepalive::new(now)), effects);
    }

    fn on_closed(&mut self, now: Now, how: Ended, effects: &mut impl Effects) {
        if how == Ended::TokenExpired {
            self.login.refused();
        }
        let gives_up = match how {
            Ended::Stop(code) => Some(code.as_str()),
            Ended::TokenExpired if !self.settings.asks_for_tokens => Some("token_expired"),
            Ended::TokenExpired | Ended::Lost | Ended::ComeNow | Ended::ComeAfter(_) => None,
        };
        if let Some(word) = gives_up {
            let why = Refusal::new(word, "the server closed the connection for good");
            return self.stop(why, effects);
        }
        self.drop_socket(now, effects);
        let random = effects.random();
        let until = self.reconnect.closed(now, how, &self.settings, random);
        self.turn(Link::Waiting(until), effects);
    }

    fn on_text(
        &mut self,
        now: Now,
        text: &str,
        says: Option<Incoming>,
        effects: &mut impl Effects,
    ) {
        if let Link::Ready(pulse) = &mut self.link {
            pulse.heard(now);
        }
        match says {
            None => {}
            Some(Incoming::Reply(id, reply)) => {
                if let Some(asked) = self.requests.answered(id) {
                    self.on_reply(now, (asked, id), reply, text, effects);
                }
            }
            Some(Incoming::Publication(channel, offsets)) => {
                self.subscriptions
                    .on_publication(&channel, offsets, text, effects);
            }
            Some(Incoming::Message(offset)) => {
                let keeps = self.settings.several_tabs;
                self.inbox.on_message(offset, text, keeps, effects);
            }
            Some(Incoming::Presence(channel)) => {
                self.subscriptions.on_push(&channel, text, effects);
            }
            Some(Incoming::Gap(channel)) => self.subscriptions.on_gap(&channel),
            Some(Incoming::Unsubscribed(channel, refusal)) => {
                self.subscriptions.end(&channel, &refusal, effects);
            }
        }
    }

    fn on_reply(
        &mut self,
        now: Now,
        (asked, id): (Asked, u32),
        reply: Reply,
        text: &str,
        effects: &mut impl Effects,
    ) {
        match (asked, reply) {
            (Asked::Connect | Asked::Refresh, reply) => self.on_login(now, reply, effects),
            (Asked::Subscribe { channel }, Reply::Subscribed(answer)) => {
                let (subscriptions, requests) = (&mut self.subscriptions, &mut self.requests);
                subscriptions.on_subscribed(&channel, id, answer, requests, effects);
            }
            (Asked::Subscribe { channel }, Reply::Refused(refusal)) => {
                self.subscriptions.on_refused(
                    now,
                    (&channel, id),
                    &refusal,
                    &self.settings,
                    &mut self.requests,
                    effects,
                );
            }
            (Asked::Publish { serial } | Asked::Question { serial }, Reply::Refused(refusal)) => {
                self.calls.on_answer(serial, Err(&refusal), effects);
            }
            (Asked::Publish { serial } | Asked::Question { serial }, _) => {
                self.calls.on_answer(serial, Ok(text), effects);
            }
            (Asked::Acknowledge { .. }, Reply::Refused(_)) => {
                self.inbox.refused(now, &self.settings);
            }
            (Asked::Acknowledge { up_to }, _) => self.inbox.acknowledged(up_to),
            (Asked::Subscribe { .. } | Asked::Unsubscribe | Asked::Ping, _) => {}
        }
    }

    /// The answer to `connect` or `refresh`.
    fn on_login(&mut self, now: Now, reply: Reply, effects: &mut impl Effects) {
        match reply {
            Reply::Connected { expires } => {
                self.login.let_in(now, expires, &self.settings);
                self.become_ready(now, effects);
            }
            Reply::Refreshed { expires } => self.login.let_in(now, expires, &self.settings),
            Reply::Refused(refusal) if matches!(self.link, Link::Ready(_)) => {
                // The old token goes on until its end.
                self.tell_all(Delivery::Error(&refusal), effects);
                self.login.put_off(now.after(self.settings.backoff_most_ms));
            }
            Reply::Refused(refusal) => self.on_refused(now, refusal, effects),
            Reply::Subscribed(_) | Reply::Answer => {}
        }
    }

    /// The server did not let us in.
    fn on_refused(&mut self, now: Now, refusal: Refusal, effects: &mut impl Effects) {
        if refusal.is_passing() {
            return self.on_closed(now, Ended::Lost, effects);
        }
        self.login.refused();
        if !self.settings.asks_for_tokens {
            return self.stop(refusal, effects);
        }
        self.tell_all(Delivery::Error(&refusal), effects);
        self.on_closed(now, Ended::Lost, effects);
    }

    fn on_credentials(&mut self, now: Now, credentials: Credentials, effects: &mut impl Effects) {
        let had_logged_in = self.login.is_logged_in();
        self.login.give(credentials);
        match self.link {
            Link::NeedsToken => self.connect(now, effects),
            Link::Stopped(_) | Link::Waiting(_) | Link::Opening(_) => {}
            Link::LoggingIn(_) => self.connect_anew(now, effects),
            Link::Ready(_) => match self.login.refresh(effects).filter(|_| had_logged_in) {
                Some(body) => {
                    self.requests.ask(Asked::Refresh, &body, effects);
                    // The answer says when the next one is due; until it comes no other is asked for.
                    self.login.put_off(now.after(self.settings.backoff_most_ms));
                }
                // A log-in comes once, and first.
                None => self.connect_anew(now, effects),
            },
        }
    }

    fn on_no_token(&mut self, now: Now, effects: &mut impl Effects) {
        self.login.failed();
        if matches!(self.link, Link::NeedsToken) {
            let random = effects.random();
            let until = self
                .reconnect
                .closed(now, Ended::Lost, &self.settings, random);
            self.turn(Link::Waiting(until), effects);
        } else {
            self.login.put_off(now.after(self.settings.backoff_most_ms));
        }
    }

    fn on_online(&mut self, now: Now, effects: &mut impl Effects) {
        if matches!(self.link, Link::Waiting(_)) {
            self.reconnect.network_is_back();
            return self.connect(now, effects);
        }
        self.doubt(now, effects);
    }

    /// Looks whether an open connection still lives.
    fn doubt(&mut self, now: Now, effects: &mut impl Effects) {
        if let Link::Ready(pulse) = &mut self.link
            && pulse.doubt(now)
        {
            self.requests.ask(Asked::Ping, r#""ping":{}"#, effects);
        }
    }

    /// Does what is due.
    fn on_time(&mut self, now: Now, effects: &mut impl Effects) {
        self.calls.expire(now, effects);
        match &mut self.link {
            Link::Stopped(_) | Link::NeedsToken => {}
            Link::Waiting(until) if *until <= now => self.connect(now, effects),
            Link::Opening(until) | Link::LoggingIn(until) if *until <= now => {
                self.on_closed(now, Ended::Lost, effects);
            }
            Link::Waiting(_) | Link::Opening(_) | Link::LoggingIn(_) => {}
            Link::Ready(pulse) => match pulse.look(now, &self.settings) {
                Verdict::Alive => {}
                Verdict::Ping => {
                    self.requests.ask(Asked::Ping, r#""ping":{}"#, effects);
                }
                Verdict::Dead => self.on_closed(now, Ended::Lost, effects),
            },
        }
        if self.login.due(&self.settings).is_some_and(|due| due <= now) {
            self.login.ask(effects);
        }
    }

    /// Sends what waits for a connection, if there is one.
    fn ask(&mut self, now: Now, effects: &mut impl Effects) {
        if matches!(self.link, Link::Ready(_)) {
            let requests = &mut self.requests;
            if !self.moves {
                self.subscriptions.ask(now, requests, effects);
            }
            self.inbox.acknowledge(now, requests, effects);
            self.calls.ask(requests, effects);
            requests.flush(effects);
        }
    }

    fn set_timer(&mut self, effects: &mut impl Effects) {
        let of_link = match &self.link {
            Link::Stopped(_) | Link::NeedsToken => None,
            Link::Waiting(at) | Link::Opening(at) | Link::LoggingIn(at) => Some(*at),
            Link::Ready(pulse) => {
                let subscribes = self.subscriptions.due().filter(|_| !self.moves);
                let asks = earlier(subscribes, self.inbox.due());
                earlier(asks, Some(pulse.due(&self.settings)))
            }
        };
        let others = earlier(self.calls.due(), self.login.due(&self.settings));
        let next = earlier(of_link, others);
        if next != self.timer {
            self.timer = next;
            effects.set_timer(next);
        }
    }

    /// Changes the link, and tells all tabs.
    fn turn(&mut self, link: Link, effects: &mut impl Effects) {
        self.link = link;
        self.tell_all(Delivery::State(self.link.state()), effects);
    }

    fn tell_all(&self, delivery: Delivery<'_>, effects: &mut impl Effects) {
        for tab in self.tabs.keys() {
            effects.deliver(*tab, delivery);
        }
    }
}

impl Link {
    fn state(&self) -> State<'_> {
        match self {
            Self::Stopped(why) => State::Stopped(why),
            Self::Waiting(until) => State::Offline(*until),
            Self::NeedsToken | Self::Opening(_) | Self::LoggingIn(_) => State::Connecting,
            Self::Ready(_) => State::Online,
        }
    }

    fn has_socket(&self) -> bool {
        match self {
            Self::Stopped(_) | Self::NeedsToken | Self::Waiting(_) => false,
            Self::Opening(_) | Self::LoggingIn(_) | Self::Ready(_) => true,
        }
    }
}

/// The earlier of two moments that may be.
fn earlier(one: Option<Now>, other: Option<Now>) -> Option<Now> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
