//! Listening from a backend: a subscription over the browser protocol, held by the session that browsers have, over a native
//! WebSocket. Decides nothing that `cometql_protocol::client` decides: reconnecting, recovery and positions are there.

use std::time::Duration;

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

/// How long a closed subscription waits for the server to confirm what was acknowledged.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a good-bye may take.
const GOOD_BYE: Duration = Duration::from_secs(1);
/// Both.
const FAREWELL: Duration = Duration::from_secs(3);
