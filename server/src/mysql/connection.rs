//! The life of one connection: log-in, then one command after the other until somebody ends it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mysql_common::constants::CapabilityFlags;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::commands::{self, Flow};
use super::gate::{Gate, GateError};
use super::handshake::{LogIn, Scramble};
use super::listener::Shared;
use super::log_in::{self, Verdict, Visitor};
use super::packets::{self, mysql_error};
use super::prepared::Prepared;
use super::status::Status;
use super::strangers::Place;
use crate::auth::Login;
use crate::cometql::{
    Done, End, Idle, LogInKey, ProcessGuard, SqlError, SqlSession, Started, choose_database,
};
use crate::metrics::{Door, Metrics, Refused, StatementKind};
use crate::quota::{Share, Spent};

/// What a logged-in connection keeps between commands.
pub(super) struct Connection<'a> {
    pub(super) shared: &'a Shared,
    pub(super) process: Arc<ProcessGuard>,
    pub(super) gate: Gate,
    pub(super) address: IpAddr,
    pub(super) capabilities: CapabilityFlags,
    pub(super) scramble: Scramble,
    /// Among those who have logged in.
    place: Option<Share>,
    /// `None` for health checks, which may only ping.
    pub(super) session: Option<SqlSession>,
    /// Counts the end of the session.
    present: Option<Present>,
    pub(super) status: Status,
    pub(super) multi_statements: bool,
    pub(super) prepared: Prepared,
    /// Publications that are on their way. Empty whenever we wait for the client.
    pub(super) started: VecDeque<Started>,
}

/// A log-in that is counted as one that left when this goes.
struct Present(Arc<Metrics>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.mysql_left();
    }
}

/// Serves one connection to its end. The place is given up when the client has logged in; it may be taken from it before.
pub(super) async fn run(stream: TcpStream, peer: SocketAddr, shared: &Shared, place: Place) {
    let arrival = arrive(stream, peer, shared, &place);
    let arrived = tokio::select! {
        biased;
        () = place.lost() => return lost(peer, shared),
        arrived = arrival => arrived,
    };
    let Some((mut connection, admitted)) = arrived else {
        return;
    };
    let last_words = match admitted {
        Err(refusal) => Some(refusal),
        Ok(()) if connection.session.is_some() => {
            drop(place);
            connection.serve().await
        }
        // A health check proves nothing, so it stays a stranger.
        Ok(()) => tokio::select! {
            biased;
            () = place.lost() => return lost(peer, shared),
            last_words = connection.serve() => last_words,
        },
    };
    if let Some(error) = last_words {
        connection.send_error(&error);
    }
    connection.gate.close().await;
}

fn lost(peer: SocketAddr, shared: &Shared) {
    shared.context.metrics.mysql_refused(Refused::Strangers);
    debug!(%peer, "MySQL client lost its place to one that came later: too many have not logged in");
}

/// A connection and whether it may go on, or `None` when the client has left or is left without a word.
async fn arrive<'a>(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &'a Shared,
    place: &Place,
) -> Option<(Connection<'a>, Result<(), SqlError>)> {
    let arrival = log_in::receive(stream, peer, shared, place);
    let visitor = match timeout(shared.settings.log_in_time, arrival).await {
        Ok(Ok(visitor)) => visitor,
        Ok(Err(error)) => {
            debug!(%error, "MySQL client left before it logged in");
            return None;
        }
        Err(_) => {
            debug!(%peer, "MySQL client took too long to log in");
            return None;
        }
    };
    let (mut connection, log_in, verdict) = Connection::new(visitor, shared);
    let admitted = match log_in {
        Some(log_in) => connection.admit(&log_in, verdict).await,
        None => Err(refused(verdict)),
    };
    Some((connection, admitted))
}

impl<'a> Connection<'a> {
    fn new(visitor: Visitor, shared: &'a Shared) -> (Self, Option<LogIn>, Verdict) {
        let settings = &shared.settings;
        let capabilities = match &visitor.log_in {
            Some(log_in) => log_in.capabilities,
            None => CapabilityFlags::empty(),
        };
        let connection = Self {
            shared,
            process: Arc::new(visitor.process),
            gate: visitor.gate,
            address: visitor.address.ip(),
            capabilities,
            scramble: visitor.scramble,
            place: None,
            session: None,
            present: None,
            status: Status::default(),
            multi_statements: capabilities.contains(CapabilityFlags::CLIENT_MULTI_STATEMENTS),
            prepared: Prepared::new(settings.prepared_statements, settings.long_data_bytes),
            started: VecDeque::new(),
        };
        (connection, visitor.log_in, visitor.verdict)
    }

    /// Opens the session that was proven, or says why not. A wrong key waits for the throttle first.
    pub(super) async fn admit(&mut self, log_in: &LogIn, verdict: Verdict) -> Result<(), SqlError> {
        self.prepared.clear();
        self.status = Status::default();
        self.session = None;
        self.place = None;
        self.present = None;
        match verdict {
            Verdict::HealthCheck => {}
            Verdict::Proven(login, key) => self.open(log_in, login, key)?,
            Verdict::WrongKey => {
                let wait = self.shared.throttle.failed(self.address, &log_in.user);
                let metrics = &self.shared.context.metrics;
                metrics.log_in(Door::Mysql, false);
                metrics.log_in_waits(wait);
                sleep(wait).await;
                return Err(log_in::wrong_key());
            }
            Verdict::Refused(refusal) => return Err(refusal),
        }
        self.send_ok(&Done::default(), false);
        Ok(())
    }

    fn open(&mut self, log_in: &LogIn, login: Login, key: LogInKey) -> Result<(), SqlError> {
        self.shared.throttle.succeeded(self.address, &log_in.user);
        let mut session = SqlSession {
            tenant: login.tenant,
            admin: login.admin,
            connection: self.process.id(),
            user: log_in.user.clone(),
            key,
            database: String::new(),
            last_message_id: None,
            idle: Idle::new(self.shared.settings.wait_time),
            warnings: Vec::new(),
        };
        choose_database(&self.shared.context, &mut session, &log_in.database)?;
        self.place = Some(self.take_place(&session)?);
        let metrics = &self.shared.context.metrics;
        metrics.log_in(Door::Mysql, true);
        self.present = Some(Present(Arc::clone(metrics)));
        self.process
            .logged_in(&session.user, &session.key, session.tenant);
        self.process.uses(&session.database, session.tenant);
        // A reload ends those that it finds logged in. This one it may have come before.
        let keyring = &self.shared.context.keyring;
        if keyring.prove(&session.user, &session.key.0).is_none() {
            return Err(log_in::wrong_key());
        }
        debug!(tenant = %session.tenant, connection = session.connection, "MySQL client logged in");
        let memory = &self.shared.context.memory;
        self.gate.spend(memory.nothing(Some(session.tenant)));
        self.prepared.spend(memory.nothing(Some(session.tenant)));
        self.session = Some(session);
        Ok(())
    }

    /// Administrators come in on nobody's account.
    fn take_place(&self, session: &SqlSession) -> Result<Share, SqlError> {
        let tenant = (!session.admin).then_some(session.tenant);
        let taken = self.shared.places.take(tenant, 1);
        taken.map_err(|spent| {
            let (refused, refusal) = match spent {
                Spent::Node => (
                    Refused::Connections,
                    mysql_error(1040, "08004", "Too many connections"),
                ),
                Spent::Tenant => (
                    Refused::Tenant,
                    mysql_error(1203, "42000", "Too many connections of this tenant"),
                ),
            };
            self.shared.context.metrics.mysql_refused(refused);
            refusal
        })
    }

    /// Carries out commands until the connection ends; returns what the client is told about that, if anything.
    async fn serve(&mut self) -> Option<SqlError> {
        let process = self.process.clone();
        let mut stopping = self.shared.stopping.clone();
        loop {
            process.does("Sleep", "");
            if self.started.is_empty() {
                self.gate.release();
            }
            let settings = &self.shared.settings;
            let (limit, idle) = match &self.session {
                Some(session) => (settings.packet_bytes, session.idle.limit()),
                None => (settings.log_in_packet_bytes, settings.wait_time),
            };
            let read = timeout(idle, self.gate.read_command(limit));
            let read = tokio::select! {
                biased;
                end = process.killed() => return Some(ended(end)),
                () = async { _ = stopping.wait_for(|&stopping| stopping).await } => {
                    // A client that can't be told has gone.
                    _ = commands::settle(self).await;
                    return Some(is_stopping());
                }
                read = read => read.ok()?,
            };
            self.shared.context.metrics.mysql_command();
            let flow = match read {
                Ok(packet) => tokio::select! {
                    biased;
                    end = process.killed() => return Some(ended(end)),
                    flow = commands::carry_out(self, &packet) => flow,
                },
                Err(error @ (GateError::TooLarge | GateError::NoMemory(_)))
                    if self.session.is_some() =>
                {
                    self.skip(error).await
                }
                Err(error) => return log_in::refusal(error).ok(),
            };
            match flow {
                Ok(Flow::Next) => {}
                Ok(Flow::Close) | Err(GateError::Closed(_)) => return None,
                Ok(Flow::Refuse(refusal)) => return Some(refusal),
                Err(error) => return log_in::refusal(error).ok(),
            }
        }
    }

    /// A statement for which there is no place is refused without ending the connection.
    async fn skip(&mut self, error: GateError) -> Result<Flow, GateError> {
        commands::settle(self).await?;
        self.gate.skip().await?;
        let refusal = log_in::refusal(error)?;
        let metrics = &self.shared.context.metrics;
        metrics.statement(StatementKind::Unread, false);
        self.send_error(&refusal);
        Ok(Flow::Next)
    }

    /// Queues an OK packet.
    pub(super) fn send_ok(&mut self, done: &Done, more: bool) {
        let warnings = self.warnings();
        self.gate.send(&packets::Ok {
            done,
            status: self.status.flags(more),
            warnings,
        });
    }

    /// Queues an error packet.
    pub(super) fn send_error(&mut self, error: &SqlError) {
        let with_state = self
            .capabilities
            .contains(CapabilityFlags::CLIENT_PROTOCOL_41);
        self.gate.send(&packets::error(error, with_state));
    }

    /// How many warnings the last statement left.
    pub(super) fn warnings(&self) -> u16 {
        let warnings = self
            .session
            .as_ref()
            .map_or(0, |session| session.warnings.len());
        u16::try_from(warnings).unwrap_or(u16::MAX)
    }
}

fn refused(verdict: Verdict) -> SqlError {
    match verdict {
        Verdict::Refused(refusal) => refusal,
        Verdict::HealthCheck | Verdict::Proven(..) | Verdict::WrongKey => log_in::wrong_key(),
    }
}

fn ended(end: End) -> SqlError {
    match end {
        End::Killed => mysql_error(1927, "70100", "Connection was killed"),
        End::KeyRemoved => SqlError::new(16, "The key of this log-in was taken away"),
    }
}

fn is_stopping() -> SqlError {
    mysql_error(1053, "08S01", "Server shutdown in progress")
}
