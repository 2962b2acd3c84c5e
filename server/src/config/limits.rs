//! `[limits]`: every size, rate and count of the engine, the language and the ports.

use serde::{Deserialize, Serialize};

use super::units::{Bytes, Span};
use crate::cometql::Settings;

/// `[limits]`. The defaults are those of the engine and of the language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Most browser connections; 0 = what the open-files limit leaves.
    pub connections: usize,
    /// Most of one tenant; 0 = as many as of all.
    pub tenant_connections: usize,
    /// Longest head of an HTTP request.
    pub request_head: Bytes,
    /// How long a request's head may take to come.
    pub request_head_time: Span,
    /// How long a request's body may take to come.
    pub request_body_time: Span,
    /// Most connections of the admin port.
    pub admin_connections: usize,
    /// Largest payload from a backend.
    pub publication: Bytes,
    /// Largest payload from a browser.
    pub browser_publication: Bytes,
    /// Most subscriptions of a session.
    pub subscriptions: usize,
    /// Publications that a session may send per second, on average.
    pub publish_rate: u32,
    /// Publications that a session may send at once.
    pub publish_burst: u32,
    /// Requests that a session may send per second, on average.
    pub request_rate: u32,
    /// Requests that a session may send at once.
    pub request_burst: u32,
    /// Publications per second of a user, over all connections; 0 = however many.
    pub user_publish_rate: u32,
    /// What a user's requests may cost per second, over all connections; 0 = however much.
    pub user_request_rate: u32,
    /// Publications per second of all browsers in one channel; 0 = however many.
    pub channel_publish_rate: u32,
    /// Publications per second of all browsers of a tenant; 0 = however many.
    pub tenant_publish_rate: u32,
    /// What requests of all browsers of a tenant may cost per second; 0 = however much.
    pub tenant_request_rate: u32,
    /// Publications per second of backends in one channel; 0 = however many.
    pub backend_channel_rate: u32,
    /// Publications and private messages per second of a tenant's backends; 0 = however many.
    pub backend_tenant_rate: u32,
    /// Requests of a session that wait for an answer.
    pub pending_requests: usize,
    /// Bytes that may wait for one socket, beside one message.
    pub outbox: Bytes,
    /// Bytes that may wait for all sockets whose clients do not read.
    pub outboxes: Bytes,
    /// Publications that the recovery window of a channel keeps.
    pub window_publications: usize,
    /// How long it keeps them.
    pub window_age: Span,
    /// Memory for the windows of all channels.
    pub window_memory: Bytes,
    /// How long an id that a sender chose makes a second message with it a retry.
    pub retry_age: Span,
    /// Memory for such ids.
    pub retry_memory: Bytes,
    /// Longest history that `pipes_settings` may ask for.
    pub history_publications: u64,
    /// Most publications of one answer.
    pub history_page: u64,
    /// Messages that wait for one user.
    pub inbox_messages: u64,
    /// How long they wait.
    pub inbox_age: Span,
    /// How long others are not told that somebody has gone who may return.
    pub presence_grace: Span,
    /// Members and users whose return a shard awaits, of each so many.
    pub presence_awaited: usize,
    /// What a shard keeps of what happened to sessions lately.
    pub trace_memory_per_shard: Bytes,
    /// Of this, what one tenant may take.
    pub trace_memory_per_tenant: Bytes,
    /// Longest INSERT or REPLACE.
    pub insert: Bytes,
    /// Most rows of an INSERT.
    pub insert_rows: usize,
    /// Longest other statement.
    pub statement: Bytes,
    /// Bytes of statements that are received, carried out or prepared at once.
    pub statement_memory: Bytes,
    /// Most terms outside of VALUES.
    pub statement_terms: usize,
    /// Most rows of a SELECT.
    pub select_rows: usize,
    /// Longest time of a SELECT.
    pub select_time: Span,
    /// SELECTs that run at once; 0 = two for each core.
    pub select_concurrency: usize,
    /// SELECTs of one tenant that run at once; 0 = three quarters of all.
    pub select_concurrency_per_tenant: usize,
}

impl Default for LimitsSection {
    fn default() -> Self {
        let engine = cometql_engine::Limits::default();
        let language = Settings::default();
        Self {
            connections: 0,
            tenant_connections: 0,
            request_head: Bytes(16 << 10),
            request_head_time: Span::seconds(10),
            request_body_time: Span::seconds(30),
            admin_connections: 256,
            publication: Bytes(engine.publication_bytes),
            browser_publication: Bytes(engine.browser_publication_bytes),
            subscriptions: engine.subscriptions,
            publish_rate: engine.publish_rate,
            publish_burst: engine.publish_burst,
            request_rate: engine.request_rate,
            request_burst: engine.request_burst,
            user_publish_rate: engine.user_publish_rate,
            user_request_rate: engine.user_request_rate,
            channel_publish_rate: engine.channel_publish_rate,
            tenant_publish_rate: engine.tenant_publish_rate,
            tenant_request_rate: engine.tenant_request_rate,
            backend_channel_rate: engine.backend_channel_rate,
            backend_tenant_rate: engine.backend_tenant_rate,
            pending_requests: engine.pending_requests,
            outbox: Bytes(engine.outbox_bytes),
            outboxes: Bytes(engine.outbox_bytes_per_node),
            window_publications: engine.window_publications,
            window_age: Span(engine.window_ms),
            window_memory: Bytes(engine.window_bytes),
            retry_age: Span(engine.retry_ms),
            retry_memory: Bytes(engine.retry_bytes),
            history_publications: engine.history_publications,
            history_page: engine.history_page,
            inbox_messages: engine.inbox_messages,
            inbox_age: Span(engine.inbox_ms),
            presence_grace: Span(engine.grace_ms),
            presence_awaited: engine.awaited,
            trace_memory_per_shard: Bytes(engine.trace_bytes_per_shard),
            trace_memory_per_tenant: Bytes(engine.trace_bytes_per_tenant),
            insert: Bytes(language.insert_bytes),
            insert_rows: language.insert_rows,
            statement: Bytes(language.statement_bytes),
            statement_memory: Bytes(language.memory_bytes),
            statement_terms: language.terms,
            select_rows: language.select_rows,
            select_time: Span(language.select_ms),
            select_concurrency: language.select_concurrency,
            select_concurrency_per_tenant: language.select_concurrency_per_tenant,
        }
    }
}

impl LimitsSection {
    /// The engine's part.
    #[must_use]
    pub fn engine(&self) -> cometql_engine::Limits {
        cometql_engine::Limits {
            publication_bytes: self.publication.0,
            browser_publication_bytes: self.browser_publication.0,
            subscriptions: self.subscriptions,
            publish_rate: self.publish_rate,
            publish_burst: self.publish_burst,
            request_rate: self.request_rate,
            request_burst: self.request_burst,
            user_publish_rate: self.user_publish_rate,
            user_request_rate: self.user_request_rate,
            channel_publish_rate: self.channel_publish_rate,
            tenant_publish_rate: self.tenant_publish_rate,
            tenant_request_rate: self.tenant_request_rate,
            backend_channel_rate: self.backend_channel_rate,
            backend_tenant_rate: self.backend_tenant_rate,
            pending_requests: self.pending_requests,
            outbox_bytes: self.outbox.0,
            outbox_bytes_per_node: self.outboxes.0,
            window_publications: self.window_publications,
            window_ms: self.window_age.0,
            window_bytes: self.window_memory.0,
            retry_ms: self.retry_age.0,
            retry_bytes: self.retry_memory.0,
            history_publications: self.history_publications,
            history_page: self.history_page,
            inbox_messages: self.inbox_messages,
            inbox_ms: self.inbox_age.0,
            grace_ms: self.presence_grace.0,
            awaited: self.presence_awaited,
            trace_bytes_per_shard: self.trace_memory_per_shard.0,
            trace_bytes_per_tenant: self.trace_memory_per_tenant.0,
        }
    }
}
