//! The labels of the counters: closed enums and the words for them, in the same order.

use cometql_engine::effects::{Counted, Limited};

/// Every event of the engine with the name and help of its counter.
pub(super) const EVENTS: [(Counted, &str, &str); 6] = [
    (
        Counted::Publications,
        "publications",
        "Publications that got their place in a channel.",
    ),
    (
        Counted::Deliveries,
        "deliveries",
        "Publications handed to connections.",
    ),
    (
        Counted::InboxMessages,
        "inbox_messages",
        "Private messages sent.",
    ),
    (
        Counted::Refusals,
        "refusals",
        "Requests of browsers that were refused.",
    ),
    (
        Counted::Recovered,
        "recovered",
        "Subscriptions that got all that they had missed.",
    ),
    (
        Counted::NotRecovered,
        "not_recovered",
        "Subscriptions that may have missed something, and were told.",
    ),
];

/// Every [`Limited`] in its order, with the label of its counter.
pub(super) const LIMITED: [(Limited, &str); 6] = [
    (Limited::Connection, "connection"),
    (Limited::User, "user"),
    (Limited::Channel, "channel"),
    (Limited::Tenant, "tenant"),
    (Limited::BackendChannel, "backend_channel"),
    (Limited::BackendTenant, "backend_tenant"),
];

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Our protocol over WebSocket.
    WebSocket,
    /// Our protocol over server-sent events.
    Events,
    /// The original's protocol.
    Legacy,
}

/// The names of [`Carrier`] in its order, as in `SHOW CONNECTIONS`.
pub(super) const CARRIERS: [&str; 3] = ["websocket", "sse", "legacy"];

/// Why frames were thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Their client was too slow.
    SlowConsumer,
    /// Their client went while they waited.
    Gone,
}

/// The names of [`Dropped`] in its order.
pub(super) const REASONS: [&str; 2] = ["slow_consumer", "gone"];

/// Where somebody logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The MySQL port.
    Mysql,
    /// `POST /sql` and the console.
    Admin,
    /// A browser with a token or a hash.
    Browser,
}

/// The names of [`Door`] in its order.
pub(super) const DOORS: [&str; 3] = ["mysql", "admin", "browser"];

/// Why a MySQL client was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are as many logged-in connections as may be.
    Connections,
    /// Its tenant has as many as one may.
    Tenant,
    /// It had not logged in when others came, and there were too many such.
    Strangers,
}

/// The names of [`Refused`] in its order.
pub(super) const REFUSED: [&str; 3] = ["connections", "tenant", "strangers"];

/// Why a browser got no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The node has as many connections as may be.
    Node,
    /// The tenant has as many as one may.
    Tenant,
}

/// The names of [`Full`] in its order.
pub(super) const FULL: [&str; 2] = ["node", "tenant"];

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// INSERT and REPLACE.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// SELECT.
    Select,
    /// SHOW and DESCRIBE.
    Show,
    /// All others.
    Other,
    /// It could not be read.
    Unread,
}

/// The names of [`StatementKind`] in its order.
pub(super) const KINDS: [&str; 7] = [
    "insert", "update", "delete", "select", "show", "other", "unread",
];
