//! The session as JavaScript sees it: one method for each thing that can happen.

use cometql_protocol::client::{
    Credentials, Input, Now, Publish, Question, Session, SocketId, TabId, TabInput,
};
use cometql_protocol::wire::Position;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::frame::{Text, decode_incoming};
use crate::number::whole;
use crate::settings::{Given, settings};
use crate::shell::{Shell, random};

/// One connection for any number of tabs. `now` is unix time in milliseconds, and must not go backwards.
#[wasm_bindgen]
pub struct Hub {
    session: Session,
    shell: Shell,
}

#[wasm_bindgen]
impl Hub {
    /// A hub that does nothing before `open`. `uuid` names this browser in presence lists ('' = no name).
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(shell: Shell, given: &Given, uuid: &str) -> Self {
        Self {
            session: Session::new(settings(given), None, uuid, random()),
            shell,
        }
    }

    /// The application wants a connection. Credentials are given before, or when they are asked for.
    pub fn open(&mut self, now: f64) {
        self.happens(now, Input::Open);
    }

    /// The application wants none any more.
    pub fn close(&mut self, now: f64) {
        self.happens(now, Input::Close);
    }

    /// There is a network (again), or a page is visible or awake again.
    pub fn online(&mut self, now: f64) {
        self.happens(now, Input::Online);
    }

    /// There is no network, says the browser.
    pub fn offline(&mut self, now: f64) {
        self.happens(now, Input::Offline);
    }

    /// It is as late as `setTimer` wanted to know.
    pub fn time(&mut self, now: f64) {
        self.happens(now, Input::Time);
    }

    /// A socket is open.
    pub fn opened(&mut self, now: f64, socket: u32) {
        self.happens(now, Input::Opened(SocketId(socket)));
    }

    /// A text frame came.
    pub fn text(&mut self, now: f64, socket: u32, text: &Text) {
        let says = decode_incoming(text);
        let socket = SocketId(socket);
        let text = &*text.as_string().unwrap_or_default();
        self.happens(now, Input::Text { socket, text, says });
    }

    /// A socket is closed, or could not be opened (code 1006).
    pub fn closed(&mut self, now: f64, socket: u32, code: u16, reason: &str) {
        let socket = SocketId(socket);
        let closed = Input::Closed {
            socket,
            code,
            reason,
        };
        self.happens(now, closed);
    }

    /// A token, asked for or not.
    pub fn token(&mut self, now: f64, token: String) {
        self.happens(now, Input::Credentials(Credentials::Token(token)));
    }

    /// A user id, and the hash that a backend put into `users_auth`.
    pub fn hash(&mut self, now: f64, user: f64, hash: String) {
        let user = whole(user);
        self.happens(now, Input::Credentials(Credentials::Hash { user, hash }));
    }

    /// The application was asked for a token and has none now.
    #[wasm_bindgen(js_name = noToken)]
    pub fn no_token(&mut self, now: f64) {
        self.happens(now, Input::NoToken);
    }

    /// A tab is there; it is told the connection's state.
    pub fn joined(&mut self, now: f64, tab: u32) {
        self.tab(now, tab, TabInput::Joined);
    }

    /// A tab is gone, and with it all that it wanted.
    pub fn left(&mut self, now: f64, tab: u32) {
        self.tab(now, tab, TabInput::Left);
    }

    /// A tab wants the publications of a channel, all since a position if it has one.
    pub fn subscribe(&mut self, now: f64, tab: u32, channel: &str, epoch: &str, offset: f64) {
        let since = position(epoch, offset);
        self.tab(now, tab, TabInput::Subscribe { channel, since });
    }

    /// A tab wants no more of them.
    pub fn unsubscribe(&mut self, now: f64, tab: u32, channel: &str) {
        self.tab(now, tab, TabInput::Unsubscribe { channel });
    }

    /// Publishes; `data` is JSON text as `JSON.stringify` writes it, `id` the UUID by which the server knows it again
    /// ('' = the hub chooses). A tab that asks another hub after this one is gone gives the same.
    #[expect(
        clippy::too_many_arguments,
        reason = "only numbers and strings cross the border"
    )]
    pub fn publish(
        &mut self,
        now: f64,
        tab: u32,
        call: u32,
        channel: &str,
        event: &str,
        data: &str,
        id: &str,
    ) {
        let content = Publish {
            channel,
            event,
            data,
            id: (!id.is_empty()).then_some(id),
        };
        self.tab(now, tab, TabInput::Publish { call, content });
    }

    /// Who is in a channel.
    pub fn presence(&mut self, now: f64, tab: u32, call: u32, channel: String) {
        self.ask(now, tab, call, Question::Presence(channel));
    }

    /// How many are in a channel.
    #[wasm_bindgen(js_name = presenceCount)]
    pub fn presence_count(&mut self, now: f64, tab: u32, call: u32, channel: String) {
        self.ask(now, tab, call, Question::PresenceCount(channel));
    }

    /// Kept publications after a position if there is one, at most `limit` (0 = as many as the server gives).
    #[expect(
        clippy::too_many_arguments,
        reason = "only numbers and strings cross the border"
    )]
    pub fn history(
        &mut self,
        now: f64,
        tab: u32,
        call: u32,
        channel: String,
        epoch: &str,
        offset: f64,
        limit: u32,
    ) {
        let question = Question::History {
            channel,
            since: position(epoch, offset),
            limit: (limit > 0).then_some(limit),
        };
        self.ask(now, tab, call, question);
    }

    /// What a backend stored for a user.
    #[wasm_bindgen(js_name = userData)]
    pub fn user_data(&mut self, now: f64, tab: u32, call: u32, user: f64) {
        self.ask(now, tab, call, Question::UserData(whole(user)));
    }

    /// Whether a user is online.
    #[wasm_bindgen(js_name = userStatus)]
    pub fn user_status(&mut self, now: f64, tab: u32, call: u32, user: f64) {
        self.ask(now, tab, call, Question::UserStatus(whole(user)));
    }

    /// A tab handles private messages from now on.
    #[wasm_bindgen(js_name = inboxOn)]
    pub fn inbox_on(&mut self, now: f64, tab: u32) {
        self.tab(now, tab, TabInput::InboxOn);
    }

    /// A tab no longer does.
    #[wasm_bindgen(js_name = inboxOff)]
    pub fn inbox_off(&mut self, now: f64, tab: u32) {
        self.tab(now, tab, TabInput::InboxOff);
    }

    /// A tab has handled a private message.
    pub fn handled(&mut self, now: f64, tab: u32, offset: f64) {
        let offset = whole(offset);
        self.tab(now, tab, TabInput::Handled { offset });
    }

    fn ask(&mut self, now: f64, tab: u32, call: u32, question: Question) {
        self.tab(now, tab, TabInput::Ask { call, question });
    }

    fn tab(&mut self, now: f64, tab: u32, input: TabInput<'_>) {
        self.happens(now, Input::Tab(TabId(tab), input));
    }

    fn happens(&mut self, now: f64, input: Input<'_>) {
        self.session.handle(Now(whole(now)), input, &mut self.shell);
    }
}

fn position(epoch: &str, offset: f64) -> Option<Position> {
    let epoch = epoch.parse().ok()?;
    let offset = whole(offset);
    Some(Position { epoch, offset })
}
