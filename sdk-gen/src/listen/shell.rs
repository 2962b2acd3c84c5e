//! What a session causes, carried out: sockets, a timer, events for the application. Decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use cometql_protocol::client::{Delivery, Effects, Now, Refusal, SocketId, State, TabId};
use cometql_protocol::wire;

use super::options::Plan;
use super::queue::Queue;
use super::socket::Link;
use super::{Credentials, Event};
use crate::CometError;
use crate::small::random;

/// The session's only tab.
pub(super) const TAB: TabId = TabId(0);

/// What stands around a session.
pub(super) struct Shell {
    plan: Plan,
    queue: Arc<Queue>,
    pub(super) clock: Clock,
    pub(super) link: Link,
    /// The socket that `link` is.
    pub(super) socket: SocketId,
    /// The url of it.
    url: usize,
    /// When the session wants to be told the time.
    pub(super) timer: Option<Now>,
    /// The session wants a token, or this connection had better have a newer one.
    pub(super) wants_token: bool,
    /// No connection has used the token yet.
    pub(super) token_is_new: bool,
    /// Urls that refused a token of ours before there was a connection.
    refused: BTreeSet<usize>,
    /// The session has a connection.
    pub(super) is_online: bool,
    was_online: bool,
    /// Why there is no connection, as far as is known.
    pub(super) why: String,
    /// The session has ended for good, or there is nothing left to listen to.
    pub(super) is_over: bool,
    /// Channels that have not been refused.
    channels: Vec<String>,
}

/// Unix time that never goes backwards: that of the beginning and what went by since, whatever happens to the machine's clock.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) base_ms: u64,
    since: Instant,
}

impl Clock {
    fn new() -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let base_ms = unix.map_or(0, |time| time.as_millis());
        Self {
            base_ms: u64::try_from(base_ms).unwrap_or(0),
            since: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Now {
        let passed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now(self.base_ms.saturating_add(passed))
    }
}

impl Shell {
    pub(super) fn new(plan: Plan, queue: Arc<Queue>) -> Self {
        let channels = plan.channels.iter().map(|(channel, _)| channel.clone());
        Self {
            channels: channels.collect(),
            plan,
            queue,
            clock: Clock::new(),
            link: Link::default(),
            socket: SocketId::default(),
            url: 0,
            timer: None,
            wants_token: false,
            token_is_new: false,
            refused: BTreeSet::new(),
            is_online: false,
            was_online: false,
            why: String::new(),
            is_over: false,
        }
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn tell(&self, event: Event) {
        self.queue.push(event);
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, code: &str, detail: &str) {
        self.queue.end(CometError::Ended {
            code: code.to_owned(),
            detail: detail.to_owned(),
        });
        self.is_over = true;
    }

    fn tell_state(&mut self, state: State<'_>) {
        let was_online = std::mem::replace(&mut self.is_online, matches!(state, State::Online));
        match state {
            State::Online => {
                self.was_online = true;
                self.why = "the node did not answer any more".to_owned();
                let url = self.plan.addresses[self.url].base();
                self.tell(Event::Online { url });
            }
            State::Connecting if was_online => self.tell_offline(0),
            State::Connecting => {}
            State::Offline(until) => {
                self.tell_offline(until.0.saturating_sub(self.now().0));
            }
            State::Stopped(refusal) => self.end(&refusal.code, &refusal.message),
        }
    }

    fn tell_offline(&self, retry_ms: u64) {
        let detail = self.why.clone();
        self.tell(Event::Offline { detail, retry_ms });
    }

    /// A channel is refused. With the last one listening ends, unless there is an inbox.
    fn tell_refused(&mut self, channel: &str, code: &str, detail: &str) {
        self.channels.retain(|known| known != channel);
        if self.channels.is_empty() && !self.plan.inbox {
            // Said first: who waits for the beginning must not take the event for one.
            self.end(code, &format!("{channel}: {detail}"));
        }
        self.tell(Event::Refused {
            channel: channel.to_owned(),
            code: code.to_owned(),
            detail: detail.to_owned(),
        });
    }

    fn tell_subscribed(&self, channel: &str, position: Option<wire::Position>, recovered: bool) {
        let mut asked = self.plan.channels.iter();
        let given = asked.find_map(|(name, since)| since.filter(|_| name == channel));
        let channel = channel.to_owned();
        // Who stores it at once and is gone then must not miss what follows.
        let begins = given.filter(|_| recovered).or(position);
        self.tell(Event::Subscribed {
            channel: channel.clone(),
            position: begins.map(Into::into),
            recovered,
        });
        if given.is_some() && !recovered {
            let position = position.map(Into::into);
            self.tell(Event::Gap { channel, position });
        }
    }
}

impl Effects for Shell {
    fn open_socket(&mut self, socket: SocketId, url: usize) {
        // A token that was made for an earlier attempt may end before this one is let in.
        let makes_tokens = matches!(self.plan.credentials, Some(Credentials::Key { .. }));
        if !std::mem::take(&mut self.token_is_new) {
            self.wants_token = makes_tokens;
        }
        self.socket = socket;
        self.url = url;
        self.why = "no connection in time".to_owned();
        let tls = self.plan.tls.clone();
        let tls = tls.map(|tls| (tls, self.plan.server_name.clone()));
        self.link.open(self.plan.addresses[url].clone(), tls);
    }

    fn close_socket(&mut self, _: SocketId) {
        self.link.drop_it();
    }

    fn send(&mut self, text: &str) {
        self.link.send(text);
    }

    fn set_timer(&mut self, at: Option<Now>) {
        self.timer = at;
    }

    fn deliver(&mut self, _: TabId, delivery: Delivery<'_>) {
        match delivery {
            Delivery::State(state) => self.tell_state(state),
            Delivery::Subscribed {
                channel,
                position,
                recovered,
            } => self.tell_subscribed(channel, position, recovered),
            Delivery::Recovered { channel } => self.tell(Event::Recovered {
                channel: channel.to_owned(),
            }),
            Delivery::Gap { channel, position } => self.tell(Event::Gap {
                channel: channel.to_owned(),
                position: position.map(Into::into),
            }),
            Delivery::Unsubscribed { channel, refusal } => {
                self.tell_refused(channel, &refusal.code, &refusal.message);
            }
            Delivery::Publication {
                channel,
                position,
                text,
            } => {
                let position = position.map(Into::into);
                self.tell_push(Event::publication(channel, position, text));
            }
            Delivery::Presence { channel, text } => self.tell_push(Event::presence(channel, text)),
            Delivery::Message { offset, text } => self.tell_push(Event::message(offset, text)),
            // Nothing is asked that has answers.
            Delivery::Answer { .. } => {}
            Delivery::Error(refusal) => self.tell_trouble(refusal),
        }
    }

    fn ask_for_token(&mut self) {
        self.wants_token = true;
    }

    fn random(&mut self) -> u64 {
        random()
    }

    fn json_string(&mut self, text: &str) -> String {
        wire::json_string(text)
    }
}

impl Shell {
    /// A token was refused. Before there was a connection, those that no node takes are a mistake of who gave the key.
    fn tell_trouble(&mut self, refusal: &Refusal) {
        if !self.was_online {
            self.refused.insert(self.url);
            if self.refused.len() >= self.plan.addresses.len() {
                return self.end(&refusal.code, &refusal.message);
            }
        }
        self.tell(Event::Trouble {
            code: refusal.code.clone(),
            detail: refusal.message.clone(),
        });
    }

    /// The session has understood the frame, so this is one of version 1.
    fn tell_push(&mut self, event: Option<Event>) {
        match event {
            Some(event) => self.tell(event),
            None => self.end("bad_request", "a push of the server can't be read"),
        }
    }
}
