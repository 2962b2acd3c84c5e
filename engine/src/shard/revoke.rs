//! Subscriptions that end because a right did.

use cometql_protocol::planted::planted;
use cometql_protocol::{ErrorCode, UserId};

use super::connections::Session;
use super::trace::Happened;
use super::{ChannelKey, Shard};
use crate::permission::{Action, Decision};
use crate::{ConnectionId, Effects, Push, Reject};

impl<T> Shard<T> {
    /// New rules hold for subscriptions that exist, too. Those that only members may have stay: members were asked when
    /// they subscribed.
    pub(super) fn review_subscriptions(&mut self, effects: &mut impl Effects<Token = T>) {
        let mut ended = Vec::new();
        for session in self.connections.iter() {
            for subscription in &session.subscriptions {
                let key = &self.locals.get(subscription.local).key;
                if let Some(reject) = self.no_longer_may(session, key) {
                    ended.push((session.id, key.clone(), reject));
                }
            }
        }
        if planted("engine-keeps-denied-subscriptions") {
            return;
        }
        for (connection, key, reject) in ended {
            self.end_by_server(connection, &key, &reject, effects);
        }
    }

    /// `pipes_members` does not list the user (`None` = anybody) for the channel any more.
    pub(super) fn on_members_removed(
        &mut self,
        key: &ChannelKey,
        user: Option<UserId>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let Some(local) = self.locals.find(key) else {
            return;
        };
        let concerned = |session: &&Session| {
            let asked =
                self.rules
                    .decide(key.0, session.identity(), key.1.as_str(), Action::Subscribe);
            let removed = user.is_none() || session.user() == user;
            removed && asked == Decision::AskMembers && session.subscription(local).is_some()
        };
        let ended: Vec<_> = self
            .connections
            .iter()
            .filter(concerned)
            .map(|session| session.id)
            .collect();
        let message = "pipes_members does not list the user for the channel any more";
        let reject = Reject::new(ErrorCode::PermissionDenied, message);
        if planted("engine-keeps-removed-members") {
            return;
        }
        for connection in ended {
            self.end_by_server(connection, key, &reject, effects);
        }
    }

    fn no_longer_may(&self, session: &Session, (tenant, channel): &ChannelKey) -> Option<Reject> {
        let (who, name) = (session.identity(), channel.as_str());
        let allowed = self.rules.allows_name(*tenant, channel)
            && self.rules.decide(*tenant, who, name, Action::Subscribe) != Decision::Deny;
        (!allowed).then(|| self.rules.refusal(*tenant, who, name, Action::Subscribe))
    }

    fn end_by_server(
        &mut self,
        connection: ConnectionId,
        key: &ChannelKey,
        reject: &Reject,
        effects: &mut impl Effects<Token = T>,
    ) {
        if self.unsubscribe(connection, &key.1, effects) {
            self.note(connection, Some(&key.1), Happened::Ended(reject.code));
            effects.push(
                connection,
                Push::Unsubscribed(&key.1, reject.code, &reject.message),
            );
        }
    }
}
