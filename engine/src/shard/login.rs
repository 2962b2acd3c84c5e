//! How a session begins to be somebody, and how it ends.

use std::collections::VecDeque;

use cometql_protocol::planted::planted;
use cometql_protocol::wire::{Connect, Reply};
use cometql_protocol::{CloseCode, ErrorCode, TenantId};

use super::Shard;
use super::checks::Verdict;
use super::trace::Happened;
use crate::{
    ConnectionId, Credentials, Departure, Effects, Ending, Identity, Message, Now, Reject,
};

impl<T> Shard<T> {
    pub(super) fn connect(
        &mut self,
        connection: ConnectionId,
        request: u32,
        connect: &Connect,
        effects: &mut impl Effects<Token = T>,
    ) -> Result<(), Reject> {
        let Some(session) = self.connections.get_mut(connection) else {
            return Ok(());
        };
        if session.is_identified() || !session.subscriptions.is_empty() {
            let message = "connect comes once, before anything else; use refresh for a newer token";
            return Err(Reject::new(ErrorCode::BadRequest, message));
        }
        if let Some(uuid) = &connect.uuid {
            if uuid.len() > 64 {
                return Err(Reject::new(
                    ErrorCode::TooLarge,
                    "uuid has at most 64 bytes",
                ));
            }
            session.info.uuid = uuid.as_str().into();
        }
        session.inbox = connect.inbox;
        if connect.token.is_none() && connect.user.is_none() && connect.hash.is_none() {
            let session = connection.number();
            effects.reply(
                connection,
                request,
                Reply::Connected {
                    session,
                    user: None,
                    expires: None,
                },
            );
            return Ok(());
        }
        session.parked = Some(VecDeque::new());
        let credentials = Credentials {
            tenant: session.settings.tenant,
            connect: connect.clone(),
            legacy: session.settings.legacy,
            refresh: false,
        };
        self.check(connection, request, credentials, effects);
        Ok(())
    }

    pub(super) fn refresh(
        &mut self,
        connection: ConnectionId,
        request: u32,
        token: &str,
        effects: &mut impl Effects<Token = T>,
    ) -> Result<(), Reject> {
        let Some(session) = self.connections.get_mut(connection) else {
            return Ok(());
        };
        if !session.is_identified() {
            let message = "this session has not logged in; send connect with the token";
            return Err(Reject::new(ErrorCode::BadRequest, message));
        }
        session.parked = Some(VecDeque::new());
        let credentials = Credentials {
            tenant: session.settings.tenant,
            connect: Connect {
                token: Some(token.to_owned()),
                ..Connect::default()
            },
            legacy: session.settings.legacy,
            refresh: true,
        };
        self.check(connection, request, credentials, effects);
        Ok(())
    }

    fn check(
        &mut self,
        connection: ConnectionId,
        request: u32,
        credentials: Credentials,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.checks.begin(connection);
        effects.authenticate(connection, request, credentials);
    }

    pub(super) fn on_authenticated(
        &mut self,
        now: Now,
        connection: ConnectionId,
        request: u32,
        result: Result<Identity, Reject>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let verdict = self.checks.end(connection);
        match result {
            Ok(identity) => self.checked(connection, request, identity, &verdict, effects),
            Err(reject) => self.refuse(connection, request, &reject, None, effects),
        }
        self.unpark(now, connection, effects);
    }

    /// The credentials were good when they were looked up, which may be before a revocation that is over by now.
    fn checked(
        &mut self,
        connection: ConnectionId,
        request: u32,
        identity: Identity,
        verdict: &Verdict,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(session) = self.connections.get(connection) else {
            return;
        };
        match verdict {
            Verdict::Since(revoked) => {
                let meant = |which| session.would_be_meant(which, &identity);
                if revoked.iter().any(meant) {
                    return self.close(connection, CloseCode::Revoked, effects);
                }
                self.identified(connection, request, identity, effects);
            }
            Verdict::Unknown => {
                let message = "too much was revoked while this was checked; try again";
                let reject = Reject::new(ErrorCode::Unavailable, message);
                self.refuse(connection, request, &reject, None, effects);
            }
        }
    }

    fn identified(
        &mut self,
        connection: ConnectionId,
        request: u32,
        identity: Identity,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(session) = self.connections.get(connection) else {
            return;
        };
        let refreshes = session.is_identified();
        if refreshes && session.user() != identity.user {
            let reject = Reject::new(
                ErrorCode::Unauthorized,
                "a refresh keeps the user; connect anew for another",
            );
            return self.refuse(connection, request, &reject, None, effects);
        }
        let (user, expires) = (identity.user, identity.expires);
        let (tenant, legacy) = (session.settings.tenant, session.settings.legacy);
        let inbox = session.inbox || legacy;
        self.connections.identify(connection, identity);
        self.note(connection, None, Happened::Authenticated);
        if refreshes {
            return effects.reply(connection, request, Reply::Refreshed { expires });
        }
        effects.reply(
            connection,
            request,
            Reply::Connected {
                session: connection.number(),
                user,
                expires,
            },
        );
        if let Some(user) = user {
            let tenant = match planted("engine-mixes-users") {
                true => TenantId(1),
                false => tenant,
            };
            let to = self.home_of((tenant, user));
            let acknowledges_by_write = legacy;
            effects.send(
                to,
                Message::UserOnline {
                    connection,
                    tenant,
                    user,
                    inbox,
                    acknowledges_by_write,
                },
            );
        }
    }

    /// The socket is gone.
    pub(super) fn on_closed(
        &mut self,
        connection: ConnectionId,
        ending: Ending,
        effects: &mut impl Effects<Token = T>,
    ) {
        self.end_session(connection, ending, effects);
        self.connections.remove(connection);
    }

    /// Closes a connection, which others see as gone from now on, however long its socket takes.
    pub(super) fn close(
        &mut self,
        connection: ConnectionId,
        code: CloseCode,
        effects: &mut impl Effects<Token = T>,
    ) {
        effects.close(connection, code);
        self.end_session(connection, Ending::Closed(code), effects);
    }

    /// For others it is gone; its slot is free when its socket is.
    pub(super) fn end_session(
        &mut self,
        connection: ConnectionId,
        ending: Ending,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(ended) = self.connections.end(connection) else {
            return;
        };
        let tenant = ended.tenant;
        let who = (ended.member.user, Some(connection));
        let closed = Happened::Closed(ending);
        self.trace.note(&self.limits, tenant, who, None, closed);
        let departure = if ended.legacy && !planted("engine-awaits-the-original") {
            Departure::ForGood
        } else {
            ending.departure()
        };
        // The user is offline before it leaves its channels: the order of the original.
        if let Some(user) = ended.member.user {
            let offline = Message::UserOffline {
                connection,
                tenant,
                user,
                departure,
            };
            effects.send(self.home_of((tenant, user)), offline);
        }
        for subscription in ended.subscriptions {
            let member = ended.member.clone();
            self.end_subscription(connection, subscription, member, departure, effects);
        }
    }
}
