//! Who is there: nobody who may return has left before the grace period is over.

use std::collections::{BTreeMap, BTreeSet};

use cometql_engine::{ConnectionId, Ending};
use cometql_protocol::{CloseCode, TenantId};

/// What clocks of different shards and mail between them may differ by, in milliseconds.
const SLACK_MS: u64 = 20;
/// How long it may take from the end of a connection until the node notices, and from then to a tick, in milliseconds.
const NOTICE_MS: u64 = 1_000;

/// Who is on which connection. A user of 0 is anonymous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) tenant: TenantId,
    pub(crate) user: u64,
    /// What presence calls its browser.
    pub(crate) name: String,
}

/// Connections that are gone without a farewell, and what else decides whether they are awaited.
#[derive(Default)]
pub(crate) struct Presence {
    gone: BTreeMap<ConnectionId, (u64, Member)>,
    farewells: BTreeSet<ConnectionId>,
    /// Channels that a connection left by itself.
    left: BTreeSet<(ConnectionId, String)>,
    logged_in: BTreeMap<ConnectionId, u64>,
    revoked: BTreeMap<(u32, u64), u64>,
    /// What sessions in the tracked channel know.
    views: BTreeMap<ConnectionId, View>,
    /// When connections of a name came or went.
    changes: BTreeMap<(u32, String), Vec<u64>>,
}

/// Who is there, as one session can tell by its list of when it came and by what it was told since, by browsers' names.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) since: u64,
    pub(crate) members: BTreeMap<String, i64>,
}

impl Presence {
    /// A connection ended; what its socket does later is no news.
    pub(crate) fn ends(&mut self, now: u64, connection: ConnectionId, ending: Ending, who: Member) {
        if self.is_over(connection) {
            return;
        }
        self.changes(now, who.tenant, &who.name);
        let may_return = match ending {
            Ending::Left(code) => !matches!(code, None | Some(1000)),
            Ending::Broke => true,
            Ending::Closed(code) => !matches!(code, CloseCode::Revoked | CloseCode::Killed),
        };
        if may_return {
            self.gone.insert(connection, (now, who));
        } else {
            self.farewells.insert(connection);
        }
    }

    /// Whether the node knows that a connection has ended.
    pub(crate) fn is_over(&self, connection: ConnectionId) -> bool {
        self.gone.contains_key(&connection) || self.farewells.contains(&connection)
    }

    /// A session leaves a channel, or is told that it is not in it.
    pub(crate) fn leaves(&mut self, connection: ConnectionId, channel: &str) {
        self.left.insert((connection, channel.to_owned()));
    }

    /// A session has proved to be somebody.
    pub(crate) fn logs_in(&mut self, now: u64, connection: ConnectionId) {
        self.logged_in.entry(connection).or_insert(now);
    }

    /// Whether it has.
    pub(crate) fn is_logged_in(&self, connection: ConnectionId) -> bool {
        self.logged_in.contains_key(&connection)
    }

    /// A session sees these others, and is told of changes from now on.
    pub(crate) fn sees(&mut self, now: u64, connection: ConnectionId, others: Vec<String>) {
        let mut members = BTreeMap::new();
        for name in others {
            *members.entry(name).or_default() += 1;
        }
        let view = View {
            since: now,
            members,
        };
        self.views.insert(connection, view);
    }

    /// A session is told that somebody has joined or left.
    pub(crate) fn is_told(&mut self, connection: ConnectionId, joined: bool, name: String) {
        if let Some(view) = self.views.get_mut(&connection) {
            *view.members.entry(name).or_default() += if joined { 1 } else { -1 };
        }
    }

    pub(crate) fn view(&self, connection: ConnectionId) -> Option<&View> {
        self.views.get(&connection)
    }

    /// A connection of this name comes or goes.
    pub(crate) fn changes(&mut self, now: u64, tenant: TenantId, name: &str) {
        let key = (tenant.0, name.to_owned());
        self.changes.entry(key).or_default().push(now);
    }

    /// Whether one came or went at about this moment: what a session then sees is not certain.
    pub(crate) fn changed_at(&self, at: u64, tenant: TenantId, name: &str) -> bool {
        let changes = self.changes.get(&(tenant.0, name.to_owned()));
        changes.is_some_and(|all| all.iter().any(|time| time.abs_diff(at) <= SLACK_MS))
    }

    /// All sessions of a user are closed.
    pub(crate) fn revokes(&mut self, now: u64, tenant: TenantId, user: u64) {
        self.revoked.insert((tenant.0, user), now);
    }

    /// The node is killed: it knows of nobody any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    fn is_revoked(&self, since: u64, who: &Member) -> bool {
        let revoked = self.revoked.get(&(who.tenant.0, who.user));
        revoked.is_some_and(|at| *at + SLACK_MS >= since)
    }

    /// Others are told that a connection has left a channel.
    pub(crate) fn leave_is_told(
        &self,
        now: u64,
        grace_ms: u64,
        connection: ConnectionId,
        channel: &str,
    ) {
        let Some((since, who)) = self.gone.get(&connection) else {
            return;
        };
        let nameless = who.user == 0 && who.name.is_empty();
        let left = self.left.contains(&(connection, channel.to_owned()));
        let certain = nameless || left || self.is_revoked(*since, who);
        assert!(
            certain || *since + grace_ms <= now,
            "{channel}: {} may return, but others are told after {} ms that it has left",
            who.name,
            now - since
        );
    }

    /// Others are told that a user is offline.
    pub(crate) fn offline_is_told(&self, now: u64, grace_ms: u64, tenant: TenantId, user: u64) {
        for (connection, (since, who)) in &self.gone {
            let concerned = who.tenant == tenant && who.user == user;
            let awaited = concerned
                && self.logged_in.contains_key(connection)
                && *since + grace_ms > now
                && !self.is_revoked(*since, who);
            let returned = self
                .logged_in
                .iter()
                .any(|(other, at)| other != connection && *at + SLACK_MS >= *since);
            assert!(
                !awaited || returned,
                "user {user} of {tenant} may return, but is told to be offline after {} ms",
                now - since
            );
        }
    }

    /// Users, of any tenant, that may still count as online.
    pub(crate) fn awaited_users(&self, now: u64, grace_ms: u64) -> impl Iterator<Item = u64> {
        let awaited = self.gone.values();
        let awaited = awaited.filter(move |(since, _)| since + grace_ms + NOTICE_MS > now);
        awaited.map(|(_, who)| who.user)
    }

    /// How many connections of this name others may still take for present.
    pub(crate) fn awaited(
        &self,
        (from, now): (u64, u64),
        grace_ms: u64,
        tenant: TenantId,
        name: &str,
    ) -> i64 {
        let awaited = self.gone.values().filter(|(since, who)| {
            let awaited = *since >= from && since + grace_ms + NOTICE_MS > now;
            who.tenant == tenant && who.name == name && awaited
        });
        i64::try_from(awaited.count()).unwrap()
    }
}
