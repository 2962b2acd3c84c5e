//! From an accepted socket to a proven log-in: PROXY header, greeting, TLS, authentication.

use std::net::SocketAddr;

use mysql_common::constants::CapabilityFlags;
use mysql_common::packets::{AuthMoreData, AuthSwitchRequest};
use tokio::net::TcpStream;

use super::auth;
use super::gate::{Gate, GateError};
use super::handshake::{self, BadHandshake, Hello, LogIn, Plugin, Scramble};
use super::listener::Shared;
use super::packets::mysql_error;
use super::strangers::Place;
use crate::auth::Login;
use crate::cometql::{LogInKey, ProcessGuard, SqlError, errors};
use crate::net::{Stream, proxy};

/// HAProxy's `option mysql-check` logs in with such a user and no password.
const HEALTH_CHECK_USER: &str = "haproxy_check";
/// One that asks only whether the node lives.
const LIVE_CHECK_USER: &str = "haproxy_check_live";
/// What tells the client that its proof sufficed (`fast_auth_success`).
const FAST_AUTH_SUCCESS: &[u8] = &[3];

/// Somebody who spoke to the port, before we answer whether they may.
pub(super) struct Visitor {
    pub(super) gate: Gate,
    pub(super) process: ProcessGuard,
    pub(super) address: SocketAddr,
    /// As the user was last asked to prove the key, for `COM_CHANGE_USER`.
    pub(super) scramble: Scramble,
    /// `None` if the client's first packet could not be read.
    pub(super) log_in: Option<LogIn>,
    pub(super) verdict: Verdict,
}

/// What came of an authentication.
pub(super) enum Verdict {
    /// A health check: may ping and nothing else.
    HealthCheck,
    /// The key is right.
    Proven(Login, LogInKey),
    /// The key is wrong, or the user unknown.
    WrongKey,
    /// Not even tried.
    Refused(SqlError),
}

/// Takes a client up to the point where it waits to hear whether it is logged in.
pub(super) async fn receive(
    mut stream: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
    place: &Place,
) -> Result<Visitor, GateError> {
    let settings = &shared.settings;
    let address = proxy::client_address(&mut stream, peer, &settings.proxies).await?;
    place.is_of(address.ip());
    let process = shared.context.processes.register(address);
    let mut gate = Gate::new(Stream::Plain(stream), settings);
    let mut scramble = handshake::scramble();
    let greeting = handshake::greeting(process.id(), &scramble, settings.tls.is_some());
    gate.send(&greeting);
    let (log_in, verdict) = match first_packet(&mut gate, shared).await {
        Ok(Hello::LogIn(log_in)) => (Some(log_in), None),
        Ok(Hello::Tls) => {
            gate = start_tls(gate, shared).await?;
            match first_packet(&mut gate, shared).await {
                Ok(Hello::LogIn(log_in)) => (Some(log_in), None),
                Ok(Hello::Tls) => (None, Some(bad_handshake(BadHandshake))),
                Err(refusal) => (None, Some(refusal?)),
            }
        }
        Err(refusal) => (None, Some(refusal?)),
    };
    let verdict = match (&log_in, verdict) {
        (Some(log_in), None) if settings.require_tls && !gate.is_tls() && !is_check(log_in) => {
            Verdict::Refused(needs_tls())
        }
        (Some(log_in), None) => {
            authenticate(&mut gate, shared, log_in, &mut scramble, false).await?
        }
        (_, refused) => Verdict::Refused(refused.unwrap_or_else(|| bad_handshake(BadHandshake))),
    };
    Ok(Visitor {
        gate,
        process,
        address,
        scramble,
        log_in,
        verdict,
    })
}

/// Checks the client's proof, and asks for another one if it was made by a plugin that we don't have, or not made.
/// With `insist` it is also asked if the proof is wrong: clients differ in which scramble `COM_CHANGE_USER` is about.
pub(super) async fn authenticate(
    gate: &mut Gate,
    shared: &Shared,
    log_in: &LogIn,
    scramble: &mut Scramble,
    insist: bool,
) -> Result<Verdict, GateError> {
    let empty = is_empty(&log_in.proof);
    if is_check(log_in) {
        let well = shared.settings.readiness.has_log() || log_in.user.starts_with(LIVE_CHECK_USER);
        return Ok(match well {
            true => Verdict::HealthCheck,
            false => Verdict::Refused(no_log()),
        });
    }
    if !log_in
        .capabilities
        .contains(CapabilityFlags::CLIENT_PROTOCOL_41)
    {
        let message = "Authentication failure: the client is older than MySQL 4.1";
        return Ok(Verdict::Refused(SqlError::new(16, message)));
    }
    let mut verdict = match log_in.plugin {
        Some(Plugin::Native) if empty && !insist => return Ok(Verdict::Refused(no_password())),
        Some(plugin) if !empty => judge(gate, shared, log_in, plugin, scramble, &log_in.proof),
        _ => Verdict::WrongKey,
    };
    let ask = insist || empty || log_in.plugin.is_none();
    let can_be_asked = log_in
        .capabilities
        .contains(CapabilityFlags::CLIENT_PLUGIN_AUTH);
    if matches!(verdict, Verdict::WrongKey) && ask && can_be_asked {
        let plugin = log_in.plugin.unwrap_or(Plugin::Native);
        *scramble = handshake::scramble();
        let data = [&scramble[..], &[0]].concat();
        gate.send(&AuthSwitchRequest::new(plugin.name(), data));
        let proof = gate.read(shared.settings.log_in_packet_bytes).await?;
        if is_empty(&proof) {
            return Ok(Verdict::Refused(no_password()));
        }
        verdict = judge(gate, shared, log_in, plugin, scramble, &proof);
    }
    Ok(verdict)
}

fn judge(
    gate: &mut Gate,
    shared: &Shared,
    log_in: &LogIn,
    plugin: Plugin,
    scramble: &Scramble,
    proof: &[u8],
) -> Verdict {
    let login = shared.context.keyring.login(&log_in.user);
    let keys = login
        .as_ref()
        .map_or(&[][..], |login| login.keys.as_slice());
    let key = auth::proven(plugin, scramble, proof, keys).map(|key| LogInKey(key.clone()));
    let (Some(login), Some(key)) = (login, key) else {
        return Verdict::WrongKey;
    };
    if plugin == Plugin::Sha2 {
        gate.send(&AuthMoreData::new(FAST_AUTH_SUCCESS));
    }
    Verdict::Proven(login, key)
}

/// A health check proves nothing, so it needs no TLS either: HAProxy's has none.
fn is_check(log_in: &LogIn) -> bool {
    is_empty(&log_in.proof) && log_in.user.starts_with(HEALTH_CHECK_USER)
}

/// What takes the node out of a balancer.
fn no_log() -> SqlError {
    SqlError::new(503, "The log of the cluster is out of reach of this node")
}

/// Told before the proof is looked at, so that nobody can try keys without TLS.
fn needs_tls() -> SqlError {
    let message = "Connections using insecure transport are prohibited: this server requires TLS";
    mysql_error(3159, "HY000", message)
}

/// What a wrong key and an unknown user are told, after the throttle's wait.
pub(super) fn wrong_key() -> SqlError {
    let message = "Authentication failure: the user is the number of a tenant (or root), the password is its key";
    SqlError::new(16, message)
}

fn no_password() -> SqlError {
    let message =
        "Authentication failure, authDataLen!=20: a password is needed, the key of the tenant";
    SqlError::new(16, message)
}

/// The client's first packet; the inner error says what to answer to a client that still listens.
async fn first_packet(
    gate: &mut Gate,
    shared: &Shared,
) -> Result<Hello, Result<SqlError, GateError>> {
    let limit = shared.settings.log_in_packet_bytes;
    match gate.read_alone(limit).await {
        Ok(packet) => handshake::hello(&packet, shared.settings.tls.is_some())
            .map_err(|bad| Ok(bad_handshake(bad))),
        Err(error) => Err(refusal(error)),
    }
}

/// What to tell a client whose packets are wrong.
pub(super) fn refusal(error: GateError) -> Result<SqlError, GateError> {
    match error {
        GateError::Closed(_) => Err(error),
        GateError::OutOfOrder => Ok(mysql_error(1156, "08S01", error.to_string())),
        GateError::TooLarge => Ok(SqlError::new(11, "Data is too long")),
        GateError::NoMemory(spent) => Ok(errors::no_memory(spent)),
        GateError::Paused => Ok(mysql_error(1159, "08S01", error.to_string())),
    }
}

fn bad_handshake(error: BadHandshake) -> SqlError {
    mysql_error(1043, "08S01", error.to_string())
}

async fn start_tls(gate: Gate, shared: &Shared) -> Result<Gate, GateError> {
    let (stream, sequence) = gate.into_stream();
    let (Stream::Plain(stream), Some(tls)) = (stream, &shared.settings.tls) else {
        return Err(GateError::OutOfOrder);
    };
    let stream = tls.acceptor().accept(stream).await?;
    let stream = Stream::Tls(Box::new(stream));
    Ok(Gate::resume(stream, sequence, &shared.settings))
}

/// `caching_sha2_password` sends one zero byte for an empty password.
fn is_empty(proof: &[u8]) -> bool {
    matches!(proof, [] | [0])
}
