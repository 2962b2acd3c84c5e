//! Listening from a backend: a subscription over the browser protocol, held by the session that browsers have, over a native
//! WebSocket. Decides nothing that `cometql_protocol::client` decides: reconnecting, recovery and positions are there.

mod event;
mod listeners;
mod options;
mod queue;
mod shell;
mod socket;
mod subscription;
mod task;
mod url;

pub use event::{Event, PrivateMessage, Received};
pub use options::{ChannelSince, Credentials, Listening, Position};
pub use subscription::{BlockingSubscription, Subscription};

pub(crate) use listeners::Listeners;
