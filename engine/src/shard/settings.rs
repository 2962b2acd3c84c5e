//! What backends change about a channel's history.

use std::sync::Arc;

use super::tickets::Then;
use super::{ChannelKey, Shard, rejected};
use crate::{Answer, Effects, LogKind, MessageId, Rules, StoreFailure, StoreRequest};
use cometql_protocol::planted::planted;

impl<T> Shard<T> {
    /// `None` removes the setting and the history.
    pub(super) fn set_history(
        &mut self,
        key: ChannelKey,
        length: Option<u64>,
        token: T,
        effects: &mut impl Effects<Token = T>,
    ) {
        if length.is_none() && self.cluster.is_some() {
            return self.remove_history(key, token, effects);
        }
        self.store_setting(key, length, token, effects);
    }

    /// A log keeps the history, and the setting is kept elsewhere: first the one goes, then the other.
    fn remove_history(&mut self, key: ChannelKey, token: T, effects: &mut impl Effects<Token = T>) {
        let (tenant, channel) = key.clone();
        let ticket = self.tickets.open(Then::HistoryRemoved { key, token });
        let request = StoreRequest::DeleteHistory {
            tenant,
            channel,
            id: None,
            log: Some(LogKind::Durable),
        };
        effects.store(ticket, request);
    }

    pub(super) fn on_history_removed(
        &mut self,
        key: ChannelKey,
        token: T,
        result: Result<u64, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        match result {
            Ok(_) => self.store_setting(key, None, token, effects),
            Err(failure) => effects.answer(token, rejected(&failure)),
        }
    }

    fn store_setting(
        &mut self,
        key: ChannelKey,
        length: Option<u64>,
        token: T,
        effects: &mut impl Effects<Token = T>,
    ) {
        let length = length.map(|length| length.min(self.limits.history_publications));
        let (tenant, channel) = key.clone();
        let ticket = self
            .tickets
            .open(Then::SettingStored { key, length, token });
        effects.store(
            ticket,
            StoreRequest::SetHistory {
                tenant,
                channel,
                length,
            },
        );
    }

    pub(super) fn on_setting_stored(
        &mut self,
        key: &ChannelKey,
        length: Option<u64>,
        token: T,
        result: Result<u64, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let rows = match result {
            Ok(rows) => rows,
            Err(failure) => return effects.answer(token, rejected(&failure)),
        };
        if self.cluster.is_none() || planted("engine-sets-by-itself") {
            self.put_setting(key, length, effects);
        }
        // In a cluster the log has told it before this answer, and may have told a later one since.
        effects.answer(token, Answer::Done { rows });
    }

    /// `pipes_settings` has another row for the channel from now on.
    pub(super) fn put_setting(
        &mut self,
        key: &ChannelKey,
        length: Option<u64>,
        effects: &mut impl Effects<Token = T>,
    ) {
        if let Some(length) = length {
            self.sequencer.settings.insert(key.clone(), length);
        } else {
            self.sequencer.settings.remove(key);
            self.sequencer.windows.clear(key);
        }
        self.review(key, effects);
    }

    /// Removes kept publications, or one. The channel is ready.
    pub(super) fn delete_history(
        &mut self,
        key: ChannelKey,
        id: Option<MessageId>,
        token: T,
        effects: &mut impl Effects<Token = T>,
    ) {
        let (tenant, channel) = key.clone();
        let log = self.cluster.as_ref().map(|_| self.retention(&key));
        let log = log.map(LogKind::of);
        if log == Some(LogKind::Live) {
            return effects.answer(token, Answer::Done { rows: 0 });
        }
        let ticket = self.tickets.open(Then::HistoryDeleted { key, id, token });
        effects.store(
            ticket,
            StoreRequest::DeleteHistory {
                tenant,
                channel,
                id,
                log,
            },
        );
    }

    pub(super) fn on_history_deleted(
        &mut self,
        key: &ChannelKey,
        id: Option<MessageId>,
        token: T,
        result: Result<u64, StoreFailure>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let rows = match result {
            Ok(rows) => rows,
            Err(failure) => return effects.answer(token, rejected(&failure)),
        };
        match id {
            None => self.sequencer.windows.clear(key),
            Some(id) => self.sequencer.windows.delete(key, id),
        }
        effects.answer(token, Answer::Done { rows });
    }

    /// New rules apply to channels in use at once.
    pub(super) fn on_rules(&mut self, rules: Arc<Rules>, effects: &mut impl Effects<Token = T>) {
        self.rules = rules;
        self.review_subscriptions(effects);
        for key in self.sequencer.keys() {
            self.review(&key, effects);
        }
    }
}
