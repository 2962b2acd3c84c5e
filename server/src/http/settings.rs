//! Settings of the browser port, with their defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Origins;

/// How the browser port behaves.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Most connections; `None` = what the open-files limit leaves.
    pub capacity: Option<usize>,
    /// How long a request's head may take to come.
    pub head_timeout: Duration,
    /// Longest head of a request, in bytes.
    pub head_bytes: usize,
    /// Which pages may connect.
    pub origins: Origins,
    /// A folder whose files are served; `None` = none.
    pub files: Option<PathBuf>,
    /// The node's name in `/info`.
    pub node: String,
    /// How often the server pings each connection.
    pub ping_every: Duration,
    /// Over how long a restart spreads the reconnects of its clients.
    pub restart_spread: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8087)),
            capacity: None,
            head_timeout: Duration::from_secs(10),
            head_bytes: 16 << 10,
            origins: Origins::default(),
            files: None,
            node: "n1".into(),
            ping_every: Duration::from_secs(25),
            restart_spread: Duration::from_secs(10),
        }
    }
}
