//! Addresses, limits and times of the MySQL port, with their defaults. Configuration overrides them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Readiness;
use crate::net::{Network, Tls};

/// Settings of the MySQL port.
#[derive(Clone)]
pub struct Settings {
    /// Where the port listens.
    pub address: SocketAddr,
    /// Certificates; without them the port does not offer TLS.
    pub tls: Option<Arc<Tls>>,
    /// Proxies that must send, and are believed, a PROXY protocol header.
    pub proxies: Vec<Network>,
    /// Whether who does not use TLS is refused, health checks excepted.
    pub require_tls: bool,
    /// What health checks are told.
    pub readiness: Readiness,
    /// Most logged-in connections at once.
    pub max_connections: usize,
    /// Most logged-in connections of one tenant.
    pub tenant_connections: usize,
    /// Most connections at once that have not logged in.
    pub strangers: usize,
    /// How long a client may take from connecting to the end of the log-in.
    pub log_in_time: Duration,
    /// How long a connection may be idle.
    pub wait_time: Duration,
    /// How long a client may refuse to read an answer.
    pub write_time: Duration,
    /// How long a client may pause within a packet.
    pub read_time: Duration,
    /// How long open connections may take to end when the server stops.
    pub stop_time: Duration,
    /// Largest packet before the log-in has succeeded, in bytes.
    pub log_in_packet_bytes: usize,
    /// Largest packet, in bytes: the longest INSERT and its frame.
    pub packet_bytes: usize,
    /// Most prepared statements of a connection.
    pub prepared_statements: usize,
    /// Most bytes that `COM_STMT_SEND_LONG_DATA` may collect for a connection.
    pub long_data_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 3307)),
            tls: None,
            proxies: Vec::new(),
            require_tls: false,
            readiness: Readiness::default(),
            max_connections: 1_000,
            tenant_connections: usize::MAX,
            strangers: 100,
            log_in_time: Duration::from_secs(10),
            wait_time: Duration::from_hours(8),
            write_time: Duration::from_mins(1),
            read_time: Duration::from_secs(30),
            stop_time: Duration::from_secs(5),
            log_in_packet_bytes: 8 << 10,
            packet_bytes: (16 << 20) + (64 << 10),
            prepared_statements: 1_024,
            long_data_bytes: 16 << 20,
        }
    }
}
