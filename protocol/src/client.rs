//! The browser's side of a session: one connection for any number of tabs, that survives everything but its owner.
//!
//! [`Session`] owns reconnecting, logging in, subscriptions and their positions, publications that wait, and
//! acknowledgements of private messages. No sockets, clock, timers or randomness: the shell around it has those, tells what
//! happens as [`Input`] and carries out [`Effects`]. Payloads are never read here,
//! and neither is JSON: what a frame says comes with it, as [`Incoming`].

use crate::wire::Position;

mod calls;
mod inbox;
mod incoming;
mod input;
mod keepalive;
mod login;
mod reconnect;
mod recovery;
mod requests;
mod session;
mod settings;
mod subscriptions;
#[cfg(test)]
mod testing;

pub use incoming::{Incoming, Refusal, Reply, Subscribed};
pub use input::{Input, Publish, TabInput};
pub use login::Credentials;
pub use requests::Question;
pub use session::Session;
pub use settings::Settings;

/// A moment: unix time in milliseconds by this machine's clock. It must not go backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now(pub u64);

impl Now {
    fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

/// One browser page that shares the connection. The shell numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TabId(pub u32);

/// Which socket: what a closed one still says is told from what its successor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SocketId(pub u32);

/// What a session may cause. The shell implements it over a WebSocket and message ports; the simulator over queues.
pub trait Effects {
    /// Opens a socket to the url with this index.
    fn open_socket(&mut self, socket: SocketId, url: usize);
    /// Closes the socket. Nothing that it still says counts, and it need not tell that it is closed.
    fn close_socket(&mut self, socket: SocketId);
    /// Sends a text frame on the open socket.
    fn send(&mut self, text: &str);
    /// Wants [`Input::Time`] at that moment, and no longer at an earlier one that it asked for; `None` = never.
    fn set_timer(&mut self, at: Option<Now>);
    /// Tells a tab something.
    fn deliver(&mut self, tab: TabId, delivery: Delivery<'_>);
    /// Wants a fresh token: [`Input::Credentials`] or [`Input::NoToken`].
    fn ask_for_token(&mut self);
    /// A fresh random number.
    fn random(&mut self) -> u64;
    /// The text as a JSON string, quotes included.
    fn json_string(&mut self, text: &str) -> String;
}

/// What a tab is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// How the connection is.
    State(State<'a>),
    /// The subscription began. `recovered`: all that came after the given position follows or came.
    Subscribed {
        /// The channel.
        channel: &'a str,
        /// Where it begins; `None` for a channel without history.
        position: Option<Position>,
        /// False when there was no position, or when something is lost.
        recovered: bool,
    },
    /// The subscription went on after an interruption, and nothing is missing.
    Recovered {
        /// The channel.
        channel: &'a str,
    },
    /// The subscription went on after an interruption, and something is lost: load the state anew.
    Gap {
        /// The channel.
        channel: &'a str,
        /// Where it goes on.
        position: Option<Position>,
    },
    /// The subscription was refused or ended.
    Unsubscribed {
        /// The channel.
        channel: &'a str,
        /// Why.
        refusal: &'a Refusal,
    },
    /// A publication.
    Publication {
        /// The channel.
        channel: &'a str,
        /// The tab's position from now on: what a later subscription goes on from.
        position: Option<Position>,
        /// The push as it came.
        text: &'a str,
    },
    /// Somebody joined or left.
    Presence {
        /// The channel.
        channel: &'a str,
        /// The push as it came.
        text: &'a str,
    },
    /// A private message. It counts as handled when the tab says so ([`TabInput::Handled`]).
    Message {
        /// What `Handled` repeats.
        offset: u64,
        /// The push as it came.
        text: &'a str,
    },
    /// The answer to a publication or question: the reply as it came.
    Answer {
        /// Which.
        call: u32,
        /// What came of it.
        result: Result<&'a str, &'a Refusal>,
    },
    /// Something went wrong that no call waits for.
    Error(&'a Refusal),
}

/// How the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State<'a> {
    /// Being made.
    Connecting,
    /// Open and logged in.
    Online,
    /// Gone; the next attempt is at that moment.
    Offline(Now),
    /// Over, until [`Input::Open`]: closed by the application, or ended by the server for good.
    Stopped(&'a Refusal),
}
