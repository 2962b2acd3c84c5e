//! Which limits of speed stand before which input: from the connection's own outwards to its tenant's.
//!
//! What one limit has granted stays taken when a wider one refuses: who asks again too soon gets no further.

use super::Shard;
use crate::effects::{Counted, Limited};
use crate::permission::Behaviour;
use crate::rates::{Rate, Who};
use crate::{Command, ConnectionId, Effects, Now, Reject};
use cometql_protocol::TenantId;
use cometql_protocol::planted::planted;

/// Somebody goes too fast.
pub(super) struct TooFast {
    by: Limited,
    reject: Reject,
}

impl TooFast {
    fn new(by: Limited, who: &str, rate: Rate, retry_ms: u64) -> Self {
        let Rate { per_second, burst } = rate;
        let message = format!("{who} {per_second} times a second, {burst} at once");
        let reject = Reject::too_fast(message, retry_ms);
        Self { by, reject }
    }

    /// Counts it; returns what is to be told.
    pub(super) fn counted<T>(self, effects: &mut impl Effects<Token = T>) -> Reject {
        effects.count(Counted::RateLimited(self.by), 1);
        self.reject
    }
}

impl<T> Shard<T> {
    /// Before a request that costs so much.
    pub(super) fn may_ask(
        &mut self,
        now: Now,
        connection: ConnectionId,
        cost: u32,
    ) -> Result<(), TooFast> {
        let Some(session) = self.connections.get_mut(connection) else {
            return Ok(());
        };
        if planted("engine-forgets-request-limits") {
            return Ok(());
        }
        let limits = &self.limits;
        let rate = Rate {
            per_second: limits.request_rate,
            burst: limits.request_burst,
        };
        session
            .request_bucket
            .take(now, rate, cost.min(rate.burst))
            .map_err(|retry| {
                TooFast::new(Limited::Connection, "this session may ask", rate, retry)
            })?;
        let (tenant, user) = (session.settings.tenant, session.user());
        if let Some(user) = user {
            let rate = Rate::requests(limits.user_request_rate);
            let who = Who::UserAsks(tenant, user);
            self.take(now, who, rate, cost, Limited::User, "this user may ask")?;
        }
        let rate = Rate::requests(limits.tenant_request_rate);
        let who = Who::TenantAsks(tenant);
        let words = "all browsers together may ask";
        self.take(now, who, rate, cost, Limited::Tenant, words)
    }

    /// Before a publication of a browser.
    pub(super) fn may_publish(
        &mut self,
        now: Now,
        connection: ConnectionId,
        channel: &str,
        behaviour: &Behaviour,
    ) -> Result<(), TooFast> {
        let Some(session) = self.connections.get_mut(connection) else {
            return Ok(());
        };
        let limits = &self.limits;
        let per_second = behaviour.publish_rate.unwrap_or(limits.publish_rate);
        let rate = Rate {
            per_second,
            burst: limits.publish_burst.max(per_second),
        };
        session.publish_bucket.take(now, rate, 1).map_err(|retry| {
            TooFast::new(Limited::Connection, "this session may publish", rate, retry)
        })?;
        let (tenant, user) = (session.settings.tenant, session.user());
        if let Some(user) = user {
            let rate = Rate::publications(limits.user_publish_rate);
            let who = Who::UserPublishes(tenant, user);
            self.take(now, who, rate, 1, Limited::User, "this user may publish")?;
        }
        let rate = behaviour.channel_publish_rate;
        let rate = Rate::publications(rate.unwrap_or(limits.channel_publish_rate));
        let who = Who::Channel(tenant, channel);
        let words = "all browsers together may publish in this channel";
        self.take(now, who, rate, 1, Limited::Channel, words)?;
        let rate = Rate::publications(limits.tenant_publish_rate);
        let who = Who::TenantPublishes(tenant);
        let words = "all browsers together may publish";
        self.take(now, who, rate, 1, Limited::Tenant, words)
    }

    /// Before a command: publications and private messages of backends.
    pub(super) fn may_command(&self, now: Now, command: &Command) -> Result<(), TooFast> {
        let (tenant, channel) = match command {
            Command::Publish {
                tenant, channel, ..
            } => (*tenant, Some(channel.as_str())),
            Command::Send { tenant, .. } => (*tenant, None),
            Command::ClearInbox { .. }
            | Command::SetHistory { .. }
            | Command::RemoveHistory { .. }
            | Command::ClearHistory { .. }
            | Command::DeletePublication { .. } => return Ok(()),
        };
        if let Some(channel) = channel {
            let rate = Rate::publications(self.backend_rate(tenant, channel));
            let who = Who::BackendChannel(tenant, channel);
            let words = "backends may publish in this channel";
            self.take(now, who, rate, 1, Limited::BackendChannel, words)?;
        }
        let rate = Rate::publications(self.limits.backend_tenant_rate);
        let who = Who::BackendTenant(tenant);
        let words = "backends may send";
        self.take(now, who, rate, 1, Limited::BackendTenant, words)
    }

    fn backend_rate(&self, tenant: TenantId, channel: &str) -> u32 {
        let by_rule = if self.rules.limit_backends() {
            self.rules.behaviour(tenant, channel).backend_publish_rate
        } else {
            None
        };
        by_rule.unwrap_or(self.limits.backend_channel_rate)
    }

    fn take(
        &self,
        now: Now,
        who: Who<'_>,
        rate: Rate,
        tokens: u32,
        by: Limited,
        words: &str,
    ) -> Result<(), TooFast> {
        let taken = self.rates.take(now, who, rate, tokens);
        taken.map_err(|retry| TooFast::new(by, words, rate, retry))
    }
}
