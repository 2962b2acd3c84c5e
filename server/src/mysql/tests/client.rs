//! A port on a free address and a client that speaks raw packets to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cometql_engine::Rules;
use cometql_protocol::TenantId;
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, HandshakePacket, HandshakeResponse};
use mysql_common::proto::MySerialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::auth::{Keyring, Keys, Throttle, Tokens};
use crate::cometql::{self, Context, Processes};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::mysql::{Settings, serve};
use crate::net::Stream;
use crate::shard::Mail;
use crate::storage::Store;

/// A running port.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    pub(super) context: Context,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// Starts a port. Its context has no shards: statements that need one find none.
pub(super) async fn port(change: impl FnOnce(&mut Settings)) -> Port {
    port_before(Vec::new(), change).await
}

/// Starts a port before a shard that the test plays.
pub(super) async fn port_and_shard() -> (Port, mpsc::UnboundedReceiver<Mail>) {
    let (mailbox, mail) = mpsc::unbounded_channel();
    (port_before(vec![mailbox], |_| {}).await, mail)
}

async fn port_before(
    shards: Vec<mpsc::UnboundedSender<Mail>>,
    change: impl FnOnce(&mut Settings),
) -> Port {
    let mut settings = Settings::default();
    change(&mut settings);
    let keyring = Keyring::new(Keys {
        admin: vec!["boss".to_owned()],
        default: vec!["other".to_owned(), "everyone".to_owned()],
        tenants: BTreeMap::from([(TenantId(7), vec!["seven".to_owned()])]),
        tenant_limit: 100,
    });
    let context = Context {
        hub: Hub::new(shards, Arc::new(Rules::default()), None, None),
        store: Store::in_memory(),
        settings: Arc::default(),
        keyring: Arc::new(keyring),
        tokens: Arc::new(Tokens::default()),
        processes: Arc::new(Processes::default()),
        metrics: Arc::new(Metrics::default()),
        turns: cometql::Settings::default().turns(),
        memory: cometql::Settings::default().statement_memory(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        _ = stopped.await;
    };
    let serving = tokio::spawn(serve(
        listener,
        settings,
        context.clone(),
        Throttle::default(),
        stopped,
    ));
    Port {
        address,
        context,
        stop,
        serving,
    }
}

impl Port {
    /// Stops the port; returns when all its connections have ended.
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }
}

/// How a client logs in.
pub(super) struct Who<'a> {
    pub(super) user: &'a str,
    pub(super) key: &'a str,
    pub(super) database: &'a str,
    pub(super) plugin: AuthPlugin<'a>,
    /// Sends no proof with the first packet, as clients do that lack the plugin of the greeting.
    pub(super) waits: bool,
}

/// Tenant 0 with its key.
pub(super) const ROOT: Who<'_> = Who {
    user: "root",
    key: "everyone",
    database: "CometQL_v1",
    plugin: AuthPlugin::MysqlNativePassword,
    waits: false,
};

/// A client.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) scramble: Vec<u8>,
    pub(super) sequence: u8,
}

impl Client {
    /// Connects and reads the greeting.
    pub(super) async fn greeted(port: &Port) -> (Self, HandshakePacket<'static>) {
        Self::greeted_on(TcpStream::connect(port.address).await.unwrap()).await
    }

    /// Reads the greeting.
    pub(super) async fn greeted_on(stream: TcpStream) -> (Self, HandshakePacket<'static>) {
        let mut client = Self {
            stream: Stream::Plain(stream),
            scramble: Vec::new(),
            sequence: 0,
        };
        let packet = client.read().await;
        let greeting: HandshakePacket<'_> = ParseBuf(&packet).parse(()).unwrap();
        client.scramble = greeting.nonce();
        client.scramble.truncate(20);
        (client, greeting.into_owned())
    }

    /// Connects and logs in; returns the first answer that is no part of the authentication.
    pub(super) async fn log_in(port: &Port, who: &Who<'_>) -> (Self, Vec<u8>) {
        let (mut client, _) = Self::greeted(port).await;
        let answer = client.prove(who).await;
        (client, answer)
    }

    /// A client that is logged in as tenant 0.
    pub(super) async fn root(port: &Port) -> Self {
        let (client, answer) = Self::log_in(port, &ROOT).await;
        assert_eq!(answer, OK);
        client
    }

    /// Sends the log-in packet and answers what is asked.
    pub(super) async fn prove(&mut self, who: &Who<'_>) -> Vec<u8> {
        let proof = (!who.waits).then(|| proof(&who.plugin, who.key, &self.scramble));
        let packet = response(who, proof.unwrap_or_default(), CapabilityFlags::empty());
        self.send(&packet).await;
        self.answer_switch(who.key).await
    }

    /// Answers what is asked until the authentication is over.
    pub(super) async fn answer_switch(&mut self, key: &str) -> Vec<u8> {
        let mut answer = self.read().await;
        if let Some((0xfe, rest)) = answer.split_first().map(|(&head, rest)| (head, rest)) {
            let mut rest = ParseBuf(rest);
            let plugin = AuthPlugin::from_bytes(rest.eat_null_str()).into_owned();
            self.scramble = rest.eat_null_str().to_vec();
            assert_eq!(self.scramble.len(), 20);
            let proof = proof(&plugin, key, &self.scramble);
            self.send(&proof).await;
            answer = self.read().await;
        }
        if answer == [1, 3] {
            answer = self.read().await;
        }
        answer
    }

    /// Sends a command and reads the one packet of its answer.
    pub(super) async fn ask(&mut self, command: &[u8]) -> Vec<u8> {
        self.command(command).await;
        self.read().await
    }

    /// Sends a command.
    pub(super) async fn command(&mut self, command: &[u8]) {
        self.sequence = 0;
        self.send(command).await;
    }

    /// Sends a packet with the next sequence number.
    pub(super) async fn send(&mut self, payload: &[u8]) {
        let packet = framed(self.sequence, payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).await.unwrap();
    }

    /// Reads a packet, which must have the next sequence number.
    pub(super) async fn read(&mut self) -> Vec<u8> {
        let length = self.stream.read_u32_le().await.unwrap();
        assert_eq!(length >> 24, u32::from(self.sequence), "sequence number");
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0; usize::try_from(length & 0xff_ffff).unwrap()];
        self.stream.read_exact(&mut packet).await.unwrap();
        packet
    }

    /// The server closed, and said no more.
    pub(super) async fn ended(&mut self) {
        assert_eq!(self.stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
}

/// An OK packet without numbers.
pub(super) const OK: &[u8] = b"\x00\x00\x00\x02\x00\x00\x00";

/// A packet of less than 16 MB.
pub(super) fn framed(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap() | u32::from(sequence) << 24;
    [&length.to_le_bytes()[..], payload].concat()
}

/// The code of an error packet.
#[track_caller]
pub(super) fn error_code(packet: &[u8]) -> u16 {
    assert_eq!(packet[0], 0xff, "an error packet: {packet:x?}");
    u16::from_le_bytes([packet[1], packet[2]])
}

/// What proves the key.
pub(super) fn proof(plugin: &AuthPlugin<'_>, key: &str, scramble: &[u8]) -> Vec<u8> {
    match plugin {
        AuthPlugin::Other(_) => b"something else".to_vec(),
        known => known
            .gen_data(Some(key), scramble)
            .map(|data| data.to_vec())
            .unwrap_or_default(),
    }
}

/// A log-in packet.
pub(super) fn response(who: &Who<'_>, proof: Vec<u8>, more: CapabilityFlags) -> Vec<u8> {
    let capabilities = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | more;
    let response = HandshakeResponse::new(
        Some(proof),
        (8, 0, 40),
        Some(who.user.as_bytes()),
        Some(who.database.as_bytes()),
        Some(who.plugin.borrow()),
        capabilities,
        None,
        1 << 24,
    );
    let mut packet = Vec::new();
    response.serialize(&mut packet);
    packet
}
