//! What backends do.

use cometql_engine::{Command, Draft, MessageId};
use cometql_protocol::{ChannelName, EventName, TenantId, UserId, wire};

use super::{CHANNELS, TENANTS, USERS};
use crate::promises::{CHANGING, KEPT};
use crate::world::{Chosen, Sent, World};

impl World {
    pub(super) fn any_tenant(&mut self) -> TenantId {
        TenantId(u32::try_from(1 + self.rng.below(TENANTS)).unwrap())
    }

    pub(super) fn publish_some(&mut self, number: usize) {
        let (tenant, channel) = (self.any_tenant(), CHANNELS[self.rng.index(CHANNELS.len())]);
        // Now and then more than a window holds, or than an outbox takes.
        let (times, padding) = match self.rng.below(30) {
            0 => (20, 0),
            1 if channel != KEPT => (12, 8_000),
            _ => (1 + self.rng.below(3), 0),
        };
        self.note(format!("{number}: publish {times} to {channel}"));
        for _ in 0..times {
            self.publish(tenant, channel, padding);
        }
    }

    pub(crate) fn publish(
        &mut self,
        tenant: TenantId,
        channel: &'static str,
        padding: usize,
    ) -> String {
        let payload = self.payload(tenant, channel, padding);
        let draft = self.draft(&payload);
        let sent = Sent::Publication(tenant, channel, payload.clone());
        self.hand_in(draft, sent);
        payload
    }

    /// Publishes under an id that may be sent again.
    pub(crate) fn publish_once(&mut self, tenant: TenantId, channel: &'static str) -> Chosen {
        let payload = self.payload(tenant, channel, 0);
        let draft = Draft {
            once: true,
            event: EventName::default(),
            ..self.draft(&payload)
        };
        let (id, sent) = (draft.id, Sent::Publication(tenant, channel, payload));
        self.hand_in(draft, sent.clone());
        Chosen { id, sent }
    }

    /// The same once more.
    pub(crate) fn publish_again(&mut self, chosen: &Chosen) {
        let Sent::Publication(_, _, payload) = &chosen.sent else {
            unreachable!("it was a publication")
        };
        let draft = Draft {
            id: chosen.id,
            once: true,
            event: EventName::default(),
            ..self.draft(payload)
        };
        self.hand_in(draft, chosen.sent.clone());
    }

    /// A backend sends a private message.
    pub(crate) fn send(&mut self, tenant: TenantId, user: u64) {
        let payload = self.private_payload(tenant, user);
        let draft = self.draft(&payload);
        self.note(format!("send {payload}"));
        self.hand_in(draft, Sent::Private(tenant, user, payload));
    }

    /// Asks the node, if there is one, to publish or send.
    fn hand_in(&mut self, draft: Draft, sent: Sent) {
        if self.node.is_none() {
            return;
        }
        let id = draft.id;
        let (command, tenant, limited) = match &sent {
            Sent::Publication(tenant, channel, _) => {
                if *channel == CHANGING || *channel == "web_a" {
                    self.deletable.push((*tenant, channel, id));
                }
                let publish = Command::Publish {
                    tenant: *tenant,
                    channel: ChannelName::parse(channel).unwrap(),
                    draft: draft.clone(),
                };
                (publish, *tenant, Some(*channel))
            }
            Sent::Private(tenant, user, _) => {
                let send = Command::Send {
                    tenant: *tenant,
                    user: UserId::new(*user).unwrap(),
                    draft: draft.clone(),
                };
                (send, *tenant, None)
            }
            Sent::Clear(..) | Sent::Other => unreachable!("there is nothing to send"),
        };
        if draft.once {
            let sent = sent.clone();
            self.chosen.push(Chosen { id, sent });
        }
        self.promises.rates.backend(self.now, tenant, limited);
        self.command(command, sent);
    }

    /// A backend that got no answer, or did, sends the same once more; or, by mistake, something else under that id.
    pub(super) fn send_again(&mut self) {
        let from = self.chosen.len().saturating_sub(20);
        let at = from + self.rng.index(self.chosen.len() - from);
        let Some(Chosen { id, sent }) = self.chosen.get(at).cloned() else {
            return;
        };
        let other = self.rng.once_in(3);
        let (payload, sent) = match sent {
            Sent::Publication(tenant, channel, payload) => {
                let payload = if other {
                    self.payload(tenant, channel, 0)
                } else {
                    payload
                };
                (payload.clone(), Sent::Publication(tenant, channel, payload))
            }
            Sent::Private(tenant, user, payload) => {
                let payload = if other {
                    self.private_payload(tenant, user)
                } else {
                    payload
                };
                (payload.clone(), Sent::Private(tenant, user, payload))
            }
            Sent::Clear(..) | Sent::Other => unreachable!("nobody chose an id for that"),
        };
        self.note(format!("once more under {id}: {payload}"));
        self.promises.messages.may_resend(&payload);
        let once = true;
        let draft = Draft {
            id,
            once,
            ..self.draft(&payload)
        };
        self.hand_in(draft, sent);
    }

    pub(super) fn payload(&mut self, tenant: TenantId, channel: &str, padding: usize) -> String {
        self.command += 1;
        let payload = format!(
            "{}/{channel}/{}{}",
            tenant.0,
            self.command,
            ".".repeat(padding)
        );
        self.promises.messages.asks(&payload, self.now);
        payload
    }

    fn draft(&mut self, payload: &str) -> Draft {
        let event = ["", "one", "two"][self.rng.index(3)];
        Draft {
            id: MessageId(u128::from(self.rng.next()) << 64 | u128::from(self.rng.next())),
            once: self.rng.once_in(2),
            event: EventName::parse(event).unwrap(),
            data: payload.into(),
            data_is_json: wire::is_json_container(payload),
        }
    }

    pub(super) fn send_private(&mut self) {
        let (tenant, user) = (self.any_tenant(), 1 + self.rng.below(USERS));
        // Now and then more than an inbox takes.
        let times = if self.rng.once_in(10) { 12 } else { 1 };
        for _ in 0..times {
            self.send(tenant, user);
        }
    }

    fn private_payload(&mut self, tenant: TenantId, user: u64) -> String {
        self.command += 1;
        format!("{}/u{user}/{}", tenant.0, self.command)
    }

    pub(super) fn change_settings(&mut self) {
        if self.node.is_none() {
            return;
        }
        let (tenant, channel) = (self.any_tenant(), ChannelName::parse(CHANGING).unwrap());
        let command = if self.rng.once_in(2) {
            let length = self.rng.below(20);
            Command::SetHistory {
                tenant,
                channel,
                length,
            }
        } else {
            Command::RemoveHistory { tenant, channel }
        };
        self.note(format!("{command:?}"));
        self.command(command, Sent::Other);
    }

    pub(super) fn clear_history(&mut self) {
        if self.node.is_none() {
            return;
        }
        let tenant = self.any_tenant();
        let channel = ChannelName::parse(CHANGING).unwrap();
        self.note(format!("clear {channel} of {tenant}"));
        self.command(Command::ClearHistory { tenant, channel }, Sent::Other);
    }

    pub(super) fn delete_publication(&mut self) {
        let from = self.deletable.len().saturating_sub(10);
        let at = from + self.rng.index(self.deletable.len() - from);
        if self.node.is_none() || at >= self.deletable.len() {
            return;
        }
        let (tenant, channel, id) = self.deletable.remove(at);
        self.note(format!("delete {id} of {channel}"));
        self.promises.messages.deletes(tenant, channel);
        let channel = ChannelName::parse(channel).unwrap();
        let delete = Command::DeletePublication {
            tenant,
            channel,
            id,
        };
        self.command(delete, Sent::Other);
    }

    pub(super) fn clear_inbox(&mut self) {
        if self.node.is_none() {
            return;
        }
        let (tenant, user) = (self.any_tenant(), 1 + self.rng.below(USERS));
        self.note(format!("clear the inbox of {user} of {tenant}"));
        let sent = Sent::Clear(tenant, user);
        let user = UserId::new(user).unwrap();
        self.command(Command::ClearInbox { tenant, user }, sent);
    }
}
