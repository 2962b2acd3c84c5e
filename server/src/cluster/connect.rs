//! Makes the connection to NATS, and makes it again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr, jetstream};
use tokio::sync::watch;

use super::{Access, Cluster, Connection, Inner, Names, NodeId, Settings};
use crate::metrics::OfCluster;

/// How long one server may take to take the connection.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// How often the server is asked whether it lives; three without an answer end the connection.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Longest pause between two attempts.
const RETRY_MOST: Duration = Duration::from_secs(1);
/// How long NATS may take to be there when the node starts: all may have been started at once.
pub(super) const START_TIME: Duration = Duration::from_secs(60);
/// How often it is said that it is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long JetStream may take to answer before it is asked again: its leader may have died.
const ANSWER_TIME: Duration = Duration::from_millis(2_500);
/// Attempts at least, before its quorum counts as lost.
const TRIES: u32 = 4;
/// Acknowledgements that may be awaited at once. What waits is bounded by who asks: shards and backends.
const MOST_ACKS: usize = 1 << 20;

/// Why the node is no member.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A URL is none.
    #[error("cluster.nats: {url:?} is no address of a NATS server: {source}")]
    Address {
        /// The URL, without what stands before an `@`.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// The credentials file can't be read.
    #[error("cluster.credentials: {0}")]
    Credentials(io::Error),
    /// NATS does not answer, or refuses.
    #[error(
        "no NATS server of cluster.nats took the connection within {} s: {source}. Are they running, and are user, \
         password or credentials right?",
        START_TIME.as_secs()
    )]
    Connect {
        /// The last attempt's failure.
        source: async_nats::ConnectError,
    },
}

impl Cluster {
    /// Connects; waits while NATS is not there yet.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(settings: Settings) -> Result<Self, ConnectError> {
        let (told, state) = watch::channel(Connection::default());
        let told = Arc::new(told);
        let servers = addresses(&settings)?;
        let counters = OfCluster::default();
        let began = tokio::time::Instant::now();
        let mut said = began;
        let client = loop {
            let options = options(&settings, Arc::clone(&told), &counters).await?;
            match options.connect(servers.as_slice()).await {
                Ok(client) => break client,
                Err(source) if began.elapsed() > START_TIME => {
                    return Err(ConnectError::Connect { source });
                }
                Err(error) => {
                    if said.elapsed() > SAY_EVERY {
                        said = tokio::time::Instant::now();
                        tracing::warn!(%error, "waiting for NATS");
                    }
                    tokio::time::sleep(RETRY_MOST / 4).await;
                }
            }
        };
        let node = NodeId::new(&settings.node);
        tracing::info!(node = %node, cluster = settings.name, "connected to NATS");
        Ok(Self(Arc::new(Inner {
            names: Names::new(&settings.name),
            node,
            log: jetstream(&client, settings.quorum_timeout),
            health: Default::default(),
            epochs: Default::default(),
            ends: Default::default(),
            counters,
            client,
            state,
            settings,
        })))
    }
}

fn jetstream(client: &Client, patience: Duration) -> jetstream::Context {
    let time = (patience / TRIES).min(ANSWER_TIME);
    jetstream::ContextBuilder::new()
        .max_ack_inflight(MOST_ACKS)
        .timeout(time)
        .ack_timeout(time)
        .build(client.clone())
}

fn addresses(settings: &Settings) -> Result<Vec<ServerAddr>, ConnectError> {
    let address = |url: &String| {
        url.parse::<ServerAddr>()
            .map_err(|source| ConnectError::Address {
                url: without_secret(url),
                source,
            })
    };
    settings.servers.iter().map(address).collect()
}

/// A URL without user and password.
fn without_secret(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    match scheme {
        "" => place.to_owned(),
        scheme => format!("{scheme}://{place}"),
    }
}

async fn options(
    settings: &Settings,
    told: Arc<watch::Sender<Connection>>,
    counters: &OfCluster,
) -> Result<ConnectOptions, ConnectError> {
    let (disconnects, overruns) = (counters.disconnects.clone(), counters.overruns.clone());
    let mut options = ConnectOptions::new()
        .name(&settings.node)
        .no_echo()
        .connection_timeout(CONNECT_TIME)
        .ping_interval(PING_EVERY)
        .max_reconnects(None)
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            match &event {
                Event::Disconnected => disconnects.inc(),
                Event::SlowConsumer(_) => overruns.inc(),
                _ => {}
            }
            note(&told, &event);
            std::future::ready(())
        });
    options = match &settings.access {
        Access::Open => options,
        Access::Password { user, password } => {
            options.user_and_password(user.clone(), password.clone())
        }
        Access::Credentials(file) => options
            .credentials_file(file)
            .await
            .map_err(ConnectError::Credentials)?,
    };
    if let Some(ca) = &settings.tls.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &settings.tls.client {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

fn pause(attempts: usize) -> Duration {
    let factor = u32::try_from(attempts).unwrap_or(u32::MAX);
    Duration::from_millis(50)
        .saturating_mul(factor)
        .min(RETRY_MOST)
}

fn note(told: &watch::Sender<Connection>, event: &Event) {
    match event {
        Event::Connected => {
            told.send_modify(|connection| {
                connection.times += 1;
                connection.up = true;
            });
            tracing::info!("the connection to NATS is there");
        }
        Event::Disconnected | Event::Closed => {
            told.send_modify(|connection| connection.up = false);
            tracing::warn!("the connection to NATS is lost");
        }
        Event::SlowConsumer(_) => {
            tracing::warn!(
                "messages from NATS came faster than they could be taken; some are lost"
            );
        }
        Event::LameDuckMode | Event::Draining => {
            tracing::info!("a NATS server is being stopped; another one will be connected to");
        }
        Event::ServerError(error) => tracing::warn!(%error, "NATS has a complaint"),
        Event::ClientError(error) => tracing::warn!(%error, "the NATS client has a complaint"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(without_secret(url), expected);
    }

    #[test]
    fn urls_are_told_without_passwords() {
        check("nats://a:4222", "nats://a:4222");
        check("nats://user:p@ss@a:4222", "nats://a:4222");
        check("user:pass@a", "a");
    }
}
