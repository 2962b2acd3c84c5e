//! Settings of the browser port, with their defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Origins;
use crate::legacy::url::LARGEST_TENANT;
use crate::net::{Network, Tls};

/// How the browser port behaves.
#[derive(Clone)]
pub struct HttpSettings {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificates for https and wss; `None` = http and ws.
    pub tls: Option<Arc<Tls>>,
    /// Most connections; `None` = what the open-files limit leaves.
    pub capacity: Option<usize>,
    /// How long a request's head may take to come, and a TLS handshake.
    pub head_timeout: Duration,
    /// How long a request's body may take to come.
    pub body_timeout: Duration,
    /// How long a client may refuse to read an answer.
    pub write_timeout: Duration,
    /// Most connections of one tenant; `None` = as many as of all.
    pub tenant_capacity: Option<usize>,
    /// Longest head of a request, in bytes.
    pub head_bytes: usize,
    /// Which pages may connect.
    pub origins: Origins,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub forwarded_from: Vec<Network>,
    /// Proxies that must begin each connection with a PROXY protocol header.
    pub proxy_protocol_from: Vec<Network>,
    /// A folder whose files are served; `None` = none.
    pub files: Option<PathBuf>,
    /// The node's name in `/info`.
    pub node: String,
    /// Whether the original's browser protocol is answered.
    pub legacy: bool,
    /// The largest tenant that a session may name. On the original's protocol others count as tenant 0.
    pub largest_tenant: u32,
    /// How often the server pings each connection.
    pub ping_every: Duration,
    /// How long a client may take to read what waits for it and to close, once the server has closed.
    pub close_wait: Duration,
    /// Over how long a restart spreads the reconnects of its clients.
    pub restart_spread: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8087)),
            tls: None,
            capacity: None,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_mins(1),
            tenant_capacity: None,
            head_bytes: 16 << 10,
            origins: Origins::default(),
            forwarded_from: Vec::new(),
            proxy_protocol_from: Vec::new(),
            files: None,
            node: "n1".into(),
            legacy: true,
            largest_tenant: LARGEST_TENANT,
            ping_every: Duration::from_secs(25),
            close_wait: Duration::from_secs(5),
            restart_spread: Duration::from_secs(10),
        }
    }
}
