//! Times and limits of a session.

/// How a session behaves. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many urls there are to connect to.
    pub urls: usize,
    /// The application can be asked for tokens.
    pub asks_for_tokens: bool,
    /// Tabs may come later. false: the first tab with a handler is the only one, and the texts of messages that it was told are not
    /// kept for others.
    pub several_tabs: bool,
    /// How long a connection may take to open, and then to log in.
    pub connect_ms: u64,
    /// Bound of the first wait before connecting again; it doubles.
    pub backoff_ms: u64,
    /// Where it stops doubling.
    pub backoff_most_ms: u64,
    /// A connection that lasted so long was a good one: the bound begins anew.
    pub stable_ms: u64,
    /// Silence after which the server is pinged.
    pub ping_ms: u64,
    /// How long it may then be silent: a dead link is found within both times together.
    pub pong_ms: u64,
    /// How long before its end a token is replaced.
    pub refresh_ms: u64,
    /// How long a publication may wait for its answer. Below the time for which a server knows a publication again.
    pub publish_ms: u64,
    /// How long a question may wait for its answer.
    pub question_ms: u64,
    /// Most publications and questions that wait.
    pub queued_calls: usize,
    /// Most bytes of them.
    pub queued_bytes: usize,
}

impl Settings {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        urls: 1,
        asks_for_tokens: false,
        several_tabs: true,
        connect_ms: 10_000,
        backoff_ms: 500,
        backoff_most_ms: 20_000,
        stable_ms: 10_000,
        ping_ms: 6_000,
        pong_ms: 3_500,
        refresh_ms: 30_000,
        publish_ms: 240_000,
        question_ms: 30_000,
        queued_calls: 1_000,
        queued_bytes: 4 << 20,
    };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}
