//! All that can happen to a session.

use super::{Credentials, Incoming, Question, SocketId, TabId};
use crate::wire::Position;

/// All that can happen to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<'a> {
    /// The application wants a connection.
    Open,
    /// The application wants none any more.
    Close,
    /// A tab wants something.
    Tab(TabId, TabInput<'a>),
    /// Credentials, asked for or not.
    Credentials(Credentials),
    /// The application was asked for a token and has none now.
    NoToken,
    /// A socket is open.
    Opened(SocketId),
    /// A text frame came.
    Text {
        /// Where.
        socket: SocketId,
        /// The frame.
        text: &'a str,
        /// What it says; `None` when that is not understood.
        says: Option<Incoming>,
    },
    /// A socket is closed, or could not be opened (code 1006).
    Closed {
        /// Which.
        socket: SocketId,
        /// The close code.
        code: u16,
        /// The reason.
        reason: &'a str,
    },
    /// It is as late as the session wanted to know, or later.
    Time,
    /// There is a network (again), or the page is visible or awake again: worth a look.
    Online,
    /// There is no network, says the browser.
    Offline,
}

/// What a tab wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TabInput<'a> {
    /// It is there and is told of the connection's state.
    Joined,
    /// It is gone.
    Left,
    /// Publications of a channel.
    Subscribe {
        /// The channel.
        channel: &'a str,
        /// All since this position.
        since: Option<Position>,
    },
    /// No more of them.
    Unsubscribe {
        /// The channel.
        channel: &'a str,
    },
    /// Sends a publication; the answer has the call's number.
    Publish {
        /// Chosen by the tab.
        call: u32,
        /// What.
        content: Publish<'a>,
    },
    /// Asks; the answer has the call's number.
    Ask {
        /// Chosen by the tab.
        call: u32,
        /// What.
        question: Question,
    },
    /// It handles private messages from now on.
    InboxOn,
    /// It no longer does.
    InboxOff,
    /// It has handled a private message.
    Handled {
        /// The message.
        offset: u64,
    },
}

/// A publication of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The channel; a leading `@` hides the sender.
    pub channel: &'a str,
    /// The label, may be empty.
    pub event: &'a str,
    /// The payload: any JSON value, as text on one line.
    pub data: &'a str,
    /// A UUID by which the server knows the publication again, for an application that may give it to another session,
    /// too; without one the session chooses.
    pub id: Option<&'a str>,
}
