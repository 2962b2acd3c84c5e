//! Pages of the original's clients: sockets without a session of ours behind them. The edge says when it has written to
//! one, and that is all that ever acknowledges a private message there.

use cometql_engine::{ConnectionId, Ending, Input, Outbox};
use cometql_protocol::wire::{Connect, Request, RequestBody, Subscribe};
use cometql_protocol::{TenantId, UserId};

use super::World;

/// What the node calls the browser of such a page.
pub(crate) const NAME: &str = "original";

/// One page, while it is connected.
pub(crate) struct Original {
    connection: ConnectionId,
    pub(super) tenant: TenantId,
    pub(super) user: u64,
    /// Offsets and payloads of private messages in its outbox.
    unwritten: Vec<(u64, String)>,
}

impl World {
    /// A page connects, and its user logs in.
    pub(crate) fn open_original(&mut self, tenant: TenantId, user: u64) {
        let shard = self.rng.index(self.shards);
        let node = self.node.as_mut().expect("it runs");
        let connection = node.open_original(self.now, shard, tenant);
        self.originals.push(Original {
            connection,
            tenant,
            user,
            unwritten: Vec::new(),
        });
        let connect = Connect {
            token: Some(format!("{user}:{}", self.now / 1000 + 600)),
            uuid: Some(NAME.to_owned()),
            ..Connect::default()
        };
        self.original_asks(RequestBody::Connect(connect));
    }

    /// The page that came last subscribes.
    pub(crate) fn original_subscribes(&mut self, channel: &str) {
        let (channel, since) = (channel.to_owned(), None);
        self.original_asks(RequestBody::Subscribe(Subscribe { channel, since }));
    }

    fn original_asks(&mut self, body: RequestBody) {
        let connection = self.original().connection;
        let request = Request { id: 1, body };
        let shard = usize::from(connection.shard().0);
        self.input(shard, Input::Request(connection, request));
    }

    fn original(&mut self) -> &mut Original {
        self.originals.last_mut().expect("it is connected")
    }

    pub(super) fn original_of(&mut self, connection: ConnectionId) -> Option<&mut Original> {
        let mut all = self.originals.iter_mut();
        all.find(|original| original.connection == connection)
    }

    /// Something is put into the outbox of a page.
    pub(super) fn original_hears(&mut self, connection: ConnectionId, text: &str) {
        if let Some(original) = self.original_of(connection) {
            let message: serde_json::Value = serde_json::from_str(text).unwrap();
            if message["push"] == "message" {
                let payload = message["data"].as_str().unwrap().to_owned();
                let offset = message["offset"].as_u64().unwrap();
                original.unwritten.push((offset, payload));
            }
        }
    }

    /// All that waits for the page is written. That is what the original calls delivered, unless one of ours is open.
    pub(crate) fn original_is_written(&mut self) {
        let (tenant, user) = (self.original().tenant, self.original().user);
        let connection = self.original().connection;
        let written = std::mem::take(&mut self.original().unwritten);
        let (last, _) = *written.last().expect("something waits");
        let presence = &self.promises.presence;
        let ours = self.owners.iter().any(|(connection, browser)| {
            let browser = &self.browsers[*browser];
            let is_there = presence.is_logged_in(*connection) && !presence.is_over(*connection);
            is_there && (browser.tenant, browser.user) == (tenant, user)
        });
        for (_, payload) in written.iter().filter(|_| !ours) {
            self.promises.messages.handled(payload);
        }
        self.note(format!("written to the original: up to {last}"));
        let shard = usize::from(connection.shard().0);
        self.input(shard, Input::Outbox(connection, Outbox::Written(last)));
    }

    /// The page vanishes without a word.
    pub(crate) fn original_breaks(&mut self) {
        let Original {
            connection, tenant, ..
        } = self.originals.pop().expect("it is connected");
        self.promises.presence.changes(self.now, tenant, NAME);
        let shard = usize::from(connection.shard().0);
        self.input(shard, Input::Closed(connection, Ending::Broke));
    }

    /// What `SHOW CONNECTIONS` calls the connections of a tenant.
    pub(crate) fn kinds(&self, tenant: TenantId) -> Vec<&'static str> {
        let shards = self.node.iter().flat_map(|node| &node.shards);
        let rows = shards.flat_map(|shard| shard.connections(Some(tenant)));
        rows.map(|row| row.kind).collect()
    }

    /// Whether a user counts as online anywhere.
    pub(crate) fn is_online(&self, tenant: TenantId, user: u64) -> bool {
        let user = UserId::new(user).unwrap();
        let mut shards = self.node.iter().flat_map(|node| &node.shards);
        shards.any(|shard| shard.users_online(tenant, None).contains(&user))
    }

    /// How many private messages wait for a user.
    pub(crate) fn waiting(&self, tenant: TenantId, user: u64) -> usize {
        let inbox = self.disk.inboxes.get(&(tenant, UserId::new(user).unwrap()));
        inbox.map_or(0, |(_, rows)| rows.len())
    }
}
