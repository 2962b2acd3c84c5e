//! Every size, rate and count that the engine enforces, with its default. Configuration overrides them.

/// Limits of one node. All are per session or per channel unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload from a backend, in bytes.
    pub publication_bytes: usize,
    /// Largest payload from a browser, in bytes.
    pub browser_publication_bytes: usize,
    /// Most subscriptions of a session.
    pub subscriptions: usize,
    /// Publications a session may send per second, on average.
    pub publish_rate: u32,
    /// Publications a session may send at once before the rate counts.
    pub publish_burst: u32,
    /// What a session's requests may cost per second, on average. Most cost 1; what is read for many at once costs more
    /// (see `requests::cost`), publications have a rate of their own.
    pub request_rate: u32,
    /// What a session's requests may cost at once before the rate counts. A page that comes back subscribes to all its
    /// channels at once.
    pub request_burst: u32,
    /// Publications per second of a user, over all connections, and in each of the following twice as many at once;
    /// 0 = however many.
    pub user_publish_rate: u32,
    /// What a user's requests may cost per second, over all connections, and here and for a tenant ten times as much at
    /// once; 0 = however much.
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
    /// Requests of a session that wait for an answer (a store, another shard).
    pub pending_requests: usize,
    /// Bytes that may wait for one socket, beside one message.
    pub outbox_bytes: usize,
    /// Bytes that may wait for all sockets of the node whose clients do not read.
    pub outbox_bytes_per_node: usize,
    /// Publications that the recovery window of a channel keeps.
    pub window_publications: usize,
    /// How long the recovery window keeps a publication, and an unused channel its place, in milliseconds.
    pub window_ms: u64,
    /// Memory for the recovery windows of all channels of the node. When it is used up, the channel that was not in use for the
    /// longest time loses its oldest publications. Each shard has its part.
    pub window_bytes: usize,
    /// How long an id that a sender chose makes a second message with it a retry, in milliseconds.
    pub retry_ms: u64,
    /// Memory for such ids, of the node. When it is used up, the oldest are forgotten earlier; those of durable channels and
    /// inboxes are also in the store.
    pub retry_bytes: usize,
    /// Longest durable history that `pipes_settings` may ask for, in publications.
    pub history_publications: u64,
    /// Most publications of a `history` request, and of a replay from disk.
    pub history_page: u64,
    /// Messages that wait for one user; a further one is refused.
    pub inbox_messages: u64,
    /// How long a private message waits, in milliseconds.
    pub inbox_ms: u64,
    /// How long others are not told that a member or user has gone who may return, in milliseconds; 0 = they are told
    /// at once.
    pub grace_ms: u64,
    /// Members and users whose return a shard awaits, of each so many; of further ones others are told at once.
    pub awaited: usize,
    /// Bytes that a shard keeps of what happened to sessions lately.
    pub trace_bytes_per_shard: usize,
    /// Of these, bytes of one tenant.
    pub trace_bytes_per_tenant: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            publication_bytes: 1 << 20,
            browser_publication_bytes: 64 << 10,
            subscriptions: 256,
            publish_rate: 20,
            publish_burst: 40,
            request_rate: 50,
            request_burst: 500,
            user_publish_rate: 100,
            user_request_rate: 250,
            channel_publish_rate: 1_000,
            tenant_publish_rate: 0,
            tenant_request_rate: 0,
            backend_channel_rate: 0,
            backend_tenant_rate: 0,
            pending_requests: 1024,
            outbox_bytes: 1 << 20,
            outbox_bytes_per_node: 256 << 20,
            window_publications: 100,
            window_ms: 60_000,
            window_bytes: 128 << 20,
            retry_ms: 5 * 60_000,
            retry_bytes: 32 << 20,
            history_publications: 1_000_000,
            history_page: 1_000,
            inbox_messages: 1_000,
            inbox_ms: 30 * 24 * 3_600_000,
            grace_ms: 5_000,
            awaited: 50_000,
            trace_bytes_per_shard: 4 << 20,
            trace_bytes_per_tenant: 256 << 10,
        }
    }
}
