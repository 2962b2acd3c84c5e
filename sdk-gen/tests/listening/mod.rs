//! Subscriptions for tests, what they bring as lines, and a way to cut their connections.

#![expect(
    dead_code,
    reason = "each test file uses the part of this that it needs"
)]
#![expect(clippy::unwrap_used, reason = "these are the tests' own helpers")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cometql_sdk::{
    ChannelSince, Client, CometError, Credentials, Event, Listening, Options, Position, Received,
    Subscription, Value,
};
use cometql_server::app::App;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::common::{connect, host, publication as publish_what};

/// So long a test waits for what must come before it fails. Nothing waits for its end that works, on however slow a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must come.
#[track_caller]
pub(crate) fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        let result = tokio::time::timeout(PATIENCE, future).await;
        result.unwrap_or_else(|_| panic!("nothing came at {place}"))
    }
}

/// A backend of the node.
pub(crate) async fn backend(app: &App) -> Arc<Client> {
    connect(vec![host(app)], Options::default()).await.unwrap()
}

/// Carries out a statement without values.
pub(crate) async fn run(client: &Client, sql: &str) {
    client.query(sql.to_owned(), Vec::new()).await.unwrap();
}

/// Publishes one text.
pub(crate) async fn publish_one(client: &Client, channel: &str, text: &str) {
    client.publish(publish_what(channel, text)).await.unwrap();
}

/// Publishes texts in one statement, in this order.
pub(crate) async fn publish(client: &Client, channel: &str, texts: &[String]) {
    let rows = vec!["(?, '', ?)"; texts.len()].join(", ");
    let sql = format!("INSERT INTO pipes_messages (name, event, message) VALUES {rows}");
    let text = |value: &str| Value::Text {
        value: value.to_owned(),
    };
    let values = texts.iter().flat_map(|one| [text(channel), text(one)]);
    client.query(sql, values.collect()).await.unwrap();
}

/// Numbers as texts.
pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// The browser port.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("ws://{address}")
}

/// At these nodes, with the defaults otherwise.
pub(crate) fn at(urls: &[String]) -> Listening {
    Listening {
        urls: urls.to_vec(),
        ..Listening::default()
    }
}

/// As a user who is known by a hash.
pub(crate) fn by_hash(user: u64, hash: &str) -> Option<Credentials> {
    let hash = hash.to_owned();
    Some(Credentials::Hash { user, hash })
}

/// From now on.
pub(crate) fn channels(names: &[&str]) -> Vec<ChannelSince> {
    let from_now_on = |name: &&str| ChannelSince {
        channel: (*name).to_owned(),
        since: None,
    };
    names.iter().map(from_now_on).collect()
}

/// From a position on.
pub(crate) fn since(channel: &str, position: &Position) -> Vec<ChannelSince> {
    vec![ChannelSince {
        channel: channel.to_owned(),
        since: Some(position.clone()),
    }]
}

/// Listens without a client.
pub(crate) async fn listen(
    channels: Vec<ChannelSince>,
    listening: Listening,
) -> Result<Arc<Subscription>, CometError> {
    within(Subscription::open(channels, listening)).await
}

/// The next event.
#[track_caller]
pub(crate) fn next(subscription: &Subscription) -> impl Future<Output = Event> {
    let next = within(subscription.next());
    async { next.await.unwrap().expect("it was not closed") }
}

/// The next event that is not about the connection, as a line.
#[track_caller]
pub(crate) fn line(subscription: &Subscription) -> impl Future<Output = String> {
    let place = std::panic::Location::caller();
    let next = async move {
        loop {
            let next = subscription.next().await.unwrap();
            let event = next.unwrap_or_else(|| panic!("it was closed at {place}"));
            if !matches!(event, Event::Online { .. } | Event::Offline { .. }) {
                return as_line(&event);
            }
        }
    };
    within(next)
}

/// An event in short. Positions are left out.
pub(crate) fn as_line(event: &Event) -> String {
    match event {
        Event::Publication { publication } => {
            format!("{}: {}", publication.channel, publication.message)
        }
        Event::Message { message } => format!("message {}", message.message),
        Event::Subscribed {
            channel,
            position,
            recovered,
        } => {
            let history = if position.is_some() {
                ""
            } else {
                ", no history"
            };
            let recovered = if *recovered { ", recovered" } else { "" };
            format!("subscribed {channel}{history}{recovered}")
        }
        Event::Recovered { channel } => format!("recovered {channel}"),
        Event::Gap { channel, .. } => format!("gap {channel}"),
        Event::Refused { channel, code, .. } => format!("refused {channel} {code}"),
        Event::Joined {
            channel,
            user,
            name,
        } => format!("joined {channel} {user:?} {name}"),
        Event::Left {
            channel,
            user,
            name,
        } => format!("left {channel} {user:?} {name}"),
        Event::Online { .. } => "online".to_owned(),
        Event::Offline { .. } => "offline".to_owned(),
        Event::Trouble { code, .. } => format!("trouble {code}"),
    }
}

/// The next publication, which must be the next event that is not about the connection.
#[track_caller]
pub(crate) fn publication(subscription: &Subscription) -> impl Future<Output = Received> {
    let place = std::panic::Location::caller();
    let next = async move {
        loop {
            match subscription.next().await.unwrap() {
                Some(Event::Publication { publication }) => return publication,
                Some(Event::Online { .. } | Event::Offline { .. }) => {}
                other => panic!("{other:?} at {place}"),
            }
        }
    };
    within(next)
}

/// Passes bytes on to a node, until it is told to cut all connections.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    cuts: watch::Sender<()>,
    accepts: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

impl Proxy {
    /// In front of this node.
    pub(crate) async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(node));
        let (cuts, cut) = watch::channel(());
        let accepts = tokio::spawn(accept(listener, Arc::clone(&target), cut));
        Self {
            address,
            target,
            cuts,
            accepts: accepts.abort_handle(),
        }
    }

    /// Cuts all connections; later ones go to the same node.
    pub(crate) fn cut(&self) {
        self.cuts.send_replace(());
    }

    /// Cuts all connections; later ones go to this node.
    pub(crate) fn turn_to(&self, node: SocketAddr) {
        *self.target.lock().unwrap() = node;
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<SocketAddr>>, cut: watch::Receiver<()>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let target = *target.lock().unwrap();
        let mut cut = cut.clone();
        cut.mark_unchanged();
        tokio::spawn(async move {
            // A node that is not there closes the connection.
            let Ok(mut node) = TcpStream::connect(target).await else {
                return;
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut node) => {}
                _ = cut.changed() => {}
            }
        });
    }
}
